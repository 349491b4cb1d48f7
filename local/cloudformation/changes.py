"""What a change set lists: what of a stack a template would add, change, replace and remove."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from local.stack.kinds import kind_of
from local.stack.records import Record
from local.stack.template import Blueprint, Made, Resolver, Resource, TemplateError, in_order

_UNKNOWN = "{{changeSet:KNOWN_AFTER_APPLY}}"
_ATTRIBUTES = ("CreationPolicy", "DeletionPolicy", "Metadata", "UpdatePolicy", "UpdateReplacePolicy")

Change = dict[str, Any]
Detail = dict[str, Any]


class _Unknown(Mapping[str, Any]):
    """The attributes of what is not made yet."""

    def __getitem__(self, name: str) -> Any:
        return _UNKNOWN

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __contains__(self, name: object) -> bool:
        return True


def changes(blueprint: Blueprint, before: Mapping[str, Any], records: Mapping[str, Record]) -> list[Change]:
    """Every change, by logical id; `before` is the template that the stack was made from."""
    made: dict[str, Made] = {}
    resolver = Resolver(blueprint, made)
    found = []
    for resource in in_order(blueprint.resources):
        if not resolver.holds(resource.condition):
            continue
        record = records.get(resource.logical_id)
        if record is None:
            made[resource.logical_id] = Made(_UNKNOWN, _Unknown())
            found.append(_change("Add", resource.logical_id, resource.type))
            continue
        details = [*_properties(resolver, resource, record), *_attributes(blueprint.template, before, resource)]
        replacement = _replacement(details)
        made[resource.logical_id] = Made(record.physical_id, record.attributes)
        if replacement != "False":
            made[resource.logical_id] = Made(_UNKNOWN, _Unknown())
        if details:
            found.append(_modified(record, replacement, details))
    there = {logical_id for logical_id in made}
    found += [_removed(record) for record in records.values() if record.logical_id not in there]
    return sorted(found, key=lambda change: str(change["ResourceChange"]["LogicalResourceId"]))


def without_values(found: Iterable[Change]) -> list[Change]:
    """As they are shown unless IncludePropertyValues is asked for."""
    shown: list[Change] = json.loads(json.dumps(list(found)))
    for change in shown:
        for name in ("BeforeContext", "AfterContext"):
            change["ResourceChange"].pop(name, None)
        for detail in change["ResourceChange"].get("Details", []):
            for name in ("BeforeValue", "AfterValue", "AttributeChangeType", "Path"):
                detail["Target"].pop(name, None)
    return shown


def _properties(resolver: Resolver, resource: Resource, record: Record) -> Iterator[Detail]:
    for name in sorted(record.properties.keys() | resource.properties.keys()):
        before = record.properties.get(name)
        try:
            after = resolver.resolve(resource.properties.get(name))
        except TemplateError:  # a part of what is not known yet
            after = _UNKNOWN
        if after == before:
            continue
        known = _UNKNOWN not in json.dumps(after)
        another = kind_of(resource.type).replaces(name)
        recreation = ("Always" if known else "Conditionally") if another else "Never"
        target = {"Attribute": "Properties", "Name": name, "RequiresRecreation": recreation, **_values(before, after)}
        target["Path"] = f"/Properties/{name}"
        yield {
            "Target": target,
            "Evaluation": "Static" if known else "Dynamic",
            "ChangeSource": "DirectModification" if known else "ResourceReference",
        }


def _values(before: Any, after: Any) -> dict[str, str]:
    kind = "Add" if before is None else "Remove" if after is None else "Modify"
    values = {"BeforeValue": before, "AfterValue": after}
    shown = {name: _shown(value) for name, value in values.items() if value is not None}
    return {"AttributeChangeType": kind, **shown}


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _attributes(template: Mapping[str, Any], before: Mapping[str, Any], resource: Resource) -> Iterator[Detail]:
    """What is not a property, such as its deletion policy."""
    now, then = template["Resources"][resource.logical_id], before["Resources"].get(resource.logical_id, {})
    for name in _ATTRIBUTES:
        if now.get(name) != then.get(name):
            target = {"Attribute": name, "RequiresRecreation": "Never", **_values(then.get(name), now.get(name))}
            yield {"Target": target, "Evaluation": "Static", "ChangeSource": "DirectModification"}


def _replacement(details: Iterable[Detail]) -> str:
    recreations = {detail["Target"]["RequiresRecreation"] for detail in details}
    return "True" if "Always" in recreations else "Conditional" if "Conditionally" in recreations else "False"


def _modified(record: Record, replacement: str, details: list[Detail]) -> Change:
    scope = list(dict.fromkeys(str(detail["Target"]["Attribute"]) for detail in details))
    return _change(
        "Modify",
        record.logical_id,
        record.type,
        PhysicalResourceId=record.physical_id,
        Replacement=replacement,
        Scope=scope,
        Details=details,
        **({"PolicyAction": _policy(record.replace_policy, "ReplaceAnd")} if replacement == "True" else {}),
    )


def _removed(record: Record) -> Change:
    policy = _policy(record.deletion_policy, "")
    return _change("Remove", record.logical_id, record.type, PhysicalResourceId=record.physical_id, PolicyAction=policy)


def _policy(policy: str, prefix: str) -> str:
    return f"{prefix}{'Retain' if policy.startswith('Retain') else 'Snapshot' if policy == 'Snapshot' else 'Delete'}"


def _change(action: str, logical_id: str, kind: str, **more: Any) -> Change:
    change = {"Action": action, "LogicalResourceId": logical_id, "ResourceType": kind, "Scope": [], "Details": []}
    return {"Type": "Resource", "ResourceChange": {**change, **more}}

"""Brings one stack from what it is to what a template says: only what changed is touched."""

import json
import logging
from collections.abc import Iterable
from dataclasses import replace

from local import clock
from local.gateway_routes import UnsupportedApiError
from local.stack.api import serve_apis
from local.stack.kinds import Maker, check, in_words, is_custom, kind_of
from local.stack.records import Record, Records, Stack
from local.stack.template import Blueprint, Made, Resolver, Resource, TemplateError, as_text, in_order
from local.stack.workshop import Properties

log = logging.getLogger(__name__)

_RETAIN = ("Retain", "RetainExceptOnCreate")
_ANOTHER = "Requested update requires the creation of a new physical resource; hence creating one."


class ResourceError(TemplateError):
    """A resource could not be made or changed; `verb` is what was tried, `reason` why it did not work."""

    def __init__(self, logical_id: str, type_: str, verb: str, reason: str) -> None:
        super().__init__(f"{logical_id} ({type_}): {reason}")
        self.logical_id, self.verb, self.reason = logical_id, verb, reason


class Deployment:
    """A stack while this laptop runs. `adopts`: resources with fixed names that are there already become its own."""

    def __init__(self, records: Records, stack: Stack, maker: Maker, *, adopts: bool) -> None:
        self.stack = stack
        self._records, self._maker, self._adopts = records, maker, adopts
        self._live: set[str] = set()
        self._turn(records.resources(stack).values())

    def restore(self, blueprint: Blueprint) -> dict[str, str]:
        """Bring back what was made of the blueprint, which may have other addresses now; its outputs.

        What cannot be brought back is logged.
        """
        known = self._records.resources(self.stack)
        made: dict[str, Made] = {}
        resolver = Resolver(blueprint, made)
        for resource in in_order(blueprint.resources):
            if record := known.get(resource.logical_id):
                try:
                    # What an update that did not end has put in the place of another is not of this blueprint.
                    properties = record.properties if record.others else resolver.resolve(resource.properties)
                    record = self._make_again(resource, record, properties)
                except TemplateError as error:
                    log.warning("stack %s: %s (%s): %s", self.stack.name, resource.logical_id, resource.type, error)
                made[resource.logical_id] = Made(record.physical_id, record.attributes)
        self._serve_apis()
        return _outputs(resolver, blueprint)

    def apply(self, blueprint: Blueprint) -> dict[str, str]:
        """Make and change what is not as the blueprint says; the outputs. Deletes nothing: see `clean_up`.

        Raises ResourceError at the first resource that cannot be, TemplateError where the template makes no sense.
        """
        known = self._records.resources(self.stack)
        made: dict[str, Made] = {}
        resolver = Resolver(blueprint, made)
        for resource in in_order(blueprint.resources):
            if resolver.holds(resource.condition):
                made[resource.logical_id] = self._bring(resolver, resource, known.get(resource.logical_id))
        self._serve_apis()
        return _outputs(resolver, blueprint)

    def revert(self) -> None:
        """Where another resource was made in the place of one, the former is the stack's again."""
        for record in self._records.resources(self.stack).values():
            all_ = [record, *record.others]
            former = min(all_, key=lambda one: one.turn)
            if former is not record:
                former.others = [replace(one, others=[]) for one in all_ if one is not former]
                self._records.save_resource(self.stack, former)
                self._live.discard(former.logical_id)  # a laptop that was stopped since did not bring it back
                self._turn([former])

    def clean_up(self, blueprint: Blueprint) -> None:
        """Delete what was replaced, and what the blueprint does not have (any more); what cannot be is left behind."""
        resolver = Resolver(blueprint, {})
        wanted = {name for name, one in blueprint.resources.items() if resolver.holds(one.condition)}
        for record in last_first(self._records.resources(self.stack).values()):
            if record.others:
                for other in record.others:
                    self._delete(other, other.replace_policy)
                record.others = []
                self._records.save_resource(self.stack, record)
            if record.logical_id not in wanted:
                self._delete(record, record.deletion_policy)
                self._records.drop_resource(self.stack, record)
        self._serve_apis()

    def delete(self, retained: Iterable[str] = (), *, creating: bool = False) -> list[str]:
        """Delete all resources, those first that need others; the logical ids of those that could not be.

        What another one still needs is not tried. `creating`: it is the creation that is undone.
        """
        left: list[Record] = []
        for record in last_first(self._records.resources(self.stack).values()):
            if any(record.logical_id in other.needs for other in left):
                left.append(record)
                continue
            policy = "Retain" if record.logical_id in retained else record.deletion_policy
            if creating and policy == "RetainExceptOnCreate":
                policy = "Delete"
            for other in record.others:
                self._delete(other, other.replace_policy)
            if self._delete(record, policy):
                self._records.drop_resource(self.stack, record)
            else:
                self._records.save_resource(self.stack, record)
                left.append(record)
        self._serve_apis()
        return [record.logical_id for record in left if record.status == "DELETE_FAILED"]

    def _bring(self, resolver: Resolver, resource: Resource, known: Record | None) -> Made:
        verb = "UPDATE" if known and known.status != "CREATE_FAILED" else "CREATE"
        try:
            with in_words(resource.logical_id):
                properties = resolver.resolve(resource.properties)
                check(resource.type, properties)
            if known is None or verb == "CREATE":
                record = self._create(resource, properties)
            elif known.type != resource.type:
                raise TemplateError(f"Update of resource type is not permitted: it was {known.type}")
            elif known.properties != properties or known.status == "UPDATE_FAILED":
                record = self._update(resource, known, properties)
            else:
                record = known
                if resource.logical_id not in self._live:
                    record = self._make_again(resource, known, properties)
        except TemplateError as error:
            self._note(resource, known.physical_id if known else "", f"{verb}_FAILED", str(error))
            raise ResourceError(resource.logical_id, resource.type, verb, str(error)) from error
        self._live.add(resource.logical_id)
        record.needs = sorted(resource.needs)
        record.deletion_policy, record.replace_policy = resource.deletion_policy, resource.replace_policy
        self._records.save_resource(self.stack, record)
        return Made(record.physical_id, record.attributes)

    def _create(self, resource: Resource, properties: Properties) -> Record:
        self._note(resource, "", "CREATE_IN_PROGRESS", properties=properties)
        if not self._adopts and (name := self._maker.exists(resource, properties)):
            raise TemplateError(f"Resource of type '{resource.type}' with identifier '{name}' already exists.")
        try:
            made = self._maker.make(resource, properties)
        except TemplateError as error:
            if is_custom(resource.type):  # its function may have made half of it, and is told to delete that
                half = self._record(resource, Made(f"{self.stack.name}-{resource.logical_id}"), properties)
                half.status, half.reason = "CREATE_FAILED", str(error)
                self._records.save_resource(self.stack, half)
            raise
        record = self._record(resource, made, properties)
        self._records.save_resource(self.stack, record)
        self._note(resource, made.ref, "CREATE_IN_PROGRESS", "Resource creation Initiated", properties)
        self._note(resource, made.ref, "CREATE_COMPLETE", properties=properties)
        return record

    def _update(self, resource: Resource, known: Record, properties: Properties) -> Record:
        names = known.properties.keys() | properties.keys()
        changed = [name for name in names if known.properties.get(name) != properties.get(name)]
        another = needs_another(resource.type, changed)
        self._note(resource, known.physical_id, "UPDATE_IN_PROGRESS", _ANOTHER if another else None, properties)
        if another:
            self._refuse_same_name(resource, known, properties)
            record = self._replace(resource, known, properties)
        else:
            record = self._change(resource, known, properties)
        self._records.save_resource(self.stack, record)
        self._note(resource, record.physical_id, "UPDATE_COMPLETE", properties=properties)
        return record

    def _refuse_same_name(self, resource: Resource, known: Record, properties: Properties) -> None:
        named = kind_of(resource.type).named
        if named and properties.get(named) and properties[named] == known.properties.get(named):
            raise TemplateError(
                "CloudFormation cannot update a stack when a custom-named resource requires replacing. "
                f"Rename {properties[named]} and update the stack again."
            )

    def _replace(self, resource: Resource, known: Record, properties: Properties) -> Record:
        if not self._adopts and (name := self._maker.exists(resource, properties)):
            raise TemplateError(f"Resource of type '{resource.type}' with identifier '{name}' already exists.")
        turns = self._maker.workshop.turns
        turns[resource.logical_id] = known.turn + 1
        try:
            made = self._maker.make(resource, properties)
        except TemplateError:
            turns[resource.logical_id] = known.turn
            raise
        return self._record(resource, made, properties, known)

    def _change(self, resource: Resource, known: Record, properties: Properties) -> Record:
        try:
            made = self._maker.make(resource, properties, known)
        except TemplateError as error:
            # How far it came is not known: a rollback is to change it back.
            failed = replace(known, properties=properties, status="UPDATE_FAILED", reason=str(error))
            self._records.save_resource(self.stack, failed)
            raise
        if is_custom(resource.type) and made.ref != known.physical_id:
            return self._record(resource, made, properties, known)
        return replace(
            known,
            physical_id=made.ref,
            attributes=dict(made.attributes),
            properties=properties,
            status="UPDATE_COMPLETE",
            reason=None,
            changed=clock.now(),
        )

    def _record(self, resource: Resource, made: Made, properties: Properties, replaced: Record | None = None) -> Record:
        return Record(
            resource.logical_id,
            resource.type,
            made.ref,
            dict(made.attributes),
            properties,
            sorted(resource.needs),
            resource.deletion_policy,
            resource.replace_policy,
            turn=replaced.turn + 1 if replaced else 0,
            status="UPDATE_COMPLETE" if replaced else "CREATE_COMPLETE",
            others=[replace(replaced, others=[]), *replaced.others] if replaced else [],
        )

    def _make_again(self, resource: Resource, record: Record, properties: Properties) -> Record:
        """As it was, at a start: functions, rules and routes live in this process only. Functions are not asked."""
        self._live.add(record.logical_id)
        if is_custom(record.type):
            return record
        made = self._maker.make(resource, properties)
        again = replace(record, physical_id=made.ref, attributes=dict(made.attributes), properties=properties)
        self._records.save_resource(self.stack, again)
        return again

    def _delete(self, record: Record, policy: str) -> bool:
        """False where it could not be, and is still there."""
        if policy in _RETAIN:
            self._note(record, record.physical_id, "DELETE_SKIPPED")
            return True
        if heir := self._heir(record):
            self._note(record, record.physical_id, "DELETE_SKIPPED", f"It is {heir.logical_id} now.")
            return True
        self._note(record, record.physical_id, "DELETE_IN_PROGRESS")
        try:
            self._maker.delete(record)
        except TemplateError as error:
            record.status, record.reason, record.changed = "DELETE_FAILED", str(error), clock.now()
            self._note(record, record.physical_id, "DELETE_FAILED", str(error))
            return False
        self._live.discard(record.logical_id)
        self._note(record, record.physical_id, "DELETE_COMPLETE")
        return True

    def _heir(self, record: Record) -> Record | None:
        """Another record of the very same resource, which has a fixed name and was adopted by another logical id."""
        kind = kind_of(record.type)
        if kind.delete is None:
            return None
        for known in self._records.resources(self.stack).values():
            for one in (known, *known.others):
                same = (one.logical_id, one.turn) == (record.logical_id, record.turn)
                if not same and kind_of(one.type) is kind and _name(one) == _name(record):
                    return one
        return None

    def _turn(self, records: Iterable[Record]) -> None:
        self._maker.workshop.turns.update({record.logical_id: record.turn for record in records})

    def _serve_apis(self) -> None:
        try:
            serve_apis(self._maker.workshop)
        except UnsupportedApiError as error:
            raise TemplateError(str(error)) from error

    def _note(
        self,
        resource: Resource | Record,
        physical_id: str,
        status: str,
        reason: str | None = None,
        properties: Properties | None = None,
    ) -> None:
        event = {
            "LogicalResourceId": resource.logical_id,
            "PhysicalResourceId": physical_id,
            "ResourceType": resource.type,
            "ResourceStatus": status,
            "ResourceStatusReason": reason,
            "ResourceProperties": json.dumps(properties) if properties is not None else None,
        }
        self._records.note(self.stack, {name: value for name, value in event.items() if value is not None})


def _name(record: Record) -> str:
    """What it is called whatever the laptop's port is, which the URL of a queue names."""
    return str(record.attributes.get("Arn", record.physical_id))


def _outputs(resolver: Resolver, blueprint: Blueprint) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, output in blueprint.template.get("Outputs", {}).items():
        with in_words(name):
            if resolver.holds(output.get("Condition")):
                found[name] = as_text(resolver.resolve(output["Value"]))
    return found


def needs_another(kind: str, changed: Iterable[str]) -> bool:
    """Whether a change of these properties takes another resource of the type."""
    return any(kind_of(kind).replaces(name) for name in changed)


def last_first(records: Iterable[Record]) -> list[Record]:
    """Every record before those that it needs."""
    by_id = {record.logical_id: record for record in records}
    done: dict[str, Record] = {}

    def visit(record: Record) -> None:
        if record.logical_id not in done:
            for name in record.needs:
                if name in by_id and name != record.logical_id:
                    visit(by_id[name])
            done[record.logical_id] = record

    for record in by_id.values():
        visit(record)
    return list(reversed(done.values()))

"""A CloudFormation template: its resources, the order they are made in, and its intrinsic functions."""

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.wire import ACCOUNT

_SUBSTITUTION = re.compile(r"\$\{(!?)([^}]+)\}")


class TemplateError(Exception):
    """The template asks for something that the laptop does not do; the sentence names it."""


@dataclass(frozen=True)
class Resource:
    """One entry of `Resources`, its properties not resolved yet."""

    logical_id: str
    type: str
    properties: dict[str, Any] = field(default_factory=dict)
    depends_on: tuple[str, ...] = ()
    condition: str | None = None
    deletion_policy: str = "Delete"
    replace_policy: str = "Delete"

    @property
    def needs(self) -> set[str]:
        """The names it refers to, among them all resources that are made before it."""
        return {*self.depends_on, *_references(self.properties)}


@dataclass(frozen=True)
class Made:
    """A resource that exists now: what `Ref` gives, and what `Fn::GetAtt` gives by name."""

    ref: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Blueprint:
    """A template and what it is made for: the stack's name, id and region, and the values of its parameters."""

    name: str
    stack_id: str
    region: str
    template: Mapping[str, Any]
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if "Transform" in self.template:
            raise TemplateError(
                f"{self.name} uses the transform {self.template['Transform']}, which the laptop does not do"
            )

    @property
    def resources(self) -> dict[str, Resource]:
        """All of the template's, those too whose condition does not hold."""
        return {
            logical_id: Resource(
                logical_id,
                body["Type"],
                body.get("Properties", {}),
                tuple(_as_list(body.get("DependsOn"))),
                body.get("Condition"),
                body.get("DeletionPolicy", "Delete"),
                body.get("UpdateReplacePolicy", "Delete"),
            )
            for logical_id, body in self.template["Resources"].items()
        }


class Resolver:
    """Evaluates intrinsic functions against what has been made so far."""

    def __init__(self, blueprint: Blueprint, made: Mapping[str, Made]) -> None:
        self._template = blueprint.template
        self._parameters = blueprint.parameters
        self._made = made
        self._pseudo: dict[str, Any] = {
            "AWS::AccountId": ACCOUNT,
            "AWS::Region": blueprint.region,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": blueprint.name,
            "AWS::StackId": blueprint.stack_id,
            "AWS::NotificationARNs": [],
            "AWS::NoValue": None,
        }
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Fn::GetAtt": self._get_att,
            "Fn::Join": lambda given: given[0].join(map(as_text, self.resolve(given[1]))),
            "Fn::Split": lambda given: as_text(self.resolve(given[1])).split(given[0]),
            "Fn::Select": self._select,
            "Fn::Sub": self._sub,
            "Fn::If": lambda given: self.resolve(given[1 if self.condition(given[0]) else 2]),
            "Fn::FindInMap": self._find_in_map,
            "Fn::Base64": lambda given: base64.b64encode(as_text(self.resolve(given)).encode()).decode(),
        }

    def resolve(self, value: Any) -> Any:
        """The value without intrinsic functions; members that are `AWS::NoValue` are left out."""
        if isinstance(value, list):
            return [item for item in map(self.resolve, value) if item is not None]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            name, given = next(iter(value.items()))
            if name in self._functions:
                return self._functions[name](given)
            if name.startswith("Fn::"):
                raise TemplateError(f"the laptop does not evaluate {name}")
        resolved = {name: self.resolve(item) for name, item in value.items()}
        return {name: item for name, item in resolved.items() if item is not None}

    def holds(self, condition: str | None) -> bool:
        """Whether something with this `Condition` is made; without one it is."""
        return condition is None or self.condition(condition)

    def condition(self, name: str) -> bool:
        conditions = self._template.get("Conditions", {})
        if name not in conditions:
            raise TemplateError(f"the template has no condition {name}")
        return self._test(conditions[name])

    def _test(self, node: dict[str, Any]) -> bool:
        name, given = next(iter(node.items()))
        if name == "Condition":
            return self.condition(given)
        if name == "Fn::Equals":
            return as_text(self.resolve(given[0])) == as_text(self.resolve(given[1]))
        if name == "Fn::Not":
            return not self._test(given[0])
        if name in ("Fn::And", "Fn::Or"):
            return (all if name == "Fn::And" else any)(self._test(part) for part in given)
        raise TemplateError(f"the laptop does not evaluate the condition {name}")

    def _ref(self, name: str) -> Any:
        if name in self._pseudo:
            return self._pseudo[name]
        if name in self._made:
            return self._made[name].ref
        if name in self._parameters:
            return self._parameters[name]
        parameter = self._template.get("Parameters", {}).get(name)
        if parameter is None:
            raise TemplateError(f"{name} is neither a resource that is made nor a parameter of the template")
        return default(name, parameter)

    def _get_att(self, given: Any) -> Any:
        logical_id, _, attribute = given.partition(".") if isinstance(given, str) else (given[0], "", given[1])
        if logical_id not in self._made:
            raise TemplateError(f"{logical_id} is no resource that is made, so it has no attribute {attribute}")
        attributes = self._made[logical_id].attributes
        if attribute not in attributes:
            kind = self._template["Resources"][logical_id]["Type"]
            raise TemplateError(f"{logical_id} ({kind}) has no attribute {attribute} on the laptop")
        return attributes[attribute]

    def _select(self, given: list[Any]) -> Any:
        index, items = as_text(self.resolve(given[0])), self.resolve(given[1])
        if not index.isdecimal() or int(index) >= len(items):
            raise TemplateError(f"Fn::Select asks for number {index} of {len(items)}")
        return items[int(index)]

    def _sub(self, given: Any) -> str:
        text, variables = (given, {}) if isinstance(given, str) else (given[0], self.resolve(given[1]))

        def value(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return f"${{{name}}}"
            if name in variables:
                return as_text(variables[name])
            return as_text(self._get_att(name) if "." in name else self._ref(name))

        return _SUBSTITUTION.sub(value, text)

    def _find_in_map(self, given: list[Any]) -> Any:
        keys = [as_text(self.resolve(part)) for part in given]
        found = self._template.get("Mappings", {})
        for key in keys:
            if key not in found:
                raise TemplateError(f"the template has no mapping {'.'.join(keys)}")
            found = found[key]
        return found


def as_text(value: Any) -> str:
    """A value where CloudFormation makes a string of it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def in_order(resources: Mapping[str, Resource]) -> list[Resource]:
    """Every resource after those that it refers to; TemplateError for a circle."""
    done: dict[str, Resource] = {}
    open_: set[str] = set()

    def visit(resource: Resource) -> None:
        if resource.logical_id in done:
            return
        if resource.logical_id in open_:
            raise TemplateError(f"{resource.logical_id} depends on itself in a circle")
        open_.add(resource.logical_id)
        for name in (*resource.depends_on, *_references(resource.properties)):
            if name in resources:
                visit(resources[name])
        done[resource.logical_id] = resource

    for resource in resources.values():
        visit(resource)
    return list(done.values())


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _references(item)
    elif isinstance(value, dict):
        intrinsic = len(value) == 1
        for name, item in value.items():
            if intrinsic and name == "Ref":
                yield item
            elif intrinsic and name == "Fn::GetAtt":
                yield item.partition(".")[0] if isinstance(item, str) else item[0]
            else:
                if intrinsic and name == "Fn::Sub":
                    text, variables = (item, {}) if isinstance(item, str) else item
                    names = (match[2].partition(".")[0] for match in _SUBSTITUTION.finditer(text) if not match[1])
                    yield from (one for one in names if one not in variables)
                yield from _references(item)


def default(name: str, parameter: Mapping[str, Any]) -> Any:
    """What a parameter is unless a deployment says otherwise; TemplateError where it has no default."""
    if parameter["Type"].startswith("AWS::SSM::"):
        raise TemplateError(f"the parameter {name} is read from SSM, which only a deployment does")
    if "Default" not in parameter:
        raise TemplateError(f"the parameter {name} has no default")
    return typed(parameter["Type"], parameter["Default"])


def typed(kind: str, value: Any) -> Any:
    """The value of a parameter of this type, from what a template or a deployment gives."""
    if kind == "CommaDelimitedList" or kind.startswith("List<"):
        return [part.strip() for part in as_text(value).split(",")]
    return value if kind == "Number" else as_text(value)


def _as_list(value: Any) -> list[str]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]

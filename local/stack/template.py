"""Reading a cloud assembly (`cdk.out`): its stack, its assets, and CloudFormation's intrinsic functions."""

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
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
    properties: dict[str, Any]
    depends_on: tuple[str, ...]
    condition: str | None


@dataclass(frozen=True)
class Made:
    """A resource that exists now: what `Ref` gives, and what `Fn::GetAtt` gives by name."""

    ref: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


class Assembly:
    """One stack of a cloud assembly with its file assets."""

    def __init__(self, folder: Path, stack: str | None = None) -> None:
        if not (folder / "manifest.json").exists():
            raise TemplateError(f"{folder} is no cloud assembly: it holds no manifest.json")
        artifacts = json.loads((folder / "manifest.json").read_text())["artifacts"]
        stacks = {name: one for name, one in artifacts.items() if one["type"] == "aws:cloudformation:stack"}
        if stack is None and len(stacks) != 1:
            raise TemplateError(f"{folder} holds {len(stacks)} stacks ({', '.join(stacks)}): name one with --stack")
        name = stack or next(iter(stacks))
        if name not in stacks:
            raise TemplateError(f"{folder} holds no stack {name}")
        self.name = str(stacks[name]["properties"].get("stackName", name))
        region = stacks[name]["environment"].rpartition("/")[2]
        self.region = "us-east-1" if region == "unknown-region" else str(region)
        self.template = json.loads((folder / stacks[name]["properties"]["templateFile"]).read_text())
        if "Transform" in self.template:
            raise TemplateError(
                f"{self.name} uses the transform {self.template['Transform']}, which the laptop does not do"
            )
        self._folder = folder
        self._assets = self._read_assets(folder / f"{name}.assets.json")

    def _read_assets(self, path: Path) -> dict[str, Path]:
        if not path.exists():
            return {}
        files = json.loads(path.read_text())["files"].values()
        return {
            destination["objectKey"]: self._folder / file["source"]["path"]
            for file in files
            if "path" in file["source"]
            for destination in file["destinations"].values()
        }

    @property
    def stack_id(self) -> str:
        return f"arn:aws:cloudformation:{self.region}:{ACCOUNT}:stack/{self.name}/laptop"

    def asset(self, object_key: str) -> Path:
        """The folder (or file) behind the S3 key that the template names for an asset."""
        if object_key not in self._assets:
            raise TemplateError(f"the assembly holds no asset {object_key}")
        return self._assets[object_key]

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
            )
            for logical_id, body in self.template["Resources"].items()
        }


class Resolver:
    """Evaluates intrinsic functions against what has been made so far."""

    def __init__(self, assembly: Assembly, made: Mapping[str, Made]) -> None:
        self._template = assembly.template
        self._made = made
        self._pseudo: dict[str, Any] = {
            "AWS::AccountId": ACCOUNT,
            "AWS::Region": assembly.region,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": assembly.name,
            "AWS::StackId": assembly.stack_id,
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
        parameter = self._template.get("Parameters", {}).get(name)
        if parameter is None:
            raise TemplateError(f"{name} is neither a resource that is made nor a parameter of the template")
        return _default(name, parameter)

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
        index, items = int(self.resolve(given[0])), self.resolve(given[1])
        if not 0 <= index < len(items):
            raise TemplateError(f"Fn::Select asks for number {index} of {len(items)}")
        return items[index]

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
                    text = item if isinstance(item, str) else item[0]
                    yield from (match[2].partition(".")[0] for match in _SUBSTITUTION.finditer(text))
                yield from _references(item)


def _default(name: str, parameter: Mapping[str, Any]) -> Any:
    """What a parameter is unless a deployment says otherwise, and on the laptop none does."""
    kind = parameter["Type"]
    if kind.startswith("AWS::SSM::"):
        raise TemplateError(f"the parameter {name} is read from SSM, which the laptop does not do")
    if "Default" not in parameter:
        raise TemplateError(f"the parameter {name} has no default")
    if kind == "CommaDelimitedList" or kind.startswith("List<"):
        return [part.strip() for part in as_text(parameter["Default"]).split(",")]
    return parameter["Default"] if kind == "Number" else as_text(parameter["Default"])


def _as_list(value: Any) -> list[str]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]

"""Reading a cloud assembly (`cdk.out`): its stack, its assets, and CloudFormation's intrinsic functions."""

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


@dataclass(frozen=True)
class Made:
    """A resource that exists now: what `Ref` gives, and what `Fn::GetAtt` gives by name."""

    ref: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


class Assembly:
    """One stack of a cloud assembly with its file assets."""

    def __init__(self, folder: Path, stack: str | None = None) -> None:
        manifest = json.loads((folder / "manifest.json").read_text())
        stacks = {
            name: artifact
            for name, artifact in manifest["artifacts"].items()
            if artifact["type"] == "aws:cloudformation:stack"
        }
        if stack is None and len(stacks) != 1:
            raise TemplateError(f"{folder} holds {len(stacks)} stacks ({', '.join(stacks)}): name one with --stack")
        name = stack or next(iter(stacks))
        if name not in stacks:
            raise TemplateError(f"{folder} holds no stack {name}")
        self.name = str(stacks[name]["properties"].get("stackName", name))
        region = stacks[name]["environment"].rpartition("/")[2]
        self.region = "us-east-1" if region == "unknown-region" else str(region)
        self.template = json.loads((folder / stacks[name]["properties"]["templateFile"]).read_text())
        self._folder = folder
        self._assets = self._read_assets(folder / f"{name}.assets.json")

    def _read_assets(self, path: Path) -> dict[str, Path]:
        if not path.exists():
            return {}
        files = json.loads(path.read_text())["files"].values()
        return {
            destination["objectKey"]: self._folder / file["source"]["path"]
            for file in files
            for destination in file["destinations"].values()
        }

    def asset(self, object_key: str) -> Path:
        """The folder (or file) behind the S3 key that the template names for an asset."""
        if object_key not in self._assets:
            raise TemplateError(f"the assembly holds no asset {object_key}")
        return self._assets[object_key]

    @property
    def resources(self) -> dict[str, Resource]:
        """All resources whose condition holds (none is evaluated here: see `Resolver`)."""
        return {
            logical_id: Resource(
                logical_id, body["Type"], body.get("Properties", {}), tuple(_as_list(body.get("DependsOn")))
            )
            for logical_id, body in self.template["Resources"].items()
        }

    def condition_of(self, logical_id: str) -> str | None:
        condition: str | None = self.template["Resources"][logical_id].get("Condition")
        return condition


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
            "AWS::StackId": f"arn:aws:cloudformation:{assembly.region}:{ACCOUNT}:stack/{assembly.name}/laptop",
            "AWS::NotificationARNs": [],
            "AWS::NoValue": None,
        }
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Fn::GetAtt": self._get_att,
            "Fn::Join": lambda given: given[0].join(str(part) for part in self.resolve(given[1])),
            "Fn::Split": lambda given: str(self.resolve(given[1])).split(given[0]),
            "Fn::Select": lambda given: self.resolve(given[1])[int(self.resolve(given[0]))],
            "Fn::Sub": self._sub,
            "Fn::If": lambda given: self.resolve(given[1 if self.condition(given[0]) else 2]),
            "Fn::FindInMap": self._find_in_map,
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

    def condition(self, name: str) -> bool:
        return self._test(self._template["Conditions"][name])

    def _test(self, node: dict[str, Any]) -> bool:
        name, given = next(iter(node.items()))
        if name == "Condition":
            return self.condition(given)
        if name == "Fn::Equals":
            return bool(self.resolve(given[0]) == self.resolve(given[1]))
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
        if parameter is None or "Default" not in parameter:
            raise TemplateError(f"{name} is neither a resource of the template nor a parameter with a default")
        return parameter["Default"]

    def _get_att(self, given: Any) -> Any:
        logical_id, _, attribute = given.partition(".") if isinstance(given, str) else (given[0], "", given[1])
        attributes = self._made[logical_id].attributes
        if attribute not in attributes:
            kind = self._template["Resources"][logical_id]["Type"]
            raise TemplateError(f"{logical_id} ({kind}) has no attribute {attribute} on the laptop")
        return attributes[attribute]

    def _sub(self, given: Any) -> str:
        text, variables = (given, {}) if isinstance(given, str) else (given[0], self.resolve(given[1]))

        def value(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return f"${{{name}}}"
            if name in variables:
                return str(variables[name])
            return str(self._get_att(name) if "." in name else self._ref(name))

        return _SUBSTITUTION.sub(value, text)

    def _find_in_map(self, given: list[Any]) -> Any:
        table, first, second = (self.resolve(part) for part in given)
        return self._template["Mappings"][table][first][second]


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
    if not isinstance(value, dict):
        return
    for name, item in value.items():
        if name == "Ref":
            yield item
        elif name == "Fn::GetAtt":
            yield item.partition(".")[0] if isinstance(item, str) else item[0]
        elif name == "Fn::Sub":
            text = item if isinstance(item, str) else item[0]
            yield from (match[2].partition(".")[0] for match in _SUBSTITUTION.finditer(text))
            yield from _references(item)
        else:
            yield from _references(item)


def _as_list(value: Any) -> list[str]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]

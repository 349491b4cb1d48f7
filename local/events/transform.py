"""What a target gets of an event: all of it, a part, a constant, or a text made from parts.

EventBridge user guide, "Amazon EventBridge input transformation".
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local import clock

_UNSAFE = re.compile("[\ud800-\udfff\ufffe\uffff]")
_STEP = re.compile(r"\.(?P<name>[\w\-/@$:]+|\*)|\[(?P<index>\d+|\*)\]")
_PLACEHOLDER = re.compile(r"<([\w.\-]+)>")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_PREDEFINED = (
    "aws.events.event",
    "aws.events.event.ingestion-time",
    "aws.events.event.json",
    "aws.events.rule-arn",
    "aws.events.rule-name",
)


class InvalidInputError(ValueError):
    """An Input, InputPath or InputTransformer that EventBridge would refuse."""


@dataclass(frozen=True)
class Origin:
    """The rule an event matched."""

    rule_name: str
    rule_arn: str


def to_json(value: Any) -> str:
    """Compact, and without the characters that no queue takes; those are escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def target_input(target: Mapping[str, Any], event: Mapping[str, Any], origin: Origin) -> str:
    if "Input" in target:
        return str(target["Input"])
    if "InputPath" in target:
        return to_json(_resolve(target["InputPath"], event))
    if "InputTransformer" in target:
        return _fill(target["InputTransformer"], _Values(target["InputTransformer"], event, origin))
    return to_json(event)


def check_input(target: Mapping[str, Any]) -> None:
    given = [name for name in ("Input", "InputPath", "InputTransformer") if name in target]
    if len(given) > 1:
        message = "Only one of Input, InputPath, or InputTransformer must be provided for target"
        raise InvalidInputError(f"{message} {target['Id']}.")
    if "Input" in target and not _is_json(target["Input"]):
        raise InvalidInputError(f"JSON syntax error in input for target {target['Id']}")
    if "InputPath" in target:
        _steps(target["InputPath"])
    if "InputTransformer" in target:
        _check_transformer(target["Id"], target["InputTransformer"])


def _check_transformer(target_id: str, transformer: Mapping[str, Any]) -> None:
    paths = transformer.get("InputPathsMap") or {}
    for name, path in paths.items():
        if name.lower().startswith("aws."):
            raise InvalidInputError(f"InputPathsMap of target {target_id} must not name a variable AWS.*")
        _steps(path)
    template = transformer["InputTemplate"]
    for name in _PLACEHOLDER.findall(template):
        if name not in paths and name not in _PREDEFINED:
            raise InvalidInputError(f"Invalid InputTemplate for target {target_id} : unknown variable <{name}>")
    sample = _substitute(template, lambda name, quoted: "0")
    if not _is_json(sample) and not all(_is_json(line) for line in sample.splitlines() if line.strip()):
        raise InvalidInputError(f"Invalid InputTemplate for target {target_id} : it is no JSON")


class _Values:
    """The variables of a template."""

    def __init__(self, transformer: Mapping[str, Any], event: Mapping[str, Any], origin: Origin) -> None:
        self._paths = transformer.get("InputPathsMap") or {}
        self._event, self._origin = event, origin

    def get(self, name: str) -> Any:
        """A variable whose path leads nowhere is an empty text."""
        if name in self._paths:
            value = _resolve(self._paths[name], self._event)
            return "" if value is None else value
        return {
            "aws.events.event": {key: value for key, value in self._event.items() if key != "detail"},
            "aws.events.event.ingestion-time": clock.iso(clock.now()),
            "aws.events.event.json": self._event,
            "aws.events.rule-arn": self._origin.rule_arn,
            "aws.events.rule-name": self._origin.rule_name,
        }[name]


def _fill(transformer: Mapping[str, Any], values: _Values) -> str:
    def render(name: str, quoted: bool) -> str:
        value = values.get(name)
        if not quoted:
            return to_json(value)
        return to_json(value if isinstance(value, str) else to_json(value))[1:-1]

    return _substitute(transformer["InputTemplate"], render)


def _substitute(template: str, render: Any) -> str:
    """Every placeholder replaced by `render(name, whether it stands within quotes)`."""

    def outside(text: str) -> str:
        return _PLACEHOLDER.sub(lambda found: str(render(found[1], False)), text)

    done, at = "", 0
    for quoted in _STRING.finditer(template):
        done += outside(template[at : quoted.start()])
        done += _PLACEHOLDER.sub(lambda found: str(render(found[1], True)), quoted[0])
        at = quoted.end()
    return done + outside(template[at:])


def _steps(path: str) -> list[str | int]:
    """The names and indexes of a JSON path such as `$.detail.items[0].name`; `*` stands for all."""
    steps: list[str | int] = []
    at = 1
    while at < len(path):
        found = _STEP.match(path, at)
        if not found:
            break
        index = found["index"]
        steps.append(found["name"] or (index if index == "*" else int(index)))
        at = found.end()
    if not path.startswith("$") or at != len(path):
        raise InvalidInputError(f"Invalid JSON path: {path}")
    return steps


def _resolve(path: str, event: Any) -> Any:
    """What is there: a list where the path has a `*`, None where nothing is."""
    steps = _steps(path)
    found = [event]
    for step in steps:
        found = [inner for each in found for inner in _inside(each, step)]
    if "*" in steps:
        return found
    return found[0] if found else None


def _inside(value: Any, step: str | int) -> list[Any]:
    if isinstance(value, dict):
        if step == "*":
            return list(value.values())
        return [value[step]] if step in value else []
    if isinstance(value, list):
        if step == "*":
            return value
        return [value[step]] if isinstance(step, int) and step < len(value) else []
    return []


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True

"""Checks a state machine definition as CreateStateMachine does, and refuses what the laptop does not run."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from botocore.model import StructureShape

from local.stepfunctions import choice, intrinsics, jsonpath, resources
from local.stepfunctions.jsonpath import Json, PathSyntaxError

MAX_NAME = 80

_EVERY = {"Type", "Comment", "QueryLanguage"}
_IO = {"InputPath", "OutputPath"}
_FLOW = {"Next", "End"}
_RESULT = {"Parameters", "ResultSelector", "ResultPath", "Retry", "Catch"}
_FIELDS: dict[str, set[str]] = {
    "Pass": _IO | _FLOW | {"Result", "Parameters", "ResultPath"},
    "Task": _IO
    | _FLOW
    | _RESULT
    | {"Resource", "TimeoutSeconds", "TimeoutSecondsPath", "HeartbeatSeconds", "HeartbeatSecondsPath"},
    "Choice": _IO | {"Choices", "Default"},
    "Wait": _IO | _FLOW | {"Seconds", "SecondsPath", "Timestamp", "TimestampPath"},
    "Succeed": _IO,
    "Fail": {"Error", "ErrorPath", "Cause", "CausePath"},
    "Parallel": _IO | _FLOW | _RESULT | {"Branches"},
    "Map": _IO
    | _FLOW
    | _RESULT
    | {"ItemProcessor", "Iterator", "ItemsPath", "ItemSelector", "MaxConcurrency", "MaxConcurrencyPath", "Label"},
}
_NOT_HERE = {
    "Assign": "variables",
    "Credentials": "another role for a task",
    "ItemReader": "items read from S3",
    "ItemBatcher": "batches of items",
    "ResultWriter": "results written to S3",
    "ToleratedFailureCount": "tolerated failures",
    "ToleratedFailureCountPath": "tolerated failures",
    "ToleratedFailurePercentage": "tolerated failures",
    "ToleratedFailurePercentagePath": "tolerated failures",
}
_TOP = {"StartAt", "States", "Comment", "Version", "TimeoutSeconds", "QueryLanguage"}
_BRANCH = {"StartAt", "States", "Comment", "ProcessorConfig", "QueryLanguage"}
_PATHS = (
    "InputPath",
    "OutputPath",
    "ItemsPath",
    "SecondsPath",
    "TimestampPath",
    "TimeoutSecondsPath",
    "HeartbeatSecondsPath",
    "MaxConcurrencyPath",
)
_EXPRESSION = "must be a valid JSONPath or a valid intrinsic function call"
_ALONE = (
    ("TimeoutSeconds", "TimeoutSecondsPath"),
    ("HeartbeatSeconds", "HeartbeatSecondsPath"),
    ("MaxConcurrency", "MaxConcurrencyPath"),
    ("Error", "ErrorPath"),
    ("Cause", "CausePath"),
    ("Parameters", "ItemSelector"),
)


@dataclass(frozen=True)
class Problem:
    code: str
    message: str
    location: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message} at {self.location}"


def problems(text: str) -> list[Problem]:
    """What is wrong with a definition; nothing if it can run."""
    try:
        definition = json.loads(text)
    except ValueError as error:
        return [Problem("INVALID_JSON_DESCRIPTION", f"The definition is not JSON: {error}", "/")]
    if not isinstance(definition, dict):
        return [Problem("SCHEMA_VALIDATION_FAILED", "Definition must be a valid JSON object", "/")]
    checker = _Checker()
    checker.machine(definition)
    return checker.found


class _Checker:
    def __init__(self) -> None:
        self.found: list[Problem] = []
        self._names: set[str] = set()

    def say(self, message: str, where: str, code: str = "SCHEMA_VALIDATION_FAILED") -> None:
        self.found.append(Problem(code, message, where))

    def machine(self, definition: dict[str, Any]) -> None:
        self._whole_number(definition, "TimeoutSeconds", "", 1)
        self.states(definition, "", _TOP)

    def states(self, machine: Json, where: str, fields: set[str]) -> None:
        """A machine, a branch or an item processor."""
        if not isinstance(machine, dict):
            self.say("Expected value of type Object", where or "/")
            return
        self._fields(machine, fields, where)
        self._language(machine, where)
        missing = [name for name in ("States", "StartAt") if name not in machine]
        if missing:
            self.say(f"These fields are required: [{', '.join(missing)}]", where or "/")
        elif not isinstance(machine["States"], dict) or not machine["States"]:
            self.say("States must be an object that holds at least one state", f"{where}/States")
        else:
            for name, state in machine["States"].items():
                self._state(name, state, f"{where}/States/{name}")
            self._transitions(machine, where)

    def _fields(self, given: dict[str, Any], allowed: set[str], where: str) -> None:
        for name in given.keys() - allowed:
            offered = f"the laptop does not offer {_NOT_HERE[name]}" if name in _NOT_HERE else "Field is not supported"
            self.say(offered, f"{where}/{name}")

    def _language(self, given: dict[str, Any], where: str) -> None:
        if given.get("QueryLanguage", "JSONPath") != "JSONPath":
            message = "The laptop runs definitions in JSONPath only, not in JSONata"
            self.say(message, f"{where}/QueryLanguage")

    def _state(self, name: str, state: Json, where: str) -> None:
        if len(name) > MAX_NAME:
            self.say(f"A state's name is longer than {MAX_NAME} characters", where)
        if name in self._names:
            self.say(f"The state name '{name}' is used twice", where, "DUPLICATE_STATE_NAME")
        self._names.add(name)
        kind = state.get("Type") if isinstance(state, dict) else None
        if kind not in _FIELDS:
            self.say(f"Value is not one of the allowed state types: {sorted(_FIELDS)}", f"{where}/Type")
            return
        self._language(state, where)
        self._fields(state, _FIELDS[kind] | _EVERY, where)
        self._shared(state, where)
        special: dict[str, Callable[[dict[str, Any], str], None]] = {
            "Task": self._task,
            "Choice": self._choice,
            "Wait": self._wait,
            "Fail": self._fail,
            "Parallel": self._parallel,
            "Map": self._map,
        }
        if kind in special:
            special[kind](state, where)

    def _shared(self, state: dict[str, Any], where: str) -> None:
        for name in _PATHS:
            if state.get(name) is not None:
                self._path(state[name], f"{where}/{name}")
        if state.get("ResultPath") is not None:
            self._path(state["ResultPath"], f"{where}/ResultPath", reference=True)
        for name in ("Parameters", "ResultSelector", "ItemSelector"):
            if name in state:
                self._template(state[name], f"{where}/{name}")
        for first, second in _ALONE:
            if first in state and second in state:
                self.say(f"Only one of {first} and {second} may be there", where)
        if "Next" in _FIELDS[state["Type"]] and ("Next" in state) == (state.get("End") is True):
            self.say("These fields are required: one of [Next, End]", where)
        self._handlers(state, where)

    def _path(self, path: Json, where: str, reference: bool = False) -> None:
        try:
            parsed = jsonpath.parse(path) if isinstance(path, str) else None
        except PathSyntaxError as error:
            self.say(f"Value is not a valid JSONPath: {error}", where)
            return
        if parsed is None or (reference and not parsed.reference):
            self.say(f"Value is not a {'Reference Path' if reference else 'JSONPath'}", where)

    def _template(self, template: Json, where: str) -> None:
        if isinstance(template, list):
            for item in template:
                self._template(item, where)
        if not isinstance(template, dict):
            return
        for name, value in template.items():
            if not name.endswith(".$"):
                self._template(value, f"{where}/{name}")
            elif not _is_expression(value):
                message = (
                    f"The value for the field '{name}' must be a valid JSONPath or a valid intrinsic function call"
                )
                self.say(message, where)

    def _handlers(self, state: dict[str, Any], where: str) -> None:
        for field in ("Retry", "Catch"):
            handlers = state.get(field, [])
            if not isinstance(handlers, list) or not all(isinstance(handler, dict) for handler in handlers):
                self.say("Expected value of type Array", f"{where}/{field}")
                continue
            for place, handler in enumerate(handlers):
                here = f"{where}/{field}[{place}]"
                self._errors(handler.get("ErrorEquals"), place == len(handlers) - 1, here)
                (self._retrier if field == "Retry" else self._catcher)(handler, here)

    def _errors(self, names: Json, last: bool, where: str) -> None:
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            self.say("ErrorEquals must be a non-empty array of strings", f"{where}/ErrorEquals")
        elif "States.ALL" in names and (len(names) > 1 or not last):
            self.say("States.ALL must appear alone and in the last handler", f"{where}/ErrorEquals")

    def _retrier(self, handler: dict[str, Any], where: str) -> None:
        allowed = {"ErrorEquals", "IntervalSeconds", "MaxAttempts", "BackoffRate", "MaxDelaySeconds", "JitterStrategy"}
        self._fields(handler, allowed | {"Comment"}, where)
        self._whole_number(handler, "IntervalSeconds", where, 1)
        self._whole_number(handler, "MaxAttempts", where, 0)
        self._whole_number(handler, "MaxDelaySeconds", where, 1)
        rate = handler.get("BackoffRate", 2.0)
        if isinstance(rate, bool) or not isinstance(rate, int | float) or rate < 1:
            self.say("BackoffRate must be a number of at least 1.0", f"{where}/BackoffRate")
        if handler.get("JitterStrategy", "NONE") not in ("FULL", "NONE"):
            self.say("JitterStrategy must be FULL or NONE", f"{where}/JitterStrategy")

    def _catcher(self, handler: dict[str, Any], where: str) -> None:
        self._fields(handler, {"ErrorEquals", "Next", "ResultPath", "Comment"}, where)
        if handler.get("ResultPath") is not None:
            self._path(handler["ResultPath"], f"{where}/ResultPath", reference=True)
        if "Next" not in handler:
            self.say("These fields are required: [Next]", where)

    def _whole_number(self, given: dict[str, Any], name: str, where: str, least: int) -> None:
        value = given.get(name, least)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 99_999_999:
            self.say(f"{name} must be an integer from {least} to 99999999", f"{where}/{name}")

    def _task(self, state: dict[str, Any], where: str) -> None:
        self._whole_number(state, "TimeoutSeconds", where, 1)
        self._whole_number(state, "HeartbeatSeconds", where, 1)
        timeout, heartbeat = state.get("TimeoutSeconds"), state.get("HeartbeatSeconds")
        if isinstance(timeout, int) and isinstance(heartbeat, int) and heartbeat >= timeout:
            self.say("HeartbeatSeconds must be smaller than TimeoutSeconds", f"{where}/HeartbeatSeconds")
        try:
            resource = resources.parse_resource(str(state.get("Resource")))
        except resources.ResourceError as error:
            self.say(str(error), f"{where}/Resource")
            return
        shape, parameters = resource.model.input_shape, state.get("Parameters")
        if resource.kind == "function" or not isinstance(shape, StructureShape) or not isinstance(parameters, dict):
            return
        for name in resources.unknown_fields(parameters, shape):
            self.say(f'The field "{name}" is not supported by Step Functions', f"{where}/Parameters")
        for name in resources.missing_fields(parameters, shape):
            self.say(f'The field "{name}" is required but was missing', f"{where}/Parameters")

    def _choice(self, state: dict[str, Any], where: str) -> None:
        rules = state.get("Choices")
        if not isinstance(rules, list) or not rules:
            self.say("Choices must be a non-empty array", f"{where}/Choices")
            return
        for place, rule in enumerate(rules):
            here = f"{where}/Choices[{place}]"
            self._rule(rule, here, top=True)
            if isinstance(rule, dict) and "Next" not in rule:
                self.say("These fields are required: [Next]", here)

    def _rule(self, rule: Json, where: str, top: bool = False) -> None:
        if not isinstance(rule, dict):
            self.say("Expected value of type Object", where)
            return
        used = rule.keys() & (choice.OPERATORS | {"And", "Or", "Not"})
        self._fields(rule, used | {"Comment"} | ({"Next"} if top else set()) | ({"Variable"} if used else set()), where)
        if len(used) != 1:
            self.say("A rule has exactly one operator", where)
            return
        self._operand(next(iter(used)), rule, where)

    def _operand(self, operator: str, rule: dict[str, Any], where: str) -> None:
        operand = rule[operator]
        if operator == "Not":
            self._rule(operand, f"{where}/Not")
        elif operator in ("And", "Or"):
            if not isinstance(operand, list) or not operand:
                self.say("Expected a non-empty array", f"{where}/{operator}")
                return
            for place, part in enumerate(operand):
                self._rule(part, f"{where}/{operator}[{place}]")
        else:
            self._path(rule.get("Variable"), f"{where}/Variable")
            if not choice.is_operand(operator, operand):
                self.say(f"Value is of the wrong type for {operator}", f"{where}/{operator}")
            elif operator.endswith("Path"):
                self._path(operand, f"{where}/{operator}")

    def _wait(self, state: dict[str, Any], where: str) -> None:
        given = state.keys() & {"Seconds", "SecondsPath", "Timestamp", "TimestampPath"}
        if len(given) != 1:
            self.say("A Wait has exactly one of Seconds, SecondsPath, Timestamp and TimestampPath", where)
        self._whole_number(state, "Seconds", where, 0)
        if "Timestamp" in state and choice.timestamp(state["Timestamp"]) is None:
            self.say("Timestamp must be an RFC 3339 time with an offset", f"{where}/Timestamp")

    def _fail(self, state: dict[str, Any], where: str) -> None:
        for name in ("ErrorPath", "CausePath"):
            if name in state and not _is_expression(state[name]):
                self.say(f"Value {_EXPRESSION}", f"{where}/{name}")
        for name in ("Error", "Cause"):
            if not isinstance(state.get(name, ""), str):
                self.say("Expected value of type String", f"{where}/{name}")

    def _parallel(self, state: dict[str, Any], where: str) -> None:
        branches = state.get("Branches")
        if not isinstance(branches, list) or not branches:
            self.say("Branches must be a non-empty array", f"{where}/Branches")
            return
        for place, branch in enumerate(branches):
            self.states(branch, f"{where}/Branches[{place}]", _BRANCH - {"ProcessorConfig"})

    def _map(self, state: dict[str, Any], where: str) -> None:
        self._whole_number(state, "MaxConcurrency", where, 0)
        given = [name for name in ("ItemProcessor", "Iterator") if name in state]
        if len(given) != 1:
            self.say("These fields are required: one of [ItemProcessor, Iterator]", where)
            return
        processor = state[given[0]]
        self.states(processor, f"{where}/{given[0]}", _BRANCH)
        config = processor.get("ProcessorConfig", {}) if isinstance(processor, dict) else {}
        if not isinstance(config, dict) or config.get("Mode", "INLINE") not in ("INLINE", "DISTRIBUTED"):
            self.say("Mode must be INLINE or DISTRIBUTED", f"{where}/{given[0]}/ProcessorConfig")

    def _transitions(self, machine: dict[str, Any], where: str) -> None:
        states = machine["States"]
        targets = [(str(machine["StartAt"]), f"{where}/StartAt")]
        for name, state in states.items():
            targets += _targets(state, f"{where}/States/{name}") if isinstance(state, dict) else []
        for target, place in targets:
            if target not in states:
                self.say(f"Missing 'Next' target: {target}", place, "MISSING_TRANSITION_TARGET")
        for name in states.keys() - _reachable(machine):
            message = f'State "{name}" is not reachable.'
            self.say(message, f"{where}/States/{name}", "MISSING_TRANSITION_TARGET")


def _is_expression(value: Json) -> bool:
    try:
        return isinstance(value, str) and intrinsics.parse(value) is not None
    except PathSyntaxError:
        return False


def _targets(state: dict[str, Any], where: str) -> list[tuple[str, str]]:
    return [(str(target), place) for target, place in _leads(state, where) if target is not None]


def _leads(state: dict[str, Any], where: str) -> Iterator[tuple[Json, str]]:
    yield state.get("Next"), f"{where}/Next"
    yield state.get("Default"), f"{where}/Default"
    for field in ("Choices", "Catch"):
        handlers = state.get(field)
        for place, handler in enumerate(handlers if isinstance(handlers, list) else []):
            if isinstance(handler, dict):
                yield handler.get("Next"), f"{where}/{field}[{place}]/Next"


def _reachable(machine: dict[str, Any]) -> set[str]:
    seen: set[str] = set()
    due = [str(machine["StartAt"])]
    while due:
        name = due.pop()
        if name not in seen and isinstance(state := machine["States"].get(name), dict):
            seen.add(name)
            due += [target for target, _ in _targets(state, "")]
    return seen

"""Runs the states of the Amazon States Language (JSONPath)."""

import random
from collections.abc import Callable
from typing import Any

from local import clock
from local.clients import Clients
from local.stepfunctions import choice, history, intrinsics, jsonpath, payload
from local.stepfunctions.attempt import Attempt
from local.stepfunctions.jsonpath import Json, PathError
from local.stepfunctions.line import MAX_LINES, FanOut, Line, MachineDeletedError, Work
from local.stepfunctions.payload import StateFailure, dump
from local.stepfunctions.tokens import Tokens

MAX_WAIT = 2_147_483_647  # seconds of a Wait, 24,855 days (recorded)

_UNCAUGHT = "States.Runtime"  # nothing retries or catches it
_TERMINAL = "States.DataLimitExceeded"  # States.ALL and States.TaskFailed do not match it

Outcome = tuple[Json, str | None]  # a state's output, and the state after it


def stamp(seconds: float) -> str:
    """A time as the context object has it."""
    return clock.iso(seconds).replace("Z", f".{int(seconds * 1000) % 1000:03d}Z")


class Interpreter:
    def __init__(self, clients: Clients, tokens: Tokens) -> None:
        self._clients = clients
        self._tokens = tokens
        self._kinds: dict[str, Callable[[Line, dict[str, Any], Json], Outcome]] = {
            "Pass": self._pass,
            "Task": self._task,
            "Choice": self._choice,
            "Wait": self._wait,
            "Succeed": self._succeed,
            "Fail": self._fail,
            "Parallel": self._parallel,
            "Map": self._map,
        }

    def run(self, line: Line, machine: dict[str, Any], document: Json) -> Json:
        """The output of a machine, a branch or an item processor; `StateFailure` if it fails."""
        name: str | None = machine["StartAt"]
        while name is not None:
            document, name = self._state(line, name, machine["States"][name], document)
        return document

    def _state(self, line: Line, name: str, state: dict[str, Any], document: Json) -> Outcome:
        line.scope.check()
        if line.run.doomed:
            raise MachineDeletedError
        line.kind = state["Type"]
        line.context["State"] = {"Name": name, "EnteredTime": stamp(clock.now()), "RetryCount": 0}
        entered = line.record(f"{line.kind}StateEntered", {"name": name, **history.data("input", dump(document))})
        try:
            output, following = self._kinds[state["Type"]](line, state, document)
        except PathError as error:
            where = f"An error occurred while executing the state '{name}' (entered at the event id #{entered})."
            raise StateFailure(_UNCAUGHT, f"{where} {error}") from error
        line.kind = ""
        line.record(f"{state['Type']}StateExited", {"name": name, **history.data("output", _checked(line, output))})
        return output, following

    def _pass(self, line: Line, state: dict[str, Any], document: Json) -> Outcome:
        effective = _effective(line, state, document)
        return _finish(line, state, document, state.get("Result", effective)), state.get("Next")

    def _succeed(self, line: Line, state: dict[str, Any], document: Json) -> Outcome:
        effective = payload.select(state.get("InputPath", "$"), document, line.context)
        return payload.select(state.get("OutputPath", "$"), effective, line.context), None

    def _fail(self, line: Line, state: dict[str, Any], document: Json) -> Outcome:
        raise StateFailure(_reason(line, state, "Error", document), _reason(line, state, "Cause", document))

    def _choice(self, line: Line, state: dict[str, Any], document: Json) -> Outcome:
        effective = payload.select(state.get("InputPath", "$"), document, line.context)
        chosen = (rule["Next"] for rule in state["Choices"] if choice.matches(rule, effective, line.context))
        following = next(chosen, state.get("Default"))
        if following is None:
            raise PathError("Failed to transition out of the state. The state does not point to a next state.")
        return payload.select(state.get("OutputPath", "$"), effective, line.context), following

    def _wait(self, line: Line, state: dict[str, Any], document: Json) -> Outcome:
        effective = payload.select(state.get("InputPath", "$"), document, line.context)
        ends = _wait_ends(line, state, effective)
        if ends - clock.now() > MAX_WAIT:
            raise PathError("Wait state delay is too long.")
        line.scope.until(lambda: False, ends)
        return payload.select(state.get("OutputPath", "$"), effective, line.context), state.get("Next")

    def _task(self, line: Line, state: dict[str, Any], document: Json) -> Outcome:
        def work() -> Json:
            return Attempt(line, state, self._clients, self._tokens).run(document)

        return self._handled(line, state, document, work)

    def _parallel(self, line: Line, state: dict[str, Any], document: Json) -> Outcome:
        def branch(machine: dict[str, Any], effective: Json) -> Work:
            return lambda below: self.run(below, machine, effective)

        def work() -> Json:
            effective = _effective(line, state, document)
            line.record("ParallelStateStarted")
            results = FanOut(line, [branch(machine, effective) for machine in state["Branches"]], MAX_LINES).run()
            line.note("ParallelStateSucceeded")
            return results

        return self._handled(line, state, document, work)

    def _map(self, line: Line, state: dict[str, Any], document: Json) -> Outcome:
        return self._handled(line, state, document, lambda: self._items(line, state, document))

    def _items(self, line: Line, state: dict[str, Any], document: Json) -> Json:
        effective = payload.select(state.get("InputPath", "$"), document, line.context)
        path = state.get("ItemsPath", "$")
        items = payload.select(path, effective, line.context)
        if not isinstance(items, list):
            raise PathError(f'Reference path "{path}" must point to array.')
        width = _concurrency(line, state, effective)
        distributed = _distributed(state)
        line.record("MapStateStarted", {"length": len(items)})
        works = [self._item(line, state, effective, index, item) for index, item in enumerate(items)]
        results = _run_map(line, works, width) if distributed else FanOut(line, works, width).run()
        line.note("MapStateSucceeded")
        return results

    def _item(self, parent: Line, state: dict[str, Any], effective: Json, index: int, item: Json) -> Work:
        selector = state.get("ItemSelector", state.get("Parameters"))
        details = {"name": parent.context["State"]["Name"], "index": index}
        machine = state.get("ItemProcessor") or state["Iterator"]

        def work(line: Line) -> Json:
            line.silent = line.silent or _distributed(state)
            line.context["Map"] = {"Item": {"Index": index, "Value": item}}
            given = item if selector is None else payload.build(selector, effective, line.context)
            line.map_item = details
            line.record("MapIterationStarted", details)
            try:
                result = self.run(line, machine, given)
            except StateFailure:
                line.note("MapIterationFailed", details)
                raise
            line.record("MapIterationSucceeded", details)
            return result

        return work

    def _handled(self, line: Line, state: dict[str, Any], document: Json, work: Callable[[], Json]) -> Outcome:
        """Do a state's work under its Retry and Catch."""
        retried: dict[int, int] = {}
        while True:
            try:
                output = _finish(line, state, document, work())
                _checked(line, output)
                return output, state.get("Next")
            except StateFailure as failure:
                delay = _delay(state, failure, retried)
                if delay is None:
                    return _caught(line, state, document, failure)
            line.scope.sleep(delay)
            line.context["State"]["RetryCount"] += 1


def _effective(line: Line, state: dict[str, Any], document: Json) -> Json:
    """The input after InputPath and Parameters."""
    chosen = payload.select(state.get("InputPath", "$"), document, line.context)
    return payload.build(state["Parameters"], chosen, line.context) if "Parameters" in state else chosen


def _finish(line: Line, state: dict[str, Any], document: Json, result: Json) -> Json:
    """The output: ResultSelector, ResultPath, OutputPath."""
    if "ResultSelector" in state:
        result = payload.build(state["ResultSelector"], result, line.context)
    return payload.select(state.get("OutputPath", "$"), payload.merge(state, document, result), line.context)


def _checked(line: Line, output: Json) -> str:
    text = dump(output)
    payload.check_size(text, f"The state/task '{line.context['State']['Name']}' returned a result")
    return text


def _reason(line: Line, state: dict[str, Any], name: str, document: Json) -> str | None:
    if f"{name}Path" not in state:
        return state.get(name)
    value = intrinsics.evaluate(intrinsics.parse(state[f"{name}Path"]), document, line.context)
    if not isinstance(value, str):
        raise PathError(f"The {name}Path does not reference a string: {state[f'{name}Path']} == {dump(value)}")
    return value


def _wait_ends(line: Line, state: dict[str, Any], effective: Json) -> float:
    if "Seconds" in state:
        return clock.now() + float(state["Seconds"])
    name = next(field for field in ("Timestamp", "TimestampPath", "SecondsPath") if field in state)
    value = state[name]
    if name.endswith("Path"):
        value = jsonpath.read(jsonpath.parse(state[name]), effective, line.context)
    return _seconds(state[name], value) if name == "SecondsPath" else _moment(state[name], value)


def _seconds(path: str, value: Json) -> float:
    if isinstance(value, bool) or not isinstance(value, int):
        raise PathError(
            f"The SecondsPath parameter cannot be parsed as a long value: {path} == {intrinsics.shown(value)}"
        )
    if value < 0:
        raise PathError(f"The SecondsPath parameter references a negative value: {path} == {value}")
    return clock.now() + value


def _moment(path: str, value: Json) -> float:
    moment = choice.timestamp(value)
    if moment is None:
        wanted = "a valid ISO-8601 extended offset date-time format string"
        shown = intrinsics.shown(value)
        raise PathError(f"The TimestampPath parameter does not reference {wanted}: {path} == {shown}")
    return moment


def _concurrency(line: Line, state: dict[str, Any], effective: Json) -> int:
    """How many items run at once; 0 means as many as the service likes."""
    value = state.get("MaxConcurrency", 0)
    if path := state.get("MaxConcurrencyPath"):
        value = jsonpath.read(jsonpath.parse(path), effective, line.context)
        if isinstance(value, bool) or not isinstance(value, int):
            shown = intrinsics.shown(value)
            raise PathError(
                f'The MaxConcurrencyPath field refers to value "{shown}" which is not a valid integer: {path}'
            )
    return min(value, MAX_LINES) if value > 0 else MAX_LINES


def _distributed(state: dict[str, Any]) -> bool:
    machine = state.get("ItemProcessor") or state["Iterator"]
    return bool(machine.get("ProcessorConfig", {}).get("Mode") == "DISTRIBUTED")


def _run_map(line: Line, works: list[Work], width: int) -> list[Json]:
    """A distributed Map tolerates no failed item and does not tell which error it had."""
    started = line.record("MapRunStarted", {"mapRunArn": _map_run(line)})
    try:
        results = FanOut(line, works, width).run()
    except StateFailure as failure:
        line.last = started
        threshold = "The specified tolerated failure threshold was exceeded"
        raise StateFailure("States.ExceedToleratedFailureThreshold", threshold) from failure
    line.last = started
    line.record("MapRunSucceeded")
    return results


def _map_run(line: Line) -> str:
    machine = line.run.machine_arn.replace(":stateMachine:", ":mapRun:")
    return f"{machine}/{line.context['State']['Name']}:{intrinsics.FUNCTIONS['States.UUID'][0]()}"


def _delay(state: dict[str, Any], failure: StateFailure, retried: dict[int, int]) -> float | None:
    """Seconds to the next attempt, None where no retrier has one left. Each retrier counts for itself."""
    for place, retrier in enumerate(state.get("Retry", [])):
        if matched(retrier, failure):
            done = retried.get(place, 0)
            if done >= retrier.get("MaxAttempts", 3):
                return None
            retried[place] = done + 1
            return backoff(retrier, done)
    return None


def backoff(retrier: dict[str, Any], done: int) -> float:
    delay = float(retrier.get("IntervalSeconds", 1)) * float(retrier.get("BackoffRate", 2.0)) ** min(done, 64)
    delay = min(delay, float(retrier.get("MaxDelaySeconds", delay)))
    return random.uniform(0, delay) if retrier.get("JitterStrategy") == "FULL" else delay


def matched(handler: dict[str, Any], failure: StateFailure) -> bool:
    """Whether a Retry or Catch is for this failure (Step Functions, "Handling errors")."""
    if failure.error == _UNCAUGHT:
        return False
    names = set(handler["ErrorEquals"])
    if failure.error in names or failure.also in names:
        return True
    if failure.error == _TERMINAL:
        return False
    return "States.ALL" in names or ("States.TaskFailed" in names and failure.error != "States.Timeout")


def _caught(line: Line, state: dict[str, Any], document: Json, failure: StateFailure) -> Outcome:
    if state["Type"] != "Task":
        if state["Type"] == "Map" and _distributed(state):
            line.record("MapRunFailed", failure.details())
        line.record(f"{state['Type']}StateFailed")
    for catcher in state.get("Catch", []):
        if matched(catcher, failure):
            return payload.merge(catcher, document, failure.output()), catcher["Next"]
    raise failure

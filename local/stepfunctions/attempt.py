"""One attempt of a Task: its call, its timeouts, and what it waits for after the call."""

import json
from collections.abc import Callable
from functools import partial
from threading import Event
from typing import Any

from local import clock
from local.clients import Clients
from local.stepfunctions import history, jsonpath, payload, resources, tasks
from local.stepfunctions.jsonpath import Json, PathError
from local.stepfunctions.line import Line
from local.stepfunctions.payload import StateFailure, dump
from local.stepfunctions.resources import Resource
from local.stepfunctions.scope import Cancelled, DeadlinePassed, background
from local.stepfunctions.tokens import Callback, Tokens

_FIRST_LOOK, _LAST_LOOK = 0.1, 5.0  # seconds between two looks at a `.sync` execution, growing
_CHILD_FIELDS = (
    "ExecutionArn",
    "StateMachineArn",
    "Name",
    "Status",
    "StartDate",
    "StopDate",
    "Input",
    "InputDetails",
    "Output",
    "OutputDetails",
    "Error",
    "Cause",
)
_DESCRIBE = "arn:aws:states:::aws-sdk:sfn:describeExecution"
_STOP = "arn:aws:states:::aws-sdk:sfn:stopExecution"


class Attempt:
    def __init__(self, line: Line, state: dict[str, Any], clients: Clients, tokens: Tokens) -> None:
        self._line = line
        self._state = state
        self._clients = clients
        self._tokens = tokens
        self._resource = resources.parse_resource(state["Resource"])
        self._timeout: int | None = None
        self._heartbeat: int | None = None
        self._started = clock.now()

    def run(self, document: Json) -> Json:
        """The task's result for the state's raw input."""
        if self._resource.pattern != resources.TOKEN:
            return self._recorded(document, None)
        callback = self._tokens.issue(self._line.run.arn, self._line.scope.wake)
        self._line.context["Task"] = {"Token": callback.token}
        try:
            return self._recorded(document, callback)
        finally:
            self._tokens.close(callback)
            del self._line.context["Task"]

    def _recorded(self, document: Json, callback: Callback | None) -> Json:
        parameters = self._prepare(document)
        self._schedule(parameters)
        try:
            result = self._result(parameters, callback)
            text = dump(result)
            named = self._resource.arn if self._resource.kind == "function" else self._resource.resource_type
            payload.check_size(text, f"The state/task '{named}' returned a result")
        except StateFailure as failure:
            self._failed(failure)
            raise
        self._event("Succeeded", history.data("output", text))
        return result

    def _prepare(self, document: Json) -> Json:
        effective = payload.select(self._state.get("InputPath", "$"), document, self._line.context)
        self._timeout = self._limit("TimeoutSeconds", effective)
        self._heartbeat = self._limit("HeartbeatSeconds", effective)
        if "Parameters" not in self._state:
            return effective
        return payload.build(self._state["Parameters"], effective, self._line.context)

    def _limit(self, name: str, effective: Json) -> int | None:
        path = self._state.get(f"{name}Path")
        if path is None:
            return self._state.get(name)
        value = jsonpath.read(jsonpath.parse(path), effective, self._line.context)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise PathError(f"The {name}Path parameter does not reference a positive integer: {path} == {dump(value)}")
        return value

    def _result(self, parameters: Json, callback: Callback | None) -> Json:
        self._event("Started", {})
        result = self._call(self._resource, parameters)
        if not self._resource.pattern:
            return result
        self._event("Submitted", history.data("output", dump(result)))
        return self._answer(callback) if callback else self._child(result["ExecutionArn"])

    def _call(self, resource: Resource, parameters: Json) -> Json:
        scope, role_arn = self._line.scope, self._line.run.role_arn
        future = background(lambda: tasks.invoke(self._clients, role_arn, resource, parameters), scope.wake)
        limits = [limit for limit in (self._timeout, self._heartbeat) if limit is not None]
        self._wait(future.done, self._started + min(limits) if limits else None)
        return future.result()

    def _wait(self, done: Callable[[], bool], ends: float | None) -> None:
        if self._line.scope.until(done, ends):
            return
        over = self._timeout is not None and clock.now() >= self._started + self._timeout
        raise StateFailure("States.Timeout", also=None if over else "States.HeartbeatTimeout")

    def _answer(self, callback: Callback) -> Json:
        """What SendTaskSuccess brings; every heartbeat gives the task another HeartbeatSeconds."""
        callback.beat = max(callback.beat, self._started)
        try:
            while not callback.settled:
                ends = [self._started + self._timeout] if self._timeout is not None else []
                ends += [callback.beat + self._heartbeat] if self._heartbeat is not None else []
                self._wait(partial(_stirred, callback, callback.beat), min(ends, default=None))
        except StateFailure:
            self._tokens.close(callback)
            if not callback.settled:  # else its answer was accepted in the last moment
                raise
        return callback.result()

    def _child(self, execution: str) -> Json:
        """The end of an execution that `.sync` started; if this task ends before it, it is stopped, as on AWS."""
        try:
            found = self._watch(execution)
        except (Cancelled, DeadlinePassed, StateFailure):
            self._stop(execution)
            raise
        if self._resource.pattern == "sync:2":
            found |= {name: json.loads(found[name]) for name in ("Input", "Output") if name in found}
        if found["Status"] != "SUCCEEDED":
            raise StateFailure("States.TaskFailed", dump(found))
        return found

    def _watch(self, execution: str) -> dict[str, Any]:
        pause = _FIRST_LOOK
        while True:
            found: dict[str, Any] = self._call(resources.parse_resource(_DESCRIBE), {"ExecutionArn": execution})
            if found["Status"] != "RUNNING":
                return {name: found[name] for name in _CHILD_FIELDS if name in found}
            self._line.scope.sleep(pause)
            pause = min(pause * 2, _LAST_LOOK)

    def _stop(self, execution: str) -> None:
        if self._line.run.parked:
            return
        resource, role_arn = resources.parse_resource(_STOP), self._line.run.role_arn
        background(lambda: tasks.invoke(self._clients, role_arn, resource, {"ExecutionArn": execution}), Event())

    def _schedule(self, parameters: Json) -> None:
        limits = {"timeoutInSeconds": self._timeout, "heartbeatInSeconds": self._heartbeat}
        details = {name: limit for name, limit in limits.items() if limit is not None}
        if self._resource.kind == "function":
            details.pop("heartbeatInSeconds", None)
            shown = {"resource": self._resource.arn, **history.data("input", dump(parameters))}
            self._line.record("LambdaFunctionScheduled", details | shown)
            return
        region = {"region": self._clients.region, "parameters": dump(parameters)}
        self._line.record("TaskScheduled", self._named() | region | details)

    def _named(self) -> dict[str, Any]:
        return {"resourceType": self._resource.resource_type, "resource": self._resource.action}

    def _event(self, suffix: str, details: dict[str, Any]) -> None:
        if self._resource.kind == "function":
            self._line.record(f"LambdaFunction{suffix}", details or None)
        else:
            self._line.record(f"Task{suffix}", self._named() | details)

    def _failed(self, failure: StateFailure) -> None:
        self._event("TimedOut" if failure.error == "States.Timeout" else "Failed", failure.details())


def _stirred(callback: Callback, seen: float) -> bool:
    return callback.settled or callback.beat != seen

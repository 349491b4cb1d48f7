"""A line of states: an execution's own, a Parallel's branch or a Map's iteration; and many of them at once."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from local.stepfunctions.history import ExecutionOver, History, HistoryFull
from local.stepfunctions.jsonpath import Json
from local.stepfunctions.scope import Cancelled, Scope

MAX_LINES = 40  # at once, where MaxConcurrency names none

_CAN_BE_ABORTED = ("Task", "Wait", "Map", "Parallel")


class MachineDeletedError(Exception):
    """The state machine is being deleted: its executions end at their next transition."""


@dataclass
class Run:
    """An execution in memory."""

    arn: str
    machine_arn: str
    role_arn: str
    definition: dict[str, Any]
    input: Json
    history: History
    scope: Scope
    context: dict[str, Json]
    doomed: bool = False  # its state machine is being deleted
    parked: bool = False  # the laptop stops; the execution runs again at the next start


@dataclass
class Line:
    run: Run
    scope: Scope
    context: dict[str, Json]
    last: int = 0  # id of the event that comes before the next one
    silent: bool = False  # a distributed Map's item: on AWS its events are in another history
    kind: str = ""  # of the state it is in
    map_item: dict[str, Any] | None = field(default=None)  # the details of its MapIteration events

    def record(self, kind: str, details: dict[str, Any] | None = None) -> int:
        self.last = self.note(kind, details)
        return self.last

    def note(self, kind: str, details: dict[str, Any] | None = None) -> int:
        """Write an event that the next one does not follow upon (AWS links those past it, recorded)."""
        return self.last if self.silent else self.run.history.add(kind, self.last, details)

    def aborted(self) -> None:
        if self.kind in _CAN_BE_ABORTED:
            self.note(f"{self.kind}StateAborted")
        if self.map_item:
            self.note("MapIterationAborted", self.map_item)


Work = Callable[[Line], Json]


class FanOut:
    """Runs several lines at once, at most `width`; the first that fails ends the others."""

    def __init__(self, parent: Line, works: Sequence[Work], width: int) -> None:
        self._parent = parent
        self._works = works
        self._width = min(width, len(works))
        self._results: list[Json] = [None] * len(works)
        self._lock = threading.Lock()
        self._next = 0
        self._working = self._width
        self._last = parent.last
        self._failure: Exception | None = None
        self._scopes = [parent.scope.child() for _ in range(self._width)]

    def run(self) -> list[Json]:
        threads = [threading.Thread(target=self._worker, args=(scope,), daemon=True) for scope in self._scopes]
        for thread in threads:
            thread.start()
        try:
            self._parent.scope.until(lambda: self._failure is not None or not self._working)
        finally:
            self._end(threads)
        self._parent.last = self._last
        if self._failure:
            raise self._failure
        return self._results

    def _end(self, threads: list[threading.Thread]) -> None:
        for scope in self._scopes:
            scope.cancel()
            self._parent.scope.drop(scope)
        for thread in threads:  # they wait on nothing but their scopes
            thread.join()

    def _worker(self, scope: Scope) -> None:
        try:
            while self._failure is None and (index := self._take()) is not None:
                self._one(index, scope)
        finally:
            with self._lock:
                self._working -= 1
            self._parent.scope.wake.set()

    def _take(self) -> int | None:
        with self._lock:
            self._next += 1
            return self._next - 1 if self._next <= len(self._works) else None

    def _one(self, index: int, scope: Scope) -> None:
        parent = self._parent
        line = Line(parent.run, scope, dict(parent.context), parent.last, parent.silent)
        try:
            self._results[index] = self._works[index](line)
            self._last = line.last
        except Cancelled:
            self._abort(line)
        except ExecutionOver:
            return
        except Exception as error:  # raised again in the parent's thread
            self._fail(error, line)

    def _abort(self, line: Line) -> None:
        try:
            line.aborted()
        except (ExecutionOver, HistoryFull):
            return

    def _fail(self, error: Exception, line: Line) -> None:
        with self._lock:
            if self._failure is None:
                self._failure, self._last = error, line.last

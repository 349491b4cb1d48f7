"""The execution environments of one function: warm ones are used again, more are made under concurrent calls."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from local.functions.sandbox import Place, Sandbox
from local.functions.spec import FunctionSpec
from local.wire import AwsError

_DEFAULT_CONCURRENCY = 4


class Pool:
    """At most as many as the reserved concurrency, or 4. Who finds none waits in turn."""

    def __init__(self, spec: FunctionSpec, place: Place) -> None:
        self.spec, self.place = spec, place
        self._changed = threading.Condition()
        self._idle: list[Sandbox] = []
        self._busy: set[Sandbox] = set()
        self._waiting: deque[object] = deque()
        self._closed = False

    @property
    def limit(self) -> int:
        return _DEFAULT_CONCURRENCY if self.spec.concurrency is None else self.spec.concurrency

    def update(self, spec: FunctionSpec, place: Place) -> None:
        """From the next call on; calls in progress end with what they began with."""
        with self._changed:
            if (spec, place) == (self.spec, self.place):
                return
            self.spec, self.place = spec, place
            outdated, self._idle = self._idle, []
            self._changed.notify_all()
        _end(outdated)

    @contextmanager
    def sandbox(self) -> Iterator[Sandbox]:
        """One for one invocation."""
        sandbox = self._take()
        try:
            yield sandbox
        finally:
            self._give_back(sandbox)

    def trim(self, before: float) -> None:
        """End all but one of those that were idle since `before`."""
        with self._changed:
            old = [sandbox for sandbox in self._idle if sandbox.last_used < before]
            if len(old) == len(self._idle) and not self._busy:
                old = old[:-1]
            self._idle = [sandbox for sandbox in self._idle if sandbox not in old]
            self._changed.notify_all()
        _end(old)

    def close(self) -> None:
        """End all of them, busy or not; who waits is refused."""
        with self._changed:
            self._closed = True
            ending, self._idle = [*self._idle, *self._busy], []
            self._changed.notify_all()
        _end(ending)

    def _take(self) -> Sandbox:
        if self.limit == 0:
            reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
            raise AwsError("TooManyRequestsException", "Rate Exceeded.", 429, Reason=reason)
        turn = object()
        with self._changed:
            self._waiting.append(turn)
            self._changed.wait_for(lambda: self._closed or (self._waiting[0] is turn and self._has_room()))
            self._waiting.remove(turn)
            self._changed.notify_all()
            if self._closed:
                raise stopping()
            sandbox, dead = self._pick()
            self._busy.add(sandbox)
        _end(dead)
        return sandbox

    def _has_room(self) -> bool:
        return bool(self._idle) or len(self._busy) < self.limit

    def _pick(self) -> tuple[Sandbox, list[Sandbox]]:
        """The one used last that still runs, or a new one; and those found dead."""
        dead: list[Sandbox] = []
        while self._idle:
            sandbox = self._idle.pop()
            if sandbox.alive():
                return sandbox, dead
            dead.append(sandbox)
        return Sandbox(self.spec, self.place), dead

    def _give_back(self, sandbox: Sandbox) -> None:
        with self._changed:
            self._busy.discard(sandbox)
            current = (sandbox.spec, sandbox.place) == (self.spec, self.place)
            usable = current and not (sandbox.ended or self._closed)
            if usable:
                self._idle.append(sandbox)
            self._changed.notify_all()
        if not usable:
            sandbox.end()


def stopping() -> AwsError:
    return AwsError("ServiceException", "The laptop is stopping", 500)


def _end(sandboxes: list[Sandbox]) -> None:
    for sandbox in sandboxes:
        sandbox.end()

"""What runs can be cut short: a tree of scopes, each with the one event its thread waits on."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from local import clock

_LONGEST_WAIT = 3600.0  # seconds; then the clock is asked again

T = TypeVar("T")


class Cancelled(Exception):
    """This line of states is to end: its execution was stopped or a sibling branch failed."""


class DeadlinePassed(Exception):
    """The state machine's TimeoutSeconds is over."""


class Scope:
    """One thread's place in an execution. Whoever changes what it waits for sets `wake`."""

    def __init__(self, deadline: float | None = None) -> None:
        self.wake = threading.Event()
        self._deadline = deadline
        self._cancelled = False
        self._children: set[Scope] = set()
        self._lock = threading.Lock()

    def child(self) -> "Scope":
        scope = Scope()
        with self._lock:
            self._children.add(scope)
            if self._cancelled:
                scope.cancel()
        return scope

    def drop(self, child: "Scope") -> None:
        with self._lock:
            self._children.discard(child)

    def cancel(self) -> None:
        """End what runs here and below."""
        with self._lock:
            self._cancelled = True
            children = list(self._children)
        self.wake.set()
        for child in children:
            child.cancel()

    def check(self) -> None:
        if self._cancelled:
            raise Cancelled
        if self._deadline is not None and clock.now() >= self._deadline:
            raise DeadlinePassed

    def until(self, done: Callable[[], bool], ends: float | None = None) -> bool:
        """Wait until `done()` holds, or until the time `ends`: then False."""
        while True:
            self.wake.clear()  # before the look: what changes after it wakes us again
            self.check()
            if done():
                return True
            now = clock.now()
            if ends is not None and now >= ends:
                return False
            due = [time for time in (ends, self._deadline, now + _LONGEST_WAIT) if time is not None]
            clock.wait(min(due) - now, self.wake)

    def sleep(self, seconds: float) -> None:
        self.until(lambda: False, clock.now() + seconds)


def background(work: Callable[[], T], wake: threading.Event) -> "Future[T]":
    """Do blocking work on a thread of its own, so that the caller can give up waiting for it."""
    future: Future[T] = Future()
    future.add_done_callback(lambda _: wake.set())
    threading.Thread(target=_settle, args=(future, work), name="states-call", daemon=True).start()
    return future


def _settle(future: "Future[T]", work: Callable[[], T]) -> None:
    try:
        result = work()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)

"""The invocations in progress: who makes a call, and which of them are to die in the middle."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from local import clock
from local.faults.rules import Crash


@dataclass
class Invocation:
    """`end` kills its process. Nothing kills it once it is over: the next invocation may use the same process."""

    function: str
    end: Callable[[], None]
    calls_left: int | None = None
    over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def called(self) -> bool:
        """Count a call that is done; True when it was the one after which the process dies, which it has then."""
        with self._lock:
            if self.calls_left is None:
                return False
            self.calls_left -= 1
            if self.calls_left > 0:
                return False
        self.kill()
        return True

    def kill(self) -> None:
        with self._lock:
            if not self.over.is_set():
                self.end()

    def finish(self) -> None:
        with self._lock:
            self.over.set()

    def kill_after(self, seconds: float) -> None:
        if not clock.wait(seconds, self.over):
            self.kill()


class Invocations:
    """By the session token that the process of an invocation signs with."""

    def __init__(self) -> None:
        self._running: dict[str, Invocation] = {}

    def of(self, token: str) -> Invocation | None:
        return self._running.get(token)

    @contextmanager
    def running(self, token: str, invocation: Invocation, crash: Crash | None) -> Iterator[None]:
        if crash:
            invocation.calls_left = crash.after_calls
        self._running[token] = invocation
        if crash and crash.after_seconds is not None:
            doom = threading.Thread(target=invocation.kill_after, args=(crash.after_seconds,), daemon=True)
            doom.start()
        try:
            yield
        finally:
            invocation.finish()
            del self._running[token]

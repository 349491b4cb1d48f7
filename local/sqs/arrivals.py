"""Those who wait for messages, and how they are woken."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from local import clock

_LOOK_UP_SECONDS = 0.25
"""How often a sleeper looks whether it was told to stop, in seconds of the host."""


class Arrivals:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, set[threading.Event]] = {}

    @contextmanager
    def of(self, queue: str) -> Iterator[threading.Event]:
        """An event that is set whenever something may have become visible in the queue."""
        event = threading.Event()
        with self._lock:
            self._waiting.setdefault(queue, set()).add(event)
        try:
            yield event
        finally:
            with self._lock:
                others = self._waiting[queue]
                others.discard(event)
                if not others:
                    del self._waiting[queue]

    def announce(self, queue: str) -> None:
        with self._lock:
            for event in self._waiting.get(queue, ()):
                event.set()


def sleep_until(time: float, arrived: threading.Event, *stops: threading.Event) -> None:
    """Until then, or an arrival, or a stop (noticed a little later)."""
    while (left := time - clock.now()) > 0 and not any(stop.is_set() for stop in stops):
        if clock.wait(min(left, _LOOK_UP_SECONDS * clock.scale()), arrived):
            return

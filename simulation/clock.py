"""Discrete events: processes are generators that yield what they wait for, seconds or a signal."""

import heapq
from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

Process = Generator["float | Signal", Any, None]


class Clock:
    """`now` in seconds from the beginning; what is due at the same moment happens in the order it was asked."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Callable[..., object], Any]] = []
        self._count = 0

    def start(self, process: Process) -> None:
        self.resume(process, None)

    def later(self, seconds: float, call: Callable[[Any], object], value: Any) -> None:
        self._count += 1
        heapq.heappush(self._due, (self.now + seconds, self._count, call, value))

    def resume(self, process: Process, value: Any) -> None:
        """Run a process until it has to wait."""
        try:
            awaited = process.send(value)
        except StopIteration:
            return
        if isinstance(awaited, Signal):
            awaited.waiters.append(process)
            awaited.deliver()
        else:
            self.later(awaited, partial(self.resume, process), None)

    def run(self) -> None:
        """Until nothing is due any more."""
        due = self._due
        while due:
            self.now, _, call, value = heapq.heappop(due)
            call(value)


class Signal:
    """Told once, with a value; who waits for it goes on then, who comes later at once."""

    __slots__ = ("_clock", "is_told", "value", "waiters")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.is_told = False
        self.value: Any = None
        self.waiters: list[Process] = []

    def tell(self, value: Any) -> bool:
        """False when it was told before."""
        if self.is_told:
            return False
        self.is_told, self.value = True, value
        self.deliver()
        return True

    def deliver(self) -> None:
        if self.is_told:
            for process in self.waiters:
                self._clock.later(0, partial(self._clock.resume, process), self.value)
            self.waiters.clear()


class Waited:
    """How often something had to be waited for, and for how long in all (seconds)."""

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        if seconds > 0:
            self.count += 1
            self.seconds += seconds


class Rate:
    """So many a second; who comes too early waits its turn."""

    def __init__(self, clock: Clock, per_second: float) -> None:
        self._clock, self._per_second = clock, per_second
        self._free = 0.0
        self.waited = Waited()

    def turn(self, count: int = 1) -> float:
        """Seconds until so many may pass; a second's worth may pass at once after a pause."""
        seconds = max(0.0, self._free - self._clock.now)
        self._free = max(self._free, self._clock.now - 1) + count / self._per_second
        self.waited.add(seconds)
        return seconds


class Room:
    """So many at once; the others wait, first come first served."""

    def __init__(self, clock: Clock, most: int) -> None:
        self._clock, self._left = clock, most
        self._queue: deque[tuple[float, Signal]] = deque()
        self.waited = Waited()

    def enter(self) -> Process:
        if self._left:
            self._left -= 1
            return
        place = Signal(self._clock)
        self._queue.append((self._clock.now, place))
        yield place

    def leave(self) -> None:
        if not self._queue:
            self._left += 1
            return
        since, place = self._queue.popleft()
        self.waited.add(self._clock.now - since)
        place.tell(None)

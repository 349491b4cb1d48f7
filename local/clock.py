"""The laptop's one clock: every service asks it for the time and waits on it.

It is the host's own, unless `running` makes it go faster: then every wait shrinks with it.
"""

import argparse
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_FASTEST = 1000
_RESERVED_SECONDS = 60.0  # how far a clock may jump ahead after a kill


@dataclass(frozen=True)
class Pace:
    """At `begun` on the host's monotonic clock, which all its processes share, the time was `origin`."""

    scale: float
    origin: float
    begun: float

    def now(self) -> float:
        return self.origin + (time.monotonic() - self.begun) * self.scale


class _Kept:
    """A file with a time that the clock has not reached yet: with the next start it goes on from there."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._reserved = float(file.read_text()) if file.exists() else 0.0

    @property
    def reserved(self) -> float:
        return self._reserved

    def cover(self, now: float) -> None:
        if now > self._reserved:
            with self._lock:
                if now > self._reserved:
                    self.write(now + _RESERVED_SECONDS)

    def write(self, reserved: float) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(repr(reserved))
        fresh.replace(self._file)
        self._reserved = reserved


_pace: Pace | None = None
_kept: _Kept | None = None


def now() -> float:
    """Seconds since the epoch."""
    going, kept = _pace, _kept
    if going is None or kept is None:
        return time.time()
    kept.cover(time_now := going.now())
    return time_now


def outside() -> float:
    """The time of those who do not live by the laptop's clock, such as a client of its user."""
    return time.time() if _pace else now()


def iso(seconds: float) -> str:
    """A time as AWS events carry it: `2026-11-21T09:30:00Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def wait(seconds: float, stopped: threading.Event) -> bool:
    """Wait that long or until `stopped` is set; True when it was."""
    return stopped.wait(max(0.0, seconds) / scale())


def scale() -> float:
    """How many of its seconds pass in one of the host's."""
    return _pace.scale if _pace else 1.0


def pace() -> Pace | None:
    """What a process needs to live by this clock; None where it is the host's own."""
    return _pace


def read_scale(text: str) -> float:
    """A scale from a command line or the environment, where an empty one is none."""
    try:
        found = float(text or "1")
    except ValueError:
        found = 0.0
    if not 1 <= found <= _FASTEST:
        raise argparse.ArgumentTypeError(f"TIME_SCALE is a number from 1 to {_FASTEST}, not {text}")
    return found


@contextmanager
def running(scale: float, file: Path) -> Iterator[None]:
    """Let the clock go `scale` times as fast, for this process. It never goes back, which is what the file is for.

    One that went fast before is ahead of the host's, and stays so until that has caught up.
    """
    global _pace, _kept
    assert _pace is None, "one clock a process"
    kept = _Kept(file)
    if scale == 1 and kept.reserved <= time.time():
        file.unlink(missing_ok=True)
        yield
        return
    _kept, _pace = kept, Pace(scale, max(time.time(), kept.reserved), time.monotonic())
    now()
    try:
        yield
    finally:
        kept.write(_pace.now())
        _pace = _kept = None

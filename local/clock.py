"""The laptop's one clock: every service asks it for the time and waits on it."""

import threading
import time
from datetime import UTC, datetime


def now() -> float:
    """Seconds since the epoch."""
    return time.time()


def iso(seconds: float) -> str:
    """A time as AWS events carry it: `2026-11-21T09:30:00Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def wait(seconds: float, stopped: threading.Event) -> bool:
    """Wait that long or until `stopped` is set; True when it was."""
    return stopped.wait(max(0.0, seconds))

"""Makes Python's clocks in a function's process go as fast as the laptop's. Standard library only.

What asks the host without Python does not notice: SQLite, TLS, waits for locks, sockets and children. `perf_counter`
is left alone, because it measures work.
"""

import ctypes
import gc
import time
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from typing import Any


def install(scale: float, origin: float, begun: float) -> None:
    """At `begun` on the monotonic clock the time was `origin`, and it goes `scale` times as fast."""
    monotonic, sleep, started = time.monotonic, time.sleep, time.monotonic()

    def now() -> float:
        return origin + (monotonic() - begun) * scale

    def fast() -> float:
        return started + (monotonic() - started) * scale

    time.time, time.time_ns = now, lambda: int(now() * 1e9)
    time.monotonic, time.monotonic_ns = fast, lambda: int(fast() * 1e9)
    time.sleep = lambda seconds, /: sleep(float(seconds) / scale)
    time.gmtime = _defaulting(time.gmtime, now)
    time.localtime = _defaulting(time.localtime, now)
    time.ctime = _defaulting(time.ctime, now)
    time.asctime, time.strftime = _asctime(time.asctime), _strftime(time.strftime)
    _teach_datetime(now)


def _defaulting(original: Callable[..., Any], now: Callable[[], float]) -> Callable[..., Any]:
    return lambda seconds=None, /: original(now() if seconds is None else seconds)


def _asctime(original: Callable[..., str]) -> Callable[..., str]:
    return lambda parts=None, /: original(time.localtime() if parts is None else parts)


def _strftime(original: Callable[..., str]) -> Callable[..., str]:
    return lambda form, parts=None, /: original(form, time.localtime() if parts is None else parts)


def _teach_datetime(now: Callable[[], float]) -> None:
    """Change the class itself: a subclass in its place would not be what orjson, pydantic and others look for."""

    def tell(cls: type[datetime], tz: tzinfo | None = None) -> datetime:
        return cls.fromtimestamp(now(), tz)

    def tell_utc(cls: type[datetime]) -> datetime:
        return cls.fromtimestamp(now(), UTC).replace(tzinfo=None)

    # The proxy that `__dict__` is protects a C type from assignments only; `today` asks `time.time` already.
    (namespace,) = (found for found in gc.get_referents(datetime.__dict__) if isinstance(found, dict))
    namespace.update(now=classmethod(tell), utcnow=classmethod(tell_utc))
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime))

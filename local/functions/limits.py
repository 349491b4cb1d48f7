"""What a function's process uses, and the thread that looks at it while it works."""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import psutil

MB = 1024 * 1024
_LOOK_SECONDS = 0.05  # real ones: processes do not know the laptop's clock
_SLOW_EVERY = 10  # how many looks pass between two listings of the children
_HIGH_WATER = re.compile(r"VmHWM:\s+(\d+) kB")


class Memory:
    """The most memory a process and its children were seen to hold, in bytes."""

    def __init__(self) -> None:
        self.peak = 0
        self._looks = 0
        self._children: list[psutil.Process] = []

    def look(self, pid: int) -> int:
        """The peak so far. A process that is gone adds nothing."""
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if self._looks % _SLOW_EVERY == 0:
                self._children = process.children(recursive=True)
            self._looks += 1
            self.peak = max(self.peak, process.memory_info().rss + sum(map(_resident, self._children)))
        return self.peak

    def settle(self, pid: int) -> int:
        """The peak with what happened between two looks: Linux remembers it, other systems do not."""
        with suppress(OSError):
            found = _HIGH_WATER.search(Path(f"/proc/{pid}/status").read_text())
            self.peak = max(self.peak, int(found[1]) * 1024 if found else 0)
        return self.peak


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0


def disk_usage(folder: Path) -> int:
    """Bytes that the files below a folder take, which may vanish meanwhile."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512  # noqa: PTH118 (hot)
    return total


class Watched(Protocol):
    def look(self) -> None: ...


class Watch:
    """Looks at everything that works, 20 times a second; sleeps when nothing does."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._busy: set[Watched] = set()
        self._stopped = threading.Event()
        threading.Thread(target=self._run, name="function-limits", daemon=True).start()

    @contextmanager
    def over(self, watched: Watched) -> Iterator[None]:
        with self._changed:
            self._busy.add(watched)
            self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._busy.discard(watched)

    def stop(self) -> None:
        self._stopped.set()
        with self._changed:
            self._changed.notify()

    def _run(self) -> None:
        while not self._stopped.wait(_LOOK_SECONDS):
            with self._changed:
                self._changed.wait_for(lambda: self._busy or self._stopped.is_set())
                busy = list(self._busy)
            for watched in busy:
                watched.look()

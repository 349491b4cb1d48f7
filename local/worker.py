"""A Python process beside ours that answers one request at a time and never outlives us."""

import contextlib
import os
import select
import signal
import struct
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

_STOP_SECONDS = 2.0


class WorkerTimeoutError(Exception):
    """The worker did not answer in time; it has been killed."""


class WorkerDiedError(Exception):
    """The worker ended without an answer. `returncode` as `Popen` has it: negative for a signal."""

    def __init__(self, returncode: int) -> None:
        super().__init__(f"the process ended with return code {returncode}")
        self.returncode = returncode


class Worker:
    """A child that runs `local.worker_child.serve`, in a session of its own (Ctrl-C in the terminal is ours alone).

    What it prints, on either stream, is appended to `log`. `env` is its whole environment. `ask` may be called from
    several threads, which then wait for each other; `kill` and `stop` from any thread at any time.
    """

    def __init__(self, argv: list[str], env: Mapping[str, str], log: Path, cwd: Path) -> None:
        self._lock = threading.Lock()  # one request at a time; the pipes are only touched under it
        self._ending = threading.Lock()
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                argv,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
            )
        assert self._process.stdin and self._process.stdout
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        os.set_blocking(self._stdin.fileno(), False)

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, request: bytes, timeout: float | None) -> bytes:
        """The child's answer. `timeout` is in real seconds, because the work is; None waits for ever.

        Raises `WorkerTimeoutError` (the child is then killed) and `WorkerDiedError`; both are final for this worker.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            try:
                if self._stdin.closed:
                    raise EOFError
                self._write(struct.pack(">I", len(request)) + request, deadline)
                (length,) = struct.unpack(">I", self._read(4, deadline))
                return self._read(length, deadline)
            except (EOFError, BrokenPipeError):
                raise WorkerDiedError(self._finish()) from None
            except TimeoutError:
                self._finish()
                raise WorkerTimeoutError(f"no answer within {timeout} seconds") from None

    def kill(self) -> None:
        """End it and what it started, at once; a request in progress raises `WorkerDiedError` in its thread."""
        self._end()
        with self._lock:
            self._finish()

    def stop(self) -> None:
        """End it: at the end of its input if it is idle, killed if it is at work."""
        if self._lock.acquire(blocking=False):
            try:
                self._stdin.close()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_STOP_SECONDS)
            finally:
                self._lock.release()
        self.kill()

    def _write(self, data: bytes, deadline: float | None) -> None:
        rest = memoryview(data)
        while rest:
            _await(self._stdin.fileno(), select.POLLOUT, deadline)
            rest = rest[self._stdin.write(rest[:65536]) or 0 :]

    def _read(self, length: int, deadline: float | None) -> bytes:
        data = bytearray()
        while len(data) < length:
            _await(self._stdout.fileno(), select.POLLIN, deadline)
            piece = os.read(self._stdout.fileno(), min(length - len(data), 1 << 20))
            if not piece:
                raise EOFError
            data += piece
        return bytes(data)

    def _finish(self) -> int:
        self._end()
        self._stdin.close()
        self._stdout.close()
        return self._process.returncode

    def _end(self) -> None:
        """Kill the child's process group and collect it. Before that its id cannot name another group."""
        with self._ending:
            if self._process.returncode is None:
                # Gone already is fine; macOS says EPERM for a group of which only the dead leader is left.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()


def _await(fd: int, event: int, deadline: float | None) -> None:
    poll = select.poll()
    poll.register(fd, event)
    left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
    if not poll.poll(left):
        raise TimeoutError

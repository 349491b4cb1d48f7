"""The child's side of a `local.worker.Worker`. Standard library only: it is also imported by path, outside the package.

A frame is four bytes of length, big-endian, and that many bytes. Requests come on fd 0, answers go out on a private
copy of fd 1; fd 1 itself becomes the log, so that a `print` anywhere cannot break a frame.
"""

import io
import os
import queue
import signal
import struct
import sys
import threading
from collections.abc import Callable
from typing import NoReturn


def serve(answer: Callable[[bytes], bytes]) -> NoReturn:
    """Answer requests one after the other, in this thread, until the parent closes the pipe or is gone."""
    frames_in, frames_out = os.dup(0), os.dup(1)
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 (pathlib would be one more import in a cold start)
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(frames_in, requests), daemon=True).start()
    while True:
        reply = answer(requests.get())
        _write(frames_out, struct.pack(">I", len(reply)) + reply)


def _read(source: int, requests: queue.SimpleQueue[bytes]) -> None:
    """Runs beside the work, so that the end of the parent is the end of the child, even in the middle of a request."""
    while True:
        (length,) = struct.unpack(">I", _take(source, 4))
        requests.put(_take(source, length))


def _take(source: int, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        piece = os.read(source, min(length - len(data), 1 << 20))
        if not piece:
            _end()
        data += piece
    return bytes(data)


def _write(target: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(target, rest) :]
        except BrokenPipeError:  # the parent is gone
            _end()


def _end() -> NoReturn:
    """With whatever the work has started: this process leads a group of its own."""
    try:
        os.killpg(os.getpid(), signal.SIGKILL)
    finally:
        os._exit(0)

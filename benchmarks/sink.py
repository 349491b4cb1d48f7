"""An S3 Vectors that takes everything and keeps nothing, in a process of its own.

`python -m benchmarks.sink [--checked]` prints its port, answers every POST with `{}` and GET with its tally, and ends
when its stdin does. It answers before it looks at what it got, so that the sender does not wait for that.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import BinaryIO, cast

import orjson

FIRST_BUFFER_BYTES = 64 * 1024 * 1024


@dataclass
class Tally:
    """What arrived; `digest` tells the vectors apart (keys, metadata, numbers as float32), if they were checked."""

    calls: int = 0
    vectors: int = 0
    largest_body: int = 0  # bytes
    digest: str = ""


@contextmanager
def running_sink(checked: bool) -> Iterator[str]:
    """A sink until the block ends; its URL."""
    command = [sys.executable, "-m", "benchmarks.sink", *(["--checked"] if checked else [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


def tally_of(url: str) -> Tally:
    """Connections are served one after another, so the sender's must be closed by now."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(url, timeout=60) as answer:
        return Tally(**json.load(answer))


class Sink(HTTPServer):
    """One connection at a time, one buffer for all bodies."""

    def __init__(self, checked: bool) -> None:
        super().__init__(("127.0.0.1", 0), SinkHandler)
        self.tally = Tally()
        self._buffer = bytearray(FIRST_BUFFER_BYTES)
        self._digest = hashlib.sha256() if checked else None

    def read_body(self, stream: BinaryIO, length: int) -> None:
        if length > len(self._buffer):
            self._buffer = bytearray(length)
        with memoryview(self._buffer) as room:
            done = 0
            while done < length and (got := stream.readinto(room[done:length])):  # type: ignore[attr-defined]
                done += got
        if done < length:
            raise EOFError(f"a body ended after {done} of {length} bytes")

    def count_body(self, length: int) -> None:
        """Every vector has one `"float32"`, and nothing else in a request does."""
        self.tally.calls += 1
        self.tally.vectors += self._buffer.count(b'"float32"', 0, length)
        self.tally.largest_body = max(self.tally.largest_body, length)
        if self._digest:
            for vector in orjson.loads(memoryview(self._buffer)[:length])["vectors"]:
                numbers = vector.pop("data")["float32"]
                self._digest.update(orjson.dumps(vector, option=orjson.OPT_SORT_KEYS))
                self._digest.update(array("f", numbers).tobytes())
            self.tally.digest = self._digest.hexdigest()


class SinkHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two small writes

    def do_POST(self) -> None:
        sink, length = cast(Sink, self.server), int(self.headers["Content-Length"])
        sink.read_body(cast(BinaryIO, self.rfile), length)
        self._answer(b"{}")
        sink.count_body(length)

    def do_GET(self) -> None:
        self._answer(orjson.dumps(asdict(cast(Sink, self.server).tally)))

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; ours is the starter's to end
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    with Sink(checked="--checked" in sys.argv) as sink:
        print(sink.server_port, flush=True)
        sink.serve_forever()


def _end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()

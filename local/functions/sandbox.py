"""One execution environment: a process that serves one invocation at a time, inside the limits of its function."""

import json
import math
import os
import shutil
import signal
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from local import clock
from local.auth import Credentials, session_of_process
from local.functions.limits import MB, Memory, disk_usage
from local.functions.spec import FunctionSpec, Invocation
from local.worker import Worker, WorkerDiedError, WorkerTimeoutError

INIT_SECONDS = 10.0
_BOOTSTRAP = Path(__file__).parent / "bootstrap.py"
_RUNTIME_PACKAGES = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six")
_TAIL_BYTES = 4096
_KEEP_OUTPUT_BYTES = MB
_DISK_EVERY = 10  # how many looks pass between two measurements of /tmp
_SIGNALS: Mapping[int, str] = {
    signal.SIGKILL: "killed",
    signal.SIGSEGV: "segmentation fault",
    signal.SIGABRT: "aborted",
    signal.SIGTERM: "terminated",
}


@dataclass(frozen=True)
class Place:
    """What all sandboxes of one function share. `layers` are for this machine; `bytecode` takes `.pyc` files."""

    layers: tuple[Path, ...]
    folder: Path
    log: Path
    bytecode: Path
    region: str
    endpoint: str
    credentials: Credentials


@dataclass(frozen=True)
class Call:
    request_id: str
    payload: bytes
    client_context: dict[str, Any] | None = None


class _FunctionError(Exception):
    """The handler raised, or could not be imported."""

    def __init__(self, payload: bytes) -> None:
        super().__init__(payload)
        self.payload = payload


class _EndedError(Exception):
    """The process ended before it answered."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind

    def payload(self, call: Call) -> dict[str, Any]:
        return {"errorType": self.kind, "errorMessage": f"RequestId: {call.request_id} Error: {self}"}


class _OutOfMemoryError(_EndedError):
    def __init__(self) -> None:
        super().__init__("Runtime.ExitError", "Runtime exited with error: signal: killed")


class _DiskFullError(_EndedError):
    """What a handler would have seen (and could have caught) on Lambda."""

    def __init__(self) -> None:
        super().__init__("OSError", "[Errno 28] No space left on device")

    def payload(self, call: Call) -> dict[str, Any]:
        return {"errorMessage": str(self), "errorType": self.kind, "requestId": call.request_id, "stackTrace": []}


class Sandbox:
    """Its process starts with the first invocation; once `ended` it is of no more use.

    `/tmp` cannot be replaced without containers: TMPDIR, which `tempfile` obeys, is a private folder instead. Too
    much memory and a full `/tmp` cannot be refused as they happen: `look` notices them and ends the process.
    """

    def __init__(self, spec: FunctionSpec, place: Place) -> None:
        self.ended = False
        self.last_used = clock.now()
        self.spec, self.place = spec, place
        self._stream = f"{time.strftime('%Y/%m/%d', time.gmtime(clock.now()))}/[$LATEST]{uuid.uuid4().hex}"
        self.token = session_of_process(place.credentials, self._stream[-32:])
        self._folder = place.folder / f"{spec.name}-{self._stream[-12:]}"
        self._tmp = self._folder / "tmp"
        self._tmp.mkdir(parents=True)
        self._output = _Output(self._folder / "output", place.log)
        self._memory = Memory()
        self._looks = 0
        self._over: type[_OutOfMemoryError | _DiskFullError] | None = None
        self._ready = False  # the handler is imported
        self._busy = False
        self._looking = threading.Lock()
        self._ending = threading.Lock()
        self._worker: Worker | None = None

    def invoke(self, call: Call) -> Invocation:
        """One invocation. What goes wrong in the function is in the result, never raised."""
        self._output.begin()
        self._busy = True
        init, status, error = 0.0, "", "Unhandled"
        started = time.perf_counter()
        try:
            init = self._initialize(call)
            started = time.perf_counter()
            payload, error = self._work(call), ""
        except _FunctionError as failed:
            payload = failed.payload
            self.ended = not self._ready
        except _EndedError as ended:
            self.ended = True
            payload = json.dumps(ended.payload(call)).encode()
            self._output.say(f"{clock.iso(clock.now())} {ended.payload(call)['errorMessage']}")
            status = "timeout" if ended.kind == "Sandbox.Timedout" else f"error\tError Type: {ended.kind}"
        with self._looking:  # from here on nothing ends it for what this invocation did
            self._busy = False
            self.ended = self.ended or self._over is not None
        self.last_used = clock.now()
        self._report(call, time.perf_counter() - started, init, status)
        return Invocation(payload, error or None, self._output.tail())

    def look(self) -> None:
        """Measure it, from another thread while it works; end it when it is over a limit."""
        with self._looking:
            if self._busy and self._worker and not self._over:
                self._output.copy()
                self._over = self._find_excess(self._worker.pid)
                if self._over:
                    self._worker.kill()

    def crash(self) -> None:
        """Kill the process in the middle of an invocation."""
        with self._looking:
            if self._busy and self._worker:
                self._worker.kill()

    def alive(self) -> bool:
        """Whether an idle one still runs (or has yet to start)."""
        with suppress(psutil.NoSuchProcess):
            return self._worker is None or psutil.Process(self._worker.pid).status() != psutil.STATUS_ZOMBIE
        return False

    def end(self) -> None:
        """Kill the process and remove its files."""
        with self._ending:
            self.ended = True
            if self._worker:
                self._worker.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _initialize(self, call: Call) -> float:
        """Import the handler, if that has not happened. Seconds it took."""
        if self._ready:
            self._output.say(f"START RequestId: {call.request_id} Version: $LATEST")
            return 0.0
        started = time.perf_counter()
        try:
            self._start()
            self._ask(call, INIT_SECONDS, init=True)
            self._ready = True
        except WorkerTimeoutError:  # as on Lambda, it starts again inside the invocation and its timeout
            self._start()
        finally:
            self._output.copy()
            self._output.say(f"START RequestId: {call.request_id} Version: $LATEST")
        return time.perf_counter() - started

    def _work(self, call: Call) -> bytes:
        started = time.perf_counter()
        try:
            if not self._ready:
                self._ask(call, self.spec.timeout, init=True)
                self._ready = True
            answer = self._ask(call, self.spec.timeout - (time.perf_counter() - started), init=False)
        except WorkerTimeoutError as late:
            message = f"Task timed out after {self.spec.timeout:.2f} seconds"
            raise _EndedError("Sandbox.Timedout", message) from late
        self._check()
        return answer

    def _ask(self, call: Call, seconds: float, init: bool) -> bytes:
        assert self._worker is not None
        head = {
            "init": init,
            "request_id": call.request_id,
            "seconds": seconds,
            "client_context": call.client_context,
            "trace_id": f"Root=1-{int(clock.now()):08x}-{call.request_id.replace('-', '')[:24]};Sampled=0",
        }
        try:
            answer = self._worker.ask(json.dumps(head).encode() + b"\n" + (b"" if init else call.payload), seconds)
        except WorkerDiedError as died:
            raise self._over() if self._over else _exit(died.returncode) from died
        result, _, payload = answer.partition(b"\n")
        if json.loads(result)["error"]:
            raise _FunctionError(payload)
        return payload

    def _check(self) -> None:
        """Find what was over a limit between two looks, or just now."""
        assert self._worker is not None
        if self._memory.settle(self._worker.pid) > self.spec.memory_mb * MB:
            raise _OutOfMemoryError
        if self._disk_is_full():
            raise _DiskFullError

    def _find_excess(self, pid: int) -> type[_OutOfMemoryError | _DiskFullError] | None:
        self._looks += 1
        if self._memory.look(pid) > self.spec.memory_mb * MB:
            return _OutOfMemoryError
        if self._looks % _DISK_EVERY == 0 and self._disk_is_full():
            return _DiskFullError
        return None

    def _disk_is_full(self) -> bool:
        return disk_usage(self._tmp) > self.spec.tmp_mb * MB

    def _report(self, call: Call, seconds: float, init: float, status: str) -> None:
        self._output.copy()
        used = min(math.ceil(self._memory.peak / MB), self.spec.memory_mb)
        fields = [
            f"REPORT RequestId: {call.request_id}",
            f"Duration: {seconds * 1000:.2f} ms",
            f"Billed Duration: {math.ceil((seconds + init) * 1000)} ms",
            f"Memory Size: {self.spec.memory_mb} MB",
            f"Max Memory Used: {used} MB",
            *([f"Init Duration: {init * 1000:.2f} ms"] if init else []),
            *([f"Status: {status}"] if status else []),
        ]
        self._output.say(f"END RequestId: {call.request_id}")
        self._output.say("\t".join(fields))

    def _start(self) -> None:
        config = {
            "handler": self.spec.handler,
            "arn": self.spec.arn(self.place.region),
            "code": str(self.spec.code),
            "layers": [str(layer) for layer in reversed(self.place.layers)],  # a later layer overlays the former
            "runtime_packages": _runtime_packages(),
            "pace": asdict(pace) if (pace := clock.pace()) else None,
        }
        # -I and -S: neither this process's variables nor its site-packages. -u: a killed function loses no output.
        options = ["-I", "-S", "-u", "-X", "utf8", "-X", f"pycache_prefix={self.place.bytecode}"]
        argv = [sys.executable, *options, str(_BOOTSTRAP), json.dumps(config)]
        with self._ending:
            if self.ended:
                raise _exit(-signal.SIGKILL)
            self._worker = Worker(argv, self._environment(), self._output.source, self.spec.code)

    def _environment(self) -> dict[str, str]:
        spec, place = self.spec, self.place
        return {
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            **spec.environment,
            "HOME": str(self._tmp),  # unset on Lambda; here that would let boto3 read the user's ~/.aws
            "TMPDIR": str(self._tmp),
            "AWS_ENDPOINT_URL": place.endpoint,
            "AWS_REGION": place.region,
            "AWS_DEFAULT_REGION": place.region,
            "AWS_ACCESS_KEY_ID": place.credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": place.credentials.secret_key,
            "AWS_SESSION_TOKEN": self.token,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{spec.runtime}",
            "AWS_LAMBDA_FUNCTION_NAME": spec.name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory_mb),
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": spec.log_group_name,
            "AWS_LAMBDA_LOG_STREAM_NAME": self._stream,
            "LAMBDA_TASK_ROOT": str(spec.code),
            "_HANDLER": spec.handler,
        }


def _exit(returncode: int) -> _EndedError:
    if returncode == 0:
        return _EndedError("Runtime.ExitError", "Runtime exited without providing a reason")
    if returncode > 0:
        return _EndedError("Runtime.ExitError", f"Runtime exited with error: exit status {returncode}")
    name = _SIGNALS.get(-returncode, f"signal {-returncode}")
    return _EndedError("Runtime.ExitError", f"Runtime exited with error: signal: {name}")


def _runtime_packages() -> Mapping[str, str]:
    """Where this machine has the packages that AWS's Python runtime brings."""
    found = {name: find_spec(name) for name in _RUNTIME_PACKAGES}
    return {name: str(_parent(spec.origin)) for name, spec in found.items() if spec and spec.origin}


def _parent(origin: str) -> Path:
    file = Path(origin)
    return file.parents[1] if file.name == "__init__.py" else file.parent


class _Output:
    """What the process writes to `source` and what the platform says, in order, at the end of the function's log."""

    def __init__(self, source: Path, log: Path) -> None:
        self.source = source
        self._log = log
        self._lock = threading.Lock()
        self._position = 0
        self._tail = b""

    def begin(self) -> None:
        """The tail of the next invocation starts here."""
        self.copy()
        with self._lock:
            self._tail = b""
            if self._position > _KEEP_OUTPUT_BYTES:
                os.truncate(self.source, 0)
                self._position = 0

    def copy(self) -> None:
        """Nothing where the process has not begun, or its sandbox has been ended, from another thread."""
        with self._lock, suppress(FileNotFoundError):
            with self.source.open("rb") as source:
                source.seek(self._position)
                data = source.read()
            self._position += len(data)
            self._append(data)

    def say(self, line: str) -> None:
        with self._lock:
            self._append(f"{line}\n".encode())

    def tail(self) -> str:
        return self._tail.decode(errors="replace")

    def _append(self, data: bytes) -> None:
        if data:
            with self._log.open("ab") as log:
                log.write(data)
            self._tail = (self._tail + data)[-_TAIL_BYTES:]

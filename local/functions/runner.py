"""AWS Lambda: functions by name, and calls that wait for the result or do not."""

import json
import shutil
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local import clock
from local.auth import Keyring
from local.faults import Faults
from local.functions.asynchronous import RETRY_WAITS, AsyncEvents, MaySend, everything
from local.functions.layers import LayerCache
from local.functions.limits import Watch
from local.functions.pool import Pool, stopping
from local.functions.sandbox import Call, Place
from local.functions.spec import FunctionSpec, Invocation, checked, function_arn, not_found, read_name
from local.state import State
from local.wire import AwsError

MAX_REQUEST_BYTES = 6 * 1024 * 1024
MAX_EVENT_BYTES = 1024 * 1024
_IDLE_SECONDS = 300.0


class Functions:
    """Every function of the laptop. Their logs are `<state.folder>/logs/<name>.log`.

    `endpoint()` is the address where functions find the other services, asked whenever a function is ensured.
    `may_send` raises where the outcome of an event may not be sent to another function.
    """

    def __init__(
        self,
        state: State,
        keyring: Keyring,
        endpoint: Callable[[], str],
        layer_cache: Path,
        region: str = "us-east-1",
        retry_waits: tuple[float, float] = RETRY_WAITS,
        faults: Faults | None = None,
        may_send: MaySend = everything,
    ) -> None:
        self.region = region
        self._faults = faults or Faults()
        self._keyring, self._endpoint = keyring, endpoint
        self._layers = LayerCache(layer_cache)
        self._bytecode = layer_cache / "bytecode"
        self._logs = state.folder / "logs"
        self._logs.mkdir(exist_ok=True)
        self._sandboxes = state.folder / "functions"
        shutil.rmtree(self._sandboxes, ignore_errors=True)  # what a killed laptop left
        self._lock = threading.Lock()
        self._pools: dict[str, Pool] = {}
        self._stopped = threading.Event()
        self._watch = Watch()
        self._events = AsyncEvents(state, self, keyring, endpoint, retry_waits, may_send)
        threading.Thread(target=self._trim, name="function-idle", daemon=True).start()

    def ensure_function(self, spec: FunctionSpec) -> str:
        """Create or update a function; returns its ARN. Installs its layers, where no earlier start has."""
        checked(spec)
        place = Place(
            layers=tuple(self._layers.host_copy(layer) for layer in spec.layers),
            folder=self._sandboxes,
            log=self._logs / f"{spec.name}.log",
            bytecode=self._bytecode,
            region=self.region,
            endpoint=self._endpoint(),
            credentials=self._keyring.issue(spec.role_arn, spec.name),
        )
        with self._lock:
            pool = self._pools.setdefault(spec.name, Pool(spec, place))
        pool.update(spec, place)
        self._events.wake()
        return spec.arn(self.region)

    def forget(self, name: str) -> None:
        """Delete a function, if it is there; calls in progress are ended."""
        with self._lock:
            pool = self._pools.pop(name, None)
        if pool:
            pool.close()

    def specs(self) -> list[FunctionSpec]:
        """All functions, by name."""
        with self._lock:
            return [self._pools[name].spec for name in sorted(self._pools)]

    def spec(self, name_or_arn: str, qualifier: str | None = None) -> FunctionSpec:
        return self._pool(name_or_arn, qualifier).spec

    def invoke(
        self,
        name_or_arn: str,
        payload: bytes,
        *,
        client_context: dict[str, Any] | None = None,
        request_id: str | None = None,
    ) -> Invocation:
        """Call it and wait. Raises AwsError where Lambda refuses the call; errors of the function are returned."""
        pool = self._pool(name_or_arn)
        check_payload(payload, "RequestResponse", MAX_REQUEST_BYTES)
        with (
            pool.sandbox() as sandbox,
            self._watch.over(sandbox),
            self._faults.running(pool.spec.name, payload, sandbox.token, sandbox.crash),
        ):
            result = sandbox.invoke(Call(request_id or str(uuid.uuid4()), payload, client_context))
        if self._stopped.is_set():
            raise stopping()
        return result

    def invoke_async(self, name_or_arn: str, payload: bytes) -> str:
        """Accept an event, which is on disk when this returns; the request id it will have."""
        spec = self.spec(name_or_arn)
        check_payload(payload, "Event", MAX_EVENT_BYTES)
        return self._events.accept(spec.name, payload)

    def concurrency(self, name_or_arn: str) -> int:
        """How many invocations run at the same time at most."""
        return self._pool(name_or_arn).limit

    def stop(self) -> None:
        """End every process. Calls in progress raise; accepted events go on at the next start."""
        self._stopped.set()
        self._events.stop()
        with self._lock:
            pools = list(self._pools.values())
        for pool in pools:
            pool.close()
        self._watch.stop()
        self._events.join()

    def _pool(self, name_or_arn: str, qualifier: str | None = None) -> Pool:
        name = read_name(name_or_arn, self.region, qualifier)
        with self._lock:
            pool = self._pools.get(name)
        if pool is None:
            raise not_found(function_arn(name, self.region))
        return pool

    def _trim(self) -> None:
        while not clock.wait(_IDLE_SECONDS / 4, self._stopped):
            with self._lock:
                pools = list(self._pools.values())
            for pool in pools:
                pool.trim(clock.now() - _IDLE_SECONDS)


def check_payload(payload: bytes, kind: str, limit: int) -> None:
    """Refuse what Lambda refuses before a function sees it."""
    if len(payload) > limit:
        message = f"{len(payload)} byte payload is too large for the {kind} invocation type (limit {limit} bytes)"
        raise AwsError("RequestEntityTooLargeException", message, 413)
    try:
        json.loads(payload or b"{}")
    except (ValueError, RecursionError) as error:
        message = f"Could not parse request body into json: {error}"
        raise AwsError("InvalidRequestContentException", message) from error

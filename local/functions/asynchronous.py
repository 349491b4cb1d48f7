"""Events that nobody waits for: kept in the state until they succeeded or were given up, then told to a destination."""

import json
import logging
import sqlite3
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from local import clock
from local.auth import Keyring
from local.clients import Clients
from local.functions.spec import FunctionSpec, Invocation
from local.state import State
from local.wire import ACCOUNT, AwsError

log = logging.getLogger(__name__)

RETRY_WAITS = (60.0, 120.0)  # Lambda developer guide, "How Lambda handles errors and retries"
_UNREACHABLE_WAIT = 60.0
_AFTER_ERROR_SECONDS = 5.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS lambda_events (
    id TEXT PRIMARY KEY, function TEXT NOT NULL, payload BLOB NOT NULL,
    accepted REAL NOT NULL, due REAL NOT NULL, attempts INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS lambda_events_due ON lambda_events (function, due);
"""


MaySend = Callable[[str, str, str], None]
"""Called with a function's role ARN and name, and the ARN of the function that is told of an outcome."""


def everything(role_arn: str, function: str, target_arn: str) -> None:
    """Nothing is refused."""


class Invoker(Protocol):
    region: str

    def specs(self) -> list[FunctionSpec]: ...
    def concurrency(self, name_or_arn: str) -> int: ...
    def invoke(self, name_or_arn: str, payload: bytes, *, request_id: str | None = None) -> Invocation: ...
    def invoke_async(self, name_or_arn: str, payload: bytes) -> str: ...


@dataclass(frozen=True)
class _Event:
    id: str
    payload: bytes
    accepted: float
    attempts: int


class AsyncEvents:
    """Runs accepted events of the functions that exist, as many at a time as each function has room for.

    An event leaves the state when its outcome is told, so a kill at any moment repeats work but loses none.
    """

    def __init__(
        self,
        state: State,
        functions: Invoker,
        keyring: Keyring,
        endpoint: Callable[[], str],
        retry_waits: tuple[float, float],
        may_send: MaySend,
    ) -> None:
        state.create(_SCHEMA)
        self._state, self._functions = state, functions
        self._keyring, self._endpoint = keyring, endpoint
        self._retry_waits = retry_waits
        self._may_send = may_send
        self._changed = threading.Condition()
        self._running: dict[str, str] = {}  # id: function
        self._woken = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="function-events", daemon=True)
        self._thread.start()

    def accept(self, function: str, payload: bytes) -> str:
        event_id, now = str(uuid.uuid4()), clock.now()
        with self._state.transaction() as db:
            row = (event_id, function, payload or b"{}", now, now, 0)
            db.execute("INSERT INTO lambda_events VALUES (?, ?, ?, ?, ?, ?)", row)
        self._state.after_commit(self.wake)
        return event_id

    def wake(self) -> None:
        self._woken.set()

    def stop(self) -> None:
        self._stopped.set()
        self.wake()

    def join(self) -> None:
        """Wait (a second at most) until nothing of this touches the state any more."""
        self._thread.join(1)
        with self._changed:
            self._changed.wait_for(lambda: not self._running, timeout=1)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._woken.clear()
            try:
                pause = self._dispatch()
            except Exception:  # such as a function that is deleted at this moment
                if not self._stopped.is_set():
                    log.exception("no event could be started")
                pause = _AFTER_ERROR_SECONDS
            clock.wait(pause, self._woken)

    def _dispatch(self) -> float:
        """Start what is due and has room; seconds until more is."""
        now = clock.now()
        for spec in self._functions.specs():
            for event in self._due(spec, now):
                threading.Thread(target=self._attempt, args=(spec, event), name="function-event", daemon=True).start()
        with self._state.transaction() as db:
            (soonest,) = db.execute("SELECT MIN(due) FROM lambda_events WHERE due > ?", (now,)).fetchone()
        return min(60.0, soonest - now) if soonest else 60.0

    def _due(self, spec: FunctionSpec, now: float) -> list[_Event]:
        limit = max(1, self._functions.concurrency(spec.name))
        with self._changed:
            busy = Counter(self._running.values())[spec.name]
            with self._state.transaction() as db:
                rows = db.execute(
                    "SELECT * FROM lambda_events WHERE function = ? AND due <= ? ORDER BY due LIMIT ?",
                    (spec.name, now, limit + busy),
                ).fetchall()
            fresh = [row for row in rows if row["id"] not in self._running][: max(0, limit - busy)]
            self._running.update({row["id"]: spec.name for row in fresh})
        return [_event(row) for row in fresh]

    def _attempt(self, spec: FunctionSpec, event: _Event) -> None:
        try:
            self._invoke(spec, event)
        except Exception as error:  # whatever it is, the event is not lost
            if not self._stopped.is_set():
                log.error("an event of %s failed: %s", spec.name, error, exc_info=not isinstance(error, AwsError))
                self._postpone(event, _UNREACHABLE_WAIT)
        finally:
            with self._changed:
                del self._running[event.id]
                self._changed.notify_all()
            self.wake()

    def _invoke(self, spec: FunctionSpec, event: _Event) -> None:
        config = spec.asynchronous
        if spec.concurrency == 0:
            return self._finish(spec, event, "ZeroReservedConcurrency", None)
        if clock.now() - event.accepted > config.max_age_seconds:
            return self._finish(spec, event, "EventAgeExceeded", None)
        result = self._functions.invoke(spec.name, event.payload, request_id=event.id)
        tried = _Event(event.id, event.payload, event.accepted, event.attempts + 1)
        if result.error is None:
            self._finish(spec, tried, "Success", result)
        elif tried.attempts > config.retries:
            self._finish(spec, tried, "RetriesExhausted", result)
        else:
            self._postpone(tried, self._retry_waits[min(tried.attempts, len(self._retry_waits)) - 1])

    def _postpone(self, event: _Event, seconds: float) -> None:
        with self._state.transaction() as db:
            row = (clock.now() + seconds, event.attempts, event.id)
            db.execute("UPDATE lambda_events SET due = ?, attempts = ? WHERE id = ?", row)

    def _finish(self, spec: FunctionSpec, event: _Event, condition: str, result: Invocation | None) -> None:
        try:
            self._tell(spec, event, condition, result)
        except (ClientError, AwsError) as error:  # refused: Lambda counts it in a metric and drops the record
            log.error("the outcome of event %s of %s could not be delivered: %s", event.id, spec.name, error)
        except BotoCoreError:  # not reached: told later, after another run
            log.exception("the destination of %s cannot be reached", spec.name)
            return self._postpone(event, _UNREACHABLE_WAIT)
        with self._state.transaction() as db:
            db.execute("DELETE FROM lambda_events WHERE id = ?", (event.id,))

    def _tell(self, spec: FunctionSpec, event: _Event, condition: str, result: Invocation | None) -> None:
        config = spec.asynchronous
        success = condition == "Success"
        target = config.on_success if success else config.on_failure
        if target:
            record = json.dumps(_record(spec.arn(self._functions.region), event, condition, result))
            self._send(spec, target, record, {})
        if config.dead_letter_queue and not success:
            self._send(spec, config.dead_letter_queue, event.payload.decode(), _letter_attributes(event, result))

    def _send(self, spec: FunctionSpec, target: str, body: str, attributes: dict[str, Any]) -> None:
        service, name = target.split(":")[2], target.rpartition(":")[2]
        if service == "lambda":
            self._may_send(spec.role_arn, spec.name, target)
            self._functions.invoke_async(target, body.encode())
            return
        clients = Clients(self._endpoint(), self._keyring, self._functions.region)
        client = clients.get(service, spec.role_arn, spec.name)
        if service == "sqs":
            url = f"{self._endpoint()}/{ACCOUNT}/{name}"
            client.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=attributes)
        else:
            success = json.loads(body)["requestContext"]["condition"] == "Success"
            kind = f"Lambda Function Invocation Result - {'Success' if success else 'Failure'}"
            entry = {"Source": "lambda", "DetailType": kind, "Detail": body, "EventBusName": target}
            client.put_events(Entries=[entry])


def _event(row: sqlite3.Row) -> _Event:
    return _Event(row["id"], row["payload"], row["accepted"], row["attempts"])


def _letter_attributes(event: _Event, result: Invocation | None) -> dict[str, Any]:
    """What Lambda adds to a message in a dead-letter queue."""
    message = json.loads(result.payload).get("errorMessage", "") if result else ""
    return {
        "RequestID": {"DataType": "String", "StringValue": event.id},
        "ErrorCode": {"DataType": "Number", "StringValue": "200"},
        "ErrorMessage": {"DataType": "String", "StringValue": message[:1024] or "-"},
    }


def _record(arn: str, event: _Event, condition: str, result: Invocation | None) -> dict[str, Any]:
    """Lambda developer guide, "Retaining records of asynchronous invocations"."""
    record: dict[str, Any] = {
        "version": "1.0",
        "timestamp": clock.iso(clock.now()).replace("Z", ".000Z"),
        "requestContext": {
            "requestId": event.id,
            "functionArn": f"{arn}:$LATEST",
            "condition": condition,
            "approximateInvokeCount": event.attempts,
        },
        "requestPayload": json.loads(event.payload or b"{}"),
    }
    if result:
        error = {"functionError": result.error} if result.error else {}
        record["responseContext"] = {"statusCode": 200, "executedVersion": "$LATEST", **error}
        record["responsePayload"] = json.loads(result.payload or b"null")
    return record

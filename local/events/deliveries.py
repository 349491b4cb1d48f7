"""Deliveries that wait for their target: tried in the background, again and again, and at last a dead letter."""

import json
import logging
import random
import sqlite3
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from local import clock
from local.faults import Faults
from local.state import State
from local.wire import AwsError

log = logging.getLogger(__name__)

Deliver = Callable[[str, str], None]
"""Called with the target's ARN and the JSON for it; raises when the target did not take it."""

Allow = Callable[[str, str, str | None], None]
"""Called with the ARNs of the rule, of what it delivers to and of the target's role; raises AwsError if it may not."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events_deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    due REAL NOT NULL,
    accepted REAL NOT NULL,
    attempts INTEGER NOT NULL,
    rule_arn TEXT NOT NULL,
    target TEXT NOT NULL,  -- JSON
    payload TEXT NOT NULL, -- what the target gets
    event TEXT NOT NULL    -- what its dead letter queue gets
);
CREATE INDEX IF NOT EXISTS events_deliveries_due ON events_deliveries (due);
"""
_WORKERS = 4
_IDLE_SECONDS = 3600.0
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 600.0
_MOST_ATTEMPTS, _OLDEST_SECONDS = 185, 86400
_TEMPORARY = ("Throttl", "TooManyRequests", "LimitExceeded", "SlowDown", "ProvisionedThroughput")
_GONE = ("NotFound", "DoesNotExist", "NonExistent", "NoSuch")


class Send(Protocol):
    """Puts a message into a queue, as a part of the caller's transaction."""

    def __call__(
        self,
        queue_arn: str,
        body: str,
        *,
        attributes: Mapping[str, Mapping[str, Any]] | None = None,
        group: str | None = None,
    ) -> None: ...


@dataclass(frozen=True)
class Failure:
    """Why a target did not take an event; `code` is one of those that dead letters carry."""

    code: str
    message: str
    retryable: bool


@dataclass(frozen=True)
class Delivery:
    rule_arn: str
    target: Mapping[str, Any]
    payload: str
    event: str

    @property
    def arn(self) -> str:
        return str(self.target["Arn"])

    @property
    def service(self) -> str:
        return self.arn.split(":")[2]


class Deliveries:
    """Queues get an event within the transaction that sends it; for other targets it is stored and sent by threads."""

    def __init__(
        self, state: State, targets: Mapping[str, Deliver], send: Send | None, faults: Faults, allow: Allow
    ) -> None:
        self._state, self._targets, self._send = state, targets, send
        self._faults, self._allow = faults, allow
        self._stopped = threading.Event()
        self._busy: set[int] = set()  # guarded by the state's transactions
        self._bells = [threading.Event() for _ in range(_WORKERS)]
        self._threads = [
            threading.Thread(target=self._work, args=(bell,), daemon=True, name="events-delivery")
            for bell in self._bells
        ]
        state.create(_SCHEMA)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._ring()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(1)

    def accept(self, delivery: Delivery) -> None:
        """As a part of the caller's transaction."""
        for seconds in self._faults.arrivals("events", delivery.arn, delivery.payload):
            if delivery.service == "sqs" and not seconds:
                self._to_queue(delivery)
            else:
                self._store(delivery, clock.now() + seconds)

    def _store(self, delivery: Delivery, due: float) -> None:
        row = (due, clock.now(), delivery.rule_arn, json.dumps(delivery.target))
        with self._state.transaction() as db:
            db.execute(
                "INSERT INTO events_deliveries (due, accepted, attempts, rule_arn, target, payload, event)"
                " VALUES (?, ?, 0, ?, ?, ?, ?)",
                (*row, delivery.payload, delivery.event),
            )
            self._state.after_commit(self._ring)

    def _to_queue(self, delivery: Delivery) -> None:
        group = (delivery.target.get("SqsParameters") or {}).get("MessageGroupId")
        try:
            self._allow(delivery.rule_arn, delivery.arn, None)
            with self._state.transaction():
                if self._send:
                    self._send(delivery.arn, delivery.payload, group=group)
                else:
                    self._targets["sqs"](delivery.arn, delivery.payload)
        except AwsError as error:
            self._bury(delivery, _failure(error), 0, None)

    def _ring(self) -> None:
        for bell in self._bells:
            bell.set()

    def _work(self, bell: threading.Event) -> None:
        while not self._stopped.is_set():
            bell.clear()
            row, due = self._claim()
            if row is None:
                clock.wait(max(0.0, due - clock.now()), bell)
                continue
            try:
                self._attempt(row)
            finally:
                with self._state.transaction():
                    self._busy.discard(row["id"])

    def _claim(self) -> tuple[sqlite3.Row | None, float]:
        """The next delivery that nobody works on, if it is due, and when it is."""
        with self._state.transaction() as db:
            query = "SELECT * FROM events_deliveries ORDER BY due LIMIT ?"
            rows = db.execute(query, (len(self._busy) + 1,)).fetchall()
            free = [row for row in rows if row["id"] not in self._busy]
            now = clock.now()
            if not free or free[0]["due"] > now:
                return None, free[0]["due"] if free else now + _IDLE_SECONDS
            self._busy.add(free[0]["id"])
            return free[0], now

    def _attempt(self, row: sqlite3.Row) -> None:
        delivery = Delivery(row["rule_arn"], json.loads(row["target"]), row["payload"], row["event"])
        try:
            if delivery.service == "sqs":
                self._to_queue(delivery)
            else:
                self._allow(delivery.rule_arn, delivery.arn, delivery.target.get("RoleArn"))
                self._targets[delivery.service](delivery.arn, delivery.payload)
        except Exception as error:  # whatever a target raises, the event is tried again or buried, and the log says why
            failure = _failure(error)
            log.warning("%s did not take an event: %s %s", delivery.arn, failure.code, failure.message)
            self._after_failure(row, delivery, failure)
        else:
            self._forget(row)

    def _after_failure(self, row: sqlite3.Row, delivery: Delivery, failure: Failure) -> None:
        due = clock.now() + _wait_after(row["attempts"])
        exhausted = _exhausted(delivery, row["attempts"], due - row["accepted"])
        with self._state.transaction() as db:
            if failure.retryable and exhausted is None:
                db.execute(
                    "UPDATE events_deliveries SET due = ?, attempts = attempts + 1 WHERE id = ?", (due, row["id"])
                )
                return
            self._forget(row)
            self._bury(delivery, failure, row["attempts"], exhausted if failure.retryable else None)

    def _forget(self, row: sqlite3.Row) -> None:
        with self._state.transaction() as db:
            db.execute("DELETE FROM events_deliveries WHERE id = ?", (row["id"],))

    def _bury(self, delivery: Delivery, failure: Failure, retries: int, exhausted: str | None) -> None:
        queue = (delivery.target.get("DeadLetterConfig") or {}).get("Arn")
        if not queue:
            log.error("an event for %s is lost: %s %s", delivery.arn, failure.code, failure.message)
            return
        try:
            self._allow(delivery.rule_arn, queue, None)
            with self._state.transaction():
                if self._send:
                    attributes = _letter_attributes(delivery, failure, retries, exhausted)
                    self._send(queue, delivery.event, attributes=attributes)
                else:
                    self._targets["sqs"](queue, delivery.event)
        except AwsError as error:
            log.error("an event for %s is lost, its dead letter queue did not take it: %s", delivery.arn, error)


def _wait_after(attempts: int) -> float:
    longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(attempts, 30))
    return random.uniform(longest / 2, longest)


def _exhausted(delivery: Delivery, attempts: int, age: float) -> str | None:
    """The condition of the retry policy that forbids another attempt at that age."""
    policy = delivery.target.get("RetryPolicy") or {}
    if attempts >= policy.get("MaximumRetryAttempts", _MOST_ATTEMPTS):
        return "MaximumRetryAttempts"
    return "MaximumEventAgeInSeconds" if age > policy.get("MaximumEventAgeInSeconds", _OLDEST_SECONDS) else None


def _failure(error: Exception) -> Failure:
    """EventBridge user guide, "Using dead-letter queues to process undelivered events"; 5xx and 429 are retried."""
    if isinstance(error, AwsError):
        return _refusal(error.code, error.message, error.status)
    if isinstance(error, ClientError):
        found, status = error.response["Error"], error.response["ResponseMetadata"].get("HTTPStatusCode", 500)
        return _refusal(found["Code"], found["Message"], status)
    if isinstance(error, BotoCoreError | OSError):
        return Failure("CONNECTION_FAILURE", str(error), True)
    log.error("a target failed", exc_info=error)
    return Failure("INTERNAL_ERROR", repr(error), True)


def _refusal(code: str, message: str, status: int) -> Failure:
    text = f"{code}: {message}"
    if status == 429 or any(part in code for part in _TEMPORARY):
        return Failure("THROTTLING", text, True)
    if status >= 500:
        return Failure("ERROR_FROM_TARGET", text, True)
    if any(part in code for part in _GONE):
        return Failure("NO_RESOURCE", text, False)
    if code.startswith("AccessDenied"):
        return Failure("NO_PERMISSIONS", text, False)
    if "AlreadyExists" in code:
        return Failure("RESOURCE_ALREADY_EXISTS", text, False)
    return Failure("INVALID_PARAMETER", text, False)


def _letter_attributes(
    delivery: Delivery, failure: Failure, retries: int, exhausted: str | None
) -> dict[str, dict[str, str]]:
    texts = {
        "RULE_ARN": delivery.rule_arn,
        "TARGET_ARN": delivery.arn,
        "ERROR_CODE": failure.code,
        "ERROR_MESSAGE": failure.message[:1024],
        **({"EXHAUSTED_RETRY_CONDITION": exhausted} if exhausted else {}),
    }
    attributes = {name: {"DataType": "String", "StringValue": text} for name, text in texts.items()}
    return {**attributes, "RETRY_ATTEMPTS": {"DataType": "Number", "StringValue": str(retries)}}

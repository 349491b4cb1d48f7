"""The event source mapping of Lambda: it polls a queue and calls a function with batches of its messages."""

import base64
import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from local import clock
from local.functions.runner import MAX_REQUEST_BYTES
from local.functions.spec import Invocation
from local.wire import AwsError

log = logging.getLogger(__name__)

_POLL_SECONDS = 20.0
_RECEIVE_AT_MOST = 10
_DEFAULT_POLLERS = 2
_AFTER_ERROR_SECONDS = 5.0


class QueueMessage(Protocol):
    """A received message. Attributes are those of ReceiveMessage, all of them, the user's in its JSON form."""

    @property
    def message_id(self) -> str: ...
    @property
    def receipt_handle(self) -> str: ...
    @property
    def body(self) -> str: ...
    @property
    def md5_of_body(self) -> str: ...
    @property
    def attributes(self) -> Mapping[str, str]: ...
    @property
    def message_attributes(self) -> Mapping[str, Mapping[str, Any]]: ...


class Queues(Protocol):
    """What a mapping needs of SQS. `visibility` None is the queue's own; `stopped` ends the wait early.

    What it got with `hold`, nobody else gets until it is deleted or let go of, at least on a fast clock.
    """

    def receive(
        self,
        queue_arn: str,
        max_messages: int,
        wait_seconds: float,
        visibility: float | None,
        stopped: threading.Event,
        hold: bool,
    ) -> Sequence[QueueMessage]: ...

    def delete(self, queue_arn: str, receipt_handles: Sequence[str]) -> None: ...
    def let_go(self, queue_arn: str, receipt_handles: Sequence[str]) -> None: ...


class Caller(Protocol):
    region: str

    def invoke(self, name_or_arn: str, payload: bytes) -> Invocation: ...


@dataclass(frozen=True)
class EventSourceMapping:
    """As in the template. `filters` says whether a record matches one of the patterns; None takes all.

    `max_concurrency` is ScalingConfig's; without it this laptop polls with two.
    """

    queue_arn: str
    function: str
    batch_size: int
    window_seconds: float
    max_concurrency: int | None
    report_batch_item_failures: bool
    filters: Callable[[Mapping[str, Any]], bool] | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.batch_size <= 10000 or not 0 <= self.window_seconds <= 300:
            raise _invalid("BatchSize must be 1 to 10000 and MaximumBatchingWindowInSeconds 0 to 300")
        if self.batch_size > 10 and self.window_seconds < 1:
            message = "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
            raise _invalid(message)
        if self.max_concurrency is not None and not 2 <= self.max_concurrency <= 1000:
            raise _invalid("MaximumConcurrency must be 2 to 1000")

    @property
    def uuid(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.queue_arn} {self.function}"))


class Poller:
    """Works one mapping between `start` and `stop`.

    A message is deleted when the function succeeded with it. One that failed stays, and is received again when its
    visibility timeout is over. Nothing that a batch does ends a poller.
    """

    def __init__(self, mapping: EventSourceMapping, queues: Queues, functions: Caller) -> None:
        self._mapping, self._queues, self._functions = mapping, queues, functions
        self._stopped = threading.Event()
        count = mapping.max_concurrency or _DEFAULT_POLLERS
        self._threads = [threading.Thread(target=self._run, name="sqs-poller", daemon=True) for _ in range(count)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop polling; does not wait for invocations in progress (end those with `Functions.stop`, then `join`)."""
        self._stopped.set()

    def join(self, seconds: float) -> None:
        """Wait that long at most until what was in progress has ended."""
        deadline = time.monotonic() + seconds  # of the host's own time, for this is about its threads
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._work()
            except Exception as error:  # whatever it is, there are other messages
                if not self._stopped.is_set():
                    where = self._mapping.queue_arn, self._mapping.function
                    log.error("%s for %s: %s", *where, error, exc_info=not isinstance(error, AwsError))
                    clock.wait(_AFTER_ERROR_SECONDS, self._stopped)

    def _work(self) -> None:
        held: list[QueueMessage] = []
        try:
            self._gather(held)
            for batch in _in_events(self._wanted(held), self._record):
                records = [self._record(message) for message in batch]
                result = self._functions.invoke(self._mapping.function, json.dumps({"Records": records}).encode())
                if result.error is None:
                    failed = self._failed(result.payload, batch)
                    self._delete([message for message in batch if message.message_id not in failed])
        finally:
            if held:
                self._queues.let_go(self._mapping.queue_arn, [message.receipt_handle for message in held])

    def _gather(self, held: list[QueueMessage]) -> None:
        """A batch: what one receive brings, or with a window as much as comes until it closes or the batch is full."""
        held += self._receive(self._mapping.batch_size, _POLL_SECONDS)
        closes = clock.now() + self._mapping.window_seconds
        while held and len(held) < self._mapping.batch_size and not self._stopped.is_set():
            left = closes - clock.now()
            if left <= 0:
                break
            held += self._receive(self._mapping.batch_size - len(held), min(left, _POLL_SECONDS))

    def _receive(self, room: int, wait_seconds: float) -> Sequence[QueueMessage]:
        count = min(room, _RECEIVE_AT_MOST)
        return self._queues.receive(self._mapping.queue_arn, count, wait_seconds, None, self._stopped, hold=True)

    def _wanted(self, messages: list[QueueMessage]) -> list[QueueMessage]:
        """Those the filters let through; Lambda deletes the others."""
        matches = self._mapping.filters
        if matches is None:
            return messages
        wanted = [message for message in messages if matches(_filterable(self._record(message)))]
        self._delete([message for message in messages if message not in wanted])
        return wanted

    def _delete(self, messages: list[QueueMessage]) -> None:
        if messages:
            self._queues.delete(self._mapping.queue_arn, [message.receipt_handle for message in messages])

    def _failed(self, payload: bytes, batch: Sequence[QueueMessage]) -> set[str]:
        """The ids that the function reported. A report that makes no sense means that all failed."""
        sent = {message.message_id for message in batch}
        if not self._mapping.report_batch_item_failures:
            return set()
        try:
            report = json.loads(payload or b"null")
            failures = (report or {}).get("batchItemFailures") or []
            failed = {failure["itemIdentifier"] for failure in failures}
        except (ValueError, TypeError, KeyError, AttributeError):
            log.error("%s returned no batch report: %.200r", self._mapping.function, payload)
            return sent
        return failed if failed <= sent else sent

    def _record(self, message: QueueMessage) -> dict[str, Any]:
        """Lambda developer guide, "Using Lambda with Amazon SQS"."""
        return {
            "messageId": message.message_id,
            "receiptHandle": message.receipt_handle,
            "body": message.body,
            "attributes": dict(message.attributes),
            "messageAttributes": {name: _attribute(value) for name, value in message.message_attributes.items()},
            "md5OfBody": message.md5_of_body,
            "eventSource": "aws:sqs",
            "eventSourceARN": self._mapping.queue_arn,
            "awsRegion": self._functions.region,
        }


def _attribute(value: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {"stringListValues": [], "binaryListValues": [], "dataType": value["DataType"]}
    if (text := value.get("StringValue")) is not None:
        shown["stringValue"] = text
    if (data := value.get("BinaryValue")) is not None:
        shown["binaryValue"] = base64.b64encode(data).decode() if isinstance(data, bytes) else data
    return shown


def _filterable(record: dict[str, Any]) -> dict[str, Any]:
    """A record as patterns see it: with the body as JSON where it is JSON."""
    try:
        return {**record, "body": json.loads(record["body"])}
    except (ValueError, RecursionError):
        return record


def _in_events(
    messages: Sequence[QueueMessage], record: Callable[[QueueMessage], dict[str, Any]]
) -> Iterator[list[QueueMessage]]:
    """The messages in batches whose events stay within the size of an invocation."""
    batch: list[QueueMessage] = []
    size = frame = len('{"Records": []}')
    for message in messages:
        length = len(json.dumps(record(message))) + 2
        if batch and size + length > MAX_REQUEST_BYTES:
            yield batch
            batch, size = [], frame
        batch.append(message)
        size += length
    if batch:
        yield batch


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidParameterValueException", message)

"""Amazon SQS on the wire (AWS JSON 1.0), and for the other services of the laptop."""

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from werkzeug.wrappers import Response

from local import clock
from local.faults import Faults
from local.sqs.arrivals import Arrivals, sleep_until
from local.sqs.attributes import effective
from local.sqs.contents import Attributes, attributes_md5, body_md5, check_attributes, check_body, check_trace, size
from local.sqs.errors import invalid, no_queue, query_code, type_of
from local.sqs.messages import Message, Messages
from local.sqs.moves import Moves
from local.sqs.queues import Queue, Queues
from local.sqs.requests import (
    Request,
    check_batch,
    check_batch_size,
    each,
    group,
    next_token,
    number,
    page,
    refuse_fifo,
    sender_id,
    shown,
    system_names,
    visibility,
)
from local.sqs.shapes import check
from local.state import State
from local.wire import ACCOUNT, LOCAL_USER, AwsError, Caller, Operation, SetPolicy, TargetService, json_response

Answer = Mapping[str, Any]

_OPTIONAL_ATTRIBUTES = (
    "ContentBasedDeduplication",
    "DeduplicationScope",
    "FifoQueue",
    "FifoThroughputLimit",
    "KmsDataKeyReusePeriodSeconds",
    "KmsMasterKeyId",
    "Policy",
    "RedriveAllowPolicy",
    "RedrivePolicy",
)


class Sqs(TargetService):
    """The service (signing name `sqs`). `endpoint` is the beginning of the queue URLs it gives out. `enforce` is told
    the policy of each queue.
    """

    def __init__(
        self,
        state: State,
        endpoint: str = "http://127.0.0.1:4566",
        region: str = "us-east-1",
        faults: Faults | None = None,
        enforce: SetPolicy = lambda arn, text: None,
    ) -> None:
        self._state, self._endpoint = state, endpoint
        self._faults = faults or Faults()
        self._stopped = threading.Event()
        self._arrivals = Arrivals()
        self._queues = Queues(state, region, enforce)
        self._messages = Messages(state)
        self._moves = Moves(state, self._queues, self._messages, self._arrivals.announce)
        operations: dict[str, Operation] = {
            "CancelMessageMoveTask": self._cancel_message_move_task,
            "ChangeMessageVisibility": self._change_message_visibility,
            "ChangeMessageVisibilityBatch": self._change_message_visibility_batch,
            "CreateQueue": self._create_queue,
            "DeleteMessage": self._delete_message,
            "DeleteMessageBatch": self._delete_message_batch,
            "DeleteQueue": self._delete_queue,
            "GetQueueAttributes": self._get_queue_attributes,
            "GetQueueUrl": self._get_queue_url,
            "ListDeadLetterSourceQueues": self._list_dead_letter_source_queues,
            "ListMessageMoveTasks": self._list_message_move_tasks,
            "ListQueueTags": self._list_queue_tags,
            "ListQueues": self._list_queues,
            "PurgeQueue": self._purge_queue,
            "ReceiveMessage": self._receive_message,
            "SendMessage": self._send_message,
            "SendMessageBatch": self._send_message_batch,
            "SetQueueAttributes": self._set_queue_attributes,
            "StartMessageMoveTask": self._start_message_move_task,
            "TagQueue": self._tag_queue,
            "UntagQueue": self._untag_queue,
        }
        super().__init__({name: _checked(name, work) for name, work in operations.items()})

    def ensure_queue(self, name: str, properties: Mapping[str, Any]) -> None:
        """Make or change the queue of an `AWS::SQS::Queue`; its messages stay."""
        self._queues.ensure(name, properties)
        self._announce(name)

    def set_policy(self, queue_url: str, text: str) -> None:
        """The policy of a queue, empty for none, as SetQueueAttributes sets it."""
        self._queues.set_attributes(self._queues.by_url(queue_url), {"Policy": text})

    def queue_url(self, name: str) -> str:
        return f"{self._endpoint}/{ACCOUNT}/{name}"

    def send(
        self,
        queue_arn: str,
        body: str,
        *,
        delay: int | None = None,
        attributes: Attributes | None = None,
        group: str | None = None,
    ) -> None:
        """Put a message into a queue, as a part of the caller's transaction if it has one.

        `delay` None is the queue's own; `attributes` are as on the wire; `group` is the MessageGroupId.
        """
        request = {"MessageBody": body, "DelaySeconds": delay, "MessageAttributes": attributes, "MessageGroupId": group}
        with self._state.transaction():
            self._add(self._queues.by_arn(queue_arn), request, LOCAL_USER)

    def receive(
        self,
        queue_arn: str,
        max_messages: int,
        wait_seconds: float,
        visibility: float | None,
        stopped: threading.Event,
        hold: bool = False,
    ) -> list[Message]:
        """Up to `max_messages` as soon as there are any, none after `wait_seconds` or once `stopped` is set.

        `visibility` None is the queue's own. With `hold` they are the caller's until it deletes them or lets them go.
        """
        name = self._queues.by_arn(queue_arn).name
        deadline = clock.now() + wait_seconds
        with self._arrivals.of(name) as arrived:
            while True:
                arrived.clear()
                messages, next_visible = self._take(name, max_messages, visibility, hold)
                if messages or clock.now() >= deadline or stopped.is_set() or self._stopped.is_set():
                    return messages
                sleep_until(min(deadline, next_visible or deadline), arrived, stopped, self._stopped)

    def delete(self, queue_arn: str, receipt_handles: Sequence[str]) -> None:
        """Stale handles delete nothing."""
        queue = self._queues.by_arn(queue_arn)
        with self._state.transaction():
            for handle in receipt_handles:
                self._messages.delete(queue.name, handle)

    def let_go(self, queue_arn: str, receipt_handles: Sequence[str]) -> None:
        """Have messages received again, those of them that were held and not deleted, when their timeout is over.

        Not once the laptop stops: that is no failure of whoever held them, and the next start takes them back.
        """
        queue = self._queues.by_arn(queue_arn)
        if self._stopped.is_set():
            return
        with self._state.transaction():
            if any([self._messages.let_go(queue.name, handle) for handle in receipt_handles]):
                self._announce(queue.name)

    def visibility_timeout(self, queue_arn: str) -> int:
        """Of the queue itself, in seconds."""
        return self._queues.by_arn(queue_arn).number("VisibilityTimeout")

    def stop(self) -> None:
        """End what waits for messages and what moves them."""
        self._stopped.set()
        self._moves.stop()

    def _create_queue(self, request: Request, caller: Caller) -> Answer:
        self._queues.create(request["QueueName"], request.get("Attributes") or {}, request.get("tags") or {})
        return {"QueueUrl": self.queue_url(request["QueueName"])}

    def _delete_queue(self, request: Request, caller: Caller) -> Answer:
        with self._state.transaction():
            queue = self._queue(request)
            self._queues.delete(queue)
            self._messages.purge(queue.name)
            self._announce(queue.name)
        return {}

    def _get_queue_url(self, request: Request, caller: Caller) -> Answer:
        if (request.get("QueueOwnerAWSAccountId") or ACCOUNT) != ACCOUNT:
            raise no_queue()
        return {"QueueUrl": self.queue_url(self._queues.get(request["QueueName"]).name)}

    def _list_queues(self, request: Request, caller: Caller) -> Answer:
        after, limit = page(request)
        names = self._queues.names(request.get("QueueNamePrefix") or "", after, limit + 1)
        return self._urls(names, request, "QueueUrls")

    def _list_dead_letter_source_queues(self, request: Request, caller: Caller) -> Answer:
        after, _ = page(request)
        names = [name for name in self._queues.sources(self._queue(request).arn) if name > after]
        return {"queueUrls": [], **self._urls(names, request, "queueUrls")}

    def _urls(self, names: Sequence[str], request: Request, member: str) -> Answer:
        _, limit = page(request)
        answer: dict[str, Any] = {member: [self.queue_url(name) for name in names[:limit]]} if names else {}
        if len(names) > limit and request.get("MaxResults"):
            answer["NextToken"] = next_token(names[limit - 1])
        return answer

    def _get_queue_attributes(self, request: Request, caller: Caller) -> Answer:
        queue, names = self._queue(request), request.get("AttributeNames") or []
        known = self._attributes(queue) if names else {}
        for name in names:
            if name != "All" and name not in known and name not in _OPTIONAL_ATTRIBUTES:
                raise AwsError("InvalidAttributeName", f"Unknown Attribute {name}.")
        found = {name: value for name, value in known.items() if "All" in names or name in names}
        return {"Attributes": found} if found else {}

    def _attributes(self, queue: Queue) -> dict[str, str]:
        counts = self._messages.count(queue)
        return {
            "QueueArn": queue.arn,
            "ApproximateNumberOfMessages": str(counts.visible),
            "ApproximateNumberOfMessagesNotVisible": str(counts.in_flight),
            "ApproximateNumberOfMessagesDelayed": str(counts.delayed),
            "CreatedTimestamp": str(int(queue.created)),
            "LastModifiedTimestamp": str(int(queue.modified)),
            **effective(queue.attributes),
        }

    def _set_queue_attributes(self, request: Request, caller: Caller) -> Answer:
        with self._state.transaction():
            queue = self._queue(request)
            self._queues.set_attributes(queue, request["Attributes"])
            self._announce(queue.name)
        return {}

    def _purge_queue(self, request: Request, caller: Caller) -> Answer:
        with self._state.transaction():
            queue = self._queue(request)
            self._queues.mark_purged(queue)
            self._messages.purge(queue.name)
        return {}

    def _tag_queue(self, request: Request, caller: Caller) -> Answer:
        with self._state.transaction():
            self._queues.tag(self._queue(request), request["Tags"])
        return {}

    def _untag_queue(self, request: Request, caller: Caller) -> Answer:
        with self._state.transaction():
            self._queues.untag(self._queue(request), request["TagKeys"])
        return {}

    def _list_queue_tags(self, request: Request, caller: Caller) -> Answer:
        tags = self._queue(request).tags
        return {"Tags": tags} if tags else {}

    def _send_message(self, request: Request, caller: Caller) -> Answer:
        with self._state.transaction():
            return self._add(self._queue(request), request, caller)

    def _send_message_batch(self, request: Request, caller: Caller) -> Answer:
        entries = request["Entries"]
        with self._state.transaction():
            queue = self._queue(request)
            check_batch("SendMessageBatch", entries)
            check_batch_size(entries)
            return each(entries, lambda entry: self._add(queue, entry, caller))

    def _receive_message(self, request: Request, caller: Caller) -> Answer:
        queue = self._queue(request)
        refuse_fifo(request, "ReceiveRequestAttemptId")
        system = system_names(request)
        count = number(request, "MaxNumberOfMessages", 1, 1, 10, "Must be between 1 and 10, if provided.")
        own = queue.number("ReceiveMessageWaitTimeSeconds")
        wait = number(request, "WaitTimeSeconds", own, 0, 20, "Must be >= 0 and <= 20, if provided.")
        hidden = visibility(request) if request.get("VisibilityTimeout") is not None else None
        messages = self.receive(queue.arn, count, wait, hidden, self._stopped)
        users = request.get("MessageAttributeNames") or []
        return {"Messages": [shown(message, system, users) for message in messages]} if messages else {}

    def _delete_message(self, request: Request, caller: Caller) -> Answer:
        self._messages.delete(self._queue(request).name, request["ReceiptHandle"])
        return {}

    def _delete_message_batch(self, request: Request, caller: Caller) -> Answer:
        queue, entries = self._queue(request), request["Entries"]
        check_batch("DeleteMessageBatch", entries)
        with self._state.transaction():
            return each(entries, lambda entry: self._messages.delete(queue.name, entry["ReceiptHandle"]))

    def _change_message_visibility(self, request: Request, caller: Caller) -> Answer:
        self._hide(self._queue(request), request["ReceiptHandle"], visibility(request))
        return {}

    def _change_message_visibility_batch(self, request: Request, caller: Caller) -> Answer:
        queue, entries = self._queue(request), request["Entries"]
        check_batch("ChangeMessageVisibilityBatch", entries)
        with self._state.transaction():
            return each(entries, lambda entry: self._hide(queue, entry["ReceiptHandle"], visibility(entry)))

    def _start_message_move_task(self, request: Request, caller: Caller) -> Answer:
        destination, rate = request.get("DestinationArn"), request.get("MaxNumberOfMessagesPerSecond")
        return {"TaskHandle": self._moves.start(request["SourceArn"], destination, rate)}

    def _list_message_move_tasks(self, request: Request, caller: Caller) -> Answer:
        limit = number(request, "MaxResults", 1, 1, 10, "Must be between 1 and 10, if provided.")
        return {"Results": self._moves.list(request["SourceArn"], limit)}

    def _cancel_message_move_task(self, request: Request, caller: Caller) -> Answer:
        return {"ApproximateNumberOfMessagesMoved": self._moves.cancel(request["TaskHandle"])}

    def _queue(self, request: Request) -> Queue:
        return self._queues.by_url(request["QueueUrl"])

    def _announce(self, queue: str) -> None:
        self._state.after_commit(partial(self._arrivals.announce, queue))

    def _add(self, queue: Queue, request: Mapping[str, Any], caller: Caller) -> dict[str, str]:
        """Store a message, checked whole before anything is written."""
        body, attributes = request["MessageBody"], request.get("MessageAttributes") or {}
        trace = request.get("MessageSystemAttributes") or {}
        refuse_fifo(request, "MessageDeduplicationId")
        own = queue.number("DelaySeconds")
        delay = number(request, "DelaySeconds", own, 0, 900, "DelaySeconds must be >= 0 and <= 900.")
        check_body(body)
        check_attributes(attributes)
        check_trace(trace)
        limit = queue.number("MaximumMessageSize")
        if size(body, attributes) > limit:
            raise invalid(f"One or more parameters are invalid. Reason: Message must be shorter than {limit} bytes.")
        system = {**group(request), **{name: value["StringValue"] for name, value in trace.items()}}
        later = self._faults.arrivals("sqs", queue.arn, body)
        delays = [delay + seconds for seconds in later]
        message_id = self._messages.add(queue.name, body, delays, sender_id(caller), attributes, system)
        self._announce(queue.name)
        return {"MessageId": message_id, "MD5OfMessageBody": body_md5(body), **_digests(attributes, trace)}

    def _take(self, name: str, count: int, visibility: float | None, hold: bool) -> tuple[list[Message], float | None]:
        """What can be received now, and if nothing can, when the next message shows itself."""
        with self._state.transaction():
            queue = self._queues.get(name)
            redrive = queue.redrive
            dead_letters = self._queues.find_arn(redrive.dead_letter_arn) if redrive else None
            hidden = queue.number("VisibilityTimeout") if visibility is None else visibility
            messages, moved = self._messages.take(queue, count, hidden, dead_letters, hold=hold)
            if moved and dead_letters:
                self._announce(dead_letters.name)
            return messages, None if messages else self._messages.next_visible(name)

    def _hide(self, queue: Queue, handle: str, seconds: float) -> None:
        self._messages.hide(queue.name, handle, seconds)
        self._announce(queue.name)

    def refuse(self, error: AwsError) -> Response:
        response = json_response({"__type": type_of(error.code), "message": error.message}, error.status)
        fault = "Sender" if error.status < 500 else "Receiver"
        response.headers["x-amzn-query-error"] = f"{query_code(error.code)};{fault}"
        return response


def _checked(name: str, work: Operation) -> Operation:
    def checked(request: Request, caller: Caller) -> Answer:
        check(name, request)
        return work(request, caller)

    return checked


def _digests(attributes: Attributes, trace: Attributes) -> dict[str, str]:
    digests = {"MD5OfMessageAttributes": attributes, "MD5OfMessageSystemAttributes": trace}
    return {member: attributes_md5(values) for member, values in digests.items() if values}

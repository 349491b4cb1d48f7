"""What the operations ask of a request beyond its JSON types: ranges, batches, pages; and how a message is shown."""

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from local.sqs.contents import MAX_BYTES, attributes_md5, check_attributes, check_body, select, size
from local.sqs.errors import invalid_value, query_code
from local.sqs.messages import Message
from local.wire import AwsError, Caller

Request = dict[str, Any]

_MAX_BATCH = 10
_ENTRY_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_GROUP_ID = re.compile(r"[!-~]{1,128}")
_SYSTEM_NAMES = (
    "All",
    "ApproximateFirstReceiveTimestamp",
    "ApproximateReceiveCount",
    "AWSTraceHeader",
    "DeadLetterQueueSourceArn",
    "MessageDeduplicationId",
    "MessageGroupId",
    "SenderId",
    "SentTimestamp",
    "SequenceNumber",
    "SqsManagedSseEnabled",
)


def number(request: Mapping[str, Any], name: str, default: int, low: int, high: int, reason: str) -> int:
    value = request.get(name)
    if value is None:
        return default
    if not low <= value <= high:
        raise invalid_value(value, name, reason)
    return int(value)


def visibility(request: Mapping[str, Any]) -> int:
    reason = "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]"
    return number(request, "VisibilityTimeout", 0, 0, 43200, reason)


def group(request: Mapping[str, Any]) -> dict[str, str]:
    """The MessageGroupId as a system attribute: on a standard queue it is kept and shown, no more."""
    found = request.get("MessageGroupId")
    if found is None:
        return {}
    if not _GROUP_ID.fullmatch(found):
        reason = "MessageGroupId can only include alphanumeric and punctuation characters. 1 to 128 in length."
        raise invalid_value(found, "MessageGroupId", reason)
    return {"MessageGroupId": found}


def refuse_fifo(request: Mapping[str, Any], name: str) -> None:
    if request.get(name):
        reason = "The request include parameter that is not valid for this queue type."
        raise invalid_value(request[name], name, reason)


def system_names(request: Request) -> list[str]:
    names = [*(request.get("AttributeNames") or []), *(request.get("MessageSystemAttributeNames") or [])]
    for name in names:
        if name not in _SYSTEM_NAMES:
            raise AwsError("InvalidAttributeName", f"Unknown Attribute {name}.")
    return names


def page(request: Request) -> tuple[str, int]:
    """The name after which a page begins, and how many names it may hold."""
    limit = number(request, "MaxResults", 1000, 1, 1000, "Must be between 1 and 1000, if provided.")
    try:
        return base64.urlsafe_b64decode(request.get("NextToken") or "").decode(), limit
    except ValueError:
        raise invalid_value(request["NextToken"], "NextToken", "Invalid or expired NextToken.") from None


def next_token(last: str) -> str:
    return base64.urlsafe_b64encode(last.encode()).decode()


def check_batch(operation: str, entries: Sequence[Mapping[str, Any]]) -> None:
    if not entries:
        message = f"There should be at least one {operation}RequestEntry in the request."
        raise AwsError("EmptyBatchRequest", message)
    if len(entries) > _MAX_BATCH:
        message = f"Maximum number of entries per request are {_MAX_BATCH}. You have sent {len(entries)}."
        raise AwsError("TooManyEntriesInBatchRequest", message)
    seen: set[str] = set()
    for name in (entry["Id"] for entry in entries):
        if not _ENTRY_ID.fullmatch(name):
            message = "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
            raise AwsError("InvalidBatchEntryId", message + "It can be at most 80 letters long.")
        if name in seen:
            raise AwsError("BatchEntryIdsNotDistinct", f"Id {name} repeated.")
        seen.add(name)


def check_batch_size(entries: Sequence[Mapping[str, Any]]) -> None:
    total = sum(_size_if_sound(entry) for entry in entries)
    if total > MAX_BYTES:
        message = f"Batch requests cannot be longer than {MAX_BYTES} bytes. You have sent {total} bytes."
        raise AwsError("BatchRequestTooLong", message)


def each(
    entries: Iterable[Mapping[str, Any]], work: Callable[[Mapping[str, Any]], Mapping[str, Any] | None]
) -> dict[str, list[dict[str, Any]]]:
    """The answer of a batch: what failed does not keep the others from succeeding."""
    done: dict[str, list[dict[str, Any]]] = {"Successful": [], "Failed": []}
    for entry in entries:
        try:
            done["Successful"].append({"Id": entry["Id"], **(work(entry) or {})})
        except AwsError as error:
            failure = {"Code": query_code(error.code), "Message": error.message, "SenderFault": error.status < 500}
            done["Failed"].append({"Id": entry["Id"], **failure})
    return {name: results for name, results in done.items() if results}


def shown(message: Message, system: Sequence[str], users: Sequence[str]) -> dict[str, Any]:
    """A received message with the attributes that were asked for; the digest is of those alone."""
    members: dict[str, Any] = {
        "MessageId": message.message_id,
        "ReceiptHandle": message.receipt_handle,
        "MD5OfBody": message.md5_of_body,
        "Body": message.body,
    }
    attributes = {name: value for name, value in message.attributes.items() if "All" in system or name in system}
    if attributes:
        members["Attributes"] = attributes
    if selected := select(message.message_attributes, users):
        members["MD5OfMessageAttributes"] = attributes_md5(selected)
        members["MessageAttributes"] = selected
    return members


def sender_id(caller: Caller) -> str:
    """As IAM's ids look: a user's, or a role's with the session."""
    role = caller.role_arn
    digest = hashlib.sha256((role or caller.arn).encode()).hexdigest()[:17].upper()
    return f"AROA{digest}:{caller.arn.rpartition('/')[2]}" if role else f"AIDA{digest}"


def _size_if_sound(entry: Mapping[str, Any]) -> int:
    """0 for an entry that will fail by itself."""
    attributes = entry.get("MessageAttributes") or {}
    try:
        check_body(entry["MessageBody"])
        check_attributes(attributes)
    except AwsError:
        return 0
    return size(entry["MessageBody"], attributes)

"""The attributes of a queue: what values they take, and what they are unless set."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.sqs.errors import invalid_value, unsupported
from local.wire import AwsError

DEFAULTS = {
    "DelaySeconds": "0",
    "MaximumMessageSize": "1048576",
    "MessageRetentionPeriod": "345600",
    "ReceiveMessageWaitTimeSeconds": "0",
    "SqsManagedSseEnabled": "true",
    "VisibilityTimeout": "30",
}
_RANGES = {
    "DelaySeconds": (0, 900),
    "KmsDataKeyReusePeriodSeconds": (60, 86400),
    "MaximumMessageSize": (1024, 1048576),
    "MessageRetentionPeriod": (60, 1209600),
    "ReceiveMessageWaitTimeSeconds": (0, 20),
    "VisibilityTimeout": (0, 43200),
}
_REMOVED_BY_EMPTY = ("KmsMasterKeyId", "Policy", "RedriveAllowPolicy", "RedrivePolicy")
_FIFO = ("ContentBasedDeduplication", "DeduplicationScope", "FifoQueue", "FifoThroughputLimit")
_NOT_ATTRIBUTES = ("QueueName", "Tags")


@dataclass(frozen=True)
class Redrive:
    """Where messages go that were received more than `max_receives` times."""

    dead_letter_arn: str
    max_receives: int


def check(attributes: Mapping[str, str]) -> None:
    """Refuse names and values SQS would not take; whether a dead letter queue exists is the caller's to ask."""
    for name, value in attributes.items():
        if name in _FIFO:
            raise unsupported("The laptop does not offer FIFO queues")
        if name not in _RANGES and name not in _REMOVED_BY_EMPTY and name != "SqsManagedSseEnabled":
            raise AwsError("InvalidAttributeName", f"Unknown Attribute {name}.")
        if not _fits(name, value):
            raise AwsError("InvalidAttributeValue", f"Invalid value for the parameter {name}.")
    if attributes.get("RedrivePolicy"):
        read_redrive(attributes["RedrivePolicy"])
    if attributes.get("RedriveAllowPolicy"):
        read_allowed(attributes["RedriveAllowPolicy"])
    if attributes.get("KmsMasterKeyId") and attributes.get("SqsManagedSseEnabled") == "true":
        message = "You can use one type of server-side encryption (SSE) at one time. "
        message += "You can either enable KMS SSE or SQS SSE."
        raise AwsError("InvalidAttributeName", message)


def merge(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """What is stored after `new` was set."""
    merged = {**old, **new}
    return {name: value for name, value in merged.items() if value or name not in _REMOVED_BY_EMPTY}


def effective(stored: Mapping[str, str]) -> dict[str, str]:
    encrypted = {"KmsDataKeyReusePeriodSeconds": "300", "SqsManagedSseEnabled": "false"}
    return {**DEFAULTS, **(encrypted if stored.get("KmsMasterKeyId") else {}), **stored}


def from_properties(properties: Mapping[str, Any]) -> dict[str, str]:
    """The attributes in the Properties of an `AWS::SQS::Queue`."""
    found = {name: value for name, value in properties.items() if name not in _NOT_ATTRIBUTES}
    if str(found.get("FifoQueue", False)).lower() == "false":
        found.pop("FifoQueue", None)
    return {name: _text(value) for name, value in found.items()}


def read_redrive(text: str) -> Redrive:
    policy = _read_map("RedrivePolicy", text, "Redrive policy is not a valid JSON map.")
    for name in ("deadLetterTargetArn", "maxReceiveCount"):
        if name not in policy:
            raise _bad_redrive(text, f"Redrive policy does not contain mandatory attribute: {name}.")
    arn, receives = policy["deadLetterTargetArn"], str(policy["maxReceiveCount"])
    if not isinstance(arn, str) or not arn.startswith("arn:aws:sqs:") or arn.count(":") != 5:
        raise _bad_redrive(text, "Invalid value for deadLetterTargetArn.")
    if not _is_within(receives, 1, 1000):
        reason = f"Invalid value for maxReceiveCount: {receives}, valid values are from 1 to 1000 both inclusive."
        raise _bad_redrive(text, reason)
    return Redrive(arn, int(receives))


def read_allowed(text: str) -> list[str] | None:
    """The ARNs of the queues that may use this one for their dead letters; None for all of them."""
    policy = _read_map("RedriveAllowPolicy", text, "Amazon SQS can't create the redrive allow policy.")
    permission, sources = policy.get("redrivePermission"), policy.get("sourceQueueArns", [])
    if permission == "byQueue" and isinstance(sources, list) and 1 <= len(sources) <= 10:
        return [str(source) for source in sources]
    if permission not in ("allowAll", "denyAll") or sources:
        raise invalid_value(text, "RedriveAllowPolicy", "Amazon SQS can't create the redrive allow policy.")
    return None if permission == "allowAll" else []


def _fits(name: str, value: str) -> bool:
    if name == "SqsManagedSseEnabled":
        return value in ("true", "false")
    if name == "Policy" and value:
        return _is_json_map(value)
    if name not in _RANGES:
        return True
    return _is_within(value, *_RANGES[name])


def _is_within(text: str, low: int, high: int) -> bool:
    return re.fullmatch("[0-9]{1,10}", text) is not None and low <= int(text) <= high


def _is_json_map(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _read_map(parameter: str, text: str, otherwise: str) -> dict[str, Any]:
    if not _is_json_map(text):
        raise invalid_value(text, parameter, otherwise)
    found: dict[str, Any] = json.loads(text)
    return found


def _bad_redrive(text: str, reason: str) -> AwsError:
    return invalid_value(text, "RedrivePolicy", reason)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else json.dumps(value)

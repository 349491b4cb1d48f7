"""What is in a message: which text and attributes SQS takes, how large they are, and their MD5 digests."""

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from local.sqs.errors import invalid, missing
from local.wire import AwsError

Attributes = Mapping[str, Mapping[str, Any]]
"""By name, each with `DataType` and `StringValue` or `BinaryValue` (base64, as on the wire)."""

MAX_BYTES = 1048576
_MAX_ATTRIBUTES = 10
_REFUSED = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NAME = re.compile(r"(?!(?i:aws|amazon)\.)(?!\.)(?!.*\.\.)[\w.-]{1,256}(?<!\.)", re.ASCII)
_TRANSPORTS = {"String": 1, "Number": 1, "Binary": 2}


def check_body(body: str) -> None:
    if not body:
        raise missing("MessageBody")
    if _REFUSED.search(body):
        message = "Invalid characters found. Valid unicode characters are "
        message += "#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"
        raise AwsError("InvalidMessageContents", message)


def check_attributes(attributes: Attributes) -> None:
    if len(attributes) > _MAX_ATTRIBUTES:
        raise invalid(f"Number of message attributes [{len(attributes)}] exceeds the allowed maximum [10].")
    for name, value in attributes.items():
        if not _NAME.fullmatch(name):
            raise invalid(f"The message attribute name '{name}' is invalid.")
        _check_value(f"The message (user) attribute '{name}'", value)


def check_trace(attributes: Attributes) -> None:
    """System attributes of a message that is sent: only an X-Ray trace header."""
    for name, value in attributes.items():
        if name != "AWSTraceHeader" or value["DataType"] != "String":
            message = f"The message system attribute '{name}' is invalid. "
            raise invalid(message + "Only a String named AWSTraceHeader is supported.")
        _check_value(f"The message system attribute '{name}'", value)


def size(body: str, attributes: Attributes) -> int:
    """Bytes of the body and of every attribute's name, type and value."""
    extra = sum(
        len(name.encode()) + len(value["DataType"].encode()) + len(_payload(value))
        for name, value in attributes.items()
    )
    return len(body.encode()) + extra


def body_md5(body: str) -> str:
    return hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()


def attributes_md5(attributes: Attributes) -> str:
    """SQS developer guide, "Calculating the MD5 message digest for message attributes"."""
    digest = hashlib.md5(usedforsecurity=False)
    for name, value in sorted(attributes.items()):
        transport = bytes([_transport(value)])
        for part in (_framed(name.encode()), _framed(value["DataType"].encode()), transport, _framed(_payload(value))):
            digest.update(part)
    return digest.hexdigest()


def select(attributes: Attributes, names: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """Those that a receiver asked for by name, by `prefix.*`, or with `All`."""
    wanted = list(names)
    prefixes = tuple(name.removesuffix("*").removesuffix(".") for name in wanted if name.endswith(".*"))
    everything = "All" in wanted or ".*" in wanted
    return {
        name: value
        for name, value in attributes.items()
        if everything or name in wanted or (prefixes and name.startswith(prefixes))
    }


def _check_value(what: str, value: Mapping[str, Any]) -> None:
    if value["DataType"].partition(".")[0] not in _TRANSPORTS or len(value["DataType"].encode()) > 256:
        message = f"{what} has an invalid message attribute type, "
        raise invalid(message + "the set of supported type prefixes is Binary, Number, and String.")
    if value.get("StringListValues") or value.get("BinaryListValues"):
        raise invalid(f"{what} has a list of values, which SQS does not implement.")
    kind = value["DataType"].partition(".")[0]
    content = value.get("BinaryValue" if kind == "Binary" else "StringValue")
    if not content or ("StringValue" if kind == "Binary" else "BinaryValue") in value:
        raise invalid(f"{what} must contain a non-empty value of its type {kind}, and no other.")
    if kind == "Binary":
        _check_base64(what, content)
    elif _REFUSED.search(content):
        raise invalid(f"{what} contains characters outside the allowed set.")
    elif kind == "Number" and not _is_number(content):
        raise invalid(f"Can't cast the value of {what[0].lower()}{what[1:]} to a number.")


def _check_base64(what: str, content: str) -> None:
    try:
        base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise AwsError("SerializationException", f"{what} is not base64") from error


def _is_number(text: str) -> bool:
    try:
        return Decimal(text).is_finite()
    except InvalidOperation:
        return False


def _transport(value: Mapping[str, Any]) -> int:
    return _TRANSPORTS[value["DataType"].partition(".")[0]]


def _payload(value: Mapping[str, Any]) -> bytes:
    if "BinaryValue" in value:
        return base64.b64decode(value["BinaryValue"])
    return str(value["StringValue"]).encode()


def _framed(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data

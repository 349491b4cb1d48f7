"""Requests held against the SDK's model of the service, in the words of this service."""

from collections.abc import Mapping
from typing import Any

from local.s3vectors.errors import unreadable
from local.shapes import Violation, input_shape, violations
from local.wire import AwsError

SERVICE = "s3vectors"


def check_request(operation: str, request: Mapping[str, Any]) -> None:
    """Refuse a request that breaks the model, naming every member that does."""
    fields = []
    for one in violations(input_shape(SERVICE, operation), request):
        path = "".join(f"/{part}" for part in one.path)
        if one.rule == "type":
            raise unreadable(f"The value at '{path or '/'}' is not {one.wanted}")
        fields.append({"path": path, "message": _sentence(one, path)})
    if fields:
        noun = "error" if len(fields) == 1 else "errors"
        message = f"{len(fields)} validation {noun} detected. " + "; ".join(field["message"] for field in fields)
        raise AwsError("ValidationException", message, 400, fieldList=fields)


def _sentence(one: Violation, path: str) -> str:
    subject, must = "Value", "not be null"
    if one.rule == "enum":
        must = f"satisfy enum value set: [{', '.join(one.bound)}]"
    elif one.rule == "pattern":
        must = f"satisfy regular expression pattern: ^{one.bound}$"
    elif one.rule in ("min", "max") and isinstance(one.value, int):
        must = f"be {_bounds(one)}"
    elif one.rule in ("min", "max"):
        subject, must = f"Value with length {len(one.value)}", f"have length {_bounds(one)}"
    return f"{subject} at '{path}' failed to satisfy constraint: Member must {must}"


def _bounds(one: Violation) -> str:
    low, high = one.shape.metadata.get("min"), one.shape.metadata.get("max")
    if low is None or high is None:
        return f"greater than or equal to {low}" if high is None else f"less than or equal to {high}"
    return f"between {low} and {high}, inclusive"

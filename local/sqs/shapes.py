"""A request held against AWS's own model of the API: required members and JSON types."""

from collections.abc import Mapping
from typing import Any

from local.shapes import Path, input_shape, violations
from local.sqs.errors import missing
from local.wire import AwsError


def check(operation: str, request: Mapping[str, Any]) -> None:
    """Lengths and ranges are told by the operations themselves, in words of their own."""
    for one in violations(input_shape("sqs", operation), request):
        if one.rule == "type":
            where = _dotted(one.path) or "/"
            raise AwsError("SerializationException", f"The value at '{where}' is not {one.wanted}")
        if one.rule == "required":
            raise missing(_dotted(one.path))


def _dotted(path: Path) -> str:
    return ".".join(str(part + 1) if isinstance(part, int) else part for part in path)

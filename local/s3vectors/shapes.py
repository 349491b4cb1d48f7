"""Requests held against botocore's model of the service: which operation, which members, which bounds."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StringShape, StructureShape

from local.s3vectors.errors import unreadable
from local.wire import AwsError

# Python's re has no \p{…}: letters, separators and numbers of any script, as the model's tag pattern wants them.
_UNICODE_CLASSES = r"\p{L}\p{Z}\p{N}"
_TAG_PUNCTUATION = "_.:/=+-@"

Violation = tuple[str, str]  # the path of a member and what is wrong with it


@cache
def service_model() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("s3vectors", "service-2"), "s3vectors")


@cache
def operations_by_route() -> Mapping[tuple[str, str], OperationModel]:
    """`(method, path)` → operation; a path with a parameter is kept up to that parameter."""
    model = service_model()
    operations = (model.operation_model(name) for name in model.operation_names)
    return {(str(each.http["method"]), str(each.http["requestUri"]).partition("{")[0]): each for each in operations}


def check_request(operation: OperationModel, request: Mapping[str, Any]) -> None:
    """Refuse a request that breaks the model, naming every member that does."""
    if operation.input_shape is None:
        return
    found = list(_violations(operation.input_shape, request, ""))
    if not found:
        return
    noun = "error" if len(found) == 1 else "errors"
    message = f"{len(found)} validation {noun} detected. " + "; ".join(text for _, text in found)
    fields = [{"path": path, "message": text} for path, text in found]
    raise AwsError("ValidationException", message, 400, fieldList=fields)


def _violations(shape: Shape, value: Any, path: str) -> Iterator[Violation]:
    if isinstance(shape, StructureShape):
        yield from _structure(shape, value, path)
    elif isinstance(shape, ListShape):
        yield from _list(shape, value, path)
    elif isinstance(shape, MapShape):
        yield from _map(shape, value, path)
    elif isinstance(shape, StringShape):
        yield from _string(shape, value, path)
    elif shape.type_name == "integer":
        yield from _integer(shape, value, path)
    elif shape.type_name == "boolean" and not isinstance(value, bool):
        raise unreadable(f"The value at '{path}' is not a boolean")


def _structure(shape: StructureShape, value: Any, path: str) -> Iterator[Violation]:
    if shape.metadata.get("document"):
        return  # free JSON: the operation itself says what it takes
    if not isinstance(value, Mapping):
        raise unreadable(f"The value at '{path or '/'}' is not an object")
    required = list(shape.members) if shape.metadata.get("union") else shape.metadata.get("required", [])
    for name in required:
        if value.get(name) is None:
            yield _violation(f"{path}/{name}", "Member must not be null")
    for name, member in shape.members.items():
        if value.get(name) is not None:
            yield from _violations(member, value[name], f"{path}/{name}")


def _list(shape: ListShape, value: Any, path: str) -> Iterator[Violation]:
    if not isinstance(value, list):
        raise unreadable(f"The value at '{path}' is not a list")
    yield from _length(shape, value, path)
    if shape.member.type_name == "float":
        return  # half a million numbers in one request: numpy looks at those
    for position, item in enumerate(value):
        yield from _violations(shape.member, item, f"{path}/{position}")


def _map(shape: MapShape, value: Any, path: str) -> Iterator[Violation]:
    if not isinstance(value, Mapping):
        raise unreadable(f"The value at '{path}' is not an object")
    for name, item in value.items():
        yield from _violations(shape.key, name, path)
        yield from _violations(shape.value, item, f"{path}/{name}")


def _string(shape: StringShape, value: Any, path: str) -> Iterator[Violation]:
    if not isinstance(value, str):
        raise unreadable(f"The value at '{path}' is not a string")
    yield from _length(shape, value, path)
    if shape.enum and value not in shape.enum:
        yield _violation(path, f"Member must satisfy enum value set: [{', '.join(shape.enum)}]")
    pattern = shape.metadata.get("pattern")
    if pattern and not _fits(str(pattern), value):
        yield _violation(path, f"Member must satisfy regular expression pattern: ^{pattern}$")


def _integer(shape: Shape, value: Any, path: str) -> Iterator[Violation]:
    if isinstance(value, bool) or not isinstance(value, int):
        raise unreadable(f"The value at '{path}' is not an integer")
    if bound := _out_of_bounds(shape, value):
        yield _violation(path, f"Member must be {bound}")


def _length(shape: Shape, value: str | list[Any], path: str) -> Iterator[Violation]:
    if bound := _out_of_bounds(shape, len(value)):
        text = f"Value with length {len(value)} at '{path}' failed to satisfy constraint: "
        yield path, f"{text}Member must have length {bound}"


def _out_of_bounds(shape: Shape, size: int) -> str | None:
    """Words for the bounds that `size` breaks, None where it breaks none."""
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if (low is None or size >= low) and (high is None or size <= high):
        return None
    if low is None or high is None:
        return f"greater than or equal to {low}" if high is None else f"less than or equal to {high}"
    return f"between {low} and {high}, inclusive"


def _fits(pattern: str, value: str) -> bool:
    if _UNICODE_CLASSES in pattern:
        return all(each in _TAG_PUNCTUATION or unicodedata.category(each)[0] in "LZN" for each in value)
    return re.fullmatch(pattern, value) is not None


def _violation(path: str, constraint: str) -> Violation:
    return path, f"Value at '{path}' failed to satisfy constraint: {constraint}"

"""Checks a request against the service's own model, as botocore carries it, and says what is wrong as AWS says it."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ListShape, ServiceModel, Shape, StructureShape

from local.wire import AwsError

_TYPES: dict[str, type] = {"string": str, "integer": int, "list": list, "structure": dict}


@cache
def _model(service: str) -> ServiceModel:
    return ServiceModel(Loader().load_service_model(service, "service-2"))


def check(operation: str, request: dict[str, Any], service: str = "bedrock-runtime") -> None:
    """Types, required and unknown members, lengths, ranges, patterns and enumerations, or `ValidationException`."""
    shape = _model(service).operation_model(operation).input_shape
    assert shape
    found = list(_violations(shape, request, ""))
    if found:
        count = f"{len(found)} validation error{'s' if len(found) > 1 else ''} detected"
        raise AwsError("ValidationException", f"{count}: {'; '.join(found)}")


def _violations(shape: Shape, value: Any, at: str) -> Iterator[str]:
    expected = _TYPES.get(shape.type_name)
    if shape.metadata.get("document") or expected is None:
        return
    fits = type(value) is expected  # a bool is no integer
    if not fits:
        yield _failed(at, f"Member must be a {shape.type_name}")
    elif isinstance(shape, StructureShape):
        yield from _structure(shape, value, at)
    else:
        yield from _constraints(shape, value, at)
        if isinstance(shape, ListShape):
            for number, item in enumerate(value, 1):
                yield from _violations(shape.member, item, f"{at}.{number}.member")


def _structure(shape: StructureShape, value: dict[str, Any], at: str) -> Iterator[str]:
    for name in sorted(value.keys() - shape.members.keys()):
        yield _failed(_inside(at, name), "Member is not known")
    if shape.is_tagged_union and len(value) != 1:
        yield _failed(at, f"Exactly one of [{', '.join(shape.members)}] is required")
    for name in shape.required_members:
        if value.get(name) is None:
            yield _failed(_inside(at, name), "Member must not be null")
    for name, member in shape.members.items():
        if value.get(name) is not None:
            yield from _violations(member, value[name], _inside(at, name))


def _constraints(shape: Shape, value: Any, at: str) -> Iterator[str]:
    rules = shape.metadata
    size, word = (value, "value") if shape.type_name == "integer" else (len(value), "length")
    if size < rules.get("min", size):
        yield _failed(at, f"Member must have {word} greater than or equal to {rules['min']}")
    if size > rules.get("max", size):
        yield _failed(at, f"Member must have {word} less than or equal to {rules['max']}")
    if "pattern" in rules and not re.fullmatch(rules["pattern"], value):
        yield _failed(at, f"Member must satisfy regular expression pattern: {rules['pattern']}")
    if "enum" in rules and value not in rules["enum"]:
        yield _failed(at, f"Member must satisfy enum value set: [{', '.join(rules['enum'])}]")


def _inside(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _failed(at: str, rule: str) -> str:
    return f"Value at '{at}' failed to satisfy constraint: {rule}"

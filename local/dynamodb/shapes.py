"""A request held against AWS's own model of the API: types, required members, lengths, ranges, enumerations."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape

from local.dynamodb.errors import invalid, malformed
from local.dynamodb.values import is_unicode

_NOT_OFFERED = frozenset(
    (
        "AttributesToGet",
        "AttributeUpdates",
        "ConditionalOperator",
        "Expected",
        "GlobalTableSettingsReplicationMode",
        "GlobalTableSourceArn",
        "KeyConditions",
        "QueryFilter",
        "ResourcePolicy",
        "ScanFilter",
        "VectorIndexes",
    )
)
_ONLY = {"ReturnConsumedCapacity": "NONE", "ReturnItemCollectionMetrics": "NONE"}
_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "long": int,
    "double": (int, float),
    "boolean": bool,
    "list": list,
    "map": dict,
    "structure": dict,
}


@cache
def _model() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("dynamodb", "service-2"), "dynamodb")


def check(operation: str, request: dict[str, Any]) -> None:
    """Refuse a request that breaks the model, or asks for what the laptop does not offer."""
    shape = _model().operation_model(operation).input_shape
    errors = list(_errors(shape, request, "")) if shape else []
    if errors:
        plural = "s" if len(errors) > 1 else ""
        raise invalid(f"{len(errors)} validation error{plural} detected: {'; '.join(errors)}")


def _errors(shape: Shape, value: Any, where: str) -> Iterator[str]:
    if shape.name == "AttributeValue":
        return
    wanted = _TYPES.get(shape.type_name)
    if wanted and (not isinstance(value, wanted) or (wanted is int and isinstance(value, bool))):
        raise malformed(f"Unexpected type of value at '{where}', expected {shape.type_name}")
    texts = [value] if isinstance(value, str) else list(value) if isinstance(value, dict) else []
    if not all(map(is_unicode, texts)):
        raise malformed(f"A text at '{where}' holds half a surrogate pair")
    yield from _constraints(shape, value, where)
    if isinstance(shape, StructureShape):
        yield from _members(shape, value, where)
    elif isinstance(shape, ListShape):
        for at, member in enumerate(value, 1):
            yield from _errors(shape.member, member, f"{where}.{at}.member")
    elif isinstance(shape, MapShape):
        for key, member in value.items():
            yield from _errors(shape.value, member, f"{where}.{key}.member")


def _members(shape: StructureShape, value: dict[str, Any], where: str) -> Iterator[str]:
    prefix = f"{where}." if where else ""
    for name, member in shape.members.items():
        path = f"{prefix}{name[0].lower()}{name[1:]}"
        given = value.get(name)
        if given is None:
            if name in shape.required_members:
                yield f"Value null at '{path}' failed to satisfy constraint: Member must not be null"
        elif name in _NOT_OFFERED:
            raise invalid(f"The laptop does not offer {name}")
        else:
            yield from _errors(member, given, path)
            if given != _ONLY.get(name, given):
                raise invalid(f"The laptop does not offer {name} {given}")


def _constraints(shape: Shape, value: Any, where: str) -> Iterator[str]:
    size, unit = (value, "value") if isinstance(value, int) else (len(value), "length")
    rules = shape.metadata
    broken = []
    if "enum" in rules and value not in rules["enum"]:
        broken.append(f"satisfy enum value set: [{', '.join(rules['enum'])}]")
    if size < rules.get("min", size):
        broken.append(f"have {unit} greater than or equal to {rules['min']}")
    if size > rules.get("max", size):
        broken.append(f"have {unit} less than or equal to {rules['max']}")
    if "pattern" in rules and not re.fullmatch(rules["pattern"], value):
        broken.append(f"satisfy regular expression pattern: {rules['pattern']}")
    shown = f" '{value}'" if isinstance(value, str | int) else ""
    for rule in broken:
        yield f"Value{shown} at '{where}' failed to satisfy constraint: Member must {rule}"

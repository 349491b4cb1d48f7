"""A request held against AWS's own model of the API: types, required members, lengths, ranges, patterns."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape

from local.wire import AwsError

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
    "timestamp": (int, float),
    "list": (list,),
    "map": (dict,),
    "structure": (dict,),
}
_NOT_OFFERED = (
    "AppSyncParameters",
    "BatchParameters",
    "EcsParameters",
    "EndpointId",
    "HttpParameters",
    "KinesisParameters",
    "RedshiftDataParameters",
    "RunCommandParameters",
    "SageMakerPipelineParameters",
    "Tags",
)


@cache
def _model() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("events", "service-2"), "events")


def check(operation: str, request: Any) -> None:
    """Refuse a request that breaks the model, or asks for what the laptop does not offer."""
    shape = _model().operation_model(operation).input_shape
    assert shape
    found = list(_violations(shape, request, ""))
    if found:
        count = f"{len(found)} validation error{'s' if len(found) > 1 else ''} detected"
        raise AwsError("ValidationException", f"{count}: {'; '.join(found)}")


def _violations(shape: Shape, value: Any, at: str) -> Iterator[str]:
    if type(value) not in _TYPES[shape.type_name]:
        raise AwsError("SerializationException", f"The value at '{at or '/'}' is not a {shape.type_name}")
    yield from _constraints(shape, value, at)
    if isinstance(shape, StructureShape):
        yield from _members(shape, value, at)
    elif isinstance(shape, ListShape):
        for number, item in enumerate(value, 1):
            yield from _violations(shape.member, item, f"{at}.{number}.member")
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            yield from _violations(shape.value, item, f"{at}.{key}.member")


def _members(shape: StructureShape, value: dict[str, Any], at: str) -> Iterator[str]:
    for name, member in shape.members.items():
        inner = f"{at}.{name[0].lower()}{name[1:]}" if at else f"{name[0].lower()}{name[1:]}"
        if value.get(name) is not None:
            if name in _NOT_OFFERED:
                raise AwsError("ValidationException", f"The laptop does not offer {name}")
            yield from _violations(member, value[name], inner)
        elif name in shape.required_members:
            yield f"Value null at '{inner}' failed to satisfy constraint: Member must not be null"


def _constraints(shape: Shape, value: Any, at: str) -> Iterator[str]:
    rules = shape.metadata
    size, word = (len(value), "length") if hasattr(value, "__len__") else (value, "value")
    broken = []
    if size < rules.get("min", size):
        broken.append(f"have {word} greater than or equal to {rules['min']}")
    if size > rules.get("max", size):
        broken.append(f"have {word} less than or equal to {rules['max']}")
    if "pattern" in rules and not re.fullmatch(rules["pattern"], value):
        broken.append(f"satisfy regular expression pattern: {rules['pattern']}")
    if "enum" in rules and value not in rules["enum"]:
        broken.append(f"satisfy enum value set: [{', '.join(rules['enum'])}]")
    for rule in broken:
        yield f"Value '{value}' at '{at}' failed to satisfy constraint: Member must {rule}"

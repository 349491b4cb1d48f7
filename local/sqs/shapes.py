"""A request held against AWS's own model of the API: required members and JSON types."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape

from local.sqs.errors import missing
from local.wire import AwsError

_TYPES: dict[str, type] = {
    "string": str,
    "blob": str,
    "integer": int,
    "boolean": bool,
    "list": list,
    "map": dict,
    "structure": dict,
}


@cache
def _model() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("sqs", "service-2"), "sqs")


def check(operation: str, request: Mapping[str, Any]) -> None:
    shape = _model().operation_model(operation).input_shape
    assert shape
    _check(shape, request, "")


def _check(shape: Shape, value: Any, path: str) -> None:
    if not _has_type(shape, value):
        raise AwsError("SerializationException", f"The value at '{path or '/'}' is not a {shape.type_name}")
    if isinstance(shape, StructureShape):
        _check_members(shape, value, path)
    elif isinstance(shape, ListShape):
        for number, item in enumerate(value, 1):
            _check(shape.member, item, f"{path}.{number}")
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            _check(shape.value, item, f"{path}.{key}")


def _has_type(shape: Shape, value: Any) -> bool:
    return type(value) is _TYPES[shape.type_name]  # not isinstance: True is no integer


def _check_members(shape: StructureShape, value: Mapping[str, Any], path: str) -> None:
    for name, member in shape.members.items():
        inner = f"{path}.{name}" if path else name
        if value.get(name) is not None:
            _check(member, value[name], inner)
        elif name in shape.required_members:
            raise missing(inner)

"""Violations of a model's request schema, in the words in which Bedrock reports them.

A JSON pointer and what is wrong there, one after the other: `#/a: expected type: String, found: Null#/b: …`.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from local.wire import AwsError

_SHOWN_CHARS = 100
_TYPES = {
    "string_type": "String",
    "int_type": "Integer",
    "bool_type": "Boolean",
    "list_type": "JSONArray",
    "model_type": "JSONObject",
}
_RULES = {
    "greater_than_equal": "{value} is not greater or equal to {ge}",
    "less_than_equal": "{value} is not less or equal to {le}",
    "literal_error": "{value} is not a valid enum value",
    "string_pattern_mismatch": "string [{value}] does not match pattern {pattern}",
    "string_too_long": "expected maxLength: {max_length}, actual: {length}",
    "string_too_short": "expected minLength: {min_length}, actual: {length}",
    "too_short": "expected minimum item count: {min_length}, found: {length}",
}


def malformed(error: ValidationError) -> AwsError:
    """The `ValidationException` for a body that pydantic refuses."""
    found = "".join(_violation(item["type"], item["loc"], item) for item in error.errors(include_url=False))
    return AwsError(
        "ValidationException", f"Malformed input request: {found}, please reformat your input and try again."
    )


def integer(value: object) -> object:
    """A validator before pydantic's own: a float would be found among the numbers allowed."""
    if isinstance(value, float):
        raise ValueError("expected type: Integer, found: Number")
    return value


def json_type(value: object) -> str:
    names = {str: "String", bool: "Boolean", int: "Integer", float: "Number", list: "JSONArray", dict: "JSONObject"}
    return names.get(type(value), "Null")


def _violation(kind: str, place: tuple[int | str, ...], item: Mapping[str, Any]) -> str:
    if kind == "missing":
        return f"{_pointer(place[:-1])}: required key [{place[-1]}] not found"
    if kind == "extra_forbidden":
        return f"{_pointer(place[:-1])}: extraneous key [{place[-1]}] is not permitted"
    value = item["input"]
    if kind in _TYPES or value is None:
        expected = _TYPES.get(kind, "a value")
        return f"{_pointer(place)}: expected type: {expected}, found: {json_type(value)}"
    if kind in _RULES:
        length = len(value) if isinstance(value, str | list) else 0
        shown = json_type(value) if isinstance(value, list | dict) else str(value)[:_SHOWN_CHARS]
        words = {**item.get("ctx", {}), "value": shown, "length": length}
        return f"{_pointer(place)}: {_RULES[kind].format(**words)}"
    return f"{_pointer(place)}: {item['msg'].removeprefix('Value error, ')}"


def _pointer(place: tuple[int | str, ...]) -> str:
    return "/".join(["#", *map(str, place)])

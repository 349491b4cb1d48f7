"""The intrinsic functions of the States Language: `States.Format('{} of {}', $.n, States.ArrayLength($.items))`."""

import base64
import hashlib
import json
import math
import random
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from local.stepfunctions import jsonpath
from local.stepfunctions.jsonpath import Json, Path, PathError, PathSyntaxError

MAX_NESTING = 10
MAX_TEXT = 10_000  # characters Hash and the Base64 functions take
MAX_RANGE = 1_000

_CALL = re.compile(r"(States\.\w+)\s*\(")
_STRING = re.compile(r"'((?:[^'\\]|\\['\\{}])*)'")
_LITERAL = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null")
_SPACE = re.compile(r"\s*")


class IntrinsicError(PathError):
    """A function cannot do with its arguments what it should."""


@dataclass(frozen=True)
class Text:
    """A string between quotes, its escapes (`\\'`, `\\\\`, `\\{`, `\\}`) still in it."""

    raw: str


@dataclass(frozen=True)
class Literal:
    value: Json


@dataclass(frozen=True)
class Call:
    name: str
    arguments: tuple["Expression", ...]
    text: str


Expression = Text | Literal | Path | Call


@lru_cache(maxsize=4096)
def parse(text: str) -> Expression:
    """A payload template's expression: a path or a function call."""
    expression, end = _scan(text, 0, 1)
    if end != len(text) or not isinstance(expression, Path | Call):
        raise PathSyntaxError(f"'{text}' is neither a JSONPath nor a call of an intrinsic function")
    return expression


def _scan(text: str, position: int, depth: int) -> tuple[Expression, int]:
    if text.startswith("$", position):
        return jsonpath.scan(text, position)
    if call := _CALL.match(text, position):
        return _scan_call(text, position, call, depth)
    if string := _STRING.match(text, position):
        return Text(string[1]), string.end()
    if literal := _LITERAL.match(text, position):
        return Literal(json.loads(literal[0])), literal.end()
    raise PathSyntaxError(f"'{text}' is no valid expression at position {position}")


def _scan_call(text: str, start: int, call: re.Match[str], depth: int) -> tuple[Call, int]:
    if depth > MAX_NESTING:
        raise PathSyntaxError(f"'{text}' nests more than {MAX_NESTING} intrinsic functions")
    arguments: list[Expression] = []
    position = _skip(text, call.end())
    while not text.startswith(")", position):
        if arguments:
            if not text.startswith(",", position):
                raise PathSyntaxError(f"'{text}': a ',' or ')' is missing at position {position}")
            position = _skip(text, position + 1)
        argument, position = _scan(text, position, depth + 1)
        arguments.append(argument)
        position = _skip(text, position)
    _check_arity(call[1], len(arguments))
    return Call(call[1], tuple(arguments), text[start : position + 1]), position + 1


def _skip(text: str, position: int) -> int:
    space = _SPACE.match(text, position)
    return space.end() if space else position


def _check_arity(name: str, count: int) -> None:
    if name not in FUNCTIONS:
        raise PathSyntaxError(f"'{name}' is no intrinsic function")
    _, least, most = FUNCTIONS[name]
    if not least <= count <= most:
        raise PathSyntaxError(f"'{name}' does not take {count} arguments")


def evaluate(expression: Expression, document: Json, context: Json) -> Json:
    """The value of a parsed expression; `PathError` where a path or a function fails."""
    match expression:
        case Path():
            return jsonpath.read(expression, document, context)
        case Text(raw):
            return _unescape(raw)
        case Literal(value):
            return value
        case Call():
            return _apply(expression, document, context)


def _apply(call: Call, document: Json, context: Json) -> Json:
    values = [evaluate(argument, document, context) for argument in call.arguments]
    if call.name == "States.Format" and isinstance(call.arguments[0], Text):
        values[0] = call.arguments[0].raw  # so that `\{` is told from `{`
    try:
        return FUNCTIONS[call.name][0](*values)
    except IntrinsicError as error:
        raise PathError(f"The function '{call.text}' had the following error: {error}") from error


def _unescape(raw: str) -> str:
    return re.sub(r"\\(['\\{}])", r"\1", raw)


def canonical(value: Json) -> str:
    """A text equal for equal JSON values only (`1`, `1.0` and `true` are three)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _format(template: Json, *values: Json) -> str:
    parts = re.split(r"(\\['\\{}]|\{\}|[{}])", _string(template))
    holes = parts.count("{}")
    if "{" in parts or "}" in parts:
        raise IntrinsicError("An unescaped brace in the template is no part of '{}'")
    if holes != len(values):
        raise IntrinsicError(f"The template has {holes} places for {len(values)} values")
    left = iter(values)
    return "".join(shown(next(left)) if part == "{}" else _unescape(part) for part in parts)


def shown(value: Json) -> str:
    """How AWS prints a value into a text: objects and arrays come out as Java prints them (recorded)."""
    match value:
        case str():
            return value
        case list():
            return "[" + ", ".join(map(shown, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{key}={shown(item)}" for key, item in value.items()) + "}"
        case _:
            return json.dumps(value)


def _string(value: Json) -> str:
    if not isinstance(value, str):
        raise IntrinsicError(f"{canonical(value)} is not a string")
    return value


def _short(value: Json) -> str:
    text = _string(value)
    if len(text) > MAX_TEXT:
        raise IntrinsicError(f"The string is longer than {MAX_TEXT:,} characters")
    return text


def _array(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise IntrinsicError(f"{canonical(value)} is not an array")
    return value


def _integer(value: Json) -> int:
    """A number, rounded half up as Java's Math.round does (recorded: 2.5 → 3, -1.5 → -1)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise IntrinsicError(f"{canonical(value)} is not a number")
    return math.floor(value + 0.5) if isinstance(value, float) else value


def _string_to_json(text: Json) -> Json:
    try:
        return json.loads(_string(text))
    except ValueError as error:
        raise IntrinsicError(f"The string is not JSON: {error}") from error


def _json_to_string(value: Json) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _make_array(*values: Json) -> list[Json]:
    return list(values)


def _partition(array: Json, size: Json) -> list[Json]:
    items, width = _array(array), _integer(size)
    if width < 1:
        raise IntrinsicError("The chunk size is not a positive integer")
    return [items[start : start + width] for start in range(0, len(items), width)]


def _contains(array: Json, value: Json) -> bool:
    wanted = canonical(value)
    return any(canonical(item) == wanted for item in _array(array))


def _range(first: Json, last: Json, step: Json) -> list[int]:
    start, end, by = _integer(first), _integer(last), _integer(step)
    if by == 0:
        raise IntrinsicError("The step is zero")
    numbers = range(start, end + (1 if by > 0 else -1), by)
    if len(numbers) > MAX_RANGE:
        raise IntrinsicError(f"The range has more than {MAX_RANGE:,} items")
    return list(numbers)


def _get_item(array: Json, index: Json) -> Json:
    items, place = _array(array), _integer(index)
    if not 0 <= place < len(items):
        raise IntrinsicError(f"Index {place} is out of bounds for an array of {len(items)}")
    return items[place]


def _length(array: Json) -> int:
    return len(_array(array))


def _unique(array: Json) -> list[Json]:
    first: dict[str, Json] = {}
    for item in _array(array):
        first.setdefault(canonical(item), item)
    return list(first.values())


def _encode(text: Json) -> str:
    return base64.b64encode(_short(text).encode()).decode()


def _decode(text: Json) -> str:
    try:
        return base64.b64decode(_short(text), validate=True).decode()
    except ValueError as error:
        raise IntrinsicError(f"The string is not Base64 of a text: {error}") from error


_ALGORITHMS = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}


def _hash(data: Json, algorithm: Json) -> str:
    if algorithm not in _ALGORITHMS:
        raise IntrinsicError(f"The algorithm is not one of {', '.join(_ALGORITHMS)}")
    text = data if isinstance(data, str) else _json_to_string(data)
    return hashlib.new(_ALGORITHMS[algorithm], _short(text).encode(), usedforsecurity=False).hexdigest()


def _merge(first: Json, second: Json, deep: Json) -> Json:
    if deep is not False:
        raise IntrinsicError("Step Functions offers shallow merging only: the third argument must be false")
    if not isinstance(first, dict) or not isinstance(second, dict):
        raise IntrinsicError("Only objects can be merged")
    return {**first, **second}


def _random(first: Json, last: Json, seed: Json = None) -> int:
    start, end = _integer(first), _integer(last)
    if start >= end:
        raise IntrinsicError("The start is not less than the end")
    return random.Random(None if seed is None else _integer(seed)).randrange(start, end)


def _add(first: Json, second: Json) -> int:
    return _integer(first) + _integer(second)


def _split(text: Json, separators: Json) -> list[str]:
    """Every character of `separators` separates, and empty parts are left out (recorded)."""
    marks = _string(separators)
    parts = re.split(f"[{re.escape(marks)}]", _string(text)) if marks else [_string(text)]
    return [part for part in parts if part]


def _uuid() -> str:
    return str(uuid.uuid4())


_ANY = 1_000
FUNCTIONS: dict[str, tuple[Callable[..., Any], int, int]] = {  # function, least and most arguments
    "States.Format": (_format, 1, _ANY),
    "States.StringToJson": (_string_to_json, 1, 1),
    "States.JsonToString": (_json_to_string, 1, 1),
    "States.Array": (_make_array, 0, _ANY),
    "States.ArrayPartition": (_partition, 2, 2),
    "States.ArrayContains": (_contains, 2, 2),
    "States.ArrayRange": (_range, 3, 3),
    "States.ArrayGetItem": (_get_item, 2, 2),
    "States.ArrayLength": (_length, 1, 1),
    "States.ArrayUnique": (_unique, 1, 1),
    "States.Base64Encode": (_encode, 1, 1),
    "States.Base64Decode": (_decode, 1, 1),
    "States.Hash": (_hash, 2, 2),
    "States.JsonMerge": (_merge, 3, 3),
    "States.MathRandom": (_random, 2, 3),
    "States.MathAdd": (_add, 2, 2),
    "States.StringSplit": (_split, 2, 2),
    "States.UUID": (_uuid, 0, 0),
}

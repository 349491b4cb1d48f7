"""The rules of a Choice state."""

import re
from collections.abc import Callable
from datetime import datetime
from operator import eq, ge, gt, le, lt
from typing import Any

from local.stepfunctions import jsonpath
from local.stepfunctions.jsonpath import Json, PathError

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "Equals": eq,
    "LessThan": lt,
    "GreaterThan": gt,
    "LessThanEquals": le,
    "GreaterThanEquals": ge,
}
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")


def timestamp(value: Json) -> float | None:
    """Seconds since the epoch of an RFC 3339 time with an offset, None for anything else."""
    if not isinstance(value, str) or not _TIMESTAMP.fullmatch(value):
        return None
    try:
        return datetime.fromisoformat(value).timestamp()
    except ValueError:
        return None


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Json) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _truth(value: Json) -> bool | None:
    return value if isinstance(value, bool) else None


_KINDS: dict[str, Callable[[Json], Any]] = {
    "String": _text,
    "Numeric": _number,
    "Boolean": _truth,
    "Timestamp": timestamp,
}
_TESTS: dict[str, Callable[[Json], bool]] = {
    "IsNull": lambda value: value is None,
    "IsString": lambda value: _text(value) is not None,
    "IsNumeric": lambda value: _number(value) is not None,
    "IsBoolean": lambda value: _truth(value) is not None,
    "IsTimestamp": lambda value: timestamp(value) is not None,
}


def _compare_operators() -> dict[str, tuple[str, Callable[[Any, Any], bool]]]:
    return {
        f"{kind}{name}": (kind, compare)
        for kind in _KINDS
        for name, compare in _COMPARISONS.items()
        if kind != "Boolean" or name == "Equals"
    }


COMPARE = _compare_operators()
OPERATORS = {*COMPARE, *(f"{name}Path" for name in COMPARE), *_TESTS, "IsPresent", "StringMatches"}


def is_operand(operator: str, operand: Json) -> bool:
    """Whether a definition may give the operator this value."""
    if operator.startswith("Is"):
        return isinstance(operand, bool)
    if operator == "StringMatches" or operator.endswith("Path"):
        return isinstance(operand, str)
    return _KINDS[COMPARE[operator][0]](operand) is not None


def matches(rule: dict[str, Any], document: Json, context: Json) -> bool:
    """Whether a rule holds; a value of another type than its operator's makes it false, a missing one an error."""
    if "And" in rule:
        return all(matches(part, document, context) for part in rule["And"])
    if "Or" in rule:
        return any(matches(part, document, context) for part in rule["Or"])
    if "Not" in rule:
        return not matches(rule["Not"], document, context)
    operator = next(name for name in rule if name in OPERATORS)
    operand = rule[operator]
    if operator == "IsPresent":
        return _present(rule["Variable"], document, context) is operand
    value = _read(rule["Variable"], document, context)
    if operator in COMPARE or operator == "StringMatches":
        return _holds(operator, value, operand)
    if operator in _TESTS:
        return _TESTS[operator](value) is operand
    return _holds(operator.removesuffix("Path"), value, _read(operand, document, context))


def _holds(operator: str, value: Json, operand: Json) -> bool:
    if operator == "StringMatches":
        return isinstance(value, str) and wildcard(operand).fullmatch(value) is not None
    kind, compare = COMPARE[operator]
    left, right = _KINDS[kind](value), _KINDS[kind](operand)
    return left is not None and right is not None and compare(left, right)


def wildcard(pattern: str) -> re.Pattern[str]:
    """`*` is any text, `\\*` and `\\\\` are themselves."""
    parts = re.findall(r"\\[\\*]|.", pattern, re.DOTALL)
    return re.compile("".join(".*" if part == "*" else re.escape(part[-1]) for part in parts), re.DOTALL)


def _present(path: str, document: Json, context: Json) -> bool:
    try:
        found = jsonpath.read(jsonpath.parse(path), document, context)
    except PathError:
        return False
    return jsonpath.parse(path).definite or bool(found)


def _read(path: str, document: Json, context: Json) -> Json:
    try:
        return jsonpath.read(jsonpath.parse(path), document, context)
    except PathError as error:
        message = f"Invalid path '{path}': The choice state's condition path references an invalid value."
        raise PathError(message) from error

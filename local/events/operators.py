"""What one entry of a pattern's array demands of a value: an exact value, or an operator.

EventBridge user guide, "Comparison operators for use in event patterns".
"""

import ipaddress
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

Test = Callable[[Any], bool]
"""Of a value that is neither an object nor an array."""

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class InvalidPatternError(ValueError):
    """No event pattern; the message is the reason that EventBridge gives."""


def value_test(entry: Any) -> Test:
    if isinstance(entry, list):
        raise InvalidPatternError("Match value must be String, number, true, false, or null")
    if not isinstance(entry, dict):
        return lambda value: _same(entry, value)
    name, argument = _only(entry, "match expression")
    if name not in _OPERATORS:
        raise InvalidPatternError(f"Unrecognized match type {name}")
    return _OPERATORS[name](argument)


def _only(entry: Mapping[str, Any], what: str) -> tuple[str, Any]:
    if not entry:
        raise InvalidPatternError(f"{what[0].upper()}{what[1:]} name not found")
    if len(entry) > 1:
        raise InvalidPatternError(f"Only one key allowed in {what}")
    return next(iter(entry.items()))


def _same(wanted: Any, value: Any) -> bool:
    """Equal as JSON: numbers by value, and true is not 1."""
    return bool(wanted == value) and isinstance(wanted, bool) == isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any, message: str) -> float:
    if not _is_number(value):
        raise InvalidPatternError(message)
    try:
        finite = math.isfinite(float(value))
    except OverflowError:
        finite = False
    if not finite:
        raise InvalidPatternError(f"Cannot compare number : {value}")
    found: float = value
    return found


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise InvalidPatternError(f"{what} match pattern must be a string")
    return value


def _of_text(test: Callable[[str], bool]) -> Test:
    return lambda value: isinstance(value, str) and test(value)


def _prefix(argument: Any) -> Test:
    if isinstance(argument, dict):
        folded = _ignoring_case(argument, "prefix")
        return _of_text(lambda value: value.lower().startswith(folded))
    prefix = _text(argument, "prefix")
    return _of_text(lambda value: value.startswith(prefix))


def _suffix(argument: Any) -> Test:
    if isinstance(argument, dict):
        folded = _ignoring_case(argument, "suffix")
        return _of_text(lambda value: value.lower().endswith(folded))
    suffix = _text(argument, "suffix")
    return _of_text(lambda value: value.endswith(suffix))


def _ignoring_case(argument: Mapping[str, Any], what: str) -> str:
    name, text = _only(argument, "match expression")
    if name != "equals-ignore-case":
        raise InvalidPatternError(f"Unsupported {what} pattern: {name}")
    return _text(text, "equals-ignore-case").lower()


def _equals_ignore_case(argument: Any) -> Test:
    folded = _text(argument, "equals-ignore-case").lower()
    return _of_text(lambda value: value.lower() == folded)


def _wildcard(argument: Any) -> Test:
    first, *others = _pieces(_text(argument, "wildcard"))
    if not others:
        return _of_text(lambda value: value == first)
    *middle, last = others
    return _of_text(lambda value: _has_in_order(value, first, middle, last))


def _has_in_order(value: str, first: str, middle: list[str], last: str) -> bool:
    """Whether the value is `first`, the middle pieces in this order, and `last`, with anything between."""
    end = len(value) - len(last)
    at = len(first)
    if end < at or not value.startswith(first) or not value.endswith(last):
        return False
    for piece in middle:
        found = value.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def _pieces(pattern: str) -> list[str]:
    """The literal texts between the asterisks; a backslash takes an asterisk or a backslash literally."""
    pieces, at = [""], 0
    while at < len(pattern):
        character = pattern[at]
        if character == "\\":
            at += 1
            if pattern[at : at + 1] not in ("*", "\\"):
                raise InvalidPatternError(f"Invalid escape character at pos {at - 1}")
            pieces[-1] += pattern[at]
        elif character == "*":
            if pattern[at + 1 : at + 2] == "*":
                raise InvalidPatternError(f"Consecutive wildcard characters at pos {at}")
            pieces.append("")
        else:
            pieces[-1] += character
        at += 1
    return pieces


def _numeric(argument: Any) -> Test:
    if not isinstance(argument, list):
        raise InvalidPatternError("Value of numeric must be an array.")
    if len(argument) not in (2, 4):
        raise InvalidPatternError("Too many elements in numeric expression" if argument else "Invalid numeric match")
    comparisons = [_comparison(*argument[at : at + 2]) for at in range(0, len(argument), 2)]
    if len(argument) == 4:
        _check_range(argument)
    return lambda value: _is_number(value) and all(compare(value, limit) for compare, limit in comparisons)


def _comparison(name: Any, limit: Any) -> tuple[Callable[[float, float], bool], float]:
    if not isinstance(name, str) or name not in _COMPARISONS:
        raise InvalidPatternError(f"Unrecognized numeric range operator: {name}")
    return _COMPARISONS[name], _number(limit, f"Value of {name} must be numeric")


def _check_range(argument: list[Any]) -> None:
    low, bottom, high, top = argument
    if low not in (">", ">="):
        raise InvalidPatternError("Too many elements in numeric expression")
    if high not in ("<", "<="):
        raise InvalidPatternError(f"Bad numeric range operator: {high}")
    if bottom >= top:
        raise InvalidPatternError("Bottom must be less than top")


def _cidr(argument: Any) -> Test:
    text = _text(argument, "cidr")
    if text.count("/") != 1 or not text.partition("/")[2].isdecimal():
        raise InvalidPatternError("Malformed CIDR, one '/' required")
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise InvalidPatternError(f"Malformed CIDR: {error}") from error
    if network.prefixlen == network.max_prefixlen:
        raise InvalidPatternError(f"IPv{network.version} mask bits must be < {network.max_prefixlen}")

    def inside(value: str) -> bool:
        try:
            return ipaddress.ip_address(value) in network
        except ValueError:
            return False

    return _of_text(inside)


def _anything_but(argument: Any) -> Test:
    if isinstance(argument, dict):
        excluded = _excluded_by_operator(*_only(argument, "match expression"))
    else:
        values = _list(argument)
        _check_excluded(values)
        excluded = [value_test(value) for value in values]
    return lambda value: not any(test(value) for test in excluded)


def _excluded_by_operator(name: str, argument: Any) -> list[Test]:
    if name not in ("equals-ignore-case", "prefix", "suffix", "wildcard"):
        raise InvalidPatternError(f"Unsupported anything-but pattern: {name}")
    texts = [_text(text, name) for text in _list(argument)]
    if not texts or (name in ("prefix", "suffix") and "" in texts):
        raise InvalidPatternError("Null prefix/suffix not allowed")
    return [_OPERATORS[name](text) for text in texts]


def _check_excluded(values: list[Any]) -> None:
    if not all(isinstance(value, str) or _is_number(value) for value in values):
        raise InvalidPatternError("Inside anything but list, start|null|boolean is not supported.")
    if len({isinstance(value, str) for value in values}) != 1:
        message = "Inside anything but list, either all values are number or string, mixed type is not supported"
        raise InvalidPatternError(message)


def _list(argument: Any) -> list[Any]:
    return argument if isinstance(argument, list) else [argument]


def _exists(argument: Any) -> Test:
    """`{"exists": false}` is a matter of the whole event, so no value satisfies it."""
    if not isinstance(argument, bool):
        raise InvalidPatternError("exists match pattern must be either true or false.")
    return lambda value: bool(argument)


_OPERATORS: dict[str, Callable[[Any], Test]] = {
    "anything-but": _anything_but,
    "cidr": _cidr,
    "equals-ignore-case": _equals_ignore_case,
    "exists": _exists,
    "numeric": _numeric,
    "prefix": _prefix,
    "suffix": _suffix,
    "wildcard": _wildcard,
}

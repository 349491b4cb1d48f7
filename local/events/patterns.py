"""Event patterns: which events a rule is for."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from local.events.operators import InvalidPatternError, value_test

__all__ = ["InvalidPatternError", "compile_pattern", "matches"]

Event = Mapping[str, Any]
_Path = tuple[str, ...]
_Check = Callable[[Event, Event], bool]
"""Of an object inside an event, and the event."""

_RESERVED_IN_OR = (
    "exactly", "equals-ignore-case", "prefix", "suffix", "anything-but", "exists", "wildcard", "numeric", "cidr",
    "=", "<", "<=", ">", ">=", "regex", "not-wildcard", "not-equals-ignore-case", "date-after", "date-on-or-after",
    "date-before", "date-on-or-before", "in-date-range", "ip-address-in-range", "ip-address-not-in-range",
)  # fmt: skip


def matches(pattern: Mapping[str, Any], event: Event) -> bool:
    """Whether the event is as the pattern says, or `InvalidPatternError`."""
    return compile_pattern(pattern)(event)


def compile_pattern(pattern: Any) -> Callable[[Event], bool]:
    """The same for many events. An array in an event stands for each of its elements.

    Two fields in objects of one array match only together, in one element.
    """
    if not isinstance(pattern, dict):
        raise InvalidPatternError("Filter is not an object")
    check = _object(pattern, (), in_or=False)
    return lambda event: check(event, event)


def _object(pattern: Mapping[str, Any], path: _Path, in_or: bool) -> _Check:
    if not pattern:
        raise InvalidPatternError("Empty objects are not allowed")
    checks = [_field(name, inner, path, in_or) for name, inner in pattern.items()]
    return lambda node, event: all(check(node, event) for check in checks)


def _field(name: str, inner: Any, path: _Path, in_or: bool) -> _Check:
    if name == "$or":
        return _or(inner, path)
    if in_or and name in _RESERVED_IN_OR:
        raise InvalidPatternError(f"{name} is Ruler reserved fieldName which cannot be used inside $or.")
    if isinstance(inner, dict):
        below = _object(inner, (*path, name), in_or)
        return lambda node, event: any(below(each, event) for each in _objects_or_nothing(node.get(name)))
    if isinstance(inner, list):
        return _leaf(name, inner, (*path, name))
    raise InvalidPatternError(f'"{name}" must be an object or an array')


def _or(alternatives: Any, path: _Path) -> _Check:
    if not isinstance(alternatives, list):
        raise InvalidPatternError("It must be an Array followed with $or.")
    if not all(isinstance(alternative, dict) for alternative in alternatives):
        raise InvalidPatternError("Only JSON object is allowed in array of $or relationship.")
    if len(alternatives) < 2:
        raise InvalidPatternError("There must have at least 2 Objects in $or relationship.")
    checks = [_object(alternative, path, in_or=True) for alternative in alternatives]
    return lambda node, event: any(check(node, event) for check in checks)


def _leaf(name: str, entries: list[Any], path: _Path) -> _Check:
    if not entries:
        raise InvalidPatternError("Empty arrays are not allowed")
    tests = [value_test(entry) for entry in entries]
    may_be_absent = {"exists": False} in entries

    def check(node: Event, event: Event) -> bool:
        if any(test(value) for value in _leaves(node.get(name, [])) for test in tests):
            return True
        return may_be_absent and not any(_leaves_at(event, path))

    return check


def _leaves(value: Any) -> Iterator[Any]:
    """The value itself, or what is in an array; objects are no leaves."""
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, list):
            pending.extend(each)
        elif not isinstance(each, dict):
            yield each


def _objects(value: Any) -> Iterator[Event]:
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, list):
            pending.extend(reversed(each))
        elif isinstance(each, dict):
            yield each


def _objects_or_nothing(value: Any) -> list[Event]:
    """Without an object there every field below is absent, which is what a pattern may ask for."""
    return list(_objects(value)) or [{}]


def _leaves_at(node: Any, path: _Path) -> Iterator[bool]:
    """True for each leaf there."""
    if not path:
        yield from (True for _ in _leaves(node))
        return
    for each in _objects(node):
        if path[0] in each:
            yield from _leaves_at(each[path[0]], path[1:])

"""The metadata filter language: read into conditions, then tested on columns.

Where the user guide is silent this follows what clients measured on the live service: a filter object holds exactly
one key (conditions are joined by `$and`), `{}` is refused, operands must have their operator's type, and a value of
another type than the stored one matches nothing. Not measured by anyone: `$ne` and `$nin` are taken as the plain
negation of `$eq` and `$in`, so they match a vector that lacks the key.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from local.s3vectors.columns import Columns, Mask
from local.s3vectors.errors import invalid
from local.wire import AwsError

MAX_CONSTRAINTS = 100
_MAX_DEPTH = 100
_GROUPS = {"$and": np.logical_and, "$or": np.logical_or}
_COMPARISONS = {"$gt": np.greater, "$gte": np.greater_equal, "$lt": np.less, "$lte": np.less_equal}


@dataclass(frozen=True)
class Constraint:
    key: str
    operator: str
    operand: Any


@dataclass(frozen=True)
class Group:
    operator: str  # "$and" or "$or"
    parts: tuple["Filter", ...]


Filter = Constraint | Group


def read_filter(value: Any, non_filterable: Collection[str], mode: str) -> Filter:
    """The filter, or a ValidationException that names the place. `mode` is the index mode the query runs in."""
    found = _Reader(non_filterable, mode == "ENHANCED").condition(value, "filter", 1)
    # News of the ENHANCED mode, 30 Sep 2026: at most 100 constraints, one per evaluated value.
    if mode == "ENHANCED" and (count := sum(_weights(found))) > MAX_CONSTRAINTS:
        raise _refused("filter", f"{count} filter constraints, a query takes at most {MAX_CONSTRAINTS}")
    return found


def matching(condition: Filter, columns: Columns) -> Mask:
    """Where the filter holds, one place a slot (empty slots included: the caller knows which are live)."""
    if isinstance(condition, Group):
        join = _GROUPS[condition.operator]
        return reduce(lambda left, right: join(left, right), (matching(each, columns) for each in condition.parts))
    key, operand = condition.key, condition.operand
    match condition.operator:
        case "$eq":
            return columns.equal(key, [operand])
        case "$ne":
            return ~columns.equal(key, [operand])
        case "$in":
            return columns.equal(key, operand)
        case "$nin":
            return ~columns.equal(key, operand)
        case "$exists":
            return columns.present(key) if operand else ~columns.present(key)
        case "$startsWith":
            return columns.starting(key, operand)
        case comparison:
            return columns.compared(key, _COMPARISONS[comparison], float(operand))


def _weights(condition: Filter) -> Iterator[int]:
    if isinstance(condition, Group):
        for each in condition.parts:
            yield from _weights(each)
    else:
        yield len(condition.operand) if isinstance(condition.operand, list) else 1


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | bool | int | float)


def _is_scalar_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_scalar(each) for each in value)


_SCALAR = (_is_scalar, "a string, a number or a boolean")
_NUMBER = (_is_number, "a number")
_LIST = (_is_scalar_list, "a non-empty list of strings, numbers and booleans")
_OPERANDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "$eq": _SCALAR,
    "$ne": _SCALAR,
    "$in": _LIST,
    "$nin": _LIST,
    "$exists": (lambda value: isinstance(value, bool), "a boolean"),
    "$startsWith": (lambda value: isinstance(value, str), "a string"),
    **dict.fromkeys(_COMPARISONS, _NUMBER),
}


@dataclass(frozen=True)
class _Reader:
    non_filterable: Collection[str]
    enhanced: bool

    def condition(self, value: Any, path: str, depth: int) -> Filter:
        if depth > _MAX_DEPTH:
            raise _refused(path, "nested too deeply")
        if not isinstance(value, dict) or len(value) != 1:
            raise _refused(path, 'a condition is an object with exactly one key; join several with "$and"')
        [(name, operand)] = value.items()
        here = f"{path}.{name}"
        if name in _GROUPS:
            if not isinstance(operand, list) or not operand:
                raise _refused(here, "takes a non-empty list of filters")
            parts = [self.condition(each, f"{here}[{n}]", depth + 1) for n, each in enumerate(operand)]
            return Group(name, tuple(parts))
        if name.startswith("$"):
            raise _refused(here, f"{name} is no logical operator")
        return self._field(name, operand, here)

    def _field(self, key: str, value: Any, path: str) -> Filter:
        if key in self.non_filterable:
            raise invalid("Invalid use of non-filterable metadata in filter", path)
        if not isinstance(value, dict):
            return self._constraint(key, "$eq", value, path)
        if not value:
            raise _refused(path, "no operator")
        parts = [self._constraint(key, operator, operand, f"{path}.{operator}") for operator, operand in value.items()]
        return parts[0] if len(parts) == 1 else Group("$and", tuple(parts))

    def _constraint(self, key: str, operator: str, operand: Any, path: str) -> Constraint:
        if operator not in _OPERANDS:
            raise _refused(path, f"{operator} is no operator")
        if operator == "$startsWith" and not self.enhanced:
            raise _refused(path, "$startsWith needs the ENHANCED mode")
        fits, wanted = _OPERANDS[operator]
        if not fits(operand):
            raise _refused(path, f"{operator} takes {wanted}")
        return Constraint(key, operator, operand)


def _refused(path: str, problem: str) -> AwsError:
    return invalid("Invalid query filter", path, problem)

"""Key conditions: `pk = :a AND sk BETWEEN :b AND :c` as a span of keys."""

from dataclasses import dataclass

from local.dynamodb.conditions import (
    And,
    Attribute,
    Between,
    Comparison,
    Condition,
    ConditionParser,
    Function,
    Literal,
    Not,
    Operand,
    Or,
)
from local.dynamodb.errors import invalid
from local.dynamodb.schema import Key, Keys, fits
from local.dynamodb.store import Bound, Span
from local.dynamodb.syntax import Placeholders
from local.dynamodb.values import Value, kind_of, order_key
from local.wire import AwsError

KIND = "KeyConditionExpression"
_UNSUPPORTED = "Query key condition not supported"
_MIRRORED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True)
class _Test:
    """One condition on one attribute; `operator` is a comparison, `BETWEEN` or `begins_with`."""

    name: str
    operator: str
    values: list[Value]


def parse_span(text: str, placeholders: Placeholders, keys: Keys) -> Span:
    condition = ConditionParser(KIND, text, placeholders).parse()
    tests = [_test(part) for part in _parts(condition)]
    by_name = {test.name: test for test in tests}
    if len(by_name) < len(tests):
        raise invalid("KeyConditionExpressions must only contain one condition per key")
    if len(tests) > 2:
        raise invalid("Conditions can be of length 1 or 2 only")
    partition = by_name.pop(keys.partition.name, None)
    if partition is None:
        raise invalid(f"Query condition missed key schema element: {keys.partition.name}")
    if partition.operator != "=":
        raise invalid(_UNSUPPORTED)
    _check(keys.partition, partition)
    span = Span(order_key(partition.values[0]))
    if not by_name:
        return span
    if keys.sort is None:
        raise invalid(_UNSUPPORTED)
    if keys.sort.name not in by_name:
        raise invalid(f"Query condition missed key schema element: {keys.sort.name}")
    test = by_name[keys.sort.name]
    _check(keys.sort, test)
    return Span(span.partition, *_range(test))


def _parts(condition: Condition) -> list[Condition]:
    if isinstance(condition, And):
        return [leaf for part in condition.conditions for leaf in _parts(part)]
    return [condition]


def _test(condition: Condition) -> _Test:
    match condition:
        case Comparison(sign, Attribute(path), Literal(value)) if sign in _MIRRORED:
            return _Test(_name(path), sign, [value])
        case Comparison(sign, Literal(value), Attribute(path)) if sign in _MIRRORED:
            return _Test(_name(path), _MIRRORED[sign], [value])
        case Between(Attribute(path), Literal(low), Literal(high)):
            return _Test(_name(path), "BETWEEN", [low, high])
        case Function("begins_with", [Attribute(path), Literal(prefix)]):
            return _Test(_name(path), "begins_with", [prefix])
    raise _refusal(condition)


def _refusal(condition: Condition) -> AwsError:
    wrong = {Or: "OR", Not: "NOT"}.get(type(condition))
    if isinstance(condition, Function):
        wrong = condition.name
    if isinstance(condition, Comparison) and condition.operator == "<>":
        wrong = "<>"
    if wrong and wrong != "begins_with":
        return invalid(f"Invalid {KIND}: Invalid operator used in {KIND}: {wrong}")
    operands = _operands(condition)
    if not any(isinstance(operand, Attribute) for operand in operands):
        return invalid(f"Invalid {KIND}: No key attribute specified")
    return invalid(f"Invalid {KIND}: Invalid condition in {KIND}: Multiple attribute names used in one condition")


def _operands(condition: Condition) -> list[Operand]:
    match condition:
        case Comparison(_, left, right):
            return [left, right]
        case Between(operand, low, high):
            return [operand, low, high]
        case Function(_, arguments):
            return arguments
    return []


def _name(path: tuple[str | int, ...]) -> str:
    if len(path) > 1:
        raise invalid(f"Invalid {KIND}: KeyConditionExpressions cannot have conditions on nested attributes")
    return str(path[0])


def _check(key: Key, test: _Test) -> None:
    prefix_of_number = test.operator == "begins_with" and key.kind == "N"
    if prefix_of_number or any(kind_of(value) != key.kind for value in test.values):
        raise invalid("One or more parameter values were invalid: Condition parameter type does not match schema type")
    if not all(fits(key, value) for value in test.values):
        kind = "binary" if key.kind == "B" else "string"
        raise invalid(
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain "
            f"an empty {kind} value. Key: {key.name}"
        )


def _range(test: _Test) -> tuple[Bound | None, Bound | None]:
    first, last = order_key(test.values[0]), order_key(test.values[-1])
    match test.operator:
        case "<" | "<=":
            return None, Bound(first, test.operator == "<=")
        case ">" | ">=":
            return Bound(first, test.operator == ">="), None
        case "begins_with":
            end = _after_prefix(first)
            return Bound(first, True), Bound(end, False) if end else None
        case _:
            return Bound(first, True), Bound(last, True)


def _after_prefix(prefix: bytes) -> bytes:
    """The least bytes above everything that starts with the prefix, empty where there are none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else b""

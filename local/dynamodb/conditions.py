"""Condition and filter expressions: parsed to a small tree, evaluated on one item."""

import base64
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from local.dynamodb import values
from local.dynamodb.paths import Path, find, shown
from local.dynamodb.syntax import Parser
from local.dynamodb.values import SETS, Item, Value, kind_of, order_key

MAX_IN_OPERANDS = 100
_SCALARS = frozenset("SNB")
_SIZED = _SCALARS - {"N"} | {"L", "M", *SETS}
_KINDS = ("B", "NULL", "SS", "BOOL", "L", "BS", "N", "NS", "S", "M")
_ORDER: dict[str, Callable[[bytes, bytes], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ARGUMENTS = {"attribute_exists": 1, "attribute_not_exists": 1, "attribute_type": 2, "begins_with": 2, "contains": 2}
_PATH_FIRST = ("attribute_exists", "attribute_not_exists")


@dataclass(frozen=True)
class Attribute:
    path: Path


@dataclass(frozen=True)
class Literal:
    value: Value


@dataclass(frozen=True)
class Size:
    of: Attribute | Literal


Operand = Attribute | Literal | Size


@dataclass(frozen=True)
class Comparison:
    operator: str
    left: Operand
    right: Operand


@dataclass(frozen=True)
class Between:
    operand: Operand
    low: Operand
    high: Operand


@dataclass(frozen=True)
class In:
    operand: Operand
    options: list[Operand]


@dataclass(frozen=True)
class Function:
    name: str
    arguments: list[Operand]


@dataclass(frozen=True)
class Not:
    condition: "Condition"


@dataclass(frozen=True)
class And:
    conditions: "list[Condition]"


@dataclass(frozen=True)
class Or:
    conditions: "list[Condition]"


Condition = Comparison | Between | In | Function | Not | And | Or


class ConditionParser(Parser):
    """`a = :x AND (size(b) > :n OR NOT contains(c, :y))`."""

    def parse(self) -> Condition:
        condition = self._or()
        self.end()
        return condition

    def _or(self) -> Condition:
        parts = [self._and()]
        while self.accept("OR"):
            parts.append(self._and())
        return parts[0] if len(parts) == 1 else Or(parts)

    def _and(self) -> Condition:
        parts = [self._not()]
        while self.accept("AND"):
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else And(parts)

    def _not(self) -> Condition:
        return Not(self.nested(self._not)) if self.accept("NOT") else self._simple()

    def _simple(self) -> Condition:
        if self.peek() == "(" and not self._operand_in_parentheses():
            return self._parentheses()
        if self.peek(1) == "(" and self.peek() != "(" and self.peek() != "size":
            return self._function()
        return self._compared(self._operand())

    def _operand_in_parentheses(self) -> bool:
        """Whether what comes is `(a) = …`, not `(a = …)`."""
        ahead = 0
        while self.peek(ahead) == "(":
            ahead += 1
        depth = ahead
        while depth and self.peek(ahead) not in ("", ",", "=", "<>", *_ORDER):
            if self.peek(ahead).upper() in ("AND", "OR", "NOT", "IN", "BETWEEN"):
                return False
            depth += {"(": 1, ")": -1}.get(self.peek(ahead), 0)
            ahead += 1
        return not depth and (self.peek(ahead) in ("=", "<>", *_ORDER) or self.peek(ahead).upper() in ("IN", "BETWEEN"))

    def _parentheses(self) -> Condition:
        self.expect("(")
        redundant = self.peek() == "("
        opened = self.at
        condition = self.nested(self._or)
        self.expect(")")
        if redundant and self._closed_by_previous(opened):
            raise self.error("The expression has redundant parentheses;")
        return condition

    def _closed_by_previous(self, opened: int) -> bool:
        """Whether the parenthesis opened at that token is closed right before the one just closed."""
        depth = 0
        for at in range(opened, self.at - 1):
            token = self.peek(at - self.at)
            depth += {"(": 1, ")": -1}.get(token, 0)
            if not depth:
                return at == self.at - 2
        return False

    def _function(self) -> Condition:
        name = self.take()
        if name not in _ARGUMENTS:
            raise self.error(f"Invalid function name; function: {name}")
        self.expect("(")
        arguments = self.separated(self._operand)
        self.expect(")")
        self._check_arguments(name, arguments)
        return Function(name, arguments)

    def _check_arguments(self, name: str, arguments: list[Operand]) -> None:
        if len(arguments) != _ARGUMENTS[name]:
            raise self.error(
                "Incorrect number of operands for operator or function; "
                f"operator or function: {name}, number of operands: {len(arguments)}"
            )
        if name in _PATH_FIRST and not isinstance(arguments[0], Attribute):
            raise self.error(f"Operator or function requires a document path; operator or function: {name}")
        if name == "attribute_type":
            self._check_type_name(arguments[1])
        if name == "begins_with":
            for argument in arguments:
                self._check_kind(name, argument, frozenset("SB"))
        if len(arguments) == 2:
            self._check_distinct(name, arguments[0], arguments[1])

    def _check_type_name(self, argument: Operand) -> None:
        self._check_kind("attribute_type", argument, frozenset("S"))
        if not isinstance(argument, Literal):
            raise self.error("The attribute type of attribute_type must be an expression attribute value;")
        if argument.value["S"] not in _KINDS:
            valid = ",".join(_KINDS)
            raise self.error(
                f"Invalid attribute type name found; type: {argument.value['S']}, valid types: {{{valid}}}"
            )

    def _check_kind(self, name: str, operand: Operand, kinds: frozenset[str]) -> None:
        if isinstance(operand, Literal) and kind_of(operand.value) not in kinds:
            raise self.error(
                "Incorrect operand type for operator or function; "
                f"operator or function: {name}, operand type: {kind_of(operand.value)}"
            )

    def _check_distinct(self, name: str, first: Operand, second: Operand) -> None:
        if isinstance(first, Attribute) and first == second:
            raise self.error(
                "The first operand must be distinct from the remaining operands for this operator or function; "
                f"operator: {name}, first operand: {shown(first.path)}"
            )

    def _operand(self) -> Operand:
        if self.accept("("):
            operand = self.nested(self._operand)
            self.expect(")")
            return operand
        if self.peek(1) == "(":
            return self.nested(self._size)
        return Literal(self.value()) if self.peek().startswith(":") else Attribute(self.path())

    def _size(self) -> Size:
        name = self.take()
        if name != "size":
            known = name in _ARGUMENTS
            way = "The function is not allowed to be used this way in an expression" if known else None
            raise self.error(f"{way or 'Invalid function name'}; function: {name}")
        self.expect("(")
        arguments = self.separated(self._operand)
        self.expect(")")
        if len(arguments) != 1:
            raise self.error(
                "Incorrect number of operands for operator or function; "
                f"operator or function: size, number of operands: {len(arguments)}"
            )
        of = arguments[0]
        if isinstance(of, Size):
            raise self.error("The function is not allowed to be used this way in an expression; function: size")
        self._check_kind("size", of, _SIZED)
        return Size(of)

    def _compared(self, left: Operand) -> Condition:
        sign = self.peek().upper()
        if sign in ("=", "<>") or sign in _ORDER:
            self.at += 1
            right = self._operand()
            if sign in _ORDER:
                self._check_kind(sign, left, _SCALARS)
                self._check_kind(sign, right, _SCALARS)
            self._check_distinct(sign, left, right)
            return Comparison(sign, left, right)
        if sign == "BETWEEN":
            return self._between(left)
        if sign == "IN":
            return self._in(left)
        if isinstance(left, Size):
            raise self.error("The function is not allowed to be used this way in an expression; function: size")
        self.fail_here()

    def _between(self, operand: Operand) -> Condition:
        self.expect("BETWEEN")
        low = self._operand()
        self.expect("AND")
        high = self._operand()
        for bound in (operand, low, high):
            self._check_kind("BETWEEN", bound, _SCALARS)
        if isinstance(low, Literal) and isinstance(high, Literal):
            self._check_bounds(low.value, high.value)
        return Between(operand, low, high)

    def _check_bounds(self, low: Value, high: Value) -> None:
        same = kind_of(low) == kind_of(high)
        if same and order_key(low) <= order_key(high):
            return
        rule = "upper bound to be greater than or equal to lower bound" if same else None
        raise self.error(
            f"The BETWEEN operator requires {rule or 'same data type for lower and upper bounds'}; "
            f"lower bound operand: AttributeValue: {values.shown(low)}, "
            f"upper bound operand: AttributeValue: {values.shown(high)}"
        )

    def _in(self, operand: Operand) -> Condition:
        self.expect("IN")
        self.expect("(")
        options = self.separated(self._operand)
        self.expect(")")
        if len(options) > MAX_IN_OPERANDS:
            raise self.error(f"The IN operator is provided with too many operands; number of operands: {len(options)}")
        return In(operand, options)


def holds(condition: Condition, item: Item) -> bool:
    match condition:
        case And(parts):
            return all(holds(part, item) for part in parts)
        case Or(parts):
            return any(holds(part, item) for part in parts)
        case Not(inner):
            return not holds(inner, item)
        case Comparison(sign, left, right):
            return _compare(sign, _resolve(left, item), _resolve(right, item))
        case Between(operand, low, high):
            value = _resolve(operand, item)
            return _compare(">=", value, _resolve(low, item)) and _compare("<=", value, _resolve(high, item))
        case In(operand, options):
            value = _resolve(operand, item)
            return value is not None and any(value == _resolve(option, item) for option in options)
        case Function(name, arguments):
            return _FUNCTIONS[name](*(_resolve(argument, item) for argument in arguments))


def _resolve(operand: Operand, item: Item) -> Value | None:
    match operand:
        case Attribute(path):
            return find(item, path)
        case Literal(value):
            return value
        case Size(of):
            return _size(_resolve(of, item))


def _size(value: Value | None) -> Value | None:
    """Bytes of a string or binary, members of anything that has members."""
    if value is None or kind_of(value) not in _SIZED:
        return None
    ((kind, content),) = value.items()
    return {"N": str(len(order_key(value)) if kind in _SCALARS else len(content))}


def _compare(sign: str, left: Value | None, right: Value | None) -> bool:
    if left is None or right is None:
        return sign == "<>"
    if sign in ("=", "<>"):
        return (left == right) == (sign == "=")
    kind = kind_of(left)
    return kind in _SCALARS and kind == kind_of(right) and _ORDER[sign](order_key(left), order_key(right))


def _begins_with(value: Value | None, prefix: Value | None) -> bool:
    if value is None or prefix is None or kind_of(value) not in "SB" or kind_of(value) != kind_of(prefix):
        return False
    return order_key(value).startswith(order_key(prefix))


def _contains(value: Value | None, part: Value | None) -> bool:
    if value is None or part is None:
        return False
    ((kind, content),) = value.items()
    if kind in SETS:
        return kind_of(part) == SETS[kind] and part[SETS[kind]] in content
    if kind == "L":
        return part in content
    if kind_of(part) != kind:
        return False
    if kind == "B":
        return base64.b64decode(part["B"]) in base64.b64decode(content)
    return kind == "S" and part["S"] in content


_FUNCTIONS: dict[str, Callable[..., bool]] = {
    "attribute_exists": lambda value: value is not None,
    "attribute_not_exists": lambda value: value is None,
    "attribute_type": lambda value, kind: value is not None and kind_of(value) == kind["S"],
    "begins_with": _begins_with,
    "contains": _contains,
}


def attributes(condition: Condition) -> Iterator[Path]:
    """Every path the condition reads."""
    match condition:
        case And(parts) | Or(parts):
            for part in parts:
                yield from attributes(part)
        case Not(inner):
            yield from attributes(inner)
        case Comparison(_, left, right):
            yield from _paths([left, right])
        case Between(operand, low, high):
            yield from _paths([operand, low, high])
        case In(operand, options):
            yield from _paths([operand, *options])
        case Function(_, arguments):
            yield from _paths(arguments)


def _paths(operands: list[Operand]) -> Iterator[Path]:
    for operand in operands:
        inner = operand.of if isinstance(operand, Size) else operand
        if isinstance(inner, Attribute):
            yield inner.path

"""Attribute values in DynamoDB's JSON: checked, made canonical, measured and put in order.

Canonical means that equal values are equal Python objects: plain numbers, sorted sets, strict base64.
"""

import base64
import binascii
import re
from collections.abc import Callable
from decimal import Context, Decimal, InvalidOperation
from typing import Any

from local.dynamodb.errors import invalid, malformed

Value = dict[str, Any]
Item = dict[str, Value]

SETS = {"SS": "S", "NS": "N", "BS": "B"}
MAX_DEPTH = 32
_BAD = "One or more parameter values were invalid: "
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_EXACT = Context(prec=400)  # 1e125 + 1e-130 has 256 digits


def canonical(value: object, depth: int = 0) -> Value:
    """The value in canonical form, or the error AWS answers a wrong one with."""
    if not isinstance(value, dict):
        raise malformed("Unexpected value type in payload")
    kinds = [kind for kind in value if kind in _READERS]
    if not kinds:
        raise invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
    if len(kinds) > 1:
        raise invalid(
            "Supplied AttributeValue has more than one datatypes set, "
            "must contain exactly one of the supported datatypes"
        )
    if depth > MAX_DEPTH:
        raise invalid("Nesting Levels have exceeded supported limits")
    kind = kinds[0]
    return {kind: _READERS[kind](value[kind], depth)}


def canonical_item(item: dict[str, Any], depth: int = 0) -> Item:
    if "" in item:
        raise invalid(f"{_BAD}Empty attribute name")
    return {_string(name): canonical(value, depth) for name, value in item.items()}


def _string(text: object, depth: int = 0) -> str:
    if not isinstance(text, str):
        raise malformed(f"{_json_kind(text)} cannot be converted to String")
    if not is_unicode(text):
        raise malformed("A string holds half a surrogate pair")
    return text


def is_unicode(text: str) -> bool:
    """Not so for half a surrogate pair, which JSON can write and UTF-8 cannot."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _json_kind(value: object) -> str:
    if isinstance(value, bool):
        return "TRUE_VALUE" if value else "FALSE_VALUE"
    return "NUMBER_VALUE" if isinstance(value, int | float) else "This JSON value"


def _number(text: object, depth: int = 0) -> str:
    return number(_string(text))


def number(text: str) -> str:
    """The number in plain digits, as DynamoDB returns it: `1e2` is `100`, `1.50` is `1.5`."""
    if not text:
        raise invalid("The parameter cannot be converted to a numeric value")
    if not _NUMBER.fullmatch(text):
        raise invalid(f"The parameter cannot be converted to a numeric value: {text}")
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("1e999")
    digits = "".join(map(str, value.as_tuple().digits)).strip("0")
    if not digits:
        return "0"
    if len(digits) > 38:
        raise invalid("Attempting to store more than 38 significant digits in a Number")
    if value.adjusted() > 125:
        raise invalid("Number overflow. Attempting to store a number with magnitude larger than supported range")
    if value.adjusted() < -130:
        raise invalid("Number underflow. Attempting to store a number with magnitude smaller than supported range")
    return f"{value.normalize(_EXACT):f}"


def add(left: str, right: str, sign: int = 1) -> str:
    """`left + right` (or minus, for a sign of -1), exact or refused."""
    return number(str(_EXACT.add(Decimal(left), _EXACT.multiply(Decimal(sign), Decimal(right)))))


def _binary(text: object, depth: int = 0) -> str:
    try:
        return base64.b64encode(base64.b64decode(_string(text), validate=True)).decode()
    except (binascii.Error, ValueError) as error:
        raise malformed("The value is not valid Base64") from error


def _boolean(value: object, depth: int) -> bool:
    if not isinstance(value, bool):
        raise malformed("Unexpected token received from parser")
    return value


def _null(value: object, depth: int) -> bool:
    if not _boolean(value, depth):
        raise invalid(f"{_BAD}Null attribute value types must have the value of true")
    return True


def _list(values: object, depth: int) -> list[Value]:
    if not isinstance(values, list):
        raise malformed("Unexpected field type")
    return [canonical(value, depth + 1) for value in values]


def _map(values: object, depth: int) -> Item:
    if not isinstance(values, dict):
        raise malformed("Unexpected field type")
    return canonical_item(values, depth + 1)


_EMPTY_SET = {
    "S": "An string set  may not be empty",
    "N": "An number set  may not be empty",
    "B": "Binary sets should not be empty",
}


def _set_reader(kind: str, member: Callable[[object], str]) -> Callable[[object, int], list[str]]:
    def read(values: object, depth: int) -> list[str]:
        if not isinstance(values, list):
            raise malformed("Unexpected field type")
        if not values:
            raise invalid(_BAD + _EMPTY_SET[kind])
        members = [member(value) for value in values]
        if len(set(members)) < len(members):
            shown = "" if kind == "N" else f" [{', '.join(members)}]"
            raise invalid(f"{_BAD}Input collection{shown} contains duplicates.")
        return in_set_order(kind, members)

    return read


def in_set_order(kind: str, members: list[str]) -> list[str]:
    return sorted(members, key=lambda member: order_key({kind: member}))


_READERS: dict[str, Callable[[object, int], Any]] = {
    "S": _string,
    "N": _number,
    "B": _binary,
    "BOOL": _boolean,
    "NULL": _null,
    "L": _list,
    "M": _map,
    "SS": _set_reader("S", _string),
    "NS": _set_reader("N", _number),
    "BS": _set_reader("B", _binary),
}


def kind_of(value: Value) -> str:
    return next(iter(value))


def order_key(value: Value) -> bytes:
    """Bytes that compare as DynamoDB orders values of one scalar type: numbers by value, the rest by their bytes."""
    ((kind, content),) = value.items()
    if kind == "N":
        return _number_key(content)
    return base64.b64decode(content) if kind == "B" else content.encode()


def _number_key(text: str) -> bytes:
    """Sign, exponent, digits; for a negative number both complemented and closed by the highest byte."""
    parsed = Decimal(text)
    sign, digits, _ = parsed.as_tuple()
    if not parsed:
        return b"\x01"
    significant = "".join(map(str, digits)).strip("0")
    body = bytes([parsed.adjusted() + 130, *(int(digit) + 1 for digit in significant)])
    return b"\x00" + bytes(255 - byte for byte in body) + b"\xff" if sign else b"\x02" + body


def item_size(item: Item) -> int:
    """Bytes, as DynamoDB counts them for the 400 KB limit and the 1 MB page."""
    return sum(len(name.encode()) + _size(value) for name, value in item.items())


def _size(value: Value) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            digits = content.strip("-").replace(".", "").strip("0")
            return (len(digits) + 1) // 2 + 1 + int(content[0] == "-")
        case "B":
            return len(base64.b64decode(content))
        case "L":
            return 3 + sum(1 + _size(member) for member in content)
        case "M":
            return 3 + len(content) + item_size(content)
        case "SS" | "NS" | "BS":
            return sum(_size({SETS[kind]: member}) for member in content)
        case _:
            return 1


def shown(value: Value) -> str:
    """A value as AWS prints it in messages: `{S:abc}`."""
    ((kind, content),) = value.items()
    return f"{{{kind}:{content}}}"

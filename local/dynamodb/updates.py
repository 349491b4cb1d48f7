"""Update expressions: `SET a = a + :one, b[0] = :x REMOVE c ADD d :set DELETE e :set`."""

from dataclasses import dataclass
from typing import Any

import orjson

from local.dynamodb import values
from local.dynamodb.errors import UnfitItem
from local.dynamodb.paths import Path, find, put, remove, tree
from local.dynamodb.syntax import Parser, Placeholders
from local.dynamodb.values import SETS, Item, Value, in_set_order, kind_of

_SECTIONS = ("SET", "REMOVE", "ADD", "DELETE")
_KIND_NAMES = {
    "S": "STRING",
    "N": "NUMBER",
    "B": "BINARY",
    "BOOL": "BOOLEAN",
    "NULL": "NULL",
    "L": "LIST",
    "M": "MAP",
    "SS": "STRING_SET",
    "NS": "NUMBER_SET",
    "BS": "BINARY_SET",
}


@dataclass(frozen=True)
class Literal:
    value: Value


@dataclass(frozen=True)
class Attribute:
    path: Path


@dataclass(frozen=True)
class IfNotExists:
    path: Path
    otherwise: "Source"


@dataclass(frozen=True)
class ListAppend:
    first: "Source"
    second: "Source"


@dataclass(frozen=True)
class Sum:
    left: "Source"
    right: "Source"
    sign: int


Source = Literal | Attribute | IfNotExists | ListAppend | Sum


@dataclass(frozen=True)
class Update:
    sets: list[tuple[Path, Source]]
    removes: list[Path]
    adds: list[tuple[Path, Value]]
    deletes: list[tuple[Path, Value]]

    @property
    def paths(self) -> list[Path]:
        changed = [path for path, _ in self.sets]
        return changed + self.removes + [path for path, _ in self.adds + self.deletes]

    @property
    def only_removes(self) -> bool:
        """Not so for an update that says nothing: that makes an item of the key."""
        return bool(self.removes or self.deletes) and not (self.sets or self.adds)


NOTHING = Update([], [], [], [])


class UpdateParser(Parser):
    def __init__(self, text: str, placeholders: Placeholders) -> None:
        super().__init__("UpdateExpression", text, placeholders)

    def parse(self) -> Update:
        update = Update([], [], [], [])
        seen = set()
        while section := self.peek().upper():
            if section not in _SECTIONS:
                self.fail_here()
            if section in seen:
                raise self.error(f'The "{section}" section can only be used once in an update expression;')
            seen.add(section)
            self.at += 1
            self._section(section, update)
        tree(update.paths, self.kind)
        return update

    def _section(self, section: str, update: Update) -> None:
        match section:
            case "SET":
                update.sets.extend(self.separated(self._assignment))
            case "REMOVE":
                update.removes.extend(self.separated(self.path))
            case "ADD":
                update.adds.extend(self.separated(lambda: self._path_and_value("ADD", ("N", *SETS))))
            case "DELETE":
                update.deletes.extend(self.separated(lambda: self._path_and_value("DELETE", tuple(SETS))))

    def _path_and_value(self, section: str, kinds: tuple[str, ...]) -> tuple[Path, Value]:
        path, value = self.path(), self.value()
        if kind_of(value) not in kinds:
            raise self.error(
                f"Incorrect operand type for operator or function; operator: {section}, "
                f"operand type: {_KIND_NAMES[kind_of(value)]}, typeSet: ALLOWED_FOR_{section}_OPERAND"
            )
        return path, value

    def _assignment(self) -> tuple[Path, Source]:
        path = self.path()
        self.expect("=")
        left = self._source()
        sign = self.peek()
        if sign not in ("+", "-"):
            return path, left
        self.at += 1
        right = self._source()
        for side in (left, right):
            self._check_kind(sign, side, "N")
        return path, Sum(left, right, 1 if sign == "+" else -1)

    def _source(self) -> Source:
        if self.accept("("):
            source = self.nested(self._source)
            self.expect(")")
            return source
        if self.peek(1) == "(":
            return self.nested(self._function)
        return Literal(self.value()) if self.peek().startswith(":") else Attribute(self.path())

    def _function(self) -> Source:
        name = self.take()
        if name not in ("if_not_exists", "list_append"):
            raise self.error(f"Invalid function name; function: {name}")
        self.expect("(")
        arguments = self.separated(self._source)
        self.expect(")")
        if len(arguments) != 2:
            raise self.error(
                "Incorrect number of operands for operator or function; "
                f"operator or function: {name}, number of operands: {len(arguments)}"
            )
        first, second = arguments
        if name == "list_append":
            for argument in arguments:
                self._check_kind(name, argument, "L")
            return ListAppend(first, second)
        if not isinstance(first, Attribute):
            raise self.error(f"Operator or function requires a document path; operator or function: {name}")
        return IfNotExists(first.path, second)

    def _check_kind(self, name: str, source: Source, kind: str) -> None:
        if isinstance(source, Literal) and kind_of(source.value) != kind:
            raise self.error(
                "Incorrect operand type for operator or function; "
                f"operator or function: {name}, operand type: {kind_of(source.value)}"
            )


def apply(update: Update, item: Item) -> Item:
    """The item after the update. Every right-hand side sees the item as it was; list indexes are the old ones."""
    changed: Item = orjson.loads(orjson.dumps(item))
    assigned = [(path, _evaluate(source, item)) for path, source in update.sets]
    assigned += [(path, _added(find(item, path), value)) for path, value in update.adds]
    removed = list(update.removes)
    for path, members in update.deletes:
        left = _without(find(item, path), members)
        if left:
            assigned.append((path, left))
        elif left is not None:
            removed.append(path)
    for path, value in sorted(assigned, key=lambda pair: _last_index(pair[0])):
        put(changed, path, value)
    for path in sorted(removed, key=_from_the_end, reverse=True):
        remove(changed, path)
    return changed


def _last_index(path: Path) -> int:
    return path[-1] if isinstance(path[-1], int) else -1


def _from_the_end(path: Path) -> list[tuple[int, str]]:
    return [(step, "") if isinstance(step, int) else (-1, step) for step in path]


def _evaluate(source: Source, item: Item) -> Value:
    match source:
        case Literal(value):
            return value
        case Attribute(path):
            found = find(item, path)
            if found is None:
                raise UnfitItem("The provided expression refers to an attribute that does not exist in the item")
            return found
        case IfNotExists(path, otherwise):
            found = find(item, path)
            return _evaluate(otherwise, item) if found is None else found
        case ListAppend(first, second):
            return {"L": _content(first, item, "L") + _content(second, item, "L")}
        case Sum(left, right, sign):
            return {"N": values.add(_content(left, item, "N"), _content(right, item, "N"), sign)}


def _content(source: Source, item: Item, kind: str) -> Any:
    value = _evaluate(source, item)
    if kind not in value:
        raise _wrong_type()
    return value[kind]


def _wrong_type() -> Exception:
    return UnfitItem("An operand in the update expression has an incorrect data type")


def _added(current: Value | None, more: Value) -> Value:
    if current is None:
        return more
    kind = kind_of(more)
    if kind_of(current) != kind:
        raise _wrong_type()
    if kind == "N":
        return {"N": values.add(current["N"], more["N"])}
    return {kind: in_set_order(SETS[kind], list({*current[kind], *more[kind]}))}


def _without(current: Value | None, members: Value) -> Value | None:
    """The set without the members: empty (falsy) when none is left, None where there was no set."""
    if current is None:
        return None
    kind = kind_of(members)
    if kind_of(current) != kind:
        raise _wrong_type()
    left = [member for member in current[kind] if member not in members[kind]]
    return {kind: left} if left else {}

"""What all expressions share: tokens, `#name` and `:value` placeholders, document paths, lists of arguments."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from local.dynamodb.errors import invalid
from local.dynamodb.paths import Path
from local.dynamodb.reserved import is_reserved
from local.dynamodb.values import Value, canonical
from local.wire import AwsError

MAX_EXPRESSION_BYTES = 4096
MAX_NESTING = 100
_TOKEN = re.compile(r"\s*(?P<token>[#:]?[A-Za-z][A-Za-z0-9_]*|[#:][A-Za-z0-9_]+|[0-9]+|<>|<=|>=|.)", re.DOTALL)
_NAME_KEY = re.compile(r"#[A-Za-z0-9_]+")
_VALUE_KEY = re.compile(r":[A-Za-z0-9_]+")
_LEXICAL = re.compile(r"[A-Za-z0-9_#:<>=(),.\[\]+\-]+")
Part = TypeVar("Part")


@dataclass(frozen=True)
class Token:
    text: str
    start: int
    end: int


class Placeholders:
    """A request's ExpressionAttributeNames and -Values, and which of them its expressions use."""

    def __init__(self, request: Mapping[str, Any], expressions: tuple[str, ...]) -> None:
        given = [name for name in expressions if request.get(name) is not None]
        self._names: dict[str, str] = self._read(request, "Names", given, expressions)
        raw = self._read(request, "Values", given, expressions)
        self._values = {key: _checked_value(key, value) for key, value in raw.items()}
        self._used: set[str] = set()

    def _read(
        self, request: Mapping[str, Any], what: str, given: list[str], expressions: tuple[str, ...]
    ) -> dict[str, Any]:
        member = f"ExpressionAttribute{what}"
        placeholders = request.get(member)
        if placeholders is None:
            return {}
        if not given:
            verb = "are" if len(expressions) > 1 else "is"
            why = f": {' and '.join(expressions)} {verb} null" if what == "Values" else ""
            raise invalid(f"{member} can only be specified when using expressions{why}")
        if not placeholders:
            raise invalid(f"{member} must not be empty")
        pattern = _NAME_KEY if what == "Names" else _VALUE_KEY
        for key in placeholders:
            if not pattern.fullmatch(key):
                raise invalid(f'{member} contains invalid key: Syntax error; key: "{key}"')
            if what == "Names" and not placeholders[key]:
                raise invalid(f"{member} contains invalid value: Empty attribute name for key {key}")
        return dict(placeholders)

    def name(self, placeholder: str) -> str | None:
        self._used.add(placeholder)
        return self._names.get(placeholder)

    def value(self, placeholder: str) -> Value | None:
        self._used.add(placeholder)
        return self._values.get(placeholder)

    def refuse_unused(self) -> None:
        for what, placeholders in (("Names", self._names), ("Values", self._values)):
            unused = [key for key in placeholders if key not in self._used]
            if unused:
                message = f"Value provided in ExpressionAttribute{what} unused in expressions: keys: "
                raise invalid(f"{message}{{{', '.join(unused)}}}")


def _checked_value(key: str, value: object) -> Value:
    try:
        return canonical(value)
    except AwsError as error:
        if error.code != "ValidationException":
            raise
        message = f"ExpressionAttributeValues contains invalid value: {error.message} for key {key}"
        raise invalid(message) from error


class Parser:
    """Reads one expression from left to right. `kind` is the request's member it came in."""

    def __init__(self, kind: str, text: str, placeholders: Placeholders) -> None:
        self.kind = kind
        self._text = text
        self._placeholders = placeholders
        if not text.strip():
            raise self.error("The expression can not be empty;")
        size = len(text.encode(errors="replace"))
        if size > MAX_EXPRESSION_BYTES:
            raise self.error(f"Expression size has exceeded the maximum allowed size; expression size: {size}")
        self._tokens = [Token(found["token"], found.start("token"), found.end()) for found in _TOKEN.finditer(text)]
        self._tokens = [token for token in self._tokens if token.text.strip()]
        self.at = 0
        self.depth = 0
        for at, token in enumerate(self._tokens):
            if not _LEXICAL.fullmatch(token.text) or token.text in "#:":
                self.at = at
                self.fail_here()

    def error(self, message: str) -> AwsError:
        return invalid(f"Invalid {self.kind}: {message}")

    def fail_here(self) -> NoReturn:
        """A syntax error at the current token, with its neighbours, as AWS points at it."""
        first = self._tokens[max(0, self.at - 1)].start
        last = self._tokens[min(self.at + 1, len(self._tokens) - 1)].end
        token = "<EOF>" if self.at >= len(self._tokens) else self._tokens[self.at].text
        raise self.error(f'Syntax error; token: "{token}", near: "{self._text[first:last]}"')

    def peek(self, ahead: int = 0) -> str:
        """The text of a coming token, empty past the end."""
        at = self.at + ahead
        return self._tokens[at].text if at < len(self._tokens) else ""

    def take(self) -> str:
        token = self.peek()
        if not token:
            self.fail_here()
        self.at += 1
        return token

    def accept(self, text: str) -> bool:
        """Step over the token if it is this one; keywords in any case."""
        if self.peek().upper() != text:
            return False
        self.at += 1
        return True

    def expect(self, text: str) -> None:
        if not self.accept(text):
            self.fail_here()

    def end(self) -> None:
        if self.peek():
            self.fail_here()

    def nested(self, read: Callable[[], Part]) -> Part:
        """Read one level deeper."""
        if self.depth == MAX_NESTING:
            raise self.error("The expression is nested too deeply;")
        self.depth += 1
        try:
            return read()
        finally:
            self.depth -= 1

    def separated(self, read: Callable[[], Part]) -> list[Part]:
        """One or more, between commas."""
        parts = [read()]
        while self.accept(","):
            parts.append(read())
        return parts

    def path(self) -> Path:
        steps: list[str | int] = [self._attribute()]
        while True:
            if self.accept("."):
                steps.append(self._attribute())
            elif self.accept("["):
                if not self.peek().isdigit():
                    self.fail_here()
                steps.append(int(self.take()))
                self.expect("]")
            else:
                return tuple(steps)

    def _attribute(self) -> str:
        token = self.peek()
        if token.startswith("#"):
            self.at += 1
            name = self._placeholders.name(token)
            if name is None:
                raise self.error(
                    f"An expression attribute name used in the document path is not defined; attribute name: {token}"
                )
            return name
        if not token[:1].isalpha():
            self.fail_here()
        if is_reserved(token):
            raise self.error(f"Attribute name is a reserved keyword; reserved keyword: {token}")
        self.at += 1
        return token

    def value(self) -> Value:
        """What a `:placeholder` stands for."""
        token = self.peek()
        if not token.startswith(":"):
            self.fail_here()
        self.at += 1
        value = self._placeholders.value(token)
        if value is None:
            raise self.error(
                f"An expression attribute value used in expression is not defined; attribute value: {token}"
            )
        return value


def parse_projection(request: Mapping[str, Any], placeholders: Placeholders) -> list[Path]:
    """The paths of the ProjectionExpression, none for the whole item."""
    if request.get("ProjectionExpression") is None:
        return []
    parser = Parser("ProjectionExpression", request["ProjectionExpression"], placeholders)
    paths = parser.separated(parser.path)
    parser.end()
    return paths

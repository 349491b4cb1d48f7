"""Texts of policies with `*`, `?` and `${variables}` (IAM user guide, "IAM JSON policy elements")."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

Facts = Mapping[str, Sequence[str]]
"""The request context: the values of each condition key, by its name in lower case."""
Match = Callable[[str, Facts], bool]

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_LITERAL = ("*", "?", "$")
_SEGMENTS = 6  # of an ARN; its last may hold colons


def action_matcher(pattern: str) -> Match:
    """Actions are compared without regard to case."""
    match = re.compile(_wild(pattern, ".*", "."), re.IGNORECASE | re.DOTALL).fullmatch
    return lambda text, _: match(text) is not None


def text_matcher(pattern: str) -> Match:
    """As `StringLike` compares."""
    return _with_variables(pattern, lambda text: _wild(text, ".*", "."))


def resource_matcher(pattern: str) -> Match:
    """As the Resource element compares: within a segment of an ARN `*` stays inside it, but at its end goes beyond."""
    return _with_variables(pattern, _resource)


def arn_matcher(pattern: str) -> Match:
    """As `ArnLike` compares: each of the six segments by itself."""
    return _with_variables(pattern, _arn)


def _with_variables(pattern: str, expression: Callable[[str], str]) -> Match:
    if "${" not in pattern:
        match = re.compile(expression(pattern), re.DOTALL).fullmatch
        return lambda text, _: match(text) is not None
    compiled = lru_cache(maxsize=64)(lambda filled: re.compile(expression(filled), re.DOTALL))

    def matches(text: str, facts: Facts) -> bool:
        filled = _filled(pattern, facts)
        return filled is not None and compiled(filled).fullmatch(text) is not None

    return matches


def _filled(pattern: str, facts: Facts) -> str | None:
    """With the variables' values, in which `*` and `?` mean themselves; None where a variable has none."""
    parts, end = [], 0
    for found in _VARIABLE.finditer(pattern):
        value = _value(found[1], facts)
        if value is None:
            return None
        parts += [pattern[end : found.start()], _quoted(value)]
        end = found.end()
    return "".join([*parts, pattern[end:]])


def _value(variable: str, facts: Facts) -> str | None:
    if variable in _LITERAL:
        return variable
    key, comma, default = variable.partition(",")
    values = facts.get(key.strip().lower(), ())
    if len(values) == 1:
        return values[0]
    return default.strip().strip("'") if comma else None


def _quoted(value: str) -> str:
    """Two characters of no text stand for a `*` and a `?` that are meant."""
    return value.replace("*", "\0").replace("?", "\1")


def _wild(pattern: str, many: str, one: str) -> str:
    special = {"*": many, "?": one, "\0": re.escape("*"), "\1": re.escape("?")}
    return "".join(special.get(character) or re.escape(character) for character in pattern)


def _resource(pattern: str) -> str:
    segments = pattern.split(":", _SEGMENTS - 1)
    inner = [_segment(segment) for segment in segments[: _SEGMENTS - 1]]
    return ":".join([*inner, *(_wild(rest, ".*", ".") for rest in segments[_SEGMENTS - 1 :])])


def _segment(segment: str) -> str:
    if segment.endswith("*"):
        return _wild(segment[:-1], "[^:]*", "[^:]") + ".*"
    return _wild(segment, "[^:]*", "[^:]")


def _arn(pattern: str) -> str:
    segments = pattern.split(":", _SEGMENTS - 1)
    inner = [_wild(segment, "[^:]*", "[^:]") for segment in segments[: _SEGMENTS - 1]]
    return ":".join([*inner, *(_wild(rest, ".*", ".") for rest in segments[_SEGMENTS - 1 :])])

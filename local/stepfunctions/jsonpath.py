"""JSONPath as the Amazon States Language uses it: `$.a['b'][0][1:3][*]..c`.

A path without wildcard, slice, union or `..` is definite: it names one value, and one that is not there is a
`PathError`. Any other path answers with a list, empty where nothing is found (as AWS does, recorded).
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

Json = Any  # a value as json.loads makes it

_NAME = re.compile(r"[^\s.\[\]()'\",*?@]+")
_INDEX = re.compile(r"-?\d+")
_SLICE = re.compile(r"(-?\d+)?:(-?\d+)?")
_COMMA = re.compile(r"\s*,\s*")
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")


class PathSyntaxError(ValueError):
    """The text is no JSONPath the States Language takes."""


class PathError(Exception):
    """The path leads nowhere in this document."""


@dataclass(frozen=True)
class Step:
    """One part of a path: `keys` are names and indexes (more than one is a union), or it is a slice or a wildcard."""

    keys: tuple[str | int, ...] = ()
    bounds: tuple[int | None, int | None] | None = None
    wildcard: bool = False
    deep: bool = False

    @property
    def definite(self) -> bool:
        return len(self.keys) == 1 and not self.deep


@dataclass(frozen=True)
class Path:
    text: str
    context: bool  # starts with `$$`: it reads the context object
    steps: tuple[Step, ...]

    @property
    def definite(self) -> bool:
        return all(step.definite for step in self.steps)

    @property
    def reference(self) -> bool:
        """Whether it names one place in the state's input, so that ResultPath may write there."""
        keys = [key for step in self.steps for key in step.keys]
        return self.definite and not self.context and all(isinstance(key, str) or key >= 0 for key in keys)


@lru_cache(maxsize=4096)
def parse(text: str) -> Path:
    path, end = scan(text, 0)
    if end != len(text):
        raise PathSyntaxError(f"Invalid path '{text}': unexpected '{text[end:]}' at position {end}")
    return path


def scan(text: str, start: int) -> tuple[Path, int]:
    """The path that starts there, and the position after it."""
    if not text.startswith("$", start):
        raise PathSyntaxError(f"Invalid path '{text[start:]}': a path starts with '$'")
    context = text.startswith("$$", start)
    position = start + (2 if context else 1)
    steps = []
    while position < len(text) and text[position] in ".[":
        step, position = _scan_step(text, position)
        steps.append(step)
    return Path(text[start:position], context, tuple(steps)), position


def _scan_step(text: str, position: int) -> tuple[Step, int]:
    deep = text.startswith("..", position)
    position += 2 if deep else text[position] == "."
    if text.startswith("*", position):
        return Step(wildcard=True, deep=deep), position + 1
    if text.startswith("[", position):
        return _scan_bracket(text, position + 1, deep)
    if name := _NAME.match(text, position):
        return Step((name[0],), deep=deep), name.end()
    raise PathSyntaxError(f"Invalid path '{text}': a name is missing at position {position}")


def _scan_bracket(text: str, position: int, deep: bool) -> tuple[Step, int]:
    end = _closing(text, position)
    inner = text[position:end].strip()
    if inner.startswith("?"):
        raise PathSyntaxError(f"Invalid path '{text}': the laptop offers no filter expressions")
    if inner == "*":
        return Step(wildcard=True, deep=deep), end + 1
    if bounds := _SLICE.fullmatch(inner):
        first, last = (int(part) if part else None for part in bounds.groups())
        return Step(bounds=(first, last), deep=deep), end + 1
    return Step(tuple(_keys(text, inner)), deep=deep), end + 1


def _closing(text: str, position: int) -> int:
    while position < len(text) and text[position] != "]":
        quoted = _QUOTED.match(text, position)
        position = quoted.end() if quoted else position + 1
    if position >= len(text):
        raise PathSyntaxError(f"Invalid path '{text}': a ']' is missing")
    return position


def _keys(text: str, inner: str) -> Iterator[str | int]:
    position = 0
    while True:
        if quoted := _QUOTED.match(inner, position):
            yield re.sub(r"\\(.)", r"\1", quoted[1] if quoted[1] is not None else quoted[2])
            position = quoted.end()
        elif index := _INDEX.match(inner, position):
            yield int(index[0])
            position = index.end()
        else:
            raise PathSyntaxError(f"Invalid path '{text}': '[{inner}]' is neither a name, an index nor a slice")
        if position == len(inner):
            return
        if not (comma := _COMMA.match(inner, position)):
            raise PathSyntaxError(f"Invalid path '{text}': '[{inner}]' is neither a name, an index nor a slice")
        position = comma.end()


def read(path: Path, document: Json, context: Json) -> Json:
    """The value (or list of values) the path names in the state's input, or in the context object."""
    root = context if path.context else document
    if path.definite:
        return _read_one(path, root)
    found = [root]
    for step in path.steps:
        found = [value for node in found for value in _select(step, node)]
    return found


def _read_one(path: Path, node: Json) -> Json:
    for step in path.steps:
        key = step.keys[0]
        try:
            node = _child(node, key)
        except LookupError as error:
            raise PathError(f"Invalid path '{path.text}' : {_missing(key)}") from error
    return node


def _missing(key: str | int) -> str:
    return f"Missing property in path $['{key}']" if isinstance(key, str) else f"Index out of bounds: {key}"


def _child(node: Json, key: str | int) -> Json:
    if isinstance(key, str) and isinstance(node, dict):
        return node[key]
    if isinstance(key, int) and isinstance(node, list):
        return node[key]
    raise KeyError(key)


def _select(step: Step, node: Json) -> Iterator[Json]:
    for place in _descend(node) if step.deep else (node,):
        yield from _children(step, place)


def _descend(node: Json) -> Iterator[Json]:
    yield node
    for child in _values(node):
        yield from _descend(child)


def _values(node: Json) -> list[Json]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []


def _children(step: Step, node: Json) -> Iterator[Json]:
    if step.wildcard:
        yield from _values(node)
    elif step.bounds is not None:
        yield from node[slice(*step.bounds)] if isinstance(node, list) else ()
    for key in step.keys:
        try:
            yield _child(node, key)
        except LookupError:
            continue


def write(path: Path, document: Json, value: Json) -> Json:
    """A copy of `document` with `value` at a reference path; objects on the way there are made where missing."""
    return _write(path, document, value, 0)


def _write(path: Path, node: Json, value: Json, depth: int) -> Json:
    if depth == len(path.steps):
        return value
    key = path.steps[depth].keys[0]

    def deeper(child: Json) -> Json:
        return _write(path, child, value, depth + 1)

    return _put_key(path, node, key, deeper) if isinstance(key, str) else _put_index(path, node, key, deeper)


def _put_key(path: Path, node: Json, key: str, deeper: Callable[[Json], Json]) -> Json:
    if not isinstance(node, dict):
        raise PathError(f"Unable to apply ReferencePath {path.text} to input {node!r}")
    return {**node, key: deeper(node.get(key, {}))}


def _put_index(path: Path, node: Json, index: int, deeper: Callable[[Json], Json]) -> Json:
    if not isinstance(node, list) or not 0 <= index < len(node):
        raise PathError(f"Unable to apply ReferencePath {path.text} to input {node!r}")
    return [deeper(item) if place == index else item for place, item in enumerate(node)]

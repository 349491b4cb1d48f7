"""Requests held against the SDK's models of the APIs of AWS. Each service tells violations in its own way."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape

_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "blob": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
    "timestamp": (int, float),
    "list": (list,),
    "map": (dict,),
    "structure": (dict,),
}
# Python's re has no \p{…}: letters, separators and numbers of any script, as the pattern of tags wants them.
_UNICODE_CLASSES = r"\p{L}\p{Z}\p{N}"
_TAG_PUNCTUATION = "_.:/=+-@"
# Patterns over which Python's re takes for ever, and what is the same for a text within the bounds of its shape.
_SLOW = {r"[a-zA-Z0-9]{1,63}(-*[a-zA-Z0-9\+\-\.]){0,63}": r"[a-zA-Z0-9][a-zA-Z0-9+.-]*"}

Path = tuple[str | int, ...]  # names of members, keys of maps, positions in lists from 0


class Violation(NamedTuple):
    """`rule` is `type`, `required`, `offered`, `min`, `max`, `pattern` or `enum`; `shape` is that of the value."""

    path: Path
    rule: str
    shape: Shape
    value: Any

    @property
    def bound(self) -> Any:
        """The least or most that the model allows, the pattern, or the values of the enumeration."""
        return self.shape.metadata[self.rule]

    @property
    def wanted(self) -> str:
        """The type of the value with its article: `an integer`."""
        kind = self.shape.type_name
        return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"

    @property
    def dotted(self) -> str:
        """The path as most services write it: `entries.1.member.detail`."""
        parts = [
            f"{part + 1}.member" if isinstance(part, int) else f"{part[:1].lower()}{part[1:]}" for part in self.path
        ]
        return ".".join(parts)

    @property
    def sentence(self) -> str:
        """As most services say it."""
        if self.rule == "required":
            return f"Value null at '{self.dotted}' failed to satisfy constraint: Member must not be null"
        unit = "value" if isinstance(self.value, int) else "length"
        must = {
            "min": f"have {unit} greater than or equal to",
            "max": f"have {unit} less than or equal to",
            "pattern": "satisfy regular expression pattern:",
            "enum": "satisfy enum value set:",
        }[self.rule]
        bound = f"[{', '.join(self.bound)}]" if self.rule == "enum" else self.bound
        shown = f" '{self.value}'" if isinstance(self.value, str | int) else ""
        return f"Value{shown} at '{self.dotted}' failed to satisfy constraint: Member must {must} {bound}"


@cache
def service_model(name: str) -> ServiceModel:
    """The SDK's newest model of a service, by boto3's name for it."""
    return ServiceModel(Loader().load_service_model(name, "service-2"), name)


def input_shape(service: str, operation: str) -> StructureShape:
    shape = service_model(service).operation_model(operation).input_shape
    assert shape
    return shape


def detected(found: list[Violation]) -> str:
    """All of them in one message, as most services write it."""
    plural = "s" if len(found) > 1 else ""
    return f"{len(found)} validation error{plural} detected: {'; '.join(one.sentence for one in found)}"


def violations(
    shape: Shape, value: Any, path: Path = (), not_offered: frozenset[str] = frozenset()
) -> Iterator[Violation]:
    """Everything in `value` that breaks the model, or that is a member the laptop does not offer.

    Members that the model does not know are ignored, as AWS ignores them. What has the wrong type is not looked into,
    nor are documents and DynamoDB's attribute values: their service does.
    """
    if shape.metadata.get("document") or shape.name == "AttributeValue":
        return
    if type(value) not in _TYPES[shape.type_name] or not _is_text(value):  # not isinstance: True is no integer
        yield Violation(path, "type", shape, value)
        return
    yield from _broken_rules(shape, value, path)
    if isinstance(shape, StructureShape):
        yield from _members(shape, value, path, not_offered)
    elif isinstance(shape, ListShape) and shape.member.type_name != "float":  # numpy looks at half a million numbers
        for number, item in enumerate(value):
            yield from violations(shape.member, item, (*path, number), not_offered)
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            yield from violations(shape.key, key, path, not_offered)
            yield from violations(shape.value, item, (*path, key), not_offered)


def _members(
    shape: StructureShape, value: Mapping[str, Any], path: Path, not_offered: frozenset[str]
) -> Iterator[Violation]:
    required = shape.required_members
    if shape.is_tagged_union and not any(value.get(name) is not None for name in shape.members):
        required = list(shape.members)[:1]
    for name, member in shape.members.items():
        if value.get(name) is None:
            if name in required:
                yield Violation((*path, name), "required", member, None)
        elif name in not_offered:
            yield Violation((*path, name), "offered", member, value[name])
        else:
            yield from violations(member, value[name], (*path, name), not_offered)


def _broken_rules(shape: Shape, value: Any, path: Path) -> Iterator[Violation]:
    rules = shape.metadata
    size = len(value) if isinstance(value, str | list | dict) else value
    if "min" in rules and size < rules["min"]:
        yield Violation(path, "min", shape, value)
    if "max" in rules and size > rules["max"]:
        yield Violation(path, "max", shape, value)
    if "pattern" in rules and not _fits(rules["pattern"], value):
        yield Violation(path, "pattern", shape, value)
    if "enum" in rules and value not in rules["enum"]:
        yield Violation(path, "enum", shape, value)


def _is_text(value: Any) -> bool:
    """False for a text with half a surrogate pair, which JSON can hold and UTF-8 cannot."""
    if isinstance(value, str) and not value.isascii():
        return not any("\ud800" <= each <= "\udfff" for each in value)
    return True


def is_tag_text(text: str) -> bool:
    """Of the characters that AWS takes in keys and values of tags."""
    return all(each in _TAG_PUNCTUATION or unicodedata.category(each)[0] in "LZN" for each in text)


def _fits(pattern: str, value: str) -> bool:
    if _UNICODE_CLASSES in pattern:
        return is_tag_text(value)
    return re.fullmatch(_SLOW.get(pattern, pattern), value) is not None

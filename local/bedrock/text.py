"""Cutting text: into pieces at word boundaries, and down to what the model takes."""

from collections.abc import Iterator
from typing import Literal, TextIO

CONTEXT_CHARS = 8_192 * 4  # what the model reads of a text: 8,192 tokens of about four characters

TruncationMode = Literal["START", "END", "NONE"]


def pieces(source: TextIO, longest: int) -> Iterator[str]:
    """Pieces of at most `longest` characters that together are the text; only a longer word is cut inside."""
    rest = ""
    while True:
        rest += source.read(longest + 1 - len(rest))
        if len(rest) <= longest:
            break
        end = _word_boundary(rest, longest)
        yield rest[:end]
        rest = rest[end:]
    if rest:
        yield rest


def _word_boundary(text: str, longest: int) -> int:
    for place in range(longest, 0, -1):
        if text[place].isspace() or text[place - 1].isspace():
            return place
    return longest


def truncate(text: str, longest: int, mode: TruncationMode) -> str:
    """`mode` says which end is dropped."""
    if mode == "NONE":
        return text
    return text[-longest:] if mode == "START" else text[:longest]

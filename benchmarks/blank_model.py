"""A stand-in for the model that looks at nothing: what is measured is the functions, not what embeds for them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]

_numbers = np.random.default_rng(7)


class UnreadableError(Exception):
    """Never raised."""


@dataclass(frozen=True)
class Segment:
    start: float
    end: float
    vector: Vector
    damage: str = ""


@dataclass(frozen=True)
class FilmSegment:
    video: Segment
    audio: Segment
    combined: Segment


def shorten(vector: Vector, dimension: int) -> Vector:
    return vector[:dimension]


def embed_text(text: str) -> Vector:
    return _numbers.standard_normal(3072, dtype=np.float32)


def embed_image(content: bytes) -> Vector:
    return _numbers.standard_normal(3072, dtype=np.float32)


def audio_length(path: Path) -> float:
    with av.open(str(path)) as container:
        return (container.duration or 0) / av.time_base


def embed_audio(path: Path, segment_seconds: float | None) -> Iterator[Segment]:
    length = audio_length(path)
    step, start = segment_seconds or length, 0.0
    while start < length:
        yield Segment(start, min(start + step, length), embed_text(""))
        start += step


class Film:
    """As long as its header says; each of its segments has its sound."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.length = audio_length(path)

    def count(self, segment_seconds: float) -> int:
        return -int(-self.length // segment_seconds)

    def segments(self, segment_seconds: float | None) -> Iterator[FilmSegment]:
        for one in embed_audio(self._path, segment_seconds):
            yield FilmSegment(one, Segment(one.start, one.end, embed_text("")), one)

"""A model for tests of the service around it: what the input says decides what happens."""

import ctypes
import hashlib
import time
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]


class UnreadableError(Exception):
    pass


@dataclass(frozen=True)
class Segment:
    start: float
    end: float
    vector: Vector
    damage: str = ""


def shorten(vector: Vector, dimension: int) -> Vector:
    return vector[:dimension]


def _vector(content: bytes) -> Vector:
    if b"CRASH" in content:
        ctypes.string_at(0)
    if b"SLOW" in content:
        time.sleep(1)
    if b"BAD" in content:
        raise UnreadableError("There is nothing to read in this")
    seed = int.from_bytes(hashlib.sha256(content).digest()[:8], "big")
    return np.random.default_rng(seed).standard_normal(3072, dtype=np.float32)


def embed_text(text: str) -> Vector:
    return _vector(text.encode())


def embed_image(content: bytes) -> Vector:
    return _vector(content)


def audio_length(path: Path) -> float:
    with wave.open(str(path)) as sound:
        return float(sound.getnframes() / sound.getframerate())


def embed_audio(path: Path, segment_seconds: float | None) -> Iterator[Segment]:
    length = audio_length(path)
    step = segment_seconds or length
    with wave.open(str(path)) as sound:
        start = 0.0
        while start < length:
            frames = sound.readframes(int(step * sound.getframerate()))
            yield Segment(start, min(start + step, length), _vector(frames))
            start += step

"""One space for words, sounds and pictures: what each of its 3,072 numbers means.

The space is 24 equal blocks of 128 numbers. Every block holds the same measured axes at the same places, a fresh
slice of the fine print of a sound and of a picture, and a fresh slice of the words' directions. So a vector cut to
256, 384 or 1,024 numbers keeps the balance of the whole, and more numbers only make unlike words and unlike fine
print more unlike.
"""

import hashlib
from collections.abc import Iterable, Mapping
from enum import Enum, auto
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]

DIMENSION = 3072
_BLOCK = 128
_BLOCKS = DIMENSION // _BLOCK
_FINE = 4

# A sound or picture has this length (squared) before it is normalised, whatever it shows: what the measured axes
# leave is filled with fine print and what is spoken. So a property scores the same in a file that has many as in
# one that has only it.
BUDGET = 8.0
_FINE_LEAST = 0.3
"""So that two files with the same properties are still two files."""


class Axis(Enum):
    """What is measured. Signed axes run from their opposite (-1) to their name (+1), the others from none (0) to 1."""

    SOUND = 0
    LOUD = auto()  # signed: quiet
    HIGH = auto()  # signed: low-pitched
    SHRILL = auto()  # signed: dull in timbre
    FAST = auto()  # signed: slow
    RHYTHM = auto()
    CLICKS = auto()
    NOISE = auto()
    TONE = auto()
    MUSIC = auto()
    SPEECH = auto()
    SILENCE = auto()
    ALARM = auto()
    RISING = auto()  # signed: falling
    SWEEP = auto()
    STEADY = auto()  # signed: changing
    PICTURE = auto()
    RED = auto()
    ORANGE = auto()
    YELLOW = auto()
    GREEN = auto()
    CYAN = auto()
    BLUE = auto()
    PURPLE = auto()
    PINK = auto()
    BROWN = auto()
    BLACK = auto()
    WHITE = auto()
    GREY = auto()
    BRIGHT = auto()  # signed: dark
    CONTRAST = auto()  # signed: low contrast
    COLOURFUL = auto()  # signed: without colour
    BUSY = auto()  # signed: plain, smooth
    VERTICAL = auto()
    HORIZONTAL = auto()
    DIAGONAL = auto()
    CHECKS = auto()
    GRAIN = auto()
    GRADIENT = auto()
    SHAPE = auto()
    LANDSCAPE = auto()  # signed: portrait
    SQUARE = auto()


class Medium(Enum):
    """A medium with a place for fine print."""

    SOUND = len(Axis)
    PICTURE = len(Axis) + _FINE


_WORDS = len(Axis) + 2 * _FINE  # where a block's slice of the words begins
_WORD_SLICE = _BLOCK - _WORDS


def ramp(value: float, zero: float, one: float) -> float:
    """A value of an axis: 0 up to `zero`, 1 from `one` on (which may be the lower of the two), smooth between."""
    x = min(1.0, max(0.0, (value - zero) / (one - zero)))
    return x * x * (3 - 2 * x)


def shorten(vector: Vector, dimension: int) -> Vector:
    """Its first `dimension` numbers, at length 1 again."""
    return _unit(vector[:dimension])


@lru_cache(maxsize=4_000)  # 7 KB each
def word_direction(feature: str) -> Vector:
    """The fixed direction of a word (a unit vector over the words' places of all blocks), the same on every machine."""
    return _signs("word " + feature, _BLOCKS * _WORD_SLICE)


def words_vector(features: Mapping[str, float]) -> Vector:
    """The weighted sum of the features' directions, not normalised."""
    total = np.zeros(_BLOCKS * _WORD_SLICE, np.float32)
    for feature, weight in features.items():
        total += np.float32(weight) * word_direction(feature)
    return total


def text_vector(axes: Mapping[Axis, float], words: Vector) -> Vector:
    """A text: the axes its words name and the words themselves."""
    return _join(axes, {}, words)


def medium_vector(
    medium: Medium, axes: Mapping[Axis, float], fine: Iterable[float], spoken: Vector | None = None
) -> Vector:
    """A sound or picture: its measured axes, its fine print, and what is said in it, up to `BUDGET` together."""
    left = BUDGET - sum(value * value for value in axes.values())
    words = None
    if spoken is not None and spoken.any():
        share = max(left - _FINE_LEAST, BUDGET / 4)
        words = _unit(spoken) * np.float32(share**0.5)
        left -= share
    return _join(axes, {medium: _fine_print(fine) * np.float32(max(left, _FINE_LEAST) ** 0.5)}, words)


def mix(one: Vector, other: Vector) -> Vector:
    """What two vectors say together, each as much as the other."""
    return _unit(one + other)


def _fine_print(fine: Iterable[float]) -> Vector:
    """The description `fine`, of any length, spread over the blocks: a block is a random projection of it, length 1."""
    values = np.fromiter(fine, np.float32)
    projected = _projection(len(values)) @ values + np.float32(1e-6)
    slices = projected.reshape(_BLOCKS, _FINE)
    return np.asarray(slices / np.linalg.norm(slices, axis=1, keepdims=True) / _BLOCKS**0.5, np.float32).ravel()


@lru_cache(maxsize=4)
def _projection(length: int) -> Vector:
    rows = _BLOCKS * _FINE
    return _signs(f"projection {length}", rows * length).reshape(rows, length) * np.float32(rows**0.5)


def _join(axes: Mapping[Axis, float], fine: Mapping[Medium, Vector], words: Vector | None) -> Vector:
    vector = np.zeros((_BLOCKS, _BLOCK), np.float32)
    for axis, value in axes.items():
        vector[:, axis.value] = value / _BLOCKS**0.5
    for medium, values in fine.items():
        vector[:, medium.value : medium.value + _FINE] = values.reshape(_BLOCKS, _FINE)
    if words is not None:
        vector[:, _WORDS:] = words.reshape(_BLOCKS, _WORD_SLICE)
    return _unit(vector.ravel())


def _signs(seed: str, count: int) -> Vector:
    """`count` numbers of one size and pseudo-random sign, of length 1 together."""
    digest = hashlib.shake_128(seed.encode("utf-8", "surrogatepass")).digest((count + 7) // 8)
    bits = np.unpackbits(np.frombuffer(digest, np.uint8), count=count).astype(np.float32)
    return np.asarray((2 * bits - 1) / np.float32(count**0.5), np.float32)


def _unit(vector: Vector) -> Vector:
    return np.asarray(vector / np.linalg.norm(vector), np.float32)

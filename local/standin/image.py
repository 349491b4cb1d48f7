"""What a picture looks like: its colours, light, patterns and format as axes of the space."""

import io
import struct
import warnings
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from local.standin.measured import Measured
from local.standin.sound import UnreadableError
from local.standin.space import Axis, Medium, Vector, medium_vector, ramp
from local.standin.vocabulary import COLOURS

Floats = NDArray[np.floating]

_LARGEST = 768
# Points are picked, not averaged: fine stripes, checks and grain stay what they are, at whatever size a picture comes.
# The number has no factor of 2 or 5, so no usual pattern is hit at the same phase each time.
_GRID = 243
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, RuntimeError, KeyError, struct.error)  # what decoders raise
_ON_THEIR_SIDE = (5, 6, 7, 8)  # of the orientations in EXIF
_LEVELS = 32  # per channel, when colours are counted
_BORDER = 0.06  # how soft the border between two colour names is, as a distance in OKLab
_RING = 10  # points
_LEAST_CYCLES = 1.7
"""What repeats less often within the picture is its layout, not a pattern."""


def embed_image(content: bytes) -> Vector:
    """Raises `UnreadableError`. Of an animation, the first picture counts; what is transparent counts as white."""
    measured = _measure(*_open(content))
    return medium_vector(Medium.PICTURE, measured.axes, measured.fine)


def measure(picture: Image.Image) -> Measured:
    """Of an RGB picture."""
    return _measure(_points(picture), picture.size)


def _measure(points: Image.Image, size: tuple[int, int]) -> Measured:
    """`size` is that of the whole picture."""
    pixels = np.ascontiguousarray(np.asarray(points, np.uint8))
    lab = _oklab(pixels)
    axes = {Axis.PICTURE: 1.0} | _colours(pixels) | _light(pixels, lab) | _patterns(lab) | _format(*size)
    return Measured(axes, _fine(lab))


def _open(content: bytes) -> tuple[Image.Image, tuple[int, int]]:
    """The points of the picture, upright and in RGB, and its size. Nothing but the decoder holds the whole picture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content)) as opened:
                opened.draft("RGB", (_LARGEST, _LARGEST))
                opened.load()
                points, (width, height) = _points(opened), opened.size
                orientation = opened.getexif().get(ExifTags.Base.Orientation)
                points.info.pop("exif", None)  # only its file can read one that was cut off
                points.getexif()[ExifTags.Base.Orientation] = orientation or 1
                on_its_side = orientation in _ON_THEIR_SIDE
                return _rgb(ImageOps.exif_transpose(points)), (height, width) if on_its_side else (width, height)
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise UnreadableError("The content is no picture that can be decoded") from error
    except _DAMAGED as error:
        raise UnreadableError("The picture is damaged and cannot be decoded") from error


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        values = np.asarray(picture, np.float32)
        scale = 255 / max(float(values.max()), 65535.0 if values.max() > 255 else 255.0)
        return Image.fromarray(np.asarray(np.clip(values * scale, 0, 255), np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        transparent = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), transparent).convert("RGB")
    return picture.convert("RGB")


def _points(picture: Image.Image) -> Image.Image:
    """A square grid of the picture's pixels."""
    return picture.resize((_GRID, _GRID), Image.Resampling.NEAREST)


def _oklab(pixels: NDArray[np.uint8]) -> Floats:
    """Lightness (0 to 1) and two colour axes, as the eye judges distance. See bottosson.github.io/posts/oklab."""
    linear = _linear()[pixels]
    cones = np.cbrt(linear @ _CONES)
    lab: Floats = cones @ _OPPONENTS
    return lab


@lru_cache(maxsize=1)
def _linear() -> Floats:
    level = np.arange(256, dtype=np.float32) / 255
    return np.asarray(np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4), np.float32)


_CONES = np.array(
    [
        [0.4122214708, 0.2119034982, 0.0883024619],
        [0.5363325363, 0.6806995451, 0.2817188376],
        [0.0514459929, 0.1073969566, 0.6299787005],
    ],
    np.float32,
)
_OPPONENTS = np.array(
    [
        [0.2104542553, 1.9779984951, 0.0259040371],
        [0.7936177850, -2.4285922050, 0.7827717662],
        [-0.0040720468, 0.4505937099, -0.8086757660],
    ],
    np.float32,
)


@lru_cache(maxsize=1)
def _colour_shares() -> Floats:
    """For each of the 32³ colours: how much of each colour name it is. Near a border it is some of both."""
    level = ((np.arange(_LEVELS) + 0.5) * 256 / _LEVELS).astype(np.uint8)
    grid = np.stack(np.meshgrid(level, level, level, indexing="ij"), axis=-1).reshape(-1, 3)
    lab = _oklab(grid)
    known = [_oklab(np.array([examples], np.uint8)) for examples in COLOURS.values()]
    distance = np.stack([np.linalg.norm(lab[:, None] - examples, axis=2).min(axis=1) for examples in known], axis=1)
    nearest = distance.min(axis=1, keepdims=True)
    nearness = np.exp((np.square(nearest) - np.square(distance)) / _BORDER**2)
    return np.asarray(nearness / nearness.sum(axis=1, keepdims=True), np.float32)


def _colours(pixels: NDArray[np.uint8]) -> dict[Axis, float]:
    """The square root of each colour's share, so that together they always have the same length."""
    coarse = (pixels // (256 // _LEVELS)).reshape(-1, 3).astype(np.intp)
    index = (coarse[:, 0] * _LEVELS + coarse[:, 1]) * _LEVELS + coarse[:, 2]
    count = np.bincount(index, minlength=_LEVELS**3).astype(np.float32)
    shares = count @ _colour_shares() / len(index)
    return {axis: float(share) ** 0.5 for axis, share in zip(COLOURS, shares, strict=True)}


def _light(pixels: NDArray[np.uint8], lab: Floats) -> dict[Axis, float]:
    luma = pixels @ np.array([0.299, 0.587, 0.114], np.float32) / 255
    light = 0.8 * float(luma.mean()) + 0.2 * float(pixels.mean()) / 255
    low, high = np.quantile(luma[::3, ::3], [0.05, 0.95])
    spread = 0.5 * float(luma.std()) / 0.4 + 0.5 * float(high - low)
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    purity = (pixels.max(axis=2).astype(np.float32) - pixels.min(axis=2)) / 255
    vivid = 0.5 * float(np.minimum(chroma / 0.2, 1).mean()) + 0.5 * float(purity.mean())
    return {
        Axis.BRIGHT: float(np.tanh((light - 0.48) / 0.28)),
        Axis.CONTRAST: float(np.tanh((spread - 0.4) / 0.3)),
        Axis.COLOURFUL: float(np.clip(1.3 * vivid + 0.6 * _variety(lab, chroma) - 0.8, -1, 1)),
    }


def _variety(lab: Floats, chroma: Floats) -> float:
    """0: one hue at most, 1: all around the colour circle."""
    turn = ((np.arctan2(lab[..., 2], lab[..., 1]) / (2 * np.pi)) % 1 * 12).astype(int) % 12
    share = np.bincount(turn.ravel(), np.minimum(chroma.ravel(), 0.2) * (chroma.ravel() > 0.04), 12) / 0.2 / chroma.size
    return float(min(1.0, np.sqrt(share).sum() ** 2 / 6 - share.sum() / 6))


def _patterns(lab: Floats) -> dict[Axis, float]:
    """Stripes, checks and grain are told apart by where the power of the picture's spectrum lies."""
    centred = lab - lab.mean(axis=(0, 1))
    contrast = float(np.sqrt(np.square(centred).sum(axis=2).mean()))
    there = ramp(contrast, 0.015, 0.05)
    edges = _edges(lab)
    sharp = float((edges > 0.06).mean())
    rough = float(np.log10(edges.mean() + 1e-4))
    ordered, peaky, share = _order(centred)
    ordered *= there
    crossed, slanted = min(share["rising"], share["falling"]), abs(share["rising"] - share["falling"])
    return {
        Axis.BUSY: float(np.tanh((rough + 1.9) / 0.7)),
        Axis.VERTICAL: ordered * ramp(share["vertical"], 0.35, 0.85),
        Axis.HORIZONTAL: ordered * ramp(share["horizontal"], 0.35, 0.85),
        Axis.DIAGONAL: ordered * ramp(slanted, 0.3, 0.8),
        Axis.CHECKS: ordered * ramp(2 * crossed, 0.4, 0.8),
        Axis.GRAIN: there * ramp(sharp, 0.1, 0.35) * ramp(peaky, 0.08, 0.02),
        Axis.GRADIENT: ramp(contrast, 0.01, 0.05) * ramp(sharp, 0.003, 0.0005),
        Axis.SHAPE: there * _shape(lab) * ramp(sharp, 0.2, 0.08) * ramp(sharp, 0.0005, 0.003),
    }


def _edges(lab: Floats) -> Floats:
    right, down = np.diff(lab, axis=1)[:-1], np.diff(lab, axis=0)[:, :-1]
    return np.asarray(np.sqrt((np.square(right) + np.square(down)).sum(axis=2)))


def _order(centred: Floats) -> tuple[float, float, dict[str, float]]:
    """How much of it is one repeated pattern; how much of its detail is in few frequencies; in which directions."""
    spectra = np.fft.rfft2(centred * _window(), axes=(0, 1))
    power = (np.square(spectra.real) + np.square(spectra.imag)).sum(axis=2)
    whole = float(power.sum()) + 1e-9
    power *= _repeating()
    detail = float(power.sum()) + 1e-9
    strongest = float(np.partition(power.ravel(), -24)[-24:].sum()) / detail
    shares = {name: float(power[where].sum()) / detail for name, where in _sectors().items()}
    return ramp(strongest, 0.1, 0.35) * ramp(detail / whole, 0.45, 0.8), strongest, shares


@lru_cache(maxsize=1)
def _window() -> Floats:
    side = np.hanning(_GRID).astype(np.float32)
    return np.asarray((side[:, None] * side)[..., None])


def _frequencies() -> list[Floats]:
    """Cycles per picture, down and across, for each place of the spectrum."""
    return list(np.meshgrid(np.fft.fftfreq(_GRID, 1 / _GRID), np.fft.rfftfreq(_GRID, 1 / _GRID), indexing="ij"))


@lru_cache(maxsize=1)
def _repeating() -> Floats:
    return np.asarray(np.hypot(*_frequencies()) >= _LEAST_CYCLES, np.float32)


@lru_cache(maxsize=1)
def _sectors() -> dict[str, NDArray[np.bool_]]:
    """Which places of the spectrum belong to stripes of which direction."""
    angle = np.degrees(np.arctan2(*_frequencies()))
    return {
        "vertical": np.abs(angle) <= 10,
        "horizontal": np.abs(angle) >= 80,
        "falling": (angle > 10) & (angle < 80),
        "rising": (angle < -10) & (angle > -80),
    }


def _shape(lab: Floats) -> float:
    """One thing before a plain background: a border of one colour, and something else within."""
    ring = np.ones(lab.shape[:2], bool)
    ring[_RING:-_RING, _RING:-_RING] = False
    ground = np.median(lab[ring], axis=0)
    away = np.linalg.norm(lab - ground, axis=2)
    plain = ramp(float((away[ring] < 0.05).mean()), 0.5, 0.85)
    thing = float((away > 0.08).mean())
    return plain * ramp(thing, 0.003, 0.02) * ramp(thing, 0.9, 0.7)


def _format(width: int, height: int) -> dict[Axis, float]:
    wide = float(np.log2(width / height))
    return {Axis.LANDSCAPE: float(np.tanh(wide / 0.4)), Axis.SQUARE: float(np.exp(-((wide / 0.15) ** 2)))}


def _fine(lab: Floats) -> Floats:
    """The colours of nine by nine fields."""
    fields = lab.reshape(9, _GRID // 9, 9, _GRID // 9, 3).mean(axis=(1, 3))
    return np.asarray((fields - np.array([0.6, 0.0, 0.0], np.float32)).ravel())

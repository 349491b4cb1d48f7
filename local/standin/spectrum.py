"""The spectrum and the pitch of a stretch of sound."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from local.standin.sound import RATE, Samples

Floats = NDArray[np.floating]
Flags = NDArray[np.bool_]

_WINDOW, _SHORT, _HOP = 2048, 512, 512
_LOW_HERTZ = 400
_THIN, _LOW_WINDOW = 8, 512  # one sample of eight; windows of so many of these
_HOLD, _GLIDE = 3, 5  # frames over which a pitch is said to hold or glide


@dataclass(frozen=True)
class Spectrum:
    """Averages over the frames that are not silent, louder ones counting more."""

    flatness: float
    """0 for tones, about 0.57 for noise of any colour, more for clicks."""
    narrow: float
    """The share that is one narrow band above 900 Hz: a high tone, also one that moves quickly."""
    centre: float
    """Where the power is: log2 of hertz."""
    profile: Floats
    """Log power by band."""
    change: Floats
    """How much each band changes from frame to frame."""


@dataclass(frozen=True)
class Pitch:
    tonal: float
    """Share of the sound that has a pitch."""
    hertz: float
    """The middle one; 0 without any."""
    chord: float
    """How strong another note within the octave above the lowest is beside it (amplitude, at most 1)."""
    partials: float
    notes: int
    """Different semitones that were held."""
    held: float
    gliding: float
    """Shares of the pitched time in which the pitch holds and glides; the rest are jumps."""
    direction: float
    """Of the glides: 1 all up, -1 all down."""
    jumps: int


@dataclass(frozen=True)
class _View:
    """Power spectra, a row per frame, at one resolution; `bins` are looked at."""

    power: Floats
    hertz_per_bin: float
    bins: slice
    band: int
    """How many bins a narrow band has at the low end."""

    def flatness(self) -> Floats:
        """Per frame: geometric over arithmetic mean within narrow bands, so the colour of a noise does not matter."""
        edges = _bands(self.bins.start, self.bins.stop, self.band)
        width = np.diff(edges)
        mean = _by_band(self.power, edges)
        geometric = np.exp(_by_band(np.log(self.power), edges))
        return np.asarray((geometric * width).sum(axis=1) / (mean * width).sum(axis=1))

    def peaks(self, least: float) -> Floats:
        """Amplitudes where there is a peak with at least that share of the frame's greatest power, else 0."""
        start, stop = self.bins.start, self.bins.stop
        left, middle, right = (self.power[:, start + step : stop + step] for step in (-1, 0, 1))
        top = middle.max(axis=1, keepdims=True)
        return np.asarray(np.sqrt(middle) * ((middle > left) & (middle >= right) & (middle > top * least)))

    def lowest(self) -> Floats:
        """The hertz of the lowest partial that is no more than 12 dB under the strongest."""
        first = (self.peaks(0.06) > 0).argmax(axis=1) + self.bins.start
        return _interpolated(self.power, first) * self.hertz_per_bin

    def second(self, lowest: Floats) -> Floats:
        """How strong another note within the octave above the lowest is beside it, 0 to 1."""
        size = self.peaks(0.003)
        at = np.arange(self.bins.start, self.bins.stop)
        root = (lowest / self.hertz_per_bin)[:, None]
        within = (at > np.maximum(1.04 * root, root + 1.5)) & (at < np.minimum(1.96 * root, 2 * root - 1.5))
        strongest = np.where(at <= root + 1.5, size, 0).max(axis=1)
        return np.asarray(np.minimum(1, np.where(within, size, 0).max(axis=1) / np.maximum(strongest, 1e-9)))


@dataclass(frozen=True)
class _Frames:
    wide: _View  # of 85 ms each
    low: _View  # of 170 ms, where most of the power is low: partials are close to each other there
    is_low: Flags
    short: Floats  # power spectra of the middle 21 ms
    weight: Floats  # amplitude
    active: Flags  # of all frames, those that are not silent: the ones above


def spectrum_and_pitch(samples: Samples) -> tuple[Spectrum, Pitch]:
    frames = _frames(samples)
    flatness = np.where(frames.is_low, frames.low.flatness(), frames.wide.flatness())
    narrow, short_hertz = _narrow(frames.short)
    single = narrow > 0.6
    lowest = np.where(frames.is_low, frames.low.lowest(), frames.wide.lowest())
    second = np.where(frames.is_low, frames.low.second(lowest), frames.wide.second(lowest))
    partials = (frames.wide.peaks(0.003) > 0).sum(axis=1)
    return (
        _spectrum(frames, flatness, single),
        _pitch(
            frames,
            tonal=(flatness < 0.2) | single,
            hertz=np.where(single, short_hertz, lowest),
            chord=_average(np.where(single, 0.0, second), frames),
            partials=_average(partials, frames),
        ),
    )


def _frames(samples: Samples) -> _Frames:
    if len(samples) < _WINDOW:
        samples = np.pad(samples, (0, _WINDOW - len(samples)))
    cut = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_HOP]
    level = 10 * np.log10(np.mean(np.square(cut), axis=1) + 1e-12)
    active = level > max(-66.0, float(level.max()) - 30)
    if not active.any():
        active = np.ones(len(cut), bool)
    sounding = cut[active]
    power = _power(sounding)
    share = power[:, : int(_LOW_HERTZ / RATE * _WINDOW)].sum(axis=1) / power.sum(axis=1)
    return _Frames(
        wide=_View(power, RATE / _WINDOW, slice(4, 860), 12),
        low=_View(_low_power(samples, len(cut))[active], RATE / _THIN / _LOW_WINDOW, slice(3, 84), 12),
        is_low=share > 0.7,
        short=_power(sounding[:, (_WINDOW - _SHORT) // 2 : (_WINDOW + _SHORT) // 2]),
        weight=np.sqrt(power.sum(axis=1)),
        active=active,
    )


def _low_power(samples: Samples, count: int) -> Floats:
    """Spectra of twice the window around each of the `count` frames, of the sound thinned out."""
    thin = samples[: len(samples) // _THIN * _THIN].reshape(-1, _THIN).mean(axis=1)
    padded = np.pad(thin, (_LOW_WINDOW - _WINDOW // _THIN) // 2 + 1, mode="reflect")
    hop = _HOP // _THIN
    missing = (count - 1) * hop + _LOW_WINDOW - len(padded)
    padded = np.pad(padded, (0, max(0, missing)))
    return _power(np.lib.stride_tricks.sliding_window_view(padded, _LOW_WINDOW)[::hop][:count])


def _power(frames: Floats) -> Floats:
    spectra = np.fft.rfft(frames * np.hanning(frames.shape[1]).astype(np.float32))
    power: Floats = np.square(spectra.real) + np.square(spectra.imag) + np.float32(1e-9)
    return power


@lru_cache(maxsize=4)
def _bands(start: int, stop: int, width: int) -> NDArray[np.intp]:
    """Edges of bands that are so wide at the low end and four times as wide at the high end."""
    edges = [start]
    while edges[-1] < stop:
        edges.append(edges[-1] + round(width * (1 + 3 * min(1, edges[-1] / 600))))
    return np.array([*edges[:-1], stop])


def _by_band(power: Floats, edges: NDArray[np.intp]) -> Floats:
    """The mean power of each band."""
    return np.asarray(np.add.reduceat(power[:, : edges[-1]], edges[:-1], axis=1) / np.diff(edges))


def _average(values: NDArray[Any], frames: _Frames) -> float:
    return float(np.average(values, weights=frames.weight))


def _narrow(power: Floats) -> tuple[Floats, Floats]:
    """Per frame: the share of the power within 7 % of the strongest frequency, if it is a high one; and its hertz."""
    bins = np.arange(power.shape[1])
    peak = power[:, 1:-1].argmax(axis=1) + 1
    near = np.abs(bins - peak[:, None]) <= np.maximum(2, 0.07 * peak)[:, None]
    share = (power * near).sum(axis=1) / power.sum(axis=1)
    hertz = _interpolated(power, peak) * RATE / _SHORT
    return np.where(hertz > 900, share, 0.0), hertz


def _interpolated(power: Floats, peak: NDArray[np.intp]) -> Floats:
    """The place of the peak between the bins."""
    rows = np.arange(len(power))
    left, middle, right = (np.log(power[rows, peak + step]) for step in (-1, 0, 1))
    bend = left - 2 * middle + right
    shift = np.where(bend < -1e-6, 0.5 * (left - right) / np.minimum(bend, -1e-6), 0.0)
    return np.asarray(peak + np.clip(shift, -0.5, 0.5))


def _spectrum(frames: _Frames, flatness: Floats, single: Flags) -> Spectrum:
    power = frames.wide.power
    share = power / power.sum(axis=1, keepdims=True)
    hertz = np.maximum(np.arange(share.shape[1]) * frames.wide.hertz_per_bin, 40)
    by_band = _by_band(power, _bands(4, 1000, 24))
    log = np.log10(by_band + 1e-5 * by_band.max())
    return Spectrum(
        flatness=_average(np.where(single, 0.0, flatness), frames),
        narrow=_average(single, frames),
        centre=_average(share @ np.log2(hertz), frames),
        profile=np.average(log, axis=0, weights=frames.weight),
        change=np.abs(np.diff(log, axis=0)).mean(axis=0) if len(log) > 1 else np.zeros(log.shape[1]),
    )


def _pitch(frames: _Frames, tonal: Flags, hertz: Floats, chord: float, partials: float) -> Pitch:
    semitones = 12 * np.log2(hertz / 440)
    track = np.full(len(frames.active), np.nan)
    track[frames.active] = np.where(tonal, semitones, np.nan)
    track = _smooth(track)
    held, at = _held(track)
    gliding, direction = _glides(track)
    _, counts = np.unique(np.round(at), return_counts=True)
    return Pitch(
        tonal=_average(tonal, frames),
        hertz=float(440 * 2 ** (np.median(semitones[tonal]) / 12)) if tonal.any() else 0.0,
        chord=chord,
        partials=partials,
        notes=int((counts >= max(2, 0.04 * len(at))).sum()),
        held=held,
        gliding=gliding,
        direction=direction,
        jumps=_jumps(track),
    )


def _smooth(track: Floats) -> Floats:
    """Without the flicker of two partials that beat; jumps stay jumps."""
    if len(track) < 3:
        return track
    around = np.lib.stride_tricks.sliding_window_view(track, 3)
    middle = np.median(around, axis=1)
    return np.concatenate([track[:1], np.where(np.isnan(middle), track[1:-1], middle), track[-1:]])


def _spans(track: Floats, length: int) -> tuple[Floats, Floats]:
    """The steps of all stretches of that many frames that are pitched throughout; where each begins."""
    step = np.diff(track)
    if len(step) < length:
        return np.zeros((0, length)), np.zeros(0)
    spans = np.lib.stride_tricks.sliding_window_view(step, length)
    known = np.isfinite(spans).all(axis=1)
    return spans[known], track[: len(spans)][known]


def _held(track: Floats) -> tuple[float, Floats]:
    """Share of the pitched time in which the pitch holds; the pitches held."""
    spans, at = _spans(track, _HOLD)
    if not len(spans):  # beeps too short for that
        spans, at = _spans(track, 1)
    held = (np.abs(spans.sum(axis=1)) < 0.2) & (np.abs(spans).sum(axis=1) < 0.5)
    return float(held.mean()) if len(held) else 0.0, at[held]


def _glides(track: Floats) -> tuple[float, float]:
    """Share of the pitched time in which the pitch glides, and the way: 1 always up, -1 always down."""
    spans, _ = _spans(track, _GLIDE)
    if not len(spans) or np.ptp(track[np.isfinite(track)]) < 1.5:
        return 0.0, 0.0
    way, largest = np.abs(spans).sum(axis=1), np.abs(spans).max(axis=1)
    glide = (way > 0.2) & (largest < 0.6 * way)
    straight = _straight(track) if not _jumps(track) else 0.0
    return max(straight, float(glide.mean())), float(
        spans[glide | (straight > 0)].sum() / max(1e-9, way[glide | (straight > 0)].sum())
    )


def _straight(track: Floats) -> float:
    """How much the whole track is one slow slide."""
    at = np.flatnonzero(np.isfinite(track))
    if len(at) < 10:
        return 0.0
    fit = float(np.corrcoef(at, track[at])[0, 1]) ** 2
    return max(0.0, 20 * fit - 19)


def _jumps(track: Floats) -> int:
    """How often the pitch is suddenly another one, and stays near that."""
    step = np.abs(np.diff(track[np.isfinite(track)]))
    before, here, after = step[:-2], step[1:-1], step[2:]
    return int(((here > 0.7) & (before < 0.35 * here) & (after < 0.35 * here)).sum())

"""Raw measurements of a stretch of sound: its spectrum, its pitch and its loudness over time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from local.standin.sound import RATE, Samples

Floats = NDArray[np.floating]
Flags = NDArray[np.bool_]

_WINDOW, _SHORT, _HOP = 2048, 512, 512
_HOLD, _GLIDE = 3, 5  # frames over which a pitch is said to hold or glide
_BANDS = np.unique(np.concatenate([np.arange(4, 100, 12), np.arange(100, 400, 25), np.arange(400, 1001, 50)]))
_ENVELOPE_STEP = 96
ENVELOPE_RATE = RATE / _ENVELOPE_STEP


@dataclass(frozen=True)
class Spectrum:
    """Averages over the frames that are not silent, louder ones counting more."""

    flatness: float
    """0 for tones, about 0.57 for noise of any colour, more for clicks."""
    narrow: float
    """The share that is one narrow band above 500 Hz: a high tone, also one that moves quickly."""
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
class Envelope:
    level: float
    """dBFS of what sounds, between its peak and its average power."""
    peak: float
    depth: float
    """How much it varies: standard deviation over mean."""
    gaps: float
    """Share of the time in which (almost) nothing sounds."""
    onsets: int
    attack: float
    """How steep a typical onset is: log of the rise within 12 ms."""
    remains: float
    """What is left 0.15 s after a typical onset."""
    interval: float
    """Seconds between onsets; 0 without two of them."""
    regularity: float
    """1: the onsets keep a beat."""
    syllabic: float
    """Share of the modulation that is between 2 and 9 Hz, the rate of syllables."""


@dataclass(frozen=True)
class _Frames:
    long: Floats  # power spectra of 85 ms, one row per frame that is not silent
    short: Floats  # of its middle 21 ms
    weight: Floats  # amplitude of each row
    active: Flags


def spectrum_and_pitch(samples: Samples) -> tuple[Spectrum, Pitch]:
    frames = _frames(samples)
    flatness = _flatness(frames.long)
    narrow, short_hertz = _narrow(frames.short)
    single = narrow > 0.6
    lowest = _lowest_peak(frames.long)
    tonal = (flatness < 0.2) | single
    hertz = np.where(single, short_hertz, lowest * RATE / _WINDOW)
    return (
        _spectrum(frames, flatness, single),
        _pitch(frames, tonal, hertz, *_partials(frames, tonal & ~single, lowest)),
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
    middle = sounding[:, (_WINDOW - _SHORT) // 2 : (_WINDOW + _SHORT) // 2]
    long = _power(sounding)
    return _Frames(long, _power(middle), np.sqrt(long.sum(axis=1)), active)


def _power(frames: Floats) -> Floats:
    spectra = np.fft.rfft(frames * np.hanning(frames.shape[1]).astype(np.float32))
    power: Floats = np.square(spectra.real) + np.square(spectra.imag) + np.float32(1e-9)
    return power


def _by_band(power: Floats) -> Floats:
    """The mean power of each band."""
    return np.asarray(np.add.reduceat(power[:, : _BANDS[-1]], _BANDS[:-1], axis=1) / np.diff(_BANDS))


def _flatness(power: Floats) -> Floats:
    """Per frame: geometric over arithmetic mean within narrow bands, so the colour of a noise does not matter."""
    mean = _by_band(power)
    geometric = np.exp(_by_band(np.log(power)))
    return np.asarray((geometric * np.diff(_BANDS)).sum(axis=1) / (mean * np.diff(_BANDS)).sum(axis=1))


def _narrow(power: Floats) -> tuple[Floats, Floats]:
    """Per frame: the share of the power within 7 % of the strongest frequency, if it is a high one; and its hertz."""
    bins = np.arange(power.shape[1])
    peak = power[:, 1:-1].argmax(axis=1) + 1
    near = np.abs(bins - peak[:, None]) <= np.maximum(2, 0.07 * peak)[:, None]
    share = (power * near).sum(axis=1) / power.sum(axis=1)
    hertz = _interpolated(power, peak) * RATE / _SHORT
    return np.where(hertz > 500, share, 0.0), hertz


def _lowest_peak(power: Floats) -> Floats:
    """Per frame: the lowest partial that is no more than 12 dB under the strongest, in bins."""
    strong = _local_peaks(power, 0.06)
    return _interpolated(power, strong.argmax(axis=1) + 4)


def _local_peaks(power: Floats, least: float) -> Flags:
    """Of the bins from 4 up: which are peaks with at least that share of the frame's greatest power."""
    left, middle, right = power[:, 3:860], power[:, 4:861], power[:, 5:862]
    return np.asarray((middle > left) & (middle >= right) & (middle > middle.max(axis=1, keepdims=True) * least))


def _interpolated(power: Floats, peak: NDArray[np.intp]) -> Floats:
    rows = np.arange(len(power))
    left, middle, right = (np.log(power[rows, peak + step]) for step in (-1, 0, 1))
    bend = left - 2 * middle + right
    shift = np.where(bend < -1e-6, 0.5 * (left - right) / np.minimum(bend, -1e-6), 0.0)
    return np.asarray(peak + np.clip(shift, -0.5, 0.5))


def _partials(frames: _Frames, several: Flags, lowest: Floats) -> tuple[float, float]:
    """Averages of how strong a second note is, and of how many partials there are."""
    peaks = _local_peaks(frames.long, 0.003)
    size = np.sqrt(frames.long[:, 4:861]) * peaks
    ratio = np.arange(4, 861) / lowest[:, None]
    within = (ratio > 1.04) & (ratio < 1.96) & (np.arange(4, 861) > lowest[:, None] + 1.5)
    root = np.where(ratio < 1.04, size, 0).max(axis=1)
    second = np.minimum(1, np.where(within, size, 0).max(axis=1) / np.maximum(root, 1e-9))
    weight = frames.weight + 1e-9
    return float(np.average(second * several, weights=weight)), float(np.average(peaks.sum(axis=1), weights=weight))


def _spectrum(frames: _Frames, flatness: Floats, single: Flags) -> Spectrum:
    share = frames.long / frames.long.sum(axis=1, keepdims=True)
    hertz = np.maximum(np.arange(share.shape[1]) * RATE / _WINDOW, 40)
    power = _by_band(frames.long)
    log = np.log10(power + 1e-5 * power.max())
    return Spectrum(
        flatness=float(np.average(np.where(single, 0.0, flatness), weights=frames.weight)),
        narrow=float(np.average(single, weights=frames.weight)),
        centre=float(np.average(share @ np.log2(hertz), weights=frames.weight)),
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
    notes, counts = np.unique(np.round(at), return_counts=True)
    return Pitch(
        tonal=float(np.average(tonal, weights=frames.weight)),
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
    held = (np.abs(spans.sum(axis=1)) < 0.12) & (np.abs(spans).sum(axis=1) < 0.36)
    return float(held.mean()) if len(held) else 0.0, at[held]


def _glides(track: Floats) -> tuple[float, float]:
    """Share of the pitched time in which the pitch glides, and the way: 1 always up, -1 always down."""
    spans, _ = _spans(track, _GLIDE)
    if not len(spans) or np.ptp(track[np.isfinite(track)]) < 1.5:
        return 0.0, 0.0
    way, largest = np.abs(spans).sum(axis=1), np.abs(spans).max(axis=1)
    glide = (way > 0.2) & (largest < 0.6 * way)
    return float(glide.mean()), float(spans[glide].sum() / max(1e-9, way[glide].sum()))


def _jumps(track: Floats) -> int:
    """How often the pitch is suddenly another one, and stays near that."""
    step = np.abs(np.diff(track))
    before, here, after = step[:-2], step[1:-1], step[2:]
    return int(((here > 0.7) & (before < 0.35 * here) & (after < 0.35 * here)).sum())


def envelope(samples: Samples) -> Envelope:
    count = max(1, len(samples) // _ENVELOPE_STEP)
    padded = np.pad(samples, (0, max(0, _ENVELOPE_STEP - len(samples))))[: count * _ENVELOPE_STEP]
    rms = np.sqrt(np.mean(np.square(padded.reshape(count, _ENVELOPE_STEP)), axis=1))
    smooth = np.convolve(rms, np.ones(3) / 3, "same")[:count]
    top = float(np.quantile(smooth, 0.995)) if count > 400 else float(smooth.max())
    onsets = _onsets(smooth, top)
    interval, regularity = _beat(onsets, count)
    peak = 20 * float(np.log10(np.abs(samples).max(initial=0.0) + 1e-6))
    sounding = rms[rms > 0.03 * rms.max()]
    power = 20 * float(np.log10(np.quantile(sounding, 0.8) + 1e-6)) if len(sounding) else -120.0
    return Envelope(
        level=0.5 * peak + 0.5 * power,
        peak=peak,
        depth=float(smooth.std() / (smooth.mean() + 1e-9)),
        gaps=float((smooth < 0.1 * top).mean()),
        onsets=len(onsets),
        attack=_attack(smooth, top, onsets),
        remains=_remains(smooth, onsets),
        interval=interval,
        regularity=regularity,
        syllabic=_syllabic(smooth),
    )


def _rise(smooth: Floats, top: float, steps: int) -> Floats:
    """The log of the growth over so many steps, centred; very quiet parts count as equally quiet."""
    log = np.log(smooth + 0.03 * top + 1e-9)
    rise = np.zeros(len(log))
    if len(log) > steps:
        rise[steps // 2 : steps // 2 + len(log) - steps] = log[steps:] - log[:-steps]
    return rise


def _onsets(smooth: Floats, top: float) -> NDArray[np.intp]:
    # Silence before the first sample, so that a hit at the very beginning counts.
    rise = _rise(np.concatenate([np.zeros(6), smooth]), top, 5)
    reach = 13
    around = np.lib.stride_tricks.sliding_window_view(np.pad(rise, reach), 2 * reach + 1).max(axis=1)
    found = np.flatnonzero((rise > 0.6) & (rise >= around))
    apart = np.diff(found, prepend=-reach) >= reach  # of a plateau, the first
    return np.maximum(found[apart] - 6, 0)


def _attack(smooth: Floats, top: float, onsets: NDArray[np.intp]) -> float:
    rise = _rise(np.concatenate([np.zeros(6), smooth]), top, 3)
    return float(np.median([rise[at : at + 16].max() for at in onsets])) if len(onsets) else 0.0


def _remains(smooth: Floats, onsets: NDArray[np.intp]) -> float:
    padded = np.concatenate([smooth, np.full(45, smooth[-1])])
    left = [padded[at + 30 : at + 45].mean() / (padded[at : at + 15].max() + 1e-9) for at in onsets]
    return float(np.median(left)) if left else 1.0


def _beat(onsets: NDArray[np.intp], count: int) -> tuple[float, float]:
    """The seconds between beats and how well they are kept."""
    if len(onsets) < 2:
        return 0.0, 0.0
    between = np.diff(onsets) / ENVELOPE_RATE
    interval = float(np.median(between))
    if len(onsets) == 2:
        return interval, 0.6  # two hits are a beat, if a poor one
    if float(np.median(np.abs(between - interval))) < 0.08 * interval:
        even = float(np.mean(np.abs(between - interval) < 0.12 * interval))
        return interval, even
    best, regularity = _correlation(onsets, count)
    return best, regularity


def _correlation(onsets: NDArray[np.intp], count: int) -> tuple[float, float]:
    """The lag in seconds at which the onsets repeat best, and how well."""
    train = np.zeros(count)
    train[np.minimum(onsets, count - 1)] = 1
    bell = np.exp(-0.5 * np.square(np.arange(-20, 21) / 5))
    smeared = np.convolve(train, bell, "same")[:count]
    smeared -= smeared.mean()
    size = 1 << (2 * count).bit_length()
    products = np.fft.irfft(np.abs(np.fft.rfft(smeared, size)) ** 2, size)[:count]
    products *= count / np.maximum(count - np.arange(count), 0.3 * count) / (products[0] + 1e-9)
    lags = products[25 : int(count * 0.6)]
    if not len(lags):
        return 0.0, 0.0
    best = int(np.argmax(lags >= 0.85 * lags.max()))
    return (25 + best) / ENVELOPE_RATE, float(np.clip((lags.max() - 0.4) / 0.6, 0, 1))


def _syllabic(smooth: Floats) -> float:
    size = 1 << max(8, len(smooth).bit_length())
    power = np.abs(np.fft.rfft((smooth - smooth.mean()) * np.hanning(len(smooth)), size)) ** 2
    hertz = np.fft.rfftfreq(size, 1 / ENVELOPE_RATE)
    all_of_it = power[(hertz > 0.4) & (hertz < 40)].sum()
    return float(power[(hertz > 2) & (hertz < 9)].sum() / (all_of_it + 1e-12))

"""How loud a stretch of sound is over time: its level, its onsets, its beat."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from local.standin.sound import RATE, Samples

Floats = NDArray[np.floating]

_ENVELOPE_STEP = 96
ENVELOPE_RATE = RATE / _ENVELOPE_STEP


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

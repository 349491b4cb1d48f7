"""What a sound is like: raw measurements become the axes of the space."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from local.standin.envelope import Envelope, envelope
from local.standin.measured import Average, Measured
from local.standin.sound import Piece, Samples, Span, pieces
from local.standin.space import Axis, Medium, Vector, medium_vector, ramp
from local.standin.spectrum import Floats, Pitch, Spectrum, spectrum_and_pitch
from local.standin.spoken import Line, timed_text
from local.standin.text import spoken_words

_SPEECH_BY_TEXT = 0.8
"""How much a timed text makes its segment speech, whatever it sounds like."""
MOST_LOST_SECONDS = 0.5
"""A segment of which more is damaged has no vector."""


@dataclass(frozen=True)
class Segment:
    """The seconds from `start` to `end` and what they are like (and what is said in them).

    No `vector` where they are damaged; the `damage` is a sentence that says so.
    """

    start: float
    end: float
    vector: Vector | None
    damage: str = ""


def embed_audio(path: Path, segment_seconds: float | None) -> Iterator[Segment]:
    """Vectors of consecutive segments of that length (the last may be shorter), or one of the whole sound.

    Raises `UnreadableError`. A file that is cut in the middle gives what can be decoded. Memory does not grow with the
    length.
    """
    return sound_segments(path, segment_seconds)


def sound_segments(path: Path, segment_seconds: float | None, film: Span | None = None) -> Iterator[Segment]:
    """As `embed_audio`; of a film, see `pieces`."""
    lines = timed_text(path)
    for _, group in groupby(pieces(path, segment_seconds, film), key=lambda piece: piece.segment):
        stretch = _Stretch(group)
        if stretch.lost > MOST_LOST_SECONDS:
            yield Segment(stretch.start, stretch.end, None, f"{stretch.lost:.1f} seconds of sound cannot be decoded")
            continue
        words = " ".join(line.text for line in _said(lines, stretch.start, stretch.end, segment_seconds is None))
        yield Segment(stretch.start, stretch.end, _vector(stretch.measured.result(), words))


class _Stretch:
    """A segment: the average of its pieces."""

    def __init__(self, pieces: Iterable[Piece]) -> None:
        self.start = self.end = self.lost = 0.0
        self.measured = Average()
        for number, piece in enumerate(pieces):
            if number == 0:
                self.start = piece.start
            self.end = piece.end
            self.lost += piece.lost
            self.measured.add(measure(piece.samples), piece.end - piece.start)


def _said(lines: list[Line], start: float, end: float, whole: bool) -> list[Line]:
    return [line for line in lines if whole or start <= line.start < end]


def _vector(measured: Measured, words: str) -> Vector:
    axes, spoken = dict(measured.axes), spoken_words(words)
    if not spoken.any():
        return medium_vector(Medium.SOUND, axes, measured.fine)
    axes[Axis.SPEECH] = max(_SPEECH_BY_TEXT, axes.get(Axis.SPEECH, 0.0))
    axes.pop(Axis.SILENCE, None)
    return medium_vector(Medium.SOUND, axes, measured.fine, spoken)


def measure(samples: Samples) -> Measured:
    loudness = envelope(samples)
    spectrum, pitch = spectrum_and_pitch(samples)
    silent = ramp(loudness.peak, -48, -56)
    loud = float(np.tanh((loudness.level + 19) / 12))
    # Nothing is not the quietest of sounds.
    axes = {Axis.SOUND: 1.0, Axis.SILENCE: silent, Axis.LOUD: (1 - silent) * loud - 0.6 * silent}
    for axis, value in _character(loudness, spectrum, pitch).items():
        axes[axis] = value * (1 - silent)
    return Measured(axes, _fine(loudness, spectrum))


def _character(loudness: Envelope, spectrum: Spectrum, pitch: Pitch) -> dict[Axis, float]:
    noise = _noise(loudness, spectrum)
    clicks = _clicks(loudness)
    speech = _speech(loudness, spectrum, pitch)
    beat = _beat_strength(loudness)
    speed = float(np.tanh(1.3 * np.log2(1 / (1.75 * loudness.interval)))) if loudness.interval else 0.0
    music = _music(loudness, pitch) * (1 - 0.6 * speech)
    glide = _glide(loudness, pitch) * (1 - speech)
    high = float(np.tanh(np.log2(max(pitch.hertz, 20.0) / 600) / 1.4)) if pitch.hertz else 0.0
    shrill = float(np.tanh((spectrum.centre - 10.0) / 1.2))
    return {
        Axis.HIGH: pitch.tonal * high + 0.25 * (1 - pitch.tonal) * shrill,
        Axis.SHRILL: shrill,
        Axis.FAST: beat * speed,
        Axis.RHYTHM: beat,
        Axis.CLICKS: clicks,
        Axis.NOISE: noise,
        Axis.TONE: _tone(loudness, pitch) * (1 - speech),
        Axis.MUSIC: music,
        Axis.SPEECH: speech,
        Axis.ALARM: _alarm(loudness, pitch),
        Axis.RISING: glide * pitch.direction,
        Axis.SWEEP: glide,
        Axis.STEADY: _steady(loudness, pitch),
    }


def _noise(loudness: Envelope, spectrum: Spectrum) -> float:
    return ramp(spectrum.flatness, 0.22, 0.45) * (1 - 0.85 * ramp(loudness.depth, 0.45, 0.9)) * (1 - spectrum.narrow)


def _clicks(loudness: Envelope) -> float:
    return ramp(loudness.attack, 1.7, 2.5) * ramp(loudness.remains, 0.5, 0.2) * ramp(loudness.gaps, 0.4, 0.65)


def _beat_strength(loudness: Envelope) -> float:
    return (
        loudness.regularity
        * ramp(loudness.attack, 0.9, 2.3)
        * ramp(loudness.depth, 0.2, 0.7)
        * ramp(loudness.onsets, 0, 3)
    )


def _speech(loudness: Envelope, spectrum: Spectrum, pitch: Pitch) -> float:
    """Syllables: soft swells a few times a second, a moving voice or a hissing one, no held notes, nothing shrill."""
    least = 0.35 + 0.15 * (1 - pitch.tonal)  # wind swells too
    swells = ramp(loudness.depth, least, least + 0.25) * ramp(loudness.syllabic, least - 0.25, least - 0.05)
    soft = ramp(loudness.attack, 2.8, 2.2)
    unheld = max(1 - pitch.tonal * ramp(pitch.held, 0.55, 0.85), 0.8 * _monotone_voice(loudness, pitch))
    rich = max(ramp(pitch.partials, 1.5, 4), ramp(pitch.hertz, 400, 250)) if pitch.tonal > 0.3 else 1.0
    rich *= ramp(pitch.hertz, 65, 85) if pitch.tonal > 0.3 else 1.0
    return swells * soft * unheld * rich * ramp(spectrum.centre, 12.7, 12.2) * (1 - spectrum.narrow)


def _monotone_voice(loudness: Envelope, pitch: Pitch) -> float:
    """One note in the range of voices that swells and pauses."""
    voice = ramp(pitch.hertz, 65, 85) * ramp(pitch.hertz, 400, 300) * ramp(pitch.notes, 3.5, 1.5)
    pauses = ramp(loudness.depth, 0.55, 0.7) * ramp(loudness.gaps, 0.1, 0.2)
    return voice * pauses * (0.5 + 0.5 * ramp(pitch.partials, 1.5, 4)) * ramp(pitch.chord, 0.4, 0.2)


def _glide(loudness: Envelope, pitch: Pitch) -> float:
    alone = 1 - ramp(pitch.chord, 0.3, 0.6)
    return pitch.tonal * alone * ramp(pitch.gliding, 0.25, 0.7) * (1 - ramp(loudness.depth, 0.9, 1.3))


def _music(loudness: Envelope, pitch: Pitch) -> float:
    """Held notes: several after each other, or several at once."""
    held = ramp(pitch.held, 0.35, 0.65)
    # Notes that beat with each other seem to waver, evenly up and down.
    wavering = ramp(abs(pitch.direction), 0.3, 0.1) * ramp(loudness.depth, 0.6, 0.35)
    chord = ramp(pitch.chord, 0.2, 0.45) * max(held, wavering)
    melody = ramp(pitch.notes, 1.9, 3.3) * ramp(pitch.jumps, 0, 2)
    return pitch.tonal * max(held * melody, chord)


def _tone(loudness: Envelope, pitch: Pitch) -> float:
    """One note held; melodies, chords and glides are tonal too, but less."""
    held = ramp(pitch.held, 0.4, 0.9)
    single = held * ramp(pitch.notes, 4, 2) * ramp(pitch.chord, 0.4, 0.2)
    return pitch.tonal * (0.25 + 0.25 * held + 0.5 * single) * (1 - 0.5 * _clicks(loudness))


def _alarm(loudness: Envelope, pitch: Pitch) -> float:
    """A high tone that goes on and off, to and fro, or up and down, again and again."""
    high = pitch.tonal * ramp(pitch.hertz, 400, 800)
    often = ramp(loudness.interval, 2.5, 1.5) if loudness.interval else 0.0
    pulses = loudness.regularity * ramp(loudness.depth, 0.4, 0.65) * ramp(loudness.onsets, 1, 3)
    beeps = pulses * often * ramp(pitch.held, 0.4, 0.8) * ramp(pitch.notes, 4, 2)
    beeps *= ramp(loudness.gaps, 0.15, 0.3) * ramp(loudness.gaps, 0.9, 0.75)
    two_tones = ramp(pitch.jumps, 1, 4) * ramp(pitch.notes, 3.4, 2.4) * ramp(pitch.notes, 1, 2) * pitch.held
    wail = _glide(loudness, pitch) * max(ramp(abs(pitch.direction), 0.8, 0.4), ramp(pitch.jumps, 1, 4))
    return high * max(beeps, two_tones, wail, 0.2 * ramp(pitch.held, 0.5, 0.9) * ramp(pitch.notes, 3, 1))


def _steady(loudness: Envelope, pitch: Pitch) -> float:
    moving = pitch.tonal * max(ramp(pitch.notes, 1, 3), ramp(pitch.gliding, 0.1, 0.6))
    return 1 - 2 * max(ramp(loudness.depth, 0.25, 0.9), moving)


def _fine(loudness: Envelope, spectrum: Spectrum) -> Floats:
    """The colour of the sound, to tell two of a kind apart."""
    profile = spectrum.profile - spectrum.profile.mean()
    change = spectrum.change - spectrum.change.mean()
    pace = np.array([loudness.depth, loudness.gaps, loudness.syllabic, loudness.interval])
    return np.concatenate([profile, 2 * change, pace])

"""The stand-in model finds what it should: random sounds, pictures and notes against the sentences that name them.

The seed is fresh each time and printed; `STANDIN_SEED=n` replays it.
"""

import io
import os
import secrets
import struct
import subprocess
import sys
import time
import tracemalloc
import wave
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from local import standin
from local.standin import UnreadableError, Vector, embed_audio, embed_image, embed_text, shorten
from local.standin.spoken import lrc_lines, timed_text

Wave = NDArray[np.floating]
RATE = 22_050
ROOT = Path(standin.__file__).parents[2]


@dataclass
class Made:
    """A random sound or picture and the words for what it is."""

    what: set[str]
    content: bytes = b""
    vector: Vector = field(default_factory=lambda: np.zeros(0, np.float32))

    def has(self, any_of: str) -> bool:
        """`any_of`: alternatives by `|`, each of words joined by `&`."""
        return any(set(words.split("&")) <= self.what for words in any_of.split("|"))


@pytest.fixture(scope="module")
def seed() -> int:
    seed = int(os.environ.get("STANDIN_SEED") or secrets.randbelow(1_000_000))
    print(f"STANDIN_SEED={seed}")
    return seed


# Random sounds


def oscillator(phase: Wave, form: str) -> Wave:
    match form:
        case "square":
            return np.sign(np.sin(phase))
        case "saw":
            return phase / np.pi % 2 - 1
        case "harmonic":
            return np.sum([np.sin(k * phase) / k for k in range(1, 7)], axis=0)
    return np.sin(phase)


def phase_of(hertz: Wave | float, count: int) -> Wave:
    return 2 * np.pi * np.cumsum(np.broadcast_to(hertz, count)) / RATE


def spaced(r: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(r.uniform(np.log(low), np.log(high))))


def pitch_words(hertz: float) -> set[str]:
    return {"high"} if hertz > 1400 else {"low"} if hertz < 260 else set()


def tone(r: np.random.Generator, count: int) -> tuple[Wave, set[str]]:
    hertz = spaced(r, 80, 6000)
    form = r.choice(["sine", "sine", "square", "saw", "harmonic"])
    return oscillator(phase_of(hertz, count), form), {"tone"} | pitch_words(hertz)


def noise(r: np.random.Generator, count: int) -> tuple[Wave, set[str]]:
    spectrum = np.fft.rfft(r.standard_normal(count))
    hertz = np.fft.rfftfreq(count, 1 / RATE)
    spectrum *= np.maximum(hertz, 30) ** -r.choice([0, 0, 0.5, 1])
    low, high = r.choice([0, 0, 300, 2000]), r.choice([20_000, 20_000, 5000])
    spectrum[(hertz < low) | (hertz > high)] = 0
    return np.fft.irfft(spectrum, count), {"noise"}


def hit(r: np.random.Generator, kind: str, hertz: float) -> Wave:
    count = int(RATE * {"click": 0.01, "burst": 0.06, "kick": 0.18, "blip": 0.04}[kind])
    time = np.arange(count) / RATE
    match kind:
        case "kick":
            return np.sin(2 * np.pi * (50 * time + 2 * (1 - np.exp(-time / 0.03)))) * np.exp(-time / 0.06)
        case "blip":
            return np.sin(2 * np.pi * hertz * time) * np.hanning(count)
    return r.uniform(-1, 1, count) * np.exp(-5 * np.arange(count) / count)


def hits(r: np.random.Generator, count: int, gap: Callable[[], float]) -> Wave:
    kind, hertz = str(r.choice(["click", "burst", "kick", "blip"])), r.uniform(500, 1200)
    sound = np.zeros(count)
    at = r.uniform(0, 0.3)
    while at < count / RATE:
        begin = int(at * RATE)
        one = hit(r, kind, hertz)[: count - begin]
        sound[begin : begin + len(one)] += one
        at += gap()
    return sound


def beat(r: np.random.Generator, count: int) -> tuple[Wave, set[str]]:
    speed = str(r.choice(["fast", "slow"]))
    step = 60 / (r.uniform(150, 250) if speed == "fast" else r.uniform(40, 75))
    return hits(r, count, lambda: step), {"beat", "hits", speed}


def irregular(r: np.random.Generator, count: int) -> tuple[Wave, set[str]]:
    return hits(r, count, lambda: 0.06 + r.exponential(0.25)), {"irregular", "hits"}


def voice(r: np.random.Generator, count: int) -> tuple[Wave, set[str]]:
    """Syllables with formants, a gliding pitch, hisses and pauses."""
    sound = np.zeros(count)
    base, at = r.uniform(95, 230), 0
    while at < count:
        length = min(int(r.uniform(0.1, 0.28) * RATE), count - at)
        time = np.arange(length) / RATE
        phase = phase_of(base * r.uniform(0.8, 1.25) * (1 + r.uniform(-0.8, 0.8) * time), length)
        formants = r.uniform([300, 900, 2300], [800, 2200, 3200])
        loudness = [np.exp(-(((k * base - formants) / 160) ** 2)).sum() + 0.03 for k in range(1, 25)]
        syllable = np.sum([a * np.sin(k * phase) for k, a in enumerate(loudness, 1)], axis=0)
        if r.random() < 0.2:
            syllable = 0.5 * np.diff(r.standard_normal(length + 1))
        sound[at : at + length] = syllable * np.sqrt(np.hanning(length))
        at += length + (int(r.uniform(0.15, 0.4) * RATE) if r.random() < 0.15 else 0)
    return sound, {"voice"}


def babble(r: np.random.Generator, count: int) -> tuple[Wave, set[str]]:
    """A buzz or a hiss in the rhythm of speech."""
    time = np.arange(count) / RATE
    swell = np.clip(np.sin(2 * np.pi * r.uniform(3, 6) * time), 0, 1) * (np.sin(3 * time) > -0.5)
    pitch = r.uniform(90, 230) * (1 + 0.12 * np.sin(2 * np.pi * r.uniform(0.5, 2) * time))
    carrier = oscillator(phase_of(pitch, count), "saw") if r.random() < 0.6 else r.standard_normal(count)
    return carrier * swell, {"voice"}


def note(hertz: float, length: int, form: str, decay: float) -> Wave:
    time = np.arange(length) / RATE
    shape = np.minimum(1, time / 0.01) * np.exp(-time / decay) * np.minimum(1, (length / RATE - time) / 0.02)
    return oscillator(phase_of(hertz, length), form) * shape


def melody(r: np.random.Generator, count: int) -> tuple[Wave, set[str]]:
    form, base, beat = r.choice(["sine", "harmonic", "square"]), spaced(r, 130, 1400), r.uniform(0.18, 0.5)
    sound = np.zeros(count)
    scale, at, last = [0, 2, 4, 5, 7, 9, 11, 12], 0, -1
    while at < count:
        length = min(int(beat * r.choice([0.5, 1, 1, 2]) * RATE), count - at)
        last = int(r.choice([step for step in scale if step != last]))
        sound[at : at + length] = note(base * 2 ** (last / 12), length, form, r.choice([0.2, 0.6, 3]))
        at += length
    return sound, {"music", "melody"} | pitch_words(base * 1.4)


def chords(r: np.random.Generator, count: int) -> tuple[Wave, set[str]]:
    form, base, parts = r.choice(["sine", "harmonic", "saw"]), spaced(r, 130, 700), int(r.choice([1, 4]))
    sound = np.zeros(0)
    for _ in range(parts):
        root = base * 2 ** (r.choice([0, 5, 7]) / 12)
        steps = [(0, 4, 7), (0, 3, 7), (0, 4, 7, 11)][r.integers(3)]
        decay = r.choice([0.6, 2, 9])
        notes = [note(root * 2 ** (step / 12), count // parts, form, decay) for step in steps]
        sound = np.concatenate([sound, np.sum(notes, axis=0)])
    return sound, {"music", "chord"}


def sweep(r: np.random.Generator, count: int) -> tuple[Wave, set[str]]:
    low, high = r.uniform(100, 500), r.uniform(1500, 6000)
    rising = r.random() < 0.5
    track = np.geomspace(low, high, count) if r.random() < 0.5 else np.linspace(low, high, count)
    return np.sin(phase_of(track if rising else track[::-1], count)), {"sweep", "up" if rising else "down"}


def alarm(r: np.random.Generator, count: int) -> tuple[Wave, set[str]]:
    hertz, form, time = r.uniform(1500, 3500), r.choice(["sine", "square"]), np.arange(count) / RATE
    match r.integers(3):
        case 0:
            sound = oscillator(phase_of(hertz, count), form) * (time * r.uniform(1.5, 6) % 1 < 0.5)
        case 1:
            two = np.where(time * r.uniform(1, 3) % 1 < 0.5, hertz, 0.75 * hertz)
            sound = oscillator(phase_of(two, count), form)
        case _:
            wail = hertz * 2 ** (0.5 * np.sin(2 * np.pi * r.uniform(0.5, 3) * time))
            sound = oscillator(phase_of(wail, count), form)
    return sound, {"alarm", "high"}


def silence(r: np.random.Generator, count: int) -> tuple[Wave, set[str]]:
    return r.standard_normal(count) * r.choice([0, 1e-4]), {"silence"}


SOUNDS = [tone, tone, noise, noise, beat, beat, beat, irregular, voice, babble, melody, chords, sweep, alarm, silence]


def sound(r: np.random.Generator, make: Callable[[np.random.Generator, int], tuple[Wave, set[str]]]) -> Made:
    samples, what = make(r, int(RATE * r.uniform(3, 7)))
    if "silence" not in what:
        level = str(r.choice(["loud", "quiet", "middling"]))
        low, high = {"loud": (0.6, 0.95), "quiet": (0.01, 0.06), "middling": (0.12, 0.35)}[level]
        samples = samples / np.abs(samples).max() * r.uniform(low, high)
        what = what | {level}
    return Made(what | {"sound"}, wav(samples))


def wav(samples: Wave, rate: int = RATE) -> bytes:
    target = io.BytesIO()
    with wave.open(target, "wb") as output:
        output.setparams((1, 2, rate, 0, "NONE", ""))
        output.writeframes(np.asarray(np.clip(samples, -1, 1) * 32767, "<i2").tobytes())
    return target.getvalue()


def encoded(content: bytes, form: str, codec: str, rate: int, metadata: dict[str, str] | None = None) -> bytes:
    """The sound again, as another format at another sample rate."""
    target = io.BytesIO()
    with av.open(io.BytesIO(content)) as source, av.open(target, "w", format=form) as output:
        output.metadata.update(metadata or {})
        stream = output.add_stream(codec, rate=rate, layout="mono")
        resampler = av.AudioResampler(
            format=stream.codec_context.format,
            layout="mono",
            rate=rate,
            frame_size=stream.codec_context.frame_size or 1024,
        )
        for frame in [*source.decode(audio=0), None]:
            for resampled in resampler.resample(frame):
                output.mux(stream.encode(resampled))
        output.mux(stream.encode(None))
    return target.getvalue()


def heard(content: bytes, folder: Path) -> Vector:
    path = folder / "content"
    path.write_bytes(content)
    (segment,) = embed_audio(path, None)
    return segment.vector


# Random pictures

COLOURS = {
    "red": (220, 30, 30),
    "orange": (250, 140, 20),
    "yellow": (245, 225, 40),
    "green": (40, 170, 60),
    "cyan": (30, 200, 210),
    "blue": (40, 70, 210),
    "purple": (140, 50, 190),
    "pink": (250, 130, 180),
    "brown": (120, 75, 35),
    "black": (12, 12, 12),
    "white": (248, 248, 248),
    "grey": (128, 128, 128),
}
Pixels = NDArray[np.uint8]


def shade(r: np.random.Generator, name: str) -> NDArray[np.floating]:
    return np.clip(np.array(COLOURS[name]) + r.integers(-10, 11, 3), 0, 255)


def two_colours(r: np.random.Generator) -> tuple[str, str]:
    first, second = r.choice(list(COLOURS), 2, replace=False)
    return str(first), str(second)


def mixed(r: np.random.Generator, share: NDArray[np.floating], colours: tuple[str, str]) -> Pixels:
    first, second = (shade(r, name) for name in colours)
    return np.asarray(first + (second - first) * share[..., None], np.uint8)


def plain(r: np.random.Generator, width: int, height: int) -> tuple[Pixels, set[str]]:
    name = str(r.choice(list(COLOURS)))
    return mixed(r, np.zeros((height, width)), (name, name)), {"plain", f"mostly {name}"}


def gradient(r: np.random.Generator, width: int, height: int) -> tuple[Pixels, set[str]]:
    y, x = np.mgrid[0:height, 0:width]
    share = [x / width, y / height, np.hypot(x - width / 2, y - height / 2) / np.hypot(width / 2, height / 2)]
    return mixed(r, share[r.integers(3)], two_colours(r)), {"gradient"}


def stripes(r: np.random.Generator, width: int, height: int) -> tuple[Pixels, set[str]]:
    y, x = np.mgrid[0:height, 0:width]
    kind = str(r.choice(["vertical", "horizontal", "diagonal"]))
    along = {"vertical": x, "horizontal": y, "diagonal": (x + r.choice([-1, 1]) * y) / 2**0.5}[kind]
    share = (along / r.uniform(6, 50) % 1 < 0.5).astype(float)
    return mixed(r, share, two_colours(r)), {"stripes", "busy", kind}


def checks(r: np.random.Generator, width: int, height: int) -> tuple[Pixels, set[str]]:
    y, x = np.mgrid[0:height, 0:width] // int(r.integers(6, 45))
    return mixed(r, (x + y) % 2 * 1.0, two_colours(r)), {"checks", "busy"}


def shape(r: np.random.Generator, width: int, height: int) -> tuple[Pixels, set[str]]:
    mask = Image.new("L", (width, height))
    size = r.uniform(0.25, 0.5) * min(width, height)
    left, top = r.uniform(10, width - size - 10), r.uniform(10, height - size - 10)
    box = (left, top, left + size, top + size)
    draw = ImageDraw.Draw(mask)
    match r.integers(3):
        case 0:
            draw.ellipse(box, fill=1)
        case 1:
            draw.rectangle(box, fill=1)
        case _:
            draw.polygon([(left + size / 2, top), (left, top + size), (left + size, top + size)], fill=1)
    colours = two_colours(r)
    return mixed(r, np.asarray(mask, float), colours), {"shape", f"mostly {colours[0]}"}


def grain(r: np.random.Generator, width: int, height: int) -> tuple[Pixels, set[str]]:
    if r.random() < 0.5:
        return r.integers(0, 256, (height, width, 3), np.uint8), {"grain", "busy"}
    grey = np.clip(r.normal(r.uniform(60, 190), r.uniform(35, 60), (height, width, 1)), 0, 255)
    return np.repeat(grey, 3, axis=2).astype(np.uint8), {"grain", "busy"}


PICTURES = [plain, plain, plain, plain, gradient, stripes, stripes, stripes, checks, shape, shape, grain]


def picture(r: np.random.Generator, make: Callable[[np.random.Generator, int, int], tuple[Pixels, set[str]]]) -> Made:
    form = str(r.choice(["landscape", "portrait", "square"]))
    short = int(r.integers(160, 420))
    long = int(short * r.uniform(1.35, 1.8))
    size = {"landscape": (long, short), "portrait": (short, long), "square": (short, short)}[form]
    pixels, what = make(r, *size)
    return Made(what | {"picture", form} | light_words(pixels), as_image(Image.fromarray(pixels), "PNG"))


def light_words(pixels: Pixels) -> set[str]:
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    saturation = ((pixels.max(axis=2).astype(float) - pixels.min(axis=2)) / 255).mean()
    names = {
        "dark": luma.mean() < 60,
        "bright": luma.mean() > 190,
        "contrast": luma.std() > 85,
        "faint": luma.std() < 25,
        "colourful": saturation > 0.5,
        "dull": saturation < 0.1,
    }
    return {name for name, true in names.items() if true}


def as_image(picture: Image.Image, form: str) -> bytes:
    target = io.BytesIO()
    picture.save(target, form)
    return target.getvalue()


@pytest.fixture(scope="module")
def sounds(seed: int, tmp_path_factory: pytest.TempPathFactory) -> list[Made]:
    r = np.random.default_rng(seed)
    made = [sound(r, SOUNDS[number % len(SOUNDS)]) for number in range(60)]
    folder = tmp_path_factory.mktemp("sounds")
    for one in made:
        one.vector = heard(one.content, folder)
    return made


@pytest.fixture(scope="module")
def pictures(seed: int) -> list[Made]:
    r = np.random.default_rng(seed)
    made = [picture(r, PICTURES[number % len(PICTURES)]) for number in range(60)]
    for one in made:
        one.vector = embed_image(one.content)
    return made


# Properties. A sentence, what has it, what lacks it.

SOUND_SENTENCES = [
    ("a loud sound", "loud", "quiet"),
    ("loud", "loud", "quiet|silence"),
    ("a quiet sound", "quiet", "loud"),
    ("not loud at all", "quiet", "loud"),
    ("ein leises Geräusch", "quiet", "loud"),
    ("un sonido fuerte", "loud", "quiet"),
    ("a high-pitched tone", "tone&high", "low|noise|silence|voice|beat"),
    ("high-pitched", "high", "low|silence"),
    ("low-pitched hum", "tone&low", "high|noise|silence|voice|alarm"),
    ("noise", "noise", "tone|music|voice|silence|beat|sweep|alarm"),
    ("rain", "noise", "tone|music|voice|silence|beat|sweep|alarm"),
    ("static hiss", "noise", "tone|music|voice|silence|beat|sweep|alarm"),
    ("music", "music", "tone|noise|voice|silence|irregular"),
    ("une mélodie", "music", "tone|noise|voice|silence|irregular"),
    ("speech", "voice", "tone|noise|music|silence|hits|sweep|alarm"),
    ("someone talking", "voice", "tone|noise|music|silence|hits|sweep|alarm"),
    ("silence", "silence", "tone|noise|music|voice|hits|sweep|alarm"),
    ("fast rhythm", "fast", "slow|noise|tone|silence|sweep|chord"),
    ("a slow beat", "slow", "fast|noise|tone|silence|sweep|chord|voice"),
    ("rhythmic", "beat", "noise|tone|silence|sweep|chord|irregular"),
    ("clicking", "hits", "noise|tone|silence|voice|chord|sweep"),
    ("alarm", "alarm", "noise|low|silence|voice|hits|melody|sweep|chord"),
    ("a loud high-pitched alarm", "alarm&loud", "noise|low|silence|voice|quiet"),
    ("siren", "alarm", "noise|low|silence|voice|hits|music|sweep"),
    ("rising pitch", "up", "down|noise|tone|music|silence|voice|beat"),
    ("a falling tone", "down", "up|noise|silence|voice|beat"),
    ("a steady tone", "tone", "noise|silence|voice|hits|sweep|melody"),
]
PICTURE_SENTENCES = [
    *[
        (
            f"a mostly {name} picture",
            f"mostly {name}",
            "|".join(f"mostly {other}" for other in COLOURS if other != name),
        )
        for name in COLOURS
    ],
    ("ein dunkles Bild", "dark", "bright"),
    ("a dark picture", "dark", "bright"),
    ("a bright image", "bright", "dark"),
    ("una imagen brillante", "bright", "dark"),
    ("vertical stripes", "vertical", "plain|horizontal|diagonal|checks|grain|gradient|shape"),
    ("horizontal stripes", "horizontal", "plain|vertical|diagonal|checks|grain|gradient|shape"),
    ("diagonal stripes", "diagonal", "plain|vertical|horizontal|checks|grain|gradient|shape"),
    ("stripes", "stripes", "plain|checks|grain|gradient|shape"),
    ("a checkerboard", "checks", "plain|stripes|grain|gradient|shape"),
    ("a plain smooth picture", "plain", "busy"),
    ("a busy, detailed picture", "busy", "plain|gradient"),
    ("high contrast", "contrast", "faint"),
    ("low contrast", "faint", "contrast"),
    ("colourful", "colourful", "dull"),
    ("a black and white photo", "dull", "colourful"),
    ("a noisy, grainy picture", "grain", "plain|stripes|gradient|shape|checks"),
    ("a gradient", "gradient", "plain|busy|shape"),
    ("a shape on a plain background", "shape", "plain|busy|gradient"),
    ("landscape format", "landscape", "portrait"),
    ("a portrait picture", "portrait", "landscape"),
    ("a square picture", "square", "portrait|landscape"),
]


def right_of_100(r: np.random.Generator, sentence: str, having: list[Made], lacking: list[Made], dimension: int) -> int:
    query = shorten(embed_text(sentence), dimension)
    good = r.choice([shorten(one.vector, dimension) @ query for one in having], 100)
    bad = r.choice([shorten(one.vector, dimension) @ query for one in lacking], 100)
    return int((good > bad).sum())


def weak_sentences(seed: int, made: list[Made], sentences: list[tuple[str, str, str]], dimension: int) -> list[str]:
    r = np.random.default_rng(seed)
    weak = []
    for sentence, has, lacks in sentences:
        having = [one for one in made if one.has(has)]
        lacking = [one for one in made if one.has(lacks) and not one.has(has)]
        if having and lacking:
            right = right_of_100(r, sentence, having, lacking, dimension)
            weak += [f"{sentence}: {right} of 100"] * (right < 95)
    return weak


@pytest.mark.slow
@pytest.mark.parametrize("dimension", [256, 3072])
def test_a_sentence_ranks_sounds_that_have_it_above_sounds_that_lack_it(
    seed: int, sounds: list[Made], dimension: int
) -> None:
    assert weak_sentences(seed, sounds, SOUND_SENTENCES, dimension) == []


@pytest.mark.slow
@pytest.mark.parametrize("dimension", [256, 3072])
def test_a_sentence_ranks_pictures_that_have_it_above_pictures_that_lack_it(
    seed: int, pictures: list[Made], dimension: int
) -> None:
    assert weak_sentences(seed, pictures, PICTURE_SENTENCES, dimension) == []


@pytest.mark.slow
def test_a_sound_encoded_anew_keeps_its_properties(seed: int, sounds: list[Made], tmp_path: Path) -> None:
    ways = [("mp3", "libmp3lame", 44_100), ("ogg", "libopus", 48_000), ("wav", "pcm_s16le", 16_000)]
    again = [
        Made(one.what, vector=heard(encoded(one.content, *ways[number % 3]), tmp_path))
        for number, one in enumerate(sounds)
    ]
    assert weak_sentences(seed, again, SOUND_SENTENCES, 256) == []


@pytest.mark.slow
def test_a_picture_saved_anew_keeps_its_properties(seed: int, pictures: list[Made]) -> None:
    again = []
    for number, one in enumerate(pictures):
        opened = Image.open(io.BytesIO(one.content))
        smaller = opened.resize((opened.width * 3 // 4, opened.height * 3 // 4)) if number % 3 == 2 else opened
        again.append(Made(one.what, vector=embed_image(as_image(smaller, ["JPEG", "WEBP", "JPEG"][number % 3]))))
    assert weak_sentences(seed, again, PICTURE_SENTENCES, 256) == []


@pytest.mark.parametrize("dimension", [256, 1024, 3072])
def test_opposites_point_apart(dimension: int) -> None:
    for one, other in [
        ("a loud sound", "a quiet sound"),
        ("high-pitched", "low-pitched"),
        ("fast", "slow"),
        ("a bright picture", "a dark picture"),
        ("rising pitch", "falling pitch"),
        ("landscape format", "portrait format"),
        ("a loud sound", "not a loud sound"),
    ]:
        similar = shorten(embed_text(one), dimension) @ shorten(embed_text(other), dimension)
        assert similar < 0.35, (one, other)


# Notes, and kinds beside each other

NOTES = {
    "Sourdough: mix flour, water and salt, let the dough rise overnight, then bake it in a hot oven.": [
        "how to bake bread with sourdough",
        "mixing flour and water for a dough",
    ],
    "Invoice 2231: consulting in March, payable within thirty days by bank transfer, VAT included.": [
        "unpaid invoice for consulting",
        "bank transfer",
    ],
    "Apollo 11 landed two astronauts on the Moon in July 1969 while Collins orbited above.": [
        "moon landing",
        "astronauts in orbit",
    ],
    "The Red Cross was founded in Geneva in 1863 by Henry Dunant after the battle of Solferino.": [
        "history of the Red Cross",
        "Henry Dunant in Geneva",
    ],
    "Install a smoke detector on every floor and test its batteries; agree on an evacuation plan.": [
        "when to test smoke detector batteries",
        "evacuation plan",
    ],
    "Bach composed the Brandenburg Concertos; the fifth has a famous harpsichord solo.": [
        "Bach's Brandenburg concertos",
        "famous harpsichord solo by Bach",
    ],
    "Para preparar la paella hay que sofreír el arroz con azafrán y añadir el caldo.": ["arroz con azafrán"],
    "Der Zug nach Hamburg fährt heute von Gleis sieben ab und hat zwanzig Minuten Verspätung.": [
        "Züge nach Hamburg mit Verspätung",
    ],
    "Le phare guide les bateaux depuis un siècle; son gardien allume la lampe chaque soir.": ["le gardien du phare"],
    "東京の桜は三月の終わりに咲き始め、上野公園では多くの人が花見を楽しみます。": ["上野公園の桜"],
    "تقع مكتبة الإسكندرية القديمة في مصر وكانت أكبر مكتبة في العالم القديم.": ["مكتبة الإسكندرية"],
    "भारत में मानसून का मौसम जून में शुरू होता है और किसानों के लिए महत्वपूर्ण है।": ["मानसून का मौसम"],
    "Московское метро открылось в 1935 году и славится станциями с мозаикой.": ["станции московского метро"],
}


@pytest.fixture(scope="module")
def everything(sounds: list[Made], pictures: list[Made]) -> list[Made]:
    return [Made({text}, vector=embed_text(text)) for text in NOTES] + sounds + pictures


def best(made: Iterable[Made], query: str, dimension: int) -> Made:
    vector = shorten(embed_text(query), dimension)
    return max(made, key=lambda one: float(shorten(one.vector, dimension) @ vector))


@pytest.mark.parametrize("dimension", [256, 384, 1024, 3072])
def test_a_topic_finds_its_note_among_sounds_and_pictures(everything: list[Made], dimension: int) -> None:
    for text, queries in NOTES.items():
        for query in queries:
            assert best(everything, query, dimension).what == {text}, query


@pytest.mark.parametrize("dimension", [256, 3072])
@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("a siren", "alarm"),
        ("a high-pitched alarm in the kitchen", "alarm"),
        ("someone talking", "voice"),
        ("music", "music"),
        ("noise", "noise"),
        ("silence", "silence"),
        ("a fast drum rhythm", "hits"),
        ("a sound", "sound"),
        ("vertical stripes", "vertical"),
        ("a checkerboard pattern", "checks"),
        ("a dark image", "dark"),
        ("a picture", "picture"),
    ],
)
def test_a_property_finds_its_file_among_notes_and_other_media(
    everything: list[Made], query: str, what: str, dimension: int
) -> None:
    if any(what in one.what for one in everything):
        assert what in best(everything, query, dimension).what


# Texts


@given(st.text())
def test_any_text_has_a_vector_of_length_one(text: str) -> None:
    vector = embed_text(text)
    assert vector.dtype == np.float32 and vector.shape == (3072,)
    assert abs(float(np.linalg.norm(vector)) - 1) < 1e-4


def test_a_text_without_words_has_a_fixed_vector() -> None:
    assert np.array_equal(embed_text(""), embed_text(" …!? \n"))


@given(st.sampled_from(["running", "Häuser", "canciones", "chevaux", "книгами", "कहानियाँ", "المكتبات", "本を読む"]))
def test_a_word_is_found_in_a_sentence_of_its_script(word: str) -> None:
    assert embed_text(word) @ embed_text(f"xyzzy {word} plugh") > 0.3


def test_an_inflected_word_is_near_its_base() -> None:
    for one, other in [
        ("lighthouse", "lighthouses"),
        ("baking", "bakes"),
        ("Brücke", "Brücken"),
        ("puente", "puentes"),
    ]:
        assert embed_text(one) @ embed_text(other) > 0.4, one


def test_a_word_in_the_dark_is_not_a_picture() -> None:
    """A text that mentions colours among many other things stays a text."""
    dark = embed_image(as_image(Image.new("RGB", (64, 64), "black"), "PNG"))
    text = "The quarterly report was delayed by the black box of accounting, says the director of the company in Oslo."
    assert embed_text(text) @ dark < 0.1


# Files

SCRIPT = """
import sys
from pathlib import Path
from local import standin
(segment,) = standin.embed_audio(Path(sys.argv[1]), None)
picture = standin.embed_image(Path(sys.argv[2]).read_bytes())
for vector in (segment.vector, picture, standin.embed_text("ein lauter Ton 東京")):
    sys.stdout.buffer.write(vector.tobytes())
"""


@pytest.mark.slow
def test_another_process_gives_the_same_vectors(tmp_path: Path) -> None:
    r = np.random.default_rng(5)
    (tmp_path / "a").write_bytes(sound(r, voice).content)
    (tmp_path / "b").write_bytes(picture(r, shape).content)
    command = [sys.executable, "-c", SCRIPT, tmp_path / "a", tmp_path / "b"]
    runs = [
        subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": hashing}, stdout=subprocess.PIPE, check=True
        )
        for hashing in ("1", "2")
    ]
    (segment,) = embed_audio(tmp_path / "a", None)
    here = [segment.vector, embed_image((tmp_path / "b").read_bytes()), embed_text("ein lauter Ton 東京")]
    assert runs[0].stdout == runs[1].stdout == b"".join(vector.tobytes() for vector in here)


def test_shortening_keeps_length_one() -> None:
    vector = embed_text("a loud sound")
    for dimension in (256, 384, 1024, 3072):
        short = shorten(vector, dimension)
        assert short.shape == (dimension,) and short.dtype == np.float32
        assert abs(float(np.linalg.norm(short)) - 1) < 1e-5
        assert float(short @ vector[:dimension]) > 0


def test_segments_cover_the_sound(tmp_path: Path) -> None:
    path = tmp_path / "sound"
    path.write_bytes(wav(np.sin(np.arange(RATE * 37) / 10)))
    assert standin.audio_length(path) == pytest.approx(37)
    assert [(one.start, one.end) for one in embed_audio(path, 10)] == [(0, 10), (10, 20), (20, 30), (30, 37)]
    assert [(one.start, one.end) for one in embed_audio(path, 18.5)] == [(0, 18.5), (18.5, 37)]
    assert [(one.start, one.end) for one in embed_audio(path, None)] == [(0, 37)]


@pytest.mark.parametrize("way", [("mp3", "libmp3lame", 44_100), ("ogg", "libopus", 48_000), ("flac", "flac", RATE)])
def test_a_compressed_sound_has_as_many_segments_as_its_length_says(tmp_path: Path, way: tuple[str, str, int]) -> None:
    path = tmp_path / "sound"
    path.write_bytes(encoded(wav(np.sin(np.arange(RATE * 12) / 10)), *way))
    segments = list(embed_audio(path, 4))
    assert len(segments) == np.ceil(standin.audio_length(path) / 4)
    assert segments[-1].end == standin.audio_length(path) == pytest.approx(12, abs=0.1)


def test_a_segment_sounds_like_its_seconds(tmp_path: Path) -> None:
    r = np.random.default_rng(1)
    path = tmp_path / "sound"
    path.write_bytes(wav(np.concatenate([0.5 * np.sin(np.arange(RATE * 5) / 10), 0.2 * r.standard_normal(RATE * 5)])))
    first, second = (one.vector for one in embed_audio(path, 5))
    assert embed_text("a pure tone") @ first > embed_text("a pure tone") @ second
    assert embed_text("noise") @ second > embed_text("noise") @ first


def test_a_file_cut_in_the_middle_gives_what_decodes(tmp_path: Path) -> None:
    path = tmp_path / "sound"
    for way in (("mp3", "libmp3lame", 44_100), ("wav", "pcm_s16le", RATE), ("ogg", "libopus", 48_000)):
        whole = encoded(wav(np.sin(np.arange(RATE * 20) / 10)), *way)
        path.write_bytes(whole[: len(whole) // 2])
        segments = list(embed_audio(path, 2))
        assert 3 <= len(segments) <= 7


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no sound at all\n" * 20,
        b"RIFF\0\0\0\0WAVE",
        b"ffconcat version 1.0\nfile other.wav\n",
        bytes(range(256)) * 9,
    ],
)
def test_what_is_no_sound_is_unreadable(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other.wav").write_bytes(wav(np.sin(np.arange(RATE) / 10)))
    path = tmp_path / "content"
    path.write_bytes(content)
    with pytest.raises(UnreadableError):
        list(embed_audio(path, 5))
    with pytest.raises(UnreadableError):
        standin.audio_length(path)


def test_a_picture_has_no_sound(tmp_path: Path) -> None:
    path = tmp_path / "content"
    path.write_bytes(as_image(Image.new("RGB", (50, 50)), "PNG"))
    with pytest.raises(UnreadableError):
        list(embed_audio(path, None))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    def peak(minutes: int) -> int:
        path = tmp_path / "long"
        path.write_bytes(wav(np.sin(np.arange(8000 * 60 * minutes) / 10), 8000))
        tracemalloc.start()
        count = sum(1 for _ in embed_audio(path, 5))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert count == 12 * minutes
        return most

    assert peak(8) < 1.3 * peak(2)


def test_damaged_and_foreign_pictures_are_unreadable() -> None:
    content = as_image(Image.effect_noise((200, 200), 50), "PNG")
    for bad in (b"", b"hello", content[: len(content) // 2], wav(np.zeros(100))):
        with pytest.raises(UnreadableError):
            embed_image(bad)


def test_a_picture_is_seen_upright_and_on_white() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    target = io.BytesIO()
    Image.new("RGB", (200, 100), "red").save(target, "JPEG", exif=exif)
    upright, lying = embed_text("portrait format"), embed_text("landscape format")
    turned = embed_image(target.getvalue())
    assert upright @ turned > lying @ turned
    clear = embed_image(as_image(Image.new("RGBA", (50, 50), (0, 0, 0, 0)), "PNG"))
    assert embed_text("white") @ clear > embed_text("black") @ clear


def test_a_picture_whose_exif_was_cut_off_is_seen() -> None:
    target = io.BytesIO()
    Image.new("RGB", (200, 100), "red").save(target, "JPEG", exif=b"Exif\x00\x00MM\x00*")
    assert embed_text("red") @ embed_image(target.getvalue()) > embed_text("blue") @ embed_image(target.getvalue())


@pytest.mark.parametrize("mode", ["RGBA", "I;16"])
def test_a_picture_takes_the_memory_that_its_decoder_takes(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    wide = Image.new(mode, (5000, 5000))
    wide.save(path, compress_level=1)
    whole = 5000 * 5000 * (4 if mode == "RGBA" else 2)
    code = """
import resource, sys
from pathlib import Path
from local.standin import embed_image
content = Path(sys.argv[1]).read_bytes()
embed_image(Path(sys.argv[2]).read_bytes())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
embed_image(content)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    small = tmp_path / "small.png"
    Image.new(mode, (500, 500)).save(small)
    argv = [sys.executable, "-c", code, str(path), str(small)]
    ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(ended.stdout) * 1024 < 1.5 * whole


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "CMYK"])
def test_pictures_of_every_mode_are_read(mode: str) -> None:
    if mode == "I;16":
        made = Image.fromarray(np.arange(10_000, dtype=np.uint16).reshape(100, 100) * 6)
    else:
        made = Image.new("RGB", (100, 60), "green").convert(mode)
    assert embed_image(as_image(made, "TIFF" if mode == "CMYK" else "PNG")).shape == (3072,)


# Spoken words


def id3(*frames: tuple[str, bytes]) -> bytes:
    body = b"".join(name.encode() + struct.pack(">IH", len(data), 0) + data for name, data in frames)
    size = bytes(len(body) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + size + body


def sylt(*texts: tuple[str, int]) -> bytes:
    words = b"".join(text.encode() + b"\0" + struct.pack(">I", milliseconds) for text, milliseconds in texts)
    return b"\x03eng\x02\x01\0" + words


@pytest.fixture(scope="module")
def hum() -> bytes:
    return encoded(wav(0.3 * np.sin(np.arange(RATE * 20) / 40)), "mp3", "libmp3lame", 44_100)


def lighthouse_scores(content: bytes, tmp_path: Path) -> list[float]:
    path = tmp_path / "content"
    path.write_bytes(content)
    return [float(embed_text("the lighthouse keeper") @ one.vector) for one in embed_audio(path, 5)]


LYRICS = "[ti:Lighthouse keeper]\n[00:01.00]hello there\n[00:12.50]the keeper of the lighthouse\n"


def test_timed_lyrics_are_spoken_at_their_second(hum: bytes, tmp_path: Path) -> None:
    scores = lighthouse_scores(id3(("USLT", b"\x03eng\0" + LYRICS.encode())) + hum, tmp_path)
    assert int(np.argmax(scores)) == 2
    assert scores[2] > 0.3 > 0.1 > max(scores[0], scores[1], scores[3])


def test_synchronised_lyrics_are_spoken_at_their_second(hum: bytes, tmp_path: Path) -> None:
    tag = id3(("SYLT", sylt(("\nlight", 6000), ("house ", 6200), ("keeper", 6700), ("\nbye", 15_500))))
    scores = lighthouse_scores(tag + hum, tmp_path)
    assert int(np.argmax(scores)) == 1 and scores[1] > 0.3


def test_lyrics_of_a_vorbis_comment_are_spoken(hum: bytes, tmp_path: Path) -> None:
    content = encoded(hum, "flac", "flac", RATE, {"LYRICS": LYRICS})
    assert int(np.argmax(lighthouse_scores(content, tmp_path))) == 2


def test_a_segment_with_words_is_speech_and_still_sounds_as_it_does(hum: bytes, tmp_path: Path) -> None:
    path = tmp_path / "content"
    path.write_bytes(id3(("USLT", b"\x03eng\0" + LYRICS.encode())) + hum)
    vectors = [one.vector for one in embed_audio(path, 5)]
    speech, low = embed_text("speech"), embed_text("low-pitched hum")
    assert speech @ vectors[2] > speech @ vectors[1]
    assert low @ vectors[2] == pytest.approx(float(low @ vectors[1]), abs=0.05)


def test_titles_and_untimed_texts_do_not_count(hum: bytes, tmp_path: Path) -> None:
    untimed = ("USLT", b"\x03eng\0The lighthouse keeper")
    content = id3(("TIT2", b"\x03Lighthouse keeper"), ("TPE1", b"\x03The Keepers"), untimed) + hum
    assert lighthouse_scores(content, tmp_path) == lighthouse_scores(hum, tmp_path)


def test_a_lyrics_line_may_have_several_stamps_and_an_offset() -> None:
    lines = list(lrc_lines("[offset:+500]\n[00:10.5][01:02]again <00:11.0>and <00:12.0>again\n[ar:Nobody]\nno time"))
    assert lines == [(10.0, "again and again"), (61.5, "again and again")]


def test_a_stamp_of_endless_digits_is_no_time() -> None:
    for stamp in ("[" + "9" * 400 + ":00]", "[" + "9" * 5000 + ":00]", "[00:00." + "9" * 5000 + "]"):
        assert list(lrc_lines(f"{stamp}x\n[00:01]y")) == [(1.0, "y")]
    assert list(lrc_lines(f"[offset:{'9' * 5000}]\n[00:01]y")) == [(1.0, "y")]


@pytest.mark.slow
@pytest.mark.parametrize(
    "frames", [[("TXXX", b"")] * 300_000 + [("SYLT", sylt(("x ", 0)))], [("SYLT", sylt(*[("x ", 0)] * 300_000))]]
)
def test_a_tag_of_many_parts_is_read_in_time(frames: list[tuple[str, bytes]], hum: bytes, tmp_path: Path) -> None:
    path = tmp_path / "content"
    path.write_bytes(id3(*frames) + hum)
    began = time.process_time()
    assert timed_text(path)
    assert time.process_time() - began < 8


@given(st.binary(max_size=300))
def test_a_damaged_tag_is_no_error(data: bytes) -> None:
    from local.standin.spoken import _synchronised_lyrics

    assert all(line.start >= 0 for line in _synchronised_lyrics(b"ID3\x04\0\0\0\0\x02\x2c", b"SYLT" + data))


def test_a_missing_text_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "content"
    path.write_bytes(wav(np.zeros(1000)))
    assert timed_text(path) == []

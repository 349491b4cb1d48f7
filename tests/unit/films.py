"""Films made in memory: scenes with a look and a sound each, encoded by PyAV. Knows nothing of the embedder."""

import io
import shutil
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Wave = NDArray[np.floating]

RATE = 48_000
CODECS = {  # Nova's name of a format → container, pictures, sound
    "mp4": ("mp4", "libx264", "aac"),
    "mov": ("mov", "libx264", "aac"),
    "mkv": ("matroska", "libx264", "aac"),
    "webm": ("webm", "libvpx", "libopus"),
    "flv": ("flv", "libx264", "aac"),
    "mpeg": ("mpeg", "mpeg2video", "mp2"),
    "mpg": ("mpeg", "mpeg1video", "mp2"),
    "wmv": ("asf", "wmv2", "wmav2"),
    "3gp": ("3gp", "mpeg4", "aac"),
}
_FAST = {
    "libx264": {"preset": "ultrafast", "tune": "zerolatency"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8", "b": "500k"},
    "mpeg2video": {"b": "2M"},
    "mpeg1video": {"b": "2M"},
    "wmv2": {"b": "2M"},
    "mpeg4": {"b": "2M"},
}


class Scene(NamedTuple):
    look: str
    sound: str
    seconds: float


def _plain(*colour: int) -> Pixels:
    return np.tile(np.array(colour, np.uint8), (120, 160, 1))


def _pattern(dark: NDArray[np.bool_]) -> Pixels:
    return np.where(dark[..., None], np.uint8(15), np.uint8(240)) * np.ones(3, np.uint8)


_Y, _X = np.mgrid[0:120, 0:160]
LOOKS = {
    "red": _plain(215, 30, 35),
    "green": _plain(40, 165, 60),
    "blue": _plain(40, 70, 205),
    "yellow": _plain(245, 225, 40),
    "checks": _pattern((_X // 20 + _Y // 20) % 2 == 0),
    "stripes": _pattern(_X // 10 % 2 == 0),
}


def _tone(hertz: float, times: Wave) -> Wave:
    return 0.4 * np.sin(2 * np.pi * hertz * times)


def _beats(times: Wave) -> Wave:
    since = times % 0.5
    return 0.7 * np.sin(2 * np.pi * 180 * times) * np.exp(-since / 0.04)


def _melody(times: Wave) -> Wave:
    steps = np.array([0, 4, 7, 12, 9, 5, 2, 7])[(times / 0.4).astype(int) % 8]
    return 0.3 * np.sin(2 * np.pi * np.cumsum(330 * 2 ** (steps / 12)) / RATE)


def _voice(times: Wave) -> Wave:
    """Buzzing swells in the rhythm of syllables."""
    phase = np.cumsum(130 * (1 + 0.12 * np.sin(2 * np.pi * 0.9 * times))) / RATE
    return 0.5 * (2 * (phase % 1) - 1) * np.clip(np.sin(2 * np.pi * 4 * times), 0, 1)


def sound(name: str, seconds: float) -> Wave:
    times = np.arange(round(seconds * RATE)) / RATE
    match name:
        case "hum":
            return _tone(85, times)
        case "alarm":
            return 0.5 * np.sign(np.sin(2 * np.pi * 2800 * times)) * (times % 0.5 < 0.25)
        case "rain":
            return 0.2 * np.random.default_rng(7).standard_normal(len(times))
        case "beats":
            return _beats(times)
        case "melody":
            return _melody(times)
        case "voice":
            return _voice(times)
        case "silence":
            return np.zeros(len(times))
    raise KeyError(name)


def film(
    scenes: Sequence[Scene],
    name: str = "mp4",
    *,
    with_sound: bool = True,
    fps: int | Fraction = 10,
    key_every: int = 20,
    options: dict[str, str] | None = None,
    codec: dict[str, str] | None = None,
) -> bytes:
    """A film in the format that Nova calls `name`; `options` are the container's, `codec` those of its pictures.

    There is a key frame at least every `key_every` frames.
    """
    container, picture_codec, sound_codec = CODECS[name]
    if picture_codec.startswith(("mpeg1", "mpeg2")):
        fps = 25  # MPEG knows few rates
    target = Path(tempfile.mkdtemp(), "film")  # not in memory: an index that is moved to the front is read again
    with av.open(str(target), "w", format=container, options=options or {}) as output:
        pictures = output.add_stream(
            picture_codec, rate=fps, options={**_FAST[picture_codec], "g": str(key_every), **(codec or {})}
        )
        pictures.width, pictures.height, pictures.pix_fmt = 160, 120, "yuv420p"
        sounds = output.add_stream(sound_codec, rate=RATE, layout="mono", bit_rate=64_000) if with_sound else None
        shown, heard = 0, 0
        for scene in scenes:
            for _ in range(round(scene.seconds * fps)):
                frame = av.VideoFrame.from_ndarray(LOOKS[scene.look], format="rgb24")
                frame.pts, frame.time_base = shown, 1 / Fraction(fps)
                output.mux(pictures.encode(frame))
                shown += 1
            if sounds:
                samples = sound(scene.sound, scene.seconds).astype(np.float32)
                _add(output, sounds, samples, heard)
                heard += len(samples)
        for stream in (pictures, sounds):
            if stream:
                output.mux(stream.encode(None))
    content = target.read_bytes()
    shutil.rmtree(target.parent)
    return content


def _add(output: av.container.OutputContainer, stream: av.AudioStream, samples: Wave, at: int) -> None:
    """PyAV cuts frames to the size that the codec wants."""
    resampler = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=RATE)
    frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="flt", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
    for part in [*resampler.resample(frame), *resampler.resample(None)]:
        output.mux(stream.encode(part))


def without(content: bytes, kind: str, start: float, end: float) -> bytes:
    """The film with zeros in the place of its packets of that kind ("audio", "video") in those seconds."""
    damaged = bytearray(content)
    with av.open(io.BytesIO(content)) as file:
        for packet in file.demux():
            if packet.size and packet.stream.type == kind and start <= float(packet.pts * packet.time_base) < end:
                assert packet.pos is not None
                damaged[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    return bytes(damaged)

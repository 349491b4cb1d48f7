"""Sounds and pictures made in memory, encoded by PyAV and Pillow."""

import io
from fractions import Fraction

import av
import numpy as np
from PIL import Image

CODECS = {"wav": "pcm_s16le", "mp3": "libmp3lame", "ogg": "libopus"}


def tone(seconds: float, rate: int = 44_100, frequency: float = 440) -> np.ndarray:
    times = np.arange(int(seconds * rate)) / rate
    return (0.4 * np.sin(2 * np.pi * frequency * times)).astype(np.float32)


def encode(samples: np.ndarray, rate: int, name: str, codec: str | None = None) -> bytes:
    """Mono samples as a `wav`, `mp3`, or `ogg` (Opus) file; with a codec in any container of FFmpeg's."""
    out = io.BytesIO()
    with av.open(out, "w", format=name) as file:
        stream = file.add_stream(codec or CODECS[name], rate=rate)
        stream.layout = "mono"
        resampler = av.AudioResampler(
            format=stream.format, layout="mono", rate=rate, frame_size=stream.frame_size or 1024
        )
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis, :], format="flt", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return out.getvalue()


def picture(name: str, size: tuple[int, int] = (64, 48), colour: str = "red") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, name)
    return out.getvalue()

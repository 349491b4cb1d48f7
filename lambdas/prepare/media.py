"""Sounds and films: what they are, how long they last, and what is shown of them.

PyAV (FFmpeg) opens them as they lie in the bucket. A sound in a format that the model does not take is made an MP3.
"""

import io
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, BinaryIO, Literal

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition

from lambdas.shared.errors import BadInputError, UnsupportedError

HEARD_RATE = 8_000  # enough for what a waveform shows
MP3_RATE = 44_100
MP3_BITS_A_SECOND = 128_000
MP3_HASTE = "7"  # of LAME's 0 to 9: twice as fast as its usual; only the model hears it
PEAKS = 1_000  # at most: one for each pixel of a wide player
FRAME_PIXELS = 320  # the long side of a frame or thumbnail
FRAME_QUALITY = 75

# By FFmpeg's names of containers.
_SOUNDS = {"mp3": "mp3", "wav": "wav", "ogg": "ogg"}
_FILMS = {"flv": "flv", "mpeg": "mpeg", "mpegvideo": "mpeg", "asf": "wmv"}
# Of these the header says how long they last; of others FFmpeg may guess it from the bit rate.
_SAYS_LENGTH = {"flac", "mov", "matroska", "aiff", "caf", "asf", "wv", "ape", "tta", "dsf"}
_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_NAMES = {"avi": "an AVI film", "mpegts": "an MPEG transport stream", "ogg": "an Ogg film", "gif": "an animation"}


@dataclass(frozen=True)
class Medium:
    """`media_format` is the model's name for the container; None where it must be converted (sounds only)."""

    modality: Literal["audio", "video"]
    media_format: str | None
    seconds: float


@dataclass(frozen=True)
class Waveform:
    """`seconds` that were heard, and their loudest moments: equally long, from the first to the last, 0 to 255."""

    seconds: float
    peaks: bytes


@contextmanager
def opened(file: BinaryIO) -> Iterator[InputContainer]:
    """BadInputError where FFmpeg finds no medium in it."""
    try:
        with av.open(file, mode="r", metadata_errors="replace") as container:
            yield container
    except (av.error.InvalidDataError, av.error.EOFError) as error:
        raise BadInputError(f"the medium is broken: {error.strerror}") from error
    except (av.error.DecoderNotFoundError, av.error.PatchWelcomeError) as error:
        raise UnsupportedError(f"the medium is of a kind that cannot be read: {error.strerror}") from error


def look(file: BinaryIO, head: bytes) -> Medium:
    """What is in a file whose content begins with `head`."""
    with opened(file) as container:
        films = [stream for stream in container.streams.video if not _is_cover(stream)]
        seconds = (container.duration or 0) / av.time_base
        names = container.format.name.split(",")
        if films:
            return Medium("video", _film_format(names, container, head), seconds)
        if container.streams.audio:
            native = next((_SOUNDS[name] for name in names if name in _SOUNDS), None)
            return Medium("audio", native, seconds)
    raise BadInputError("the medium holds neither sound nor pictures")


def listen(file: BinaryIO, longest: int, mp3: Path | None = None) -> Waveform:
    """Hear a sound from its beginning to its end, and write it as MP3 if asked to.

    Broken packets are left out, as players do; BadInputError where nothing can be heard, or the end is missing.
    """
    peaks = _Peaks()
    end = 0.0
    with opened(file) as container:
        stream = container.streams.audio[0]
        stream.codec_context.thread_type = "AUTO"
        if "channels" in stream.codec_context.layout.name:  # a WAV need not say which is left and which is right
            stream.codec_context.layout = _LAYOUTS.get(stream.codec_context.layout.nb_channels, "mono")
        with _writing(mp3) as write:
            resample = _Resampler("s16", "mono", HEARD_RATE)
            for frame in chain(_frames(container, stream), [None]):
                for plain in resample(frame):
                    peaks.add(plain)
                if frame and frame.time is not None:
                    end = max(end, frame.time + frame.samples / frame.sample_rate)
                if peaks.samples > HEARD_RATE * longest:  # its header may not have said so
                    raise BadInputError(f"it lasts more than {longest // 3600} hours, which is the most")
                write(frame)
        said = _said_seconds(container, stream)
    if not peaks.samples:
        raise BadInputError("nothing can be heard: the sound is empty or broken")
    if said - max(end, peaks.samples / HEARD_RATE) > max(2, said / 50):
        raise BadInputError(f"the sound was cut off: {said:.1f} seconds by its header, {end:.1f} are there")
    return Waveform(peaks.samples / HEARD_RATE, peaks.shortened())


def _said_seconds(container: InputContainer, stream: Any) -> float:
    """How long the header says that it lasts; 0 where it does not."""
    if _SAYS_LENGTH.isdisjoint(container.format.name.split(",")):
        return 0
    return float(stream.duration * stream.time_base) if stream.duration else (container.duration or 0) / av.time_base


def frames(file: BinaryIO, seconds: list[float]) -> Iterator[bytes]:
    """A JPEG of the key frame at or before each of these seconds; none where no picture can be read."""
    with opened(file) as container:
        stream = next(stream for stream in container.streams.video if not _is_cover(stream))
        stream.codec_context.skip_frame = "NONKEY"
        last: bytes | None = None
        for second in seconds:
            found = _frame_at(container, stream, second)
            last = found or last
            if last is None:
                return
            yield last


def _frame_at(container: InputContainer, stream: Any, second: float) -> bytes | None:
    try:
        container.seek(int(second / stream.time_base) + (stream.start_time or 0), stream=stream)
        for frame in container.decode(stream):
            return _jpeg(frame)
    except av.error.FFmpegError:
        return None  # what is shown of it is not what is found
    return None


def _jpeg(frame: Any) -> bytes:
    scale = min(1, FRAME_PIXELS / max(frame.width, frame.height))
    picture = frame.to_image(width=max(1, round(frame.width * scale)), height=max(1, round(frame.height * scale)))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=FRAME_QUALITY)
    return content.getvalue()


def _frames(container: InputContainer, stream: Any) -> Iterator[Any]:
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.error.InvalidDataError:
            return  # cut off
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            continue


@contextmanager
def _writing(mp3: Path | None) -> Iterator[Any]:
    if mp3 is None:
        yield lambda frame: None
        return
    with av.open(str(mp3), "w", format="mp3") as output:
        haste = {"compression_level": MP3_HASTE}
        stream = output.add_stream("libmp3lame", rate=MP3_RATE, layout="stereo", options=haste)
        stream.bit_rate = MP3_BITS_A_SECOND
        resample = _Resampler("s16p", "stereo", MP3_RATE)

        def write(frame: Any) -> None:
            for plain in resample(frame):
                plain.pts = None
                output.mux(stream.encode(plain))

        yield write
        output.mux(stream.encode(None))


class _Resampler:
    """Frames in another form. What they come in may change within a file: two that were joined are one MP3."""

    def __init__(self, sample_format: str, layout: str, rate: int) -> None:
        self._to = (sample_format, layout, rate)
        self._from: tuple[str, str, int] | None = None
        self._inner: Any = None

    def __call__(self, frame: Any) -> Iterator[Any]:
        """None at the end."""
        form = (frame.format.name, frame.layout.name, frame.sample_rate) if frame else None
        if form != self._from:
            if self._inner:
                yield from self._inner.resample(None)
            self._inner = av.AudioResampler(*self._to) if frame else None
            self._from = form
        if frame:
            yield from self._inner.resample(frame)


class _Peaks:
    """The loudest sample of each tenth of a second."""

    STEP = HEARD_RATE // 10

    def __init__(self) -> None:
        self.samples = 0
        self._rest = array("h")
        self._peaks = bytearray()

    def add(self, frame: Any) -> None:
        self._rest.frombytes(memoryview(frame.planes[0])[: 2 * frame.samples])
        self.samples += frame.samples
        whole = len(self._rest) // self.STEP * self.STEP
        for start in range(0, whole, self.STEP):
            self._peaks.append(_loudest(self._rest[start : start + self.STEP]))
        del self._rest[:whole]

    def shortened(self) -> bytes:
        """At most PEAKS of them."""
        every = self._peaks + bytes([_loudest(self._rest)] if self._rest else [])
        count = min(PEAKS, len(every))
        places = [number * len(every) // count for number in range(count + 1)]
        return bytes(max(every[start:end]) for start, end in pairwise(places))


def _loudest(samples: "array[int]") -> int:
    return max(max(samples), -min(samples)) * 255 // 32768


def _film_format(names: list[str], container: InputContainer, head: bytes) -> str:
    """The model's name for the container of a film (Amazon Nova user guide, "Complete embeddings request …")."""
    if "mov" in names:
        brand = container.metadata.get("major_brand", "")
        return "mov" if brand.startswith("qt") else "3gp" if brand.startswith("3g") else "mp4"
    if "matroska" in names:
        return "webm" if b"webm" in head else "mkv"
    found = next((_FILMS[name] for name in names if name in _FILMS), None)
    if found is None:
        name = next((_NAMES[name] for name in names if name in _NAMES), f"a film in {container.format.long_name}")
        raise UnsupportedError(f"this is {name}, which is not supported")
    return found


def _is_cover(stream: Any) -> bool:
    """The picture of a record, in a sound's tag."""
    return bool(stream.disposition & Disposition.attached_pic)

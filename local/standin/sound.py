"""Sound from any file that PyAV opens, decoded as a stream: mono at one sample rate, cut into equal parts."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

RATE = 24_000
PIECE_SECONDS = 15.0
"""What is analysed at once; a longer segment is the average of its pieces, so memory stays flat."""
_LARGEST_MP3_FRAME = 1441  # bytes
_SLACK = 0.25  # seconds a resampler may hold back
_LEAST_HOLE = 0.1  # seconds a packet's time may be ahead of what was decoded, before that counts as a hole
LARGEST_HOLE = 60.0  # seconds, where the container does not say how long it is; a time further on is nonsense
# Containers that hold their sound themselves: a playlist could name any other file, or an address.
_FORMATS = (
    "mp3,wav,w64,ogg,flac,mov,matroska,aac,aiff,au,caf,amr,avi,asf,flv,mpeg,mpegvideo,mpegts,mxf,nut,rm,wv,ape,tta,mpc,"
    "mpc8,ac3,eac3,dts,dsf,voc"
)


class UnreadableError(Exception):
    """The content cannot be decoded; the message is one sentence that says so."""


def open_media(path: Path) -> av.container.InputContainer:
    """Raises what PyAV raises."""
    options = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
    return av.open(str(path), options=options, metadata_errors="replace")


class Span(NamedTuple):
    """From second `start` to second `end`."""

    start: float
    end: float


def lost(holes: Iterable[Span], start: float, end: float) -> float:
    """How many seconds between these two lie in holes."""
    return sum(max(0.0, min(hole.end, end) - max(hole.start, start)) for hole in holes)


class Piece(NamedTuple):
    """`samples` of the segment number `segment`, from second `start` to second `end` of the file.

    `lost` of these seconds are damaged; there is silence in their place.
    """

    segment: int
    start: float
    end: float
    samples: Samples
    lost: float


def sound_length(path: Path) -> float:
    """The decoded length in seconds, with what is damaged in between."""
    timeline = _Timeline()
    for _ in _parts(path, timeline):
        pass
    return timeline.seconds


def pieces(path: Path, segment_seconds: float | None, film: Span | None = None) -> Iterator[Piece]:
    """The sound in order; no piece crosses a segment's border.

    Of a film, the span on the file's own clock: the pieces cover just that, with silence where there is no sound yet or
    no more.
    """
    timeline = _Timeline(film.start if film else None)
    plan = _plan(segment_seconds)
    segment, start, end = next(plan)
    finish = film.end - film.start if film else float("inf")
    buffer = _Buffer()
    for samples in _resampled(path, timeline):
        buffer.append(samples)
        while start < finish and buffer.end > (end + _SLACK) * RATE:
            end = min(end, finish)
            yield Piece(segment, start, end, buffer.take(start, end), timeline.lost(start, end))
            segment, start, end = next(plan)
        if start >= finish:
            return
    finish = finish if film else timeline.seconds
    while start < finish:
        end = min(end, finish)
        yield Piece(segment, start, end, buffer.take(start, end), timeline.lost(start, end))
        segment, start, end = next(plan)


class _Timeline:
    """What was decoded, to the sample, whatever the sample rates, and the holes in it.

    `zero` is where it begins on the file's clock; None: with the first frame.
    """

    def __init__(self, zero: float | None = None) -> None:
        self._zero = zero
        self._samples: dict[int, int] = {}
        self._silence = 0.0
        self._holes: list[Span] = []

    @property
    def seconds(self) -> float:
        return sum(count / rate for rate, count in self._samples.items()) + self._silence

    def lost(self, start: float, end: float) -> float:
        return lost(self._holes, start, end)

    def gap(self, frame: av.AudioFrame, promised: float | None, skipped: float) -> float:
        """The seconds missing before this frame, by its time or by what was skipped: a late beginning or a hole."""
        if frame.time is None:
            return 0.0
        if self._zero is None:
            self._zero = frame.time
        now = self.seconds
        missing = max(frame.time - self._zero - now, skipped)
        believable = now + missing <= promised + 1 if promised is not None else missing <= LARGEST_HOLE
        if missing < _LEAST_HOLE or not believable:
            return 0.0
        if self._samples:
            self._holes.append(Span(now, now + missing))
        self._silence += missing
        return missing

    def add(self, frame: av.AudioFrame) -> None:
        self._samples[frame.sample_rate] = self._samples.get(frame.sample_rate, 0) + frame.samples


class _Buffer:
    """Samples not yet taken, counted from the beginning of the file."""

    def __init__(self) -> None:
        self._parts: list[Samples] = []
        self._first = 0
        self.end = 0

    def append(self, samples: Samples) -> None:
        self._parts.append(samples)
        self.end += len(samples)

    def take(self, start: float, end: float) -> Samples:
        """Those from second `start` to second `end`; what comes before `end` is forgotten."""
        whole = np.concatenate(self._parts) if self._parts else np.zeros(0, np.float32)
        stop = max(0, round(end * RATE) - self._first)
        taken = whole[max(0, round(start * RATE) - self._first) : stop]
        self._parts = [whole[stop:].copy()]
        self._first += min(stop, len(whole))
        # A float format may hold anything; a sample of any file means at most about 1.
        return np.clip(np.nan_to_num(taken, nan=0.0, posinf=0.0, neginf=0.0), -4.0, 4.0)


def _plan(segment_seconds: float | None) -> Iterator[tuple[int, float, float]]:
    """Segment number, start and end of piece after piece, without end."""
    segment = 0
    while True:
        begin = segment * (segment_seconds or 0.0)
        count = 0
        while segment_seconds is None or count * PIECE_SECONDS < segment_seconds:
            start, end = begin + count * PIECE_SECONDS, begin + (count + 1) * PIECE_SECONDS
            yield segment, start, end if segment_seconds is None else min(end, (segment + 1) * segment_seconds)
            count += 1
        segment += 1


def _resampled(path: Path, timeline: _Timeline) -> Iterator[Samples]:
    resampler: av.AudioResampler | None = None
    form = None
    for part in _parts(path, timeline):
        if resampler and (isinstance(part, float) or form != _form(part)):
            yield from _samples(resampler, None)
            resampler = None
        if isinstance(part, float):
            yield from _silence(part)
            continue
        if resampler is None:
            form = _form(part)
            resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
        part.pts = None
        yield from _samples(resampler, part)
    if resampler:
        yield from _samples(resampler, None)


def _silence(seconds: float) -> Iterator[Samples]:
    left = round(seconds * RATE)
    while left:
        count = min(left, round(PIECE_SECONDS * RATE))
        yield np.zeros(count, np.float32)
        left -= count


def _form(frame: av.AudioFrame) -> tuple[str, str, int]:
    """A file may change it in the middle."""
    return frame.format.name, frame.layout.name, frame.sample_rate


def _samples(resampler: av.AudioResampler, frame: av.AudioFrame | None) -> Iterator[Samples]:
    for resampled in resampler.resample(frame):
        yield np.asarray(resampled.to_ndarray()[0], np.float32)


def _parts(path: Path, timeline: _Timeline) -> Iterator[av.AudioFrame | float]:
    """The frames of the first audio stream, and the seconds missing between them; at a cut the sound ends."""
    decoded = False
    try:
        container = open_media(path)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UnreadableError("The content is no sound or film that can be decoded") from error
    with container:
        stream = next(iter(container.streams.audio), None)
        if stream is None:
            raise UnreadableError("The content has no sound")
        promised = container.duration / av.time_base if container.duration else None
        skipped = 0.0
        for packet in _packets(container, stream):
            skipped += _garbage(packet, container.bit_rate)
            for frame in _decode(packet):
                if gap := timeline.gap(frame, promised, skipped):
                    yield gap
                skipped = 0.0
                timeline.add(frame)
                decoded = decoded or frame.samples > 0
                yield frame
    if not decoded:
        raise UnreadableError("The sound cannot be decoded")


def _packets(container: av.container.InputContainer, stream: av.AudioStream) -> "Iterator[av.Packet[av.AudioStream]]":
    try:
        yield from container.demux(stream)
    except av.FFmpegError:
        return


def _garbage(packet: "av.Packet[av.AudioStream]", bit_rate: int) -> float:
    """Seconds of an MP3 that were between its frames and are none, which FFmpeg counts to a frame, but not as time."""
    excess = packet.size - _LARGEST_MP3_FRAME
    return (
        excess * 8 / bit_rate if excess > 0 and bit_rate and packet.stream.codec_context.name.startswith("mp3") else 0.0
    )


def _decode(packet: "av.Packet[av.AudioStream]") -> list[av.AudioFrame]:
    """A damaged packet gives nothing."""
    try:
        return [frame for frame in packet.decode() if not frame.is_corrupt]
    except av.FFmpegError:
        return []

"""Sound from any file that PyAV opens, decoded as a stream: mono at one sample rate, cut into equal parts."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

RATE = 24_000
PIECE_SECONDS = 15.0
"""What is analysed at once; a longer segment is the average of its pieces, so memory stays flat."""
_SLACK = 0.25  # seconds a resampler may hold back
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


class Piece(NamedTuple):
    """`samples` of the segment number `segment`, from second `start` to second `end` of the file."""

    segment: int
    start: float
    end: float
    samples: Samples


def sound_length(path: Path) -> float:
    """The decoded length in seconds."""
    length = _Length()
    for frame in _frames(path):
        length.add(frame)
    return length.seconds


def pieces(path: Path, segment_seconds: float | None) -> Iterator[Piece]:
    """The sound in order; no piece crosses a segment's border."""
    length = _Length()
    plan = _plan(segment_seconds)
    segment, start, end = next(plan)
    buffer = _Buffer()
    for samples in _resampled(path, length):
        buffer.append(samples)
        while buffer.end > (end + _SLACK) * RATE:
            yield Piece(segment, start, end, buffer.take(start, end))
            segment, start, end = next(plan)
    while start < length.seconds:
        end = min(end, length.seconds)
        yield Piece(segment, start, end, buffer.take(start, end))
        segment, start, end = next(plan)


class _Length:
    """The exact length of what was decoded, whatever the sample rates."""

    def __init__(self) -> None:
        self._samples: dict[int, int] = {}

    def add(self, frame: av.AudioFrame) -> None:
        self._samples[frame.sample_rate] = self._samples.get(frame.sample_rate, 0) + frame.samples

    @property
    def seconds(self) -> float:
        return sum(count / rate for rate, count in self._samples.items())


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
        return taken


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


def _resampled(path: Path, length: _Length) -> Iterator[Samples]:
    resampler: av.AudioResampler | None = None
    form = None
    for frame in _frames(path):
        if form != (form := (frame.format.name, frame.layout.name, frame.sample_rate)):
            if resampler:  # the file changes its form in the middle
                yield from _samples(resampler, None)
            resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
        assert resampler
        length.add(frame)
        frame.pts = None
        yield from _samples(resampler, frame)
    if resampler:
        yield from _samples(resampler, None)


def _samples(resampler: av.AudioResampler, frame: av.AudioFrame | None) -> Iterator[Samples]:
    for resampled in resampler.resample(frame):
        samples = np.asarray(resampled.to_ndarray()[0], np.float32)
        # A float format may hold anything; a sample of any file means at most about 1.
        yield np.clip(np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0), -4.0, 4.0)


def _frames(path: Path) -> Iterator[av.AudioFrame]:
    """The frames of the first audio stream; a damaged packet is skipped, at a cut the sound ends."""
    decoded = False
    try:
        container = open_media(path)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UnreadableError("The content is no sound or film that can be decoded") from error
    with container:
        stream = next(iter(container.streams.audio), None)
        if stream is None:
            raise UnreadableError("The content has no sound")
        for packet in _packets(container, stream):
            for frame in _decode(packet):
                decoded = decoded or frame.samples > 0
                yield frame
    if not decoded:
        raise UnreadableError("The sound cannot be decoded")


def _packets(container: av.container.InputContainer, stream: av.AudioStream) -> "Iterator[av.Packet[av.AudioStream]]":
    try:
        yield from container.demux(stream)
    except av.FFmpegError:
        return


def _decode(packet: "av.Packet[av.AudioStream]") -> list[av.AudioFrame]:
    try:
        return packet.decode()
    except av.FFmpegError:
        return []

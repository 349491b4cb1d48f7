"""Where a film has its key frames, and pictures of single frames, for which as little as possible is decoded."""

import math
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.stream import Disposition
from PIL import Image

from local.standin.sound import LARGEST_HOLE, Span, UnreadableError, open_media

_SLOT = 0.05  # seconds
_LEAST_HOLE = 1.0  # seconds without any packet
_CUT_SECONDS = 1.0  # a header may promise so much more than there is
_NEAR_SECONDS = 1.0  # before a frame that is wanted, everything is decoded; before that, only what others refer to
_SAME_SECONDS = 0.001
_ZEROS = 16  # bytes with which no frame of any codec begins
_TAG = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


class Key(NamedTuple):
    """The key frame that is the stream's packet number `packet`, shown at second `at` of the film."""

    packet: int
    at: float


class Look(NamedTuple):
    """The frame shown at second `at`, which is decoded from `key` on."""

    segment: int
    key: Key
    at: float
    weight: int


_Seen = tuple[Look, Image.Image | None]


@dataclass(frozen=True)
class Survey:
    """What a film holds, without decoding it.

    `zero` is where it begins on the file's own clock; `length` is in seconds. `keys` are in the order of time. `holes`
    are spans of which there is nothing in the file: damage, or the end of a film that was cut off, if its header says
    how long it was. (A picture may stand still for long without new frames; a sound that stops and goes on does not.)
    `blanks` are spans whose pictures are zeros in the file, as a download leaves them that was not finished.
    """

    zero: float
    length: float
    has_sound: bool
    keys: Sequence[Key]
    holes: Sequence[Span]
    blanks: Sequence[Span]


def survey(path: Path) -> Survey:
    """Raises `UnreadableError`."""
    try:
        container = open_media(path)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UnreadableError("The content is no film that can be decoded") from error
    with container:
        video, audio = _pictures(container), next(iter(container.streams.audio), None)
        streams = [stream for stream in (video, audio) if stream]
        promised = _promised(container, streams, path)
        tally = _Tally(container, video, promised)
        for packet in _packets(container, streams):
            tally.add(packet)
        return tally.result(audio is not None)


def looked_at(path: Path, zero: float, looks: Iterable[Look]) -> Iterator[_Seen]:
    """Each look with its picture, None for a damaged one. `looks` are in the order of keys and then of times."""
    with open_media(path) as container:
        stream = _pictures(container)
        stream.codec_context.thread_type = "AUTO"
        runs = deque(_Run(stream, zero, key, list(group)) for key, group in groupby(looks, key=lambda look: look.key))
        run: _Run | None = None
        for number, packet in enumerate(_packets(container, [stream])):
            if runs and number == runs[0].key.packet:
                yield from run.finish() if run else ()
                run = runs.popleft()
            if run:
                yield from run.feed(packet)
            elif not runs:
                return
        for rest in (run, *runs):
            yield from rest.finish() if rest else ()


class _Run:
    """Frames that are decoded from one key frame on."""

    def __init__(self, stream: av.VideoStream, zero: float, key: Key, looks: list[Look]) -> None:
        self.key = key
        self._stream = stream
        self._zero = zero
        self._wanted = deque(looks)
        self._begun = False
        self._shown: av.VideoFrame | None = None

    def feed(self, packet: "av.Packet[Any]") -> Iterator[_Seen]:
        if not self._wanted:
            return
        context = self._stream.codec_context
        if not self._begun and context.is_open:
            context.flush_buffers()
        self._begun = True
        time = packet.dts if packet.pts is None else packet.pts
        ahead = 0.0 if time is None else self._wanted[0].at + self._zero - float(time * packet.time_base)
        context.skip_frame = "NONREF" if ahead > _NEAR_SECONDS else "DEFAULT"
        yield from self._decode(packet)

    def finish(self) -> Iterator[_Seen]:
        """Where the frames end before the second that is wanted, the last one is still shown then."""
        if self._wanted and self._begun:
            yield from self._decode(None)
        while self._wanted:
            yield self._answer()

    def _decode(self, packet: "av.Packet[Any] | None") -> Iterator[_Seen]:
        """What is damaged is lost to all looks from there on: they depend on it."""
        try:
            frames = self._stream.codec_context.decode(packet)
        except av.FFmpegError:
            frames, self._shown = [], None
            while self._wanted:
                yield self._answer()
        for frame in frames:
            at = math.inf if frame.time is None else frame.time - self._zero
            while self._wanted and self._shown and at > self._wanted[0].at + _SAME_SECONDS:
                yield self._answer()
            # Without the key frame, what comes after it is not what it should be.
            whole = not frame.is_corrupt and (self._shown or frame.key_frame)
            self._shown = frame if whole else None
            while self._wanted and at >= self._wanted[0].at - _SAME_SECONDS:
                yield self._answer()

    def _answer(self) -> _Seen:
        return self._wanted.popleft(), _picture(self._shown, self._stream) if self._shown else None


class _Tally:
    """What the packets say of a film."""

    def __init__(self, container: av.container.InputContainer, video: av.VideoStream, promised: float | None) -> None:
        self._video = video
        self._rate = float(video.average_rate or 25)
        self._zero = (container.start_time or 0) / av.time_base
        self._bases = {stream.index: float(stream.time_base or 0) for stream in container.streams}
        self._promised = promised
        self._frames = 0
        self._end = self._heard_until = 0.0
        self._keys: list[Key] = []
        self._covered = bytearray()  # what there is something of in the file, by slots
        self._blanks: list[Span] = []

    def add(self, packet: "av.Packet[Any]") -> None:
        of_video = packet.stream_index == self._video.index
        base, time = self._bases[packet.stream_index], packet.dts if packet.pts is None else packet.pts
        at = self._frames / self._rate if time is None else time * base - self._zero
        limit = self._end + LARGEST_HOLE if self._promised is None else self._promised + _CUT_SECONDS
        if at <= limit:
            lasts = packet.duration * base if packet.duration else of_video / self._rate
            self._cover(at, min(at + lasts, limit))
            self._end = max(self._end, at + lasts)
            self._heard_until = self._heard_until if of_video else max(self._heard_until, at + lasts)
            if of_video and not any(memoryview(packet)[:_ZEROS]):
                self._blank(at, at + lasts)
            elif of_video and packet.is_keyframe and (not self._keys or at > self._keys[-1].at):
                self._keys.append(Key(self._frames, at))
        self._frames += of_video

    def _cover(self, start: float, end: float) -> None:
        """Packets may come in any order: frames before those that they depend on, all pictures before the sound."""
        first, last = int(max(0.0, start) / _SLOT), int(max(0.0, end) / _SLOT) + 1
        self._covered.extend(bytes(max(0, last - len(self._covered))))
        self._covered[first:last] = b"\1" * (last - first)

    def _holes(self) -> Iterator[Span]:
        """After which there is sound again."""
        for empty in re.finditer(rb"\0+", self._covered):
            hole = Span(empty.start() * _SLOT, empty.end() * _SLOT)
            if hole.end - hole.start > _LEAST_HOLE and hole.end < self._heard_until:
                yield hole

    def _blank(self, start: float, end: float) -> None:
        if self._blanks and start - self._blanks[-1].end < _SAME_SECONDS:
            start = self._blanks.pop().start
        self._blanks.append(Span(start, end))

    def result(self, has_sound: bool) -> Survey:
        if not self._frames:
            raise UnreadableError("The film has no frames")
        length = self._end
        holes = list(self._holes())
        if self._promised is not None and self._promised - self._end > _CUT_SECONDS:
            length = self._promised
            holes.append(Span(self._end, length))
        return Survey(self._zero, length, has_sound, self._keys or [Key(0, 0.0)], holes, self._blanks)


def _pictures(container: av.container.InputContainer) -> av.VideoStream:
    """The first stream of pictures that is not the cover of a sound."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic and stream.codec_context is not None:
            return stream
    raise UnreadableError("The content has no moving pictures")


def _packets(
    container: av.container.InputContainer, streams: Sequence[av.VideoStream | av.AudioStream]
) -> "Iterator[av.Packet[Any]]":
    try:
        for packet in container.demux(*streams):
            if packet.size:
                yield packet
    except av.FFmpegError:
        return


def _promised(
    container: av.container.InputContainer, streams: Sequence[av.VideoStream | av.AudioStream], path: Path
) -> float | None:
    """How many seconds the header says that there are; None where it says nothing, or where that is a guess."""
    if container.format.name == "asf":
        return _asf_length(path)
    if container.format.name not in ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "flv"):
        return None
    own = [length for stream in streams if (length := _stream_length(stream)) is not None]
    return max(own) if own else container.duration / av.time_base if container.duration else None


def _stream_length(stream: av.VideoStream | av.AudioStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    found = _TAG.match(stream.metadata.get("DURATION", ""))  # Matroska, which counts from the start of the file
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3]) if found else None


def _asf_length(path: Path) -> float | None:
    """From the File Properties Object of a Windows Media file: play duration less preroll. See the ASF specification.

    FFmpeg does not say how long it is once it was cut off.
    """
    with path.open("rb") as file:
        _, found, rest = file.read(1 << 16).partition(_ASF_PROPERTIES)
    if not found or len(rest) < 72:
        return None
    duration, preroll = int.from_bytes(rest[48:56], "little"), int.from_bytes(rest[64:72], "little")
    live = rest[72] & 1
    return None if live else duration / 1e7 - preroll / 1e3


def _picture(frame: av.VideoFrame, stream: av.VideoStream) -> Image.Image:
    """As it is shown: upright, with square points."""
    picture = Image.fromarray(frame.to_ndarray(format="rgb24"))
    shape = float(stream.sample_aspect_ratio or 1)
    if shape not in (0.0, 1.0):
        picture = picture.resize((max(1, round(picture.width * shape)), picture.height), Image.Resampling.NEAREST)
    return picture.rotate(frame.rotation, expand=True) if frame.rotation else picture

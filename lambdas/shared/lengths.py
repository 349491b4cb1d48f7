"""How long a sound lasts, read from its container's header and not by decoding it.

Formats: WAV (RIFF, RF64), Ogg (RFC 3533; Vorbis, Opus, Speex, FLAC inside), MP3 (ID3v2, Xing/Info, frames).
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from lambdas.shared.errors import BadInputError

Read = Callable[[int, int], bytes]
"""`read(offset, count)` gives that range of the file, less at its end."""

WINDOW = 64 * 1024
WAV_CHUNKS = 100  # each is a read; no recorder writes as many before its sound
MP3_COUNTED_BYTES = 4_000_000  # frames of a larger file without a Xing header are not counted: it is no short sound


@dataclass(frozen=True)
class Length:
    """`exact` is False where a bit rate that may vary was taken for constant."""

    seconds: float
    exact: bool = True


def audio_length(media_format: str, size: int, read: Read) -> Length:
    """The length of a `wav`, `ogg` or `mp3` of `size` bytes.

    BadInputError where the header is broken, holds no sound, or promises more than is there (the file was cut off).
    """
    try:
        return {"wav": _wav, "ogg": _ogg, "mp3": _mp3}[media_format](size, read)
    except (struct.error, IndexError, ZeroDivisionError) as error:
        raise BadInputError(f"the header of the {media_format} file is broken") from error


def _wav(size: int, read: Read) -> Length:
    offset, byte_rate = 12, 0
    for _ in range(WAV_CHUNKS):
        if offset + 8 > size:
            break
        name, length = struct.unpack("<4sI", read(offset, 8))
        if name == b"fmt ":
            byte_rate = struct.unpack("<I", read(offset + 16, 4))[0]
        if name == b"data":
            if not byte_rate:
                raise BadInputError("the WAV header does not say how many bytes a second has")
            there = size - offset - 8
            if length in (0, 0xFFFFFFFF) and there:  # a recorder that streamed, or RF64
                return Length(there / byte_rate)
            if length > there:
                raise _cut_off("WAV", length, there)
            return Length(length / byte_rate)
        offset += 8 + length + length % 2
    raise BadInputError("the WAV file holds no sound")


def _ogg(size: int, read: Read) -> Length:
    head = read(0, min(size, WINDOW))
    rate, skip = _ogg_codec(head)
    tail_at = max(0, size - WINDOW)
    tail = read(tail_at, size - tail_at)
    last = tail.rfind(b"OggS")
    if last < 0 or len(tail) - last < 27:
        raise BadInputError("the Ogg file was cut off")
    flags, granule = struct.unpack("<Bq", tail[last + 5 : last + 14])
    lacing = tail[last + 27 : last + 27 + tail[last + 26]]
    whole = len(lacing) == tail[last + 26] and len(tail) - last >= 27 + len(lacing) + sum(lacing)
    if not whole or not flags & 4:  # the last page must be complete and say that it is the last
        raise BadInputError("the Ogg file was cut off")
    return Length(max(0, granule - skip) / rate)


def _ogg_codec(head: bytes) -> tuple[int, int]:
    """Samples a second, and samples to skip at the start."""
    if (at := head.find(b"\x01vorbis")) >= 0:
        return int(struct.unpack("<I", head[at + 12 : at + 16])[0]), 0
    if (at := head.find(b"OpusHead")) >= 0:
        return 48_000, int(struct.unpack("<H", head[at + 10 : at + 12])[0])
    if (at := head.find(b"Speex   ")) >= 0:
        return int(struct.unpack("<I", head[at + 36 : at + 40])[0]), 0
    if (at := head.find(b"\x7fFLAC")) >= 0 and (info := head.find(b"fLaC", at)) >= 0:
        return int.from_bytes(head[info + 18 : info + 21], "big") >> 4, 0
    raise BadInputError("the Ogg file holds no sound that is known (Vorbis, Opus, Speex, FLAC)")


_BIT_RATES = {  # kbit/s by (MPEG-1?, layer); index 1–14
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLE_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


@dataclass(frozen=True)
class _Frame:
    bit_rate: int
    sample_rate: int
    samples: int
    size: int
    xing_at: int


def _frame(header: bytes) -> _Frame | None:
    """An MPEG audio frame header (ISO 11172-3), None where the four bytes are none."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    rate_index, sample_index = header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or layer == 4 or rate_index in (0, 15) or sample_index == 3:
        return None
    mpeg1 = version == 3
    bit_rate = _BIT_RATES[mpeg1, layer][rate_index - 1] * 1000
    sample_rate = _SAMPLE_RATES[version][sample_index]
    samples = 384 if layer == 1 else 1152 if mpeg1 or layer == 2 else 576
    padding = header[2] >> 1 & 1
    size = (
        (12 * bit_rate // sample_rate + padding) * 4 if layer == 1 else samples // 8 * bit_rate // sample_rate + padding
    )
    mono = header[3] >> 6 == 3
    xing_at = 4 + ((17 if mono else 32) if mpeg1 else (9 if mono else 17))
    return _Frame(bit_rate, sample_rate, samples, size, xing_at)


def _mp3(size: int, read: Read) -> Length:
    start = _after_id3(read(0, 10))
    window = read(start, WINDOW)
    at = next((i for i in range(max(0, len(window) - 4)) if _frame(window[i : i + 4])), None)
    if at is None:
        raise BadInputError("the MP3 file holds no sound" if start < size else "the MP3 file was cut off in its tags")
    frame = _frame(window[at : at + 4])
    assert frame is not None
    start += at
    tag = window[at + frame.xing_at : at + frame.xing_at + 16]
    if tag[:4] in (b"Xing", b"Info") and tag[7] & 1:
        return _xing(tag, frame, start, size)
    if size > MP3_COUNTED_BYTES:
        return Length((size - start) * 8 / frame.bit_rate, exact=False)
    return _counted(read(start, size - start))


def _after_id3(header: bytes) -> int:
    """Where the sound starts: an ID3v2 tag's length is four times seven bits."""
    if not header.startswith(b"ID3") or len(header) < 10:
        return 0
    length = header[6] << 21 | header[7] << 14 | header[8] << 7 | header[9]
    return 10 + length + (10 if header[5] & 0x10 else 0)


def _xing(tag: bytes, frame: _Frame, start: int, size: int) -> Length:
    frames = int.from_bytes(tag[8:12], "big")
    if tag[7] & 2:
        promised, there = int.from_bytes(tag[12:16], "big"), size - start
        if promised > there:
            raise _cut_off("MP3", promised, there)
    return Length(frames * frame.samples / frame.sample_rate)


def _counted(data: bytes) -> Length:
    """Frame by frame; not exact where something other than frames and the usual tags follows."""
    at, seconds = 0, 0.0
    while frame := _frame(data[at : at + 4]):
        if at + frame.size > len(data):
            raise BadInputError("the MP3 file was cut off in its last frame")
        seconds += frame.samples / frame.sample_rate
        at += frame.size
    rest = data[at:].lstrip(b"\0")
    return Length(seconds, exact=not rest or rest.startswith((b"TAG", b"APETAGEX", b"LYRICSBEGIN")))


def _cut_off(name: str, promised: int, there: int) -> BadInputError:
    return BadInputError(f"the {name} file was cut off: its header promises {promised:,} bytes, {there:,} are there")

"""What a media file carries as timed text: it counts as spoken at its second.

Only text with a time counts: timed lyrics (LRC, in an ID3 USLT frame, a Vorbis comment or an MP4 atom), an ID3 SYLT
frame, a subtitle stream. Titles, artists and other descriptions are no content and are not read.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av
from av.subtitles.subtitle import AssSubtitle

from local.standin.sound import open_media

_STAMP = re.compile(r"\[(?:(\d{1,3}):)?(\d{1,6}):(\d{1,2}(?:[.:]\d{1,9})?)\]")
_WORD_STAMP = re.compile(r"<[\d:.]+>")
_OFFSET = re.compile(r"^\[offset:\s*([+-]?\d{1,9})\s*\]", re.IGNORECASE | re.MULTILINE)
_STYLING = re.compile(r"\{[^}]*\}|<[^>]*>")
_LONGEST_TAG = 1 << 24


class Line(NamedTuple):
    start: float
    text: str


def timed_text(path: Path) -> list[Line]:
    """All timed text of the file, by time. A damaged part is left out, an undecodable file has none."""
    try:
        with open_media(path) as container:
            lyrics = [text for tags in _tags(container) for name, text in tags.items() if _are_lyrics(name)]
            lines = [line for text in lyrics for line in lrc_lines(text)] + list(_subtitles(container))
    except (av.FFmpegError, OSError):
        return []
    with path.open("rb") as source:
        return sorted(lines + list(_synchronised_lyrics(source.read(10), source.read(_LONGEST_TAG))))


def lrc_lines(text: str) -> Iterator[Line]:
    """Lines of the form `[mm:ss.xx]words`, also with several stamps or with stamps within (`<mm:ss.xx>`)."""
    found = _OFFSET.search(text)
    shift = int(found[1]) / 1000 if found else 0.0  # positive: sooner
    for line in text.splitlines():
        words = _WORD_STAMP.sub("", _STAMP.sub("", line)).strip()
        for hours, minutes, seconds in _STAMP.findall(line):
            start = int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds.replace(":", "."))
            if words:
                yield Line(max(0.0, start - shift), words)


def _tags(container: av.container.InputContainer) -> Iterator[dict[str, str]]:
    yield container.metadata
    for stream in container.streams:
        yield stream.metadata


def _are_lyrics(name: str) -> bool:
    return name.lower().startswith(("lyrics", "syncedlyrics", "unsyncedlyrics"))


def _subtitles(container: av.container.InputContainer) -> Iterator[Line]:
    stream = next(iter(container.streams.subtitles), None)
    if stream is None:
        return
    try:
        for packet in container.demux(stream):
            for subtitle in packet.decode() if packet.pts is not None else ():
                if isinstance(subtitle, AssSubtitle):
                    words = _STYLING.sub("", subtitle.dialogue.decode("utf-8", "replace"))
                    yield Line(float((packet.pts or 0) * packet.time_base), words)
    except av.FFmpegError:
        return  # cut in the middle: what came before counts


def _synchronised_lyrics(header: bytes, body: bytes) -> Iterator[Line]:
    """The SYLT frames of an ID3v2 tag, which FFmpeg does not read. See id3.org, ID3v2.3.0 §4.10 and ID3v2.4.0 §4.9."""
    if len(header) < 10 or header[:3] != b"ID3" or header[3] not in (2, 3, 4):
        return
    tag = body[: _syncsafe(header[6:10])]
    if header[5] & 0x80 and header[3] < 4:
        tag = tag.replace(b"\xff\x00", b"\xff")
    if header[5] & 0x40 and header[3] > 2 and len(tag) >= 4:
        tag = tag[_syncsafe(tag[:4]) if header[3] == 4 else 4 + int.from_bytes(tag[:4]) :]
    for name, frame in _frames(tag, header[3]):
        if name in (b"SYLT", b"SLT"):
            yield from _sylt_lines(frame)


def _frames(tag: bytes, version: int) -> Iterator[tuple[bytes, bytes]]:
    name_size, head_size = (3, 6) if version == 2 else (4, 10)
    at = 0
    while len(tag) > at + head_size and tag[at]:
        head = tag[at : at + head_size]
        name, size_bytes, flags = head[:name_size], head[name_size : 2 * name_size], head[2 * name_size :]
        at += head_size
        size = _syncsafe(size_bytes) if version == 4 else int.from_bytes(size_bytes)
        frame = tag[at : at + size]
        at += size
        if version == 4 and flags[1] & 0x02:
            frame = frame.replace(b"\xff\x00", b"\xff")
        if version == 4 and flags[1] & 0x01:
            frame = frame[4:]  # its length again
        yield name, frame


def _sylt_lines(frame: bytes) -> Iterator[Line]:
    if len(frame) < 6 or frame[0] > 3 or frame[4] != 2 or frame[5] > 2:
        return  # times must be milliseconds, and the content words, not chords or events
    encoding = ("latin-1", "utf-16", "utf-16-be", "utf-8")[frame[0]]
    end = b"\0\0" if encoding.startswith("utf-16") else b"\0"
    _, at = _until(frame, 6, end)
    lines = []
    while at < len(frame):
        text, at = _until(frame, at, end)
        if len(stamp := frame[at : at + 4]) == 4:
            lines.append(Line(int.from_bytes(stamp) / 1000, text.decode(encoding, "replace")))
        at += 4
    yield from _joined(lines)


def _joined(syllables: list[Line]) -> Iterator[Line]:
    """Words of their syllables, if these are apart by spaces and line breaks of their own; else each is a line."""
    spaced = any(line.text != line.text.strip() for line in syllables)
    word = Line(0.0, "")
    for line in syllables:
        if word.text and (not spaced or line.text[:1].isspace() or word.text[-1].isspace()):
            yield word
            word = Line(0.0, "")
        word = Line(word.start if word.text else line.start, word.text + line.text)
    if word.text:
        yield word


def _until(data: bytes, start: int, end: bytes) -> tuple[bytes, int]:
    """The bytes before the terminator (aligned to its width), and where those after it begin."""
    at = data.find(end, start)
    while at >= 0 and (at - start) % len(end):
        at = data.find(end, at + 1)
    return (data[start:], len(data)) if at < 0 else (data[start:at], at + len(end))


def _syncsafe(data: bytes) -> int:
    value = 0
    for byte in data:
        value = value << 7 | byte & 0x7F
    return value

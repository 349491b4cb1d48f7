"""What a medium in a question is: read from its bytes, by the model's names of formats. Nothing is decoded here."""

from typing import NamedTuple

from lambdas.shared.errors import PermanentError
from lambdas.shared.kinds import kind_of

PICTURES = ("png", "jpeg", "gif", "webp")
TAKEN = {
    "image": "PNG, JPEG, GIF or WebP, at most 50 MB",
    "audio": "MP3, WAV or Ogg, at most 30 seconds and 100 MB",
    "video": "MP4, MOV, MKV, WebM, FLV, MPEG, WMV or 3GP, at most 30 seconds and 100 MB",
}
NAMES = {"image": "a picture", "audio": "a sound", "video": "a film"}


class Format(NamedTuple):
    """`kind` is image, audio or video; `name` the model's name of the format, None of one that it does not take."""

    kind: str
    name: str | None


def format_of(head: bytes) -> Format | None:
    """Of content that begins with `head`; None where it is no medium."""
    try:
        kind = kind_of("", head)
    except PermanentError:
        return None
    if kind.family == "image":
        return Format("image", kind.name if kind.name in PICTURES else None)
    return _medium(head) if kind.family == "media" else None


def _medium(head: bytes) -> Format:
    if head.startswith(b"RI") and head[8:12] == b"WAVE":
        return Format("audio", "wav")
    if head.startswith(b"OggS"):
        return Format("video", None) if b"\x80theora" in head[:200] else Format("audio", "ogg")
    if head[4:8] in (b"ftyp", b"moov", b"mdat"):
        return _iso(head)
    if head.startswith(b"\x1aE\xdf\xa3"):
        return Format("video", "webm" if b"webm" in head[:64] else "mkv")
    for signature, name in ((b"FLV\x01", "flv"), (b"\x30\x26\xb2\x75", "wmv"), (b"\0\0\1", "mpeg")):
        if head.startswith(signature):
            return Format("video", name)
    if head.startswith(b"RIFF"):  # AVI
        return Format("video", None)
    is_mp3 = head.startswith(b"ID3") or (head[0] == 0xFF and head[1] & 0x06 != 0)  # layer 0 is AAC
    return Format("audio", "mp3" if is_mp3 else None)


def _iso(head: bytes) -> Format:
    """By the brand of the file (ISO/IEC 14496-12); an old QuickTime film has none."""
    brand = head[8:12] if head[4:8] == b"ftyp" else b"qt  "
    if brand in (b"M4A ", b"M4B "):
        return Format("audio", None)
    if brand == b"qt  ":
        return Format("video", "mov")
    return Format("video", "3gp" if brand.startswith((b"3gp", b"3g2")) else "mp4")

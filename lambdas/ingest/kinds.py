"""What a file is: told by the signature in its content, whatever its name says; by the name where there is none."""

import mimetypes
from dataclasses import dataclass
from typing import Literal

from lambdas.shared.errors import BadInputError, UnsupportedError

HEAD_BYTES = 4096

Modality = Literal["text", "image", "audio"]


@dataclass(frozen=True)
class Kind:
    """`media_format` is the model's name for it (`mp3`, `jpeg`), empty for text."""

    modality: Modality
    media_format: str = ""


PLAIN_TEXT = Kind("text")

# Content that is recognized, but not taken (yet): the name a person knows it by.
_OTHERS: tuple[tuple[bytes, int, str], ...] = (
    (b"%PDF-", 0, "a PDF document"),
    (b"fLaC\0\0\0", 0, "FLAC audio"),
    (b"ftyp", 4, "an MP4 or QuickTime container"),
    (b"\x1aE\xdf\xa3", 0, "a Matroska or WebM film"),
    (b"FLV\x01", 0, "a Flash film"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", 0, "a Windows Media file"),
    (b"\x00\x00\x01\xba", 0, "an MPEG film"),
    (b"\x00\x00\x01\xb3", 0, "an MPEG film"),
    (b"II*\x00", 0, "a TIFF picture"),
    (b"MM\x00*", 0, "a TIFF picture"),
    (b"\0\0\0\0", 6, "a BMP picture"),
    (b"PK\x03\x04", 0, "a ZIP archive or an Office document"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0, "an old Office document"),
    (b"\x1f\x8b", 0, "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", 0, "a 7-Zip archive"),
    (b"BZh", 0, "a bzip2 archive"),
    (b"\xfd7zXZ\x00", 0, "an xz archive"),
    (b"Rar!\x1a\x07", 0, "a RAR archive"),
    (b"\x7fELF", 0, "a program"),
    (b"MZ\x90\x00", 0, "a Windows program"),
    (b"SQLite format 3\x00", 0, "an SQLite database"),
    (b"AIFF", 8, "an AIFF sound"),
    (b"AIFC", 8, "an AIFF sound"),
    (b"#!AMR", 0, "an AMR sound"),
)
_STARTS = {"a BMP picture": b"BM", "an AIFF sound": b"FORM"}  # where the telling bytes stand further on
_MEDIA_NAMES = {
    "jpg": "a JPEG picture",
    "jpeg": "a JPEG picture",
    "png": "a PNG picture",
    "gif": "a GIF picture",
    "webp": "a WebP picture",
    "tif": "a TIFF picture",
    "tiff": "a TIFF picture",
    "bmp": "a BMP picture",
    "heic": "a HEIC picture",
    "mp3": "an MP3 sound",
    "wav": "a WAV sound",
    "ogg": "an Ogg sound",
    "oga": "an Ogg sound",
    "opus": "an Opus sound",
    "flac": "a FLAC sound",
    "m4a": "an M4A sound",
    "aac": "an AAC sound",
    "pdf": "a PDF document",
    "docx": "a Word document",
    "pptx": "a PowerPoint document",
    "xlsx": "an Excel document",
    **dict.fromkeys(["mp4", "mov", "mkv", "webm", "flv", "mpeg", "mpg", "wmv", "3gp", "avi", "m4v"], "a film"),
}
_TYPES = mimetypes.MimeTypes()  # without what this machine has installed
_TEXT_NAMES = {
    *("txt", "text", "md", "markdown", "rst", "csv", "tsv", "json", "jsonl", "ndjson", "xml", "yaml", "yml", "toml"),
    *("ini", "cfg", "conf", "log", "srt", "vtt", "lrc", "tex", "sql", "sh", "py", "js", "ts", "html", "htm", "css"),
}


def kind_of(key: str, head: bytes) -> Kind:
    """The kind of a file with this key whose content starts with `head` (at least its first 4 KB, or all of it).

    UnsupportedError where it is something else; BadInputError where the name promises media and the content is none.
    """
    kind = _by_signature(head)
    if kind:
        return kind
    for signature, offset, name in _OTHERS:
        if head.startswith(signature, offset) and head.startswith(_STARTS.get(name, b"")):
            raise UnsupportedError(f"this is {name}, which is not supported")
    return _by_name(key)


def _by_signature(head: bytes) -> Kind | None:
    if head.startswith(b"\xff\xd8\xff"):
        return Kind("image", "jpeg")
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return Kind("image", "png")
    if head.startswith((b"GIF87a", b"GIF89a")):
        return Kind("image", "gif")
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return Kind("image", "webp")
    if head.startswith((b"RIFF", b"RIFX", b"RF64")) and head[8:12] == b"WAVE":
        return Kind("audio", "wav")
    if head.startswith(b"OggS"):
        if b"\x80theora" in head[:512]:
            raise UnsupportedError("this is an Ogg film, which is not supported")
        return Kind("audio", "ogg")
    if (head.startswith(b"ID3") and head[3:4] in (b"\2", b"\3", b"\4")) or _is_mpeg_audio(head):
        return Kind("audio", "mp3")
    return None


def _is_mpeg_audio(head: bytes) -> bool:
    """An MPEG frame header: eleven set bits, layer II or III, no reserved version, bit rate or sample rate.

    Layer I is left out: nobody has such files, and the mark of UTF-16 text looks like one.
    """
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    return version != 1 and layer in (1, 2) and head[2] >> 4 not in (0, 15) and head[2] >> 2 & 3 != 3


def _by_name(key: str) -> Kind:
    name = key.rpartition("/")[2]
    extension = name.rpartition(".")[2].lower() if "." in name else ""
    if extension in _MEDIA_NAMES:
        raise BadInputError(f"named .{extension}, but not {_MEDIA_NAMES[extension]}: the content has no such signature")
    guess = _TYPES.guess_type(f"x.{extension}")[0] or ""
    if extension == "" or extension in _TEXT_NAMES or guess.startswith("text/"):
        return PLAIN_TEXT
    raise UnsupportedError(f"neither the content nor the ending .{extension} tells what this is")

"""What a file is: told by the signature in its content, whatever its name says; by the name where there is none."""

import codecs
import mimetypes
import re
from dataclasses import dataclass
from typing import Literal

from lambdas.shared.errors import BadInputError, UnsupportedError

HEAD_BYTES = 4096

Family = Literal["text", "image", "media", "pdf", "document", "markup"]


@dataclass(frozen=True)
class Kind:
    """What is done with a file follows from its `family`; `name` says which of the family (`jpeg`, `docx`, `html`).

    Whether `media` is a sound or a film, and of which format, is seen when it is opened: `name` is empty then.
    """

    family: Family
    name: str = ""

    @property
    def modality(self) -> Literal["text", "image", "document", "media"]:
        """What the file counts as; `media` are sounds and films."""
        match self.family:
            case "markup":
                return "text"
            case "pdf":
                return "document"
            case family:
                return family


PLAIN_TEXT = Kind("text")
MEDIA = Kind("media")

# (signature, where it stands, what the file begins with besides)
_MEDIA: tuple[tuple[bytes, int, bytes], ...] = (
    (b"OggS", 0, b""),
    (b"WAVE", 8, b"RI"),
    (b"WAVE", 8, b"RF64"),
    (b"AVI ", 8, b"RIFF"),
    (b"AIFF", 8, b"FORM"),
    (b"AIFC", 8, b"FORM"),
    (b"fLaC", 0, b""),
    (b"#!AMR", 0, b""),
    (b"caff", 0, b""),
    (b".snd", 0, b""),
    (b"wvpk", 0, b""),
    (b"MAC ", 0, b""),
    (b"TTA1", 0, b""),
    (b"DSD ", 0, b""),
    (b"FRM8", 0, b""),
    (b"MPCK", 0, b""),
    (b"MP+", 0, b""),
    (b"ftyp", 4, b""),
    (b"moov", 4, b""),
    (b"mdat", 4, b""),
    (b"\x1aE\xdf\xa3", 0, b""),
    (b"FLV\x01", 0, b""),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", 0, b""),
    (b"\x00\x00\x01\xba", 0, b""),
    (b"\x00\x00\x01\xb3", 0, b""),
)
_IMAGES: tuple[tuple[bytes, int, bytes, str], ...] = (
    (b"\xff\xd8\xff", 0, b"", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", 0, b"", "png"),
    (b"GIF87a", 0, b"", "gif"),
    (b"GIF89a", 0, b"", "gif"),
    (b"WEBP", 8, b"RIFF", "webp"),
    (b"II*\x00", 0, b"", "tiff"),
    (b"MM\x00*", 0, b"", "tiff"),
    (b"II+\x00", 0, b"", "tiff"),
    (b"MM\x00+", 0, b"", "tiff"),
    (b"\0\0\0\0", 6, b"BM", "bmp"),
    *((b"ftyp" + brand, 4, b"", "heic") for brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")),
    *((b"ftyp" + brand, 4, b"", "avif") for brand in (b"avif", b"avis")),
)
# Content that is recognized, but not taken: the name a person knows it by.
_OTHERS: tuple[tuple[bytes, int, str], ...] = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0, "an Office document of before 2007"),
    (b"{\\rtf", 0, "an RTF document"),
    (b"MThd", 0, "a MIDI file, which holds notes but no sound"),
    (b"tBaK", 0, "a TAK sound"),
    (b"OFR ", 0, "an OptimFROG sound"),
    (b"\x0bw", 0, "an AC-3 sound"),
    (b"8BPS", 0, "a Photoshop picture"),
    (b"jP  \r\n\x87\n", 4, "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", 0, "a JPEG 2000 picture"),
    (b"%!PS", 0, "a PostScript document"),
    (b"\x1f\x8b", 0, "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", 0, "a 7-Zip archive"),
    (b"BZh", 0, "a bzip2 archive"),
    (b"\xfd7zXZ\x00", 0, "an xz archive"),
    (b"Rar!\x1a\x07", 0, "a RAR archive"),
    (b"\x7fELF", 0, "a program"),
    (b"MZ\x90\x00", 0, "a Windows program"),
    (b"SQLite format 3\x00", 0, "an SQLite database"),
)
_OTHER_NAMES = {
    "svg": "an SVG drawing",
    "ico": "an icon",
    **dict.fromkeys(["jp2", "j2k", "jpx", "jpf"], "a JPEG 2000 picture"),
    "tga": "a Targa picture",
    **dict.fromkeys(["ac3", "eac3"], "an AC-3 sound"),
    "mpc": "a Musepack sound of an early version",
}
_OTHER_TYPES = {"image": "a picture", "audio": "a sound", "video": "a film", "font": "a font"}
_OTHER_ZIPS = {
    **dict.fromkeys(["odt", "ods", "odp", "odg", "ott", "ots", "otp"], "an OpenDocument file"),
    "epub": "an EPUB book",
}
_OFFICE = {"docx": "docx", "docm": "docx", "pptx": "pptx", "pptm": "pptx", "xlsx": "xlsx", "xlsm": "xlsx"}
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
    "avif": "an AVIF picture",
    "mp3": "an MP3 sound",
    "wav": "a WAV sound",
    "ogg": "an Ogg sound",
    "oga": "an Ogg sound",
    "opus": "an Opus sound",
    "flac": "a FLAC sound",
    "m4a": "an M4A sound",
    "aac": "an AAC sound",
    "wma": "a Windows Media sound",
    "pdf": "a PDF document",
    **{name: f"an Office document ({kind})" for name, kind in _OFFICE.items()},
    **dict.fromkeys(["mp4", "mov", "mkv", "webm", "flv", "mpeg", "mpg", "wmv", "3gp", "avi", "m4v"], "a film"),
}
_TYPES = mimetypes.MimeTypes()  # without what this machine has installed
_CONTROLS = re.compile(r"[^\t\n\f\r -~\xa0-\U0010ffff]")
_MARKUP = {"html": "html", "htm": "html", "xhtml": "html"}
_MAIL = "eml"
_TEXT_NAMES = {
    *("txt", "text", "md", "markdown", "rst", "csv", "tsv", "json", "jsonl", "ndjson", "xml", "yaml", "yml", "toml"),
    *("ini", "cfg", "conf", "log", "srt", "vtt", "lrc", "tex", "sql", "sh", "py", "js", "ts", "css"),
}


def kind_of(key: str, head: bytes) -> Kind:
    """The kind of a file with this key whose content starts with `head` (at least its first 4 KB, or all of it).

    UnsupportedError where it is something else; BadInputError where the name promises media and the content is none.
    """
    extension = _extension(key)
    kind = _by_signature(head)
    if kind:
        return kind
    if extension in ("", "pdf") and b"%PDF-" in head[:1024]:  # readers pass over what is before (ISO 32000-1, annex H)
        return Kind("pdf")
    if head.startswith(b"PK\x03\x04"):
        return _zipped(extension, head)
    for signature, offset, name in _OTHERS:
        if head.startswith(signature, offset):
            raise _unsupported(name)
    if _is_transport_stream(head):
        raise _unsupported("an MPEG transport stream")
    return _by_name(extension, head)


def _unsupported(name: str) -> UnsupportedError:
    return UnsupportedError(f"this is {name}, which is not supported")


def _by_signature(head: bytes) -> Kind | None:
    for signature, offset, start, name in _IMAGES:
        if head.startswith(signature, offset) and head.startswith(start):
            return Kind("image", name)
    if any(head.startswith(signature, offset) and head.startswith(start) for signature, offset, start in _MEDIA):
        return MEDIA
    if (head.startswith(b"ID3") and head[3:4] in (b"\2", b"\3", b"\4")) or _is_mpeg_audio(head):
        return MEDIA
    return Kind("pdf") if head.startswith(b"%PDF-") else None


def _is_mpeg_audio(head: bytes) -> bool:
    """An MPEG frame header: eleven set bits, layer II or III, no reserved version, bit rate or sample rate; or ADTS.

    Layer I is left out: nobody has such files, and the mark of UTF-16 text looks like one.
    """
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    if head[1] & 0xF6 == 0xF0:  # ADTS: layer 0
        return head[2] >> 2 & 15 < 13
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    return version != 1 and layer in (1, 2) and head[2] >> 4 not in (0, 15) and head[2] >> 2 & 3 != 3


def _is_transport_stream(head: bytes) -> bool:
    """A `G` at the start of each packet; 188 bytes, or 192 with a time before them. Genes are ASCII."""
    starts = [head[offset::step] for offset, step in ((0, 188), (4, 192))]
    return not head.isascii() and any(len(start) > 2 and not start.strip(b"G") for start in starts)


def _zipped(extension: str, head: bytes) -> Kind:
    """Which Office document a ZIP is shows its name; one without such a name must look like one."""
    mime = head[30:].removeprefix(b"mimetypeapplication/")
    if mime.startswith(b"vnd.oasis.opendocument"):
        raise _unsupported(_OTHER_ZIPS["odt"])
    if extension in _OTHER_ZIPS or mime.startswith(b"epub"):
        raise _unsupported(_OTHER_ZIPS.get(extension, _OTHER_ZIPS["epub"]))
    if extension in _OFFICE:
        return Kind("document", _OFFICE[extension])
    if b"[Content_Types].xml" in head:
        return Kind("document", "office")
    raise _unsupported("a ZIP archive")


def _extension(key: str) -> str:
    name = key.rpartition("/")[2]
    return name.rpartition(".")[2].lower() if "." in name else ""


def _by_name(extension: str, head: bytes) -> Kind:
    if extension in _MEDIA_NAMES:
        raise BadInputError(f"named .{extension}, but not {_MEDIA_NAMES[extension]}: the content has no such signature")
    if extension in _MARKUP:
        return Kind("markup", _MARKUP[extension])
    if extension == _MAIL:
        return Kind("document", "mail")
    guess = _TYPES.guess_type(f"x.{extension}")[0] or ""
    if extension == "" or extension in _TEXT_NAMES or guess.startswith("text/"):
        return PLAIN_TEXT
    other = _OTHER_NAMES.get(extension) or _OTHER_TYPES.get(guess.partition("/")[0])
    if other:
        raise _unsupported(f"{other} (.{extension})")
    if _is_plain(head):
        return PLAIN_TEXT
    raise UnsupportedError(f"neither the content nor the ending .{extension} tells what this is")


def _is_plain(head: bytes) -> bool:
    """UTF-8, which may end within a character, without control characters."""
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return False
    return not _CONTROLS.search(text)

"""Files of every kind, each a little different from the others: the samples, cut and changed by a random number."""

import io
import json
import random
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from functools import cache
from pathlib import Path
from typing import Literal

import docx
import openpyxl
from PIL import Image

MEDIA = Path(__file__).parent.parent / "samples" / "media"
SIGNS = "plain", "with space", "a+b", "100%25 sure", "Grüße", "夜の海", "naïve café", "#1", "q?&=", "it's (2)"
STEADY = (2026, 1, 1, 0, 0, 0)
NOISE = bytes(range(128, 256))

End = Literal["indexed", "failed", "unsupported"]
Make = Callable[[random.Random], bytes]


@dataclass(frozen=True)
class File:
    """What is put under a key, and how it ends where nothing goes wrong. `kind` is the family that it was made as."""

    kind: str
    extension: str
    content: bytes
    end: End


@dataclass(frozen=True)
class Kind:
    """`weight` says how often it is drawn; what takes long is drawn seldom."""

    name: str
    extension: str
    weight: int
    end: End
    make: Make


def any_file(chance: random.Random) -> File:
    """Of a kind that is drawn by weight."""
    return file_of(chance.choices(KINDS, [kind.weight for kind in KINDS])[0], chance)


def file_of(kind: Kind, chance: random.Random) -> File:
    return File(kind.name, kind.extension, kind.make(chance), kind.end)


def name_of(number: int, file: File, chance: random.Random) -> str:
    """A key that no other file has, with a sign that URLs and queries stumble over."""
    return f"{file.kind}/{number:04d} {chance.choice(SIGNS)}{file.extension}"


# -- texts ----------------------------------------------------------------------------------------------------------


@cache
def _sentences() -> list[str]:
    names = ("tomatoes.txt", "pan-de-masa-madre.txt", "wanderung.md", "lighthouse-log.txt")
    text = " ".join((MEDIA / name).read_text() for name in names)
    return [sentence.strip() for sentence in re.split(r"(?<=[.!?])\s+", text) if sentence.strip()]


def _words(chance: random.Random, sentences: int) -> str:
    return " ".join(chance.choice(_sentences()) for _ in range(sentences)) + f" No. {chance.getrandbits(48):x}."


def _short(chance: random.Random) -> bytes:
    return _words(chance, chance.randint(1, 4)).encode()


def _long(chance: random.Random) -> bytes:
    return "\n\n".join(_words(chance, 6) for _ in range(chance.randint(4, 9))).encode()


def _html(chance: random.Random) -> bytes:
    body = "".join(f"<p>{_words(chance, 2)}</p>" for _ in range(3))
    return f"<!doctype html><html><head><title>Page</title></head><body>{body}</body></html>".encode()


def _csv(chance: random.Random) -> bytes:
    return "\n".join(["what,how many", *(f"{name},{chance.randint(1, 99)}" for name in ("bees", "hives"))]).encode()


def _mail(chance: random.Random) -> bytes:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "ann@example.com", "bob@example.com", "The garden"
    mail.set_content(_words(chance, 3))
    return mail.as_bytes()


def _json(chance: random.Random) -> bytes:
    return json.dumps({"note": _words(chance, 1), "year": chance.randint(1990, 2026)}).encode()


# -- documents ------------------------------------------------------------------------------------------------------


def _word(chance: random.Random) -> bytes:
    document = docx.Document()
    document.add_heading(_words(chance, 1))
    document.add_paragraph(_words(chance, 4))
    return _steady(document)


def _sheet(chance: random.Random) -> bytes:
    book = openpyxl.Workbook()
    book.active.append(["what", "how many"])
    book.active.append([_words(chance, 1), chance.randint(1, 999)])
    return _steady(book)


def _steady(document: object) -> bytes:
    """A saved Office document without the time of day."""
    out, steady = io.BytesIO(), io.BytesIO()
    document.save(out)  # type: ignore[attr-defined]  # both have it
    with zipfile.ZipFile(out) as before, zipfile.ZipFile(steady, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            content = before.read(name)
            if name == "docProps/core.xml":
                content = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", b"2026-01-01T00:00:00Z", content)
            after.writestr(zipfile.ZipInfo(name, STEADY), content)
    return steady.getvalue()


def _slides(chance: random.Random) -> bytes:
    """A ZIP may end in a comment."""
    out = io.BytesIO((MEDIA / "bicycle-workshop.pptx").read_bytes())
    with zipfile.ZipFile(out, "a") as deck:
        deck.comment = _mark(chance)
    return out.getvalue()


def _pdf(chance: random.Random) -> bytes:
    content = (MEDIA / chance.choice(["lease.pdf", "lease.pdf", "harvest-scan.pdf"])).read_bytes()
    return content + b"\n% " + _mark(chance) + b"\n"


# -- pictures, sounds, films ----------------------------------------------------------------------------------------


def _picture(name: str) -> Make:
    def make(chance: random.Random) -> bytes:
        source = chance.choice(["sunset.jpg", "forest.png", "night.webp", "chessboard.png"])
        picture = Image.open(MEDIA / source).convert("RGB")
        left, top = chance.randint(0, picture.width // 3), chance.randint(0, picture.height // 3)
        cut = picture.crop((left, top, left + picture.width // 2, top + picture.height // 2))
        cut.putpixel((0, 0), (chance.randrange(256), chance.randrange(256), chance.randrange(256)))
        out = io.BytesIO()
        cut.save(out, name)
        return out.getvalue()

    return make


def _mp3(chance: random.Random) -> bytes:
    """With a word of one's own in a tag before the sound (id3.org, ID3v2.3 §4.2.2)."""
    text = b"\0mark\0" + _mark(chance)
    frame = b"TXXX" + len(text).to_bytes(4, "big") + b"\0\0" + text
    return b"ID3\3\0\0\0\0\0" + bytes([len(frame)]) + frame + (MEDIA / "alarm.mp3").read_bytes()


def _cut_mp3(chance: random.Random) -> bytes:
    """Whoever stops a download has half of the last frame, which is told."""
    return _mp3(chance)[: chance.randint(16_000, 60_000)]


def _wav(chance: random.Random) -> bytes:
    """Some seconds of the empty room, its length told by its header."""
    whole = (MEDIA / "empty-room.wav").read_bytes()
    samples = whole[44 : 44 + 2 * chance.randint(8_000, 40_000)]
    return (
        b"RIFF" + (36 + len(samples)).to_bytes(4, "little") + whole[8:40] + len(samples).to_bytes(4, "little") + samples
    )


def _ogg(chance: random.Random) -> bytes:
    """What follows the last page is passed over."""
    return (MEDIA / chance.choice(["rain.ogg", "guitar.ogg"])).read_bytes()


def _film(chance: random.Random) -> bytes:
    """An MP4 may have boxes that say nothing (ISO/IEC 14496-12, `free`)."""
    mark = _mark(chance)
    return (MEDIA / "three-scenes.mp4").read_bytes() + (8 + len(mark)).to_bytes(4, "big") + b"free" + mark


# -- what is no good ------------------------------------------------------------------------------------------------


def _broken(start: bytes) -> Make:
    return lambda chance: start + bytes(chance.choices(NOISE, k=chance.randint(200, 900)))


def _broken_word(chance: random.Random) -> bytes:
    return _word(chance)[: chance.randint(500, 3000)]


def _noise(chance: random.Random) -> bytes:
    return b"\0\1\2\3" + bytes(chance.choices(NOISE, k=300))


def _zip(chance: random.Random) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo("inside.txt", STEADY), _short(chance))
    return out.getvalue()


def _drawing(chance: random.Random) -> bytes:
    return f'<svg xmlns="http://www.w3.org/2000/svg"><title>{_words(chance, 1)}</title></svg>'.encode()


def _mark(chance: random.Random) -> bytes:
    return f"{chance.getrandbits(64):016x}".encode()


KINDS = (
    Kind("short", ".txt", 22, "indexed", _short),
    Kind("short", ".md", 6, "indexed", _short),
    Kind("long", ".txt", 8, "indexed", _long),
    Kind("page", ".html", 5, "indexed", _html),
    Kind("table", ".csv", 4, "indexed", _csv),
    Kind("data", ".json", 3, "indexed", _json),
    Kind("mail", ".eml", 4, "indexed", _mail),
    Kind("office", ".docx", 3, "indexed", _word),
    Kind("office", ".xlsx", 3, "indexed", _sheet),
    Kind("office", ".pptx", 2, "indexed", _slides),
    Kind("pdf", ".pdf", 4, "indexed", _pdf),
    Kind("picture", ".jpg", 6, "indexed", _picture("JPEG")),
    Kind("picture", ".png", 5, "indexed", _picture("PNG")),
    Kind("picture", ".webp", 3, "indexed", _picture("WEBP")),
    Kind("picture", ".gif", 2, "indexed", _picture("GIF")),
    Kind("picture", ".tiff", 2, "indexed", _picture("TIFF")),
    Kind("picture", ".bmp", 2, "indexed", _picture("BMP")),
    Kind("sound", ".mp3", 5, "indexed", _mp3),
    Kind("sound", ".wav", 4, "indexed", _wav),
    Kind("sound", ".ogg", 1, "indexed", _ogg),
    Kind("film", ".mp4", 1, "indexed", _film),
    Kind("mislabelled", ".mp4", 2, "indexed", _picture("JPEG")),
    Kind("mislabelled", ".txt", 2, "indexed", _picture("PNG")),
    Kind("mislabelled", ".mp3", 2, "failed", _short),
    Kind("mislabelled", ".pdf", 1, "failed", _short),
    Kind("broken", ".png", 2, "failed", _broken(b"\x89PNG\r\n\x1a\n")),
    Kind("broken", ".pdf", 2, "failed", _broken(b"%PDF-1.7\n")),
    Kind("broken", ".mp4", 2, "failed", _broken(b"\0\0\0\x18ftypisom")),
    Kind("broken", ".mp3", 1, "failed", _cut_mp3),
    Kind("broken", ".docx", 1, "failed", _broken_word),
    Kind("empty", ".txt", 2, "failed", lambda chance: b""),
    Kind("empty", ".mp3", 1, "failed", lambda chance: b""),
    Kind("unsupported", ".zip", 2, "unsupported", _zip),
    Kind("unsupported", ".svg", 2, "unsupported", _drawing),
    Kind("unsupported", ".bin", 2, "unsupported", _noise),
)

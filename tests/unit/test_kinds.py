"""What a file is: its signature before its name."""

import pytest

from lambdas.shared.decoding import decode
from lambdas.shared.errors import BadInputError, PermanentError, UnsupportedError
from lambdas.shared.kinds import HEAD_BYTES, MEDIA, PLAIN_TEXT, Kind, kind_of
from tests.unit import films
from tests.unit.media import encode, picture, tone


@pytest.mark.parametrize("name", ["jpeg", "png", "gif", "webp", "tiff", "bmp", "avif"])
@pytest.mark.parametrize("key", ["a.png", "a.jpg", "a.txt", "a", "film.mp4"])
def test_a_picture_is_what_its_signature_says_whatever_it_is_called(name: str, key: str) -> None:
    assert kind_of(key, picture(name)) == Kind("image", name)


@pytest.mark.parametrize("name", ["wav", "mp3", "ogg"])
def test_a_sound_is_what_its_signature_says(name: str) -> None:
    assert kind_of("x.bin", encode(tone(0.5, 48_000), 48_000, name)) == MEDIA


@pytest.mark.parametrize("name", films.CODECS)
def test_a_film_is_what_its_signature_says(name: str) -> None:
    assert kind_of("x.txt", films.film([films.Scene("red", "hum", 0.5)], name)) == MEDIA


@pytest.mark.parametrize(
    ("key", "content", "kind"),
    [
        ("a.txt", b"%PDF-1.7", Kind("pdf")),
        ("a", b"junk before it\n%PDF-1.4", Kind("pdf")),
        ("a.DOCX", b"PK\x03\x04", Kind("document", "docx")),
        ("a.bin", b"PK\x03\x04....[Content_Types].xml", Kind("document", "office")),
        ("a.html", b"<p>hello", Kind("markup", "html")),
        ("a.eml", b"From: a@b.c", Kind("document", "mail")),
        ("a.md", b"# hello", PLAIN_TEXT),
        ("a.md", b"a file begins with %PDF-1.7", PLAIN_TEXT),
        ("a.pdf", b"junk before it\n%PDF-1.4", Kind("pdf")),
        ("a.heic", b"\0\0\0\x18ftypheic", Kind("image", "heic")),
        ("a.bin", b"\xff\xf1\x50\x80", MEDIA),
    ],
)
def test_documents_are_told_by_signature_or_name(key: str, content: bytes, kind: Kind) -> None:
    assert kind_of(key, content) == kind


@pytest.mark.parametrize("key", ["notes.txt", "README", "a/b.c/notes", "x.md", "data.csv", "main.py", "notes.TXT"])
def test_content_without_a_signature_is_text_when_the_name_says_so(key: str) -> None:
    assert kind_of(key, b"hello") == PLAIN_TEXT


@pytest.mark.parametrize("key", ["a.mp3", "a.jpg", "a.mp4", "a.PDF", "b.docx"])
def test_a_media_name_without_a_signature_has_failed(key: str) -> None:
    with pytest.raises(BadInputError, match="no such signature"):
        kind_of(key, b"this is no media")


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04", b"MThd", b"{\\rtf1", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"\x7fELF"]
)
def test_known_content_that_is_not_taken_is_named(content: bytes) -> None:
    with pytest.raises(UnsupportedError, match="not supported"):
        kind_of("a.txt", content + bytes(100))


@pytest.mark.parametrize("content", [b"a\0b", b"\x01\x02", b"Gr\xfc\xdfe", b"ab\x1b[0m", bytes(range(256)) * 16])
def test_an_unknown_ending_without_a_signature_is_unsupported(content: bytes) -> None:
    with pytest.raises(UnsupportedError, match=r"\.xyz"):
        kind_of("a.xyz", content)


@pytest.mark.parametrize(
    "key",
    ["p.go", "a.rs", "b.adoc", "c.org", "d.ics", "e.properties", "f.old", "g.1", "h.mbox", ".gitignore", "j.ts"],
)
@pytest.mark.parametrize("content", [b"hello\tthere\r\n\f", "Grüße".encode() * 1000, b"\xef\xbb\xbfhello"])
def test_what_reads_as_text_is_text_whatever_it_is_called(key: str, content: bytes) -> None:
    assert kind_of(key, content[:HEAD_BYTES]) == PLAIN_TEXT
    assert kind_of(key, content[: HEAD_BYTES - 1]) == PLAIN_TEXT


PACKETS = (b"\x47\x40\x11\x10" + b"\xff" * 184) * 30
ZIP = b"PK\x03\x04" + bytes(26) + b"mimetype"


@pytest.mark.parametrize(
    ("key", "content", "name"),
    [
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        ("a.ico", b"\0\0\1\0\1\0", "an icon"),
        ("a.jp2", b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 picture"),
        ("a.tga", b"\0\0\2\0", "a Targa picture"),
        ("a.ac3", b"\x0bw\0\0", "an AC-3 sound"),
        ("a.xbm", b"#define a_width 8", "a picture"),
        ("a.ps", b"%!PS-Adobe-3.0", "a PostScript document"),
        ("a.odt", ZIP + b"application/vnd.oasis.opendocument.text", "an OpenDocument file"),
        ("a.ods", b"PK\x03\x04", "an OpenDocument file"),
        ("a.epub", ZIP + b"application/epub+zip", "an EPUB book"),
        ("a", ZIP + b"application/epub+zip", "an EPUB book"),
        ("a.ts", PACKETS, "an MPEG transport stream"),
        ("a.m2ts", b"".join(b"\0\0\0\0" + PACKETS[:188] for _ in range(30)), "an MPEG transport stream"),
        ("a.mpg", PACKETS, "an MPEG transport stream"),
    ],
)
def test_what_is_known_but_not_taken_is_named(key: str, content: bytes, name: str) -> None:
    with pytest.raises(UnsupportedError, match=f"this is {name}.*, which is not supported"):
        kind_of(key, content[:HEAD_BYTES])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig", "utf-32"])
def test_the_mark_of_a_unicode_text_is_no_sound(encoding: str) -> None:
    assert kind_of("a.txt", "Der Bär und du".encode(encoding)) == PLAIN_TEXT


TEXT = "Grüße aus Zürich, naïve café, ελληνικά, 日本語, हिन्दी, العربية\nzweite Zeile\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_text_comes_out_the_same_from_every_unicode_encoding(encoding: str) -> None:
    assert decode(TEXT.encode(encoding)) == TEXT


def test_old_encodings_are_recognized() -> None:
    text = "Der Bär läuft über die große Brücke, während es draußen regnet und die Vögel schweigen. " * 4
    assert decode(text.encode("cp1252")) == text


def test_line_ends_are_unified() -> None:
    assert decode(b"a\r\nb\rc\n") == "a\nb\nc\n"


@pytest.mark.parametrize("content", [b"", b"  \n\t ", bytes(range(256)) * 20, b"\xff\xfe\x00", b"\0\x01\x02\x03" * 50])
def test_what_is_no_text_says_so(content: bytes) -> None:
    with pytest.raises(PermanentError):
        decode(content)

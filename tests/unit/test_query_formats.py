"""What a medium in a question is, by its bytes."""

import pytest

from lambdas.search.formats import format_of
from tests.unit.media import encode, picture, tone


@pytest.mark.parametrize("name", ["png", "jpeg", "gif", "webp"])
def test_a_picture_is_told_by_its_bytes(name: str) -> None:
    assert format_of(picture(name)) == ("image", name)


@pytest.mark.parametrize("name", ["wav", "mp3", "ogg"])
def test_a_sound_is_told_by_its_bytes(name: str) -> None:
    assert format_of(encode(tone(1, 48_000), 48_000, name)) == ("audio", name)


@pytest.mark.parametrize(("container", "codec"), [("adts", "aac"), ("ipod", "aac")])
def test_a_sound_that_the_model_does_not_take_is_one_without_a_name(container: str, codec: str) -> None:
    assert format_of(encode(tone(1, 48_000), 48_000, container, codec)) == ("audio", None)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\0\0\0\x20ftypisom", "mp4"),
        (b"\0\0\0\x14ftypqt  ", "mov"),
        (b"\0\0\0\x18ftyp3gp4", "3gp"),
        (b"\0\0\0\x08moov", "mov"),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm", "webm"),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x88matroska", "mkv"),
        (b"FLV\x01", "flv"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "wmv"),
        (b"\0\0\1\xba", "mpeg"),
        (b"RIFF\0\0\0\0AVI ", None),
    ],
)
def test_a_film_is_told_by_its_bytes(head: bytes, name: str | None) -> None:
    assert format_of(head) == ("video", name)


@pytest.mark.parametrize("head", [b"", b"words", b"%PDF-1.7", b"PK\x03\x04", b"\x7fELF"])
def test_what_is_no_medium_is_none(head: bytes) -> None:
    assert format_of(head) is None

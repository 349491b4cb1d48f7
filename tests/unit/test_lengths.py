"""Lengths read from headers, against files that PyAV encoded."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdas.shared.errors import BadInputError
from lambdas.shared.lengths import audio_length
from tests.unit.media import encode, tone

FORMATS = ("wav", "mp3", "ogg")
SAMPLES = Path(__file__).parents[2] / "samples" / "media"


def reader(content: bytes) -> Callable[[int, int], bytes]:
    return lambda offset, count: content[offset : offset + count]


@pytest.mark.parametrize("name", FORMATS)
@given(seconds=st.floats(0.5, 45), rate=st.sampled_from([16_000, 24_000, 48_000]))
@settings(max_examples=8, deadline=None)
def test_the_length_is_what_was_encoded(name: str, seconds: float, rate: int) -> None:
    content = encode(tone(seconds, rate), rate, name)
    length = audio_length(name, len(content), reader(content))
    assert length.exact
    assert length.seconds == pytest.approx(seconds, abs=0.2)


@pytest.mark.parametrize("name", FORMATS)
@given(keep=st.floats(0.2, 0.95))
@settings(max_examples=10, deadline=None)
def test_a_file_that_was_cut_off_is_told(name: str, keep: float) -> None:
    content = encode(tone(5), 48_000, name)
    cut = content[: int(len(content) * keep)]
    with pytest.raises(BadInputError, match="cut off"):
        audio_length(name, len(cut), reader(cut))


@pytest.mark.parametrize(("name", "seconds"), [("rain.ogg", 14.0), ("guitar.ogg", 19.2)])
def test_vorbis_is_read_too(name: str, seconds: float) -> None:
    content = (SAMPLES / name).read_bytes()
    assert audio_length("ogg", len(content), reader(content)).seconds == pytest.approx(seconds, abs=0.2)
    with pytest.raises(BadInputError, match="cut off"):
        audio_length("ogg", len(content) // 2, reader(content[: len(content) // 2]))


def test_tags_before_the_sound_are_skipped() -> None:
    content = encode(tone(3), 44_100, "mp3")
    tag = b"ID3\x03\x00\x00" + bytes([0, 0, 16, 0]) + bytes(2048)
    length = audio_length("mp3", len(tag) + len(content), reader(tag + content))
    assert length.seconds == pytest.approx(3, abs=0.1)


def test_an_mp3_without_a_xing_header_is_counted_frame_by_frame() -> None:
    content = encode(tone(4), 44_100, "mp3")
    bare = content[content.index(b"Xing" if b"Xing" in content else b"Info") + 400 :]
    start = bare.index(b"\xff\xfb")
    assert audio_length("mp3", len(bare[start:]), reader(bare[start:])).seconds == pytest.approx(4, abs=0.2)


def test_a_recorder_that_never_wrote_the_length_counts_by_size() -> None:
    content = bytearray(encode(tone(2, 16_000), 16_000, "wav"))
    at = content.index(b"data")
    content[at + 4 : at + 8] = b"\xff\xff\xff\xff"
    assert audio_length("wav", len(content), reader(bytes(content))).seconds == pytest.approx(2, abs=0.01)


@pytest.mark.parametrize("name", ["wav", "mp3", "ogg"])
@given(content=st.binary(min_size=1, max_size=300))
def test_rubbish_is_refused_and_never_crashes(name: str, content: bytes) -> None:
    head = {"wav": b"RIFF\0\0\0\0WAVE", "mp3": b"ID3\x03\0\0\0\0\0\0", "ogg": b"OggS"}[name]
    try:
        audio_length(name, len(head + content), reader(head + content))
    except BadInputError as error:
        assert str(error)

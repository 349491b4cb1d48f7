"""The stand-in model and films: what is seen and heard in a segment is found there, and damage stays where it is."""

import io
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from local import standin
from local.standin import Film, FilmSegment, UnreadableError, embed_text, shorten
from tests.unit.films import CODECS, LOOKS, Scene, film, without
from tests.unit.media import encode, picture, tone

ROOT = Path(standin.__file__).parents[2]
WORDS = {
    "red": "a red picture",
    "green": "a green picture",
    "blue": "a blue picture",
    "yellow": "a yellow picture",
    "checks": "a checkerboard",
    "stripes": "vertical stripes",
    "hum": "a low-pitched hum",
    "alarm": "an alarm beeping",
    "rain": "rain, steady noise",
    "beats": "a fast beat, drums",
    "melody": "music, a melody",
    "voice": "somebody speaking",
    "silence": "silence",
}
SOUNDS = [name for name in WORDS if name not in LOOKS]
FOUR = [Scene("red", "hum", 4), Scene("blue", "alarm", 4), Scene("checks", "rain", 4), Scene("green", "melody", 4)]


def segments(content: bytes, folder: Path, seconds: float | None = 4) -> list[FilmSegment]:
    path = folder / "content"
    path.write_bytes(content)
    return list(Film(path).segments(seconds))


def nearest(sentence: str, vectors: list[NDArray[np.float32]], dimension: int = 1024) -> int:
    """Which of the vectors the sentence finds."""
    query = shorten(embed_text(sentence), dimension)
    return int(np.argmax([shorten(vector, dimension) @ query for vector in vectors]))


def pairs_in_films() -> list[list[Scene]]:
    """Each look with each sound, once, in films of up to four scenes in which no look and no sound comes twice."""
    names = list(LOOKS)
    scenes = [Scene(names[(at + shift) % 6], SOUNDS[at], 4) for shift in range(6) for at in range(len(SOUNDS))]
    films: list[list[Scene]] = []
    for scene in scenes:
        fits = (
            known
            for known in films
            if len(known) < 4 and all(one.look != scene.look and one.sound != scene.sound for one in known)
        )
        known = next(fits, None)
        if known is None:
            films.append([scene])
        else:
            known.append(scene)
    return films


@pytest.mark.slow
def test_a_sentence_finds_the_segment_in_which_that_is_seen_or_heard(tmp_path: Path) -> None:
    made: list[tuple[Scene, FilmSegment]] = []
    missed, asked = [], 0
    for number, scenes in enumerate(pairs_in_films()):
        content = film(scenes, list(CODECS)[number % len(CODECS)], fps=5)
        found = segments(content, tmp_path)
        assert len(found) == len(scenes)
        for at, scene in enumerate(scenes):
            for word, parts in (
                (scene.look, [one.video for one in found]),
                (scene.sound, [one.audio for one in found]),
                (scene.look, [one.combined for one in found]),
                (scene.sound, [one.combined for one in found]),
            ):
                asked += 1
                missed += [(word, scene)] * (nearest(WORDS[word], [one.vector for one in parts]) != at)
        made += zip(scenes, found, strict=True)
    vectors = [segment.combined.vector for _, segment in made]
    sentences = [f"a video of {WORDS[scene.look]} with the sound of {WORDS[scene.sound]}" for scene, _ in made]
    right = sum(nearest(sentence, vectors) == at for at, sentence in enumerate(sentences))
    print(f"{asked - len(missed)} of {asked} in their film; {right} of {len(made)} of both, among all films")
    assert not missed
    assert right >= 0.9 * len(made)


def test_segments_cover_the_film_and_a_whole_film_is_one(tmp_path: Path) -> None:
    content = film([Scene("red", "hum", 4), Scene("blue", "alarm", 3.5)], fps=10)
    found = segments(content, tmp_path, 3)
    assert [(one.video.start, round(one.video.end, 1)) for one in found] == [(0, 3), (3, 6), (6, 7.5)]
    assert all(one.audio and one.audio.start == one.video.start and one.audio.end == one.video.end for one in found)
    (whole,) = segments(content, tmp_path, None)
    assert (whole.video.start, round(whole.video.end, 1)) == (0, 7.5)


@pytest.mark.parametrize("key_every", [5, 1_000])
def test_what_is_between_key_frames_is_seen_too(tmp_path: Path, key_every: int) -> None:
    """With one key frame in all, for the other segments everything since then must be decoded."""
    scenes = [Scene(look, "hum", 2) for look in LOOKS]
    found = segments(film(scenes, "mpeg", key_every=key_every), tmp_path, 2)
    for at, scene in enumerate(scenes):
        assert nearest(WORDS[scene.look], [one.video.vector for one in found]) == at


def test_a_film_without_sound_is_what_is_seen(tmp_path: Path) -> None:
    for segment in segments(film(FOUR, with_sound=False), tmp_path):
        assert segment.audio is None
        assert segment.combined == segment.video


def test_the_sound_of_a_film_may_end_before_its_pictures(tmp_path: Path) -> None:
    short = [Scene("red", "hum", 4)]
    with_sound, silent = film(short, "mkv"), film([*short, Scene("blue", "hum", 4)], "mkv", with_sound=False)
    found = segments(_sound_of(with_sound, silent), tmp_path)
    heard = [one.audio.vector for one in found if one.audio]
    assert len(found) == len(heard) == 2
    assert nearest("a low-pitched hum", heard) == 0
    assert nearest("silence", heard) == 1


def _sound_of(with_sound: bytes, silent: bytes) -> bytes:
    """The pictures of one film with the sound of another."""
    target = io.BytesIO()
    with (
        av.open(io.BytesIO(with_sound)) as one,
        av.open(io.BytesIO(silent)) as other,
        av.open(target, "w", format="matroska") as output,
    ):
        streams = [
            (other, other.streams.video[0], output.add_stream_from_template(other.streams.video[0])),
            (one, one.streams.audio[0], output.add_stream_from_template(one.streams.audio[0])),
        ]
        for source, stream, written in streams:
            for packet in source.demux(stream):
                if packet.size:
                    packet.stream = written
                    output.mux(packet)
    return target.getvalue()


def states(found: list[FilmSegment]) -> str:
    """A letter for each segment: damaged in its pictures, its sound, both, or whole."""
    letters = {(True, True): ".", (False, True): "P", (True, False): "S", (False, False): "B"}
    return "".join(
        letters[one.video.vector is not None, bool(one.audio and one.audio.vector is not None)] for one in found
    )


def test_damage_stays_in_its_segments_and_in_its_medium(tmp_path: Path) -> None:
    content = film(FOUR, key_every=10)
    whole = segments(content, tmp_path)
    for kind, letter in (("audio", "S"), ("video", "P")):
        found = segments(without(content, kind, 4.5, 7.5), tmp_path)
        assert states(found) == f".{letter}.."
        broken = found[1].audio if kind == "audio" else found[1].video
        assert broken and broken.damage and found[1].combined == broken
        for at in (0, 2, 3):
            assert np.allclose(found[at].combined.vector, whole[at].combined.vector, atol=0.05)
    everything = segments(without(content, "audio", 0, 99), tmp_path)
    assert states(everything) == "SSSS"


@pytest.mark.parametrize("name", ["mp3", "ogg"])
def test_a_hole_in_a_sound_damages_what_lay_there(tmp_path: Path, name: str) -> None:
    content = bytearray(encode(tone(20, 48_000), 48_000, name))
    hole = slice(len(content) // 2, int(len(content) * 0.6))
    content[hole] = bytes(hole.stop - hole.start)
    path = tmp_path / "content"
    path.write_bytes(content)
    found = "".join("." if one.vector is not None else "S" for one in standin.embed_audio(path, 2))
    assert found in (".....S....", ".....SS...")


@pytest.mark.parametrize("name", ["mkv", "wmv"])
def test_a_hole_in_the_file_damages_what_lay_there(tmp_path: Path, name: str) -> None:
    scenes = [Scene(scene.look, scene.sound, 5) for scene in FOUR]
    content = bytearray(film(scenes, name))
    hole = slice(int(len(content) * 0.3), int(len(content) * 0.45))
    content[hole] = bytes(hole.stop - hole.start)
    found = states(segments(bytes(content), tmp_path, 2))
    assert found.count(".") >= 5 and found.startswith(".") and found.endswith(".")
    assert set(found.strip(".")) == {"B"}


@pytest.mark.parametrize("name", ["mp4", "mkv", "flv", "wmv"])
def test_what_a_cut_takes_from_a_film_is_damaged(tmp_path: Path, name: str) -> None:
    """These say in their header how long they are. An MP4 with its index at its end cannot be read at all."""
    options = {"movflags": "faststart"} if name == "mp4" else None
    content = film(FOUR, name, options=options)
    found = states(segments(content[: len(content) // 2], tmp_path, 2))
    assert found.rstrip("B").strip(".") == ""
    assert 2 <= found.count("B") <= 6
    assert len(found) == 8


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no film at all\n" * 20,
        picture("PNG"),
        encode(tone(2), 44_100, "wav"),
        film(FOUR[:1])[:5_000],
        film(FOUR[:1], "mkv")[:200],
        b"ffconcat version 1.0\nfile other.mp4\n",
    ],
)
def test_what_is_no_film_is_unreadable(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UnreadableError):
        segments(content, tmp_path)


def test_a_cover_is_no_film(tmp_path: Path) -> None:
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as output:
        cover = output.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
        output.mux(cover.encode(frame.reformat(format="yuvj420p")))
        output.mux(cover.encode(None))
    with pytest.raises(UnreadableError, match="moving pictures"):
        segments(target.getvalue(), tmp_path)


def test_a_film_with_few_frames_is_whole(tmp_path: Path) -> None:
    """A frame every ten seconds, as a slide show has them, with sound or without."""
    scenes = [Scene("red", "hum", 30), Scene("blue", "rain", 30)]
    for with_sound in (True, False):
        found = segments(film(scenes, "mkv", fps=Fraction(1, 10), with_sound=with_sound, key_every=1), tmp_path, 15)
        assert len(found) == 4
        assert all(one.combined.vector is not None for one in found)
        assert nearest("a red picture", [one.video.vector for one in found]) in (0, 1)


@pytest.mark.parametrize(("name", "fps"), [("mp4", 1), ("mkv", 2), ("mp4", 3)])
def test_a_film_with_few_frames_that_come_out_of_order_is_whole(name: str, fps: int, tmp_path: Path) -> None:
    content = film([Scene("red", "hum", 60)], name, fps=fps, codec={"bf": "3", "preset": "medium", "tune": "film"})
    found = segments(content, tmp_path, 15)
    assert [one.combined.vector is not None for one in found] == [True] * 4


def test_a_film_is_seen_upright_and_as_wide_as_it_is_shown(tmp_path: Path) -> None:
    def shown(**attributes: object) -> list[float]:
        target = io.BytesIO()
        with av.open(target, "w", format="mov") as output:
            stream = output.add_stream("mpeg4", rate=5)
            stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
            for name, value in attributes.items():
                setattr(stream.codec_context, name, value)
            for number in range(10):
                frame = av.VideoFrame.from_ndarray(LOOKS["stripes"], format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 5)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        (found,) = segments(target.getvalue(), tmp_path, None)
        return [float(found.video.vector @ embed_text(text)) for text in ("landscape format", "a portrait picture")]

    wide, tall = shown(), shown(sample_aspect_ratio=Fraction(1, 2))
    assert wide[0] > wide[1]
    assert tall[0] < tall[1]


def test_the_same_film_has_the_same_vectors_in_every_process(tmp_path: Path) -> None:
    path = tmp_path / "content"
    path.write_bytes(film(FOUR[:2]))
    script = (
        "import sys; from pathlib import Path; from local.standin import Film\n"
        "for one in Film(Path(sys.argv[1])).segments(4): sys.stdout.buffer.write(one.combined.vector.tobytes())"
    )
    output = subprocess.run([sys.executable, "-c", script, path], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    assert output == b"".join(one.combined.vector.tobytes() for one in Film(path).segments(4))

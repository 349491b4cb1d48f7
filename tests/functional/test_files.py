"""Files go in, and are found or named: every way a file can come and go."""

import urllib.request

import pytest

from tests.unit.films import Scene, film
from tests.unit.media import encode, picture, tone
from tests.user import User

ODD_KEYS = [
    "with space/and plus+.txt",
    "100% #1.txt",
    "a//b/../c.txt",
    "Größe/日本語/हिन्दी.txt",
    "q?x=1&y=2.txt",
    "tilde~'(!).txt",
]


@pytest.mark.parametrize("key", ODD_KEYS)
def test_a_text_under_any_key_becomes_searchable(user: User, key: str) -> None:
    asset = user.dropped(key, f"The walrus of {key} sings at dawn.".encode())
    assert (asset["status"], asset["modality"], asset["segment_count"]) == ("indexed", "text", 1)
    hit = next(hit for hit in user.search(f"walrus of {key} sings", top_k=50) if hit["key"] == key)
    assert hit["segments"][0]["text"] == f"The walrus of {key} sings at dawn."
    assert hit["uri"] == f"s3://{user.bucket}/{key}"
    with urllib.request.urlopen(hit["url"]) as response:
        assert response.read().decode() == f"The walrus of {key} sings at dawn."


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-8-sig", "cp1252"])
def test_a_text_in_any_encoding_is_shown_as_it_reads(user: User, encoding: str) -> None:
    text = "Der Bär läuft über die große Brücke, während es draußen regnet und die Vögel schweigen."
    asset = user.dropped(f"encodings/{encoding}.txt", text.encode(encoding))
    assert asset["status"] == "indexed"
    hits = user.search("Bär Brücke Vögel", filter={"prefix": "encodings/"}, top_k=20)
    assert text in [hit["segments"][0]["text"] for hit in hits if hit["asset_id"] == asset["asset_id"]]


@pytest.mark.parametrize(("key", "content"), [("said.txt", "ćma"), ("said.html", "<p>ćma</p>")])
def test_a_text_is_in_the_encoding_that_its_content_type_says(user: User, key: str, content: str) -> None:
    asset = user.dropped(key, content.encode("iso8859_2"), ContentType='text/plain; charset="ISO-8859-2"')
    assert asset["status"] == "indexed"
    (segment,) = user.call("GET", f"/assets/{asset['asset_id']}/segments").body["segments"]
    assert segment["text"] == "ćma"


@pytest.mark.parametrize("name", ["jpeg", "png", "gif", "webp"])
def test_a_picture_is_one_segment(user: User, name: str) -> None:
    asset = user.dropped(f"pictures/red.{name}", picture(name))
    assert (asset["status"], asset["modality"], asset["segment_count"]) == ("indexed", "image", 1)


@pytest.mark.parametrize("name", ["wav", "mp3", "ogg"])
def test_a_short_sound_is_one_segment_from_its_start_to_its_end(user: User, name: str) -> None:
    asset = user.dropped(f"sounds/tone.{name}", encode(tone(4, 48_000), 48_000, name))
    assert (asset["status"], asset["modality"], asset["segment_count"]) == ("indexed", "audio", 1)
    hits = user.search("a tone", modalities=["audio"], filter={"prefix": "sounds/"}, top_k=20)
    (segment,) = next(hit for hit in hits if hit["asset_id"] == asset["asset_id"])["segments"]
    assert segment["start"] == 0 and segment["end"] == pytest.approx(4, abs=0.1)
    assert segment["url"].endswith(f"#t=0,{segment['end']:.3f}".rstrip("0").rstrip("."))


def test_a_long_sound_is_cut_into_segments_by_a_job(user: User) -> None:
    asset = user.dropped("sounds/long.mp3", encode(tone(70, 16_000), 16_000, "mp3"))
    assert (asset["status"], asset["segment_count"]) == ("indexed", 5)
    assert len(user.vectors(asset["asset_id"])) == 5
    hits = user.search("tone", filter={"asset_id": asset["asset_id"]}, group_by="segment", top_k=10)
    starts = sorted(hit["segments"][0]["start"] for hit in hits)
    assert starts == [0, 15, 30, 45, 60]


def test_a_long_text_is_cut_into_passages_that_make_up_the_whole(user: User) -> None:
    words = " ".join(f"word{number} is followed by word{number + 1}." for number in range(400))
    asset = user.dropped("long.txt", words.encode())
    assert asset["status"] == "indexed" and asset["segment_count"] >= 8
    hits = user.search("word7", filter={"asset_id": asset["asset_id"]}, group_by="segment", top_k=50)
    segments = sorted((hit["segments"][0] for hit in hits), key=lambda one: one["start_char"])
    assert len(segments) == asset["segment_count"]
    for segment in segments:
        assert words[segment["start_char"] : segment["end_char"]] == segment["text"]
        assert len(segment["text"]) <= 1500
    assert " ".join(segment["text"] for segment in segments) == words


def test_a_jpeg_that_is_called_png_is_indexed(user: User) -> None:
    assert user.dropped("liar.png", picture("jpeg"))["status"] == "indexed"


BAD: list[tuple[str, bytes, str]] = [
    ("bad/empty.txt", b"", "failed"),
    ("bad/empty.mp3", b"", "failed"),
    ("bad/blank.txt", b"  \n \n", "failed"),
    ("bad/film.mp4", b"this is no film at all", "failed"),
    ("bad/song.mp3", b"this is no song at all", "failed"),
    ("bad/half.jpg", picture("jpeg", (600, 400))[:900], "failed"),
    ("bad/half.png", picture("png", (600, 400))[:400], "failed"),
    ("bad/half.wav", encode(tone(3), 44_100, "wav")[:90_000], "failed"),
    ("bad/half.mp3", encode(tone(3), 44_100, "mp3")[:20_000], "failed"),
    ("bad/half.ogg", encode(tone(3, 48_000), 48_000, "ogg")[:9_000], "failed"),
    ("bad/paper.pdf", b"%PDF-1.7 and so on", "failed"),
    ("bad/letter.docx", b"PK\x03\x04" + bytes(100), "failed"),
    ("bad/old.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "unsupported"),
    ("bad/half.mp4", film([Scene("red", "hum", 3)], "mp4")[:9_000], "failed"),
    ("bad/data.bin", bytes(range(256)) * 8, "unsupported"),
    ("bad/binary.txt", bytes(range(256)) * 8, "unsupported"),
    ("bad/archive.zip", b"PK\x03\x04" + bytes(100), "unsupported"),
]


@pytest.mark.parametrize(("key", "content", "status"), BAD, ids=[key for key, _, _ in BAD])
def test_what_cannot_be_embedded_says_why(user: User, key: str, content: bytes, status: str) -> None:
    asset = user.dropped(key, content)
    assert asset["status"] == status
    assert len(asset["reason"]) > 10 and "\n" not in asset["reason"]
    assert asset["segment_count"] == 0 and user.vectors(asset["asset_id"]) == []


@pytest.mark.parametrize("key", ["folder/", "x/.DS_Store", "a.txt.metadata.json"])
def test_what_is_no_asset_is_not_listed(user: User, key: str) -> None:
    user.drop(key, b"{}")
    user.dropped("after.txt", f"dropped after {key}".encode())
    assert user.asset(key) is None


def test_an_overwritten_file_is_found_by_its_new_content_alone(user: User) -> None:
    first = user.dropped("changing.txt", b"a parliament of owls")
    old = user.vectors(first["asset_id"])
    second = user.dropped("changing.txt", b"a murder of crows")
    assert second["asset_id"] == first["asset_id"] and second["segment_count"] == 1
    hits = [hit for hit in user.search("owls crows", top_k=50) if hit["key"] == "changing.txt"]
    assert [hit["segments"][0]["text"] for hit in hits] == ["a murder of crows"]
    now = user.vectors(first["asset_id"])
    assert len(now) == 1 and not set(now) & set(old)


def test_a_file_that_becomes_bad_is_found_no_more(user: User) -> None:
    user.dropped("turning.png", picture("png"))
    asset = user.dropped("turning.png", b"no picture any more")
    assert asset["status"] == "failed"
    user.until(lambda: user.vectors(asset["asset_id"]) == [])  # what nobody finds any more is cleared after it is said


def test_a_deleted_file_is_gone_with_its_vectors_and_comes_back_when_dropped_again(user: User) -> None:
    asset = user.dropped("fleeting.txt", b"mayflies live for a day")
    user.remove("fleeting.txt")
    gone = user.settled("fleeting.txt", not_as=asset)
    assert gone["status"] == "deleted" and gone["segment_count"] == 0
    assert user.asset("fleeting.txt") is None
    user.until(lambda: user.vectors(asset["asset_id"]) == [])
    assert "fleeting.txt" not in [hit["key"] for hit in user.search("mayflies", top_k=50)]
    again = user.dropped("fleeting.txt", b"mayflies live for a day")
    assert again["status"] == "indexed" and len(user.vectors(asset["asset_id"])) == 1


def test_a_file_that_went_before_anybody_looked_is_listed_as_deleted(user: User) -> None:
    user.drop("hasty.txt", b"nobody saw me")
    user.remove("hasty.txt")
    gone = user.settled("hasty.txt")
    assert (gone["status"], gone["segment_count"]) == ("deleted", 0) and user.asset("hasty.txt") is None


def test_a_removed_delete_marker_brings_the_file_back_at_the_next_ring(user: User) -> None:
    asset = user.dropped("restored.txt", b"phoenixes rise from ashes")
    user.remove("restored.txt")
    user.settled("restored.txt", not_as=asset)
    s3 = user.client("s3")
    marker = s3.list_object_versions(Bucket=user.bucket, Prefix="restored.txt")["DeleteMarkers"][0]
    s3.delete_object(Bucket=user.bucket, Key="restored.txt", VersionId=marker["VersionId"])
    ring(user, "restored.txt")
    back = user.settled("restored.txt", not_as=user.asset("restored.txt", status="deleted"))
    assert back["status"] == "indexed" and len(user.vectors(asset["asset_id"])) == 1


def ring(user: User, key: str) -> None:
    """An S3 event for the key, sent to the ingest queue once more."""
    user.ring({"detail-type": "Object Created", "detail": {"bucket": {"name": user.bucket}, "object": {"key": key}}})


def test_the_same_event_again_changes_nothing(user: User) -> None:
    keys = {"again/a.txt": b"seven geese", "again/b.mp3": encode(tone(40, 16_000), 16_000, "mp3")}
    before = {key: user.dropped(key, content) for key, content in keys.items()}
    vectors = {key: user.vectors(asset["asset_id"]) for key, asset in before.items()}
    for key in keys:
        ring(user, key)
    user.dropped("again/last.txt", b"the last one")
    assert {key: user.asset(key) for key in keys} == before
    assert {key: user.vectors(asset["asset_id"]) for key, asset in before.items()} == vectors


def test_no_file_of_these_tests_is_left_half_way(user: User) -> None:
    assert {asset["status"] for asset in user.assets()} <= {"indexed", "partial", "failed", "unsupported"}

"""Films on Bedrock's runtime, over the wire: at once and in jobs, combined and separate, and what is refused."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from local.bedrock import nova
from local.bedrock.formats import formats_of
from local.bedrock.service import BedrockSettings
from tests.local.test_bedrock import (
    Laptop,
    a_text,
    ended,
    in_s3,
    inline,
    invoke,
    lines,
    refusal,
    segmented,
    single,
    sound,
    start,
)
from tests.unit.films import CODECS, Scene, film, without

SCENES = [Scene("red", "hum", 4), Scene("checks", "alarm", 4), Scene("blue", "rain", 2.5)]
FILM = film(SCENES, key_every=10)
PURPOSES = [
    "GENERIC_INDEX",
    "GENERIC_RETRIEVAL",
    "TEXT_RETRIEVAL",
    "IMAGE_RETRIEVAL",
    "VIDEO_RETRIEVAL",
    "DOCUMENT_RETRIEVAL",
    "AUDIO_RETRIEVAL",
    "CLASSIFICATION",
    "CLUSTERING",
]


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    made = Laptop(tmp_path_factory.mktemp("laptop"))
    made.start(BedrockSettings(job_seconds=0))
    yield made
    made.close()


@pytest.fixture
def client(laptop: Laptop) -> Any:
    laptop.s3.forget()
    return laptop.clients.get("bedrock-runtime", None)


def a_film(source: dict[str, Any], mode: str = "COMBINED", name: str = "mp4", **more: Any) -> dict[str, Any]:
    return single(video={"format": name, "source": source, "embeddingMode": f"AUDIO_VIDEO_{mode}", **more})


def film_job(uri: str, mode: str = "COMBINED", name: str = "mp4", seconds: int = 4) -> dict[str, Any]:
    config = {"durationSeconds": seconds}
    medium = {"format": name, "source": in_s3(uri), "embeddingMode": f"AUDIO_VIDEO_{mode}"}
    return segmented(video={**medium, "segmentationConfig": config})


def done(client: Any, body: dict[str, Any]) -> dict[str, Any]:
    return ended(client, start(client, body), 60)


def outcomes(laptop: Laptop, job: dict[str, Any]) -> list[dict[str, Any]]:
    (result,) = lines(laptop, job, "segmented-embedding-result.json")
    results: list[dict[str, Any]] = result["embeddingResults"]
    return results


def nearest(client: Any, sentence: str, vectors: list[list[float]]) -> int:
    (query,) = invoke(client, a_text(sentence))
    return int(np.argmax(np.array(vectors) @ np.array(query["embedding"])))


# One embedding


@pytest.mark.parametrize("name", CODECS)
def test_a_film_of_every_format_is_embedded_from_bytes_and_from_s3(laptop: Laptop, client: Any, name: str) -> None:
    content = film([Scene("red", "hum", 2)], name)
    key = f"Filme/a b#c%20+ü.{name}"
    laptop.put(key, content)
    (found,) = invoke(client, a_film(inline(content), name=name))
    assert found.keys() == {"embeddingType", "embedding"}
    assert (found["embeddingType"], len(found["embedding"])) == ("AUDIO_VIDEO_COMBINED", 256)
    owned = {"s3Location": {"uri": f"s3://media/{key}", "bucketOwner": "000000000000"}}
    separate = invoke(client, a_film(owned, "SEPARATE", name))
    assert [one["embeddingType"] for one in separate] == ["VIDEO", "AUDIO"]
    assert nearest(client, "a red picture", [one["embedding"] for one in separate]) == 0
    assert nearest(client, "a low-pitched hum", [one["embedding"] for one in separate]) == 1


def test_a_film_has_all_dimensions_and_purposes(client: Any) -> None:
    content = inline(film([Scene("red", "hum", 1)]))
    for dimension in (256, 384, 1024, 3072):
        body = a_film(content)
        body["singleEmbeddingParams"]["embeddingDimension"] = dimension
        (found,) = invoke(client, body)
        assert len(found["embedding"]) == dimension
        assert np.linalg.norm(found["embedding"]) == pytest.approx(1, abs=1e-5)
    for purpose in PURPOSES:
        body = a_film(content)
        body["singleEmbeddingParams"]["embeddingPurpose"] = purpose
        assert invoke(client, body)


def test_a_film_without_sound_is_what_is_seen(laptop: Laptop, client: Any) -> None:
    content = film(SCENES[:1], with_sound=False)
    (combined,) = invoke(client, a_film(inline(content)))
    (seen,) = invoke(client, a_film(inline(content), "SEPARATE"))
    assert (combined["embeddingType"], seen["embeddingType"]) == ("AUDIO_VIDEO_COMBINED", "VIDEO")
    assert combined["embedding"] == seen["embedding"]
    laptop.put("silent.mp4", content)
    job = done(client, film_job("s3://media/silent.mp4", "SEPARATE"))
    (outcome,) = outcomes(laptop, job)
    assert (outcome["embeddingType"], outcome["status"]) == ("VIDEO", "SUCCESS")
    assert [key.rpartition("/")[2] for key in laptop.s3.order] == [
        "embedding-video.jsonl",
        "manifest.json",
        "segmented-embedding-result.json",
    ]


REFUSED_FILMS: list[tuple[dict[str, Any], str]] = [
    (a_film(inline(FILM), name="mov"), "video/format: the content is mp4, not mov"),
    (a_film(inline(FILM), name="three_gp"), "#/singleEmbeddingParams/video/format: three_gp is not a valid enum value"),
    (a_film(inline(FILM), name="avi"), "avi is not a valid enum value"),
    (a_film(inline(sound(3))), "the content is wav, not mp4"),
    (a_film(inline(b"no film")), "the content is unknown, not mp4"),
    (a_film(inline(b"")), "video/source/bytes: is empty"),
    (a_film(inline(FILM[: len(FILM) // 2])), "no film that can be decoded"),
    (a_film(inline(FILM), mode="NONE"), "video/embeddingMode: AUDIO_VIDEO_NONE is not a valid enum value"),
    (single(video={"format": "mp4", "source": inline(FILM)}), "required key [embeddingMode] not found"),
    (single(video={"format": "mp4", "embeddingMode": "AUDIO_VIDEO_COMBINED"}), "required key [source] not found"),
    (a_film(inline(FILM), segmentationConfig={"durationSeconds": 5}), "extraneous key [segmentationConfig]"),
    (a_film({**inline(FILM), **in_s3("s3://media/x")}), "exactly one of [bytes, s3Location]"),
    (a_film({}), "exactly one of [bytes, s3Location]"),
    (a_film({"bytes": None, **in_s3("s3://media/x")}), "source/bytes: expected type: a value, found: Null"),
    (a_film(in_s3("s3://media/none.mp4")), "s3://media/none.mp4 does not exist"),
    (single(image=None, video={"format": "mp4"}), "image: expected"),
    (film_job("s3://media/x"), "SEGMENTED_EMBEDDING is not a valid enum value"),
]


def test_a_film_that_nova_refuses_is_refused_with_the_field_named(client: Any) -> None:
    for body, names in REFUSED_FILMS:
        message = refusal("ValidationException", 400, invoke, client, body)
        assert message.startswith("Malformed input request: ") or "does not exist" in message
        assert names in message


def test_a_film_is_refused_that_is_cut_off_or_too_long_or_only_sound(laptop: Laptop, client: Any) -> None:
    long = film([Scene("red", "hum", 31)], "mkv", fps=1)
    assert "longer than 30 seconds" in refusal(
        "ValidationException", 400, invoke, client, a_film(inline(long), name="mkv")
    )
    cut = inline(long[: len(long) // 3])
    assert "longer than 30" in refusal("ValidationException", 400, invoke, client, a_film(cut, name="mkv"))
    short = film(SCENES[:2], "mkv")
    cut = inline(short[: len(short) // 2])
    assert "missing or damaged" in refusal("ValidationException", 400, invoke, client, a_film(cut, name="mkv"))
    for name, brand in (("mp4", b"isom"), ("mov", b"qt  ")):
        head = (24).to_bytes(4, "big") + b"ftyp" + brand + bytes(4) + brand * 2
        assert "no film" in refusal("ValidationException", 400, invoke, client, a_film(inline(head), name=name))
    exact = film([Scene("red", "hum", 30)], "mkv", fps=1)
    assert invoke(client, a_film(inline(exact), name="mkv"))


def test_a_film_in_s3_may_have_so_many_bytes(laptop: Laptop, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert nova.MAX_SYNC_BYTES["video"] == 100_000_000
    assert nova.MAX_ASYNC_BYTES["video"] == 2_000_000_000
    laptop.put("a.mp4", FILM)
    for limits, call in ((nova.MAX_SYNC_BYTES, "invoke"), (nova.MAX_ASYNC_BYTES, "start")):
        monkeypatch.setitem(limits, "video", len(FILM) - 1)
        if call == "invoke":
            message = refusal("ValidationException", 400, invoke, client, a_film(in_s3("s3://media/a.mp4")))
        else:
            message = done(client, film_job("s3://media/a.mp4"))["failureMessage"]
        assert f"has {len(FILM)} bytes; the limit is {len(FILM) - 1}" in message


# Jobs


def test_a_combined_job_writes_one_file(laptop: Laptop, client: Any) -> None:
    laptop.put("a.mp4", FILM)
    job = done(client, film_job("s3://media/a.mp4"))
    folder = job["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"]
    names = ["embedding-audio-video.jsonl", "manifest.json", "segmented-embedding-result.json"]
    assert laptop.s3.order == [f"{folder.removeprefix('s3://media/')}/{name}" for name in names]
    (result,) = lines(laptop, job, "segmented-embedding-result.json")
    uri = f"{folder}/embedding-audio-video.jsonl"
    assert result == {
        "sourceFileUri": "s3://media/a.mp4",
        "embeddingDimension": 256,
        "embeddingResults": [{"embeddingType": "AUDIO_VIDEO_COMBINED", "status": "SUCCESS", "outputFileUri": uri}],
    }
    found = lines(laptop, job, names[0])
    assert all(line.keys() == {"embedding", "segmentMetadata", "status"} for line in found)
    assert [line["segmentMetadata"] for line in found] == [
        {"segmentIndex": 0, "segmentStartSeconds": 0.0, "segmentEndSeconds": 4.0},
        {"segmentIndex": 1, "segmentStartSeconds": 4.0, "segmentEndSeconds": 8.0},
        {"segmentIndex": 2, "segmentStartSeconds": 8.0, "segmentEndSeconds": 10.5},
    ]
    vectors = [line["embedding"] for line in found]
    for sentence, segment in (
        ("a red picture", 0),
        ("a low-pitched hum", 0),
        ("a checkerboard", 1),
        ("an alarm beeping", 1),
        ("a blue picture", 2),
        ("rain, steady noise", 2),
    ):
        assert nearest(client, sentence, vectors) == segment


def test_a_separate_job_writes_two_files_with_the_same_segments(laptop: Laptop, client: Any) -> None:
    laptop.put("a.mp4", FILM)
    job = done(client, film_job("s3://media/a.mp4", "SEPARATE"))
    assert [(one["embeddingType"], one["status"]) for one in outcomes(laptop, job)] == [
        ("VIDEO", "SUCCESS"),
        ("AUDIO", "SUCCESS"),
    ]
    seen, heard = (lines(laptop, job, f"embedding-{kind}.jsonl") for kind in ("video", "audio"))
    assert [line["segmentMetadata"] for line in seen] == [line["segmentMetadata"] for line in heard]
    assert [line["segmentMetadata"]["segmentIndex"] for line in seen] == [0, 1, 2]
    assert nearest(client, "a checkerboard", [line["embedding"] for line in seen]) == 1
    assert nearest(client, "an alarm beeping", [line["embedding"] for line in heard]) == 1
    (manifest,) = lines(laptop, job, "manifest.json")
    assert [uri.rpartition("/")[2] for uri in manifest["outputFileUris"]] == [
        "embedding-video.jsonl",
        "embedding-audio.jsonl",
    ]


def test_a_damaged_part_fails_alone(laptop: Laptop, client: Any) -> None:
    laptop.put("a.mp4", without(FILM, "audio", 4.5, 7))
    job = done(client, film_job("s3://media/a.mp4"))
    found = lines(laptop, job, "embedding-audio-video.jsonl")
    assert [line["status"] for line in found] == ["SUCCESS", "FAILURE", "SUCCESS"]
    assert found[1]["segmentMetadata"] == {"segmentIndex": 1, "segmentStartSeconds": 4.0, "segmentEndSeconds": 8.0}
    assert found[1].keys() == {"segmentMetadata", "status", "failureReason", "message"}
    (outcome,) = outcomes(laptop, job)
    assert (outcome["status"], outcome["failureReason"]) == ("PARTIAL_SUCCESS", "INVALID_CONTENT")
    job = done(client, film_job("s3://media/a.mp4", "SEPARATE"))
    assert [(one["embeddingType"], one["status"]) for one in outcomes(laptop, job)] == [
        ("VIDEO", "SUCCESS"),
        ("AUDIO", "PARTIAL_SUCCESS"),
    ]


def test_a_sound_that_cannot_be_decoded_fails_as_one_of_two_files(laptop: Laptop, client: Any) -> None:
    laptop.put("a.mp4", without(FILM, "audio", 0, 99))
    job = done(client, film_job("s3://media/a.mp4", "SEPARATE"))
    assert job["status"] == "Completed"
    seen, heard = outcomes(laptop, job)
    assert (seen["status"], heard["status"], heard["failureReason"]) == ("SUCCESS", "FAILURE", "INVALID_CONTENT")
    failed = done(client, film_job("s3://media/a.mp4"))
    assert (failed["status"], failed["failureMessage"]) == ("Failed", "The sound cannot be decoded")


def test_of_a_film_that_was_cut_off_what_is_missing_fails(laptop: Laptop, client: Any) -> None:
    content = film(SCENES, "mkv", key_every=10)
    laptop.put("a.mkv", content[: len(content) // 2])
    job = done(client, film_job("s3://media/a.mkv", "SEPARATE", "mkv"))
    assert [one["status"] for one in outcomes(laptop, job)] == ["PARTIAL_SUCCESS", "PARTIAL_SUCCESS"]
    for kind in ("video", "audio"):
        found = [line["status"] for line in lines(laptop, job, f"embedding-{kind}.jsonl")]
        assert (found[0], found[-1]) == ("SUCCESS", "FAILURE")


SLOW_FILM = film([Scene("red", "hum", 1440)], with_sound=False, fps=Fraction(1, 4), key_every=1)
FAILING_FILMS: list[tuple[bytes, dict[str, Any], str]] = [
    (b"", film_job("s3://media/x"), "the content is unknown, not mp4"),
    (sound(3), film_job("s3://media/x"), "the content is wav, not mp4"),
    (FILM, film_job("s3://media/x", name="webm"), "the content is mp4, not webm"),
    (FILM[: len(FILM) // 2], film_job("s3://media/x"), "no film that can be decoded"),
    (SLOW_FILM, film_job("s3://media/x", seconds=1), "more than 1434 segments of 1 seconds"),
    (
        film([Scene("red", "hum", 7210)], with_sound=False, fps=Fraction(1, 10), key_every=1),
        film_job("s3://media/x", seconds=30),
        "longer than 7200 seconds",
    ),
]


def test_a_film_job_that_cannot_be_done_fails_with_a_sentence(laptop: Laptop, client: Any) -> None:
    for content, body, reason in FAILING_FILMS:
        laptop.put("x", content)
        job = done(client, body)
        assert job["status"] == "Failed"
        assert reason in job["failureMessage"]
        assert laptop.s3.order == []


REFUSED_STARTS: list[tuple[dict[str, Any], str]] = [
    (film_job("s3://media/x", seconds=0), "durationSeconds: 0 is not greater or equal to 1"),
    (film_job("s3://media/x", seconds=31), "durationSeconds: 31 is not less or equal to 30"),
    (film_job("s3://media/x", "NONE"), "embeddingMode: AUDIO_VIDEO_NONE is not a valid enum value"),
    (film_job("s3://media/x", name="three_gp"), "three_gp is not a valid enum value"),
    (a_film(inline(FILM)), "#/taskType: SINGLE_EMBEDDING is not a valid enum value"),
    (
        segmented(video={"format": "mp4", "source": in_s3("s3://media/x"), "embeddingMode": "AUDIO_VIDEO_COMBINED"}),
        "required key [segmentationConfig] not found",
    ),
    (
        segmented(
            video={
                "format": "mp4",
                "source": inline(FILM),
                "embeddingMode": "AUDIO_VIDEO_COMBINED",
                "segmentationConfig": {},
            }
        ),
        "s3Location is required",
    ),
]


def test_a_film_job_that_nova_refuses_is_not_started(client: Any) -> None:
    for body, names in REFUSED_STARTS:
        assert names in refusal("ValidationException", 400, start, client, body)


# Formats


@pytest.mark.parametrize("name", CODECS)
def test_a_films_format_is_read_from_its_bytes(name: str) -> None:
    found = formats_of(film([Scene("red", "hum", 0.5)], name)[:4096])
    also = {"mpeg": {"mpg"}, "mpg": {"mpeg"}, "3gp": {"mp4"}}.get(name, set())
    assert found == {name} | also


def test_an_old_quicktime_film_has_no_brand_and_other_containers_are_not_taken() -> None:
    assert formats_of(b"\0\0\0\x08wide\0\0\0\x08mdat") == {"mov"}
    assert formats_of(b"RIFF\0\0\0\0AVI LIST") == formats_of(b"\x1a\x45\xdf\xa3\x42\x82\x84else") == set()
    assert formats_of(b"G" + bytes(187) + b"G") == set()

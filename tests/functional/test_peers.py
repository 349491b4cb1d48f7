"""What others who do this job lose or get wrong, row by row, each with the input that it went wrong with.

A row is a test of what a user of ours sees instead; its number is that of the comparison it comes from.
"""

import json
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from samples.tour import synthesize
from tests.functional.conftest import laptop_on
from tests.functional.test_again import details, segments
from tests.functional.test_results import embedding, finish, write_result
from tests.unit.films import Scene, film
from tests.unit.media import encode, tone
from tests.user import User

pytestmark = pytest.mark.slow  # a stack of its own
CONTEXT = {
    "dimension": 256,
    "text_chars": 800,
    "profiles": {
        "wide": {"dimension": 3072, "text_chars": 800},
        "separate": {"dimension": 384, "embedding_mode": "AUDIO_VIDEO_SEPARATE"},
    },
    "rules": [{"prefix": "wide/", "profile": "wide"}, {"prefix": "separate/", "profile": "separate"}],
}
RATE = 16_000
PARTS = 720  # as many as three hours of film have
BOOK = "".join(f"Chapter {number} tells of goats. ".ljust(799, "x") + "\n" for number in range(PARTS)).encode()


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    assembly = synthesize(tmp_path_factory.mktemp("assembly"), **CONTEXT)
    laptop = laptop_on(assembly, tmp_path_factory.mktemp("laptop"))
    try:
        yield User(laptop.start())
    finally:
        laptop.stop()


def local(user: User, path: str, body: Any = None) -> Any:
    """A request of the laptop's own: faults, and what was called."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(f"{user.outputs['AwsEndpointUrl']}/_local/{path}", data) as answer:
        return json.load(answer)


def calls(user: User, operation: str) -> Counter[str]:
    """The functions' calls by their outcome."""
    found = local(user, f"calls?operation={operation}")["calls"]
    return Counter({each["outcome"]: each["count"] for each in found if each["caller"] != "local"})


def vectors(user: User, asset_id: str) -> list[str]:
    """The keys of its vectors, whatever index they lie in."""
    client = user.client("s3vectors")
    indexes = client.list_indexes(vectorBucketName=user.outputs["VectorBucket"])["indexes"]
    listed = client.get_paginator("list_vectors")
    pages = (page for each in indexes for page in listed.paginate(indexArn=each["indexArn"]))
    return sorted(one["key"] for page in pages for one in page["vectors"] if one["key"].startswith(f"{asset_id}/"))


def sound(seconds: float, hertz: float) -> bytes:
    return encode(tone(seconds, RATE, hertz), RATE, "wav")


def note(about: str) -> bytes:
    """A text that needs a job, of three parts."""
    return "\n".join(f"Part {number} is about {about}. ".ljust(790, "x") for number in range(3)).encode()


def test_row_09_a_failed_job_becomes_visible(user: User) -> None:
    """Elsewhere it stays "processing" for ever, or its reason is lost."""
    local(user, "faults", {"fault": "fail_job", "message": "The model is on strike", "next": 1})
    asset = user.dropped("strike.wav", sound(40, 300))
    assert (asset["status"], asset["reason"]) == ("failed", "The model is on strike")
    assert [one["key"] for one in user.assets(status="failed", prefix="strike")] == ["strike.wav"]


def test_row_10_a_film_is_indexed_when_all_its_modalities_are(user: User) -> None:
    """Elsewhere the first of the two result files completes the task."""
    asset = user.dropped("separate/film.mp4", film([Scene("red", "hum", 20), Scene("blue", "alarm", 20)], "mp4"))
    assert (asset["status"], asset["segment_count"]) == ("indexed", 6)
    assert Counter(key.split("/")[2] for key in vectors(user, asset["asset_id"])) == {"AUDIO": 3, "VIDEO": 3}


def test_row_11_failed_segments_are_recorded_and_the_rest_is_found(user: User) -> None:
    """Elsewhere they are dropped and the file is "completed", or the first one ends the function."""
    local(user, "faults", {"fault": "fail_segment", "message": "too loud", "next": 2})
    asset = user.dropped("loud.wav", sound(58, 320))
    assert (asset["status"], asset["segment_count"], asset["reason"]) == ("partial", 2, "2 of 4 segments failed")
    found = segments(user, asset["asset_id"])
    assert [(one["segment_id"], one["status"]) for one in found] == [
        ("AUDIO/0", "failed"),
        ("AUDIO/1", "failed"),
        ("AUDIO/2", "indexed"),
        ("AUDIO/3", "indexed"),
    ]
    assert all("too loud" in one["reason"] for one in found[:2])
    hits = user.search("a tone", filter={"asset_id": asset["asset_id"]}, group_by="segment")
    assert sorted(hit["segments"][0]["segment_id"] for hit in hits) == ["AUDIO/2", "AUDIO/3"]


def test_row_12_a_segment_has_the_times_that_the_model_says(user: User) -> None:
    """Elsewhere they are whole seconds, or the place in the list times a fixed length, or text."""
    local(user, "faults", {"fault": "fail_segment", "next": 1})
    asset = user.dropped("times.wav", sound(37.625, 340))
    asked = {"filter": {"$and": [{"asset_id": asset["asset_id"]}, {"end": {"$gt": 37.5}}, {"start": {"$gte": 9}}]}}
    (hit,) = user.search("a tone", group_by="segment", **asked)
    (segment,) = hit["segments"]
    assert (segment["segment_id"], segment["start"], segment["end"]) == ("AUDIO/2", 30, 37.625)
    assert hit["url"].endswith("#t=30,37.625")


def test_row_13_720_vectors_go_in_two_puts(user: User) -> None:
    """Elsewhere each goes by itself, or in a function of its own."""
    before = calls(user, "PutVectors")
    asset = user.dropped("book.txt", BOOK)
    assert (asset["status"], asset["segment_count"], len(vectors(user, asset["asset_id"]))) == ("indexed", PARTS, PARTS)
    assert calls(user, "PutVectors") - before == {"ok": 2}


def test_row_14_720_vectors_of_3072_numbers_go_in_puts_below_20_mib(user: User) -> None:
    """Elsewhere five hundred go at once, in 33 MiB, which are refused."""
    late = {"fault": "late", "seconds": 25, "service": "bedrock-runtime", "operation": "StartAsyncInvoke", "next": 1}
    local(user, "faults", late)
    asset = embedding(user, "wide/film.wav", sound(40, 380))  # in place of its job comes the result of a long one
    numbers = json.dumps([number / 123457 + 0.1 for number in range(3072)])
    place = '{"segmentIndex":%d,"segmentStartSeconds":%d,"segmentEndSeconds":%d}'
    lines = [
        f'{{"embedding":{numbers},"segmentMetadata":{place % (number, number, number + 1)},"status":"SUCCESS"}}'
        for number in range(PARTS)
    ]
    uri = write_result(user, "wide", {"AUDIO": lines})
    before = calls(user, "PutVectors")
    assert finish(user, asset["asset_id"], output_uri=uri) == {"outcome": "indexed"}
    assert calls(user, "PutVectors") - before == {"ok": 3}
    assert len(vectors(user, asset["asset_id"])) == PARTS


def test_row_15_what_is_throttled_is_tried_again_until_it_is_in(user: User) -> None:
    """Elsewhere an error of the index or model is swallowed, or loses what was throttled."""
    rules = [
        {"service": "bedrock-runtime", "operation": "InvokeModel", "resource": "short of breath", "next": 1},
        {"service": "s3vectors", "operation": "PutVectors", "resource": "long breath", "next": 4},
    ]
    added = local(user, "faults", [{"fault": "throttle", **rule} for rule in rules])["rules"]
    user.drop("throttled/long.txt", note("a long breath"))
    user.drop("throttled/short.txt", b"This one is short of breath.")
    for key, count in (("throttled/long.txt", 3), ("throttled/short.txt", 1)):
        asset = user.settled(key)
        assert (asset["status"], asset["segment_count"], asset["attempt"]) == ("indexed", count, 0)
        assert len(vectors(user, asset["asset_id"])) == count
    hits = {each["id"]: each["hits"] for each in local(user, "faults")["rules"]}
    assert [hits[each["id"]] for each in added] == [1, 4]  # it was throttled


def test_row_16_the_same_file_and_the_same_event_again_double_nothing(user: User) -> None:
    """Elsewhere the same film three times is nine vectors."""
    first = user.dropped("again.wav", sound(40, 360))
    once = vectors(user, first["asset_id"])
    assert len(once) == 3
    for _ in range(3):  # each under an id of its own, as from another delivery
        ring = {"detail-type": "Object Created", "detail": {"bucket": {"name": user.bucket}}, "id": str(uuid.uuid4())}
        ring["detail"]["object"] = {"key": "again.wav"}  # type: ignore[index]
        user.ring(ring)
    user.dropped("after again.txt", b"A file that comes behind those events.")
    assert vectors(user, first["asset_id"]) == once and user.asset("again.wav") == first
    for _ in range(2):
        assert user.dropped("again.wav", sound(40, 360))["segment_count"] == 3
        user.until(lambda: len(vectors(user, first["asset_id"])) == 3)
    assert not set(vectors(user, first["asset_id"])) & set(once)


def test_row_17_an_overwritten_file_is_found_by_its_new_content_alone(user: User) -> None:
    """Elsewhere the old vectors stay beside the new ones."""
    first = user.dropped("replaced.txt", note("cormorants"))
    old = vectors(user, first["asset_id"])
    assert len(old) == 3
    assert user.dropped("replaced.txt", b"Only pelicans are left.")["segment_count"] == 1
    user.until(lambda: len(vectors(user, first["asset_id"])) == 1)
    assert not set(vectors(user, first["asset_id"])) & set(old)
    hits = user.search("cormorants", filter={"asset_id": first["asset_id"]}, group_by="segment", top_k=10)
    assert [hit["segments"][0]["text"] for hit in hits] == ["Only pelicans are left."]


def test_row_18_a_deleted_file_s_vectors_go_without_a_scan(user: User) -> None:
    """Elsewhere they stay, or the whole index is read to find them."""
    asset = user.dropped("deleted.txt", note("herons"))
    reads = ("ListVectors", "GetVectors", "QueryVectors", "Scan")
    before = [calls(user, name) for name in reads]
    user.remove("deleted.txt")
    user.until(lambda: vectors(user, asset["asset_id"]) == [])
    assert [calls(user, name) for name in reads] == before
    assert user.asset("deleted.txt") is None and user.settled("deleted.txt")["status"] == "deleted"
    assert not user.search("herons", filter={"asset_id": asset["asset_id"]})


def test_row_19_720_vectors_are_deleted_in_two_calls(user: User) -> None:
    """Elsewhere all go in one call, which is refused, and that is swallowed."""
    asset = user.asset("book.txt") or user.dropped("book.txt", BOOK)
    before = calls(user, "DeleteVectors")
    assert user.call("DELETE", f"/assets/{asset['asset_id']}").status == 202
    assert user.settled("book.txt", not_as=asset)["status"] == "deleted"
    user.until(lambda: vectors(user, asset["asset_id"]) == [])
    assert calls(user, "DeleteVectors") - before == {"ok": 2}


def test_row_20_a_passage_and_attributes_of_any_size_are_within_the_limits(user: User) -> None:
    """Elsewhere the whole text is metadata that filters see, of which 2 KB are allowed, and the put is refused."""
    text = "山羊が庭で草を食べる。" * 70  # 770 characters, 2,310 bytes
    wide = {f"name-{number:02}": "v" * 60 for number in range(22)}
    key = f"{'deep folder/' * 60}{'long name ' * 20}.txt"
    sidecar = {"metadataAttributes": {f"more-{number}": "字" * 30 for number in range(20)}}
    user.drop(f"{key}.metadata.json", json.dumps(sidecar).encode())
    asset = user.dropped(key, text.encode(), Metadata={"speaker": "Ann", **wide})
    assert (asset["status"], asset["segment_count"]) == ("indexed", 1), asset
    kept, dropped = asset["attributes"], set(asset["attributes_dropped"])
    assert kept and dropped and not kept.keys() & dropped
    assert kept.keys() | dropped == {"speaker", *wide, *sidecar["metadataAttributes"]}
    name, value = next(iter(kept.items()))
    (hit,) = user.search("山羊", filter={"$and": [{name: value}, {"prefix": "deep folder/"}]})
    assert (hit["key"], hit["segments"][0]["text"]) == (key, text)
    assert "failures" not in asset and details(user, asset["asset_id"])["failures"] == []

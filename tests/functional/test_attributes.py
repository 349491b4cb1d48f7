"""What users say of their files: metadata, tags, sidecars; typed, filtered by, changed later."""

import json
from typing import Any

import pytest

from tests.user import User


def sidecar(values: Any) -> bytes:
    return json.dumps({"metadataAttributes": values}).encode()


def found(user: User, filter: Any) -> set[str]:
    return {hit["key"] for hit in user.search("a herd of goats", filter=filter, top_k=100)}


def attributes(user: User, key: str) -> dict[str, Any]:
    asset = user.asset(key)
    values: dict[str, Any] = asset["attributes"] if asset else {}
    return values


def test_attributes_come_from_metadata_tags_and_sidecar_each_before_the_one_before(user: User) -> None:
    values = {
        "year": 2021,
        "score": 0.5,
        "open": True,
        "genres": ["farm", "goat"],
        "taken": "2024-03-01",
        "who": "sidecar",
    }
    user.drop("three.txt.metadata.json", sidecar(values))
    more = {"Metadata": {"who": "metadata", "mood": "calm"}, "Tagging": "who=tag&place=barn"}
    asset = user.dropped("three.txt", b"a herd of goats", **more)
    assert asset["attributes"] == {**values, "mood": "calm", "place": "barn"}
    for condition in (
        {"year": {"$gte": 2021}},
        {"score": {"$lt": 0.6}},
        {"open": True},
        {"genres": "goat"},
        {"taken": {"$gt": "2024-02-29"}},
        {"taken": "2024-03-01"},
        {"taken": {"$in": ["2024-03-01"]}},
        {"who": "sidecar"},
        {"place": "barn"},
    ):
        assert "three.txt" in found(user, condition), condition
    assert "three.txt" not in found(user, {"taken": {"$gt": "2024-03-01T00:00:01Z"}})
    (hit,) = (hit for hit in user.search("a herd of goats", top_k=100) if hit["key"] == "three.txt")
    assert hit["attributes"]["taken"] == "2024-03-01"


def test_a_sidecar_that_comes_changes_and_goes_relabels_the_vectors_without_the_model(user: User) -> None:
    asset = user.dropped("late.txt", " ".join(f"Goat number {n} eats." for n in range(400)).encode())
    assert asset["segment_count"] > 3 and asset["attributes"] == {}
    vectors = user.vectors(asset["asset_id"])
    before = user.embeddings()
    for values in ({"farm": "north"}, {"farm": "south", "since": "2020-01-01T10:00:00Z"}):
        user.drop("late.txt.metadata.json", sidecar(values))
        user.until(lambda values=values: attributes(user, "late.txt") == values)  # type: ignore[misc]
        user.until(lambda values=values: "late.txt" in found(user, {"farm": values["farm"]}))  # type: ignore[misc]
        (hit,) = user.search("goat", filter={"farm": values["farm"]})
        parts = [part for one in hit["segments"] for part in one.get("segment_ids", [one["segment_id"]])]
        assert len(parts) == asset["segment_count"]  # those that touch are one match
    assert user.embeddings() == before > 0
    assert user.vectors(asset["asset_id"]) == vectors
    user.remove("late.txt.metadata.json")
    user.until(lambda: attributes(user, "late.txt") == {})
    user.until(lambda: "late.txt" not in found(user, {"farm": "south"}))
    after = user.asset("late.txt")
    assert after and (after["attempt"], after["status"]) == (asset["attempt"], "indexed")


def test_tags_that_change_later_are_seen(user: User) -> None:
    user.dropped("tagged.txt", b"a herd of goats")
    s3 = user.client("s3")
    s3.put_object_tagging(Bucket=user.bucket, Key="tagged.txt", Tagging={"TagSet": [{"Key": "year", "Value": "2020"}]})
    user.until(lambda: "tagged.txt" in found(user, {"year": "2020"}))
    s3.delete_object_tagging(Bucket=user.bucket, Key="tagged.txt")
    user.until(lambda: "tagged.txt" not in found(user, {"year": "2020"}))


def test_a_sidecar_is_never_an_asset_whichever_comes_first(user: User) -> None:
    user.drop("lonely.txt.metadata.json", sidecar({"a": 1}))
    user.dropped("after-lonely.txt", b"a herd of goats")
    assert user.asset("lonely.txt") is None and user.asset("lonely.txt.metadata.json") is None
    assert user.dropped("lonely.txt", b"a herd of goats")["attributes"] == {"a": 1}


@pytest.mark.parametrize(
    "content", [b"", b"no json", b"[]", b'{"a": 1}', b'{"metadataAttributes": []}', b" " * 20_000, b"\xff\xfe"]
)
def test_a_sidecar_that_cannot_be_read_is_told(user: User, content: bytes) -> None:
    key = f"odd-{content[:9].hex()}.txt"
    user.drop(f"{key}.metadata.json", content)
    asset = user.dropped(key, b"a herd of goats")
    assert asset["status"] == "indexed" and asset["attributes"] == {}
    assert f"{key}.metadata.json" in asset["attributes_problem"]


def test_values_that_the_index_does_not_know_are_named(user: User) -> None:
    values = {
        "nested": {"a": 1},
        "none": None,
        "empty": [],
        "mixed": [1, "a"],
        "_ours": 1,
        "x" * 70: 1,
        "big": 10**30,
        "tiny": [1e-200],
        "fine": "yes",
    }
    user.drop("values.txt.metadata.json", sidecar(values))
    asset = user.dropped("values.txt", b"a herd of goats")
    assert asset["attributes"] == {"fine": "yes"}
    assert set(asset["attributes_dropped"]) == {"nested", "none", "empty", "mixed", "_ours", "x" * 63, "big", "tiny"}
    user.drop("kb.txt.metadata.json", sidecar({"year": {"value": {"type": "NUMBER", "numberValue": 1999}}}))
    assert user.dropped("kb.txt", b"a herd of goats")["attributes"] == {"year": 1999}

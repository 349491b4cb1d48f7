"""A deployment with three profiles: rules choose whose a file is, and a search asks several."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from samples.tour import synthesize
from tests.functional.conftest import laptop_on
from tests.unit import documents
from tests.unit.films import Scene, film
from tests.unit.media import encode, picture, tone
from tests.user import User

pytestmark = pytest.mark.slow
REST, DOCUMENTS, FINE = 256, 3072, 1024  # numbers a vector tell the index
CONTEXT = {
    "dimension": REST,
    "profiles": {
        "documents": {"dimension": DOCUMENTS},
        "fine": {"dimension": FINE, "segment_seconds": 5, "text_chars": 800, "embedding_mode": "AUDIO_VIDEO_SEPARATE"},
    },
    "rules": [
        {"prefix": "contracts/", "profile": "documents"},
        {"attribute": {"quality": "high"}, "profile": "fine"},
        {"prefix": "plain/", "profile": "default"},
        {"kind": "document", "profile": "documents"},
    ],
}
LEASE = b"The tenant keeps three goats in the garden."
LONG = " ".join(f"Goat number {n} eats the hay of the tenant." for n in range(80)).encode()


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    assembly = synthesize(tmp_path_factory.mktemp("assembly"), **CONTEXT)
    laptop = laptop_on(assembly, tmp_path_factory.mktemp("laptop"))
    try:
        yield User(laptop.start())
    finally:
        laptop.stop()


def lying(user: User, asset: dict[str, Any]) -> dict[int, Counter[str]]:
    """The vectors of an asset, counted by embedding type, in the indexes that have some, by their dimension."""
    client = user.client("s3vectors")
    bucket = user.outputs["VectorBucket"]
    found: dict[int, Counter[str]] = {}
    for each in client.list_indexes(vectorBucketName=bucket)["indexes"]:
        dimension = client.get_index(indexArn=each["indexArn"])["index"]["dimension"]
        pages = client.get_paginator("list_vectors").paginate(indexArn=each["indexArn"])
        keys = [vector["key"].split("/") for page in pages for vector in page["vectors"]]
        if types := Counter(key[2] for key in keys if key[0] == asset["asset_id"]):
            found[dimension] = types
    return found


@pytest.mark.parametrize(
    ("key", "content", "quality", "dimension", "types"),
    [
        ("lease.txt", LEASE, None, REST, {"TEXT": 1}),
        ("lease.html", LEASE, None, REST, {"TEXT": 1}),
        ("red.png", picture("png", (90, 90), "red"), None, REST, {"IMAGE": 1}),
        ("contracts/lease.txt", LEASE, None, DOCUMENTS, {"TEXT": 1}),
        ("contracts/high.txt", LEASE, "high", DOCUMENTS, {"TEXT": 1}),
        ("lease.pdf", documents.printed("One", "Two"), None, DOCUMENTS, {"IMAGE": 2}),
        ("high.pdf", documents.printed("One", "Two"), "high", FINE, {"IMAGE": 2}),
        ("plain/lease.pdf", documents.printed("One", "Two"), None, REST, {"IMAGE": 2}),
        ("low.txt", LEASE, "low", REST, {"TEXT": 1}),
        ("long.wav", encode(tone(32, 16_000), 16_000, "wav"), None, REST, {"AUDIO": 3}),
        ("high.wav", encode(tone(32, 16_000), 16_000, "wav"), "high", FINE, {"AUDIO": 7}),
        ("film.mp4", film([Scene("red", "hum", 6)], "mp4"), None, REST, {"AUDIO_VIDEO_COMBINED": 1}),
        ("high.mp4", film([Scene("red", "hum", 6)], "mp4"), "high", FINE, {"VIDEO": 1, "AUDIO": 1}),
    ],
)
def test_the_first_rule_that_fits_chooses_the_profile(
    user: User, key: str, content: bytes, quality: str | None, dimension: int, types: dict[str, int]
) -> None:
    asset = user.dropped(key, content, **({"Metadata": {"quality": quality}} if quality else {}))
    assert (asset["status"], lying(user, asset)) == ("indexed", {dimension: types}), asset
    (hit,) = (hit for hit in user.search("the tenant", top_k=100) if hit["key"] == key)
    assert hit["profile"] == {REST: "default", DOCUMENTS: "documents", FINE: "fine"}[dimension]
    assert user.call("GET", f"/assets/{asset['asset_id']}/segments").body["segments"][0]["status"] == "indexed"


def test_what_fits_no_rule_for_it_is_broken_ends_as_ever(user: User) -> None:
    asset = user.dropped("odd.bin", b"\0\1\2")
    assert asset["status"] == "unsupported" and lying(user, asset) == {}


@pytest.mark.parametrize("content", [LEASE, LONG])
def test_an_attribute_that_chooses_another_profile_moves_the_file(user: User, content: bytes) -> None:
    key = f"moving-{len(content)}.txt"
    before = user.dropped(key, content)
    count = before["segment_count"]
    assert lying(user, before) == {REST: {"TEXT": count}}

    tag = {"Bucket": user.bucket, "Key": key}
    user.client("s3").put_object_tagging(**tag, Tagging={"TagSet": [{"Key": "quality", "Value": "high"}]})
    user.until(lambda: REST not in lying(user, before))
    after = user.settled(key)
    assert (after["status"], after["attempt"]) == ("indexed", before["attempt"] + 1)
    assert lying(user, after) == {FINE: {"TEXT": after["segment_count"]}}
    assert after["segment_count"] > count or content == LEASE  # its pieces are shorter
    (hit,) = user.search("goats of the tenant", filter={"quality": "high", "modality": "text"}, profiles=["fine"])[:1]
    assert hit["attributes"] == {"quality": "high"}

    user.client("s3").delete_object_tagging(**tag)
    user.until(lambda: FINE not in lying(user, before))
    assert lying(user, user.settled(key)) == {REST: {"TEXT": count}}


def test_an_attribute_that_chooses_nothing_only_relabels(user: User) -> None:
    asset = user.dropped("contracts/named.txt", LEASE)
    before = user.embeddings()
    for values in ({"owner": "Ann"}, {"owner": "Bob", "quality": "high"}):
        user.drop("contracts/named.txt.metadata.json", json.dumps({"metadataAttributes": values}).encode())
        user.until(
            lambda values=values: bool(  # type: ignore[misc]
                user.search("goats", filter={"owner": values["owner"]}, profiles=["documents"])
            )
        )
    after = user.settled("contracts/named.txt")
    assert after["attempt"] == asset["attempt"] and lying(user, after) == {DOCUMENTS: {"TEXT": 1}}
    assert user.embeddings() == before > 0


def test_a_file_that_is_renamed_gets_the_profile_of_its_new_prefix(user: User) -> None:
    before = user.dropped("draft.txt", LEASE)
    source = {"Bucket": user.bucket, "Key": "draft.txt"}
    user.client("s3").copy_object(Bucket=user.bucket, Key="contracts/draft.txt", CopySource=source)
    user.remove("draft.txt")
    after = user.settled("contracts/draft.txt")
    assert lying(user, after) == {DOCUMENTS: {"TEXT": 1}}
    user.until(lambda: lying(user, before) == {})


def test_a_retry_stays_in_its_index_and_a_delete_empties_it(user: User) -> None:
    before = user.dropped("contracts/long.txt", LONG)
    assert user.call("POST", f"/assets/{before['asset_id']}/reprocess").status == 202
    after = user.settled("contracts/long.txt", not_as=before)
    assert (after["status"], after["attempt"]) == ("indexed", before["attempt"] + 1)
    assert lying(user, after) == {DOCUMENTS: {"TEXT": after["segment_count"]}}
    user.remove("contracts/long.txt")
    user.until(lambda: lying(user, after) == {})


def test_a_search_asks_all_profiles_or_those_that_are_named(user: User) -> None:
    for n in range(3):
        user.dropped(f"many/{n}.txt", f"Stork number {n} nests on the roof.".encode())
        user.dropped(f"contracts/many/{n}.txt", f"Stork number {n} nests on the roof.".encode())
    where = {"filter": {"$or": [{"prefix": "many/"}, {"prefix": "contracts/many/"}]}}
    query = "storks nest on the roof"

    body = user.call("POST", "/search", {"query": {"text": query}, **where}).body
    hits = body["hits"]
    assert body["complete"] and [hit["profile"] for hit in hits] == ["default", "documents"] * 3
    assert [hit["score"] for hit in hits] == [round(1 / (60 + rank), 6) for rank in (1, 1, 2, 2, 3, 3)]
    assert all(hit["scores"]["fused"] == hit["score"] for hit in hits)

    for name in ("default", "documents"):
        alone = user.search(query, profiles=[name], **where)
        assert [hit["key"] for hit in alone] == [hit["key"] for hit in hits if hit["profile"] == name]
        assert [hit["score"] for hit in alone] == [hit["segments"][0]["score"] for hit in alone]
        assert all("profile" not in hit and "fused" not in hit["scores"] for hit in alone)
    assert user.search(query, profiles=["fine"], **where) == []
    several = user.search(query, profiles=["documents", "default", "default"], top_k=3, **where)
    assert [hit["profile"] for hit in several] == ["default", "documents", "default"]
    assert len(user.search(query, group_by="segment", **where)) == 6
    assert user.search(query, min_score=0.999, **where) == []


@pytest.mark.parametrize(
    ("profiles", "field"), [(["default", "fien"], "profiles[1]"), ([], "profiles"), ("fine", "profiles")]
)
def test_a_profile_that_is_not_there_is_refused_by_name(user: User, profiles: Any, field: str) -> None:
    answer = user.call("POST", "/search", {"query": {"text": "goats"}, "profiles": profiles})
    assert (answer.status, answer.body["error"]["field"]) == (422, field)
    assert field != "profiles[1]" or "default, documents, fine" in answer.body["error"]["message"]

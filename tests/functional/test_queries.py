"""Any question: words, media, what is indexed, in every mode and shape."""

import base64
import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from samples.tour import MEDIA
from tests.unit.media import encode, picture, tone
from tests.user import User

PREFIX = "fair/"
TEXTS = {
    "kettle.txt": ("A copper kettle that whistles when the water boils.", {"product": "k1", "price": 30}),
    "lamp.txt": ("A brass lamp for reading at night.", {"product": "l1", "price": 80}),
    "chair.txt": ("An oak chair with a woven seat.", {"price": 120}),
    "manzanas.txt": ("Las manzanas rojas se venden en el mercado.", {}),
    "qahwa.txt": ("القهوة العربية تقدم مع التمر", {}),
    "neko.txt": ("猫は窓のそばで眠っています。", {}),
    "nadi.txt": ("गंगा नदी हिमालय से निकलती है", {}),
}


def b64(content: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(content).decode()}


@pytest.fixture(scope="module", autouse=True)
def fair(user: User) -> dict[str, dict[str, Any]]:
    for name, (text, attributes) in TEXTS.items():
        if attributes:
            user.drop(f"{PREFIX}{name}.metadata.json", json.dumps({"metadataAttributes": attributes}).encode())
        user.drop(PREFIX + name, text.encode())
    red = {"product": "k1"}
    user.drop(f"{PREFIX}red.png.metadata.json", json.dumps({"metadataAttributes": red}).encode())
    user.drop(f"{PREFIX}red.png", picture("png", (90, 90), "red"))
    user.drop(f"{PREFIX}blue.png", picture("png", (90, 90), "blue"))
    user.drop(f"{PREFIX}evening.mp3", (MEDIA / "evening.mp3").read_bytes())
    names = [*TEXTS, "red.png", "blue.png", "evening.mp3"]
    return {name: user.settled(PREFIX + name, seconds=240) for name in names}


def asked(user: User, query: dict[str, Any], **more: Any) -> dict[str, Any]:
    body = {"query": query, "filter": {"prefix": PREFIX}, **more}
    answer = user.call("POST", "/search", body)
    assert answer.status == 200, answer.body
    return answer.body


def names(body: dict[str, Any]) -> list[str]:
    return [hit["key"].removeprefix(PREFIX) for hit in body["hits"]]


def model_calls(user: User) -> int:
    """How often searches have asked the model."""
    with urllib.request.urlopen(f"{user.outputs['AwsEndpointUrl']}/_local/calls") as answer:
        calls = json.load(answer)["calls"]
    return sum(one["count"] for one in calls if "Search" in one["caller"] and one["service"].startswith("bedrock"))


def test_words_are_found_without_the_model(user: User) -> None:
    before = model_calls(user)
    body = asked(user, {"text": "brass"}, mode="text")
    assert names(body) == ["lamp.txt"] and model_calls(user) == before
    hit = body["hits"][0]
    assert hit["found_by"] == ["text"] and hit["score"] == hit["scores"]["text"] > 0
    assert set(hit["scores"]) == {"text"} and "embed" not in body["stages_ms"]


def test_hybrid_is_one_query_that_says_what_found_each(user: User) -> None:
    body = asked(user, {"text": "kettle"}, mode="hybrid", top_k=20)
    best = body["hits"][0]
    assert best["key"].endswith("kettle.txt") and best["found_by"] == ["vector", "text"]
    assert best["score"] == best["scores"]["fused"] and {"similarity", "text"} <= set(best["scores"])
    assert any(hit["found_by"] == ["vector"] for hit in body["hits"])


@pytest.mark.parametrize("mode", ["vector", "text", "hybrid"])
@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("manzanas rojas", "manzanas.txt"),
        ("القهوة العربية", "qahwa.txt"),
        ("猫は窓のそばで眠っています", "neko.txt"),
        ("गंगा नदी", "nadi.txt"),
    ],
)
def test_other_scripts_pass_unharmed(user: User, mode: str, text: str, name: str) -> None:
    hit = asked(user, {"text": text}, mode=mode, modalities=["text"])["hits"][0]
    assert hit["key"] == PREFIX + name and hit["segments"][0]["text"] == TEXTS[name][0]


def test_a_text_that_is_too_long_for_words_is_cut_and_the_answer_says_so(user: User) -> None:
    body = asked(user, {"text": "brass lamp " * 200}, mode="hybrid")
    assert "1,024" in body["notes"][0] and names(body)[0] == "lamp.txt"
    assert "notes" not in asked(user, {"text": "brass lamp"}, mode="hybrid")


def test_a_picture_finds_its_like_and_is_embedded_once(user: User) -> None:
    before = model_calls(user)
    query = {"image": b64(picture("png", (80, 80), "red"))}
    assert names(asked(user, query, modalities=["image"]))[0] == "red.png"
    asked(user, query, modalities=["image"])
    assert model_calls(user) == before + 1
    other = {"image": b64(picture("png", (80, 80), "blue"))}  # its first bytes are the same
    assert names(asked(user, other, modalities=["image"]))[0] == "blue.png"
    assert model_calls(user) == before + 2


def test_a_medium_may_be_uploaded_and_is_no_asset(user: User) -> None:
    form = user.call("POST", "/uploads", {"purpose": "query"}).body
    content = encode(tone(3, 16_000), 16_000, "wav")
    sent = urllib3.request("POST", form["url"], fields={**form["fields"], "file": ("x", content)})
    assert sent.status == 204 and form["key"].startswith("query/")
    body = asked(user, {"audio": {"upload": form["key"]}}, modalities=["audio"])
    assert names(body) == ["evening.mp3"]
    assert user.assets(prefix="query/") == []
    assert body["hits"][0]["scores"] == asked(user, {"audio": b64(content)}, modalities=["audio"])["hits"][0]["scores"]


def test_several_together_are_one_question(user: User) -> None:
    red = b64(picture("png", (90, 90), "red"))
    before = model_calls(user)
    query = {"text": "a lamp", "image": red, "weights": {"text": 0, "image": 1}}
    both = asked(user, query, modalities=["image"])
    assert model_calls(user) == before + 2
    alone = asked(user, {"image": red}, modalities=["image"])
    assert [(hit["key"], round(hit["score"], 4)) for hit in both["hits"]] == [
        (hit["key"], round(hit["score"], 4)) for hit in alone["hits"]
    ]


def test_more_like_this_asks_no_model_and_leaves_itself_out(user: User, fair: dict[str, dict[str, Any]]) -> None:
    before = model_calls(user)
    body = asked(user, {"asset": {"asset_id": fair["red.png"]["asset_id"]}}, top_k=50)
    assert model_calls(user) == before
    assert "red.png" not in names(body) and "blue.png" in names(body)
    part = {"asset_id": fair["evening.mp3"]["asset_id"], "start": 100}
    heat = user.call("POST", f"/assets/{part['asset_id']}/heat", {"query": {"asset": part}}).body
    hottest = max(heat["segments"], key=lambda one: one["score"])
    assert hottest["start"] <= 100 < hottest["end"] and hottest["score"] > 0.9999
    starts = [segment["start"] for segment in heat["segments"]]
    assert starts == sorted(starts) and len(starts) == fair["evening.mp3"]["segment_count"]
    assert model_calls(user) == before


def test_a_vector_of_a_profile_is_a_query(user: User, fair: dict[str, dict[str, Any]]) -> None:
    (key,) = user.vectors(fair["red.png"]["asset_id"])
    index = {"vectorBucketName": user.outputs["VectorBucket"], "indexName": user.outputs["IndexName"]}
    (stored,) = user.client("s3vectors").get_vectors(**index, keys=[key], returnData=True)["vectors"]
    query = {"vector": {"profile": "default", "values": stored["data"]["float32"]}}
    best = asked(user, query)["hits"][0]
    assert best["key"].endswith("red.png") and best["score"] > 0.9999


def test_a_product_is_one_hit_with_photo_and_description_as_evidence(user: User) -> None:
    body = asked(user, {"text": "copper kettle"}, group_by="product", top_k=50)
    (kettle,) = [hit for hit in body["hits"] if hit.get("group") == "k1"]
    assert {segment["key"] for segment in kettle["segments"]} == {f"{PREFIX}kettle.txt", f"{PREFIX}red.png"}
    assert len({hit["asset_id"] for hit in body["hits"]}) == len(body["hits"]) == len(TEXTS) + 3 - 1


@pytest.mark.parametrize("shape", [{}, {"group_by": "segment"}, {"sort": {"by": "created"}}, {"mode": "hybrid"}])
def test_next_goes_on_and_repeats_nothing(user: User, shape: dict[str, Any]) -> None:
    whole = asked(user, {"text": "a lamp"}, top_k=100, **shape)
    assert whole["complete"] and "next" not in whole
    found: list[str] = []
    token: dict[str, str] = {}
    while True:
        body = asked(user, {"text": "a lamp"}, top_k=3, **shape, **token)
        found += [hit["url"].split("?")[0] + hit["segments"][0]["segment_id"] for hit in body["hits"]]
        if "next" not in body:
            break
        token = {"next": body["next"]}
    assert found == [hit["url"].split("?")[0] + hit["segments"][0]["segment_id"] for hit in whole["hits"]]


def test_hits_are_sorted_by_an_attribute_and_weighed_by_age(user: User) -> None:
    body = asked(user, {"text": "furniture"}, sort={"by": "price", "order": "asc"}, modalities=["text"])
    assert names(body)[:3] == ["kettle.txt", "lamp.txt", "chair.txt"]
    recent = asked(user, {"text": "brass lamp"}, recency={"half_life_days": 0.0001}, modalities=["text"])
    for hit in recent["hits"]:
        assert 0 <= hit["scores"]["recency"] <= 1 and hit["score"] <= hit["scores"]["similarity"]


def test_rerank_scores_the_best_by_their_full_vectors(user: User) -> None:
    body = asked(user, {"text": "brass lamp"}, mode="hybrid", rerank=3)
    exact = [hit["scores"]["rerank"] for hit in body["hits"] if "rerank" in hit["scores"]]
    assert len(exact) == 3 and exact == sorted(exact, reverse=True)
    assert [hit["score"] for hit in body["hits"][:3]] == exact and "rerank" in body["stages_ms"]


def test_context_shows_the_neighbours_of_the_best_part(user: User) -> None:
    hit = asked(user, {"text": "drum"}, modalities=["audio"], context=2, group_by="segment")["hits"][0]
    (segment,) = hit["segments"]
    number = int(segment["segment_id"].split("/")[1])
    beside = [int(one["segment_id"].split("/")[1]) for one in segment["context"]]
    assert beside == [n for n in range(max(0, number - 2), number + 3) if n != number][: len(beside)] and beside


LONG_SOUND = encode(tone(40, 8_000), 8_000, "wav")
REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"query": {"image": {}}}, 422, "query.image"),
    ({"query": {"image": {"base64": "!"}}}, 422, "query.image.base64"),
    ({"query": {"image": b64(b"no picture")}}, 422, "query.image.base64"),
    ({"query": {"audio": b64(picture("png", (9, 9), "red"))}}, 422, "query.audio.base64"),
    ({"query": {"image": b64(picture("tiff", (9, 9), "red"))}}, 422, "query.image.base64"),
    ({"query": {"audio": b64(LONG_SOUND)}}, 422, "query.audio.base64"),
    ({"query": {"image": {"base64": "A" * 5_500_000}}}, 422, "query.image.base64"),
    ({"query": {"image": {"upload": "uploads/secret.png"}}}, 422, "query.image.upload"),
    ({"query": {"image": {"upload": "query/../derived/x"}}}, 422, "query.image.upload"),
    ({"query": {"image": {"upload": f"query/{'0' * 40}"}}}, 422, "query.image.upload"),
    ({"query": {"asset": {"asset_id": "nobody"}}}, 404, "query.asset.asset_id"),
    ({"query": {"text": "x", "asset": {"asset_id": "a", "second": 5}}}, 422, "query.asset.second"),
    ({"query": {"vector": {"profile": "none", "values": [1]}}}, 422, "query.vector.profile"),
    ({"query": {"vector": {"profile": "default", "values": [1]}}}, 422, "query.vector.values"),
    ({"query": {"text": "x", "weights": {"image": 1}}}, 422, "query.weights.image"),
    ({"query": {"text": "x", "weights": {"text": 0}}}, 422, "query.weights"),
    ({"query": {"text": "x"}, "mode": "magic"}, 422, "mode"),
    ({"query": {"image": b64(picture("png", (9, 9), "red"))}, "mode": "text"}, 422, "query.text"),
    ({"query": {"text": "x"}, "next": "x"}, 422, "next"),
    ({"query": {"text": "x"}, "group_by": "_uri"}, 422, "group_by"),
    ({"query": {"text": "x"}, "recency": {"half_life_days": 0}}, 422, "recency.half_life_days"),
    ({"query": {"text": "x"}, "rerank": 101}, 422, "rerank"),
    ({"query": {"text": "x"}, "context": -1}, 422, "context"),
    ({"query": {"text": "x"}, "purpose": "CLASSIFICATION"}, 422, "purpose"),
    ({"query": {"text": "x"}, "sort": {"by": "_uri"}}, 422, "sort.by"),
]


@pytest.mark.parametrize(("body", "status", "field"), REFUSED)
def test_what_makes_no_sense_is_refused_by_name(user: User, body: Any, status: int, field: str) -> None:
    answer = user.call("POST", "/search", body)
    assert (answer.status, answer.body["error"].get("field")) == (status, field), answer.body


def test_next_is_of_one_search_only(user: User) -> None:
    token = asked(user, {"text": "a lamp"}, top_k=1)["next"]
    answer = user.call("POST", "/search", {"query": {"text": "a chair"}, "top_k": 1, "next": token})
    assert answer.status == 422 and answer.body["error"]["field"] == "next"


def test_heat_of_nobody_is_404(user: User) -> None:
    assert user.call("POST", "/assets/nobody/heat", {"query": {"text": "x"}}).status == 404


@pytest.fixture(scope="module")
def building(user: User) -> Iterator[None]:
    """The words of the index are taken away, and put back afterwards."""
    client = user.client("s3vectors")
    index = {"vectorBucketName": user.outputs["VectorBucket"], "indexName": user.outputs["IndexName"]}
    keys = [{"metadataKey": "_text", "language": "en"}, {"metadataKey": "_title", "language": "en"}]
    without = [{"metadataKey": one["metadataKey"]} for one in keys]
    client.update_metadata_configuration(**index, delete={"textSearchConfigurations": without})
    yield
    client.update_metadata_configuration(**index, add={"textSearchConfigurations": keys})


def test_an_index_whose_words_are_still_taken_in_says_so(user: User, building: None) -> None:
    answer = user.call("POST", "/search", {"query": {"text": "brass"}, "mode": "text"})
    assert (answer.status, answer.body["error"]["code"]) == (409, "index_building")
    assert user.call("POST", "/search", {"query": {"text": "brass"}}).status == 200


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"sort": ""}, "sort"),
        ({"filter": {"n": 10**25}}, "filter.n"),
        ({"filter": {"n": {"$gt": -1e16}}}, "filter.n.$gt"),
    ],
)
def test_values_that_nothing_can_be_asked_for_are_refused_by_their_name(
    user: User, more: dict[str, Any], field: str
) -> None:
    refused = user.call("POST", "/search", {"query": {"text": "a lion"}, **more})
    assert refused.status in (400, 422) and refused.body["error"]["field"].startswith(field)

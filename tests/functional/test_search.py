"""Questions, lists and refusals."""

import base64
import json
import urllib.request
from typing import Any

import pytest

from tests.user import User


@pytest.fixture(scope="module", autouse=True)
def zoo(user: User) -> dict[str, dict[str, Any]]:
    texts = {
        "zoo/lion.txt": "The lion sleeps in the shade of the acacia.",
        "zoo/north/bear.txt": "The polar bear swims between floes of ice.",
        "zoo/north/seal.txt": "The seal sleeps on the ice and dreams of fish.",
    }
    return {key: user.dropped(key, text.encode()) for key, text in texts.items()}


def keys(hits: list[dict[str, Any]]) -> list[str]:
    return [hit["key"] for hit in hits]


def test_the_best_hit_is_first_and_shows_its_passage(user: User) -> None:
    hits = user.search("polar bear on ice", filter={"prefix": "zoo/"})
    assert keys(hits)[0] == "zoo/north/bear.txt"
    scores = [hit["score"] for hit in hits]
    assert scores == sorted(scores, reverse=True)
    best = hits[0]
    assert best["scores"]["similarity"] == best["score"] and best["found_by"] == ["vector"]
    assert best["segments"][0]["text"].startswith("The polar bear")
    assert best["title"] == "bear.txt" and best["modality"] == "text"


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"prefix": "zoo/north/"}, {"zoo/north/bear.txt", "zoo/north/seal.txt"}),
        ({"prefix": {"$eq": "zoo/"}}, {"zoo/lion.txt"}),
        ({"prefix": "zoo/", "size": {"$gt": 43}}, {"zoo/north/seal.txt"}),
        ({"$and": [{"prefix": "zoo/"}, {"modality": {"$in": ["audio", "image"]}}]}, set()),
        (
            {"$or": [{"size": {"$lt": 43}}, {"size": {"$gte": 46}}], "prefix": "zoo/"},
            {"zoo/north/bear.txt", "zoo/north/seal.txt"},
        ),
        (
            {"prefix": "zoo/", "created": {"$gte": "2020-01-01"}},
            {"zoo/lion.txt", "zoo/north/bear.txt", "zoo/north/seal.txt"},
        ),
        ({"prefix": "zoo/", "created": {"$lt": "2020-01-01T00:00:00Z"}}, set()),
        ({"prefix": "zoo/", "start": {"$exists": True}}, set()),
    ],
)
def test_a_filter_lets_through_what_it_says(user: User, condition: dict[str, Any], expected: set[str]) -> None:
    assert set(keys(user.search("animals", filter=condition, top_k=100))) == expected


def test_top_k_and_min_score_cut_the_list(user: User) -> None:
    assert len(user.search("ice", filter={"prefix": "zoo/"}, top_k=1)) == 1
    every = user.search("polar bear swims", filter={"prefix": "zoo/"})
    some = user.search("polar bear swims", filter={"prefix": "zoo/"}, min_score=every[0]["score"])
    assert keys(some) == keys(every)[:1]


def test_the_answer_says_how_long_each_stage_took(user: User) -> None:
    body = user.call("POST", "/search", {"query": {"text": "ice"}}).body
    assert set(body["stages_ms"]) == {"embed", "query", "heads", "links"}
    assert body["took_ms"] >= max(body["stages_ms"].values())
    assert body["search_id"] and isinstance(body["complete"], bool)


REFUSED: list[tuple[Any, int, str | None]] = [
    ({}, 422, "query"),
    ({"query": {}}, 422, "query"),
    ({"query": {"text": ""}}, 422, "query.text"),
    ({"query": {"text": "x" * 9000}}, 422, "query.text"),
    ({"query": {"text": 5}}, 422, "query.text"),
    ({"query": {"text": "x", "sound": {}}}, 422, "query.sound"),
    ({"query": {"text": "x"}, "limit": 3}, 422, "limit"),
    ({"query": {"text": "x"}, "top_k": 0}, 422, "top_k"),
    ({"query": {"text": "x"}, "top_k": 101}, 422, "top_k"),
    ({"query": {"text": "x"}, "modalities": []}, 422, "modalities"),
    ({"query": {"text": "x"}, "modalities": ["smell"]}, 422, "modalities[0]"),
    ({"query": {"text": "x"}, "filter": {"$and": [{}]}}, 422, "filter.$and[0]"),
    (
        {"query": {"text": "x"}, "filter": {"$and": [{"size": 1}, {"year": {"$gt": "x"}}]}},
        422,
        "filter.$and[1].year.$gt",
    ),
    ({"query": {"text": "x"}, "filter": {"size": {"$near": 1}}}, 422, "filter.size.$near"),
    ({"query": {"text": "x"}, "filter": {"_size": 1}}, 422, "filter._size"),
    ({"query": {"text": "x"}, "filter": {"$not": {"size": 1}}}, 422, "filter.$not"),
    ({"query": {"text": "x"}, "filter": {"size": None}}, 422, "filter.size.$eq"),
    ({"query": {"text": "x"}, "filter": {"modality": {"$in": ["a"] * 101}}}, 422, "filter"),
    ([1, 2], 422, None),
    (b"not json", 400, None),
    (b"\xff\xfe", 400, None),
]


@pytest.mark.parametrize(("body", "status", "field"), REFUSED)
def test_a_question_that_makes_no_sense_is_refused_by_name(
    user: User, body: Any, status: int, field: str | None
) -> None:
    answer = user.call("POST", "/search", body)
    assert answer.status == status
    assert set(answer.body) == {"error", "request_id"} and answer.body["request_id"]
    assert answer.body["error"]["code"] and answer.body["error"]["message"]
    assert answer.body["error"].get("field") == field


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "text/plain", "application/octet-stream"]
)
def test_json_is_taken_as_json_whatever_it_is_called(user: User, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    assert user.call("POST", "/search", {"query": {"text": "ice"}}, headers).status == 200


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/search"), ("GET", "/nothing/here"), ("DELETE", "/assets")]
)
def test_an_unknown_path_gets_the_same_shape_of_error(user: User, method: str, path: str) -> None:
    answer = user.call(method, path)
    assert answer.status == 404 and answer.body["error"]["code"] == "not_found"


@pytest.mark.parametrize("asset_id", ["aaaaaaaaaaaaaaaaaaaa", "x", "%20", "A" * 300, "%E6%97%A5", "..%2F.."])
def test_an_unknown_asset_is_404_whatever_it_looks_like(user: User, asset_id: str) -> None:
    assert user.call("GET", f"/assets/{asset_id}").status == 404


def test_an_asset_tells_where_it_is_and_what_failed(user: User, zoo: dict[str, dict[str, Any]]) -> None:
    asset = user.call("GET", f"/assets/{zoo['zoo/lion.txt']['asset_id']}").body
    assert asset["key"] == "zoo/lion.txt" and asset["uri"].endswith("/zoo/lion.txt")
    assert asset["failures"] == [] and asset["failed_segments"] == 0 and asset["url"].startswith("http")


def test_lists_narrow_by_status_prefix_and_modality(user: User) -> None:
    assert {asset["key"] for asset in user.assets(prefix="zoo/north/")} == {"zoo/north/bear.txt", "zoo/north/seal.txt"}
    assert {asset["key"] for asset in user.assets(prefix="zoo/", status="indexed", modality="text")} >= {"zoo/lion.txt"}
    assert user.assets(prefix="zoo/", modality="audio") == []
    assert user.call("GET", "/assets?status=bogus").body["error"]["field"] == "status"


def test_a_list_goes_on_where_its_page_ended(user: User) -> None:
    assert user.call("GET", "/assets?next=bogus").status == 422
    forged = base64.urlsafe_b64encode(b'{"a": 1}').decode()
    assert user.call("GET", f"/assets?next={forged}").status == 422
    listed = [asset["key"] for asset in user.assets()]
    assert listed == sorted(listed) and len(listed) == len(set(listed))


@pytest.mark.parametrize(
    ("service", "operation"),
    [("bedrock-runtime", "InvokeModel"), ("s3vectors", "QueryVectors"), ("dynamodb", "BatchGetItem")],
)
def test_a_throttled_search_is_told_when_to_try_again(user: User, service: str, operation: str) -> None:
    rule = {"fault": "throttle", "service": service, "operation": operation, "caller": "*Search*", "next": 2}
    if service == "dynamodb":
        rule["next"] = 3  # as often as its client tries
    url = f"{user.outputs['AwsEndpointUrl']}/_local/faults"
    urllib.request.urlopen(url, json.dumps(rule).encode()).close()
    answer = user.call("POST", "/search", {"query": {"text": "lion"}})
    assert (answer.status, answer.body["error"]["code"]) == (429, "throttled"), answer
    assert int(answer.headers["Retry-After"]) > 0
    assert keys(user.search("lion", filter={"prefix": "zoo/"}, top_k=1)) == ["zoo/lion.txt"]


def test_the_api_describes_itself(user: User) -> None:
    document = user.call("GET", "/openapi.json").body
    assert {"/search", "/assets", "/assets/{asset_id}"} <= set(document["paths"])
    for path, method in {"/search": "post", "/assets": "get", "/assets/{asset_id}": "get"}.items():
        assert "Retry-After" in document["paths"][path][method]["responses"]["429"]["headers"]
        refusal = document["paths"][path][method]["responses"]["422"]
        assert refusal["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/ErrorAnswer"}
        for status in ("429", "503"):
            assert document["paths"][path][method]["responses"][status]["headers"].keys() == {"Retry-After"}


@pytest.mark.parametrize(
    ("service", "operation", "fault"),
    [
        ("bedrock-runtime", "InvokeModel", {"fault": "throttle"}),
        ("s3vectors", "QueryVectors", {"fault": "throttle"}),
        ("s3vectors", "QueryVectors", {"fault": "fail", "error": "ServiceUnavailableException"}),
    ],
)
def test_a_search_that_finds_no_room_is_told_when_to_come_again(
    user: User, service: str, operation: str, fault: dict[str, str]
) -> None:
    faults = f"{user.outputs['AwsEndpointUrl']}/_local/faults"
    rule = {**fault, "service": service, "operation": operation, "caller": "*Search*"}
    urllib.request.urlopen(faults, json.dumps(rule).encode()).close()
    try:
        refused = user.call("POST", "/search", {"query": {"text": f"a lion that {operation} never saw"}})
    finally:
        urllib.request.urlopen(urllib.request.Request(faults, method="DELETE")).close()
    assert refused.status == 429 and int(refused.headers["Retry-After"]) > 0
    assert refused.body["error"]["code"] == "throttled"
    assert user.call("POST", "/search", {"query": {"text": "lion"}}).status == 200


def test_a_search_that_nobody_answers_in_time_is_told_when_to_come_again(user: User) -> None:
    faults = f"{user.outputs['AwsEndpointUrl']}/_local/faults"
    rule = {"fault": "late", "service": "bedrock-runtime", "operation": "InvokeModel", "caller": "*Search*"}
    urllib.request.urlopen(faults, json.dumps({**rule, "seconds": 6, "next": 2}).encode()).close()  # its two tries
    refused = user.call("POST", "/search", {"query": {"text": "a lion that comes too late"}})
    assert (refused.status, refused.body["error"]["code"]) == (503, "unavailable"), refused
    assert int(refused.headers["Retry-After"]) > 0
    assert user.call("POST", "/search", {"query": {"text": "a lion that comes too late"}}).status == 200


def test_nothing_of_the_inside_leaks(user: User) -> None:
    body = str(user.call("POST", "/search", {"query": {"text": "lion"}, "filter": {"modality": "text"}}).body)
    assert "Traceback" not in body and "'_start'" not in body and user.outputs["OutputBucket"] not in body

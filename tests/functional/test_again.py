"""One asset again: retried, deleted over the API, looked into; and what its vectors may say of it."""

import json
from typing import Any

import pytest

from lambdas.ingest.handler import read_bell
from tests.functional.test_results import embedding, executions, finish, line, write_result
from tests.functional.test_results import user as user  # a laptop whose jobs take long enough to get in before them
from tests.unit.media import encode, picture, tone
from tests.user import User

RATE = 16_000


def sound(user: User, key: str, hertz: float, lines: list[Any], **entry: Any) -> dict[str, Any]:
    """A sound whose job gave these lines; its details."""
    asset = embedding(user, key, encode(tone(40, RATE, hertz), RATE, "mp3"))
    finish(user, asset["asset_id"], output_uri=write_result(user, key, {"AUDIO": lines}, **entry))
    return details(user, asset["asset_id"])


def details(user: User, asset_id: str) -> dict[str, Any]:
    return user.call("GET", f"/assets/{asset_id}").body


def segments(user: User, asset_id: str) -> list[dict[str, Any]]:
    """All pages of them."""
    found, path = [], f"/assets/{asset_id}/segments"
    while True:
        answer = user.call("GET", path)
        assert answer.status == 200, answer.body
        assert len(answer.body["segments"]) <= 200
        found += answer.body["segments"]
        if "next" not in answer.body:
            return found
        path = f"/assets/{asset_id}/segments?next={answer.body['next']}"


def failure(number: int, message: str = "try again") -> dict[str, Any]:
    return {**line(number), "status": "FAILURE", "failureReason": "INTERNAL_SERVER_EXCEPTION", "message": message}


def retried(user: User, before: dict[str, Any]) -> dict[str, Any]:
    """Reprocess the asset and wait until its new job can be finished."""
    answer = user.call("POST", f"/assets/{before['asset_id']}/reprocess")
    assert answer.status == 202 and answer.body["asset_id"] == before["asset_id"]
    attempt = before["attempt"] + 1
    user.until(lambda: any(name.endswith(f"-{attempt}") for name in executions(user, before["asset_id"])))
    user.until(lambda: details(user, before["asset_id"])["status"] == "embedding")  # the file has been opened
    meanwhile = details(user, before["asset_id"])
    assert meanwhile["attempt"] == attempt
    return meanwhile


def test_a_retry_of_a_partial_asset_mends_it(user: User) -> None:
    before = sound(user, "mended.mp3", 310, [line(0), failure(1), line(2)])
    assert (before["status"], before["segment_count"], before["failed_segments"]) == ("partial", 2, 1)
    old = user.vectors(before["asset_id"])
    meanwhile = retried(user, before)
    assert meanwhile["segment_count"] == 2 and user.search("tone", filter={"asset_id": before["asset_id"]})
    uri = write_result(user, "mended again", {"AUDIO": [line(0), line(1), line(2)]})
    assert finish(user, before["asset_id"], output_uri=uri) == {"outcome": "indexed"}
    after = details(user, before["asset_id"])
    assert (after["status"], after["segment_count"], after["failed_segments"]) == ("indexed", 3, 0)
    assert "reason" not in after and after["failures"] == []
    assert set(old) < set(user.vectors(before["asset_id"]))


def test_a_retry_that_does_worse_keeps_what_was_there(user: User) -> None:
    before = sound(user, "worse.mp3", 330, [line(0), line(1), failure(2)])
    retried(user, before)
    uri = write_result(user, "worse again", {"AUDIO": [line(0), failure(1), line(2)]})
    assert finish(user, before["asset_id"], output_uri=uri) == {"outcome": "indexed"}
    assert len(user.vectors(before["asset_id"])) == details(user, before["asset_id"])["segment_count"] == 3


def test_a_failed_retry_leaves_what_was_live_as_it_was_and_is_told(user: User) -> None:
    before = sound(user, "stays.mp3", 350, [line(0), failure(1, "too loud")])
    vectors = user.vectors(before["asset_id"])
    retried(user, before)
    assert finish(user, before["asset_id"], failure="The model is on holiday") == {"outcome": "failed"}
    after = details(user, before["asset_id"])
    assert after["retry_failure"] == "The model is on holiday"
    same = ("status", "reason", "segment_count", "failed_segments", "failures")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert user.vectors(before["asset_id"]) == vectors
    assert [one["reason"] for one in segments(user, before["asset_id"]) if one["status"] == "failed"] == [
        "the model failed on this part: too loud"
    ]


def test_asking_twice_at_once_is_one_retry(user: User) -> None:
    asset = user.dropped("once.txt", b"asked for twice, embedded once more")
    before = details(user, asset["asset_id"])
    ring = {"key": "once.txt", "attempt": before["attempt"]}
    for _ in range(3):
        user.ring(ring)
    user.until(lambda: details(user, asset["asset_id"])["attempt"] > before["attempt"])
    user.dropped("after once.txt", b"a file that comes behind those rings")
    after = details(user, asset["asset_id"])
    assert after["attempt"] == before["attempt"] + 1 and after["status"] == "indexed"
    assert len(user.vectors(asset["asset_id"])) == 1


def test_a_retry_of_what_failed_indexes_it(user: User) -> None:
    before = sound(user, "failed first.mp3", 370, [], embeddingType="AUDIO", status="FAILURE", message="no")
    assert before["status"] == "failed"
    retried(user, before)
    uri = write_result(user, "failed first again", {"AUDIO": [line(0), line(1)]})
    assert finish(user, before["asset_id"], output_uri=uri) == {"outcome": "indexed"}
    after = details(user, before["asset_id"])
    assert (after["status"], after["segment_count"]) == ("indexed", 2) and len(user.vectors(before["asset_id"])) == 2


def test_deleting_over_the_api_deletes_the_file_and_all_that_was_made_of_it(user: User) -> None:
    asset = user.dropped("api/away.png", picture("png"))
    answer = user.call("DELETE", f"/assets/{asset['asset_id']}")
    assert answer.status == 202 and answer.body["key"] == "api/away.png"
    gone = user.settled("api/away.png", not_as=asset)
    assert gone["status"] == "deleted"
    user.until(lambda: user.vectors(asset["asset_id"]) == [])
    assert "Contents" not in user.client("s3").list_objects_v2(Bucket=user.bucket, Prefix="api/away")
    assert user.call("DELETE", f"/assets/{asset['asset_id']}").status == 202


@pytest.mark.parametrize(("method", "path"), [("DELETE", ""), ("POST", "/reprocess"), ("GET", "/segments")])
@pytest.mark.parametrize("asset_id", ["aaaaaaaaaaaaaaaaaaaa", "no-such", "%F0%9F%90%99"])
def test_an_unknown_asset_is_404(user: User, method: str, path: str, asset_id: str) -> None:
    answer = user.call(method, f"/assets/{asset_id}{path}")
    assert answer.status == 404 and answer.body["error"]["code"] == "not_found"


def test_all_failed_segments_of_a_long_film_can_be_read(user: User) -> None:
    asset = embedding(user, "film.mp3", encode(tone(40, RATE, 390), RATE, "mp3"))
    lines = [failure(number, f"part {number} " + "x" * 500) for number in range(1434)]
    uri = write_result(user, "film", {"VIDEO": lines, "AUDIO": [*lines[1:], line(0)]})
    assert finish(user, asset["asset_id"], output_uri=uri) == {"outcome": "partial"}
    found = segments(user, asset["asset_id"])
    failed = [one for one in found if one["status"] == "failed"]
    assert {one["segment_id"] for one in failed} == {
        *(f"VIDEO/{number}" for number in range(1434)),
        *(f"AUDIO/{number}" for number in range(1, 1434)),
    }
    assert len(failed) == 2867 and all(f"part {one['segment_id'].split('/')[1]} x" in one["reason"] for one in failed)
    assert [one["segment_id"] for one in found if one["status"] == "indexed"] == ["AUDIO/0"]
    order = [(one["segment_id"].split("/")[0], int(one["segment_id"].split("/")[1])) for one in found]
    assert order == sorted(order)
    assert details(user, asset["asset_id"])["failed_segments"] == 2867


def test_failed_segments_of_a_job_of_which_nothing_came_can_be_read_too(user: User) -> None:
    asset = sound(user, "all failed.mp3", 410, [failure(number) for number in range(250)])
    assert asset["status"] == "failed" and asset["segment_count"] == 0 and asset["failed_segments"] == 250
    assert len(segments(user, asset["asset_id"])) == 250


def test_the_segments_of_a_text_are_its_passages(user: User) -> None:
    asset = user.dropped("short.txt", b"one passage is all there is")
    (segment,) = segments(user, asset["asset_id"])
    assert segment == {
        "segment_id": "TEXT/0",
        "status": "indexed",
        "start_char": 0,
        "end_char": 27,
        "text": "one passage is all there is",
    }


def test_a_page_of_segments_that_were_replaced_is_refused(user: User) -> None:
    asset = sound(user, "paged.mp3", 430, [line(number) for number in range(150)])
    token = user.call("GET", f"/assets/{asset['asset_id']}/segments").body["next"]
    before = user.asset("paged.mp3")
    user.drop("paged.mp3", b"\xff\xfb nothing any more")
    user.settled("paged.mp3", not_as=before)
    answer = user.call("GET", f"/assets/{asset['asset_id']}/segments?next={token}")
    assert answer.status == 422 and answer.body["error"]["field"] == "next"


@pytest.mark.parametrize("token", ["x", "e30", "bnVsbA", "eyJhdCI6ICIxIn0"])
def test_a_page_that_never_was_is_refused(user: User, token: str) -> None:
    asset = user.dropped("unpaged.txt", b"no pages here")
    answer = user.call("GET", f"/assets/{asset['asset_id']}/segments?next={token}")
    assert answer.status == 422 and answer.body["error"]["field"] == "next"


def test_what_no_result_should_hold_never_ends_the_function(user: User) -> None:
    odd = [
        line(0),
        line(0),
        {**line(1), "segmentMetadata": {"segmentIndex": 10**12}},
        {**line(2), "segmentMetadata": {"segmentIndex": 2, "segmentStartSeconds": "soon"}},
        {**line(3), "failureReason": {"a": 1}, "status": ["FAILURE"], "message": {"b": 2}},
        "NaN",
        json.dumps(line(6)).replace("0.5", "1e999", 1),
    ]
    asset = sound(user, "odd.mp3", 450, odd, embeddingType={"no": "name"}, status=7, outputFileUri=["nowhere"])
    assert (asset["status"], asset["segment_count"], asset["failed_segments"]) == ("partial", 1, 7)
    reasons = " ".join(one["reason"] for one in asset["failures"])
    for words in ("twice", "number 1000000000000", "second soon", "infinite", "not an object"):
        assert words in reasons


@pytest.mark.parametrize("result", ["", "{", "[]", "null", '{"embeddingResults": 5}', '{"embeddingResults": []}'])
def test_a_result_that_is_none_is_a_failed_job_with_a_reason(user: User, result: str) -> None:
    key = f"result {result[:30]}.mp3"
    asset = embedding(user, key, encode(tone(40, RATE, 470), RATE, "mp3"))
    place = f"jobs/none {len(result)}/abc123def456"
    user.client("s3").put_object(
        Bucket=user.outputs["OutputBucket"], Key=f"{place}/segmented-embedding-result.json", Body=result.encode()
    )
    uri = f"s3://{user.outputs['OutputBucket']}/{place}"
    assert finish(user, asset["asset_id"], output_uri=uri) == {"outcome": "failed"}
    assert "embed" in details(user, asset["asset_id"])["reason"]


def test_a_user_s_metadata_filters_and_what_has_no_room_is_named(user: User) -> None:
    wide = {f"name-{number:02}": "v" * 60 for number in range(22)}
    asset = user.dropped("described.txt", b"a text with metadata", Metadata={"speaker": "Ann", **wide})
    kept, dropped = asset["attributes"], asset["attributes_dropped"]
    assert asset["status"] == "indexed" and dropped and kept.keys() | set(dropped) == {"speaker", *wide}
    assert not kept.keys() & set(dropped)
    name = sorted(kept)[0]
    assert [hit["key"] for hit in user.search("text", filter={name: kept[name]})] == ["described.txt"]
    odd = {
        "created": "2026",
        "prefix": "p",
        "name": "=?UTF-8?B?SsO8cmdlbg==?=",
        "broken": "=?NONE?B?SsO8?=",
        "$and": "x",
    }
    named = user.dropped("described oddly.txt", b"a text with odd metadata", Metadata=odd)
    assert named["attributes"] == {"name": "Jürgen", "broken": "=?NONE?B?SsO8?="}
    assert named["attributes_dropped"] == ["$and", "created", "prefix"]
    assert user.search("text", filter={"name": "Jürgen"})[0]["key"] == "described oddly.txt"
    small = user.dropped("described too.txt", b"a text with a speaker", Metadata={"speaker": "Bob"})
    assert small["attributes"] == {"speaker": "Bob"} and "attributes_dropped" not in small
    assert user.search("text", filter={"speaker": "Bob"})[0]["attributes"] == {"speaker": "Bob"}


NO_COUNTS = [{"key": "a", "attempt": {}}, {"key": "a", "attempt": []}, {"key": "a", "waited": "1"}]
NO_KEYS = [{"key": 5}, {"key": None}, {"key": ""}, {"key": "x" * 2000}, {"detail": {"object": {"key": {}}}}, {}]


@pytest.mark.parametrize("body", [*NO_COUNTS, *NO_KEYS, [], 5, None], ids=str)
def test_a_message_that_is_no_doorbell_is_nobody_else_s_trouble(body: Any) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        read_bell(body)


@pytest.mark.slow
def test_many_are_retried_by_prefix_status_and_time(user: User) -> None:
    keys = [f"many/{number:03}.txt" for number in range(120)]  # more than a page
    for key in keys:
        user.drop(key, b"")
    for key in keys:
        assert user.settled(key)["status"] == "failed"
    user.dropped("many/fine.txt", b"this one is fine")
    ask = {"prefix": "many/", "status": "failed", "since": "2026-01-01"}
    answer = user.call("POST", "/assets/reprocess", ask)
    assert (answer.status, answer.body["prefix"], answer.body["status"]) == (202, "many/", "failed")
    for key in keys:
        user.until(lambda key=key: (user.asset(key) or {})["attempt"] == 1)  # type: ignore[misc]
        assert user.settled(key)["status"] == "failed"
    assert (user.asset("many/fine.txt") or {})["attempt"] == 0
    assert user.call("POST", "/assets/reprocess", {"prefix": "many/", "since": "2099-01-01"}).status == 202
    assert (user.asset("many/000.txt") or {})["attempt"] == 1
    for wrong, field in (({}, "prefix"), ({"status": "deleted"}, "status"), ({"since": "soon"}, "since")):
        refused = user.call("POST", "/assets/reprocess", wrong)
        assert (refused.status, refused.body["error"]["field"]) == (422, field), refused

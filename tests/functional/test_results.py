"""What the index function makes of a job's result files, called as the state machine calls it."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional.conftest import laptop_on
from tests.unit.media import encode, tone
from tests.user import User

RATE = 16_000


@pytest.fixture(scope="module")
def user(our_assembly: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """A laptop whose jobs take long enough to get in before them."""
    laptop = laptop_on(our_assembly, tmp_path_factory.mktemp("slow"), job_seconds=120)
    try:
        yield User(laptop.start())
    finally:
        laptop.stop()


def embedding(user: User, key: str, content: bytes) -> dict[str, Any]:
    """Drop a file that needs a job; its asset while the job runs."""
    user.drop(key, content)
    for _ in range(200):
        asset = user.asset(key)
        if asset and asset["status"] == "embedding" and executions(user, asset["asset_id"]):
            return asset
        time.sleep(0.1)
    raise AssertionError(f"{key} never was embedding")


def executions(user: User, asset_id: str) -> list[str]:
    states = user.client("stepfunctions")
    (machine,) = states.list_state_machines()["stateMachines"]
    running = states.list_executions(stateMachineArn=machine["stateMachineArn"])["executions"]
    return [one["name"] for one in running if one["name"].startswith(asset_id)]


def finish(user: User, asset_id: str, **event: Any) -> dict[str, Any]:
    """Call the index function for the asset's latest job as its execution would."""
    name = max(executions(user, asset_id), key=lambda one: int(one.rpartition("-")[2]))
    _, generation, attempt = name.split("-")
    functions = user.client("lambda")
    (function,) = (
        one["FunctionName"] for one in functions.list_functions()["Functions"] if "IndexJob" in one["FunctionName"]
    )
    body = {"asset_id": asset_id, "generation": generation, "attempt": int(attempt), **event}
    answer = functions.invoke(FunctionName=function, Payload=json.dumps(body))
    payload: dict[str, Any] = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, payload
    return payload


def write_result(user: User, folder: str, files: dict[str, list[Any]], **entry: Any) -> str:
    """Result files in Nova's layout, under a folder of jobs/; the folder's URI."""
    s3, bucket = user.client("s3"), user.outputs["OutputBucket"]
    uri = f"s3://{bucket}/jobs/{folder}/abc123def456"
    results = []
    for embedding_type, lines in files.items():
        name = f"embedding-{embedding_type.lower()}.jsonl"
        body = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
        s3.put_object(Bucket=bucket, Key=f"jobs/{folder}/abc123def456/{name}", Body=body.encode())
        results.append({"embeddingType": embedding_type, "status": "SUCCESS", "outputFileUri": f"{uri}/{name}"})
    if entry:
        results.append(entry)
    found = {"sourceFileUri": "s3://x/y", "embeddingDimension": 1024, "embeddingResults": results}
    key = f"jobs/{folder}/abc123def456/segmented-embedding-result.json"
    s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(found).encode())
    return uri


def line(number: int, numbers: Any = None, **more: Any) -> dict[str, Any]:
    place = {"segmentIndex": number, "segmentStartSeconds": number * 15.0, "segmentEndSeconds": number * 15.0 + 15}
    return {"embedding": numbers or [0.5] * 1024, "segmentMetadata": place, "status": "SUCCESS", **more}


def test_failed_lines_are_kept_with_a_reason_and_the_rest_is_found(user: User) -> None:
    asset = embedding(user, "partly.mp3", encode(tone(120, RATE), RATE, "mp3"))
    failure = {
        "segmentMetadata": {"segmentIndex": 1, "segmentStartSeconds": 15.0, "segmentEndSeconds": 30.0},
        "status": "FAILURE",
        "failureReason": "INTERNAL_SERVER_EXCEPTION",
        "message": "try again",
    }
    lines = [
        line(0),
        failure,
        line(2, [0.5] * 7),
        line(3, [0.0] * 1024),
        line(4, ["a"] * 1024),
        '{"embedding": [0.1, 0.2',
        '["no", "object"]',
        {"embedding": [0.25] * 1024, "startTime": 105.0, "endTime": 120.0},
    ]
    uri = write_result(user, "partly", {"AUDIO": lines})
    assert finish(user, asset["asset_id"], output_uri=uri) == {"outcome": "partial"}
    details = user.call("GET", f"/assets/{asset['asset_id']}").body
    assert (details["status"], details["segment_count"], details["failed_segments"]) == ("partial", 2, 6)
    assert details["reason"] == "6 of 8 segments failed"
    reasons = {failure["segment_id"]: failure["reason"] for failure in details["failures"]}
    assert reasons["AUDIO/1"] == "the model failed on this part: try again"
    assert "7 numbers instead of 1024" in reasons["AUDIO/2"] and "zeros" in reasons["AUDIO/3"]
    assert len(user.vectors(asset["asset_id"])) == 2
    hits = user.search("anything", filter={"asset_id": asset["asset_id"]}, group_by="segment")
    assert sorted(hit["segments"][0]["start"] for hit in hits) == [0.0, 105.0]


def test_pages_of_which_nothing_is_said_have_failed(user: User) -> None:
    asset = embedding(user, "pages.mp3", encode(tone(40, RATE, 250), RATE, "mp3"))
    place = [{"segmentMetadata": {"segmentIndex": number, "page": number + 1}} for number in range(3)]
    lines = [line(0) | place[0], place[2] | {"status": "FAILURE", "message": "torn"}]
    body = "\n".join(json.dumps(each) for each in lines).encode()
    user.client("s3").put_object(Bucket=user.outputs["OutputBucket"], Key="jobs/pages/1.jsonl", Body=body)
    there = {"outputFileUri": f"s3://{user.outputs['OutputBucket']}/jobs/pages/1.jsonl", "pages": [1, 3]}
    uri = write_result(user, "pages", {}, embeddingType="IMAGE", **there)
    assert finish(user, asset["asset_id"], output_uri=uri) == {"outcome": "partial"}
    details = user.call("GET", f"/assets/{asset['asset_id']}").body
    assert details["segment_count"] == 1
    reasons = {failure["segment_id"]: (failure["page"], failure["reason"]) for failure in details["failures"]}
    assert reasons.keys() == {"IMAGE/1", "IMAGE/2"}
    assert reasons["IMAGE/1"] == (2, "all tries to show and embed the page ended in an error")
    assert reasons["IMAGE/2"][0] == 3 and "torn" in reasons["IMAGE/2"][1]


def test_a_job_of_which_nothing_came_has_failed_with_its_reason(user: User) -> None:
    asset = embedding(user, "nothing.mp3", encode(tone(40, RATE, 300), RATE, "mp3"))
    entry = {"embeddingType": "AUDIO", "status": "FAILURE", "failureReason": "INVALID_CONTENT", "message": "no sound"}
    uri = write_result(user, "nothing", {}, **entry)
    assert finish(user, asset["asset_id"], output_uri=uri) == {"outcome": "failed"}
    failed = user.settled("nothing.mp3")
    assert failed["status"] == "failed" and "could not read this part: no sound" in failed["reason"]


def test_what_bedrock_says_of_a_failed_job_is_the_reason(user: User) -> None:
    asset = embedding(user, "refused.mp3", encode(tone(40, RATE, 500), RATE, "mp3"))
    assert finish(user, asset["asset_id"], failure="The audio is too quiet to hear") == {"outcome": "failed"}
    assert user.settled("refused.mp3")["reason"] == "The audio is too quiet to hear"


def test_a_job_whose_file_was_overwritten_meanwhile_writes_nothing(user: User) -> None:
    asset = embedding(user, "replaced.mp3", encode(tone(40, RATE, 700), RATE, "mp3"))
    uri = write_result(user, "replaced", {"AUDIO": [line(0), line(1)]})
    (name,) = executions(user, asset["asset_id"])
    user.drop("replaced.mp3", b"now this is no sound at all")
    assert user.settled("replaced.mp3")["status"] == "failed"
    _, generation, attempt = name.split("-")
    event = {"generation": generation, "attempt": int(attempt)}
    assert finish(user, asset["asset_id"], output_uri=uri, **event) == {"outcome": "superseded"}
    assert user.settled("replaced.mp3")["status"] == "failed"
    assert user.vectors(asset["asset_id"]) == []


def test_a_file_deleted_while_it_is_embedded_stays_deleted(user: User) -> None:
    asset = embedding(user, "gone.mp3", encode(tone(40, RATE, 900), RATE, "mp3"))
    uri = write_result(user, "gone", {"AUDIO": [line(0), line(1)]})
    user.remove("gone.mp3")
    assert user.settled("gone.mp3")["status"] == "deleted"
    assert finish(user, asset["asset_id"], output_uri=uri) == {"outcome": "superseded"}
    assert user.settled("gone.mp3")["status"] == "deleted" and user.vectors(asset["asset_id"]) == []


def test_a_result_that_comes_twice_changes_nothing(user: User) -> None:
    asset = embedding(user, "twice.mp3", encode(tone(40, RATE, 1100), RATE, "mp3"))
    uri = write_result(user, "twice", {"AUDIO": [line(0), line(1), line(2)]})
    assert finish(user, asset["asset_id"], output_uri=uri) == {"outcome": "indexed"}
    before, vectors = user.settled("twice.mp3"), user.vectors(asset["asset_id"])
    assert finish(user, asset["asset_id"], output_uri=uri) == {"outcome": "indexed"}
    assert (user.settled("twice.mp3"), user.vectors(asset["asset_id"])) == (before, vectors)

"""Batch inference over the wire: jobs that read records from S3 and write results there, and what is refused."""

import json
import queue
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import psutil
import pytest
from botocore.config import Config

from local import clock
from local.auth import Keyring
from local.bedrock import batch_runner
from local.bedrock.service import Bedrock, BedrockSettings
from local.clients import Clients
from local.events import EventBus
from local.s3 import S3
from local.state import State
from local.wire import Service
from tests.local.test_bedrock import Laptop, a_text, in_s3, inline, picture, refusal, single, start, text_job

NOVA = "amazon.nova-2-multimodal-embeddings-v1:0"
TITAN = "amazon.titan-embed-text-v2:0"
ROLE = "arn:aws:iam::000000000000:role/batch"
SMALL = BedrockSettings(job_seconds=0.0, model="tests.local.tiny_model", batch_min_records=3)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """One for all tests of the file, because a start and a stop take longer than most of them."""
    made = Laptop(tmp_path_factory.mktemp("laptop"))
    made.start(SMALL)
    yield made
    made.close()


@pytest.fixture
def laptop(shared: Laptop) -> Laptop:
    shared.s3.forget()
    shared.events.clear()
    return shared


@pytest.fixture
def client(laptop: Laptop) -> Any:
    return laptop.clients.get("bedrock", None)


@pytest.fixture
def fresh_laptop(tmp_path: Path) -> Iterator[Laptop]:
    made = Laptop(tmp_path)
    yield made
    made.close()


@pytest.fixture
def careless(client: Any) -> Any:
    """A client that leaves all checks to the service."""
    config = Config(parameter_validation=False, retries={"total_max_attempts": 1})
    url = client.meta.endpoint_url
    keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    return boto3.client("bedrock", endpoint_url=url, region_name="us-east-1", config=config, **keys)


def begin(laptop: Laptop, settings: BedrockSettings) -> Any:
    laptop.start(settings)
    return laptop.clients.get("bedrock", None)


def titan(text: str) -> dict[str, Any]:
    return {"inputText": text, "dimensions": 256}


def jsonl(*records: Any) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def numbered(*inputs: Any) -> bytes:
    return jsonl(*({"recordId": f"R{number}", "modelInput": each} for number, each in enumerate(inputs)))


def nested(depth: int) -> bytes:
    """A body that no model takes: an object in an object and so on."""
    return b'{"deeper":' * depth + b"{}" + b"}" * depth


def texts(count: int) -> bytes:
    return numbered(*(titan(f"text {number}") for number in range(count)))


def create(client: Any, name: str, uri: str = "s3://media/in/", model: str = TITAN, **more: Any) -> str:
    asked: dict[str, Any] = {
        "jobName": name,
        "roleArn": ROLE,
        "modelId": model,
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": uri}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://media/out/"}},
        **more,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    arn: str = client.create_model_invocation_job(**given)["jobArn"]
    return arn


def reached(client: Any, arn: str, *statuses: str, seconds: float = 15) -> dict[str, Any]:
    """The job, once it has one of the statuses; any that ends a job unless told."""
    wanted = statuses or ("Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired")
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        job: dict[str, Any] = client.get_model_invocation_job(jobIdentifier=arn)
        if job["status"] in wanted:
            return job
        time.sleep(0.02)
    raise AssertionError(f"the job is {job['status']}, not one of {wanted}")


def output(laptop: Laptop, arn: str, name: str) -> list[dict[str, Any]]:
    content = laptop.read(f"out/{arn.rpartition('/')[2]}/{name}")
    return [json.loads(line) for line in content.splitlines()]


def counts(job: Mapping[str, Any]) -> tuple[int, int, int, int]:
    names = ("totalRecordCount", "processedRecordCount", "successRecordCount", "errorRecordCount")
    total, processed, succeeded, failed = (job[name] for name in names)
    return total, processed, succeeded, failed


def told(laptop: Laptop, arn: str) -> list[str]:
    return [event["detail"]["status"] for event in laptop.events if event["resources"] == [arn]]


def invoke(laptop: Laptop, model: str, body: Any) -> dict[str, Any]:
    runtime = laptop.clients.get("bedrock-runtime", None)
    with runtime.invoke_model(modelId=model, body=json.dumps(body))["body"] as stream:
        answer: dict[str, Any] = json.loads(stream.read())
    return answer


# What a job does


def test_a_titan_job_writes_what_invoke_model_answers_and_a_manifest_with_counts(laptop: Laptop, client: Any) -> None:
    laptop.put("titan/first.jsonl", texts(5))
    arn = create(client, "titan", "s3://media/titan/first.jsonl")
    job = reached(client, arn)
    assert job["status"] == "Completed"
    assert counts(job) == (5, 5, 5, 0)
    assert output(laptop, arn, "first.jsonl.out") == [
        {"recordId": f"R{number}", "modelInput": body, "modelOutput": invoke(laptop, TITAN, body)}
        for number, body in enumerate(titan(f"text {number}") for number in range(5))
    ]
    (manifest,) = output(laptop, arn, "manifest.json.out")
    assert counts(manifest) == (5, 5, 5, 0)
    assert (manifest["inputTokenCount"], manifest["outputTokenCount"]) == (10, 0)
    assert laptop.s3.order[-1].endswith("/manifest.json.out")


def test_a_nova_job_reads_a_folder_of_files_and_the_media_that_lie_in_it(laptop: Laptop, client: Any) -> None:
    laptop.put("nova/pictures/a b.png", picture())
    laptop.put("nova/notes.txt", b"no input file")
    in_folder = single(image={"format": "png", "source": in_s3("s3://media/nova/pictures/a b.png")})
    laptop.put("nova/one.jsonl", numbered(a_text("a fox"), in_folder))
    laptop.put(
        "nova/deep/two.jsonl", numbered(single(image={"format": "png", "source": inline(picture())})).rstrip(b"\n")
    )
    arn = create(client, "nova", "s3://media/nova", NOVA)
    assert counts(reached(client, arn)) == (3, 3, 3, 0)
    text, image = output(laptop, arn, "one.jsonl.out")
    assert text["modelOutput"] == invoke(laptop, NOVA, a_text("a fox"))
    (from_bytes,) = output(laptop, arn, "deep/two.jsonl.out")
    assert image["modelOutput"] == from_bytes["modelOutput"]
    assert image["modelOutput"]["embeddings"][0]["embeddingType"] == "IMAGE"


def test_a_record_that_fails_says_why_and_the_job_completes(laptop: Laptop, client: Any) -> None:
    laptop.put("mixed/a.png", picture())
    laptop.put("elsewhere.png", picture())
    bad = {
        "outside": single(image={"format": "png", "source": in_s3("s3://media/elsewhere.png")}),
        "missing": single(image={"format": "png", "source": in_s3("s3://media/mixed/none.png")}),
        "wrong format": single(image={"format": "gif", "source": in_s3("s3://media/mixed/a.png")}),
        "wrong schema": {"inputText": "this is Titan's"},
        "deep": json.loads(nested(250)),
        "segmented": text_job("s3://media/mixed/a.txt"),
        "crash": a_text("CRASH"),
        "after": a_text("good"),
    }
    laptop.put("mixed/in.jsonl", jsonl(*({"recordId": name, "modelInput": body} for name, body in bad.items())))
    arn = create(client, "mixed", "s3://media/mixed/", NOVA)
    job = reached(client, arn)
    assert job["status"] == "Completed"
    assert counts(job) == (8, 8, 1, 7)
    found = {line["recordId"]: line for line in output(laptop, arn, "in.jsonl.out")}
    assert all(found[name]["modelInput"] == body for name, body in bad.items())
    assert all(("modelOutput" in line) != ("error" in line) for line in found.values())
    errors = {name: line["error"] for name, line in found.items() if "error" in line}
    assert {name: error["errorCode"] for name, error in errors.items()} == {
        **dict.fromkeys(("outside", "missing", "wrong format", "wrong schema", "deep", "segmented"), 400),
        "crash": 500,
    }
    assert "extraneous key [deeper]" in errors["deep"]["errorMessage"]
    assert errors["outside"]["errorMessage"] == "s3://media/elsewhere.png is not in the input folder of the job"
    assert errors["missing"]["errorMessage"] == "s3://media/mixed/none.png does not exist"
    assert "required key [singleEmbeddingParams]" in errors["wrong schema"]["errorMessage"]
    assert "modelOutput" in found["after"]


def test_a_job_that_names_one_file_has_no_folder_for_media(laptop: Laptop, client: Any) -> None:
    laptop.put("single/a.png", picture())
    body = single(image={"format": "png", "source": in_s3("s3://media/single/a.png")})
    laptop.put("single/in.jsonl", numbered(body, body, body))
    arn = create(client, "one-file", "s3://media/single/in.jsonl", NOVA)
    assert counts(reached(client, arn)) == (3, 3, 0, 3)


def test_a_record_without_an_id_gets_one(laptop: Laptop, client: Any) -> None:
    laptop.put("anonymous/in.jsonl", jsonl(*({"modelInput": titan(f"text {number}")} for number in range(3))))
    arn = create(client, "anonymous", "s3://media/anonymous/")
    reached(client, arn)
    ids = [line["recordId"] for line in output(laptop, arn, "in.jsonl.out")]
    assert len(set(ids)) == 3
    assert all(len(each) == 11 and each.isalnum() for each in ids)


def test_every_change_of_status_is_an_event(laptop: Laptop, client: Any) -> None:
    laptop.put("in/a.jsonl", texts(3))
    arn = create(client, "events")
    job = reached(client, arn)
    assert told(laptop, arn) == ["Submitted", "Validating", "Scheduled", "InProgress", "Completed"]
    event = laptop.events[-1]
    assert (event["source"], event["detail-type"]) == ("aws.bedrock", "Batch Inference Job State Change")
    submitted = job["submitTime"]
    assert event["detail"] == {
        "version": "0.0",
        "accountId": "000000000000",
        "batchJobName": "events",
        "batchJobArn": arn,
        "batchModelId": TITAN,
        "status": "Completed",
        "failureMessage": "",
        "creationTime": f"{submitted:%b} {submitted.day}, {submitted:%Y, %I:%M:%S %p}",
    }


def test_s3_is_read_and_written_as_the_role_of_the_job(laptop: Laptop, client: Any) -> None:
    laptop.put("in/a.jsonl", texts(3))
    laptop.s3.denied = {ROLE}
    arn = create(client, "denied")
    job = reached(client, arn)
    assert (job["status"], job["message"]) == ("Failed", "Access to list s3://media/in/ was denied")
    assert told(laptop, arn) == ["Submitted", "Validating", "Failed"]
    assert laptop.events[-1]["detail"]["failureMessage"] == job["message"]
    assert reached(client, create(client, "allowed", roleArn=f"{ROLE}-other"))["status"] == "Completed"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (texts(2), "Batch job contains less records (2) than the required minimum of: 3"),
        (b"", "Batch job contains less records (0) than the required minimum of: 3"),
        (texts(2) + b"{no JSON}\n", "s3://media/bad/in.jsonl, line 3: the record is not JSON"),
        (texts(2) + b"\n" + texts(1), "s3://media/bad/in.jsonl, line 3: the record is not JSON"),
        (
            texts(2) + b'{"modelInput": {"inputText": "\\ud800"}}\n',
            "s3://media/bad/in.jsonl, line 3: the record is not JSON",
        ),
        (texts(2) + b"\xff\n", "s3://media/bad/in.jsonl, line 3: the record is not JSON"),
        (jsonl(["x"]), "s3://media/bad/in.jsonl, line 1: the record is not a JSON object"),
        (jsonl({"recordId": "R1"}), "s3://media/bad/in.jsonl, line 1: the record has no object modelInput"),
        (jsonl({"recordId": 1, "modelInput": {}}), "s3://media/bad/in.jsonl, line 1: recordId is not a string"),
        *(
            (texts(2) + b'{"modelInput": ' + nested(depth) + b"}", f"s3://media/bad/in.jsonl, line 3: {message}")
            for depth, message in (
                (300, "the record is nested too deeply"),
                (1000, "the record is nested too deeply"),
                (2000, "the record is not JSON"),
            )
        ),
    ],
)
def test_input_that_is_not_what_a_job_takes_fails_the_job(
    laptop: Laptop, client: Any, content: bytes, message: str
) -> None:
    laptop.put("bad/in.jsonl", content)
    job = reached(client, create(client, f"bad-{time.monotonic_ns()}", "s3://media/bad/"))
    assert (job["status"], job["message"], counts(job)) == ("Failed", message, (0, 0, 0, 0))
    assert laptop.s3.order == []


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"uri": "s3://nowhere/in/"}, "The bucket of s3://nowhere/in/ does not exist"),
        ({"uri": "s3://media/none.jsonl"}, "s3://media/none.jsonl does not exist"),
        ({"uri": "s3://media/empty/"}, "There is no .jsonl file in s3://media/empty/"),
        (
            {"outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://nowhere/out"}}},
            "The bucket of s3://nowhere/out/",
        ),
        (
            {"inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://media/in/", "s3BucketOwner": "111122223333"}}},
            "does not belong to account 111122223333",
        ),
    ],
)
def test_places_that_do_not_exist_fail_the_job(laptop: Laptop, client: Any, more: dict[str, Any], message: str) -> None:
    laptop.put("in/a.jsonl", texts(3))
    job = reached(client, create(client, f"places-{time.monotonic_ns()}", **more))
    assert job["status"] == "Failed"
    assert message in job["message"]


def test_the_least_number_of_records_is_100_unless_told(fresh_laptop: Laptop) -> None:
    client = begin(fresh_laptop, BedrockSettings(job_seconds=0, model=SMALL.model))
    fresh_laptop.put("few/in.jsonl", texts(99))
    fresh_laptop.put("enough/in.jsonl", texts(100))
    job = reached(client, create(client, "few", "s3://media/few/"))
    assert job["message"] == "Batch job contains less records (99) than the required minimum of: 100"
    assert counts(reached(client, create(client, "enough", "s3://media/enough/"))) == (100, 100, 100, 0)


# What is refused at once


def test_a_repeated_token_is_the_same_job_and_a_repeated_name_a_conflict(laptop: Laptop, client: Any) -> None:
    laptop.put("in/a.jsonl", texts(3))
    arn = create(client, "repeated", clientRequestToken="token1")
    assert create(client, "repeated", clientRequestToken="token1") == arn
    assert create(client, "other", clientRequestToken="token1") == arn
    message = refusal("ConflictException", 400, create, client, "repeated", clientRequestToken="token2")
    assert "repeated" in message
    reached(client, arn)
    assert told(laptop, arn).count("Submitted") == 1
    refusal("ConflictException", 400, create, client, "repeated")


@pytest.mark.parametrize(
    ("more", "code", "status", "message"),
    [
        ({"modelId": "amazon.titan-embed-text-v1"}, "ValidationException", 400, "doesn't support batch inference"),
        ({"modelId": "amazon.nova-pro-v1:0"}, "ValidationException", 400, "model identifier is invalid"),
        ({"modelInvocationType": "Converse"}, "ValidationException", 400, "Converse"),
        ({"roleArn": "arn:aws:iam::111122223333:role/x"}, "AccessDeniedException", 403, "Cross-account pass role"),
        ({"roleArn": "batch-role"}, "ValidationException", 400, "at 'roleArn' failed"),
        ({"jobName": "no spaces here"}, "ValidationException", 400, "at 'jobName' failed"),
        ({"jobName": "x" * 64}, "ValidationException", 400, "less than or equal to 63"),
        ({"timeoutDurationInHours": 23}, "ValidationException", 400, "greater than or equal to 24"),
        ({"timeoutDurationInHours": 169}, "ValidationException", 400, "less than or equal to 168"),
        (
            {"inputDataConfig": {"s3InputDataConfig": {"s3Uri": "media/in"}}},
            "ValidationException",
            400,
            "at 'inputDataConfig.s3InputDataConfig.s3Uri' failed",
        ),
        (
            {"inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://media/in", "s3InputFormat": "CSV"}}},
            "ValidationException",
            400,
            "[JSONL]",
        ),
        ({"tags": [{"key": str(number), "value": ""} for number in range(51)]}, "ValidationException", 400, "50 tags"),
    ],
)
def test_what_create_refuses(
    client: Any, careless: Any, more: dict[str, Any], code: str, status: int, message: str
) -> None:
    before = client.list_model_invocation_jobs()["invocationJobSummaries"]
    assert message in refusal(code, status, create, careless, "refused", **more)
    assert client.list_model_invocation_jobs()["invocationJobSummaries"] == before


@pytest.mark.parametrize("left_out", ["jobName", "roleArn", "modelId", "inputDataConfig", "outputDataConfig"])
def test_what_is_required_is_asked_for(careless: Any, left_out: str) -> None:
    message = refusal("ValidationException", 400, create, careless, "x", **{left_out: None})
    rule = f"Value null at '{left_out}' failed to satisfy constraint: Member must not be null"
    assert message == f"1 validation error detected: {rule}"


def test_more_jobs_than_the_quota_of_a_model_are_refused_until_one_that_waits_is_stopped(fresh_laptop: Laptop) -> None:
    settings = BedrockSettings(job_seconds=60, model=SMALL.model, batch_min_records=1, max_batch_jobs=2)
    client = begin(fresh_laptop, settings)
    fresh_laptop.put("in/a.jsonl", texts(1))
    fresh_laptop.put("nova/a.jsonl", numbered(a_text("x")))
    arn = create(client, "one")
    create(client, "two", clientRequestToken="two")
    message = refusal("ServiceQuotaExceededException", 400, create, client, "three")
    assert "in-progress and submitted batch inference jobs" in message
    create(client, "two", clientRequestToken="two")
    create(client, "nova", "s3://media/nova/", NOVA)
    reached(client, arn, "Scheduled")
    client.stop_model_invocation_job(jobIdentifier=arn)
    assert client.get_model_invocation_job(jobIdentifier=arn)["status"] == "Stopped"  # nobody works on it: at once
    assert told(fresh_laptop, arn) == ["Submitted", "Validating", "Scheduled", "Stopping", "Stopped"]
    create(client, "three")


# Stop, interruption, time


def test_a_job_that_is_stopped_keeps_what_is_done(laptop: Laptop, client: Any) -> None:
    laptop.put("slow/in.jsonl", numbered(titan("quick"), *[titan("SLOW")] * 9))
    arn = create(client, "stopped", "s3://media/slow/")
    while client.get_model_invocation_job(jobIdentifier=arn)["processedRecordCount"] == 0:
        time.sleep(0.02)
    client.stop_model_invocation_job(jobIdentifier=arn.rpartition("/")[2])
    job = reached(client, arn)
    assert job["status"] == "Stopped"
    total, processed, succeeded, failed = counts(job)
    assert (total, failed) == (10, 0)
    assert 1 <= processed == succeeded < 10
    assert [line["recordId"] for line in output(laptop, arn, "in.jsonl.out")] == [f"R{n}" for n in range(processed)]
    assert counts(output(laptop, arn, "manifest.json.out")[0]) == counts(job)
    assert told(laptop, arn) == ["Submitted", "Validating", "Scheduled", "InProgress", "Stopping", "Stopped"]
    refusal("ConflictException", 400, client.stop_model_invocation_job, jobIdentifier=arn)


def test_a_job_that_does_not_exist_is_not_found(client: Any) -> None:
    nowhere = "arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/abcdefghijkl"
    for call in (client.get_model_invocation_job, client.stop_model_invocation_job):
        refusal("ResourceNotFoundException", 404, call, jobIdentifier=nowhere)
        refusal("ResourceNotFoundException", 404, call, jobIdentifier="abcdefghijkl")
        refusal("ValidationException", 400, call, jobIdentifier="no id")


SLOW_INPUTS = [titan(word) for word in ("one", "two", "SLOW three", "four")]


def test_a_job_that_a_stop_of_the_laptop_interrupts_goes_on_where_it_was(fresh_laptop: Laptop) -> None:
    client = begin(fresh_laptop, SMALL)
    fresh_laptop.put("slow/a.jsonl", numbered(*SLOW_INPUTS[:2]))
    fresh_laptop.put("slow/b.jsonl", numbered(*SLOW_INPUTS))
    arn = create(client, "interrupted", "s3://media/slow/")
    while client.get_model_invocation_job(jobIdentifier=arn)["processedRecordCount"] < 4:
        time.sleep(0.02)
    fresh_laptop.put("slow/b.jsonl", b"is read only once")
    client = begin(fresh_laptop, SMALL)
    job = reached(client, arn)
    assert job["status"] == "Completed"
    assert counts(job) == (6, 6, 6, 0)
    assert [line["modelInput"] for line in output(fresh_laptop, arn, "b.jsonl.out")] == SLOW_INPUTS
    assert told(fresh_laptop, arn) == ["Submitted", "Validating", "Scheduled", "InProgress", "Completed"]


OTHER_PROCESS = """
import sys, time
from pathlib import Path
from local.auth import Keyring
from local.bedrock.service import Bedrock, BedrockSettings
from local.clients import Clients
from local.front import Front
from local.http import HttpServer
from local.state import State

folder, s3_url = Path(sys.argv[1]), sys.argv[2]
settings = BedrockSettings(job_seconds=0, model="tests.local.tiny_model", batch_min_records=1)
bedrock = Bedrock(State(folder), Clients(s3_url, Keyring(folder)), [].append, settings)
server = HttpServer(Front({"bedrock": bedrock}, Keyring(folder), print), 0)
server.start()
print(server.url, flush=True)
time.sleep(60)
"""


def test_a_job_of_a_killed_process_has_no_record_twice(fresh_laptop: Laptop, tmp_path: Path) -> None:
    fresh_laptop.put("slow/in.jsonl", numbered(*SLOW_INPUTS))
    command = [sys.executable, "-c", OTHER_PROCESS, str(tmp_path), fresh_laptop.s3_clients.endpoint]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={"PYTHONPATH": str(root)}) as process:
        assert process.stdout
        url = process.stdout.readline().decode().strip()
        client = Clients(url, Keyring(tmp_path)).get("bedrock", None)
        arn = create(client, "killed", "s3://media/slow/")
        while client.get_model_invocation_job(jobIdentifier=arn)["processedRecordCount"] < 2:
            time.sleep(0.02)
        children = psutil.Process(process.pid).children()
        process.kill()
    psutil.wait_procs(children, timeout=5)
    (half,) = (tmp_path / "bedrock-batch").glob("*/*.out")
    with half.open("ab") as lines:
        lines.write(b'{"recordId": "R2", "modelInp')
    job = reached(begin(fresh_laptop, SMALL), arn)
    assert (job["status"], counts(job)) == ("Completed", (4, 4, 4, 0))
    assert [line["modelInput"] for line in output(fresh_laptop, arn, "in.jsonl.out")] == SLOW_INPUTS
    assert list((tmp_path / "bedrock-batch").iterdir()) == []


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """For jobs only: a request signed so long ago would be refused."""
    clocks = SimpleNamespace(now=lambda: clock.now() + seconds, wait=clock.wait)
    monkeypatch.setattr(batch_runner, "clock", clocks)


def test_a_job_that_does_not_begin_in_time_expires(
    laptop: Laptop, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop.put("in/a.jsonl", texts(3))
    later(monkeypatch, 48 * 3600)
    assert reached(client, create(client, "in-time", timeoutDurationInHours=49))["status"] == "Completed"
    arn = create(client, "expired", timeoutDurationInHours=48)
    job = reached(client, arn)
    assert job["status"] == "Expired"
    assert job["timeoutDurationInHours"] == 48
    assert job["jobExpirationTime"] - job["submitTime"] == timedelta(hours=48)
    assert told(laptop, arn) == ["Submitted", "Validating", "Scheduled", "Expired"]


def test_a_job_that_does_not_end_in_time_is_completed_in_part(
    laptop: Laptop, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop.put("slow/in.jsonl", numbered(titan("quick"), *[titan("SLOW")] * 9))
    arn = create(client, "partial", "s3://media/slow/")
    while client.get_model_invocation_job(jobIdentifier=arn)["processedRecordCount"] == 0:
        time.sleep(0.02)
    later(monkeypatch, 24 * 3600)
    job = reached(client, arn)
    assert job["status"] == "PartiallyCompleted"
    total, processed, succeeded, failed = counts(job)
    assert (total, failed) == (10, 0)
    assert 1 <= processed == succeeded < 10
    assert len(output(laptop, arn, "in.jsonl.out")) == processed


def test_a_job_waits_for_s3_to_come_back(laptop: Laptop, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_runner, "_RETRY_SECONDS", (0.1,) * 100)
    laptop.put("in/a.jsonl", texts(3))
    laptop.s3.down = True
    arn = create(client, "patient")
    reached(client, arn, "Validating")
    time.sleep(0.3)
    assert client.get_model_invocation_job(jobIdentifier=arn)["status"] == "Validating"
    laptop.s3.down = False
    assert reached(client, arn)["status"] == "Completed"


def test_a_rule_of_the_laptops_bus_hears_of_the_end_of_a_job(
    state: State, serve: Callable[[Mapping[str, Service]], Clients], keyring: Keyring
) -> None:
    heard: queue.SimpleQueue[str] = queue.SimpleQueue()
    bus = EventBus(state, {"sqs": lambda arn, body: heard.put(body)})
    bus.start()
    s3 = S3(state, keyring, bus.put)
    s3.ensure_bucket("media", {})
    bedrock = Bedrock(state, serve({"s3": s3}), bus.put, SMALL)
    clients = serve({"s3": s3, "events": bus, "bedrock": bedrock})
    pattern = {"source": ["aws.bedrock"], "detail": {"status": ["Completed", "Failed"]}}
    clients.get("events", None).put_rule(Name="ended", EventPattern=json.dumps(pattern))
    target = {"Id": "queue", "Arn": "arn:aws:sqs:us-east-1:000000000000:ended"}
    clients.get("events", None).put_targets(Rule="ended", Targets=[target])
    clients.get("s3", None).put_object(Bucket="media", Key="in/a.jsonl", Body=texts(3))
    arn = create(clients.get("bedrock", None), "heard")
    event = json.loads(heard.get(timeout=15))
    assert (event["resources"], event["detail"]["status"]) == ([arn], "Completed")
    assert heard.empty()
    bedrock.stop()
    bus.stop()


# Lists, tags, models


def test_jobs_are_listed_by_time_status_and_name_in_pages(fresh_laptop: Laptop) -> None:
    client = begin(fresh_laptop, SMALL)
    fresh_laptop.put("in/a.jsonl", texts(3))
    names = ["red-1", "blue-1", "red-2"]
    arns = {name: create(client, name) for name in names}
    jobs = {name: reached(client, arn) for name, arn in arns.items()}

    def listed(**query: Any) -> list[str]:
        pages = client.get_paginator("list_model_invocation_jobs").paginate(**query)
        return [job["jobName"] for page in pages for job in page["invocationJobSummaries"]]

    assert listed() == names[::-1]
    assert listed(sortBy="CreationTime", sortOrder="Ascending") == names
    assert listed(sortOrder="Ascending", PaginationConfig={"PageSize": 1}) == names
    assert listed(nameContains="red") == ["red-2", "red-1"]
    assert listed(statusEquals="Failed") == []
    hour, now = timedelta(hours=1), jobs["red-2"]["submitTime"]
    assert listed(submitTimeAfter=now - hour, submitTimeBefore=now + hour, statusEquals="Completed") == names[::-1]
    assert listed(submitTimeAfter=now + hour) == listed(submitTimeBefore=now - hour) == []
    refusal("ValidationException", 400, client.list_model_invocation_jobs, nextToken="nonsense")
    (summary,) = client.list_model_invocation_jobs(nameContains="blue")["invocationJobSummaries"]
    del jobs["blue-1"]["ResponseMetadata"]
    assert summary == jobs["blue-1"]


def test_jobs_of_both_kinds_keep_tags(laptop: Laptop, client: Any) -> None:
    laptop.put("in/a.jsonl", texts(3))
    laptop.put("a.txt", b"text")
    given = [{"key": "team", "value": "red"}]
    batch = create(client, "tagged", tags=given)
    runtime = laptop.clients.get("bedrock-runtime", None)
    asynchronous = start(runtime, text_job("s3://media/a.txt"), tags=given)
    for arn in (batch, asynchronous):
        assert client.list_tags_for_resource(resourceARN=arn)["tags"] == given
        client.tag_resource(resourceARN=arn, tags=[{"key": "team", "value": "blue"}, {"key": "year", "value": "2026"}])
        client.untag_resource(resourceARN=arn, tagKeys=["year", "never there"])
        assert client.list_tags_for_resource(resourceARN=arn)["tags"] == [{"key": "team", "value": "blue"}]
        many = [{"key": str(number), "value": ""} for number in range(50)]
        with pytest.raises(client.exceptions.TooManyTagsException) as caught:
            client.tag_resource(resourceARN=arn, tags=many)
        assert caught.value.response["resourceName"] == arn
        assert len(client.list_tags_for_resource(resourceARN=arn)["tags"]) == 1
        nowhere = arn[:-12] + "abcdefghijkl"
        refusal("ResourceNotFoundException", 404, client.list_tags_for_resource, resourceARN=nowhere)
    reached(client, batch)


def test_the_models_of_the_laptop_are_listed(client: Any) -> None:
    models = {each["modelId"]: each for each in client.list_foundation_models()["modelSummaries"]}
    assert models.keys() == {NOVA, TITAN, "amazon.titan-embed-text-v1"}
    assert models[TITAN]["outputModalities"] == ["EMBEDDING"]
    assert models[TITAN]["modelArn"] == f"arn:aws:bedrock:us-east-1::foundation-model/{TITAN}"
    for filters in ({"byProvider": "Anthropic"}, {"byOutputModality": "TEXT"}, {"byInferenceType": "PROVISIONED"}):
        assert client.list_foundation_models(**filters)["modelSummaries"] == []
    assert len(client.list_foundation_models(byProvider="amazon", byOutputModality="EMBEDDING")["modelSummaries"]) == 3
    for identifier in (TITAN, models[TITAN]["modelArn"]):
        assert client.get_foundation_model(modelIdentifier=identifier)["modelDetails"] == models[TITAN]
    refusal("ResourceNotFoundException", 404, client.get_foundation_model, modelIdentifier="amazon.none-v1")

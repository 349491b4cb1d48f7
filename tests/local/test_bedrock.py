"""Bedrock's runtime over the wire: embeddings at once, jobs that write to S3, and what both refuse."""

import base64
import io
import itertools
import json
import re
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from werkzeug.wrappers import Request, Response

from local import clock
from local.auth import Keyring
from local.bedrock import runner
from local.bedrock.formats import formats_of
from local.bedrock.service import Bedrock, BedrockSettings
from local.bedrock.text import pieces
from local.clients import Clients
from local.front import Front
from local.http import HttpServer
from local.s3 import S3
from local.state import State
from local.wire import AwsError, Caller, Service, xml_error
from tests.local.conftest import nothing_else

MODEL = "amazon.nova-2-multimodal-embeddings-v1:0"
ROLE = "arn:aws:iam::000000000000:role/embedder"
TINY = BedrockSettings(job_seconds=0.0, model="tests.local.tiny_model")


class WatchedS3:
    """The laptop's S3; `denied` are roles that may do nothing, `order` the keys Bedrock wrote, as they came."""

    def __init__(self, state: State, keyring: Keyring) -> None:
        self.forget()
        self._s3 = S3(state, keyring, self._written)
        self._s3.ensure_bucket("media", {"NotificationConfiguration": {"EventBridgeConfiguration": {}}})

    def forget(self) -> None:
        self.order: list[str] = []
        self.denied: set[str] = set()
        self.down = False

    def __call__(self, request: Request, caller: Caller) -> Response:
        if self.down:
            return xml_error(AwsError("SlowDown", "Reduce your request rate", 503))
        if caller.role_arn in self.denied:
            return xml_error(AwsError("AccessDenied", "Access Denied", 403))
        return self._s3(request, caller)

    def _written(self, event: dict[str, Any]) -> None:
        self.order.append(event["detail"]["object"]["key"])


class Laptop:
    """S3 and Bedrock on two ports, and a client of Bedrock."""

    def __init__(self, folder: Path) -> None:
        self._state = State(folder)
        self._keyring = Keyring(folder)
        self.s3 = WatchedS3(self._state, self._keyring)
        self._servers: list[HttpServer] = []
        self.s3_clients = self._serve({"s3": self.s3})
        self.bedrock: Bedrock | None = None
        self.events: list[dict[str, Any]] = []

    def start(self, settings: BedrockSettings = TINY) -> Any:
        """Start Bedrock, again if it ran before."""
        if self.bedrock:
            self.bedrock.stop()
        self.bedrock = Bedrock(self._state, self.s3_clients, self.events.append, settings)
        self.clients = self._serve({"bedrock": self.bedrock})
        return self.clients.get("bedrock-runtime", None)

    def put(self, key: str, content: bytes) -> None:
        self.s3_clients.get("s3", None).put_object(Bucket="media", Key=key, Body=content)
        self.s3.order.remove(key)

    def read(self, key: str) -> bytes:
        with self.s3_clients.get("s3", None).get_object(Bucket="media", Key=key)["Body"] as body:
            content: bytes = body.read()
        return content

    def close(self) -> None:
        if self.bedrock:
            self.bedrock.stop()
        for server in self._servers:
            server.stop()
        self._state.close()

    def _serve(self, services: Mapping[str, Service]) -> Clients:
        server = HttpServer(Front(services, self._keyring, nothing_else), 0)
        server.start()
        self._servers.append(server)
        return Clients(server.url, self._keyring)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """One for all tests of the file, because a start and a stop take longer than most of them."""
    made = Laptop(tmp_path_factory.mktemp("laptop"))
    made.start()
    yield made
    made.close()


@pytest.fixture
def laptop(shared: Laptop) -> Laptop:
    shared.s3.forget()
    return shared


@pytest.fixture
def client(laptop: Laptop) -> Any:
    return laptop.clients.get("bedrock-runtime", None)


@pytest.fixture
def fresh_laptop(tmp_path: Path) -> Iterator[Laptop]:
    made = Laptop(tmp_path)
    yield made
    made.close()


def picture(kind: str = "PNG") -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (32, 32), "orange").save(target, kind)
    return target.getvalue()


def sound(seconds: float, rate: int = 100, note: bytes = b"") -> bytes:
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(rate)
        file.writeframes((note + bytes(range(256)) * int(seconds * rate / 256 + 1))[: int(seconds * rate)])
    return target.getvalue()


def single(**medium: Any) -> dict[str, Any]:
    params = {"embeddingPurpose": "GENERIC_INDEX", "embeddingDimension": 256, **medium}
    return {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": params}


def segmented(**medium: Any) -> dict[str, Any]:
    params = {"embeddingPurpose": "GENERIC_INDEX", "embeddingDimension": 256, **medium}
    return {"taskType": "SEGMENTED_EMBEDDING", "segmentedEmbeddingParams": params}


def inline(content: bytes) -> dict[str, str]:
    return {"bytes": base64.b64encode(content).decode()}


def in_s3(uri: str) -> dict[str, Any]:
    return {"s3Location": {"uri": uri}}


def a_text(value: str, mode: str = "END") -> dict[str, Any]:
    return single(text={"value": value, "truncationMode": mode})


def text_job(uri: str, longest: int = 800, mode: str = "END") -> dict[str, Any]:
    config = {"maxLengthChars": longest}
    return segmented(text={"truncationMode": mode, "source": in_s3(uri), "segmentationConfig": config})


def audio_job(uri: str, seconds: int = 5) -> dict[str, Any]:
    config = {"durationSeconds": seconds}
    return segmented(audio={"format": "wav", "source": in_s3(uri), "segmentationConfig": config})


def invoke(client: Any, body: Any, model: str = MODEL, **more: Any) -> list[dict[str, Any]]:
    answer = client.invoke_model(modelId=model, body=json.dumps(body), **more)
    assert answer["contentType"] == "application/json"
    with answer["body"] as stream:
        found: list[dict[str, Any]] = json.loads(stream.read())["embeddings"]
    return found


def start(client: Any, model_input: Any, uri: str = "s3://media/out/", **more: Any) -> str:
    output = {"s3OutputDataConfig": {"s3Uri": uri}}
    answer = client.start_async_invoke(modelId=MODEL, modelInput=model_input, outputDataConfig=output, **more)
    arn: str = answer["invocationArn"]
    return arn


def ended(client: Any, arn: str, seconds: float = 15) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        job: dict[str, Any] = client.get_async_invoke(invocationArn=arn)
        if job["status"] != "InProgress":
            return job
        time.sleep(0.02)
    raise AssertionError("the job did not end")


def lines(laptop: Laptop, job: dict[str, Any], name: str) -> list[dict[str, Any]]:
    folder = job["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"].removeprefix("s3://media/")
    return [json.loads(line) for line in laptop.read(f"{folder}/{name}").splitlines()]


def token_of(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode()


def refusal(code: str, status: int, call: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    """The message of the error that the call raises."""
    with pytest.raises(ClientError) as caught:
        call(*args, **kwargs)
    response = caught.value.response
    assert (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)
    message: str = response["Error"]["Message"]
    return message


# One embedding


def test_a_text_becomes_one_vector_of_the_asked_length(client: Any) -> None:
    for dimension in (256, 384, 1024, 3072):
        body = single(text={"value": "a red fox", "truncationMode": "END"}, embeddingDimension=dimension)
        (found,) = invoke(client, body)
        assert found.keys() == {"embeddingType", "embedding"}
        assert found["embeddingType"] == "TEXT"
        assert len(found["embedding"]) == dimension


def test_the_dimension_is_3072_unless_told(client: Any) -> None:
    body = a_text("a red fox")
    del body["singleEmbeddingParams"]["embeddingDimension"]
    (found,) = invoke(client, {"schemaVersion": "nova-multimodal-embed-v1", **body})
    assert len(found["embedding"]) == 3072


def test_numbers_are_the_shortest_text_of_a_float32(client: Any) -> None:
    body = client.invoke_model(modelId=MODEL, body=json.dumps(a_text("a red fox")))["body"]
    numbers = re.findall(r"-?\d[\d.e+-]*", body.read().decode().partition("[{")[2])
    body.close()
    assert len(numbers) == 256
    assert all(str(np.float32(number)) == str(float(number)) for number in numbers)


def test_an_image_and_a_sound_are_embedded_from_bytes_and_from_s3_alike(laptop: Laptop, client: Any) -> None:
    laptop.put("a b#c%20ü.png", picture())
    for medium, kind, content in (("image", "png", picture()), ("audio", "wav", sound(3))):
        key = f"Ordner 1/a b#c%20+ü.{kind}"
        laptop.put(key, content)
        (from_bytes,) = invoke(client, single(**{medium: {"format": kind, "source": inline(content)}}))
        (from_s3,) = invoke(client, single(**{medium: {"format": kind, "source": in_s3(f"s3://media/{key}")}}))
        assert from_bytes == from_s3
        assert from_bytes["embeddingType"] == medium.upper()


def test_the_model_may_be_named_by_its_arn(client: Any) -> None:
    arn = f"arn:aws:bedrock:us-east-1::foundation-model/{MODEL}"
    assert invoke(client, a_text("x"), arn) == invoke(client, a_text("x"))


def test_another_model_is_no_model(client: Any) -> None:
    for model in ("amazon.titan-embed-text-v3:0", f"us.{MODEL}", MODEL.replace(":0", "")):
        message = refusal("ValidationException", 400, invoke, client, a_text("x"), model)
        assert message == "The provided model identifier is invalid."


def test_a_long_text_is_cut_where_the_mode_says(client: Any) -> None:
    text = "a" * 8_192 + "b" * 10
    for mode, kept in (("END", text[:8_192]), ("START", text[10:])):
        (cut,) = invoke(client, a_text(text, mode))
        (whole,) = invoke(client, a_text(kept, mode))
        assert cut == {**whole, "truncatedCharLength": 8_192}


REFUSED_INVOKES: list[tuple[dict[str, Any], str]] = [
    ({"embeddingPurpose": None}, "embeddingPurpose"),
    ({"embeddingPurpose": "SEARCH"}, "#/singleEmbeddingParams/embeddingPurpose"),
    ({"embeddingDimension": 512}, "#/singleEmbeddingParams/embeddingDimension"),
    ({"embeddingDimension": "256"}, "#/singleEmbeddingParams/embeddingDimension"),
    ({"text": None}, "exactly one of [text, image, audio, video]"),
    ({"image": {"format": "png", "source": inline(picture())}}, "found: [text, image]"),
    ({"text": {"value": "x"}}, "required key [truncationMode]"),
    ({"text": {"value": "x", "truncationMode": "MIDDLE"}}, "text/truncationMode"),
    ({"text": {"value": "", "truncationMode": "END"}}, "text/value"),
    ({"text": {"truncationMode": "END"}}, "exactly one of [value, source]"),
    ({"text": {"value": "x" * 50_001, "truncationMode": "END"}}, "text/value"),
    ({"text": {"value": "x" * 8_193, "truncationMode": "NONE"}}, "maxLength: 8192"),
    ({"text": {"truncationMode": "END", "source": inline(b"x")}}, "s3Location only"),
    (
        {"text": {"value": "x", "truncationMode": "END", "segmentationConfig": {"maxLengthChars": 800}}},
        "extraneous key [segmentationConfig]",
    ),
    ({"temperature": 1}, "extraneous key [temperature]"),
    ({"text": None, "image": {"source": inline(picture())}}, "required key [format]"),
    ({"text": None, "image": {"format": "jpg", "source": inline(picture())}}, "image/format"),
    ({"text": None, "image": {"format": "jpeg", "source": inline(picture())}}, "the content is png, not jpeg"),
    ({"text": None, "image": {"format": "png", "source": inline(b"text")}}, "the content is unknown"),
    ({"text": None, "image": {"format": "png", "source": {"bytes": "?"}}}, "image/source/bytes"),
    ({"text": None, "image": {"format": "png", "source": {}}}, "exactly one of [bytes, s3Location]"),
    ({"text": None, "image": {"format": "png", "source": in_s3("https://media/x")}}, "s3Location/uri"),
    ({"text": None, "image": {"format": "png", "source": in_s3("s3://media/none")}}, "does not exist"),
    ({"text": None, "image": {"format": "png", "source": in_s3("s3://nowhere/none")}}, "The bucket of"),
    ({"text": None, "image": {"format": "png", "detailLevel": "HIGH", "source": {}}}, "image/detailLevel"),
    ({"text": None, "audio": {"format": "wav", "source": inline(sound(31))}}, "longer than 30 seconds"),
    ({"text": None, "video": {"format": "mp4"}}, "video"),
]


def test_what_nova_refuses_is_refused_with_the_field_named(client: Any) -> None:
    for change, names in REFUSED_INVOKES:
        body = a_text("x")
        params = {**body["singleEmbeddingParams"], **change}
        body["singleEmbeddingParams"] = {name: value for name, value in params.items() if value is not None}
        assert names in refusal("ValidationException", 400, invoke, client, body)


def test_the_task_must_fit_the_call(client: Any) -> None:
    bodies: list[Any] = [text_job("s3://media/x"), {"taskType": "OTHER"}, {}, [], "text"]
    for body in bodies:
        refusal("ValidationException", 400, invoke, client, body)
    deep = b'{"taskType": %s%s}' % (b"[" * 1000, b"]" * 1000)
    message = refusal("ValidationException", 400, client.invoke_model, modelId=MODEL, body=deep)
    assert "#/taskType: JSONArray is not a valid enum value" in message
    message = refusal("ValidationException", 400, start, client, a_text("x"))
    assert "#/taskType" in message


def test_a_body_that_is_no_json_or_too_large_is_refused_and_the_connection_goes_on(client: Any) -> None:
    for body in (b"{", b"", b'"' + b"x" * 25_000_000):
        refusal("ValidationException", 400, client.invoke_model, modelId=MODEL, body=body)
    assert invoke(client, a_text("x"))


def test_options_that_the_laptop_does_not_offer_are_refused(client: Any) -> None:
    for option in ({"guardrailIdentifier": "abc", "guardrailVersion": "1"}, {"serviceTier": "flex"}):
        message = refusal("ValidationException", 400, invoke, client, a_text("x"), **option)
        assert "does not offer" in message
    refusal("UnknownOperationException", 404, client.count_tokens, modelId=MODEL, input={"converse": {}})
    refusal("ValidationException", 400, invoke, client, a_text("x"), contentType="text/plain")


def test_an_input_that_the_role_may_not_read_is_denied(laptop: Laptop, client: Any) -> None:
    laptop.put("a.png", picture())
    laptop.s3.denied.add(ROLE)
    body = single(image={"format": "png", "source": in_s3("s3://media/a.png")})
    as_role = laptop.clients.get("bedrock-runtime", ROLE)
    assert "s3://media/a.png" in refusal("AccessDeniedException", 403, invoke, as_role, body)
    assert invoke(client, body)


def test_an_input_of_another_account_is_denied(laptop: Laptop, client: Any) -> None:
    laptop.put("a.png", picture())
    source = {"s3Location": {"uri": "s3://media/a.png", "bucketOwner": "111111111111"}}
    refusal("AccessDeniedException", 403, invoke, client, single(image={"format": "png", "source": source}))


def test_an_unreadable_input_is_the_callers_fault_and_a_crash_is_ours(client: Any) -> None:
    message = refusal("ValidationException", 400, invoke, client, a_text("BAD"))
    assert message == "Malformed input request: There is nothing to read in this"
    refusal("InternalServerException", 500, invoke, client, a_text("CRASH"))
    assert invoke(client, a_text("after the crash"))


def test_requests_beyond_the_quota_are_throttled_until_a_minute_has_passed(
    fresh_laptop: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = fresh_laptop.start(BedrockSettings(requests_per_minute=3, model=TINY.model))
    for _ in range(3):
        invoke(client, a_text("x"))
    message = refusal("ThrottlingException", 429, invoke, client, a_text("x"))
    assert message == "Too many requests, please wait before trying again."
    later = clock.now() + 61
    monkeypatch.setattr(clock, "now", lambda: later)
    assert invoke(client, a_text("x"))


def test_a_search_does_not_wait_behind_a_job(laptop: Laptop, client: Any) -> None:
    laptop.put("long.txt", (b"SLOW word " * 400)[:1_600])
    invoke(client, a_text("warm"))
    arn = start(client, text_job("s3://media/long.txt"))
    time.sleep(0.3)
    begun = time.monotonic()
    invoke(client, a_text("quick"))
    assert time.monotonic() - begun < 1.0  # behind it, it would take 1.7
    assert ended(client, arn)["status"] == "Completed"


# Jobs


def test_a_text_job_writes_lines_with_positions_and_the_discovery_file_last(laptop: Laptop, client: Any) -> None:
    text = "Überall wächst größeres Gras. " * 100
    laptop.put("in/notes #1 100% ü.txt", text.encode())
    arn = start(client, text_job("s3://media/in/notes #1 100% ü.txt"), "s3://media/jobs/a b%/")
    assert re.fullmatch(r"arn:aws:bedrock:us-east-1:000000000000:async-invoke/[a-z0-9]{12}", arn)
    job = ended(client, arn)
    folder = f"s3://media/jobs/a b%/{arn[-12:]}"
    assert job["status"] == "Completed"
    assert job["outputDataConfig"] == {"s3OutputDataConfig": {"s3Uri": folder}}
    assert job["modelArn"] == f"arn:aws:bedrock:us-east-1::foundation-model/{MODEL}"
    assert job["submitTime"] <= job["endTime"] == job["lastModifiedTime"]
    names = ["embedding-text.jsonl", "manifest.json", "segmented-embedding-result.json"]
    assert laptop.s3.order == [f"{folder.removeprefix('s3://media/')}/{name}" for name in names]
    (result,) = lines(laptop, job, "segmented-embedding-result.json")
    assert result == {
        "sourceFileUri": "s3://media/in/notes #1 100% ü.txt",
        "embeddingDimension": 256,
        "embeddingResults": [
            {"embeddingType": "TEXT", "status": "SUCCESS", "outputFileUri": f"{folder}/embedding-text.jsonl"}
        ],
    }
    end = 0
    for index, line in enumerate(lines(laptop, job, "embedding-text.jsonl")):
        place = line["segmentMetadata"]
        assert line.keys() == {"embedding", "segmentMetadata", "status"}
        assert (line["status"], place["segmentIndex"], place["truncatedCharLength"]) == ("SUCCESS", index, 0)
        assert place["segmentStartCharPosition"] == end
        end = place["segmentEndCharPosition"]
        piece = text[place["segmentStartCharPosition"] : end]
        assert line["embedding"] == invoke(client, a_text(piece))[0]["embedding"]
    assert end == len(text)


def test_an_audio_job_writes_one_line_per_stretch(laptop: Laptop, client: Any) -> None:
    laptop.put("a.wav", sound(12.5))
    job = ended(client, start(client, audio_job("s3://media/a.wav"), "s3://media"))
    found = lines(laptop, job, "embedding-audio.jsonl")
    assert [line["segmentMetadata"] for line in found] == [
        {"segmentIndex": 0, "segmentStartSeconds": 0.0, "segmentEndSeconds": 5.0},
        {"segmentIndex": 1, "segmentStartSeconds": 5.0, "segmentEndSeconds": 10.0},
        {"segmentIndex": 2, "segmentStartSeconds": 10.0, "segmentEndSeconds": 12.5},
    ]
    assert {len(line["embedding"]) for line in found} == {256}


def test_an_image_job_writes_one_embedding_and_takes_no_segmentation(laptop: Laptop, client: Any) -> None:
    laptop.put("a.png", picture())
    image = {"format": "png", "source": in_s3("s3://media/a.png")}
    job = ended(client, start(client, segmented(image=image)))
    (line,) = lines(laptop, job, "embedding-image.json")
    assert line["embedding"] == invoke(client, single(image=image))[0]["embedding"]
    with_config = segmented(image={**image, "segmentationConfig": {"durationSeconds": 5}})
    assert "segmentationConfig" in refusal("ValidationException", 400, start, client, with_config)


def test_a_large_output_goes_up_in_parts(laptop: Laptop, client: Any) -> None:
    laptop.put("a.wav", sound(300))
    body = audio_job("s3://media/a.wav", 1)
    body["segmentedEmbeddingParams"]["embeddingDimension"] = 3072
    job = ended(client, start(client, body))
    found = lines(laptop, job, "embedding-audio.jsonl")
    assert [line["segmentMetadata"]["segmentIndex"] for line in found] == list(range(300))
    key = f"out/{job['invocationArn'][-12:]}/embedding-audio.jsonl"
    head = laptop.s3_clients.get("s3", None).head_object(Bucket="media", Key=key)
    assert re.fullmatch('"[0-9a-f]{32}-[2-9]"', head["ETag"])  # that of an upload in parts


def test_segments_that_cannot_be_read_fail_alone(laptop: Laptop, client: Any) -> None:
    texts = ["word " * 160, "BAD  " * 160, "more " * 160]
    laptop.put("some.txt", "".join(texts).encode())
    job = ended(client, start(client, text_job("s3://media/some.txt")))
    assert job["status"] == "Completed"
    found = lines(laptop, job, "embedding-text.jsonl")
    assert [line["status"] for line in found] == ["SUCCESS", "FAILURE", "SUCCESS"]
    assert found[1].keys() == {"segmentMetadata", "status", "failureReason", "message"}
    assert found[1]["failureReason"] == "INVALID_CONTENT"
    (outcome,) = lines(laptop, job, "segmented-embedding-result.json")[0]["embeddingResults"]
    assert (outcome["status"], outcome["failureReason"]) == ("PARTIAL_SUCCESS", "INVALID_CONTENT")


def test_where_a_decoder_gives_up_the_rest_of_the_segments_failed(laptop: Laptop, client: Any) -> None:
    laptop.put("a.wav", sound(12, note=b"." * 500 + b"BAD"))
    found = lines(laptop, ended(client, start(client, audio_job("s3://media/a.wav"))), "embedding-audio.jsonl")
    assert [line["status"] for line in found] == ["SUCCESS", "FAILURE", "FAILURE"]
    assert found[2]["segmentMetadata"] == {"segmentIndex": 2, "segmentStartSeconds": 10, "segmentEndSeconds": 12}


def test_a_piece_longer_than_the_context_is_cut_or_fails_as_the_mode_says(laptop: Laptop, client: Any) -> None:
    laptop.put("long.txt", b"word " * 10_000)
    for mode, status, cut in (("END", "SUCCESS", 32_768), ("NONE", "FAILURE", 0)):
        job = ended(client, start(client, text_job("s3://media/long.txt", 50_000, mode)))
        (line,) = lines(laptop, job, "embedding-text.jsonl")
        assert (line["status"], line["segmentMetadata"]["truncatedCharLength"]) == (status, cut)


FAILING_JOBS: list[tuple[bytes | None, dict[str, Any], str]] = [
    (None, text_job("s3://media/x"), "s3://media/x does not exist"),
    (None, text_job("s3://nowhere/x"), "The bucket of s3://nowhere/x does not exist"),
    (b"", text_job("s3://media/x"), "empty"),
    (b"\xff\xfe\x00", text_job("s3://media/x"), "UTF-8"),
    (b"word " * 304_001, text_job("s3://media/x"), "more than 1900 segments"),
    (b"not a sound", audio_job("s3://media/x"), "the content is unknown, not wav"),
    (sound(1435, 1), audio_job("s3://media/x", 1), "more than 1434 segments"),
    (sound(7201, 1), audio_job("s3://media/x", 30), "longer than 7200 seconds"),
    (sound(4, note=b"BAD"), audio_job("s3://media/x"), "There is nothing to read in this"),
    (b"CRASH", text_job("s3://media/x"), "The model failed"),
]


def test_a_job_that_cannot_be_done_fails_with_a_sentence(laptop: Laptop, client: Any) -> None:
    for content, body, reason in FAILING_JOBS:
        if content is not None:
            laptop.put("x", content)
        job = ended(client, start(client, body))
        assert job["status"] == "Failed"
        assert reason in job["failureMessage"]
        assert laptop.s3.order == []
    laptop.put("x", b"after all of them")
    assert ended(client, start(client, text_job("s3://media/x")))["status"] == "Completed"


def test_a_job_is_started_and_works_with_the_rights_of_the_role_that_started_it(fresh_laptop: Laptop) -> None:
    client = fresh_laptop.start(BedrockSettings(job_seconds=1.0, model=TINY.model))
    fresh_laptop.put("a.txt", b"text")
    as_role = fresh_laptop.clients.get("bedrock-runtime", ROLE)
    arn, own = start(as_role, text_job("s3://media/a.txt")), start(client, text_job("s3://media/a.txt"))
    fresh_laptop.s3.denied.add(ROLE)
    refusal("AccessDeniedException", 403, start, as_role, text_job("s3://media/a.txt"))
    job = ended(client, arn)
    assert (job["status"], job["failureMessage"]) == ("Failed", "Access to read s3://media/a.txt was denied")
    assert ended(client, own)["status"] == "Completed"
    fresh_laptop.s3.denied.clear()
    assert ended(as_role, start(as_role, text_job("s3://media/a.txt")))["status"] == "Completed"


REFUSED_STARTS: list[tuple[dict[str, Any], str]] = [
    ({"modelInput": audio_job("s3://media/x", 31)}, "audio/segmentationConfig/durationSeconds"),
    ({"modelInput": text_job("s3://media/x", 799)}, "text/segmentationConfig/maxLengthChars"),
    (
        {"modelInput": segmented(text={"truncationMode": "END", "source": in_s3("s3://media/x")})},
        "segmentationConfig",
    ),
    ({"modelInput": segmented(image={"format": "png", "source": inline(picture())})}, "s3Location is required"),
    ({"modelId": "amazon.nova-reel-v1:0"}, "The provided model identifier is invalid."),
    (
        {"outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "media/out"}}},
        "outputDataConfig.s3OutputDataConfig.s3Uri",
    ),
    ({"outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://nowhere/out"}}}, "does not exist"),
    ({"clientRequestToken": "with space"}, "clientRequestToken"),
    ({"tags": [{"key": "a", "value": "b"}, {"key": "?", "value": "b"}]}, "tags.2.member.key"),
]


def test_a_start_that_bedrock_refuses_is_refused(client: Any) -> None:
    def count() -> int:
        return len(client.list_async_invokes(maxResults=1000)["asyncInvokeSummaries"])

    before = count()
    for arguments, names in REFUSED_STARTS:
        request = {
            "modelId": MODEL,
            "modelInput": text_job("s3://media/x"),
            "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://media/out"}},
            **arguments,
        }
        assert names in refusal("ValidationException", 400, client.start_async_invoke, **request)
    assert count() == before


def test_a_repeated_token_names_the_same_job_and_with_another_body_conflicts(laptop: Laptop, client: Any) -> None:
    laptop.put("a.txt", b"text")
    arn = start(client, text_job("s3://media/a.txt"), clientRequestToken="once")
    ended(client, arn)
    assert start(client, text_job("s3://media/a.txt"), clientRequestToken="once") == arn
    assert client.get_async_invoke(invocationArn=arn)["clientRequestToken"] == "once"
    refusal("ConflictException", 400, start, client, text_job("s3://media/b"), clientRequestToken="once")
    other = start(client, text_job("s3://media/a.txt"))
    assert other != arn
    ended(client, other)


def test_many_threads_with_one_token_start_one_job(laptop: Laptop, client: Any) -> None:
    laptop.put("a.txt", b"text")
    arns: list[str] = []
    call = lambda: arns.append(start(client, text_job("s3://media/a.txt"), clientRequestToken="together"))  # noqa: E731
    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(arns) == 8
    assert len(set(arns)) == 1
    ended(client, arns[0])
    assert len(laptop.s3.order) == 3


def test_more_jobs_than_the_account_may_run_are_throttled(fresh_laptop: Laptop) -> None:
    client = fresh_laptop.start(BedrockSettings(job_seconds=60, max_concurrent_jobs=2, model=TINY.model))
    for _ in range(2):
        start(client, text_job("s3://media/a.txt"), clientRequestToken=f"job{_}")
    refusal("ThrottlingException", 429, start, client, text_job("s3://media/a.txt"))
    start(client, text_job("s3://media/a.txt"), clientRequestToken="job1")


def test_a_job_takes_its_least_time(fresh_laptop: Laptop) -> None:
    client = fresh_laptop.start(BedrockSettings(job_seconds=0.5, model=TINY.model))
    fresh_laptop.put("a.txt", b"text")
    job = ended(client, start(client, text_job("s3://media/a.txt")))
    assert job["endTime"] - job["submitTime"] >= timedelta(seconds=0.5)


def test_a_job_that_a_stop_interrupts_goes_on_with_the_next_start(fresh_laptop: Laptop) -> None:
    client = fresh_laptop.start()
    fresh_laptop.put("a.txt", b"SLOW word " * 80 + b"and more " * 100)
    arn = start(client, text_job("s3://media/a.txt"))
    time.sleep(0.5)
    assert fresh_laptop.bedrock
    fresh_laptop.bedrock.stop()
    assert fresh_laptop.s3.order == []
    again = fresh_laptop.start()
    job = ended(again, arn)
    assert job["status"] == "Completed"
    assert len(lines(fresh_laptop, job, "embedding-text.jsonl")) == 3


OTHER_PROCESS = """
import sys, time
from pathlib import Path
from local.auth import Keyring
from local.bedrock.service import Bedrock, BedrockSettings
from local.clients import Clients
from local.front import Front
from local.http import HttpServer
from local.s3 import S3
from local.state import State

folder, s3_url = Path(sys.argv[1]), sys.argv[2]
settings = BedrockSettings(job_seconds=0, model="tests.local.tiny_model")
bedrock = Bedrock(State(folder), Clients(s3_url, Keyring(folder)), print, settings)
server = HttpServer(Front({"bedrock": bedrock}, Keyring(folder), print), 0)
server.start()
print(server.url, flush=True)
time.sleep(60)
"""


def test_a_job_of_a_killed_process_goes_on_with_the_next_one(fresh_laptop: Laptop, tmp_path: Path) -> None:
    fresh_laptop.put("a.txt", b"SLOW word " * 80 + b"and more " * 100)
    command = [sys.executable, "-c", OTHER_PROCESS, str(tmp_path), fresh_laptop.s3_clients.endpoint]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={"PYTHONPATH": str(root)}) as process:
        assert process.stdout
        url = process.stdout.readline().decode().strip()
        client = Clients(url, Keyring(tmp_path)).get("bedrock-runtime", None)
        arn = start(client, text_job("s3://media/a.txt"))
        time.sleep(0.5)
        children = psutil.Process(process.pid).children()
        process.kill()
    assert children
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive
    job = ended(fresh_laptop.start(), arn)
    assert job["status"] == "Completed"
    assert len(lines(fresh_laptop, job, "embedding-text.jsonl")) == 3


def test_a_job_waits_for_s3_to_come_back(laptop: Laptop, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_RETRY_SECONDS", (0.6, 5.0))
    laptop.put("a.txt", b"SLOW text")
    arn = start(client, text_job("s3://media/a.txt"))
    time.sleep(0.3)
    laptop.s3.down = True
    time.sleep(0.9)
    assert client.get_async_invoke(invocationArn=arn)["status"] == "InProgress"
    laptop.s3.down = False
    assert ended(client, arn)["status"] == "Completed"


def test_an_unknown_invocation_is_a_validation_error(client: Any) -> None:
    for arn in ("arn:aws:bedrock:us-east-1:000000000000:async-invoke/abcdefghijkl", "abc"):
        refusal("ValidationException", 400, client.get_async_invoke, invocationArn=arn)


def test_a_list_is_filtered_sorted_and_paged(fresh_laptop: Laptop) -> None:
    client = fresh_laptop.start()
    fresh_laptop.put("a.txt", b"text")
    arns = [start(client, text_job("s3://media/a.txt")) for _ in range(5)]
    missing = start(client, text_job("s3://media/none"))
    for arn in (*arns, missing):
        ended(client, arn)

    def listed(**arguments: Any) -> list[str]:
        pages = client.get_paginator("list_async_invokes").paginate(**arguments)
        return [job["invocationArn"] for page in pages for job in page["asyncInvokeSummaries"]]

    everything = [*arns, missing]
    assert listed() == everything[::-1]
    assert listed(sortBy="SubmissionTime", sortOrder="Ascending") == everything
    assert listed(sortOrder="Ascending", maxResults=2) == everything
    assert listed(maxResults=1, statusEquals="Completed") == arns[::-1]
    assert listed(statusEquals="Failed") == [missing]
    now = datetime.now(UTC)
    assert listed(submitTimeAfter=now) == listed(submitTimeBefore=now - timedelta(hours=1)) == []
    assert listed(submitTimeAfter=now - timedelta(hours=1), submitTimeBefore=now) == everything[::-1]
    for wrong in ({"maxResults": 1001}, {"statusEquals": "Done"}, {"sortBy": "Name"}):
        refusal("ValidationException", 400, client.list_async_invokes, **wrong)
    for token in ("abc", token_of(b"[" * 1500), token_of(b'[1%s, "x"]' % (b"0" * 400))):
        refusal("ValidationException", 400, client.list_async_invokes, nextToken=token)


# The stand-in itself


def noise_and_beeps() -> bytes:
    """Five seconds of noise, then five of a high tone that goes on and off."""
    rate = 16_000
    time_ = np.arange(5 * rate) / rate
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, 5 * rate)
    beeps = 0.5 * np.sin(2 * np.pi * 1_500 * time_) * (time_ % 0.5 < 0.25)
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.concatenate([noise, beeps]) * 32_767).astype("<i2").tobytes())
    return target.getvalue()


def test_the_stand_in_embeds_what_can_be_searched(fresh_laptop: Laptop) -> None:
    client = fresh_laptop.start(BedrockSettings(job_seconds=0))
    fresh_laptop.put("sound.wav", noise_and_beeps())
    fresh_laptop.put("notes.txt", b"The harbour was full of ships. " * 20 + b"The chef bakes bread. " * 30)

    def found(name: str, query: str, model_input: dict[str, Any]) -> list[float]:
        job = ended(client, start(client, model_input))
        assert job["status"] == "Completed", job
        (wanted,) = invoke(client, a_text(query))
        vectors = np.array([line["embedding"] for line in lines(fresh_laptop, job, name)])
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        return list(vectors @ np.array(wanted["embedding"]))

    noise, beeps = found("embedding-audio.jsonl", "an alarm beeping", audio_job("s3://media/sound.wav"))
    assert beeps > noise
    ships, bread = found("embedding-text.jsonl", "bread", text_job("s3://media/notes.txt"))
    assert bread > ships
    orange = invoke(client, single(image={"format": "png", "source": inline(picture())}))[0]["embedding"]
    words = [invoke(client, a_text(text))[0]["embedding"] for text in ("something orange", "something blue")]
    assert np.dot(orange, words[0]) > np.dot(orange, words[1])


def test_the_stand_in_says_what_it_cannot_read(fresh_laptop: Laptop) -> None:
    client = fresh_laptop.start(BedrockSettings(job_seconds=0))
    broken = single(image={"format": "png", "source": inline(picture()[:60])})
    refusal("ValidationException", 400, invoke, client, broken)
    fresh_laptop.put("broken.wav", noise_and_beeps()[:40])
    job = ended(client, start(client, audio_job("s3://media/broken.wav")))
    assert (job["status"], bool(job["failureMessage"])) == ("Failed", True)


# Laws


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab ü\n\r\t語"), max_size=300), st.integers(1, 40))
def test_pieces_are_the_text_and_no_word_is_cut_that_fits(text: str, longest: int) -> None:
    found = list(pieces(io.StringIO(text, newline=""), longest))
    assert "".join(found) == text
    assert all(1 <= len(piece) <= longest for piece in found)
    for left, right in itertools.pairwise(found):
        at_boundary = left[-1].isspace() or right[0].isspace()
        assert at_boundary or (len(left) == longest and len(left.split()) == 1 and not left[0].isspace())


@pytest.mark.parametrize(("kind", "name"), [("PNG", "png"), ("JPEG", "jpeg"), ("GIF", "gif"), ("WEBP", "webp")])
def test_a_pictures_format_is_read_from_its_bytes(kind: str, name: str) -> None:
    assert formats_of(picture(kind)) == {name}


def test_a_sounds_format_is_read_from_its_bytes() -> None:
    assert formats_of(sound(1)) == {"wav"}
    assert formats_of(b"ID3\x04") == formats_of(b"\xff\xfb\x90\x00") == {"mp3"}
    assert formats_of(b"OggS\x00") == {"ogg"}
    assert formats_of(b"\xff\xf1\x50\x80") == formats_of(b"") == set()  # AAC; nothing

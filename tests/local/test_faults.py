"""What goes wrong on demand, over the wire, and the count of every call."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from tests.local.small_laptop import SmallLaptop, eventually

MODEL = "amazon.nova-2-multimodal-embeddings-v1:0"
LOCAL_QUEUE = "arn:aws:sqs:us-east-1:000000000000:"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallLaptop]:
    made = SmallLaptop(tmp_path_factory.mktemp("laptop"))
    made.client("s3").create_bucket(Bucket="media")
    yield made
    made.close()


@pytest.fixture
def laptop(running: SmallLaptop) -> SmallLaptop:
    running.forget()
    return running


def refused(call: Callable[..., Any], **request: Any) -> tuple[str, int]:
    """The error's code and status."""
    with pytest.raises(ClientError) as caught:
        call(**request)
    response: Any = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def counts(laptop: SmallLaptop, **wanted: str) -> list[tuple[str, str, str, str, str, int]]:
    query = "&".join(f"{name}={value}" for name, value in wanted.items())
    return [tuple(row.values()) for row in laptop.local("GET", f"calls?{query}")["calls"]]


# Calls


@pytest.mark.parametrize(
    ("service", "name", "method", "request_", "throttled", "failed"),
    [
        ("s3", "s3", "list_buckets", {}, ("SlowDown", 503), ("InternalError", 500)),
        (
            "dynamodb",
            "dynamodb",
            "get_item",
            {"TableName": "t", "Key": {}},
            ("ProvisionedThroughputExceededException", 400),
            ("InternalServerError", 500),
        ),
        ("dynamodb", "dynamodb", "list_tables", {}, ("ThrottlingException", 400), ("InternalServerError", 500)),
        ("sqs", "sqs", "get_queue_url", {"QueueName": "q"}, ("RequestThrottled", 400), ("InternalFailure", 500)),
        ("events", "events", "put_events", {"Entries": [{}]}, ("ThrottlingException", 400), ("InternalException", 500)),
        ("states", "stepfunctions", "list_state_machines", {}, ("ThrottlingException", 400), ("InternalFailure", 500)),
        ("lambda", "lambda", "list_functions", {}, ("TooManyRequestsException", 429), ("ServiceException", 500)),
        (
            "s3vectors",
            "s3vectors",
            "list_vector_buckets",
            {},
            ("TooManyRequestsException", 429),
            ("InternalServerException", 500),
        ),
        (
            "bedrock-runtime",
            "bedrock-runtime",
            "list_async_invokes",
            {},
            ("ThrottlingException", 429),
            ("InternalServerException", 500),
        ),
        ("sts", "sts", "get_caller_identity", {}, ("Throttling", 400), ("InternalFailure", 500)),
    ],
)
def test_each_service_throttles_and_fails_in_its_own_words(
    laptop: SmallLaptop,
    service: str,
    name: str,
    method: str,
    request_: dict[str, Any],
    throttled: tuple[str, int],
    failed: tuple[str, int],
) -> None:
    call = getattr(laptop.client(name), method)
    laptop.fault("throttle", service=service, next=1)
    laptop.fault("fail", service=service, next=1)
    assert refused(call, **request_) == throttled
    assert refused(call, **request_) == failed
    assert [(outcome, fault, count) for *_, outcome, fault, count in counts(laptop)] == sorted(
        [(throttled[0], "throttle", 1), (failed[0], "fail", 1)]
    )


@pytest.mark.parametrize(
    ("service", "operation", "error", "expected"),
    [
        ("s3vectors", "PutVectors", "KmsDisabledException", ("KmsDisabledException", 400)),
        ("s3vectors", "QueryVectors", "ServiceUnavailableException", ("ServiceUnavailableException", 503)),
        ("s3vectors", "CreateIndex", "RequestTimeoutException", ("RequestTimeoutException", 408)),
    ],
)
def test_any_declared_exception_can_be_had_by_its_name(
    laptop: SmallLaptop, service: str, operation: str, error: str, expected: tuple[str, int]
) -> None:
    laptop.fault("fail", service=service, operation=operation, error=error, message="On purpose.")
    client = laptop.client(service)
    index = {"vectorBucketName": "bucket", "indexName": "index"}
    vector = {"float32": [1.0]}
    calls: dict[str, Callable[[], Any]] = {
        "PutVectors": lambda: client.put_vectors(**index, vectors=[{"key": "k", "data": vector}]),
        "QueryVectors": lambda: client.query_vectors(**index, topK=1, queryVector=vector),
        "CreateIndex": lambda: client.create_index(**index, dataType="float32", dimension=1, distanceMetric="cosine"),
    }
    with pytest.raises(getattr(client.exceptions, error)) as caught:
        calls[operation]()
    response: Any = caught.value.response
    assert (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == expected
    assert response["Error"]["Message"] == "On purpose."


def test_every_exception_that_s3_vectors_declares_can_be_asked_for(laptop: SmallLaptop) -> None:
    model = laptop.client("s3vectors").meta.service_model
    asked = 0
    for operation in model.operation_names:
        for shape in model.operation_model(operation).error_shapes:
            laptop.fault("fail", service="s3vectors", operation=operation, error=shape.name, next=1)
            asked += 1
    assert asked > 100


def test_what_no_model_declares_needs_a_status(laptop: SmallLaptop) -> None:
    rule = {"service": "s3", "operation": "HeadObject", "error": "AccessDenied"}
    message = laptop.local("POST", "faults", {"fault": "fail", **rule})
    assert message == "s3 HeadObject declares no AccessDenied: say which status it has"
    laptop.fault("fail", **rule, status=403)
    assert refused(laptop.client("s3").head_object, Bucket="media", Key="k") == ("403", 403)


@pytest.mark.parametrize("fault", ["fail", "throttle", "timeout"])
def test_where_s3_fails_bedrock_fails(laptop: SmallLaptop, fault: str) -> None:
    laptop.client("s3").put_object(Bucket="media", Key="a.txt", Body=b"a cat")
    text = {"truncationMode": "END", "source": {"s3Location": {"uri": "s3://media/a.txt"}}}
    params = {"embeddingPurpose": "GENERIC_INDEX", "embeddingDimension": 256, "text": text}
    body = json.dumps({"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": params})
    invoke = laptop.client("bedrock-runtime").invoke_model
    laptop.fault(fault, service="s3", operation="GetObject", next=1, **({"seconds": 0} if fault == "timeout" else {}))
    assert refused(invoke, modelId=MODEL, body=body) == ("InternalServerException", 500)
    invoke(modelId=MODEL, body=body)


def test_a_rule_hits_only_the_operation_caller_and_resource_it_names(laptop: SmallLaptop) -> None:
    laptop.fault("throttle", service="s3", operation="Put*", resource="a b/c")
    laptop.fault("throttle", service="sqs", resource="media-queue")
    laptop.fault("throttle", service="dynamodb", caller="worker")
    s3, sqs = laptop.client("s3"), laptop.client("sqs")
    assert refused(s3.put_object, Bucket="media", Key="a b/c d", Body=b"") == ("SlowDown", 503)
    s3.put_object(Bucket="media", Key="other", Body=b"x")
    s3.list_objects_v2(Bucket="media", Prefix="a b/c")
    assert refused(sqs.create_queue, QueueName="media-queue") == ("RequestThrottled", 400)
    sqs.create_queue(QueueName="other")
    laptop.client("dynamodb").list_tables()
    as_role = laptop.clients.get("dynamodb", "arn:aws:iam::000000000000:role/worker")
    assert refused(as_role.list_tables) == ("ThrottlingException", 400)


def test_next_counts_down_and_a_rate_with_a_seed_can_be_replayed(laptop: SmallLaptop) -> None:
    s3 = laptop.client("s3")

    def outcomes(number: int) -> list[bool]:
        found = []
        for _ in range(number):
            try:
                s3.list_buckets()
                found.append(True)
            except ClientError:
                found.append(False)
        return found

    laptop.fault("throttle", service="s3", next=2)
    assert outcomes(4) == [False, False, True, True]
    first, again, other = (
        (laptop.forget(), laptop.fault("throttle", service="s3", rate=0.5, seed=seed), outcomes(40))[2]
        for seed in (7, 7, 8)
    )
    assert first == again != other
    assert 5 < sum(first) < 35
    (rule,) = laptop.local("GET", "faults")["rules"]
    assert (rule["hits"], rule["seed"]) == (other.count(False), 8)


def test_a_timed_out_call_gets_no_answer_and_is_done_only_if_that_was_asked_for(laptop: SmallLaptop) -> None:
    s3 = laptop.client("s3")
    rule = {"service": "s3", "operation": "PutObject", "seconds": 0.05, "next": 1}
    for key, done in (("undone", False), ("done", True)):
        laptop.fault("timeout", **rule, done=done)
        with pytest.raises(ConnectionClosedError):
            s3.put_object(Bucket="media", Key=key, Body=b"x")
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket="media")["Contents"]]
    assert ("undone" in keys, "done" in keys) == (False, True)
    assert counts(laptop, operation="PutObject") == [("s3", "PutObject", "local", "no answer", "timeout", 2)]


def test_what_is_left_of_a_lost_call_is_not_taken_for_another(
    laptop: SmallLaptop, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    laptop.fault("timeout", service="s3", operation="PutObject", seconds=0.2, next=1)
    with pytest.raises(ConnectionClosedError):
        laptop.client("s3").put_object(Bucket="media", Key="film", Body=b"no request\n" * 10)
    time.sleep(0.2)  # it would be read at once
    assert "code 400" not in caplog.text + capfd.readouterr().err


def test_a_service_that_is_not_ours_is_lost_and_counted_too(laptop: SmallLaptop) -> None:
    sts = laptop.client("sts")
    laptop.fault("timeout", service="sts", seconds=0, next=1, done=True)
    with pytest.raises(ConnectionClosedError):
        sts.get_caller_identity()
    laptop.fault("late", service="sts", resource="Action=GetCallerIdentity", seconds=0.01, next=1)
    sts.get_caller_identity()
    assert counts(laptop) == [
        ("sts", "GetCallerIdentity", "local", "no answer", "timeout", 1),
        ("sts", "GetCallerIdentity", "local", "ok", "late", 1),
    ]


def test_a_late_answer_comes_after_what_was_asked_later(laptop: SmallLaptop) -> None:
    s3, ended = laptop.client("s3"), []
    laptop.fault("late", service="s3", operation="HeadBucket", seconds=1)

    def look() -> None:
        s3.head_bucket(Bucket="media")
        ended.append("late")

    thread = threading.Thread(target=look)
    thread.start()
    s3.list_buckets()
    ended.append("other")
    thread.join()
    assert ended == ["other", "late"]


def test_every_call_is_counted_with_its_outcome(laptop: SmallLaptop) -> None:
    s3 = laptop.client("s3")
    for _ in range(3):
        s3.put_object(Bucket="media", Key="k", Body=b"x")
    refused(s3.get_object, Bucket="media", Key="none")
    refused(laptop.client("sqs").get_queue_url, QueueName="none")
    refused(laptop.client("dynamodb").describe_table, TableName="none")
    refused(laptop.client("iam").get_role, RoleName="none")
    assert counts(laptop) == [
        ("dynamodb", "DescribeTable", "local", "ResourceNotFoundException", "", 1),
        ("iam", "GetRole", "local", "NoSuchEntity", "", 1),
        ("s3", "GetObject", "local", "NoSuchKey", "", 1),
        ("s3", "PutObject", "local", "ok", "", 3),
        ("sqs", "GetQueueUrl", "local", "AWS.SimpleQueueService.NonExistentQueue", "", 1),
    ]
    assert laptop.local("GET", "calls")["total"] == 7
    laptop.local("DELETE", "calls")
    assert laptop.local("GET", "calls")["calls"] == []


KINDS = "throttle, fail, timeout, late, crash, duplicate, reorder, fail_job, fail_segment"


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("throttle", 'a rule is an object, such as {"fault": "throttle"}'),
        (None, 'a rule is an object, such as {"fault": "throttle"}'),
        ({}, f"the fault of a rule is one of {KINDS}"),
        ({"fault": "melt"}, f"the fault of a rule is one of {KINDS}, not melt"),
        ({"fault": ["fail"]}, f"the fault of a rule is one of {KINDS}, not ['fail']"),
        ({"fault": "throttle", "service": "s4"}, "the SDK knows no service s4"),
        ({"fault": "throttle", "service": "s3", "operation": "Putobject"}, "s3 has no operation Putobject"),
        ({"fault": "throttle", "rate": 2}, "rate should be less than or equal to 1"),
        ({"fault": "throttle", "next": 0}, "next should be greater than or equal to 1"),
        ({"fault": "throttle", "service": 3}, "service should be a valid string"),
        ({"fault": "reorder", "service": "s3", "seconds": 1}, "service should be 'events' or 'sqs'"),
        ({"fault": "throttle", "seconds": 1}, "a rule of this fault takes no seconds"),
        ({"fault": "late"}, "a rule of this fault needs seconds"),
        ({"fault": "crash"}, "give either after_calls or after_seconds"),
        (
            {"fault": "fail", "service": "sqs", "error": "NoSuchKey"},
            "no operation of sqs declares NoSuchKey: say which status it has",
        ),
        (
            {"fault": "fail", "service": "s3", "operation": "Put*", "error": "Nope"},
            "s3 Put* declares no Nope: say which status it has",
        ),
        ({"fault": "fail", "error": "Nope"}, "say of which service Nope is, or which status it has"),
    ],
)
def test_a_bad_rule_is_refused_in_one_sentence(laptop: SmallLaptop, rule: Any, message: str) -> None:
    assert laptop.local("POST", "faults", [{"fault": "throttle"}, rule]) == message
    assert laptop.local("GET", "faults") == {"rules": []}


def test_rules_go_one_by_one_or_all_and_the_routes_say_what_they_take(laptop: SmallLaptop) -> None:
    first, second = laptop.fault("throttle"), laptop.fault("late", seconds=1)
    laptop.local("DELETE", f"faults/{first}")
    assert [rule["id"] for rule in laptop.local("GET", "faults")["rules"]] == [second]
    assert laptop.local("DELETE", f"faults/{first}") == f"There is no rule {first}"
    assert laptop.local("DELETE", "faults") == {"removed": 1}
    told = laptop.local("GET", "")
    assert "POST /_local/faults" in told["routes"]
    assert told["faults"]["crash"]["takes"][:3] == ["function", "after_calls", "after_seconds"]
    assert "There is no GET /_local/nothing" in laptop.local("GET", "nothing")


# Functions


WORK = """
    import boto3, json
    s3 = boto3.client("s3")
    def handler(event, context):
        name = event["Records"][0]["body"] if "Records" in event else event
        for step in "123":
            s3.put_object(Bucket="media", Key=f"steps/{name}/{step}", Body=b"x")
        return name
"""


def steps(laptop: SmallLaptop, name: str) -> list[str]:
    found = laptop.client("s3").list_objects_v2(Bucket="media", Prefix=f"steps/{name}/")
    return [each["Key"][-1] for each in found.get("Contents", [])]


def test_a_function_crashes_once_its_nth_call_is_done(laptop: SmallLaptop) -> None:
    laptop.function("work", WORK)
    laptop.fault("crash", function="w*", after_calls=2, next=1)
    assert laptop.call("work", "twice")["errorMessage"].endswith("Runtime exited with error: signal: killed")
    assert steps(laptop, "twice") == ["1", "2"]
    assert laptop.call("work", "whole") == "whole"
    assert counts(laptop, caller="work") == [
        ("s3", "PutObject", "work", "no answer", "crash", 1),
        ("s3", "PutObject", "work", "ok", "", 4),
    ]


def test_a_function_crashes_after_seconds_and_only_the_invocation_that_was_chosen(laptop: SmallLaptop) -> None:
    laptop.function("slow", "import time\ndef handler(event, context): time.sleep(event); return 'woke'")
    laptop.fault("crash", function="slow", after_seconds=0.2, next=1)
    assert "signal: killed" in laptop.call("slow", 10)["errorMessage"]
    assert laptop.call("slow", 0) == "woke"
    laptop.fault("crash", function="slow", after_seconds=0.8, next=1)
    assert laptop.call("slow", 0) == "woke"  # over before that
    assert laptop.call("slow", 1) == "woke"  # and the same process is not killed later


def test_the_message_of_a_crashed_function_comes_again(laptop: SmallLaptop) -> None:
    sqs = laptop.client("sqs")
    laptop.function("worker", WORK)
    url = sqs.create_queue(QueueName="jobs", Attributes={"VisibilityTimeout": "4"})["QueueUrl"]
    laptop.fault("crash", function="worker", after_calls=1, next=1)
    laptop.poll("jobs", "worker")
    sqs.send_message(QueueUrl=url, MessageBody="again")
    eventually(lambda: steps(laptop, "again") == ["1", "2", "3"])
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    eventually(
        lambda: set(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values()) == {"0"}
    )
    assert [row[-1] for row in counts(laptop, caller="worker", fault="crash")] == [1]


def test_a_rule_for_one_function_leaves_another_with_the_same_role_alone(laptop: SmallLaptop) -> None:
    laptop.function("first", WORK)
    laptop.function("second", WORK)
    laptop.fault("fail", service="s3", caller="first", error="Gone", status=410)
    assert laptop.call("first", "a")["errorType"] == "ClientError"
    assert laptop.call("second", "b") == "b"


# Messages


def received(laptop: SmallLaptop, url: str, number: int) -> list[Any]:
    messages: list[Any] = []
    ends = time.monotonic() + 20
    while len(messages) < number and time.monotonic() < ends:
        found = laptop.client("sqs").receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1, VisibilityTimeout=60
        )
        messages += found.get("Messages", [])
    return messages


def test_a_message_comes_twice_with_the_same_id(laptop: SmallLaptop) -> None:
    sqs = laptop.client("sqs")
    url = sqs.create_queue(QueueName="twice")["QueueUrl"]
    laptop.fault("duplicate", service="sqs", resource=":twice", next=1)
    sent = [sqs.send_message(QueueUrl=url, MessageBody=body)["MessageId"] for body in ("a", "b")]
    messages = received(laptop, url, 3)
    assert sorted(message["Body"] for message in messages) == ["a", "a", "b"]
    assert {message["MessageId"] for message in messages} == set(sent)


def test_messages_overtake_each_other(laptop: SmallLaptop) -> None:
    sqs = laptop.client("sqs")
    url = sqs.create_queue(QueueName="jumble")["QueueUrl"]
    laptop.fault("reorder", service="sqs", resource="jumble", seconds=1, seed=3)
    bodies = [str(number) for number in range(8)]
    sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": body, "MessageBody": body} for body in bodies])
    came = [message["Body"] for message in received(laptop, url, 8)]
    assert sorted(came) == bodies != came


def test_an_event_is_delivered_twice_and_late(laptop: SmallLaptop) -> None:
    sqs, events = laptop.client("sqs"), laptop.client("events")
    url = sqs.create_queue(QueueName="bell")["QueueUrl"]
    events.put_rule(Name="ring", EventPattern=json.dumps({"source": ["till"]}))
    events.put_targets(Rule="ring", Targets=[{"Id": "q", "Arn": f"{LOCAL_QUEUE}bell"}])
    laptop.fault("reorder", service="events", resource="first", seconds=0.5, next=1)
    laptop.fault("duplicate", service="events", resource="bell", seconds=0.1, next=1)
    sale = {"Source": "till", "DetailType": "Sale"}
    events.put_events(Entries=[{**sale, "Detail": json.dumps({"name": name})} for name in ("first", "second")])
    came = [json.loads(message["Body"]) for message in received(laptop, url, 3)]
    assert sorted(event["detail"]["name"] for event in came) == ["first", "second", "second"]
    assert came[0]["detail"]["name"] == "second"
    assert len({event["id"] for event in came}) == 2


# Bedrock's jobs


def embed(laptop: SmallLaptop, key: str, text: str) -> dict[str, Any]:
    """Embed a text in pieces; the job when it has ended."""
    laptop.client("s3").put_object(Bucket="media", Key=key, Body=text.encode())
    runtime = laptop.client("bedrock-runtime")
    source = {"s3Location": {"uri": f"s3://media/{key}"}}
    params = {
        "embeddingPurpose": "GENERIC_INDEX",
        "embeddingDimension": 256,
        "text": {"truncationMode": "END", "segmentationConfig": {"maxLengthChars": 800}, "source": source},
    }
    arn = runtime.start_async_invoke(
        modelId=MODEL,
        modelInput={"taskType": "SEGMENTED_EMBEDDING", "segmentedEmbeddingParams": params},
        outputDataConfig={"s3OutputDataConfig": {"s3Uri": "s3://media/out"}},
    )["invocationArn"]

    def ended() -> Any:
        job = runtime.get_async_invoke(invocationArn=arn)
        return job if job["status"] != "InProgress" else None

    job: dict[str, Any] = eventually(ended)
    return job


def read(laptop: SmallLaptop, job: dict[str, Any], name: str) -> list[Any]:
    prefix = job["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"].removeprefix("s3://media/")
    body = laptop.client("s3").get_object(Bucket="media", Key=f"{prefix}/{name}")["Body"]
    with body:
        return [json.loads(line) for line in body.read().splitlines()]


def test_a_job_fails_with_the_message_asked_for(laptop: SmallLaptop) -> None:
    laptop.fault("fail_job", resource="doomed", message="The model is on strike", next=1)
    assert embed(laptop, "fine.txt", "word " * 10)["status"] == "Completed"
    job = embed(laptop, "doomed.txt", "word " * 10)
    assert (job["status"], job["failureMessage"]) == ("Failed", "The model is on strike")
    assert embed(laptop, "doomed.txt", "word " * 10)["status"] == "Completed"


def test_segments_fail_with_the_reason_asked_for_and_the_result_says_so(laptop: SmallLaptop) -> None:
    laptop.fault("fail_segment", reason="CONTENT_POLICY", message="Not this one", next=2)
    job = embed(laptop, "long.txt", "A sentence of some words. " * 150)
    lines = read(laptop, job, "embedding-text.jsonl")
    assert [line["status"] for line in lines[:3]] == ["FAILURE", "FAILURE", "SUCCESS"]
    assert all(("embedding" in line) == (line["status"] == "SUCCESS") for line in lines)
    assert (lines[0]["failureReason"], lines[0]["message"]) == ("CONTENT_POLICY", "Not this one")
    (result,) = read(laptop, job, "segmented-embedding-result.json")
    outcome = result["embeddingResults"][0]
    assert (outcome["status"], outcome["failureReason"]) == ("PARTIAL_SUCCESS", "CONTENT_POLICY")
    assert job["status"] == "Completed"


def test_a_batch_job_and_its_records_fail_too(laptop: SmallLaptop) -> None:
    laptop.fault("fail_segment", message="Not this record", resource="batch-out", next=1)
    job = batch(laptop, "some")
    lines = read_lines(laptop, job, "records.jsonl.out")
    assert [line.get("error") for line in lines] == [
        {"errorCode": 400, "errorMessage": "Not this record"},
        None,
        None,
    ]
    assert job["status"] == "Completed"
    laptop.fault("fail_job", message="No capacity", resource="batch-out")
    job = batch(laptop, "none")
    assert (job["status"], job["message"]) == ("Failed", "No capacity")


def batch(laptop: SmallLaptop, name: str) -> dict[str, Any]:
    """Embed three texts in a batch; the job when it has ended."""
    records = [{"recordId": f"{n}", "modelInput": {"inputText": f"text {n}"}} for n in range(3)]
    body = "".join(f"{json.dumps(record)}\n" for record in records).encode()
    laptop.client("s3").put_object(Bucket="media", Key="batch/records.jsonl", Body=body)
    bedrock = laptop.client("bedrock")
    arn = bedrock.create_model_invocation_job(
        jobName=name,
        roleArn="arn:aws:iam::000000000000:role/worker",
        modelId="amazon.titan-embed-text-v2:0",
        inputDataConfig={"s3InputDataConfig": {"s3Uri": "s3://media/batch/records.jsonl"}},
        outputDataConfig={"s3OutputDataConfig": {"s3Uri": "s3://media/batch-out/"}},
    )["jobArn"]

    def ended() -> Any:
        job = bedrock.get_model_invocation_job(jobIdentifier=arn)
        return job if job["status"] in ("Completed", "Failed") else None

    job: dict[str, Any] = eventually(ended)
    return job


def read_lines(laptop: SmallLaptop, job: dict[str, Any], name: str) -> list[Any]:
    key = f"batch-out/{job['jobArn'].rpartition('/')[2]}/{name}"
    with laptop.client("s3").get_object(Bucket="media", Key=key)["Body"] as body:
        return [json.loads(line) for line in body.read().splitlines()]

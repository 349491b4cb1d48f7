"""Amazon SQS on the laptop, over the wire and as the other services use it."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from local import clock
from local.auth import Keyring
from local.clients import Clients
from local.front import Front
from local.http import HttpServer
from local.sqs import Sqs
from local.sqs.contents import attributes_md5, check_body, select
from local.sqs.messages import Message
from local.state import State
from local.wire import LOCAL_USER, AwsError, Service
from tests.local.conftest import nothing_else

ARN = "arn:aws:sqs:us-east-1:000000000000:"
DEEP = '{"a":' * 2000 + "{}" + "}" * 2000


@pytest.fixture
def sqs(state: State) -> Iterator[Sqs]:
    made = Sqs(state)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def services() -> dict[str, Service]:
    """What the one server of these tests serves (ending a server takes half a second)."""
    return {}


@pytest.fixture(scope="module")
def wire(services: dict[str, Service], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    keyring = Keyring(tmp_path_factory.mktemp("keys"))
    server = HttpServer(Front(services, keyring, nothing_else), 0)
    server.start()
    yield Clients(server.url, keyring).get("sqs", None)
    server.stop()


@pytest.fixture
def client(sqs: Sqs, services: dict[str, Service], wire: Any) -> Any:
    services["sqs"] = sqs
    return wire


@pytest.fixture
def url(client: Any) -> str:
    return str(client.create_queue(QueueName="work")["QueueUrl"])


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """`later(60)` puts the laptop's clock on by a minute."""
    ahead = [0.0]
    monkeypatch.setattr(clock, "now", lambda: time.time() + ahead[0])

    def put_on(seconds: float) -> None:
        ahead[0] += seconds

    return put_on


def receives(count: str) -> str:
    return json.dumps({"deadLetterTargetArn": ARN + "dead", "maxReceiveCount": count})


def refused(call: Callable[..., Any], **request: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**request)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def counts(client: Any, url: str) -> tuple[int, int, int]:
    names = ["", "NotVisible", "Delayed"]
    found = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    visible, in_flight, delayed = (int(found[f"ApproximateNumberOfMessages{name}"]) for name in names)
    return visible, in_flight, delayed


def receive(client: Any, url: str, **more: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.receive_message(QueueUrl=url, **more).get("Messages", [])
    return found


def with_dead_letters(client: Any, receives: int = 1) -> tuple[str, str]:
    dead = client.create_queue(QueueName="dead")["QueueUrl"]
    policy = json.dumps({"deadLetterTargetArn": ARN + "dead", "maxReceiveCount": receives})
    attributes = {"RedrivePolicy": policy, "VisibilityTimeout": "0"}
    return client.create_queue(QueueName="source", Attributes=attributes)["QueueUrl"], dead


def bury(client: Any, source: str, *bodies: str) -> None:
    for body in bodies:
        client.send_message(QueueUrl=source, MessageBody=body)
    for _ in (1, 2):
        receive(client, source, MaxNumberOfMessages=10)


def test_a_message_is_sent_received_and_deleted(client: Any, url: str) -> None:
    sent = client.send_message(QueueUrl=url, MessageBody="hello ☃")
    (message,) = receive(client, url, MessageSystemAttributeNames=["All"])
    assert (message["Body"], message["MessageId"]) == ("hello ☃", sent["MessageId"])
    assert message["MD5OfBody"] == sent["MD5OfMessageBody"]
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"
    assert abs(int(message["Attributes"]["SentTimestamp"]) / 1000 - time.time()) < 60
    assert counts(client, url) == (0, 1, 0)
    client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert counts(client, url) == (0, 0, 0)


def test_a_received_message_comes_back_after_its_visibility_timeout(
    client: Any, url: str, later: Callable[[float], None]
) -> None:
    client.send_message(QueueUrl=url, MessageBody="a")
    first = receive(client, url)
    assert receive(client, url) == []
    later(31)
    again = receive(client, url, MessageSystemAttributeNames=["ApproximateReceiveCount"])
    assert again[0]["MessageId"] == first[0]["MessageId"]
    assert again[0]["Attributes"] == {"ApproximateReceiveCount": "2"}


def test_a_stale_receipt_handle_deletes_nothing_and_hides_nothing(client: Any, url: str) -> None:
    client.send_message(QueueUrl=url, MessageBody="a")
    stale = receive(client, url, VisibilityTimeout=0)[0]["ReceiptHandle"]
    fresh = receive(client, url)[0]["ReceiptHandle"]
    client.delete_message(QueueUrl=url, ReceiptHandle=stale)
    assert counts(client, url) == (0, 1, 0)
    code, message = refused(client.change_message_visibility, QueueUrl=url, ReceiptHandle=stale, VisibilityTimeout=5)
    assert code == "InvalidParameterValue" and "not available for visibility timeout change" in message
    client.change_message_visibility(QueueUrl=url, ReceiptHandle=fresh, VisibilityTimeout=0)
    assert counts(client, url) == (1, 0, 0)


def test_a_handle_of_nothing_or_of_another_queue_is_invalid(client: Any, url: str) -> None:
    other = client.create_queue(QueueName="other")["QueueUrl"]
    client.send_message(QueueUrl=other, MessageBody="a")
    handle = receive(client, other)[0]["ReceiptHandle"]
    too_large = base64.b64encode(b"work/99999999999999999999999/abc").decode()
    for bad in ("nonsense", "ä", handle, too_large):
        assert refused(client.delete_message, QueueUrl=url, ReceiptHandle=bad)[0] == "ReceiptHandleIsInvalid"


def test_visibility_is_limited_to_twelve_hours_since_the_receive(
    client: Any, url: str, later: Callable[[float], None]
) -> None:
    client.send_message(QueueUrl=url, MessageBody="a")
    handle = receive(client, url, VisibilityTimeout=43200)[0]["ReceiptHandle"]
    later(100)
    request = {"QueueUrl": url, "ReceiptHandle": handle}
    assert "beyond the limit" in refused(client.change_message_visibility, **request, VisibilityTimeout=43150)[1]
    client.change_message_visibility(**request, VisibilityTimeout=43000)


def test_delays_of_the_queue_and_of_the_message(client: Any, url: str, later: Callable[[float], None]) -> None:
    slow = client.create_queue(QueueName="slow", Attributes={"DelaySeconds": "10"})["QueueUrl"]
    client.send_message(QueueUrl=slow, MessageBody="late")
    client.send_message(QueueUrl=slow, MessageBody="now", DelaySeconds=0)
    client.send_message(QueueUrl=slow, MessageBody="later", DelaySeconds=900)
    assert counts(client, slow) == (1, 0, 2)
    later(11)
    assert {message["Body"] for message in receive(client, slow, MaxNumberOfMessages=10)} == {"now", "late"}
    assert refused(client.send_message, QueueUrl=url, MessageBody="a", DelaySeconds=901) == (
        "InvalidParameterValue",
        "Value 901 for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.",
    )


def test_messages_older_than_the_retention_period_are_gone(
    client: Any, url: str, later: Callable[[float], None]
) -> None:
    client.set_queue_attributes(QueueUrl=url, Attributes={"MessageRetentionPeriod": "60"})
    client.send_message(QueueUrl=url, MessageBody="a")
    later(61)
    assert counts(client, url) == (0, 0, 0)
    assert receive(client, url) == []


def test_a_long_poll_ends_when_a_message_is_committed(client: Any, sqs: Sqs, url: str, state: State) -> None:
    def send() -> None:
        time.sleep(0.3)
        with state.transaction():
            sqs.send(ARN + "work", "hello")

    sender = threading.Thread(target=send)
    sender.start()
    began = time.monotonic()
    assert [message["Body"] for message in receive(client, url, WaitTimeSeconds=20)] == ["hello"]
    assert 0.2 < time.monotonic() - began < 5
    sender.join()


def test_a_long_poll_sees_a_delay_and_a_visibility_timeout_end(client: Any, url: str) -> None:
    client.send_message(QueueUrl=url, MessageBody="a", DelaySeconds=1)
    began = time.monotonic()
    assert receive(client, url, WaitTimeSeconds=10, VisibilityTimeout=1)
    assert receive(client, url, WaitTimeSeconds=10)
    assert 1.5 < time.monotonic() - began < 6


def test_a_long_poll_without_messages_ends_on_time(client: Any, url: str) -> None:
    began = time.monotonic()
    assert receive(client, url, WaitTimeSeconds=1) == []
    assert 0.9 < time.monotonic() - began < 3


def test_a_poller_that_is_stopped_gets_nothing_and_soon(sqs: Sqs) -> None:
    sqs.ensure_queue("work", {})
    stopped = threading.Event()
    threading.Timer(0.2, stopped.set).start()
    began = time.monotonic()
    assert sqs.receive(ARN + "work", 10, 20, None, stopped) == []
    assert time.monotonic() - began < 2


def test_a_message_of_an_undone_transaction_was_never_sent(client: Any, sqs: Sqs, url: str, state: State) -> None:
    with pytest.raises(RuntimeError), state.transaction():
        sqs.send(ARN + "work", "no")
        raise RuntimeError
    assert counts(client, url) == (0, 0, 0)


def test_a_message_received_too_often_moves_to_the_dead_letter_queue(client: Any) -> None:
    source, dead = with_dead_letters(client, receives=2)
    sent = client.send_message(QueueUrl=source, MessageBody="poison")
    assert receive(client, source) and receive(client, source)
    assert counts(client, dead) == (0, 0, 0)
    assert receive(client, source) == []
    (message,) = receive(client, dead, AttributeNames=["All"])
    assert message["MessageId"] == sent["MessageId"]
    assert message["Attributes"]["ApproximateReceiveCount"] == "3"
    assert message["Attributes"]["DeadLetterQueueSourceArn"] == ARN + "source"
    assert client.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [source]


def test_a_good_message_behind_a_dead_one_is_received_at_once(client: Any) -> None:
    source, dead = with_dead_letters(client)
    client.send_message(QueueUrl=source, MessageBody="poison")
    receive(client, source)
    client.send_message(QueueUrl=source, MessageBody="good")
    assert [message["Body"] for message in receive(client, source)] == ["good"]
    assert counts(client, dead) == (1, 0, 0)


def test_without_its_dead_letter_queue_a_message_stays(client: Any) -> None:
    source, dead = with_dead_letters(client)
    client.delete_queue(QueueUrl=dead)
    client.send_message(QueueUrl=source, MessageBody="a")
    assert [len(receive(client, source)) for _ in range(3)] == [1, 1, 1]


def wait_for_move(client: Any, status: str = "COMPLETED") -> dict[str, Any]:
    for _ in range(100):
        task: dict[str, Any] = client.list_message_move_tasks(SourceArn=ARN + "dead")["Results"][0]
        if task["Status"] == status:
            return task
        time.sleep(0.05)
    raise AssertionError(task)


def test_dead_letters_go_back_as_new_messages(client: Any) -> None:
    source, dead = with_dead_letters(client)
    bury(client, source, "a", "b")
    assert counts(client, dead) == (2, 0, 0)
    client.start_message_move_task(SourceArn=ARN + "dead")
    task = wait_for_move(client)
    assert (task["ApproximateNumberOfMessagesMoved"], task["ApproximateNumberOfMessagesToMove"]) == (2, 2)
    messages = receive(client, source, MaxNumberOfMessages=10, AttributeNames=["All"])
    assert {message["Body"] for message in messages} == {"a", "b"}
    assert {message["Attributes"]["ApproximateReceiveCount"] for message in messages} == {"1"}


def test_a_message_that_was_no_dead_letter_cannot_go_back(client: Any) -> None:
    _, dead = with_dead_letters(client)
    client.send_message(QueueUrl=dead, MessageBody="direct")
    client.start_message_move_task(SourceArn=ARN + "dead")
    assert wait_for_move(client, "FAILED")["FailureReason"] == "CouldNotDetermineMessageSource"
    assert counts(client, dead) == (1, 0, 0)


def test_a_slow_move_can_be_cancelled_and_is_the_only_one(client: Any) -> None:
    source, _ = with_dead_letters(client)
    bury(client, source, "a", "b", "c")
    handle = client.start_message_move_task(SourceArn=ARN + "dead", MaxNumberOfMessagesPerSecond=1)["TaskHandle"]
    assert refused(client.start_message_move_task, SourceArn=ARN + "dead")[0].endswith("UnsupportedOperation")
    client.cancel_message_move_task(TaskHandle=handle)
    assert refused(client.cancel_message_move_task, TaskHandle=handle)[0].endswith("UnsupportedOperation")
    assert wait_for_move(client, "CANCELLED")["ApproximateNumberOfMessagesMoved"] <= 2


def test_an_interrupted_move_goes_on_after_a_restart(client: Any, sqs: Sqs, state: State) -> None:
    source, dead = with_dead_letters(client)
    bury(client, source, "a", "b", "c")
    client.start_message_move_task(SourceArn=ARN + "dead", MaxNumberOfMessagesPerSecond=2)
    sqs.stop()
    again = Sqs(state)
    wait_for_move(client)
    again.stop()
    assert counts(client, dead) == (0, 0, 0)


def test_moves_need_a_dead_letter_queue_and_a_destination(client: Any, url: str) -> None:
    start = client.start_message_move_task
    assert refused(start, SourceArn=ARN + "work") == (
        "InvalidParameterValue",
        "Source queue must be configured as a Dead Letter Queue.",
    )
    assert refused(start, SourceArn=ARN + "none")[0] == "ResourceNotFoundException"
    with_dead_letters(client)
    assert refused(start, SourceArn=ARN + "dead", DestinationArn=ARN + "none")[0] == "ResourceNotFoundException"


def test_batches_answer_for_each_entry(client: Any, url: str) -> None:
    entries = [{"Id": "a", "MessageBody": "x"}, {"Id": "b", "MessageBody": "y", "DelaySeconds": 901}]
    answer = client.send_message_batch(QueueUrl=url, Entries=entries)
    assert [entry["Id"] for entry in answer["Successful"]] == ["a"]
    (failed,) = answer["Failed"]
    assert (failed["Id"], failed["Code"], failed["SenderFault"]) == ("b", "InvalidParameterValue", True)
    handle = receive(client, url)[0]["ReceiptHandle"]
    hidden = {"Id": "a", "ReceiptHandle": handle, "VisibilityTimeout": 9}
    changed = client.change_message_visibility_batch(
        QueueUrl=url, Entries=[hidden, {"Id": "b", "ReceiptHandle": "x", "VisibilityTimeout": 1}]
    )
    assert ([each["Id"] for each in changed["Successful"]], changed["Failed"][0]["Id"]) == (["a"], "b")
    deleted = client.delete_message_batch(QueueUrl=url, Entries=[{"Id": "a", "ReceiptHandle": handle}])
    assert [each["Id"] for each in deleted["Successful"]] == ["a"]
    assert counts(client, url) == (0, 0, 0)


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ([], "EmptyBatchRequest"),
        ([{"Id": str(at), "MessageBody": "a"} for at in range(11)], "TooManyEntriesInBatchRequest"),
        ([{"Id": "a", "MessageBody": "a"}] * 2, "BatchEntryIdsNotDistinct"),
        ([{"Id": "a:b", "MessageBody": "a"}], "InvalidBatchEntryId"),
        ([{"Id": str(at), "MessageBody": "a" * 600_000} for at in range(2)], "BatchRequestTooLong"),
    ],
)
def test_a_batch_that_breaks_the_rules_is_refused_whole(
    client: Any, url: str, entries: list[dict[str, str]], code: str
) -> None:
    shown, _ = refused(client.send_message_batch, QueueUrl=url, Entries=entries)
    assert shown == f"AWS.SimpleQueueService.{code}"
    assert counts(client, url) == (0, 0, 0)


def test_a_message_may_have_a_mebibyte_and_no_more(client: Any, url: str) -> None:
    client.send_message(QueueUrl=url, MessageBody="ä" * (2**19))
    assert refused(client.send_message, QueueUrl=url, MessageBody="a" * (2**20 + 1)) == (
        "InvalidParameterValue",
        "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.",
    )
    client.set_queue_attributes(QueueUrl=url, Attributes={"MaximumMessageSize": "1024"})
    attribute = {"n": {"DataType": "String", "StringValue": "v" * 1000}}
    assert "1024" in refused(client.send_message, QueueUrl=url, MessageBody="a" * 20, MessageAttributes=attribute)[1]


def test_empty_and_unprintable_bodies_are_refused(client: Any, url: str) -> None:
    assert refused(client.send_message, QueueUrl=url, MessageBody="")[0] == "MissingParameter"
    assert refused(client.send_message, QueueUrl=url, MessageBody="\x00")[0] == "InvalidMessageContents"


def test_message_attributes_come_back_with_the_digest_of_what_was_asked_for(client: Any, url: str) -> None:
    attributes = {
        "Hello": {"DataType": "String", "StringValue": "There"},
        "Help.Me": {"DataType": "Number.int", "StringValue": "7"},
        "raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    sent = client.send_message(QueueUrl=url, MessageBody="a", MessageAttributes=attributes)

    def asked(*names: str) -> dict[str, Any]:
        found = receive(client, url, VisibilityTimeout=0, MessageAttributeNames=list(names))[0]
        return found

    assert asked("All")["MessageAttributes"] == attributes
    assert asked("All")["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert asked("Help.*")["MessageAttributes"] == {"Help.Me": attributes["Help.Me"]}
    assert asked("Help.*")["MD5OfMessageAttributes"] != sent["MD5OfMessageAttributes"]
    assert "MessageAttributes" not in asked()


def test_the_digest_of_attributes_is_the_one_aws_computes() -> None:
    # Recorded from AWS: the message attributes General, Hello and Help.Me, and two of them
    values = {"General": "Kenobi", "Hello": "There", "Help.Me": "Me"}
    attributes = {name: {"DataType": "String", "StringValue": value} for name, value in values.items()}
    assert attributes_md5(attributes) == "4c360f3fdafd970e05fae2f149d997f5"
    assert attributes_md5(select(attributes, ["Hello"])) == "a311262e065454b75da111d535b8dacd"


@pytest.mark.parametrize(
    "attribute",
    [
        {"AWS.x": {"DataType": "String", "StringValue": "v"}},
        {"a..b": {"DataType": "String", "StringValue": "v"}},
        {"a": {"DataType": "Text", "StringValue": "v"}},
        {"a": {"DataType": "String", "StringValue": ""}},
        {"a": {"DataType": "Number", "StringValue": "seven"}},
        {"a": {"DataType": "Binary", "StringValue": "v"}},
        {f"a{at}": {"DataType": "String", "StringValue": "v"} for at in range(11)},
    ],
)
def test_attributes_sqs_would_not_take_are_refused(client: Any, url: str, attribute: dict[str, Any]) -> None:
    code, _ = refused(client.send_message, QueueUrl=url, MessageBody="a", MessageAttributes=attribute)
    assert code == "InvalidParameterValue"


def test_a_trace_header_travels_with_the_message(client: Any, url: str) -> None:
    trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-2-3"}}
    sent = client.send_message(QueueUrl=url, MessageBody="a", MessageSystemAttributes=trace, MessageGroupId="g")
    assert sent["MD5OfMessageSystemAttributes"]
    attributes = receive(client, url, AttributeNames=["All"])[0]["Attributes"]
    assert (attributes["AWSTraceHeader"], attributes["MessageGroupId"]) == ("Root=1-2-3", "g")


def test_an_unknown_queue_is_named_as_aws_names_it(client: Any) -> None:
    with pytest.raises(client.exceptions.QueueDoesNotExist) as caught:
        client.get_queue_url(QueueName="none")
    assert caught.value.response["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue"
    assert caught.value.response["Error"]["QueryErrorCode"] == "QueueDoesNotExist"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_creating_a_queue_again_needs_the_same_attributes(client: Any, url: str) -> None:
    assert client.create_queue(QueueName="work", Attributes={"VisibilityTimeout": "30"})["QueueUrl"] == url
    assert refused(client.create_queue, QueueName="work", Attributes={"VisibilityTimeout": "31"}) == (
        "QueueAlreadyExists",
        "A queue already exists with the same name and a different value for attribute VisibilityTimeout",
    )


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"QueueName": "a b"}, "InvalidParameterValue"),
        ({"QueueName": "a.fifo"}, "AWS.SimpleQueueService.UnsupportedOperation"),
        ({"QueueName": "a", "Attributes": {"FifoQueue": "true"}}, "AWS.SimpleQueueService.UnsupportedOperation"),
        ({"QueueName": "a", "Attributes": {"DelaySeconds": "901"}}, "InvalidAttributeValue"),
        ({"QueueName": "a", "Attributes": {"Policy": "no"}}, "InvalidAttributeValue"),
        ({"QueueName": "a", "Attributes": {"Speed": "1"}}, "InvalidAttributeName"),
        ({"QueueName": "a", "Attributes": {"DelaySeconds": "9" * 5000}}, "InvalidAttributeValue"),
        ({"QueueName": "a", "Attributes": {"Policy": DEEP}}, "InvalidAttributeValue"),
        ({"QueueName": "a", "Attributes": {"RedrivePolicy": "{}"}}, "InvalidParameterValue"),
        ({"QueueName": "a", "Attributes": {"RedrivePolicy": DEEP}}, "InvalidParameterValue"),
        ({"QueueName": "a", "Attributes": {"RedriveAllowPolicy": DEEP}}, "InvalidParameterValue"),
        ({"QueueName": "a", "Attributes": {"RedrivePolicy": receives("9" * 5000)}}, "InvalidParameterValue"),
    ],
)
def test_queues_aws_would_not_make_are_refused(client: Any, request_: dict[str, Any], code: str) -> None:
    assert refused(client.create_queue, **request_)[0] == code


def test_a_dead_letter_queue_says_who_may_use_it(client: Any) -> None:
    allow = json.dumps({"redrivePermission": "byQueue", "sourceQueueArns": [ARN + "friend"]})
    client.create_queue(QueueName="dead", Attributes={"RedriveAllowPolicy": allow})
    policy = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": ARN + "dead", "maxReceiveCount": "3"})}
    assert refused(client.create_queue, QueueName="stranger", Attributes=policy)[0] == "InvalidParameterValue"
    friend = client.create_queue(QueueName="friend", Attributes=policy)["QueueUrl"]
    client.set_queue_attributes(QueueUrl=friend, Attributes={"RedrivePolicy": ""})
    asked = client.get_queue_attributes(QueueUrl=friend, AttributeNames=["RedrivePolicy", "QueueArn"])
    assert asked["Attributes"] == {"QueueArn": ARN + "friend"}


def test_no_queue_buries_its_dead_letters_in_itself(client: Any, sqs: Sqs, url: str, state: State) -> None:
    policy = json.dumps({"deadLetterTargetArn": ARN + "work", "maxReceiveCount": 1})
    code, message = refused(client.set_queue_attributes, QueueUrl=url, Attributes={"RedrivePolicy": policy})
    assert code == "InvalidParameterValue"
    assert "its own" in message
    with state.transaction() as db:  # as former versions stored it
        db.execute("UPDATE sqs_queues SET attributes = ?", (json.dumps({"RedrivePolicy": policy}),))
    sqs.send(ARN + "work", "a")
    took = [receive(client, url, VisibilityTimeout=0)[0]["Body"] for _ in range(3)]
    assert took == ["a", "a", "a"]


def test_a_deleted_queue_and_its_messages_are_gone_for_a_minute(
    client: Any, url: str, later: Callable[[float], None]
) -> None:
    client.send_message(QueueUrl=url, MessageBody="a")
    client.delete_queue(QueueUrl=url)
    code = "AWS.SimpleQueueService.NonExistentQueue"
    assert refused(client.send_message, QueueUrl=url, MessageBody="a")[0] == code
    assert refused(client.create_queue, QueueName="work")[0] == "AWS.SimpleQueueService.QueueDeletedRecently"
    later(61)
    client.create_queue(QueueName="work")
    assert counts(client, url) == (0, 0, 0)


def test_a_purge_empties_a_queue_once_a_minute(client: Any, url: str) -> None:
    client.send_message(QueueUrl=url, MessageBody="a")
    client.send_message(QueueUrl=url, MessageBody="b", DelaySeconds=60)
    client.purge_queue(QueueUrl=url)
    assert counts(client, url) == (0, 0, 0)
    assert refused(client.purge_queue, QueueUrl=url)[0] == "AWS.SimpleQueueService.PurgeQueueInProgress"


def test_queues_are_listed_by_prefix_and_page(client: Any) -> None:
    assert "QueueUrls" not in client.list_queues()
    for name in ("a-1", "a-2", "a-3", "b"):
        client.create_queue(QueueName=name)
    pages = client.get_paginator("list_queues").paginate(QueueNamePrefix="a-", PaginationConfig={"PageSize": 2})
    found = [page["QueueUrls"] for page in pages]
    assert [[url.rpartition("/")[2] for url in page] for page in found] == [["a-1", "a-2"], ["a-3"]]


def test_tags_are_added_overwritten_and_removed(client: Any, url: str) -> None:
    client.tag_queue(QueueUrl=url, Tags={"a": "1", "b": "2"})
    client.tag_queue(QueueUrl=url, Tags={"b": "3"})
    assert client.list_queue_tags(QueueUrl=url)["Tags"] == {"a": "1", "b": "3"}
    client.untag_queue(QueueUrl=url, TagKeys=["a", "b"])
    assert "Tags" not in client.list_queue_tags(QueueUrl=url)


def test_what_the_laptop_does_not_offer_is_an_error(client: Any, url: str) -> None:
    request = {"QueueUrl": url, "Label": "l", "AWSAccountIds": ["000000000000"], "Actions": ["*"]}
    assert refused(client.add_permission, **request)[0] == "UnknownOperationException"
    code, _ = refused(client.send_message, QueueUrl=url, MessageBody="a", MessageDeduplicationId="d")
    assert code == "InvalidParameterValue"


def test_an_address_that_is_no_queues_is_refused(client: Any) -> None:
    for address in ("http://[x/000000000000/work", "work", "http://localhost/000000000000/a/b"):
        assert refused(client.purge_queue, QueueUrl=address)[0] == "InvalidAddress"


def test_numbers_out_of_range_are_refused(client: Any, url: str) -> None:
    for wrong in ({"MaxNumberOfMessages": 11}, {"MaxNumberOfMessages": 0}, {"WaitTimeSeconds": 21}):
        assert refused(client.receive_message, QueueUrl=url, **wrong)[0] == "InvalidParameterValue"


def test_a_queue_of_the_template_keeps_its_messages_when_it_changes(client: Any, sqs: Sqs) -> None:
    properties = {"VisibilityTimeout": 360, "SqsManagedSseEnabled": True, "Tags": [{"Key": "k", "Value": "v"}]}
    sqs.ensure_queue("dead", {})
    sqs.ensure_queue("work", properties)
    url = sqs.queue_url("work")
    client.send_message(QueueUrl=url, MessageBody="a")
    redrive = {"deadLetterTargetArn": ARN + "dead", "maxReceiveCount": 5}
    sqs.ensure_queue("work", {**properties, "VisibilityTimeout": 90, "RedrivePolicy": redrive})
    found = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert (found["VisibilityTimeout"], json.loads(found["RedrivePolicy"])) == ("90", redrive)
    assert client.list_queue_tags(QueueUrl=url)["Tags"] == {"k": "v"}
    assert counts(client, url) == (1, 0, 0)
    with pytest.raises(AwsError, match="Speed"):
        sqs.ensure_queue("work", {"Speed": 3})


def test_a_policy_stays_over_an_update_of_the_template_and_goes_with_its_queue(state: State) -> None:
    told: dict[str, str | None] = {}
    made = Sqs(state, enforce=told.__setitem__)
    made.ensure_queue("work", {})
    made.set_policy(made.queue_url("work"), '{"Statement": []}')
    made.ensure_queue("work", {"VisibilityTimeout": 90})
    asked = {"QueueUrl": made.queue_url("work"), "AttributeNames": ["Policy"]}
    assert made.operations["GetQueueAttributes"](asked, LOCAL_USER) == {"Attributes": {"Policy": '{"Statement": []}'}}
    assert told == {ARN + "work": '{"Statement": []}'}
    made.operations["DeleteQueue"]({"QueueUrl": made.queue_url("work")}, LOCAL_USER)
    assert told == {ARN + "work": None}
    made.stop()


def test_a_poller_receives_deletes_and_lets_go(client: Any, sqs: Sqs, url: str, later: Callable[[float], None]) -> None:
    for body in ("a", "b"):
        sqs.send(ARN + "work", body, attributes={"n": {"DataType": "Binary", "BinaryValue": "AP8="}})
    first, second = held(sqs, "work")
    assert (first.body, first.attributes["ApproximateReceiveCount"]) == ("a", "1")
    assert first.message_attributes == {"n": {"DataType": "Binary", "BinaryValue": "AP8="}}
    sqs.delete(ARN + "work", [first.receipt_handle])
    sqs.let_go(ARN + "work", [first.receipt_handle, second.receipt_handle])
    assert counts(client, url) == (0, 1, 0)
    later(31)
    (again,) = held(sqs, "work")
    assert (again.body, again.attributes["ApproximateReceiveCount"]) == ("b", "2")


def held(sqs: Sqs, queue: str, count: int = 10) -> list[Message]:
    return sqs.receive(ARN + queue, count, 0, None, threading.Event(), hold=True)


def test_a_start_takes_back_what_pollers_held_and_nothing_that_waits_after_a_failure(sqs: Sqs, state: State) -> None:
    sqs.ensure_queue("work", {})
    for body in ("failed", "taken by a client", "held", "held when it stopped"):
        sqs.send(ARN + "work", body)
    (failed,) = held(sqs, "work", 1)
    sqs.let_go(ARN + "work", [failed.receipt_handle])
    sqs.receive(ARN + "work", 1, 0, None, threading.Event())
    _, last = held(sqs, "work")
    sqs.stop()
    sqs.let_go(ARN + "work", [last.receipt_handle])
    back = held(Sqs(state), "work")
    tries = [(message.body, message.attributes["ApproximateReceiveCount"]) for message in back]
    assert tries == [("held", "1"), ("held when it stopped", "1")]


def test_a_poller_that_was_too_slow_holds_a_message_no_more(sqs: Sqs, later: Callable[[float], None]) -> None:
    redrive = {"deadLetterTargetArn": ARN + "dead", "maxReceiveCount": 1}
    sqs.ensure_queue("dead", {})
    sqs.ensure_queue("work", {"RedrivePolicy": redrive})
    sqs.send(ARN + "work", "slow")
    (slow,) = held(sqs, "work")
    later(31)
    assert held(sqs, "work") == []
    sqs.let_go(ARN + "work", [slow.receipt_handle])
    assert [message.body for message in held(sqs, "dead")] == ["slow"]


def test_on_a_fast_clock_nobody_sees_what_a_poller_holds(
    client: Any, sqs: Sqs, url: str, later: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "scale", lambda: 20.0)
    sqs.send(ARN + "work", "a")
    (message,) = held(sqs, "work")
    later(600)
    assert counts(client, url) == (0, 1, 0)
    client.change_message_visibility(QueueUrl=url, ReceiptHandle=message.receipt_handle, VisibilityTimeout=60)
    later(61)
    assert counts(client, url) == (0, 1, 0)
    sqs.let_go(ARN + "work", [message.receipt_handle])
    assert counts(client, url) == (1, 0, 0)
    (message,) = held(sqs, "work")
    sqs.let_go(ARN + "work", [message.receipt_handle])
    assert counts(client, url) == (0, 1, 0)
    later(31)
    assert counts(client, url) == (1, 0, 0)


def test_everything_survives_a_restart(tmp_path: Path) -> None:
    before = State(tmp_path)
    sqs = Sqs(before)
    sqs.ensure_queue("work", {"VisibilityTimeout": 100})
    for body in ("a", "b"):
        sqs.send(ARN + "work", body)
    (taken,) = sqs.receive(ARN + "work", 1, 0, None, threading.Event())
    before.close()
    after = State(tmp_path)
    again = Sqs(after)
    assert [message.body for message in again.receive(ARN + "work", 10, 0, None, threading.Event())] == ["b"]
    again.delete(ARN + "work", [taken.receipt_handle])
    after.close()


def test_each_message_reaches_one_of_many_receivers(sqs: Sqs) -> None:
    sqs.ensure_queue("work", {})
    bodies: list[str] = []

    def work() -> None:
        while messages := sqs.receive(ARN + "work", 7, 0.5, None, threading.Event()):
            bodies.extend(message.body for message in messages)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for at in range(200):
        sqs.send(ARN + "work", str(at))
    for thread in threads:
        thread.join()
    assert sorted(bodies, key=int) == [str(at) for at in range(200)]


def test_ten_thousand_messages_are_received_as_fast_as_ten(sqs: Sqs, state: State) -> None:
    for name, size in (("few", 20), ("many", 10_000)):
        sqs.ensure_queue(name, {})
        with state.transaction():
            for at in range(size):
                sqs.send(ARN + name, str(at))

    def seconds(name: str) -> float:
        began = time.perf_counter()
        for _ in range(10):
            assert sqs.receive(ARN + name, 1, 0, 0, threading.Event())
        return time.perf_counter() - began

    seconds("few")
    assert min(seconds("many") for _ in range(3)) < 5 * min(seconds("few") for _ in range(3)) + 0.02


@given(st.text())
def test_a_body_is_refused_exactly_where_the_documentation_says_so(body: str) -> None:
    def allowed(code: int) -> bool:
        in_plane = 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or 0x10000 <= code <= 0x10FFFF
        return code in (9, 10, 13) or in_plane

    try:
        check_body(body)
        taken = True
    except AwsError:
        taken = False
    assert taken == (bool(body) and all(allowed(ord(character)) for character in body))

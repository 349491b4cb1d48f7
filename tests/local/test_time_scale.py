"""TIME_SCALE: everything that waits, waits a fraction as long, and nobody notices but the host's clock."""

import argparse
import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local import clock
from tests.local.small_laptop import ROLE, SmallLaptop, eventually

SCALE = 60  # an hour in a minute: the tests are to be short


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallLaptop]:
    folder = tmp_path_factory.mktemp("laptop")
    (folder / "clock").write_text(repr(time.time() + 7200))  # as if it had run for a while
    with clock.running(SCALE, folder / "clock"):
        made = SmallLaptop(folder)
        made.client("s3").create_bucket(Bucket="media")
        yield made
        made.close()


def real_seconds(since: float) -> float:
    return time.monotonic() - since


# The clock itself


def test_without_a_scale_the_clock_is_the_hosts(tmp_path: Path) -> None:
    with clock.running(1, tmp_path / "clock"):
        assert clock.pace() is None
        assert abs(clock.now() - time.time()) < 5
    assert not (tmp_path / "clock").exists()


def test_the_clock_never_goes_back_not_even_over_a_kill_or_with_another_scale(tmp_path: Path) -> None:
    file = tmp_path / "clock"
    with clock.running(1000, file):
        time.sleep(0.05)
        last = clock.now()
        assert last > time.time() + 30
        killed = file.read_text()
    assert float(killed) >= last
    for scale in (1000, 3, 1):
        file.write_text(killed)
        with clock.running(scale, file):
            assert last <= clock.now() < last + 1000
            assert clock.scale() == scale
    stopped = float(file.read_text())
    with clock.running(1, file):
        assert stopped <= clock.now() < stopped + 10


def test_a_clock_that_the_hosts_has_caught_up_with_is_the_hosts_again(tmp_path: Path) -> None:
    file = tmp_path / "clock"
    file.write_text(repr(time.time() - 1))
    with clock.running(1, file):
        assert clock.pace() is None
    assert not file.exists()


@pytest.mark.parametrize("text", ["0", "-1", "0.5", "fast", "nan", "1e9"])
def test_a_scale_that_is_none_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="TIME_SCALE is a number from 1 to 1000"):
        clock.read_scale(text)
    assert clock.read_scale("") == 1
    assert clock.read_scale("20") == 20


# Services


def test_a_wait_state_of_a_minute_passes_in_seconds(laptop: SmallLaptop) -> None:
    states = laptop.client("stepfunctions")
    definition = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 60, "End": True}}}
    machine = states.create_state_machine(name="minute", definition=json.dumps(definition), roleArn=ROLE)
    began = time.monotonic()
    execution = states.start_execution(stateMachineArn=machine["stateMachineArn"])["executionArn"]
    eventually(lambda: states.describe_execution(executionArn=execution)["status"] == "SUCCEEDED")
    assert real_seconds(began) < 55
    described = states.describe_execution(executionArn=execution)
    assert 60 <= (described["stopDate"] - described["startDate"]).total_seconds() < 600


def test_a_state_times_out_by_the_laptops_clock(laptop: SmallLaptop) -> None:
    states = laptop.client("stepfunctions")
    task = {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken", "End": True}
    url = laptop.client("sqs").create_queue(QueueName="nobody")["QueueUrl"]
    sent = {"QueueUrl": url, "MessageBody.$": "$$.Task.Token"}
    definition = {"StartAt": "Ask", "States": {"Ask": {**task, "Parameters": sent, "TimeoutSeconds": 60}}}
    machine = states.create_state_machine(name="asker", definition=json.dumps(definition), roleArn=ROLE)
    began = time.monotonic()
    execution = states.start_execution(stateMachineArn=machine["stateMachineArn"])["executionArn"]
    eventually(lambda: states.describe_execution(executionArn=execution)["status"] == "FAILED")
    assert states.describe_execution(executionArn=execution)["error"] == "States.Timeout"
    assert real_seconds(began) < 55


def test_a_delayed_message_comes_in_order_and_before_its_time(laptop: SmallLaptop) -> None:
    sqs = laptop.client("sqs")
    url = sqs.create_queue(QueueName="delayed")["QueueUrl"]
    began = time.monotonic()
    sent = clock.now()
    sqs.send_message(QueueUrl=url, MessageBody="late", DelaySeconds=40)
    sqs.send_message(QueueUrl=url, MessageBody="later", DelaySeconds=80)
    came = [_take(sqs, url) for _ in range(2)]
    assert [message["Body"] for message in came] == ["late", "later"]
    assert clock.now() - sent >= 80
    assert real_seconds(began) < 75
    at = int(came[0]["Attributes"]["SentTimestamp"]) / 1000
    assert abs(at - sent) < 40


def _take(sqs: Any, url: str) -> Any:
    found = eventually(
        lambda: sqs.receive_message(
            QueueUrl=url, WaitTimeSeconds=20, VisibilityTimeout=6000, MessageSystemAttributeNames=["All"]
        ).get("Messages")
    )
    return found[0]


def test_a_schedule_of_a_minute_rings_every_minute_of_the_laptop(laptop: SmallLaptop) -> None:
    sqs, events = laptop.client("sqs"), laptop.client("events")
    url = sqs.create_queue(QueueName="minutes")["QueueUrl"]
    events.put_rule(Name="minute", ScheduleExpression="rate(1 minute)")
    events.put_targets(Rule="minute", Targets=[{"Id": "q", "Arn": "arn:aws:sqs:us-east-1:000000000000:minutes"}])
    rang = [datetime.fromisoformat(json.loads(_take(sqs, url)["Body"])["time"]) for _ in range(2)]
    events.disable_rule(Name="minute")
    assert 59 <= (rang[1] - rang[0]).total_seconds() < 300


# Functions


CLOCKS = """
    import datetime, time
    from datetime import datetime as imported

    def handler(event, context):
        before = time.time(), time.monotonic(), time.perf_counter(), context.get_remaining_time_in_millis()
        time.sleep(30)
        after = time.time(), time.monotonic(), time.perf_counter(), context.get_remaining_time_in_millis()
        told = [
            time.time(), time.time_ns() / 1e9, datetime.datetime.now(datetime.timezone.utc).timestamp(),
            imported.now().timestamp(), imported.today().timestamp(),
            imported.utcnow().replace(tzinfo=datetime.timezone.utc).timestamp(),
            time.mktime(time.gmtime()), datetime.datetime.fromisoformat(time.strftime("%Y-%m-%dT%H:%M:%S")).timestamp(),
        ]
        date = datetime.date.today().isoformat()
        exact = type(imported.now()) is datetime.datetime is imported
        return [b - a for a, b in zip(before, after)] + [told, date, exact, imported(2026, 1, 2).isoformat()]
"""


def test_a_functions_clocks_go_as_fast_and_its_timeout_does_not(laptop: SmallLaptop) -> None:
    laptop.function("clocks", CLOCKS, timeout=20)
    before = clock.now()
    passed, monotonic, worked, left, told, date, exact, made = laptop.call("clocks")
    after = clock.now()
    assert 30 <= passed < 1200
    assert 30 <= monotonic < 1200
    assert 0.5 <= worked < 20
    assert abs(-left / 1000 - worked) < 0.5  # `left` is of real time, as the timeout is
    assert all(before - 1 <= time_told <= after + 1 for time_told in told)
    assert date in (datetime.fromtimestamp(time_told, UTC).date().isoformat() for time_told in (before, after))
    assert (exact, made) == (True, "2026-01-02T00:00:00")


def test_a_function_is_timed_out_after_real_seconds(laptop: SmallLaptop) -> None:
    laptop.function("sleeper", "import time\ndef handler(event, context): time.sleep(event); return 'woke'", timeout=1)
    assert laptop.call("sleeper", 6) == "woke"
    assert "Task timed out after 1.00 seconds" in laptop.call("sleeper", 200)["errorMessage"]


SIGNS = """
    import boto3
    from botocore.config import Config
    s3 = boto3.client("s3", config=Config(signature_version="s3v4"))

    def handler(event, context):
        head = s3.put_object(Bucket="media", Key="signed", Body=b"x")
        modified = s3.head_object(Bucket="media", Key="signed")["LastModified"].timestamp()
        url = s3.generate_presigned_url("get_object", Params={"Bucket": "media", "Key": "signed"}, ExpiresIn=event)
        form = s3.generate_presigned_post("media", "posted", ExpiresIn=event)
        return [modified, url, form]
"""


def test_what_functions_and_outsiders_sign_is_taken_and_expires_for_each_by_its_own_clock(laptop: SmallLaptop) -> None:
    assert clock.now() - time.time() > 3600  # or both clocks would take either
    laptop.function("signs", SIGNS)
    before = clock.now()
    modified, url, form = laptop.call("signs", 3600)
    assert before - 1 <= modified <= clock.now()
    assert _fetch(url) == 200
    assert _post(form) == 204
    _, short, short_form = laptop.call("signs", 60)
    eventually(lambda: _fetch(short) == 403)
    assert _post(short_form) == 403
    outsider = boto3.client(
        "s3",
        endpoint_url=laptop.url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=boto3.session.Config(signature_version="s3v4"),
    )
    assert outsider.head_object(Bucket="media", Key="signed")["ContentLength"] == 1
    mine = outsider.generate_presigned_url("get_object", Params={"Bucket": "media", "Key": "signed"}, ExpiresIn=60)
    assert _fetch(mine) == 200
    assert _post(outsider.generate_presigned_post("media", "mine", ExpiresIn=60)) == 204
    as_role = laptop.clients.get("s3", ROLE)
    assert as_role.head_object(Bucket="media", Key="signed")["ContentLength"] == 1


def _fetch(url: str) -> int:
    try:
        with urllib.request.urlopen(url) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def _post(form: dict[str, Any]) -> int:
    boundary = "----form"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in [*form["fields"].items(), ("file", "x")]
    ]
    body = "".join([*parts, f"--{boundary}--\r\n"]).replace('name="file"', 'name="file"; filename="x"')
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(form["url"], body.encode(), headers)) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_nobody_else_gets_a_message_while_its_function_may_still_work_on_it(laptop: SmallLaptop) -> None:
    """20 seconds of visibility would be a third of a real one; the function may take thirty, and takes one."""
    sqs = laptop.client("sqs")
    code = """
        import time
        def handler(event, context):
            until = time.perf_counter() + 1
            while time.perf_counter() < until:
                time.sleep(1)
            print("done with", event["Records"][0]["attributes"]["ApproximateReceiveCount"])
    """
    url = sqs.create_queue(QueueName="held", Attributes={"VisibilityTimeout": "20"})["QueueUrl"]
    laptop.function("holder", code, timeout=30)
    laptop.poll("held", "holder")
    sqs.send_message(QueueUrl=url, MessageBody="x")
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    eventually(
        lambda: set(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values()) == {"0"}
    )
    log = (laptop.state.folder / "logs" / "holder.log").read_text()
    assert log.count("done with") == 1


def test_what_waits_for_room_or_for_the_import_of_its_function_is_handled_once(laptop: SmallLaptop) -> None:
    """All of it takes four real seconds, with a visibility of a third of one and a timeout of one."""
    sqs = laptop.client("sqs")
    code = """
        import time
        time.sleep(60 * 1.2)
        def handler(event, context):
            time.sleep(60 * 0.4)
            print("done with", event["Records"][0]["attributes"]["ApproximateReceiveCount"])
    """
    url = sqs.create_queue(QueueName="crowd", Attributes={"VisibilityTimeout": "20"})["QueueUrl"]
    laptop.function("narrow", code, timeout=1, concurrency=1)
    for number in range(6):
        sqs.send_message(QueueUrl=url, MessageBody=str(number))
    laptop.poll("crowd", "narrow", max_concurrency=6)
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    eventually(
        lambda: set(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values()) == {"0"}
    )
    log = (laptop.state.folder / "logs" / "narrow.log").read_text()
    assert log.count("done with 1\n") == log.count("done with") == 6


def test_a_message_that_failed_comes_again_when_its_own_visibility_is_over(laptop: SmallLaptop) -> None:
    """The function may take a minute, which are sixty of the laptop's; the queue forgets after ten."""
    sqs = laptop.client("sqs")
    code = """
        def handler(event, context):
            count = event["Records"][0]["attributes"]["ApproximateReceiveCount"]
            print("try", count)
            assert count == "2"
    """
    attributes = {"VisibilityTimeout": "60", "MessageRetentionPeriod": "600"}
    url = sqs.create_queue(QueueName="again", Attributes=attributes)["QueueUrl"]
    laptop.function("fails-once", code, timeout=60)
    laptop.poll("again", "fails-once")
    sqs.send_message(QueueUrl=url, MessageBody="x")
    log = laptop.state.folder / "logs" / "fails-once.log"
    eventually(lambda: log.exists() and "try 2" in log.read_text(), 8)


def test_an_event_that_failed_is_tried_again_after_minutes_of_the_laptop(laptop: SmallLaptop) -> None:
    code = """
        import boto3, time
        s3 = boto3.client("s3")
        def handler(event, context):
            s3.put_object(Bucket="media", Key=f"tries/{time.time():.3f}", Body=b"")
            if s3.list_objects_v2(Bucket="media", Prefix="tries/")["KeyCount"] < 2:
                raise RuntimeError("the first one fails")
    """
    laptop.function("tries", code)
    laptop.functions.invoke_async("tries", b"{}")
    s3 = laptop.client("s3")
    eventually(lambda: s3.list_objects_v2(Bucket="media", Prefix="tries/")["KeyCount"] == 2)
    first, second = (
        float(each["Key"].removeprefix("tries/"))
        for each in s3.list_objects_v2(Bucket="media", Prefix="tries/")["Contents"]
    )
    assert 60 <= second - first < 600


def test_the_laptop_waits_on_its_clock(laptop: SmallLaptop) -> None:
    began, stopped = time.monotonic(), threading.Event()
    assert not clock.wait(30, stopped)
    assert 0.4 <= real_seconds(began) < 25


def test_a_wrong_signature_is_still_refused(laptop: SmallLaptop) -> None:
    keys = laptop.clients._keyring.issue(ROLE, "worker")
    forger = boto3.client(
        "s3",
        endpoint_url=laptop.url,
        region_name="us-east-1",
        aws_access_key_id=keys.access_key,
        aws_secret_access_key="wrong",
        aws_session_token=keys.session_token,
    )
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        forger.list_buckets()

"""A CDK app that is not ours runs on the laptop unchanged (`other_app/`), and `local/` knows no name of ours."""

import ast
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest

from local.laptop import Laptop, Settings
from local.stack.assembly import Assembly
from local.stack.template import Blueprint, Made, Resolver, TemplateError, in_order

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
STOP_SECONDS = 5

Json = dict[str, Any]


# Somebody who uses the app


@dataclass
class Desk:
    """Somebody with the outputs of the app and nothing else."""

    outputs: dict[str, str]
    client: Callable[[str], Any] = field(init=False)

    def __post_init__(self) -> None:
        self.client = cache(self._client)

    def _client(self, service: str) -> Any:
        url = self.outputs["AwsEndpointUrl"]
        session = boto3.Session("local", "local", region_name="us-east-1")
        return session.client(service, endpoint_url=url)

    def call(self, method: str, path: str, body: Json | None = None) -> tuple[int, Json]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.outputs["DoorUrl"] + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def invoke(self, function: str, event: Json) -> tuple[str | None, Any]:
        answer = self.client("lambda").invoke(FunctionName=self.outputs[function], Payload=json.dumps(event).encode())
        return answer.get("FunctionError"), json.load(answer["Payload"])

    def row(self, order: str) -> Json:
        found = self.client("dynamodb").get_item(
            TableName=self.outputs["LedgerName"], Key={"order": {"S": order}}, ConsistentRead=True
        )
        return {name: next(iter(value.values())) for name, value in found.get("Item", {}).items()}

    def row_in_time(self, order: str) -> Json:
        row: Json = eventually(lambda: self.row(order))
        return row

    def message(self, queue: str) -> str:
        """The body of the next message, which is taken off the queue."""
        url = self.outputs[queue]
        (found,) = self.client("sqs").receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"]
        self.client("sqs").delete_message(QueueUrl=url, ReceiptHandle=found["ReceiptHandle"])
        return str(found["Body"])

    def send(self, queue: str, body: Json) -> None:
        self.client("sqs").send_message(QueueUrl=self.outputs[queue], MessageBody=json.dumps(body))

    def sell(self, **detail: Any) -> None:
        entry = {"Source": "shop.till", "DetailType": "Sale", "Detail": json.dumps(detail)}
        assert self.client("events").put_events(Entries=[entry])["FailedEntryCount"] == 0

    def fulfil(self, order: str, placed: int, *skus: str) -> str:
        """The ARN of an execution."""
        lines = [{"sku": sku, "count": 2, "of": order} for sku in skus]
        text = json.dumps({"order": order, "customer": "Ada", "placed": placed, "lines": lines})
        started = self.client("stepfunctions").start_execution(
            stateMachineArn=self.outputs["FulfilmentArn"], input=text
        )
        return str(started["executionArn"])

    def ended(self, execution: str) -> Json:
        """The execution's description, once it runs no more."""

        def described() -> Json | None:
            found: Json = self.client("stepfunctions").describe_execution(executionArn=execution)
            return found if found["status"] != "RUNNING" else None

        description: Json = eventually(described)
        return description


def eventually(look: Callable[[], Any], seconds: float = 30) -> Any:
    """What `look` sees, once it is not nothing."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return seen


# The app, synthesized, and laptops that run it


@dataclass
class Assemblies:
    plain: Path
    variant: Path


@pytest.fixture(scope="session")
def assemblies(tmp_path_factory: pytest.TempPathFactory) -> Assemblies:
    """The app and its variant, synthesized side by side."""
    folder = tmp_path_factory.mktemp("other_app")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_"))}
    argv = [sys.executable, str(HERE / "other_app" / "app.py")]
    running = [
        subprocess.Popen(argv, env={**kept, **more, "CDK_OUTDIR": str(folder / name)}, stderr=subprocess.PIPE)
        for name, more in (("plain", {}), ("variant", {"VARIANT": "1"}))
    ]
    for process in running:
        _, errors = process.communicate()
        assert process.returncode == 0, errors.decode()
    return Assemblies(folder / "plain", folder / "variant")


@contextmanager
def started(assembly: Path, data: Path) -> Iterator[dict[str, str]]:
    """The outputs of a laptop on free ports."""
    laptop = Laptop(Settings(assembly=assembly, data=data, layers=data / "layers", aws_port=0, port=0))
    try:
        yield laptop.start()
    finally:
        laptop.stop()


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("laptop")


@pytest.fixture(scope="session")
def desk(assemblies: Assemblies, data: Path) -> Iterator[Desk]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CASH_REGISTER", "what a function's environment must not hold")
        with started(assemblies.plain, data) as outputs:
            yield Desk(outputs)


@pytest.fixture(scope="session")
def poisoned(desk: Desk) -> str:
    """A message that the function refuses, sent early: its way to the dead-letter queue takes seconds."""
    desk.send("OrdersUrl", {"no": "such thing as an order"})
    desk.send("OrdersUrl", {"order": "poisoned"})
    return "poisoned"


# What CloudFormation's functions make of the template


def test_the_outputs_are_what_cloudformation_would_give(desk: Desk, poisoned: str) -> None:
    table = f"arn:aws:dynamodb:us-east-1:000000000000:table/{desk.outputs['LedgerName']}"
    assert desk.outputs["Greeting"] == f"${{Name}}, welcome to OrderDesk in Ghent: test with play money, {table}"
    assert desk.outputs["Mode"] == "rehearsal"
    assert desk.outputs["OpeningId"] == "desk-8"
    assert desk.outputs["OpenedAt"] == "8 o'clock in Turin"
    assert "LiveShelfName" not in desk.outputs


def test_the_outputs_are_written_as_cdk_deploy_writes_them(desk: Desk, data: Path) -> None:
    assert json.loads((data / "outputs.json").read_text()) == {"OrderDesk": desk.outputs}
    assert all(isinstance(value, str) for value in desk.outputs.values())


def test_a_resource_whose_condition_does_not_hold_is_not_made(desk: Desk) -> None:
    buckets = [bucket["Name"] for bucket in desk.client("s3").list_buckets(Prefix="orderdesk-")["Buckets"]]
    assert buckets == [desk.outputs["TrayName"]]


def test_a_custom_resource_gets_its_properties_as_strings(desk: Desk) -> None:
    opening = desk.row("opening")
    assert opening["request"] == "Create"
    asked = {name: value["S"] for name, value in opening["asked"].items() if name != "ServiceToken"}
    assert asked == {"Hour": "8", "Open": "true", "Town": "Turin"}


# What the app does


def test_an_order_goes_through_the_api_and_the_queue_into_the_table(desk: Desk) -> None:
    order = {"order": "o-1", "customer": "Grace Hopper", "placed": 7}
    assert desk.call("POST", "/orders", order) == (202, {"currency": "play money"})
    desk.row_in_time("o-1")
    assert desk.call("GET", "/orders/o-1") == (200, {"customer": "Grace Hopper", "said": "thank you, Grace Hopper"})


def test_a_path_parameter_reaches_the_function_and_a_variable_without_value_does_not(desk: Desk) -> None:
    assert desk.call("GET", "/orders/none%20such") == (404, {"live": False})


def test_a_path_that_no_route_has_is_not_found(desk: Desk) -> None:
    assert desk.call("DELETE", "/orders/o-1") == (404, {"message": "Not Found"})


def test_the_index_of_the_table_is_queried(desk: Desk) -> None:
    for number in (3, 1, 2):
        order = {"order": {"S": f"i-{number}"}, "customer": {"S": "Ida"}, "placed": {"N": str(number)}}
        desk.client("dynamodb").put_item(TableName=desk.outputs["LedgerName"], Item=order)
    found = desk.client("dynamodb").query(
        TableName=desk.outputs["LedgerName"],
        IndexName="by-customer",
        KeyConditionExpression="customer = :ida AND placed > :one",
        ExpressionAttributeValues={":ida": {"S": "Ida"}, ":one": {"N": "1"}},
        ScanIndexForward=False,
    )
    assert [item["order"]["S"] for item in found["Items"]] == ["i-3", "i-2"]


def test_a_rule_delivers_the_events_it_is_for(desk: Desk) -> None:
    desk.sell(till="small", total=50, town="Ghent")
    desk.sell(till="abroad", total=150, town="Paris")
    desk.sell(till="large", total=150, town="Ghent")
    assert desk.row_in_time("seen at large")["kind"] == "Sale"
    assert not desk.row("seen at small")
    assert not desk.row("seen at abroad")


def test_the_outcome_of_an_event_that_a_function_refuses_goes_to_its_destination(desk: Desk) -> None:
    desk.sell(till="broken", total=150, town="Ghent")
    record = json.loads(desk.message("LettersUrl"))
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 1
    assert record["responsePayload"]["errorMessage"] == "no such till"


def test_an_object_in_the_bucket_becomes_an_order(desk: Desk) -> None:
    for key in ("not an order.txt", "täglich brot.order"):
        desk.client("s3").put_object(Bucket=desk.outputs["TrayName"], Key=key, Body=b"bread")
    row = desk.row_in_time("täglich brot.order")
    assert (row["customer"], row["placed"]) == ("tray", "5")
    assert not desk.row("not an order.txt")


def test_a_state_machine_maps_retries_catches_waits_and_writes(desk: Desk) -> None:
    found = desk.ended(desk.fulfil("s-1", 1200, "tea", "unicorn", "coffee"))
    assert found["status"] == "SUCCEEDED", found
    output = json.loads(found["output"])
    assert output["priced"] == [
        {"sku": "tea", "price": 6},
        {"sku": "unicorn", "price": 0, "why": "SoldOutError"},
        {"sku": "coffee", "price": 6},
    ]
    assert set(output) == {"order", "customer", "placed", "lines", "priced"}
    assert desk.row("asked for coffee in s-1")["times"] == "2"
    assert desk.row("s-1") == {"order": "s-1", "customer": "Ada", "placed": "1200", "lines": "3"}
    events = desk.client("stepfunctions").get_execution_history(executionArn=found["executionArn"])["events"]
    entered = [event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event]
    assert [name for name in entered if name not in ("Price", "Sold out")] == [
        "Lines",
        "Large?",
        "Think it over",
        "Write down",
    ]


def test_a_function_that_imports_what_its_layers_do_not_hold_fails(desk: Desk) -> None:
    error, payload = desk.invoke("WithoutLayer", {})
    assert error == "Unhandled"
    assert payload["errorType"] == "Runtime.ImportModuleError"
    assert payload["errorMessage"] == "Unable to import module 'without_layer': No module named 'pydantic'"


def test_a_function_that_reads_a_variable_the_template_does_not_give_fails(desk: Desk) -> None:
    error, payload = desk.invoke("WithoutVariable", {})
    assert error == "Unhandled"
    assert (payload["errorType"], payload["errorMessage"]) == ("KeyError", "'CASH_REGISTER'")


def test_inline_code_runs(desk: Desk) -> None:
    assert desk.invoke("Inline", {"asked": 1}) == (None, {"ledger": desk.outputs["LedgerName"], "asked": 1})


def test_a_poisoned_message_ends_in_the_dead_letter_queue_and_a_filtered_one_nowhere(desk: Desk, poisoned: str) -> None:
    assert json.loads(desk.message("RejectedUrl")) == {"order": poisoned}
    counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = desk.client("sqs").get_queue_attributes(QueueUrl=desk.outputs["OrdersUrl"], AttributeNames=counts)
    assert set(found["Attributes"].values()) == {"0"}


# One folder through three lives


@dataclass
class Lives:
    """What was seen: a laptop killed at work, another told to stop at work, a third that runs the variant."""

    left_after_kill: list[int]
    row_after_kill: Json
    message_after_kill: str
    object_after_kill: bytes
    asked_after_kill: Json
    left_after_term: list[int]
    term_returncode: int
    unfinished: Json
    stamped: Json
    opening: Json
    closed: Json
    rules: list[str]


class Process:
    """`python -m local …` with its functions warm and one of them at work."""

    def __init__(self, assembly: Path, data: Path) -> None:
        outputs = data / "outputs.json"
        outputs.unlink(missing_ok=True)
        argv = [sys.executable, "-m", "local", "run", "--assembly", str(assembly), "--data", str(data)]
        self._popen = subprocess.Popen([*argv, "--aws-port", "0", "--port", "0"], cwd=ROOT, stdout=subprocess.DEVNULL)
        eventually(lambda: outputs.exists() or self._popen.poll() is not None)
        self.desk = Desk(json.loads(outputs.read_text())["OrderDesk"])

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self._popen.kill()
        self._popen.wait()

    def warm(self) -> list[psutil.Process]:
        """Its descendants, once several functions are warm."""
        self.desk.invoke("Inline", {})
        self.desk.call("GET", "/orders/nothing")
        family = psutil.Process(self._popen.pid).children(recursive=True)
        assert len(family) >= 3
        return family

    def end(self, number: int, family: list[psutil.Process]) -> list[int]:
        """The processes that are left when they should not be."""
        self._popen.send_signal(number)
        deadline = time.monotonic() + STOP_SECONDS
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(STOP_SECONDS)
        _, left = psutil.wait_procs(family, max(0, deadline - time.monotonic()))
        ended = self._popen.poll() is not None
        return [process.pid for process in left] + ([] if ended else [self._popen.pid])

    @property
    def returncode(self) -> int:
        return int(self._popen.wait())


@pytest.fixture(scope="session")
def lives(assemblies: Assemblies, tmp_path_factory: pytest.TempPathFactory) -> Lives:
    data = tmp_path_factory.mktemp("lives")
    seen: Json = {}

    with Process(assemblies.plain, data) as first:
        desk = first.desk
        desk.send("OrdersUrl", {"order": "kept", "customer": "Emmy", "placed": 1})
        desk.row_in_time("kept")
        desk.send("LettersUrl", {"still": "here"})
        desk.client("s3").put_object(Bucket=desk.outputs["TrayName"], Key="kept.txt", Body=b"kept")
        execution = desk.fulfil("long", 1, "handmade")
        desk.row_in_time("asked for handmade in long")
        seen["left_after_kill"] = first.end(signal.SIGKILL, first.warm())

    with Process(assemblies.plain, data) as second:
        desk = second.desk
        seen["row_after_kill"] = desk.row("kept")
        seen["message_after_kill"] = desk.message("LettersUrl")
        found = desk.client("s3").get_object(Bucket=desk.outputs["TrayName"], Key="kept.txt")
        seen["object_after_kill"] = found["Body"].read()
        seen["asked_after_kill"] = desk.row("opening")
        eventually(lambda: desk.row("asked for handmade in long")["times"] == "2")
        seen["left_after_term"] = second.end(signal.SIGTERM, second.warm())
        seen["term_returncode"] = second.returncode

    with started(assemblies.variant, data) as outputs:
        desk = Desk(outputs)
        seen["unfinished"] = desk.ended(execution)
        seen["stamped"] = desk.ended(desk.fulfil("stamped", 1, "tea"))
        seen["opening"] = desk.row("opening")
        seen["closed"] = desk.row("closed desk-8")
        seen["rules"] = [rule["Name"] for rule in desk.client("events").list_rules()["Rules"]]
    return Lives(**seen)


def test_no_process_is_left_five_seconds_after_the_laptop_is_told_to_stop(lives: Lives) -> None:
    assert lives.left_after_term == []
    assert lives.term_returncode == 0


def test_no_process_is_left_five_seconds_after_the_laptop_is_killed(lives: Lives) -> None:
    assert lives.left_after_kill == []


def test_rows_messages_and_objects_outlive_a_kill(lives: Lives) -> None:
    assert lives.row_after_kill["said"] == "thank you, Emmy"
    assert json.loads(lives.message_after_kill) == {"still": "here"}
    assert lives.object_after_kill == b"kept"


def test_a_custom_resource_is_not_asked_again_while_its_properties_are_the_same(lives: Lives) -> None:
    assert (lives.asked_after_kill["request"], lives.asked_after_kill["times"]) == ("Create", "1")


def test_a_custom_resource_is_asked_to_update_when_its_properties_changed(lives: Lives) -> None:
    assert (lives.opening["request"], lives.opening["times"]) == ("Update", "2")
    assert lives.opening["asked"]["Hour"] == {"S": "9"}


def test_what_an_update_of_a_custom_resource_replaced_is_deleted(lives: Lives) -> None:
    assert lives.closed["times"] == "1"


def test_a_rule_that_the_template_has_no_more_is_gone(lives: Lives) -> None:
    assert len(lives.rules) == 1
    assert lives.rules[0].startswith("OrderDesk-Dropped")


def test_a_state_added_in_the_app_alone_is_seen_in_the_output(lives: Lives) -> None:
    output = json.loads(lives.stamped["output"])
    assert output["stamp"] == {"by": "variant"}
    assert output["priced"] == [{"sku": "tea", "price": 6}]


def test_an_execution_that_was_running_ends_as_its_definition_was(lives: Lives) -> None:
    assert lives.unfinished["status"] == "SUCCEEDED"
    output = json.loads(lives.unfinished["output"])
    assert output["priced"] == [{"sku": "handmade", "price": 6}]
    assert "stamp" not in output


# What other apps have


def test_an_archive_is_code_too_and_long_names_stay_apart(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "asset.1.zip", "w") as archive:
        archive.writestr("app.py", "def handler(event, context):\n    return context.function_name\n")
    destinations = {"here": {"objectKey": "1.zip"}}
    files = {"1": {"source": {"path": "asset.1.zip", "packaging": "file"}, "destinations": destinations}}
    (tmp_path / "T.assets.json").write_text(json.dumps({"files": files}))
    code = {"S3Bucket": "assets", "S3Key": "1.zip"}
    role = "arn:aws:iam::000000000000:role/own"
    function = {"Code": code, "Handler": "app.handler", "Runtime": "python3.13", "Role": role}
    names = [f"{'Long' * 20}{number}" for number in (1, 2)]
    stack(
        tmp_path,
        Resources={name: {"Type": "AWS::Lambda::Function", "Properties": function} for name in names},
        Outputs={name: {"Value": {"Ref": name}} for name in names},
    )
    with started(tmp_path, tmp_path / "data") as outputs:
        desk = Desk(outputs)
        assert [desk.invoke(name, {}) for name in names] == [(None, outputs[name]) for name in names]
    assert outputs[names[0]] != outputs[names[1]]
    assert len(outputs[names[0]]) == 64


# What stops the start


def changed(assembly: Path, folder: Path, change: Callable[[Json], None]) -> Path:
    """A copy of the assembly with a changed template."""
    copy = folder / "assembly"
    shutil.copytree(assembly, copy)
    template = json.loads((copy / "OrderDesk.template.json").read_text())
    change(template)
    (copy / "OrderDesk.template.json").write_text(json.dumps(template))
    return copy


def stack(folder: Path, **template: Any) -> Blueprint:
    """An assembly of one stack, written by hand, and what is to be made of it."""
    artifact = {
        "type": "aws:cloudformation:stack",
        "environment": "aws://unknown-account/eu-west-1",
        "properties": {"templateFile": "T.json", "stackName": "Little"},
    }
    (folder / "manifest.json").write_text(json.dumps({"artifacts": {"T": artifact}}))
    (folder / "T.json").write_text(json.dumps({"Resources": {}, **template}))
    assembly = Assembly(folder)
    return Blueprint(assembly.name, "arn", assembly.region, assembly.template)


def refusal(assembly: Path, folder: Path, change: Callable[[Json], None]) -> str:
    return refused_start(changed(assembly, folder, change), folder)


def refused_start(assembly: Path, folder: Path) -> str:
    """The one line that a start ends with."""
    data = folder / "data"
    laptop = Laptop(Settings(assembly=assembly, data=data, layers=folder / "layers", aws_port=0, port=0))
    try:
        with pytest.raises(TemplateError) as refused:
            laptop.start()
    finally:
        laptop.stop()
    assert "\n" not in str(refused.value)
    assert not (data / "outputs.json").exists()
    return str(refused.value)


def test_an_unknown_type_of_resource_stops_the_start(assemblies: Assemblies, tmp_path: Path) -> None:
    def add(template: Json) -> None:
        template["Resources"]["Bell"] = {"Type": "AWS::SNS::Topic"}

    sentence = refusal(assemblies.plain, tmp_path, add)
    assert sentence == "Bell (AWS::SNS::Topic): the laptop does not know this type of resource"


def test_an_unknown_property_stops_the_start(assemblies: Assemblies, tmp_path: Path) -> None:
    def add(template: Json) -> None:
        (function,) = (one for name, one in template["Resources"].items() if name.startswith("Inline6"))
        function["Properties"]["VpcConfig"] = {"SubnetIds": []}

    sentence = refusal(assemblies.plain, tmp_path, add)
    assert sentence.endswith(" (AWS::Lambda::Function): the laptop does not know its property VpcConfig")


@pytest.mark.parametrize(
    ("kind", "properties", "part"),
    [
        ("AWS::SQS::Queue", {"DelaySeconds": 901}, "DelaySeconds"),
        ("AWS::SQS::Queue", {"Volume": "loud"}, "Volume"),
        ("AWS::DynamoDB::Table", {"StreamSpecification": {"StreamViewType": "KEYS_ONLY"}}, "Streams"),
        ("AWS::S3::Bucket", {"ReplicationConfiguration": {}}, "ReplicationConfiguration"),
        ("AWS::Events::Rule", {"ScheduleExpression": "rate(1 day)", "EventBusName": "other"}, "other"),
        ("AWS::Events::Rule", {"ScheduleExpression": "rate(1 day)", "Volume": "loud"}, "Volume"),
        ("AWS::S3Vectors::VectorBucket", {"Volume": "loud"}, "Volume"),
    ],
)
def test_what_a_service_does_not_offer_stops_the_start_and_names_the_resource(
    tmp_path: Path, kind: str, properties: Json, part: str
) -> None:
    stack(tmp_path, Resources={"Bell": {"Type": kind, "Properties": properties}})
    sentence = refused_start(tmp_path, tmp_path)
    assert sentence.startswith(f"Bell ({kind}): ")
    assert part in sentence


def test_a_queue_that_shows_a_message_while_its_function_works_on_it_is_refused(
    assemblies: Assemblies, tmp_path: Path
) -> None:
    def change(template: Json) -> None:
        (queue,) = (one for name, one in template["Resources"].items() if name.startswith("OrdersA"))
        queue["Properties"]["VisibilityTimeout"] = 2

    expected = "Queue visibility timeout: 2 seconds is less than Function timeout: 3 seconds"
    assert refusal(assemblies.plain, tmp_path, change).endswith(expected)


def test_a_custom_resource_that_fails_stops_the_start_with_its_functions_words(
    assemblies: Assemblies, tmp_path: Path
) -> None:
    def change(template: Json) -> None:
        del template["Resources"]["Opening"]["Properties"]["Hour"]

    sentence = refusal(assemblies.plain, tmp_path, change)
    assert sentence.startswith("Opening (Custom::Opening): its function failed: ")
    assert "KeyError" in sentence


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "local", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize("option", ["--aws-port", "--port"])
def test_a_busy_port_is_one_line_that_names_it(assemblies: Assemblies, tmp_path: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        other = "--port" if option == "--aws-port" else "--aws-port"
        data = tmp_path / "data"
        done = run("run", "--assembly", str(assemblies.plain), "--data", str(data), option, port, other, "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"port {port} is in use by another program\n"
    assert not data.exists()


def test_a_folder_that_is_no_assembly_is_one_line(tmp_path: Path) -> None:
    done = run("run", "--assembly", str(tmp_path), "--data", str(tmp_path / "data"), "--aws-port", "0", "--port", "0")
    assert (done.returncode, done.stderr) == (2, f"{tmp_path} is no cloud assembly: it holds no manifest.json\n")


def test_both_ports_answer_503_until_the_stack_is_made(assemblies: Assemblies, tmp_path: Path) -> None:
    settings = Settings(assemblies.plain, tmp_path, tmp_path, aws_port=0, port=0)
    laptop = Laptop(settings)
    try:
        for server in (laptop.aws, laptop.app):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(server.url, timeout=5)
            with refused.value as error:
                assert error.code == 503
    finally:
        laptop.stop()


# The rest of CloudFormation's language


def resolve(folder: Path, value: Any, **template: Any) -> Any:
    made = {"Box": Made("box-1", {"Arn": "arn:box-1", "Size": 4})}
    resources = {"Box": {"Type": "A::Box"}, "Gone": {"Type": "A::Box"}}
    return Resolver(stack(folder, **{"Resources": resources, **template}), made).resolve(value)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"Ref": "Box"}, "box-1"),
        ({"Ref": "AWS::Region"}, "eu-west-1"),
        ({"Ref": "AWS::StackName"}, "Little"),
        ({"Fn::GetAtt": "Box.Arn"}, "arn:box-1"),
        ({"Fn::GetAtt": ["Box", "Size"]}, 4),
        ({"Fn::Join": ["-", ["a", {"Ref": "Box"}, {"Fn::GetAtt": ["Box", "Size"]}, True]]}, "a-box-1-4-true"),
        ({"Fn::Select": ["1", {"Fn::Split": [":", {"Fn::GetAtt": "Box.Arn"}]}]}, "box-1"),
        ({"Fn::Sub": "${Box} ${Box.Size} ${!Box}"}, "box-1 4 ${Box}"),
        ({"Fn::Sub": ["${Box}${x}", {"x": {"Ref": "Box"}}]}, "box-1box-1"),
        ({"Fn::Base64": {"Ref": "Box"}}, "Ym94LTE="),
        ([1, {"Ref": "AWS::NoValue"}, {"a": {"Ref": "AWS::NoValue"}, "b": [{"Ref": "AWS::NoValue"}]}], [1, {"b": []}]),
        ({"Ref": "Box", "other": 1}, {"Ref": "Box", "other": 1}),
    ],
)
def test_intrinsic_functions_are_evaluated(tmp_path: Path, given: Any, expected: Any) -> None:
    assert resolve(tmp_path, given) == expected


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        ({"Type": "String", "Default": 7}, "7"),
        ({"Type": "Number", "Default": 7}, 7),
        ({"Type": "CommaDelimitedList", "Default": "a, b,c"}, ["a", "b", "c"]),
        ({"Type": "List<Number>", "Default": "1,2"}, ["1", "2"]),
    ],
)
def test_a_parameter_is_its_default(tmp_path: Path, parameter: Json, expected: Any) -> None:
    assert resolve(tmp_path, {"Ref": "P"}, Parameters={"P": parameter}) == expected


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"Ref": "Gone"}, "Gone"),
        ({"Fn::GetAtt": ["Gone", "Arn"]}, "Gone"),
        ({"Fn::GetAtt": ["Box", "Color"]}, "no attribute Color"),
        ({"Ref": "Open"}, "no default"),
        ({"Ref": "Version"}, "SSM"),
        ({"Fn::ImportValue": "x"}, "Fn::ImportValue"),
        ({"Fn::FindInMap": ["Sizes", "small", "x"]}, "Sizes.small.x"),
        ({"Fn::If": ["Never", 1, 2]}, "Never"),
        ({"Fn::Select": [3, ["a"]]}, "number 3 of 1"),
    ],
)
def test_what_cannot_be_evaluated_is_named(tmp_path: Path, given: Any, part: str) -> None:
    parameters = {
        "Open": {"Type": "String"},
        "Version": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/v"},
    }
    with pytest.raises(TemplateError, match=part):
        resolve(tmp_path, given, Parameters=parameters, Mappings={"Sizes": {"small": {"y": 1}}})


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"Fn::Equals": [1, "1"]}, True),
        ({"Fn::Equals": [True, "true"]}, True),
        ({"Fn::Equals": [{"Ref": "Box"}, "box-2"]}, False),
        ({"Fn::Not": [{"Condition": "Yes"}]}, False),
        ({"Fn::And": [{"Condition": "Yes"}, {"Fn::Equals": ["a", "b"]}]}, False),
        ({"Fn::Or": [{"Condition": "Yes"}, {"Fn::Equals": ["a", "b"]}]}, True),
    ],
)
def test_conditions_choose(tmp_path: Path, condition: Json, expected: bool) -> None:
    conditions = {"Yes": {"Fn::Equals": ["a", "a"]}, "Asked": condition}
    assert resolve(tmp_path, {"Fn::If": ["Asked", True, False]}, Conditions=conditions) is expected


def test_resources_are_made_after_what_they_refer_to(tmp_path: Path) -> None:
    resources = {
        "A": {"Type": "T", "Properties": {"x": {"Fn::Sub": "${B.Arn}"}}},
        "B": {"Type": "T", "Properties": {"x": [{"Fn::If": ["c", {"Ref": "C"}, {"Fn::GetAtt": "D.Arn"}]}]}},
        "C": {"Type": "T", "DependsOn": "D"},
        "D": {"Type": "T", "DependsOn": ["E", "Unknown"]},
        "E": {"Type": "T"},
    }
    ordered = in_order(stack(tmp_path, Resources=resources).resources)
    assert [resource.logical_id for resource in ordered] == ["E", "D", "C", "B", "A"]


def test_a_circle_of_resources_is_refused(tmp_path: Path) -> None:
    resources = {"A": {"Type": "T", "DependsOn": "B"}, "B": {"Type": "T", "Properties": {"x": {"Ref": "A"}}}}
    with pytest.raises(TemplateError, match="circle"):
        in_order(stack(tmp_path, Resources=resources).resources)


def test_a_transform_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"AWS::Serverless-2016-10-31"):
        stack(tmp_path, Transform="AWS::Serverless-2016-10-31")


# Local/ knows nothing of ours

OURS = re.compile(
    r"bucketlens|\bingest\b|ingest_|_ingest|profile-|\blambdas\b|\binfra\b|samples/|asset_id|catalog_?table|"
    r"media_?bucket|output_?bucket|jobs/|query/|derived/|segment_count|\b_asset_|_modality",
    re.IGNORECASE,
)


def test_no_line_of_local_knows_a_name_of_our_stack() -> None:
    files = sorted((ROOT / "local").rglob("*.py"))
    assert len(files) > 50
    found = {str(file.relative_to(ROOT)): OURS.findall(file.read_text()) for file in files}
    assert {name: words for name, words in found.items() if words} == {}


def test_local_imports_nothing_of_ours() -> None:
    imported = set()
    for file in (ROOT / "local").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                imported.add(str(node.module).partition(".")[0])
    assert imported & {"app", "benchmarks", "infra", "lambdas", "lens", "samples", "tests", "web"} == set()

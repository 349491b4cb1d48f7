"""Step Functions on the laptop: state machines over the wire with boto3, their tasks against tiny services."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.wrappers import Request, Response

from local import clock
from local.auth import Keyring
from local.clients import Clients
from local.state import State
from local.stepfunctions import StepFunctions, choice, definition, intrinsics, jsonpath, payload, resources
from local.stepfunctions.interpreter import backoff
from local.wire import AwsError, Caller, Service, TargetService, json_response

ROLE = "arn:aws:iam::000000000000:role/machine"
LAMBDA = "arn:aws:states:::lambda:invoke"
SQS = "arn:aws:states:::aws-sdk:sqs"
SPEED = 20  # the tests' clock runs that much faster, with the same waits

Definition = dict[str, Any]


class Functions:
    """A Lambda whose functions are Python callables by name; what they raise is a function error."""

    def __init__(self) -> None:
        self.by_name: dict[str, Callable[[Any], Any]] = {}
        self.callers: list[str | None] = []

    def __call__(self, request: Request, caller: Caller) -> Response:
        self.callers.append(caller.role_arn)
        name = request.path.split("/functions/")[1].split("/")[0].split(":")[-1]
        if name not in self.by_name:
            missing = {"Type": "User", "Message": f"Function not found: {name}"}
            return json_response(missing, 404, "ResourceNotFoundException")
        try:
            answer = self.by_name[name](json.loads(request.get_data()))
        except Exception as error:  # as the Lambda runtime reports it
            text = json.dumps({"errorType": type(error).__name__, "errorMessage": str(error)})
            return Response(text, headers={"X-Amz-Function-Error": "Unhandled"})
        return Response(json.dumps(answer), headers={"X-Amz-Executed-Version": "$LATEST"})


class Laptop:
    """Step Functions with services beside it, and what a user does with it."""

    def __init__(self, state: State, serve: Callable[[Mapping[str, Service]], Clients]) -> None:
        self.functions = Functions()
        self.services: dict[str, Service] = {"lambda": self.functions}
        self.clients = serve(self.services)
        self.events: list[dict[str, Any]] = []
        self.state = state
        self.boot()
        self.api = self.clients.get("stepfunctions", None)
        self._made = 0

    def boot(self) -> None:
        self.service = StepFunctions(self.state, self.clients, self.events.append)
        self.services["states"] = self.service

    def create(self, machine: Definition, name: str | None = None) -> str:
        self._made += 1
        name = name or f"machine-{self._made}"
        made = self.api.create_state_machine(name=name, definition=json.dumps(machine), roleArn=ROLE)
        return str(made["stateMachineArn"])

    def start(self, machine: Definition, given: Any = None, **more: Any) -> str:
        text = json.dumps({} if given is None else given)
        return str(self.api.start_execution(stateMachineArn=self.create(machine), input=text, **more)["executionArn"])

    def end(self, execution: str) -> dict[str, Any]:
        return until(lambda: self._ended(execution))

    def _ended(self, execution: str) -> dict[str, Any] | None:
        found: dict[str, Any] = self.api.describe_execution(executionArn=execution)
        return found if found["status"] != "RUNNING" else None

    def run(self, machine: Definition, given: Any = None) -> dict[str, Any]:
        return self.end(self.start(machine, given))

    def output(self, machine: Definition, given: Any = None) -> Any:
        found = self.run(machine, given)
        assert found["status"] == "SUCCEEDED", found
        return json.loads(found["output"])

    def types(self, execution: str) -> list[str]:
        return [event["type"] for event in self.api.get_execution_history(executionArn=execution)["events"]]


@pytest.fixture
def laptop(state: State, serve: Callable[[Mapping[str, Service]], Clients]) -> Iterator[Laptop]:
    made = Laptop(state, serve)
    yield made
    made.service.stop()


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.time()
    monkeypatch.setattr(clock, "now", lambda: began + (time.time() - began) * SPEED)
    monkeypatch.setattr(clock, "wait", lambda seconds, stopped: stopped.wait(max(0.0, seconds) / SPEED))


def until(look: Callable[[], Any], seconds: float = 10.0) -> Any:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if found := look():
            return found
        time.sleep(0.005)
    raise AssertionError("it did not happen in time")


def only(state: dict[str, Any], **top: Any) -> Definition:
    flow = {} if state["Type"] in ("Succeed", "Fail", "Choice") or "Next" in state else {"End": True}
    return {"StartAt": "Only", "States": {"Only": {**state, **flow}}, **top}


def task(name: str, **more: Any) -> dict[str, Any]:
    return {"Type": "Task", "Resource": LAMBDA, "Parameters": {"FunctionName": name, "Payload.$": "$"}, **more}


def caught(machine: Definition, *errors: str) -> Definition:
    """The machine with a Catch on its only state."""
    machine["States"]["Only"]["Catch"] = [{"ErrorEquals": list(errors), "Next": "Caught"}]
    machine["States"]["Caught"] = {"Type": "Pass", "End": True}
    return machine


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


class TestData:
    def test_a_pass_builds_selects_and_places_its_data(self, laptop: Laptop) -> None:
        state = {
            "Type": "Pass",
            "InputPath": "$.a",
            "Parameters": {"n.$": "$.n", "id.$": "$$.Execution.Name", "fixed": [{"m.$": "States.MathAdd($.n, 1)"}]},
            "ResultPath": "$.made.here",
            "OutputPath": "$.made",
        }
        execution = laptop.start(only(state), {"a": {"n": 1}, "b": 2}, name="first")
        assert json.loads(laptop.end(execution)["output"]) == {"here": {"n": 1, "id": "first", "fixed": [{"m": 2}]}}

    def test_null_paths_empty_the_input_and_keep_it_from_the_result(self, laptop: Laptop) -> None:
        assert laptop.output(only({"Type": "Pass", "InputPath": None}), {"a": 1}) == {}
        assert laptop.output(only({"Type": "Pass", "Result": 5, "ResultPath": None}), {"a": 1}) == {"a": 1}
        assert laptop.output(only({"Type": "Succeed", "OutputPath": None}), {"a": 1}) == {}

    def test_a_path_that_leads_nowhere_is_a_runtime_error_nothing_catches(self, laptop: Laptop) -> None:
        laptop.functions.by_name["f"] = lambda given: {}
        machine = caught(only(task("f", ResultSelector={"x.$": "$.no"})), "States.Runtime")
        found = laptop.run(machine, {"a": 1})
        assert (found["status"], found["error"]) == ("FAILED", "States.Runtime")
        assert "'Only' (entered at the event id #2)" in found["cause"]
        assert "The JSONPath '$.no' specified for the field 'x.$' could not be found in the input" in found["cause"]

    def test_a_result_path_through_a_scalar_is_a_match_failure(self, laptop: Laptop) -> None:
        found = laptop.run(only({"Type": "Pass", "Result": 1, "ResultPath": "$.a.b"}), {"a": 5})
        assert found["error"] == "States.ResultPathMatchFailure"

    def test_the_context_object_tells_of_execution_state_and_machine(self, laptop: Laptop) -> None:
        machine = only({"Type": "Pass", "Parameters": {"c.$": "$$"}})
        arn = laptop.create(machine, "told")
        execution = laptop.api.start_execution(stateMachineArn=arn, name="x", input='{"i":1}')["executionArn"]
        told = json.loads(laptop.end(execution)["output"])["c"]
        assert told["Execution"].keys() == {"Id", "Input", "Name", "RoleArn", "StartTime", "RedriveCount"}
        assert (told["Execution"]["Id"], told["Execution"]["Input"]) == (execution, {"i": 1})
        assert told["StateMachine"] == {"Id": arn, "Name": "told"}
        assert told["State"]["Name"] == "Only" and told["State"]["RetryCount"] == 0
        assert datetime.fromisoformat(told["State"]["EnteredTime"]).tzinfo is not None

    def test_an_output_over_256_kib_ends_what_states_all_would_catch(self, laptop: Laptop) -> None:
        laptop.functions.by_name["big"] = lambda given: "é" * 140_000
        plain = laptop.run(caught(only(task("big")), "States.ALL"))
        assert (plain["status"], plain["error"]) == ("FAILED", "States.DataLimitExceeded")
        assert laptop.output(caught(only(task("big")), "States.DataLimitExceeded"))["Error"] == plain["error"]
        double = {"Type": "Pass", "Parameters": {"a.$": "$", "b.$": "$"}}
        assert laptop.run(only(double), "x" * 200_000)["error"] == "States.DataLimitExceeded"


class TestFlow:
    def test_a_choice_takes_the_first_rule_that_holds(self, laptop: Laptop) -> None:
        cases: list[tuple[Any, str]] = [
            ({"kind": "video", "n": 5}, "both"),
            ({"kind": "film.mp4"}, "matched"),
            ({"kind": "x", "at": "2026-01-01T00:00:00Z", "limit": "2026-01-01T00:30:00+01:00"}, "later"),
            ({"kind": "x", "gone": None}, "null"),
            ({"kind": "x", "n": "5"}, "default"),
        ]

        def present(name: str, rule: dict[str, Any]) -> list[dict[str, Any]]:
            return [{"Variable": f"$.{name}", "IsPresent": True}, {"Variable": f"$.{name}", **rule}]

        rules: list[dict[str, Any]] = [
            {"And": [{"Variable": "$.kind", "StringEquals": "video"}, {"Variable": "$.n", "NumericGreaterThan": 4}]},
            {"Variable": "$.kind", "StringMatches": "*.mp4"},
            {"And": present("at", {"TimestampGreaterThanPath": "$.limit"})},
            {"And": present("gone", {"IsNull": True})},
            {"And": [*present("n", {"NumericEquals": 5}), {"Not": {"Variable": "$.n", "IsString": True}}]},
        ]
        names = ["both", "matched", "later", "null", "five"]
        chosen = [{**rule, "Next": name} for rule, name in zip(rules, names, strict=True)]
        ends = {name: {"Type": "Pass", "Result": name, "End": True} for name in [*names, "default"]}
        machine = {
            "StartAt": "Pick",
            "States": {"Pick": {"Type": "Choice", "Choices": chosen, "Default": "default"}, **ends},
        }
        for given_input, expected in cases:
            assert laptop.output(machine, given_input) == expected

    def test_a_choice_without_a_match_or_with_a_missing_variable_fails(self, laptop: Laptop) -> None:
        rule = {"Variable": "$.a", "NumericEquals": 1, "Next": "End"}
        machine = only({"Type": "Choice", "Choices": [rule]})
        machine["States"]["End"] = {"Type": "Succeed"}
        assert "does not point to a next state" in laptop.run(machine, {"a": 2})["cause"]
        assert "condition path references an invalid value" in laptop.run(machine, {})["cause"]

    def test_waits_last_as_long_as_they_say(self, laptop: Laptop, fast: None) -> None:
        began = clock.now()
        soon = clock.iso(clock.now() + 3)
        for state in ({"Seconds": 2}, {"SecondsPath": "$.s"}, {"Timestamp": soon}, {"TimestampPath": "$.t"}):
            laptop.output(only({"Type": "Wait", **state}), {"s": 1, "t": soon})
        assert 3 <= clock.now() - began < 12
        assert (
            "negative value: $.s == -1" in laptop.run(only({"Type": "Wait", "SecondsPath": "$.s"}), {"s": -1})["cause"]
        )
        wrong = laptop.run(only({"Type": "Wait", "TimestampPath": "$.t"}), {"t": "tomorrow"})
        assert "does not reference a valid ISO-8601" in wrong["cause"]

    def test_a_fail_tells_error_and_cause_fixed_or_from_the_input(self, laptop: Laptop) -> None:
        found = laptop.run(only({"Type": "Fail", "Error": "Bad", "Cause": "because"}))
        assert (found["status"], found["error"], found["cause"]) == ("FAILED", "Bad", "because")
        paths = {"Type": "Fail", "ErrorPath": "$.e", "CausePath": "States.Format('{}: {}', $.e, $.why)"}
        found = laptop.run(only(paths), {"e": "Worse", "why": "it is"})
        assert (found["error"], found["cause"]) == ("Worse", "Worse: it is")

    def test_a_parallel_collects_its_branches_in_order(self, laptop: Laptop) -> None:
        branches = [only({"Type": "Wait", "Seconds": 0}), only({"Type": "Pass", "Result": 2})]
        branches[0]["States"] = {"Slow": branches[0]["States"]["Only"]}
        branches[0]["StartAt"] = "Slow"
        state = {"Type": "Parallel", "Branches": branches, "ResultSelector": {"all.$": "$"}, "ResultPath": "$.r"}
        machine = {"StartAt": "Both", "States": {"Both": {**state, "End": True}}}
        assert laptop.output(machine, {"i": 1}) == {"i": 1, "r": {"all": [{"i": 1}, 2]}}

    def test_a_failing_branch_ends_the_others_at_once(self, laptop: Laptop) -> None:
        branches = [
            {"StartAt": "Slow", "States": {"Slow": {"Type": "Wait", "Seconds": 3600, "End": True}}},
            {
                "StartAt": "Short",
                "States": {
                    "Short": {"Type": "Pass", "Next": "Bad"},
                    "Bad": {"Type": "Fail", "Error": "Bad", "Cause": "c"},
                },
            },
        ]
        execution = laptop.start(caught(only({"Type": "Parallel", "Branches": branches}), "Bad"))
        assert json.loads(laptop.end(execution)["output"]) == {"Error": "Bad", "Cause": "c"}
        types = laptop.types(execution)
        assert types[-5:] == [
            "ParallelStateFailed",
            "ParallelStateExited",
            "PassStateEntered",
            "PassStateExited",
            "ExecutionSucceeded",
        ]

    def test_a_map_gives_each_item_its_selector_and_keeps_the_order(self, laptop: Laptop) -> None:
        selector = {"v.$": "$$.Map.Item.Value", "i.$": "$$.Map.Item.Index", "base.$": "$.base"}
        processor = {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}}
        state = {"Type": "Map", "ItemsPath": "$.xs", "ItemSelector": selector, "ItemProcessor": processor}
        expected = [{"v": value, "i": index, "base": 7} for index, value in enumerate("abc")]
        assert laptop.output(only(state), {"xs": list("abc"), "base": 7}) == expected
        processor["ProcessorConfig"] = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}  # type: ignore[assignment]
        execution = laptop.start(only(state), {"xs": list("abc"), "base": 7})
        assert json.loads(laptop.end(execution)["output"]) == expected
        assert laptop.types(execution)[2:6] == [
            "MapStateStarted",
            "MapRunStarted",
            "MapRunSucceeded",
            "MapStateSucceeded",
        ]
        assert laptop.output(only(state), {"xs": [], "base": 0}) == []
        assert "must point to array" in laptop.run(only(state), {"xs": 1})["cause"]

    @pytest.mark.parametrize("width", [1, 3])
    def test_a_map_runs_no_more_items_at_once_than_it_may(self, laptop: Laptop, width: int) -> None:
        lock, now, most = threading.Lock(), 0, 0

        def count(given: Any) -> Any:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(0.05)
            with lock:
                now -= 1
            return given

        laptop.functions.by_name["count"] = count
        processor = {"StartAt": "Each", "States": {"Each": {**task("count"), "OutputPath": "$.Payload", "End": True}}}
        state = {"Type": "Map", "MaxConcurrency": width, "ItemProcessor": processor}
        assert laptop.output(only(state), list(range(9))) == list(range(9))
        assert most == width

    def test_an_endless_loop_ends_at_25_000_events(self, laptop: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("local.stepfunctions.history.MAX_EVENTS", 500)
        loop = {
            "StartAt": "A",
            "States": {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Choice", "Choices": [], "Default": "A"}},
        }
        loop["States"]["B"]["Choices"] = [{"Variable": "$.stop", "IsPresent": True, "Next": "A"}]  # type: ignore[index]
        execution = laptop.start(loop)
        found = laptop.end(execution)
        assert (found["status"], found["error"]) == ("FAILED", "States.Runtime")
        assert "maximum number of history events" in found["cause"]
        last = laptop.api.get_execution_history(executionArn=execution, reverseOrder=True, maxResults=1)["events"]
        assert (last[0]["id"], last[0]["type"]) == (500, "ExecutionFailed")


class TestTasks:
    def test_lambda_invoke_answers_in_aws_shape_and_runs_as_the_role(self, laptop: Laptop) -> None:
        laptop.functions.by_name["echo"] = lambda given: {"got": given}
        found = laptop.output(only(task("echo")), {"a": 1})
        assert found.keys() == {"ExecutedVersion", "Payload", "StatusCode", "SdkHttpMetadata", "SdkResponseMetadata"}
        assert (found["Payload"], found["StatusCode"], found["ExecutedVersion"]) == ({"got": {"a": 1}}, 200, "$LATEST")
        assert laptop.functions.callers == [ROLE]

    def test_a_function_arn_as_resource_gets_the_input_and_gives_the_payload(self, laptop: Laptop) -> None:
        laptop.functions.by_name["echo"] = lambda given: {"got": given}
        state = {"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:000000000000:function:echo"}
        execution = laptop.start(only(state), {"a": 1})
        assert json.loads(laptop.end(execution)["output"]) == {"got": {"a": 1}}
        assert laptop.types(execution)[2:5] == [
            "LambdaFunctionScheduled",
            "LambdaFunctionStarted",
            "LambdaFunctionSucceeded",
        ]

    def test_a_function_error_has_the_name_of_its_class(self, laptop: Laptop) -> None:
        def fails(given: Any) -> Any:
            raise TimeoutError("too slow")

        laptop.functions.by_name["fails"] = fails
        found = laptop.run(only(task("fails")))
        assert found["error"] == "TimeoutError"
        assert json.loads(found["cause"]) == {"errorType": "TimeoutError", "errorMessage": "too slow"}
        assert laptop.run(only(task("none")))["error"] == "Lambda.ResourceNotFoundException"

    def test_sdk_calls_are_cased_by_the_service_model_both_ways(self, laptop: Laptop) -> None:
        asked: list[Any] = []

        def bedrock(request: Request, caller: Caller) -> Response:
            if request.method == "POST":
                asked.append(json.loads(request.get_data()))
                return json_response(
                    {"invocationArn": "arn:aws:bedrock:us-east-1:000000000000:async-invoke/abcdefghijkl"}
                )
            return json_response(
                {
                    "invocationArn": "i",
                    "modelArn": "m",
                    "status": "Completed",
                    "submitTime": "2026-01-02T03:04:05.678Z",
                    "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://b/k"}},
                }
            )

        laptop.services["bedrock"] = bedrock
        start = {
            "ModelId": "amazon.nova",
            "ModelInput": {"schemaVersion": "v", "taskType": "T", "nested": {"lowerCase": 1}},
            "OutputDataConfig": {"S3OutputDataConfig": {"S3Uri": "s3://b/k"}},
        }
        machine = {
            "StartAt": "Start",
            "States": {
                "Start": {
                    "Type": "Task",
                    "Resource": "arn:aws:states:::aws-sdk:bedrockruntime:startAsyncInvoke",
                    "Parameters": start,
                    "Next": "Get",
                },
                "Get": {
                    "Type": "Task",
                    "Resource": "arn:aws:states:::aws-sdk:bedrockruntime:getAsyncInvoke",
                    "Parameters": {"InvocationArn.$": "$.InvocationArn"},
                    "End": True,
                },
            },
        }
        found = laptop.output(machine)
        assert asked[0]["modelInput"] == start["ModelInput"]
        assert asked[0]["outputDataConfig"] == {"s3OutputDataConfig": {"s3Uri": "s3://b/k"}}
        assert (found["Status"], found["SubmitTime"]) == ("Completed", "2026-01-02T03:04:05.678Z")
        assert found["OutputDataConfig"]["S3OutputDataConfig"]["S3Uri"] == "s3://b/k"
        assert "ResponseMetadata" not in found

    def test_service_errors_are_named_as_the_integration_names_them(self, laptop: Laptop) -> None:
        codes: list[str] = []

        def put(body: dict[str, Any], caller: Caller) -> dict[str, Any]:
            raise AwsError(codes[-1], "no")

        laptop.services["dynamodb"] = TargetService({"PutItem": put})
        for resource, code, expected in [
            ("aws-sdk:dynamodb:putItem", "ConditionalCheckFailedException", "DynamoDb.ConditionalCheckFailedException"),
            ("aws-sdk:dynamodb:putItem", "ValidationException", "DynamoDb.DynamoDbException"),
            ("dynamodb:putItem", "ConditionalCheckFailedException", "DynamoDB.ConditionalCheckFailedException"),
            ("dynamodb:putItem", "ValidationException", "DynamoDB.AmazonDynamoDBException"),
        ]:
            codes.append(code)
            parameters = {"TableName": "t", "Item": {"id": {"S": "1"}}}
            state = {"Type": "Task", "Resource": f"arn:aws:states:::{resource}", "Parameters": parameters}
            found = laptop.run(only(state))
            assert found["error"] == expected
            assert found["cause"].startswith("no (Service: ") and "400" in found["cause"]

    def test_s3_errors_get_the_exception_suffix_and_bodies_are_text(self, laptop: Laptop) -> None:
        def s3(request: Request, caller: Caller) -> Response:
            if request.path.endswith("gone"):
                return Response("<Error><Code>NoSuchKey</Code><Message>no</Message></Error>", 404)
            return Response("content", headers={"ETag": '"e"', "Last-Modified": "Sat, 21 Nov 2026 09:30:00 GMT"})

        laptop.services["s3"] = s3

        def get(key: str) -> Definition:
            parameters = {"Bucket": "bucket", "Key": key}
            return only({"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:s3:getObject", "Parameters": parameters})

        found = laptop.output(get("here"))
        assert (found["Body"], found["ETag"], found["LastModified"]) == ("content", '"e"', "2026-11-21T09:30:00.000Z")
        assert laptop.run(get("gone"))["error"] == "S3.NoSuchKeyException"

    def test_a_service_out_of_reach_is_an_sdk_client_exception(self, laptop: Laptop, keyring: Keyring) -> None:
        service = StepFunctions(laptop.state, Clients("http://127.0.0.1:9", keyring), laptop.events.append)
        laptop.services["states"] = service
        machine = only({"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:sqs:listQueues", "Parameters": {}})
        assert laptop.run(machine)["error"] == "Sqs.SdkClientException"
        service.stop()

    def test_sqs_gets_objects_as_json_and_events_with_failed_entries_fail(self, laptop: Laptop) -> None:
        bodies: list[Any] = []

        def send(body: dict[str, Any], caller: Caller) -> dict[str, Any]:
            bodies.append(json.loads(body["MessageBody"]))
            return {"MessageId": "m"}

        def put_events(body: dict[str, Any], caller: Caller) -> dict[str, Any]:
            return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "MalformedDetail"}]}

        laptop.services |= {
            "sqs": TargetService({"SendMessage": send}),
            "events": TargetService({"PutEvents": put_events}),
        }
        message = {"QueueUrl": laptop.clients.endpoint + "/000000000000/q", "MessageBody": {"a.$": "$.a"}}
        queue = {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "Parameters": message}
        assert laptop.output(only(queue), {"a": [1]})["MessageId"] == "m"
        assert bodies == [{"a": [1]}]
        entries = {"Entries": [{"Detail": {"x": 1}, "DetailType": "d", "Source": "s"}]}
        put = {"Type": "Task", "Resource": "arn:aws:states:::events:putEvents", "Parameters": entries}
        assert laptop.run(only(put))["error"] == "EventBridge.FailedEntry"

    def test_an_execution_starts_another_and_waits_for_its_output(self, laptop: Laptop) -> None:
        inner = laptop.create(only({"Type": "Pass", "Parameters": {"doubled.$": "States.MathAdd($.n, $.n)"}}), "inner")
        bad = laptop.create(only({"Type": "Fail", "Error": "Inner"}), "bad")

        def outer(arn: str, pattern: str) -> Definition:
            parameters = {"StateMachineArn": arn, "Input": {"n.$": "$.n"}}
            resource = f"arn:aws:states:::states:startExecution{pattern}"
            return only({"Type": "Task", "Resource": resource, "Parameters": parameters})

        assert laptop.output(outer(inner, ".sync:2"), {"n": 4})["Output"] == {"doubled": 8}
        assert json.loads(laptop.output(outer(inner, ".sync"), {"n": 4})["Output"]) == {"doubled": 8}
        assert ":execution:inner:" in laptop.output(outer(inner, ""), {"n": 4})["ExecutionArn"]
        failed = laptop.run(outer(bad, ".sync:2"), {"n": 4})
        assert failed["error"] == "States.TaskFailed"
        assert json.loads(failed["cause"])["Error"] == "Inner"

    def test_a_stopped_execution_stops_the_one_it_waits_for(self, laptop: Laptop) -> None:
        inner = laptop.create(WAITS, "inner")
        state = {
            "Type": "Task",
            "Resource": "arn:aws:states:::states:startExecution.sync:2",
            "Parameters": {"StateMachineArn": inner, "Name": "child"},
        }
        outer = laptop.start(only(state))
        until(lambda: "TaskSubmitted" in laptop.types(outer))
        laptop.api.stop_execution(executionArn=outer)
        assert laptop.end(inner.replace("stateMachine", "execution") + ":child")["status"] == "ABORTED"


class TestErrors:
    def test_retries_are_counted_per_retrier_before_a_catch(self, laptop: Laptop, fast: None) -> None:
        names = ["KeyError", "ValueError", "KeyError", "ValueError", "KeyError"]
        counts: list[int] = []

        def fails(given: Any) -> Any:
            counts.append(given)
            raise {"KeyError": KeyError, "ValueError": ValueError}[names[len(counts) - 1]]("x")

        laptop.functions.by_name["fails"] = fails
        state = task(
            "fails",
            Retry=[
                {"ErrorEquals": ["KeyError"], "IntervalSeconds": 1, "MaxAttempts": 2, "BackoffRate": 1.0},
                {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxDelaySeconds": 1, "JitterStrategy": "FULL"},
            ],
        )
        state["Parameters"]["Payload.$"] = "$$.State.RetryCount"
        state["Catch"] = [
            {"ErrorEquals": ["ValueError"], "Next": "Wrong"},
            {"ErrorEquals": ["States.TaskFailed"], "ResultPath": "$.error", "Next": "Caught"},
        ]
        machine = only(state)
        machine["States"] |= {
            name: {"Type": "Pass", "Result": name, "ResultPath": "$.by", "End": True} for name in ("Wrong", "Caught")
        }
        found = laptop.output(machine, {"kept": 1})
        assert (found["kept"], found["by"], found["error"]["Error"]) == (1, "Caught", "KeyError")
        assert counts == [0, 1, 2, 3, 4]

    def test_the_delay_grows_up_to_its_limit(self) -> None:
        retrier = {"IntervalSeconds": 2, "BackoffRate": 3.0, "MaxDelaySeconds": 30}
        assert [backoff(retrier, done) for done in range(4)] == [2, 6, 18, 30]
        assert all(0 <= backoff(retrier | {"JitterStrategy": "FULL"}, 2) <= 18 for _ in range(50))

    def test_a_slow_task_times_out_and_task_failed_does_not_match_it(self, laptop: Laptop, fast: None) -> None:
        done = threading.Event()
        laptop.functions.by_name["slow"] = lambda given: done.wait(10)
        fixed = task("slow", TimeoutSeconds=1)
        by_path = task("slow", TimeoutSecondsPath="$.t")
        execution = laptop.start(only(fixed))
        assert laptop.end(execution)["error"] == "States.Timeout"
        assert "TaskTimedOut" in laptop.types(execution)
        assert laptop.run(caught(only(fixed), "States.TaskFailed"))["status"] == "FAILED"
        assert laptop.output(caught(only(by_path), "States.Timeout"), {"t": 1}) == {"Error": "States.Timeout"}
        assert laptop.run(only(by_path), {"t": "x"})["error"] == "States.Runtime"
        done.set()

    def test_a_machine_over_its_time_is_timed_out_past_every_catch(self, laptop: Laptop, fast: None) -> None:
        branches = [{"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 900, "End": True}}}]
        machine = caught(only({"Type": "Parallel", "Branches": branches}, TimeoutSeconds=2), "States.ALL")
        execution = laptop.start(machine)
        found = laptop.end(execution)
        assert found["status"] == "TIMED_OUT" and "error" not in found
        assert laptop.types(execution)[-1] == "ExecutionTimedOut"
        assert [event["detail"]["status"] for event in laptop.events] == ["RUNNING", "TIMED_OUT"]


class TestTokens:
    def waiting(self, laptop: Laptop, **more: Any) -> tuple[str, str]:
        """An execution that waits for its token, and the token."""
        tokens: list[str] = []
        laptop.functions.by_name["hand-over"] = lambda given: tokens.append(given["token"])
        state = {
            "Type": "Task",
            "Resource": f"{LAMBDA}.waitForTaskToken",
            "Parameters": {"FunctionName": "hand-over", "Payload": {"token.$": "$$.Task.Token"}},
            **more,
        }
        execution = laptop.start(caught(only(state), "States.HeartbeatTimeout"))
        until(lambda: tokens)
        return execution, tokens[0]

    def test_a_token_brings_the_output_once(self, laptop: Laptop) -> None:
        execution, token = self.waiting(laptop)
        laptop.api.send_task_success(taskToken=token, output='{"done": true}')
        assert json.loads(laptop.end(execution)["output"]) == {"done": True}
        assert laptop.types(execution)[2:6] == ["TaskScheduled", "TaskStarted", "TaskSubmitted", "TaskSucceeded"]
        with pytest.raises(ClientError) as used:
            laptop.api.send_task_success(taskToken=token, output="{}")
        with pytest.raises(ClientError) as wrong:
            laptop.api.send_task_heartbeat(taskToken="made-up")
        assert (code_of(used), code_of(wrong)) == ("TaskTimedOut", "InvalidToken")

    def test_a_token_brings_a_failure_and_bad_output_is_refused(self, laptop: Laptop) -> None:
        execution, token = self.waiting(laptop)
        with pytest.raises(ClientError) as bad:
            laptop.api.send_task_success(taskToken=token, output="not json")
        assert code_of(bad) == "InvalidOutput"
        laptop.api.send_task_failure(taskToken=token, error="Broken", cause="why")
        found = laptop.end(execution)
        assert (found["error"], found["cause"]) == ("Broken", "why")

    def test_what_was_started_before_the_resumption_goes_on_with_its_token(self, laptop: Laptop) -> None:
        execution, token = self.waiting(laptop)
        laptop.service.resume()
        laptop.api.send_task_success(taskToken=token, output="{}")
        assert laptop.end(execution)["status"] == "SUCCEEDED"
        assert laptop.types(execution).count("ExecutionStarted") == 1

    def test_heartbeats_keep_a_task_alive_until_they_stop(self, laptop: Laptop, fast: None) -> None:
        execution, token = self.waiting(laptop, HeartbeatSeconds=80, TimeoutSeconds=900)
        began = clock.now()
        while clock.now() < began + 85:
            laptop.api.send_task_heartbeat(taskToken=token)
            time.sleep(0.02)
        assert json.loads(laptop.end(execution)["output"]) == {"Error": "States.Timeout"}
        with pytest.raises(ClientError) as late:
            laptop.api.send_task_success(taskToken=token, output="{}")
        assert code_of(late) == "TaskTimedOut"

    def test_stopping_the_execution_voids_the_token(self, laptop: Laptop) -> None:
        execution, token = self.waiting(laptop)
        laptop.api.stop_execution(executionArn=execution, error="Enough", cause="told to")
        found = laptop.end(execution)
        assert (found["status"], found["error"], found["cause"]) == ("ABORTED", "Enough", "told to")
        until(lambda: not laptop.service._runs.tokens._waiting)
        with pytest.raises(ClientError) as void:
            laptop.api.send_task_success(taskToken=token, output="{}")
        assert code_of(void) == "TaskTimedOut"


WAITS = only({"Type": "Wait", "Seconds": 3600})
PASSES = only({"Type": "Pass"})


class TestExecutions:
    def test_a_running_name_with_the_same_input_is_the_same_execution(self, laptop: Laptop) -> None:
        arn = laptop.create(WAITS)
        first = laptop.api.start_execution(stateMachineArn=arn, name="job", input='{"a":1}')
        again = laptop.api.start_execution(stateMachineArn=arn, name="job", input='{"a":1}')
        assert (again["executionArn"], again["startDate"]) == (first["executionArn"], first["startDate"])
        with pytest.raises(ClientError) as other:
            laptop.api.start_execution(stateMachineArn=arn, name="job", input='{"a": 1}')
        assert code_of(other) == "ExecutionAlreadyExists"
        assert [event["detail"]["status"] for event in laptop.events] == ["RUNNING"]

    def test_a_closed_name_is_free_after_90_days(self, laptop: Laptop) -> None:
        arn = laptop.create(PASSES)
        execution = laptop.api.start_execution(stateMachineArn=arn, name="job")["executionArn"]
        laptop.end(execution)
        with pytest.raises(ClientError) as taken:
            laptop.api.start_execution(stateMachineArn=arn, name="job")
        assert code_of(taken) == "ExecutionAlreadyExists"
        with laptop.state.transaction() as db:
            db.execute("UPDATE sfn_execution SET stopped = stopped - 91 * 86400, started = 0")
        assert laptop.api.start_execution(stateMachineArn=arn, name="job")["executionArn"] == execution
        assert laptop.end(execution)["startDate"].year > 1970

    def test_names_aws_refuses_are_refused(self, laptop: Laptop) -> None:
        arn = laptop.create(PASSES)
        for name in [*(f"a{mark}b" for mark in '<>{}[]?*"#%\\^|~`$&,;:/ \t\x7f\x9f'), "x" * 81]:
            with pytest.raises(ClientError) as refused:
                laptop.api.start_execution(stateMachineArn=arn, name=name)
            assert code_of(refused) == "InvalidName", name
        assert laptop.api.start_execution(stateMachineArn=arn, name="a-b_c.d'é+=!@()")

    def test_bad_input_is_refused(self, laptop: Laptop) -> None:
        arn = laptop.create(PASSES)
        for text in ["not json", "", "{'a': 1}", "NaN", json.dumps("x" * 262_144), "[" * 100_000]:
            with pytest.raises(ClientError) as refused:
                laptop.api.start_execution(stateMachineArn=arn, input=text)
            assert code_of(refused) == "InvalidExecutionInput", text[:20]

    def test_every_status_change_is_told_to_eventbridge(self, laptop: Laptop) -> None:
        execution = laptop.start(PASSES, {"a": 1}, name="told")
        laptop.end(execution)
        running, ended = laptop.events
        assert (running["source"], running["detail-type"]) == ("aws.states", "Step Functions Execution Status Change")
        assert ended["resources"] == [execution]
        detail = ended["detail"]
        assert (detail["executionArn"], detail["name"], detail["status"]) == (execution, "told", "SUCCEEDED")
        assert json.loads(detail["input"]) == json.loads(detail["output"]) == {"a": 1}
        assert isinstance(detail["startDate"], int) and detail["stopDate"] >= detail["startDate"]
        assert (running["detail"]["stopDate"], running["detail"]["output"]) == (None, None)

    def test_an_event_that_cannot_be_stored_undoes_the_start(
        self, laptop: Laptop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        arn = laptop.create(PASSES)

        def refuse(event: dict[str, Any]) -> None:
            raise AwsError("InternalFailure", "no", 500)

        monkeypatch.setattr(laptop.service._runs, "_emit", refuse)
        with pytest.raises(ClientError):
            laptop.api.start_execution(stateMachineArn=arn)
        assert laptop.api.list_executions(stateMachineArn=arn)["executions"] == []

    def test_executions_are_listed_newest_first_by_status_and_page(self, laptop: Laptop) -> None:
        arn = laptop.create(WAITS)
        names = [f"n{place}" for place in range(5)]
        for name in names:
            execution = laptop.api.start_execution(stateMachineArn=arn, name=name)["executionArn"]
        laptop.api.stop_execution(executionArn=execution)
        pages = laptop.api.get_paginator("list_executions").paginate(
            stateMachineArn=arn, statusFilter="RUNNING", PaginationConfig={"PageSize": 3}
        )
        assert [[row["name"] for row in page["executions"]] for page in pages] == [["n3", "n2", "n1"], ["n0"]]
        for token in ("x", base64.b64encode(b"[" * 1500).decode()):
            with pytest.raises(ClientError) as refused:
                laptop.api.list_executions(stateMachineArn=arn, nextToken=token)
            assert code_of(refused) == "InvalidToken"

    def test_the_history_is_linked_paged_and_reversible(self, laptop: Laptop) -> None:
        execution = laptop.start(PASSES, {"a": 1})
        laptop.end(execution)
        pages = laptop.api.get_paginator("get_execution_history").paginate(
            executionArn=execution, PaginationConfig={"PageSize": 3}
        )
        events = [event for page in pages for event in page["events"]]
        links = [(event["id"], event["previousEventId"], event["type"]) for event in events]
        assert links == [
            (1, 0, "ExecutionStarted"),
            (2, 0, "PassStateEntered"),
            (3, 2, "PassStateExited"),
            (4, 3, "ExecutionSucceeded"),
        ]
        assert events[0]["executionStartedEventDetails"]["roleArn"] == ROLE
        assert json.loads(events[2]["stateExitedEventDetails"]["output"]) == {"a": 1}
        backwards = laptop.api.get_execution_history(
            executionArn=execution, reverseOrder=True, includeExecutionData=False
        )["events"]
        assert [event["id"] for event in backwards] == [4, 3, 2, 1]
        assert "output" not in backwards[1]["stateExitedEventDetails"]

    def test_what_ran_at_a_stop_runs_again_from_its_input(self, laptop: Laptop) -> None:
        inputs: list[Any] = []
        release = threading.Event()

        def work(given: Any) -> Any:
            inputs.append(given)
            release.wait(10)
            return len(inputs)

        laptop.functions.by_name["work"] = work
        execution = laptop.start(only(task("work", OutputPath="$.Payload")), {"a": 1}, name="job")
        until(lambda: inputs)
        laptop.service.stop()
        assert laptop.api.describe_execution(executionArn=execution)["status"] == "RUNNING"
        laptop.boot()
        laptop.service.resume()
        until(lambda: len(inputs) == 2)
        release.set()
        assert json.loads(laptop.end(execution)["output"]) == 2
        assert inputs == [{"a": 1}, {"a": 1}]
        assert laptop.types(execution).count("ExecutionStarted") == 1
        assert [event["detail"]["status"] for event in laptop.events] == ["RUNNING", "SUCCEEDED"]

    def test_many_waiting_executions_stop_quickly(self, laptop: Laptop) -> None:
        arn = laptop.create(WAITS)
        for _ in range(200):
            laptop.api.start_execution(stateMachineArn=arn)
        began = time.monotonic()
        laptop.service.stop()
        assert time.monotonic() - began < 2
        assert not [thread for thread in threading.enumerate() if thread.name == "states-execution"]


class TestMachines:
    def test_a_machine_is_created_once_updated_and_described(self, laptop: Laptop) -> None:
        arn = laptop.create(PASSES, "mine")
        assert laptop.create(PASSES, "mine") == arn
        with pytest.raises(ClientError) as other:
            laptop.create(WAITS, "mine")
        assert code_of(other) == "StateMachineAlreadyExists"
        running = laptop.api.start_execution(stateMachineArn=arn, name="old")["executionArn"]
        laptop.api.update_state_machine(stateMachineArn=arn, definition=json.dumps(WAITS))
        found = laptop.api.describe_state_machine(stateMachineArn=arn)
        assert (found["status"], found["type"], json.loads(found["definition"])) == ("ACTIVE", "STANDARD", WAITS)
        kept = laptop.api.describe_state_machine_for_execution(executionArn=running)
        assert (kept["name"], json.loads(kept["definition"])) == ("mine", PASSES)
        with pytest.raises(ClientError) as nothing:
            laptop.api.update_state_machine(stateMachineArn=arn)
        assert code_of(nothing) == "MissingRequiredParameter"

    def test_a_deleted_machine_ends_its_executions_at_their_next_transition(self, laptop: Laptop) -> None:
        go = threading.Event()
        laptop.functions.by_name["held"] = lambda given: go.wait(10)
        machine = {"StartAt": "A", "States": {"A": {**task("held"), "Next": "B"}, "B": {"Type": "Pass", "End": True}}}
        arn = laptop.create(machine, "gone")
        execution = laptop.api.start_execution(stateMachineArn=arn)["executionArn"]
        until(lambda: laptop.functions.callers)
        laptop.api.delete_state_machine(stateMachineArn=arn)
        assert laptop.api.describe_state_machine(stateMachineArn=arn)["status"] == "DELETING"
        with pytest.raises(ClientError) as refused:
            laptop.api.start_execution(stateMachineArn=arn)
        assert code_of(refused) == "StateMachineDeleting"
        go.set()
        assert laptop.end(execution)["status"] == "ABORTED"
        with pytest.raises(ClientError) as missing:
            laptop.api.describe_state_machine(stateMachineArn=arn)
        assert code_of(missing) == "StateMachineDoesNotExist"

    def test_tags_and_lists(self, laptop: Laptop) -> None:
        arns = [laptop.create(PASSES, f"m{place}") for place in range(3)]
        pages = laptop.api.get_paginator("list_state_machines").paginate(PaginationConfig={"PageSize": 2})
        assert [item["stateMachineArn"] for page in pages for item in page["stateMachines"]] == arns
        laptop.api.tag_resource(resourceArn=arns[0], tags=[{"key": "a", "value": "1"}, {"key": "b", "value": "2"}])
        laptop.api.untag_resource(resourceArn=arns[0], tagKeys=["a"])
        assert laptop.api.list_tags_for_resource(resourceArn=arns[0])["tags"] == [{"key": "b", "value": "2"}]

    def test_the_host_keeps_a_machine_up_to_date(self, laptop: Laptop) -> None:
        properties = {"TracingConfiguration": {"Enabled": True}, "Tags": [{"Key": "k", "Value": "v"}]}
        arn = laptop.service.ensure_state_machine("hosted", PASSES, ROLE, properties)
        assert laptop.api.describe_state_machine(stateMachineArn=arn)["tracingConfiguration"] == {"enabled": True}
        assert laptop.service.ensure_state_machine("hosted", WAITS, ROLE, {}) == arn
        found = laptop.api.describe_state_machine(stateMachineArn=arn)
        assert (json.loads(found["definition"]), found["tracingConfiguration"]) == (WAITS, {"enabled": False})
        with pytest.raises(AwsError, match="InvalidDefinition"):
            laptop.service.ensure_state_machine("hosted", {"StartAt": "x", "States": {}}, ROLE, {})

    def test_what_is_not_offered_says_so(self, laptop: Laptop) -> None:
        with pytest.raises(ClientError) as express:
            laptop.api.create_state_machine(name="e", definition=json.dumps(PASSES), roleArn=ROLE, type="EXPRESS")
        with pytest.raises(ClientError) as publish:
            laptop.api.create_state_machine(name="e", definition=json.dumps(PASSES), roleArn=ROLE, publish=True)
        with pytest.raises(ClientError) as activity:
            laptop.api.create_activity(name="a")
        assert [code_of(error) for error in (express, publish, activity)] == [
            "StateMachineTypeNotSupported",
            "ValidationException",
            "UnknownOperationException",
        ]

    @pytest.mark.parametrize(
        ("machine", "said"),
        [
            ({}, "These fields are required: [States, StartAt]"),
            (only({"Type": "Pause"}), "not one of the allowed state types"),
            ({"StartAt": "No", "States": PASSES["States"]}, "Missing 'Next' target: No at /StartAt"),
            (only({"Type": "Pass", "Next": "No"}), "MISSING_TRANSITION_TARGET: Missing 'Next' target: No"),
            (caught(only({"Type": "Pass"}), "E"), "Field is not supported at /States/Only/Catch"),
            ({**PASSES, "States": {**PASSES["States"], "Lost": {"Type": "Succeed"}}}, 'State "Lost" is not reachable.'),
            (only({"Type": "Pass", "InputPath": "a.b"}), "not a valid JSONPath"),
            (only({"Type": "Pass", "ResultPath": "$.a[*]"}), "not a Reference Path"),
            (only({"Type": "Pass", "Parameters": {"a.$": "States.Nope($)"}}), "must be a valid JSONPath or"),
            (only({"Type": "Pass", "Parameters": {"a.$": "States.Format('\\\"')"}}), "'a.$' must be a valid JSONPath"),
            ({**PASSES, "QueryLanguage": "JSONata"}, "JSONPath only, not in JSONata"),
            (only({"Type": "Pass", "QueryLanguage": "JSONata"}), "JSONPath only, not in JSONata"),
            (only({"Type": "Task", "Resource": "arn:aws:states:::sqs:nothing"}), "no optimised integration"),
            (only({"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:sqs:nothing"}), "names no action"),
            (only(task("f", Retry=[{"ErrorEquals": ["States.ALL", "E"]}])), "States.ALL must appear alone"),
            (only(task("f", TimeoutSeconds=5, HeartbeatSeconds=5)), "HeartbeatSeconds must be smaller"),
            (only({"Type": "Map", "ItemReader": {}, "ItemProcessor": PASSES}), "does not offer items read from S3"),
            (only({"Type": "Wait"}), "exactly one of Seconds"),
            (only({"Type": "Wait", "Timestamp": "today"}), "RFC 3339"),
            (
                only({"Type": "Task", "Resource": f"{SQS}:sendMessage", "Parameters": {"messageBody": "x"}}),
                'The field "messageBody" is not supported by Step Functions',
            ),
        ],
    )  # fmt: skip
    def test_a_wrong_definition_is_told_in_a_sentence(self, machine: Definition, said: str) -> None:
        assert any(said in str(problem) for problem in definition.problems(json.dumps(machine)))

    def test_a_wrong_definition_is_refused_over_the_wire(self, laptop: Laptop) -> None:
        wrong = only({"Type": "Pass", "Next": "No"})
        with pytest.raises(ClientError) as refused:
            laptop.create(wrong)
        told = "MISSING_TRANSITION_TARGET: Missing 'Next' target: No at /States/Only/Next"
        assert refused.value.response["Error"]["Code"] == "InvalidDefinition"
        assert refused.value.response["Error"]["Message"] == f"Invalid State Machine Definition: '{told}'"
        checked = laptop.api.validate_state_machine_definition(definition=json.dumps(wrong))
        assert (checked["result"], checked["diagnostics"][0]["code"]) == ("FAIL", "MISSING_TRANSITION_TARGET")
        assert laptop.api.validate_state_machine_definition(definition=json.dumps(PASSES))["result"] == "OK"

    @given(
        st.recursive(
            st.none() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "StartAt",
                            "States",
                            "A",
                            "Type",
                            "Choices",
                            "Catch",
                            "Retry",
                            "Branches",
                            "ItemProcessor",
                            "Next",
                        ]
                    ),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=20,
        )
    )
    def test_no_json_breaks_the_check(self, found: Any) -> None:
        definition.problems(json.dumps(found))
        for kind in ("Task", "Choice", "Wait", "Map", "Parallel", "Fail"):
            state = found if isinstance(found, dict) else {"Choices": found, "Branches": found, "Catch": found}
            assert (
                definition.problems(json.dumps({"StartAt": "A", "States": {"A": {**state, "Type": kind}}})) is not None
            )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def call(text: str, document: Any = None) -> Any:
    return intrinsics.evaluate(intrinsics.parse(text), document, {"x": 1})


class TestPaths:
    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            ("$", {"a": {"b-c": [1, 2, 3]}, "d": [{"e": 1}, {"e": 2}]}),
            ("$.a['b-c'][0]", 1),
            ('$["a"].b-c[-1]', 3),
            ("$.a.b-c[1:]", [2, 3]),
            ("$.d[*].e", [1, 2]),
            ("$..e", [1, 2]),
            ("$.a['b-c'][0,2]", [1, 3]),
            ("$.no[*].e", []),
            ("$.*[0]", [{"e": 1}]),
            ("$$.x", 1),
        ],
    )
    def test_paths_find_what_they_say(self, path: str, expected: Any) -> None:
        document = {"a": {"b-c": [1, 2, 3]}, "d": [{"e": 1}, {"e": 2}]}
        assert jsonpath.read(jsonpath.parse(path), document, {"x": 1}) == expected

    @pytest.mark.parametrize("path", ["", "a", "$.", "$.a[", "$.a[x]", "$a", "$.a b", "$.a[?(@.b)]", "$..", "$.a[1,]"])
    def test_what_is_no_path_is_refused(self, path: str) -> None:
        with pytest.raises(jsonpath.PathSyntaxError):
            jsonpath.parse(path)

    @given(JSON, st.lists(st.text(max_size=4), min_size=1, max_size=4), JSON)
    def test_what_is_written_is_read_again(self, document: Any, names: list[str], value: Any) -> None:
        quoted = [name.replace("\\", "\\\\").replace("'", "\\'") for name in names]
        path = jsonpath.parse("$" + "".join(f"['{name}']" for name in quoted))
        try:
            written = jsonpath.write(path, document, value)
        except jsonpath.PathError:
            return
        assert jsonpath.read(path, written, None) == value

    @given(st.lists(st.integers()), st.none() | st.integers(-6, 6), st.none() | st.integers(-6, 6))
    def test_slices_are_pythons(self, items: list[int], first: int | None, last: int | None) -> None:
        text = f"$[{'' if first is None else first}:{'' if last is None else last}]"
        assert jsonpath.read(jsonpath.parse(text), items, None) == items[first:last]

    @given(JSON)
    def test_deep_wildcards_find_every_value_once(self, document: Any) -> None:
        def count(value: Any) -> int:
            inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
            return sum(1 + count(item) for item in inner)

        assert len(jsonpath.read(jsonpath.parse("$..*"), document, None)) == count(document)

    @given(st.text(alphabet="ab*\\", max_size=8))
    def test_a_pattern_with_its_wildcards_escaped_matches_itself_only(self, text: str) -> None:
        escaped = text.replace("\\", "\\\\").replace("*", "\\*")
        pattern = choice.wildcard(escaped)
        assert pattern.fullmatch(text) and not pattern.fullmatch(text + "a")
        assert choice.wildcard(escaped + "*").fullmatch(text + "\nanything")


class TestIntrinsics:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("States.Format('{} of {}: \\'{}\\' \\{\\}', 1, $.n, $.o)", "1 of 2.5: '{a=[1, null]}' {}"),
            ("States.ArrayRange(1, 9, 2)", [1, 3, 5, 7, 9]),
            ("States.ArrayRange(3, 1, -1)", [3, 2, 1]),
            ("States.MathAdd($.n, 0)", 3),
            ("States.MathAdd(-1.5, 0)", -1),
            ("States.StringSplit('This.is+a,test', '.+,')", ["This", "is", "a", "test"]),
            ("States.ArrayUnique(States.Array(1, 1.0, true, 1))", [1, 1.0, True]),
            ("States.ArrayContains(States.Array(1, $.o), $.o)", True),
            ("States.ArrayContains(States.Array(1), true)", False),
            ('States.JsonMerge($.o, States.StringToJson(\'{"a": 2, "b": 3}\'), false)', {"a": 2, "b": 3}),
            ("States.Hash('input data', 'SHA-1')", "aaff4a450a104cd177d28d18d74485e8cae074b7"),
            ("States.ArrayGetItem(States.StringSplit('a/b', '/'), 1)", "b"),
            ("States.ArrayLength($.o.a)", 2),
            ("States.JsonToString($.o)", '{"a":[1,null]}'),
            ("States.ArrayPartition(States.Array(1,2,3), 2)", [[1, 2], [3]]),
            ("States.Format('{}', $$.x)", "1"),
        ],
    )
    def test_functions_do_as_aws_documents_or_was_seen_to_do(self, text: str, expected: Any) -> None:
        assert intrinsics.canonical(call(text, {"n": 2.5, "o": {"a": [1, None]}})) == intrinsics.canonical(expected)

    @pytest.mark.parametrize(
        "text",
        [
            "States.Format('{}')",
            "States.Format('{', 1)",
            "States.ArrayGetItem(States.Array(1), 1)",
            "States.ArrayRange(1, 2, 0)",
            "States.ArrayRange(1, 2000, 1)",
            "States.ArrayLength('a')",
            "States.StringToJson('{')",
            "States.Base64Decode('?')",
            "States.Hash('a', 'SHA-3')",
            "States.JsonMerge($, $, true)",
            "States.MathRandom(2, 2)",
            "States.MathAdd(true, 1)",
            "States.ArrayPartition(States.Array(1), 0)",
            "States.Format($.no)",
        ],
    )
    def test_wrong_arguments_are_errors(self, text: str) -> None:
        with pytest.raises(jsonpath.PathError):
            call(text, {})

    def test_more_than_ten_nested_functions_are_refused(self) -> None:
        assert intrinsics.parse("States.Array(" * 10 + ")" * 10)
        with pytest.raises(jsonpath.PathSyntaxError):
            intrinsics.parse("States.Array(" * 11 + ")" * 11)

    @given(st.text(max_size=20))
    def test_a_quoted_text_and_base64_round_trip(self, text: str) -> None:
        quoted = "".join(f"\\{mark}" if mark in "'\\{}" else mark for mark in text)
        assert call(f"States.ArrayGetItem(States.Array('{quoted}'), 0)") == text
        assert call(f"States.Format('{quoted}')") == text
        assert call("States.Base64Decode(States.Base64Encode($))", text) == text
        assert call("States.Base64Encode($)", text) == base64.b64encode(text.encode()).decode()

    @given(JSON)
    def test_json_round_trips_through_text(self, value: Any) -> None:
        assert call("States.StringToJson(States.JsonToString($))", value) == value

    @given(st.lists(JSON, max_size=8), st.integers(1, 4))
    def test_partitions_join_to_the_array_and_unique_keeps_first_ones(self, items: list[Any], size: int) -> None:
        parts = call(f"States.ArrayPartition($, {size})", items)
        assert [item for part in parts for item in part] == items
        assert all(len(part) == size for part in parts[:-1])
        unique = call("States.ArrayUnique($)", items)
        seen: list[str] = []
        for item in items:
            if intrinsics.canonical(item) not in seen:
                seen.append(intrinsics.canonical(item))
        assert [intrinsics.canonical(item) for item in unique] == seen

    @given(st.integers(-100, 100), st.integers(1, 100), st.integers(0, 9))
    def test_random_numbers_are_in_range_and_repeat_with_their_seed(self, start: int, width: int, seed: int) -> None:
        text = f"States.MathRandom({start}, {start + width}, {seed})"
        assert start <= call(text) < start + width and call(text) == call(text)


class TestResources:
    @pytest.mark.parametrize(
        ("service", "boto_name", "prefix"),
        [
            ("bedrockruntime:getAsyncInvoke", "bedrock-runtime", "BedrockRuntime"),
            ("sfn:startExecution", "stepfunctions", "Sfn"),
            ("cloudwatchlogs:putLogEvents", "logs", "CloudWatchLogs"),
            ("dynamodb:getItem", "dynamodb", "DynamoDb"),
            ("s3vectors:putVectors", "s3vectors", "S3Vectors"),
            ("eventbridge:putEvents", "events", "EventBridge"),
        ],
    )
    def test_sdk_names_lead_to_botos_services(self, service: str, boto_name: str, prefix: str) -> None:
        found = resources.parse_resource(f"arn:aws:states:::aws-sdk:{service}")
        assert (found.service, resources.prefix(resources.service_model(boto_name))) == (boto_name, prefix)

    @pytest.mark.parametrize(
        "name", ["logs:putLogEvents", "bedrockruntime:converseStream", "sqs:SendMessage", "no:thing"]
    )
    def test_names_aws_does_not_know_are_refused(self, name: str) -> None:
        with pytest.raises(resources.ResourceError):
            resources.parse_resource(f"arn:aws:states:::aws-sdk:{name}")

    def test_sizes_are_of_utf_8(self) -> None:
        payload.check_size("x" * payload.MAX_BYTES, "It")
        with pytest.raises(payload.StateFailure):
            payload.check_size("é" * (payload.MAX_BYTES // 2 + 1), "It")


def test_the_states_tables_hold_executions_after_a_reopen(tmp_path: Path) -> None:
    state = State(tmp_path)
    clients = Clients("http://127.0.0.1:9", Keyring(tmp_path))
    service = StepFunctions(state, clients, lambda event: None)
    arn = service.ensure_state_machine("kept", WAITS, ROLE, {})
    service.operations["StartExecution"]({"stateMachineArn": arn, "name": "x"}, Caller("me"))
    service.stop()
    state.close()
    state = State(tmp_path)
    service = StepFunctions(state, clients, lambda event: None)
    listed = service.operations["ListExecutions"]({"stateMachineArn": arn}, Caller("me"))["executions"]
    assert [(row["name"], row["status"]) for row in listed] == [("x", "RUNNING")]
    service.resume()
    service.stop()
    state.close()

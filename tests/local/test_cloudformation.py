"""CloudFormation as boto3 users know it: stacks come, change and go, and say why they did not."""

import io
import json
import shutil
import sqlite3
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local.app import synthesize
from local.issuer import Issuer
from local.laptop import Laptop, Settings
from local.stack.stacks import Stacks
from local.stack.template import TemplateError

Json = dict[str, Any]

QUEUE = {"Type": "AWS::SQS::Queue"}
TRUST = {"Service": ["lambda.amazonaws.com", "states.amazonaws.com"]}
MAY_TAKE = {"Effect": "Allow", "Principal": TRUST, "Action": "sts:AssumeRole"}
MAY_POLL = {"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}
IAM = ["CAPABILITY_IAM"]


def policy(*statements: Json) -> Json:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def role(*statements: Json, **properties: Any) -> Json:
    policies = [{"PolicyName": "own", "PolicyDocument": policy(*statements)}] if statements else []
    whole = {"AssumeRolePolicyDocument": policy(MAY_TAKE), "Policies": policies, **properties}
    return {"Type": "AWS::IAM::Role", "Properties": whole}


ROLE = role(MAY_POLL)


def queue(**properties: Any) -> Json:
    return {"Type": "AWS::SQS::Queue", "Properties": properties}


def function(code: str, **properties: Any) -> Json:
    whole = {"Code": {"ZipFile": code}, "Handler": "index.handler", "Runtime": "python3.13", **properties}
    return {"Type": "AWS::Lambda::Function", "Properties": {"Role": {"Fn::GetAtt": ["Role", "Arn"]}, **whole}}


def index(name: str | None, dimension: int, **more: Any) -> Json:
    properties = {
        "VectorBucketArn": {"Fn::GetAtt": "Vectors.VectorBucketArn"},
        "DataType": "float32",
        "Dimension": dimension,
        "DistanceMetric": "cosine",
        **({"IndexName": name} if name else {}),
    }
    return {"Type": "AWS::S3Vectors::Index", "Properties": properties, **more}


def resource(kind: str, **properties: Any) -> Json:
    return {"Type": f"AWS::{kind}", "Properties": properties}


def api(*functions: str, **route: Any) -> Json:
    """An HTTP API with a route `GET /<function>` to each of the functions of these logical ids."""
    made = {"Api": resource("ApiGatewayV2::Api", Name="door", ProtocolType="HTTP")}
    for name in functions:
        made[f"Way{name}"] = resource(
            "ApiGatewayV2::Integration",
            ApiId={"Ref": "Api"},
            IntegrationType="AWS_PROXY",
            IntegrationUri={"Fn::GetAtt": [name, "Arn"]},
            PayloadFormatVersion="2.0",
        )
        made[f"Route{name}"] = resource(
            "ApiGatewayV2::Route",
            ApiId={"Ref": "Api"},
            RouteKey=f"GET /{name}",
            Target={"Fn::Sub": f"integrations/${{Way{name}}}"},
            **route,
        )
    return made


def may_invoke(function: str) -> Json:
    principal = "apigateway.amazonaws.com"
    return resource(
        "Lambda::Permission", Action="lambda:InvokeFunction", FunctionName={"Ref": function}, Principal=principal
    )


def mapping(queue: str, function: str) -> Json:
    return resource(
        "Lambda::EventSourceMapping",
        EventSourceArn={"Fn::GetAtt": [queue, "Arn"]},
        FunctionName={"Ref": function},
    )


@dataclass
class Somebody:
    """Somebody with the laptop's address."""

    endpoint: str

    def __post_init__(self) -> None:
        self.client = cache(self._client)
        self.stacks = self.client("cloudformation")

    def _client(self, service: str) -> Any:
        return boto3.Session("local", "local", region_name="us-east-1").client(service, endpoint_url=self.endpoint)

    def deploy(self, name: str, resources: Json, *, expects: str = "COMPLETE", **more: Any) -> Json:
        """By a change set, as the CDK does; the stack once it is at rest."""
        there = self.status(name)
        kind = "CREATE" if there in (None, "REVIEW_IN_PROGRESS") else "UPDATE"
        template = {"Resources": resources, **more.pop("template", {})}
        self.stacks.create_change_set(
            StackName=name, ChangeSetName="c", ChangeSetType=kind, TemplateBody=json.dumps(template), Capabilities=IAM,
            **more,
        )  # fmt: skip
        self.stacks.execute_change_set(StackName=name, ChangeSetName="c")
        found = self.at_rest(name)
        assert found["StackStatus"] == f"{kind}_{expects}", (found, self.events(name))
        return found

    def status(self, name: str) -> str | None:
        try:
            return str(self.stacks.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])
        except ClientError:
            return None

    def at_rest(self, name: str) -> Json:
        deadline = time.monotonic() + 60
        while True:
            (found,) = self.stacks.describe_stacks(StackName=name)["Stacks"]
            if not found["StackStatus"].endswith("_IN_PROGRESS"):
                return dict(found)
            assert time.monotonic() < deadline, found
            time.sleep(0.01)

    def delete(self, name: str, **more: Any) -> Json:
        """The stack as it is after its end, or after the failure."""
        (found,) = self.stacks.describe_stacks(StackName=name)["Stacks"]
        self.stacks.delete_stack(StackName=name, **more)
        return self.at_rest(found["StackId"])

    def events(self, name: str) -> list[tuple[str, str, str]]:
        """(logical id, status, reason), the oldest first."""
        pages = self.stacks.get_paginator("describe_stack_events").paginate(StackName=name)
        events = [event for page in pages for event in page["StackEvents"]]
        return [
            (event["LogicalResourceId"], event["ResourceStatus"], event.get("ResourceStatusReason", ""))
            for event in reversed(events)
        ]

    def since(self, name: str, before: int) -> list[tuple[str, str]]:
        """What happened to resources after the first `before` events."""
        return [(who, status) for who, status, _ in self.events(name)[before:] if who != name]

    def physical_ids(self, name: str) -> dict[str, str]:
        pages = self.stacks.get_paginator("list_stack_resources").paginate(StackName=name)
        found = [one for page in pages for one in page["StackResourceSummaries"]]
        return {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in found}

    def queues(self, prefix: str) -> list[str]:
        return [str(url) for url in self.client("sqs").list_queues(QueueNamePrefix=prefix).get("QueueUrls", [])]

    def invoke(self, name: str, event: Any) -> Any:
        return json.load(self.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))["Payload"])


@contextmanager
def laptop(data: Path, assembly: Path | None = None) -> Iterator[Somebody]:
    running = Laptop(Settings(assembly, data, data / "layers", aws_port=0, port=0))
    try:
        yield Somebody(running.start()["AwsEndpointUrl"])
    finally:
        running.stop()


def assembly(folder: Path, resources: Json) -> Path:
    """A cloud assembly with one stack, App."""
    folder.mkdir()
    artifact = {
        "type": "aws:cloudformation:stack",
        "environment": "aws://unknown-account/us-east-1",
        "properties": {"templateFile": "T.json"},
    }
    (folder / "manifest.json").write_text(json.dumps({"artifacts": {"App": artifact}}))
    (folder / "T.json").write_text(json.dumps({"Resources": resources}))
    return folder


def eventually(look: Callable[[], Any]) -> Any:
    """What `look` sees, once it is not nothing."""
    deadline = time.monotonic() + 30
    while not (seen := look()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return seen


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("laptop")


@pytest.fixture(scope="module")
def somebody(data: Path) -> Iterator[Somebody]:
    with laptop(data) as user:
        yield user


@pytest.fixture
def refused() -> Callable[[Callable[[], Any]], tuple[str, str]]:
    """(code, message) of what is refused."""

    def ask(work: Callable[[], Any]) -> tuple[str, str]:
        with pytest.raises(ClientError) as error:
            work()
        return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]

    return ask


# Making one


def test_resources_are_made_in_the_order_they_need_each_other(somebody: Somebody) -> None:
    arn = {"Fn::GetAtt": ["Rejected", "Arn"]}
    resources = {
        "Work": queue(RedrivePolicy={"deadLetterTargetArn": arn, "maxReceiveCount": 3}, VisibilityTimeout=7),
        "Rejected": QUEUE,
    }
    outputs = {"Outputs": {"Url": {"Value": {"Ref": "Work"}, "Description": "of the queue"}}}
    found = somebody.deploy("order", resources, template=outputs)
    url = somebody.physical_ids("order")["Work"]
    assert found["Outputs"] == [{"OutputKey": "Url", "OutputValue": url, "Description": "of the queue"}]
    assert somebody.events("order") == [
        ("order", "CREATE_IN_PROGRESS", "User Initiated"),
        ("Rejected", "CREATE_IN_PROGRESS", ""),
        ("Rejected", "CREATE_IN_PROGRESS", "Resource creation Initiated"),
        ("Rejected", "CREATE_COMPLETE", ""),
        ("Work", "CREATE_IN_PROGRESS", ""),
        ("Work", "CREATE_IN_PROGRESS", "Resource creation Initiated"),
        ("Work", "CREATE_COMPLETE", ""),
        ("order", "CREATE_COMPLETE", ""),
    ]
    attributes = somebody.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])
    assert attributes["Attributes"]["VisibilityTimeout"] == "7"
    described = somebody.stacks.describe_stack_resources(StackName="order")["StackResources"]
    assert {one["ResourceStatus"] for one in described} == {"CREATE_COMPLETE"}
    template = somebody.stacks.get_template(StackName="order")["TemplateBody"]
    assert template == {"Resources": resources, **outputs}


def test_a_change_set_lists_what_it_would_do_before_anything_is_done(somebody: Somebody) -> None:
    somebody.stacks.create_change_set(
        StackName="listed", ChangeSetName="first", ChangeSetType="CREATE",
        TemplateBody=json.dumps({"Resources": {"Work": QUEUE}}),
    )  # fmt: skip
    assert somebody.status("listed") == "REVIEW_IN_PROGRESS"
    found = somebody.stacks.describe_change_set(StackName="listed", ChangeSetName="first")
    assert (found["Status"], found["ExecutionStatus"]) == ("CREATE_COMPLETE", "AVAILABLE")
    (change,) = found["Changes"]
    assert change["ResourceChange"]["Action"] == "Add"
    assert not somebody.queues("listed")
    somebody.stacks.delete_stack(StackName="listed")
    assert somebody.status("listed") is None


def test_a_failure_deletes_what_was_made_and_says_why(somebody: Somebody) -> None:
    resources = {"Good": QUEUE, "Bad": {**queue(DelaySeconds=901), "DependsOn": "Good"}}
    somebody.stacks.create_stack(StackName="failing", TemplateBody=json.dumps({"Resources": resources}))
    found = somebody.at_rest("failing")
    assert found["StackStatus"] == "ROLLBACK_COMPLETE"
    events = somebody.events("failing")
    why = [reason for who, status, reason in events if (who, status) == ("Bad", "CREATE_FAILED")]
    assert "DelaySeconds" in why[0]
    expected = "The following resource(s) failed to create: [Bad]. Rollback requested by user."
    assert ("failing", "ROLLBACK_IN_PROGRESS", expected) in events
    assert ("Good", "DELETE_COMPLETE", "") in events
    assert not somebody.queues("failing")


def test_something_of_the_fixed_name_that_is_there_already_is_not_taken(somebody: Somebody) -> None:
    somebody.client("s3").create_bucket(Bucket="taken-already")
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "taken-already"}}
    somebody.stacks.create_stack(StackName="taking", TemplateBody=json.dumps({"Resources": {"B": bucket}}))
    assert somebody.at_rest("taking")["StackStatus"] == "ROLLBACK_COMPLETE"
    reasons = [reason for _, status, reason in somebody.events("taking") if status == "CREATE_FAILED"]
    assert reasons == ["Resource of type 'AWS::S3::Bucket' with identifier 'taken-already' already exists."]
    somebody.client("s3").head_bucket(Bucket="taken-already")


def test_code_comes_from_an_archive_in_s3_and_parameters_choose(somebody: Somebody) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("app.py", "import os\ndef handler(event, context):\n    return os.environ['WORD']\n")
    somebody.client("s3").create_bucket(Bucket="code-of-mine")
    somebody.client("s3").put_object(Bucket="code-of-mine", Key="1.zip", Body=archive.getvalue())
    code = {"S3Bucket": "code-of-mine", "S3Key": {"Ref": "Key"}}
    speaker = function("", Code=code, Handler="app.handler", Environment={"Variables": {"WORD": {"Ref": "Word"}}})
    declared = {"Parameters": {"Key": {"Type": "String"}, "Word": {"Type": "String", "Default": "tea"}}}
    parameters = [{"ParameterKey": "Key", "ParameterValue": "1.zip"}]
    resources = {"Role": ROLE, "Speaker": speaker}
    found = somebody.deploy("speaking", resources, template=declared, Parameters=parameters)
    assert {one["ParameterKey"]: one["ParameterValue"] for one in found["Parameters"]} == {
        "Key": "1.zip",
        "Word": "tea",
    }
    name = somebody.physical_ids("speaking")["Speaker"]
    assert somebody.invoke(name, {}) == "tea"
    again = [{"ParameterKey": "Key", "UsePreviousValue": True}, {"ParameterKey": "Word", "ParameterValue": "rum"}]
    somebody.deploy("speaking", resources, template=declared, Parameters=again)
    assert somebody.physical_ids("speaking")["Speaker"] == name
    assert somebody.invoke(name, {}) == "rum"


def test_yaml_is_a_template_too_with_its_short_forms(somebody: Somebody) -> None:
    text = """
    AWSTemplateFormatVersion: 2010-09-09
    Resources:
      Work:
        Type: AWS::SQS::Queue
        Properties: {QueueName: !Sub "${AWS::StackName}-work"}
    Outputs:
      Arn: {Value: !GetAtt Work.Arn}
    """
    somebody.stacks.create_stack(StackName="yamlish", TemplateBody=text)
    (output,) = somebody.at_rest("yamlish")["Outputs"]
    assert output["OutputValue"] == "arn:aws:sqs:us-east-1:000000000000:yamlish-work"


# Changing one


def test_only_what_changed_is_touched_and_what_was_removed_is_deleted(somebody: Somebody) -> None:
    kept = {**QUEUE, "DeletionPolicy": "Retain"}
    somebody.deploy("changing", {"Same": QUEUE, "Other": queue(VisibilityTimeout=5), "Gone": QUEUE, "Kept": kept})
    names, before = somebody.physical_ids("changing"), len(somebody.events("changing"))
    somebody.deploy("changing", {"Same": QUEUE, "Other": queue(VisibilityTimeout=6), "New": QUEUE})
    assert sorted(somebody.since("changing", before)) == [
        ("Gone", "DELETE_COMPLETE"),
        ("Gone", "DELETE_IN_PROGRESS"),
        ("Kept", "DELETE_SKIPPED"),
        ("New", "CREATE_COMPLETE"),
        ("New", "CREATE_IN_PROGRESS"),
        ("New", "CREATE_IN_PROGRESS"),
        ("Other", "UPDATE_COMPLETE"),
        ("Other", "UPDATE_IN_PROGRESS"),
    ]
    now = somebody.physical_ids("changing")
    assert (now["Same"], now["Other"]) == (names["Same"], names["Other"])
    assert names["Kept"] in somebody.queues("changing")
    assert names["Gone"] not in somebody.queues("changing")


def test_a_template_that_changes_nothing_makes_no_change_set(
    somebody: Somebody, refused: Callable[..., tuple[str, str]]
) -> None:
    somebody.deploy("still", {"Work": QUEUE})
    body = json.dumps({"Resources": {"Work": QUEUE}})
    somebody.stacks.create_change_set(StackName="still", ChangeSetName="none", TemplateBody=body)
    found = somebody.stacks.describe_change_set(StackName="still", ChangeSetName="none")
    assert (found["Status"], found["ExecutionStatus"]) == ("FAILED", "UNAVAILABLE")
    assert found["StatusReason"].startswith("The submitted information didn't contain changes.")
    code, _ = refused(lambda: somebody.stacks.execute_change_set(StackName="still", ChangeSetName="none"))
    assert code == "InvalidChangeSetStatus"
    error = refused(lambda: somebody.stacks.update_stack(StackName="still", TemplateBody=body))
    assert error == ("ValidationError", "No updates are to be performed.")


def test_a_failed_update_is_undone(somebody: Somebody) -> None:
    somebody.deploy("undone", {"A": queue(VisibilityTimeout=5), "Gone": QUEUE})
    names = somebody.physical_ids("undone")
    bad = {**queue(DelaySeconds=901), "DependsOn": ["A", "New"]}
    template = {"Resources": {"A": queue(VisibilityTimeout=6), "New": QUEUE, "Bad": bad}}
    somebody.stacks.update_stack(StackName="undone", TemplateBody=json.dumps(template))
    found = somebody.at_rest("undone")
    assert found["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert somebody.physical_ids("undone") == names
    assert sorted(somebody.queues("undone")) == sorted(names.values())
    sqs = somebody.client("sqs")
    now = sqs.get_queue_attributes(QueueUrl=names["A"], AttributeNames=["VisibilityTimeout"])["Attributes"]
    assert now == {"VisibilityTimeout": "5"}
    somebody.deploy("undone", {"A": queue(VisibilityTimeout=7)})


def test_an_index_of_a_fixed_name_is_not_replaced_and_keeps_its_vectors(somebody: Somebody) -> None:
    vectors = {"Type": "AWS::S3Vectors::VectorBucket"}
    somebody.deploy("found", {"Vectors": vectors, "Index": index("mine", 2)})
    arn = somebody.physical_ids("found")["Index"]
    client = somebody.client("s3vectors")
    client.put_vectors(indexArn=arn, vectors=[{"key": "a", "data": {"float32": [1.0, 0.0]}}])
    template = json.dumps({"Resources": {"Vectors": vectors, "Index": index("mine", 3)}})
    somebody.stacks.create_change_set(StackName="found", ChangeSetName="other", TemplateBody=template)
    shown = somebody.stacks.describe_change_set(StackName="found", ChangeSetName="other")
    (change,) = shown["Changes"]
    assert change["ResourceChange"]["Replacement"] == "True"
    assert change["ResourceChange"]["Details"][0]["Target"] == {
        "Attribute": "Properties", "Name": "Dimension", "RequiresRecreation": "Always",
    }  # fmt: skip
    somebody.stacks.execute_change_set(StackName="found", ChangeSetName="other")
    assert somebody.at_rest("found")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    expected = (
        "CloudFormation cannot update a stack when a custom-named resource requires replacing. "
        "Rename mine and update the stack again."
    )
    assert ("Index", "UPDATE_FAILED", expected) in somebody.events("found")
    assert [one["key"] for one in client.list_vectors(indexArn=arn)["vectors"]] == ["a"]
    assert client.get_index(indexArn=arn)["index"]["dimension"] == 2


def test_an_index_without_a_name_is_replaced_and_the_former_one_deleted_unless_it_is_kept(somebody: Somebody) -> None:
    vectors = {"Type": "AWS::S3Vectors::VectorBucket"}
    seen = [somebody.deploy("moving", {"Vectors": vectors, "Index": index(None, 2)})]
    arns = [somebody.physical_ids("moving")["Index"]]
    for dimension, more in ((3, {}), (4, {"UpdateReplacePolicy": "Retain"}), (5, {})):
        seen.append(somebody.deploy("moving", {"Vectors": vectors, "Index": index(None, dimension, **more)}))
        arns.append(somebody.physical_ids("moving")["Index"])
    listed = somebody.client("s3vectors").list_indexes(vectorBucketArn=somebody.physical_ids("moving")["Vectors"])
    # The policy that counts is the one that the replaced index had.
    assert {one["indexArn"] for one in listed["indexes"]} == {arns[2], arns[3]}
    assert len(set(arns)) == 4


def test_a_replacement_that_fails_later_is_taken_back(somebody: Somebody) -> None:
    vectors = {"Type": "AWS::S3Vectors::VectorBucket"}
    somebody.deploy("taken-back", {"Vectors": vectors, "Index": index(None, 2)})
    names = somebody.physical_ids("taken-back")
    bad = {**queue(DelaySeconds=901), "DependsOn": "Index"}
    template = {"Resources": {"Vectors": vectors, "Index": index(None, 3), "Bad": bad}}
    somebody.stacks.update_stack(StackName="taken-back", TemplateBody=json.dumps(template))
    assert somebody.at_rest("taken-back")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert somebody.physical_ids("taken-back") == names
    listed = somebody.client("s3vectors").list_indexes(vectorBucketArn=names["Vectors"])["indexes"]
    assert [one["indexArn"] for one in listed] == [names["Index"]]


# Deleting one


def test_a_bucket_that_is_not_empty_stays_and_so_does_its_stack(somebody: Somebody) -> None:
    arn = {"Fn::GetAtt": "Bucket.Arn"}
    needs = {"Type": "AWS::SQS::Queue", "Properties": {"Tags": [{"Key": "of", "Value": arn}]}}
    somebody.deploy("full", {"Bucket": {"Type": "AWS::S3::Bucket"}, "Needs": needs})
    bucket = somebody.physical_ids("full")["Bucket"]
    somebody.client("s3").put_object(Bucket=bucket, Key="kept", Body=b"kept")
    found = somebody.delete("full")
    assert found["StackStatus"] == "DELETE_FAILED"
    assert found["StackStatusReason"] == "The following resource(s) failed to delete: [Bucket]. "
    reasons = [
        reason for who, status, reason in somebody.events("full") if (who, status) == ("Bucket", "DELETE_FAILED")
    ]
    assert "The bucket you tried to delete is not empty" in reasons[0]
    assert list(somebody.physical_ids("full")) == ["Bucket"]
    assert somebody.delete("full", RetainResources=["Bucket"])["StackStatus"] == "DELETE_COMPLETE"
    assert somebody.client("s3").get_object(Bucket=bucket, Key="kept")["Body"].read() == b"kept"
    assert somebody.status("full") is None


def test_a_protected_stack_is_not_deleted(somebody: Somebody, refused: Callable[..., tuple[str, str]]) -> None:
    somebody.deploy("safe", {"Work": QUEUE})
    somebody.stacks.update_termination_protection(StackName="safe", EnableTerminationProtection=True)
    message = "Stack [safe] cannot be deleted while TerminationProtection is enabled"
    assert refused(lambda: somebody.stacks.delete_stack(StackName="safe")) == ("ValidationError", message)
    somebody.stacks.update_termination_protection(StackName="safe", EnableTerminationProtection=False)
    assert somebody.delete("safe")["StackStatus"] == "DELETE_COMPLETE"
    assert "safe" in {
        one["StackName"] for one in somebody.stacks.list_stacks(StackStatusFilter=["DELETE_COMPLETE"])["StackSummaries"]
    }
    assert not somebody.queues("safe")


# Custom resources

ANSWERS = """
import json, urllib.request
def handler(event, context):
    print("asked to", event["RequestType"], event["ResourceProperties"].get("Word"))
    word = event["ResourceProperties"].get("Word")
    body = {"Status": "FAILED" if word == "no" else "SUCCESS", "Reason": "it said no", "Data": {"Twice": word * 2},
            "PhysicalResourceId": "echo", **{k: event[k] for k in ("StackId", "RequestId", "LogicalResourceId")}}
    url, body = event["ResponseURL"], json.dumps(body).encode()
    urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": ""}, method="PUT")).close()
"""


def test_a_custom_resource_is_created_updated_put_back_and_deleted(somebody: Somebody, data: Path) -> None:
    def resources(word: str) -> Json:
        token = {"Fn::GetAtt": ["Answers", "Arn"]}
        echo = {"Type": "Custom::Echo", "Properties": {"ServiceToken": token, "Word": word}}
        return {"Role": ROLE, "Answers": function(ANSWERS), "Echo": echo}

    outputs = {"Outputs": {"Twice": {"Value": {"Fn::GetAtt": ["Echo", "Twice"]}}}}
    made = somebody.deploy("echoing", resources("a"), template=outputs)
    assert made["Outputs"][0]["OutputValue"] == "aa"
    assert somebody.deploy("echoing", resources("b"), template=outputs)["Outputs"][0]["OutputValue"] == "bb"
    template = json.dumps({"Resources": resources("no"), **outputs})
    somebody.stacks.update_stack(StackName="echoing", TemplateBody=template, Capabilities=IAM)
    assert somebody.at_rest("echoing")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert ("Echo", "UPDATE_FAILED", "its function refused: it said no") in somebody.events("echoing")
    log = data / "aws" / "logs" / f"{somebody.physical_ids('echoing')['Answers']}.log"
    assert somebody.delete("echoing")["StackStatus"] == "DELETE_COMPLETE"
    asked = [line.partition("asked to ")[2] for line in log.read_text().splitlines() if "asked to" in line]
    assert asked == ["Create a", "Update b", "Update no", "Update b", "Delete b"]


# What an update leaves


def test_what_has_a_fixed_name_keeps_its_data_under_another_logical_id(tmp_path: Path) -> None:
    """As when a construct of a CDK app is renamed: the laptop that runs the app adopts what is there."""
    code = "def handler(event, context):\n    print('got', event)\n    assert 'Records' in event\n"
    send = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}

    def resources(n: int) -> Json:
        dead = {"OnFailure": {"Destination": {"Fn::GetAtt": [f"Dead{n}", "Arn"]}}}
        return {
            f"Role{n}": role(MAY_POLL, RoleName="worker"),
            f"Table{n}": resource(
                "DynamoDB::Table",
                TableName="rows",
                BillingMode="PAY_PER_REQUEST",
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            ),
            f"Dead{n}": queue(QueueName="dead"),
            "Work": queue(QueueName="work"),
            "Worker": function(code, Role={"Fn::GetAtt": [f"Role{n}", "Arn"]}, FunctionName="worker"),
            f"Mapping{n}": mapping("Work", "Worker"),
            f"Policy{n}": resource("SQS::QueuePolicy", Queues=[{"Ref": "Work"}], PolicyDocument=policy(send)),
            f"Events{n}": resource(
                "Lambda::EventInvokeConfig",
                FunctionName={"Ref": "Worker"},
                Qualifier="$LATEST",
                MaximumRetryAttempts=0,
                DestinationConfig=dead,
            ),
        }

    with laptop(tmp_path / "data", assembly(tmp_path / "first", resources(1))) as user:
        user.client("dynamodb").put_item(TableName="rows", Item={"id": {"S": "a"}})
        url = user.client("sqs").get_queue_url(QueueName="dead")["QueueUrl"]
        user.client("sqs").send_message(QueueUrl=url, MessageBody="kept")
    with laptop(tmp_path / "data", assembly(tmp_path / "second", resources(2))) as user:
        sqs = user.client("sqs")
        assert user.client("dynamodb").scan(TableName="rows")["Count"] == 1
        dead, work = (sqs.get_queue_url(QueueName=name)["QueueUrl"] for name in ("dead", "work"))
        assert sqs.receive_message(QueueUrl=dead)["Messages"][0]["Body"] == "kept"
        assert "Policy" in sqs.get_queue_attributes(QueueUrl=work, AttributeNames=["Policy"])["Attributes"]
        sqs.send_message(QueueUrl=work, MessageBody="polled")
        log = tmp_path / "data" / "aws" / "logs" / "worker.log"
        eventually(lambda: log.exists() and "polled" in log.read_text())
        user.client("lambda").invoke(FunctionName="worker", InvocationType="Event", Payload=b"{}")
        eventually(lambda: sqs.receive_message(QueueUrl=dead).get("Messages"))
        assert not {name for name in user.physical_ids("App") if name.endswith("1")}


ASKS = """
import boto3
def handler(event, context):
    try:
        boto3.client("s3").list_buckets()
    except Exception as error:
        return error.response["Error"]["Code"]
"""


def test_a_role_has_the_managed_policies_it_names_as_they_are_now(somebody: Somebody) -> None:
    def resources(*actions: str, named: bool = True) -> Json:
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        managed = resource("IAM::ManagedPolicy", PolicyDocument=policy(statement))
        held = [{"Ref": "Managed"}] if named else []
        return {"Managed": managed, "Role": role(ManagedPolicyArns=held), "Asks": function(ASKS)}

    somebody.deploy("managed", resources("s3:*"))
    asks = somebody.physical_ids("managed")["Asks"]
    assert somebody.invoke(asks, {}) is None
    somebody.deploy("managed", resources("s3:*", "sqs:*"))
    assert somebody.invoke(asks, {}) is None
    somebody.deploy("managed", resources("sqs:*"))
    assert somebody.invoke(asks, {}) == "AccessDenied"
    somebody.deploy("managed", resources("s3:*", "sqs:*"))
    assert somebody.invoke(asks, {}) is None
    somebody.deploy("managed", resources("s3:*", "sqs:*", named=False))
    assert somebody.invoke(asks, {}) == "AccessDenied"


def answered(url: str, token: str = "") -> int:
    request = urllib.request.Request(url, headers={"Authorization": token} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_grant_that_moves_leaves_nothing_behind(somebody: Somebody) -> None:
    code = "def handler(event, context):\n    return 'here'\n"
    send = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}

    def resources(granted: str, queues: list[str]) -> Json:
        return {
            "Role": ROLE,
            **{name: function(code) for name in ("Early", "Late")},
            **api("Early", "Late"),
            "May": may_invoke(granted),
            **{name: QUEUE for name in ("A", "B", "C")},
            "Sending": resource(
                "SQS::QueuePolicy", Queues=[{"Ref": name} for name in queues], PolicyDocument=policy(send)
            ),
        }

    def with_policy() -> set[str]:
        sqs, ids = somebody.client("sqs"), somebody.physical_ids("granting")
        found = {
            name: sqs.get_queue_attributes(QueueUrl=ids[name], AttributeNames=["Policy"]).get("Attributes")
            for name in ("A", "B", "C")
        }
        return {name for name, attributes in found.items() if attributes}

    outputs = {"Outputs": {"Url": {"Value": {"Fn::GetAtt": "Api.ApiEndpoint"}}}}
    made = somebody.deploy("granting", resources("Early", ["A", "B"]), template=outputs)
    url = made["Outputs"][0]["OutputValue"]
    assert [answered(f"{url}/{name}") for name in ("Early", "Late")] == [200, 500]
    assert with_policy() == {"A", "B"}
    somebody.deploy("granting", resources("Late", ["B", "C"]), template=outputs)
    assert [answered(f"{url}/{name}") for name in ("Early", "Late")] == [500, 200]
    assert with_policy() == {"B", "C"}


def test_a_route_asks_for_what_its_authorizer_asks_for_now(somebody: Somebody, data: Path) -> None:
    def resources(audience: str) -> Json:
        guard = resource(
            "ApiGatewayV2::Authorizer",
            ApiId={"Ref": "Api"},
            AuthorizerType="JWT",
            Name="guard",
            IdentitySource=["$request.header.Authorization"],
            JwtConfiguration={"Issuer": "https://issuer.example", "Audience": [audience]},
        )
        way = api("Guarded", AuthorizationType="JWT", AuthorizerId={"Ref": "Guard"})
        code = "def handler(event, context):\n    return 'here'\n"
        return {"Role": ROLE, "Guarded": function(code), "May": may_invoke("Guarded"), "Guard": guard, **way}

    def token(audience: str) -> str:
        now = int(time.time())
        claims = {"iss": "https://issuer.example", "aud": audience, "sub": "me", "iat": now, "exp": now + 900}
        return f"Bearer {Issuer(data / 'aws').token(claims)}"

    outputs = {"Outputs": {"Url": {"Value": {"Fn::Sub": "${Api.ApiEndpoint}/Guarded"}}}}
    url = somebody.deploy("guarded", resources("one"), template=outputs)["Outputs"][0]["OutputValue"]
    assert [answered(url, token(audience)) for audience in ("one", "two")] == [200, 401]
    somebody.deploy("guarded", resources("two"), template=outputs)
    assert [answered(url, token(audience)) for audience in ("one", "two")] == [401, 200]


def test_a_function_with_another_role_is_polled_for_with_that_role(somebody: Somebody, data: Path) -> None:
    code = "def handler(event, context):\n    print('got', event['Records'][0]['body'])\n"

    def resources(name: str) -> Json:
        worker = function(code, Role={"Fn::GetAtt": [name, "Arn"]})
        return {name: ROLE, "Work": QUEUE, "Worker": worker, "Mapping": mapping("Work", "Worker")}

    somebody.deploy("roles-change", resources("First"))
    somebody.deploy("roles-change", resources("Second"))
    ids = somebody.physical_ids("roles-change")
    log = data / "aws" / "logs" / f"{ids['Worker']}.log"
    for number in range(3):
        somebody.client("sqs").send_message(QueueUrl=ids["Work"], MessageBody=f"message {number}")
    eventually(lambda: log.exists() and all(f"got message {number}" in log.read_text() for number in range(3)))


def test_what_was_replaced_twice_before_an_update_came_through_is_deleted_too(somebody: Somebody) -> None:
    def template(name: str, **properties: Any) -> str:
        bad = {**queue(**properties), "DependsOn": "Work"}
        return json.dumps({"Resources": {"Work": queue(QueueName=f"spare-{name}"), "Other": bad}})

    def update(body: str, **more: Any) -> str:
        somebody.stacks.update_stack(StackName="twice", TemplateBody=body, **more)
        return str(somebody.at_rest("twice")["StackStatus"])

    def names() -> list[str]:
        return sorted(url.rpartition("/")[2] for url in somebody.queues("spare-"))

    somebody.stacks.create_stack(StackName="twice", TemplateBody=template("a"))
    somebody.at_rest("twice")
    assert update(template("b", DelaySeconds=901), DisableRollback=True) == "UPDATE_FAILED"
    assert names() == ["spare-a", "spare-b"]
    assert update(template("c", DelaySeconds=902)) == "UPDATE_ROLLBACK_COMPLETE"
    assert names() == ["spare-a"]
    assert update(template("b", DelaySeconds=901), DisableRollback=True) == "UPDATE_FAILED"
    assert update(template("c")) == "UPDATE_COMPLETE"
    assert names() == ["spare-c"]
    assert somebody.delete("twice")["StackStatus"] == "DELETE_COMPLETE"
    assert names() == []


def test_a_state_machine_that_is_refused_was_not_made(somebody: Somebody) -> None:
    machine = resource(
        "StepFunctions::StateMachine",
        StateMachineName="half-made",
        RoleArn="arn:aws:iam::000000000000:role/elsewhere",
        Definition={"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}},
        Tags=[{"Key": "of"}],
    )
    somebody.stacks.create_stack(StackName="half", TemplateBody=json.dumps({"Resources": {"Machine": machine}}))
    assert somebody.at_rest("half")["StackStatus"] == "ROLLBACK_COMPLETE"
    machines = somebody.client("stepfunctions").list_state_machines()["stateMachines"]
    assert "half-made" not in {one["name"] for one in machines}


# Failures nobody asked for


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (
            {"Resources": {"Bad": queue(QueueName={"Fn::Select": ["a", ["b"]]})}},
            "Fn::Select asks for number a of 1",
        ),
        ({"Resources": {"Bad": queue(QueueName={"Fn::Split": ["", "b"]})}}, "empty separator"),
        (
            {"Resources": {"Bad": {"Type": "Custom::X", "Properties": {}}}},
            "Properties validation failed: required key [ServiceToken] not found",
        ),
        (
            {"Resources": {"Bad": {"Type": "AWS::SQS::QueuePolicy", "Properties": {"Queues": 5}}}},
            "Properties validation failed: a property has not the type it should have",
        ),
    ],
)
def test_a_property_that_makes_no_sense_fails_its_resource(somebody: Somebody, template: Json, reason: str) -> None:
    template["Resources"]["Good"] = queue(QueueName="beside-nonsense")
    template["Resources"]["Bad"]["DependsOn"] = "Good"
    made = somebody.stacks.create_stack(StackName="nonsense", TemplateBody=json.dumps(template))["StackId"]
    assert somebody.at_rest(made)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert ("Bad", "CREATE_FAILED", reason) in somebody.events(made)
    assert not somebody.queues("beside-nonsense")
    assert somebody.delete("nonsense")["StackStatus"] == "DELETE_COMPLETE"


def test_an_output_that_makes_no_sense_undoes_the_creation(somebody: Somebody) -> None:
    template = {"Resources": {"Work": QUEUE}, "Outputs": {"Bad": {"Value": {"Fn::Split": ["", "b"]}}}}
    somebody.stacks.create_stack(StackName="senseless", TemplateBody=json.dumps(template))
    assert somebody.at_rest("senseless")["StackStatus"] == "ROLLBACK_COMPLETE"
    assert not somebody.queues("senseless")


NO_ANSWER = """
import urllib.request
def handler(event, context):
    body = event["ResourceProperties"]["Body"].encode()
    if event["RequestType"] == "Delete":
        body = b'{"Status": "SUCCESS", "PhysicalResourceId": "p"}'
    try:
        urllib.request.urlopen(urllib.request.Request(event["ResponseURL"], body, method="PUT")).close()
    except urllib.error.HTTPError as error:
        print("answered", error.code)
"""


def test_an_answer_of_a_custom_resource_that_is_none_fails_it_at_once(somebody: Somebody, data: Path) -> None:
    status = "the answer is no JSON object with a Status of SUCCESS or FAILED"
    bodies = {
        "nonsense": status,
        '"text"': status,
        "{}": status,
        '{"Status": "SUCCESS", "PhysicalResourceId": "p", "Data": "x"}': "the Data of the answer is no JSON object",
        '{"Status": "SUCCESS", "PhysicalResourceId": 5}': "the answer has no PhysicalResourceId",
    }
    somebody.deploy("no-answer", {"Role": ROLE, "Answers": function(NO_ANSWER)})
    answers = somebody.physical_ids("no-answer")["Answers"]
    for number, (body, reason) in enumerate(bodies.items()):
        echo = {"Type": "Custom::Echo", "Properties": {"ServiceToken": answers, "Body": body}}
        name = f"no-answer-{number}"
        somebody.stacks.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": {"Echo": echo}}))
        assert somebody.at_rest(name)["StackStatus"] == "ROLLBACK_COMPLETE"
        assert ("Echo", "CREATE_FAILED", f"its function refused: {reason}") in somebody.events(name)
    log = (data / "aws" / "logs" / f"{answers}.log").read_text()
    assert log.count("answered 400") == len(bodies)


# Several at once


def at_once(count: int, work: Callable[[int], Any]) -> list[str]:
    """What each of the calls says: the code of its error, or nothing."""

    def call(number: int) -> str:
        try:
            work(number)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return ""

    with ThreadPoolExecutor(count) as pool:
        return sorted(pool.map(call, range(count)))


def test_of_several_who_create_a_stack_at_once_one_does(somebody: Somebody) -> None:
    def create(number: int) -> None:
        body = json.dumps({"Resources": {f"Work{number}": QUEUE}})
        somebody.stacks.create_stack(StackName="raced", TemplateBody=body)

    assert at_once(8, create) == ["", *["AlreadyExistsException"] * 7]
    somebody.at_rest("raced")
    assert len(somebody.queues("raced")) == 1
    assert [one["StackName"] for one in somebody.stacks.describe_stacks()["Stacks"]].count("raced") == 1


def test_an_update_begins_when_no_other_one_is_at_work(somebody: Somebody) -> None:
    somebody.deploy("queued", {"Work": queue(VisibilityTimeout=1)})

    def update(number: int) -> None:
        body = json.dumps({"Resources": {"Work": queue(VisibilityTimeout=10 + number)}})
        somebody.stacks.update_stack(StackName="queued", TemplateBody=body)

    refused = at_once(8, update)
    assert set(refused) <= {"", "ValidationError"}
    somebody.at_rest("queued")
    statuses = [status for who, status, _ in somebody.events("queued") if who == "queued"]
    begun = [place for place, status in enumerate(statuses) if status == "UPDATE_IN_PROGRESS"]
    assert len(begun) == refused.count("")
    assert all(statuses[place - 1] in ("CREATE_COMPLETE", "UPDATE_COMPLETE") for place in begun)


WAITS = """
import boto3, json, urllib.request
def handler(event, context):
    given = event["ResourceProperties"]
    if event["RequestType"] == "Update" and given["Word"] == "wait":
        print("waits")
        sqs = boto3.client("sqs")
        while not sqs.receive_message(QueueUrl=given["Queue"], WaitTimeSeconds=20).get("Messages"):
            pass
    body = json.dumps({"Status": "SUCCESS", "PhysicalResourceId": "p"}).encode()
    urllib.request.urlopen(urllib.request.Request(event["ResponseURL"], body, method="PUT")).close()
"""


def waiting(word: str) -> Json:
    """A custom resource whose update to the word "wait" takes until `Gate` has a message."""
    properties = {"ServiceToken": {"Fn::GetAtt": ["Waits", "Arn"]}, "Queue": {"Ref": "Gate"}, "Word": word}
    waits = function(WAITS, Timeout=60)
    return {"Role": ROLE, "Gate": QUEUE, "Waits": waits, "Long": {"Type": "Custom::Long", "Properties": properties}}


@contextmanager
def updating(user: Somebody, data: Path, name: str, resources: Json) -> Iterator[None]:
    """An update that waits at its `Long` meanwhile."""
    body = json.dumps({"Resources": resources})
    user.stacks.update_stack(StackName=name, TemplateBody=body, Capabilities=IAM)
    ids = user.physical_ids(name)
    log = data / "aws" / "logs" / f"{ids['Waits']}.log"
    eventually(lambda: log.exists() and "waits" in log.read_text())
    yield
    user.client("sqs").send_message(QueueUrl=ids["Gate"], MessageBody="go on")
    assert user.at_rest(name)["StackStatus"] == "UPDATE_COMPLETE"


def test_protection_that_is_set_during_an_update_stays(somebody: Somebody, data: Path) -> None:
    somebody.deploy("guarding", waiting("a"))
    with updating(somebody, data, "guarding", waiting("wait")):
        somebody.stacks.update_termination_protection(StackName="guarding", EnableTerminationProtection=True)
    (found,) = somebody.stacks.describe_stacks(StackName="guarding")["Stacks"]
    assert found["EnableTerminationProtection"] is True


# What is refused


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ({}, "Template format error: At least one Resources member must be defined."),
        (
            {"Resources": {"Bell": {"Type": "AWS::SNS::Topic"}}},
            "Template format error: Unrecognized resource types: [AWS::SNS::Topic]",
        ),
        (
            {"Resources": {"A": queue(QueueName={"Ref": "Nobody"})}},
            "Template format error: Unresolved resource dependencies [Nobody] in the Resources block of the template",
        ),
        ({"Resources": {"A": QUEUE}, "Recources": {}}, "Invalid template property or properties [Recources]"),
        ({"Resources": {"A": {**QUEUE, "DependsOn": "A"}}}, "Circular dependency between resources: "),
        (
            {"Resources": {"A": QUEUE}, "Parameters": {"P": {"Type": "String"}}},
            "Parameters: [P] must have values",
        ),
        (
            {"Resources": {"A": QUEUE}, "Parameters": {"P": {"Type": "Number", "Default": "x"}}},
            "Parameter 'P' must be a number",
        ),
        ({"Resources": {"A": 5}}, "Template format error: Any Resources member must be an object"),
        ({"Resources": {"A": {}}}, "Template format error: Resource A must have a Type."),
        ({"Resources": {"A": {"Type": {}}}}, "Template format error: Every Type member must be a string"),
        ({"Resources": {"A": {"Type": 5}}}, "Template format error: Every Type member must be a string"),
        (
            {"Resources": {"A": {**QUEUE, "DependsOn": 5}}},
            "Template format error: DependsOn must be a string or list of strings",
        ),
        (
            {"Resources": {"A": {**QUEUE, "Properties": None}}},
            "Template format error: Any Properties member must be an object",
        ),
        (
            {"Resources": {"A": {**QUEUE, "Properties": []}}},
            "Template format error: Any Properties member must be an object",
        ),
        ({"Resources": {"A": queue(QueueName={"Ref": {}})}}, "Template error: every Ref object must have a single"),
        ({"Resources": {"A": queue(QueueName={"Ref": 5})}}, "Template error: every Ref object must have a single"),
        *(
            ({"Resources": {"A": queue(QueueName={"Fn::GetAtt": given})}}, "Template error: every Fn::GetAtt object")
            for given in (5, [], "A", ["A", ""])
        ),
        ({"Resources": {"A": queue(QueueName={"Fn::Sub": ["x"]})}}, "Template error: One or more Fn::Sub intrinsic"),
        ({"Resources": {"A": queue(QueueName={"Fn::Join": "x"})}}, "Template error: every Fn::Join object requires"),
        ({"Resources": {"A": QUEUE}, "Parameters": []}, "Template format error: Parameters must be an object."),
        (
            {"Resources": {"A": QUEUE}, "Parameters": {"P": {}}},
            "Template format error: Every Parameters object must contain a Type member",
        ),
        (
            {"Resources": {"A": QUEUE}, "Parameters": {"P": {"Type": "String", "Default": "", "AllowedPattern": "["}}},
            "Template format error: AllowedPattern of the parameter P must be a regular expression.",
        ),
        (
            {"Resources": {"A": QUEUE}, "Parameters": {"P": {"Type": "Number", "Default": 1, "MinValue": "x"}}},
            "Template format error: MinValue of the parameter P must be a number.",
        ),
        (
            {"Resources": {"A": {**QUEUE, "Condition": "C"}}, "Conditions": {"C": {"Condition": "C"}}},
            "Template format error: The condition C depends on itself in a circle.",
        ),
        (
            {"Resources": {"A": QUEUE}, "Conditions": {"C": {"Fn::Not": [{"Fn::Equals": ["a"]}]}}},
            "Template error: every Fn::Equals object requires a list of 2 string parameters.",
        ),
        (
            {"Resources": {"A": QUEUE}, "Outputs": {"O": "x"}},
            "Template format error: Any Outputs member must be an object",
        ),
        (
            {"Resources": {"A": QUEUE}, "Outputs": {"O": {}}},
            "Template format error: Every Outputs member must contain a Value object",
        ),
    ],
)
def test_a_template_that_cannot_be_a_stack_is_refused_at_once(
    somebody: Somebody, refused: Callable[..., tuple[str, str]], template: Json, message: str
) -> None:
    code, said = refused(lambda: somebody.stacks.create_stack(StackName="wrong", TemplateBody=json.dumps(template)))
    assert (code, said[: len(message)]) == ("ValidationError", message)
    assert somebody.status("wrong") is None


def test_a_page_that_nobody_named_is_refused(somebody: Somebody, refused: Callable[..., tuple[str, str]]) -> None:
    somebody.deploy("paged", {"Work": QUEUE})
    for operation in (somebody.stacks.describe_stack_events, somebody.stacks.list_stack_resources):
        for token in ("abc", "9" * 30):
            error = refused(lambda operation=operation, token=token: operation(StackName="paged", NextToken=token))
            assert error == ("ValidationError", f"NextToken '{token}' is none of this operation")


def test_roles_need_a_word_of_consent(somebody: Somebody, refused: Callable[..., tuple[str, str]]) -> None:
    body = json.dumps({"Resources": {"Role": ROLE}})
    error = refused(lambda: somebody.stacks.create_stack(StackName="roles", TemplateBody=body))
    assert error == ("InsufficientCapabilitiesException", "Requires capabilities : [CAPABILITY_IAM]")


def test_what_is_not_there_is_named(somebody: Somebody, refused: Callable[..., tuple[str, str]]) -> None:
    stacks, body = somebody.stacks, json.dumps({"Resources": {"A": QUEUE}})
    assert refused(lambda: stacks.describe_stacks(StackName="no")) == (
        "ValidationError",
        "Stack with id no does not exist",
    )
    assert refused(lambda: stacks.describe_change_set(StackName="no", ChangeSetName="no")) == (
        "ChangeSetNotFound",
        "ChangeSet [no] does not exist",
    )
    assert refused(lambda: stacks.update_stack(StackName="no", TemplateBody=body)) == (
        "ValidationError",
        "Stack [no] does not exist",
    )
    code, message = refused(lambda: stacks.create_stack(StackName="1 2", TemplateBody=body))
    assert code == "ValidationError"
    assert message.startswith("1 validation error detected: Value '1 2' at 'stackName' failed to satisfy constraint: ")
    stacks.delete_stack(StackName="no")


# After a restart


def test_a_deployed_stack_is_back_after_a_restart_on_other_ports(tmp_path: Path) -> None:
    code = "import os\ndef handler(event, context):\n    print('got', event)\n    return os.environ['QUEUE']\n"
    resources: Json = {
        "Role": ROLE,
        "Work": QUEUE,
        "Worker": function(code, Environment={"Variables": {"QUEUE": {"Ref": "Work"}}}),
        "Mapping": mapping("Work", "Worker"),
        **api("Worker"),
        "MayInvoke": may_invoke("Worker"),
        "Machine": {
            "Type": "AWS::StepFunctions::StateMachine",
            "Properties": {
                "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
                "Definition": {"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}},
            },
        },
    }
    outputs = {"Outputs": {"Url": {"Value": {"Fn::GetAtt": "Api.ApiEndpoint"}}, "Work": {"Value": {"Ref": "Work"}}}}
    with laptop(tmp_path) as user:
        first = user.deploy("lasting", resources, template=outputs)
        user.client("sqs").send_message(QueueUrl=user.physical_ids("lasting")["Work"], MessageBody="early")
    with laptop(tmp_path) as user:
        (found,) = user.stacks.describe_stacks()["Stacks"]
        assert (found["StackId"], found["StackStatus"]) == (first["StackId"], "CREATE_COMPLETE")
        now = {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}
        assert now["Work"].startswith(user.endpoint)
        with urllib.request.urlopen(f"{now['Url']}/Worker", timeout=30) as response:
            assert response.read().decode() == now["Work"]
        assert user.invoke(user.physical_ids("lasting")["Worker"], {}) == now["Work"]
        user.client("sqs").send_message(QueueUrl=now["Work"], MessageBody="late")
        log = tmp_path / "aws" / "logs" / f"{user.physical_ids('lasting')['Worker']}.log"
        eventually(lambda: "late" in log.read_text())
        assert user.delete("lasting")["StackStatus"] == "DELETE_COMPLETE"
        assert user.client("lambda").list_functions()["Functions"] == []
        assert user.client("lambda").list_event_source_mappings()["EventSourceMappings"] == []


def test_what_failed_waits_over_a_restart_and_what_was_in_work_is_done_again(tmp_path: Path) -> None:
    code = """
import time
def handler(event, context):
    record = event["Records"][0]
    print("try", record["body"], record["attributes"]["ApproximateReceiveCount"])
    assert record["body"] != "fails"
    time.sleep(60)
"""
    resources: Json = {
        "Role": ROLE,
        "Work": queue(VisibilityTimeout=600),
        "Worker": function(code, FunctionName="worker", Timeout=60),
        "Mapping": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {
                "EventSourceArn": {"Fn::GetAtt": "Work.Arn"},
                "FunctionName": {"Ref": "Worker"},
                "BatchSize": 1,
            },
        },
    }
    log = tmp_path / "aws" / "logs" / "worker.log"

    def wait_for(text: str) -> None:
        deadline = time.monotonic() + 30
        while not log.exists() or text not in log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    with laptop(tmp_path) as user:
        user.deploy("working", resources)
        url = user.physical_ids("working")["Work"]
        user.client("sqs").send_message(QueueUrl=url, MessageBody="fails")
        wait_for("REPORT")
        user.client("sqs").send_message(QueueUrl=url, MessageBody="works")
        wait_for("try works")
    log.unlink()
    with laptop(tmp_path):
        wait_for("try works")
        time.sleep(0.5)
    assert [line for line in log.read_text().splitlines() if line.startswith("try")] == ["try works 1"]


def test_events_and_executions_at_a_restart_are_neither_lost_nor_begun_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = {"StartAt": "A", "States": {"A": {"Type": "Wait", "Seconds": 1, "End": True}}}
    resources: Json = {
        "Role": ROLE,
        "Rang": queue(QueueName="rang"),
        "Bell": {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "EventPattern": {"source": ["bell"]},
                "Targets": [{"Id": "q", "Arn": {"Fn::GetAtt": "Rang.Arn"}}],
            },
        },
        "Policy": {
            "Type": "AWS::SQS::QueuePolicy",
            "Properties": {
                "Queues": [{"Ref": "Rang"}],
                "PolicyDocument": {
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Principal": {"Service": "events.amazonaws.com"},
                            "Action": "sqs:SendMessage",
                            "Resource": {"Fn::GetAtt": "Rang.Arn"},
                        }
                    ]
                },
            },
        },
        "Machine": {
            "Type": "AWS::StepFunctions::StateMachine",
            "Properties": {"StateMachineName": "m", "RoleArn": {"Fn::GetAtt": "Role.Arn"}, "Definition": flow},
        },
    }
    with laptop(tmp_path) as user:
        user.deploy("rings", resources)
        machine = user.physical_ids("rings")["Machine"]
    restore, begun = Stacks.restore, []

    def restore_late(stacks: Stacks, but: str | None = None) -> None:
        """The door is open already, and the stacks are not back yet."""
        user = Somebody(stacks._services.clients.endpoint)
        put = user.client("events").put_events(Entries=[{"Source": "bell", "DetailType": "rings", "Detail": "{}"}])
        assert put["FailedEntryCount"] == 0
        begun.append(user.client("stepfunctions").start_execution(stateMachineArn=machine)["executionArn"])
        restore(stacks, but)

    monkeypatch.setattr(Stacks, "restore", restore_late)
    with laptop(tmp_path) as user:
        url = user.client("sqs").get_queue_url(QueueName="rang")["QueueUrl"]
        assert len(user.client("sqs").receive_message(QueueUrl=url, WaitTimeSeconds=5)["Messages"]) == 1
        states = user.client("stepfunctions")
        while (found := states.describe_execution(executionArn=begun[0]))["status"] == "RUNNING":
            time.sleep(0.05)
        assert found["status"] == "SUCCEEDED"


def killed(data: Path, copy: Path) -> Path:
    """The folder as it would be, were the laptop killed now."""
    shutil.copytree(data, copy, ignore=shutil.ignore_patterns("aws.sqlite*", "lock"))
    database = Path("aws") / "aws.sqlite"
    with closing(sqlite3.connect(data / database)) as now, closing(sqlite3.connect(copy / database)) as then:
        now.backup(then)
    return copy


def test_what_a_killed_laptop_did_not_finish_is_undone_or_finished_by_the_next(tmp_path: Path) -> None:
    def layer(version: int) -> bytes:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("python/lay.py", f"VERSION = {version}\n")
        return archive.getvalue()

    def resources(version: int, word: str) -> Json:
        content = {"S3Bucket": "layers-of-mine", "S3Key": f"{version}.zip"}
        made = {
            **waiting(word),
            "Layer": resource("Lambda::LayerVersion", LayerName="lay", Content=content),
            "User": function("import lay\ndef handler(event, context):\n    return lay.VERSION\n"),
            "Work": queue(QueueName=f"work-{version}"),
        }
        made["User"]["Properties"]["Layers"] = [{"Ref": "Layer"}]
        made["Long"]["DependsOn"] = ["User", "Work"]
        return made

    data = tmp_path / "first"
    with laptop(data) as user:
        user.client("s3").create_bucket(Bucket="layers-of-mine")
        for version in (1, 2):
            user.client("s3").put_object(Bucket="layers-of-mine", Key=f"{version}.zip", Body=layer(version))
        user.deploy("changing", resources(1, "a"))
        ids = user.physical_ids("changing")
        user.client("sqs").send_message(QueueUrl=ids["Work"], MessageBody="kept")
        user.deploy("going", {"Gone": QUEUE})
        with updating(user, data, "changing", resources(2, "wait")):
            # One piece of work at a time: these wait for their turn.
            user.stacks.create_stack(StackName="coming", TemplateBody=json.dumps({"Resources": {"New": QUEUE}}))
            user.stacks.delete_stack(StackName="going")
            assert user.invoke(ids["User"], {}) == 2
            copy = killed(data, tmp_path / "second")
    with laptop(copy) as user:
        assert user.at_rest("changing")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        assert user.invoke(ids["User"], {}) == 1
        assert [url.rpartition("/")[2] for url in user.queues("work-")] == ["work-1"]
        (message,) = user.client("sqs").receive_message(QueueUrl=user.physical_ids("changing")["Work"])["Messages"]
        assert message["Body"] == "kept"
        assert user.at_rest("coming")["StackStatus"] == "ROLLBACK_COMPLETE"
        eventually(lambda: user.status("going") is None)
        assert not user.queues("going")
        user.deploy("changing", resources(2, "b"))
        assert user.invoke(ids["User"], {}) == 2


# An app's folder


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "{app} is the folder of no CDK app: it holds no cdk.json"),
        ({"cdk.json": "{}"}, "{app}/cdk.json does not say how to run the app: it has no `app`"),
        (
            {"cdk.json": '{"app": "echo so; echo it broke >&2; exit 3"}'},
            "the app of {app} failed: `echo so; echo it broke >&2; exit 3` ended with 3: it broke",
        ),
    ],
)
def test_a_folder_that_is_no_working_app_is_one_sentence(tmp_path: Path, files: dict[str, str], sentence: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(TemplateError) as refused:
        synthesize(tmp_path, tmp_path / "out", "us-east-1")
    assert str(refused.value) == sentence.format(app=tmp_path)


def test_an_app_is_run_as_the_command_line_would(tmp_path: Path) -> None:
    (tmp_path / "cdk.json").write_text('{"app": "env > seen; pwd > where", "context": {"stage": "mine"}}')
    (tmp_path / "cdk.context.json").write_text('{"looked": "up"}')
    synthesize(tmp_path, tmp_path / "out", "eu-west-1")
    seen = dict(line.split("=", 1) for line in (tmp_path / "seen").read_text().splitlines() if "=" in line)
    assert (seen["CDK_OUTDIR"], seen["CDK_DEFAULT_REGION"]) == (str(tmp_path / "out"), "eu-west-1")
    assert json.loads(seen["CDK_CONTEXT_JSON"]).items() >= {"stage": "mine", "looked": "up"}.items()
    assert Path(seen["JSII_NODE"]).exists()
    assert (tmp_path / "where").read_text().strip() == str(tmp_path)


def test_the_stack_of_the_bootstrap_is_there_already(somebody: Somebody) -> None:
    (found,) = somebody.client("cloudformation").describe_stacks(StackName="CDKToolkit")["Stacks"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in found["Outputs"]}
    version = somebody.client("ssm").get_parameter(Name="/cdk-bootstrap/hnb659fds/version")["Parameter"]["Value"]
    assert (found["StackStatus"], outputs["BootstrapVersion"]) == ("CREATE_COMPLETE", version)
    somebody.client("s3").head_bucket(Bucket=outputs["BucketName"])
    # The CDK's command line overwrites none of another variant than its own.
    (variant,) = found["Parameters"]
    assert variant == {"ParameterKey": "BootstrapVariant", "ParameterValue": "the AWS on the laptop"}


def test_an_app_that_says_python_is_run_by_the_laptops(tmp_path: Path) -> None:
    (tmp_path / "cdk.json").write_text('{"app": "python app.py"}')
    (tmp_path / "app.py").write_text("import pathlib, sys; pathlib.Path('seen').write_text(sys.prefix)")
    synthesize(tmp_path, tmp_path / "out", "us-east-1")
    assert (tmp_path / "seen").read_text() == sys.prefix

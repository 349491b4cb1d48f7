"""What would hurt if the template lost it. `app.py` itself fails on a finding of cdk-nag."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from infra import layers
from tests.infra.conftest import ROOT, synthesize

Template = dict[str, Any]


def of_type(template: Template, kind: str) -> list[dict[str, Any]]:
    return [resource["Properties"] for resource in template["Resources"].values() if resource["Type"] == kind]


def statements(template: Template) -> list[dict[str, Any]]:
    return [
        statement
        for policy in of_type(template, "AWS::IAM::Policy")
        for statement in policy["PolicyDocument"]["Statement"]
    ]


def actions(statement: dict[str, Any]) -> list[str]:
    return [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]


def media_bucket(template: Template) -> dict[str, Any]:
    (bucket,) = (one for one in of_type(template, "AWS::S3::Bucket") if "VersioningConfiguration" in one)
    return bucket


def test_nothing_in_a_bucket_is_public_or_readable_without_tls(template: Template) -> None:
    buckets = of_type(template, "AWS::S3::Bucket")
    assert len(buckets) == 2
    for bucket in buckets:
        assert all(bucket["PublicAccessBlockConfiguration"].values())
        assert bucket["BucketEncryption"]
    denials = [
        statement["Condition"]
        for policy in of_type(template, "AWS::S3::BucketPolicy")
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny"
    ]
    assert denials.count({"Bool": {"aws:SecureTransport": "false"}}) == 2


def test_the_media_bucket_keeps_versions_for_a_while_and_tells_eventbridge(template: Template) -> None:
    bucket = media_bucket(template)
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    assert "ExpirationInDays" not in rule


def test_results_and_query_uploads_expire_and_derived_files_do_not(template: Template) -> None:
    (bucket,) = (one for one in of_type(template, "AWS::S3::Bucket") if "VersioningConfiguration" not in one)
    days = {rule.get("Prefix"): rule.get("ExpirationInDays") for rule in bucket["LifecycleConfiguration"]["Rules"]}
    assert days["jobs/"] and days["query/"] == 1 and "derived/" not in days


def test_pages_may_use_the_urls_they_are_handed(template: Template) -> None:
    rules = {
        frozenset(rule["AllowedMethods"])
        for bucket in of_type(template, "AWS::S3::Bucket")
        for rule in bucket["CorsConfiguration"]["CorsRules"]
    }
    assert rules == {frozenset({"GET", "HEAD", "POST"}), frozenset({"GET", "POST"})}


def test_the_queue_outlives_the_function_six_times_and_has_somewhere_to_leave_what_fails(template: Template) -> None:
    queues = [one for one in of_type(template, "AWS::SQS::Queue") if "RedrivePolicy" in one]
    mappings = of_type(template, "AWS::Lambda::EventSourceMapping")
    (ingest,) = {mapping["FunctionName"]["Ref"] for mapping in mappings}
    function = template["Resources"][ingest]["Properties"]
    assert len(queues) == len(mappings) == 2
    for queue in queues:
        assert queue["VisibilityTimeout"] >= 6 * function["Timeout"]
        assert queue["RedrivePolicy"]["maxReceiveCount"] == 5
    assert all(one["MessageRetentionPeriod"] == 14 * 86_400 for one in of_type(template, "AWS::SQS::Queue"))
    assert all("KmsMasterKeyId" not in one for one in of_type(template, "AWS::SQS::Queue"))
    for mapping in mappings:
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert mapping["BatchSize"] == 10 and mapping["ScalingConfig"]["MaximumConcurrency"] >= 2
    assert "ReservedConcurrentExecutions" not in function


def test_every_rule_has_a_queue_for_events_it_cannot_deliver(template: Template) -> None:
    rules = [rule for rule in of_type(template, "AWS::Events::Rule") if "EventPattern" in rule]
    assert len(rules) == 3
    assert all("DeadLetterConfig" in target for rule in rules for target in rule["Targets"])


def test_every_action_is_of_an_iam_service_and_none_is_a_wildcard(template: Template) -> None:
    session = botocore.session.get_session()
    known = {
        session.get_service_model(name).signing_name or session.get_service_model(name).endpoint_prefix
        for name in ("bedrock-runtime", "dynamodb", "logs", "s3", "s3vectors", "sqs", "stepfunctions", "lambda", "xray")
    }
    for statement in statements(template):
        for action in actions(statement):
            assert action.partition(":")[0] in known, action
            assert "*" not in action, action


def test_only_ingest_and_index_may_write_vectors(template: Template) -> None:
    writers = {
        json.dumps(policy["Roles"])
        for policy in of_type(template, "AWS::IAM::Policy")
        for statement in policy["PolicyDocument"]["Statement"]
        if {"s3vectors:PutVectors", "s3vectors:DeleteVectors"} & set(actions(statement))
    }
    assert len(writers) == 2
    assert all("Ingest" in writer or "IndexJob" in writer for writer in writers)


def test_search_may_delete_and_take_objects_but_change_neither_the_catalog_nor_the_index(template: Template) -> None:
    (policy,) = (one for one in of_type(template, "AWS::IAM::Policy") if "SearchSearchRole" in json.dumps(one["Roles"]))
    granted = {action for statement in policy["PolicyDocument"]["Statement"] for action in actions(statement)}
    assert not {action for action in granted if re.search(r":(Put|Update|Delete|Create|Write)", action)} - {
        "logs:PutLogEvents",
        "logs:CreateLogStream",
        "s3:DeleteObject",
        "s3:PutObject",
    }
    puts = [one["Resource"] for one in policy["PolicyDocument"]["Statement"] if "s3:PutObject" in actions(one)]
    assert sorted(re.findall(r"/\w+/\*", json.dumps(puts))) == ["/query/*", "/uploads/*"] and len(puts) == 2
    assert {"s3vectors:QueryVectors", "s3vectors:GetVectors"} <= granted


def test_every_route_wants_a_signature_and_agents_may_do_nothing_but_ask_the_search_function(
    template: Template,
) -> None:
    routes = of_type(template, "AWS::ApiGatewayV2::Route")
    assert {route["RouteKey"]: route["AuthorizationType"] for route in routes} == {
        "$default": "AWS_IAM",
        "ANY /mcp": "AWS_IAM",
    }
    (policy,) = (one for one in of_type(template, "AWS::IAM::Policy") if "AgentsAgentsRole" in json.dumps(one["Roles"]))
    granted = [
        (action, statement["Resource"])
        for statement in policy["PolicyDocument"]["Statement"]
        for action in actions(statement)
        if not action.startswith("logs:")
    ]
    (search,) = (
        name
        for name, resource in template["Resources"].items()
        if resource.get("Properties", {}).get("Handler") == "lambdas.search.handler.handler"
    )
    assert granted == [("lambda:InvokeFunction", {"Fn::GetAtt": [search, "Arn"]})]


def test_whoever_starts_a_job_may_do_what_bedrock_does_in_its_name(template: Template) -> None:
    policies = (one for one in of_type(template, "AWS::IAM::Policy") if "IngestionJobsRole" in json.dumps(one["Roles"]))
    grants = {
        (action, json.dumps(one["Resource"]))
        for policy in policies
        for one in policy["PolicyDocument"]["Statement"]
        for action in actions(one)
    }
    invoked = " ".join(resource for action, resource in grants if action == "bedrock:InvokeModel")
    assert "foundation-model/amazon.nova-2-multimodal-embeddings-v1:0" in invoked and "async-invoke/*" in invoked
    assert any(action == "s3:PutObject" and "/jobs/*" in resource for action, resource in grants)
    assert any(action == "s3:GetObject" and "StorageMedia" in resource for action, resource in grants)


def test_the_template_has_no_function_that_we_did_not_write(template: Template) -> None:
    functions = of_type(template, "AWS::Lambda::Function")
    assert sorted(one["Handler"] for one in functions) == [
        "lambdas.agents.handler.handler",
        "lambdas.index.handler.handler",
        "lambdas.ingest.handler.handler",
        "lambdas.jobs.handler.handler",
        "lambdas.pages.handler.handler",
        "lambdas.prepare.handler.handler",
        "lambdas.search.handler.handler",
        "lambdas.text_search.handler.handler",
    ]
    assert {one["Runtime"] for one in functions} == {"python3.14"}
    assert {tuple(one["Architectures"]) for one in functions} == {("arm64",)}
    assert len({json.dumps(one["Code"]) for one in functions}) == 1


def test_the_code_asset_imports_every_handler_by_itself(template: Template, assembly: Path, tmp_path: Path) -> None:
    (key,) = {one["Code"]["S3Key"] for one in of_type(template, "AWS::Lambda::Function")}
    files = json.loads((assembly / "Bucketlens.assets.json").read_text())["files"]
    asset = assembly / files[key.partition(".")[0]]["source"]["path"]
    assert not [path for path in asset.rglob("*") if path.is_dir() and path.name == "__pycache__"]
    for function in of_type(template, "AWS::Lambda::Function"):
        module, _, name = function["Handler"].rpartition(".")
        program = f"import importlib, sys; sys.path.insert(0, {str(asset)!r}); "
        program += f"module = importlib.import_module({module!r}); assert callable(module.{name}); "
        program += f"assert module.__file__.startswith({str(asset)!r})"
        subprocess.run([sys.executable, "-B", "-c", program], cwd=tmp_path, env={}, check=True)


@pytest.mark.parametrize("name", layers.NAMES)
def test_a_layer_holds_wheels_for_lambda_and_fits_into_it(name: str) -> None:
    folder = layers.built(name)
    tags = [
        line.removeprefix("Tag: ")
        for wheel in folder.rglob("*.dist-info/WHEEL")
        for line in wheel.read_text().splitlines()
        if line.startswith("Tag: ")
    ]
    assert tags
    assert not [tag for tag in tags if not tag.endswith(("-any", "aarch64"))]
    assert not list(folder.rglob("*x86_64*"))
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 250 * 1024 * 1024


def test_cfn_lint_finds_nothing(assembly: Path) -> None:
    lint = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run([lint, assembly / "Bucketlens.template.json"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_a_region_without_the_model_is_refused_in_one_sentence(tmp_path: Path) -> None:
    done = synthesize(tmp_path / "cdk.out", CDK_DEFAULT_REGION="eu-west-1")
    assert done.returncode == 1
    assert done.stderr.strip().count("\n") == 0
    assert "eu-west-1" in done.stderr and "us-east-1" in done.stderr


def test_a_second_synth_makes_the_same_template(assembly: Path, tmp_path: Path) -> None:
    (ROOT / "lambdas" / "shared" / "__pycache__").mkdir(exist_ok=True)
    assert synthesize(tmp_path / "cdk.out").returncode == 0
    name = "Bucketlens.template.json"
    assert (tmp_path / "cdk.out" / name).read_text() == (assembly / name).read_text()

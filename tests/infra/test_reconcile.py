"""A pass over bucket, catalog and index: who may read for it, and when it begins by itself."""

import json
from typing import Any

from aws_cdk import App
from aws_cdk.assertions import Template

from infra.config import Config
from infra.stack import BucketlensStack
from local.events.transform import Origin, target_input
from tests.infra.test_template import actions, of_type


def passes(template: dict[str, Any]) -> list[dict[str, Any]]:
    rules = of_type(template, "AWS::Events::Rule")
    return [rule for rule in rules if "ScheduleExpression" in rule and "IngestionQueue" in json.dumps(rule["Targets"])]


def test_no_pass_begins_by_itself_unless_hours_are_given(template: dict[str, Any]) -> None:
    assert passes(template) == []


def test_a_pass_begins_every_so_many_hours_with_an_id_of_its_own() -> None:
    app = App(context={"reconcile_hours": "24"})
    stack = BucketlensStack(app, "Bucketlens", config=Config.from_context(app, "us-east-1"))
    (rule,) = passes(dict(Template.from_stack(stack).to_json()))
    assert rule["ScheduleExpression"] == "rate(1 day)"
    (target,) = rule["Targets"]
    assert "DeadLetterConfig" in target
    order = target_input(target, {"id": "an-event"}, Origin("Reconcile", "arn"))
    assert json.loads(order) == {"reconcile": {"id": "an-event"}}


def test_many_assets_are_read_at_once_by_search_and_ingest_only_and_only_from_the_table(
    template: dict[str, Any],
) -> None:
    granted = {
        json.dumps(policy["Roles"]): statement["Resource"]
        for policy in of_type(template, "AWS::IAM::Policy")
        for statement in policy["PolicyDocument"]["Statement"]
        if "dynamodb:BatchGetItem" in actions(statement)
    }
    assert len(granted) == 2 and all("Search" in role or "IngestionIngest" in role for role in granted), granted
    assert all("Fn::GetAtt" in resource for resource in granted.values()), granted

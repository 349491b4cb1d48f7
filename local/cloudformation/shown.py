"""Stacks, resources and change sets as CloudFormation describes them."""

import json
from collections.abc import Mapping
from typing import Any

from local.cloudformation.changesets import ChangeSet
from local.cloudformation.templates import capabilities
from local.stack.records import Record, Stack

Shown = dict[str, Any]


def stack(found: Stack) -> Shown:
    outputs = found.template.get("Outputs", {})
    return {
        **stack_summary(found),
        "Description": found.template.get("Description"),
        "Parameters": parameters(found.template, found.parameters, found.values),
        "ChangeSetId": found.change_set,
        "DisableRollback": False,
        "NotificationARNs": [],
        "Capabilities": found.capabilities,
        "Outputs": [
            {"OutputKey": name, "OutputValue": value, "Description": outputs.get(name, {}).get("Description")}
            for name, value in found.outputs.items()
        ],
        "RoleARN": found.role_arn,
        "Tags": _tags(found.tags),
        "EnableTerminationProtection": found.protected,
        "RollbackConfiguration": {},
    }


def stack_summary(found: Stack) -> Shown:
    return {
        "StackId": found.id,
        "StackName": found.name,
        "TemplateDescription": found.template.get("Description"),
        "CreationTime": found.created,
        "LastUpdatedTime": found.updated,
        "DeletionTime": found.deleted,
        "StackStatus": found.status,
        "StackStatusReason": found.reason,
        "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
    }


def resource(of: Stack, record: Record) -> Shown:
    """As in all three operations that tell of resources; each takes the members it has."""
    return {
        "StackName": of.name,
        "StackId": of.id,
        "LogicalResourceId": record.logical_id,
        "PhysicalResourceId": record.physical_id,
        "ResourceType": record.type,
        "Timestamp": record.changed,
        "LastUpdatedTimestamp": record.changed,
        "ResourceStatus": record.status,
        "ResourceStatusReason": record.reason,
        "Metadata": json.dumps(of.template["Resources"].get(record.logical_id, {}).get("Metadata", {})),
        "DriftInformation": {"StackResourceDriftStatus": "NOT_CHECKED"},
    }


def change_set(found: ChangeSet) -> Shown:
    proposal = found.proposal
    return {
        **change_set_summary(found),
        "Parameters": parameters(proposal.template, proposal.parameters, proposal.values),
        "Capabilities": proposal.capabilities,
        "NotificationARNs": [],
        "RollbackConfiguration": {},
        "Tags": _tags(proposal.tags),
        "OnStackFailure": found.on_failure,
    }


def change_set_summary(found: ChangeSet) -> Shown:
    return {
        "ChangeSetName": found.name,
        "ChangeSetId": found.id,
        "StackId": found.stack_id,
        "StackName": found.stack_name,
        "Description": found.description,
        "CreationTime": found.created,
        "Status": found.status,
        "StatusReason": found.reason,
        "ExecutionStatus": found.execution,
        "IncludeNestedStacks": False,
    }


def parameters(template: Mapping[str, Any], given: Mapping[str, str], values: Mapping[str, Any]) -> list[Shown]:
    """What was given for each, or its default; for one that is read from SSM with what was read."""
    return [
        _parameter(name, declared, given.get(name, declared.get("Default")), values.get(name))
        for name, declared in template.get("Parameters", {}).items()
    ]


def _parameter(name: str, declared: Mapping[str, Any], given: Any, value: Any) -> Shown:
    shown: Shown = {"ParameterKey": name, "ParameterValue": given}
    if declared["Type"].startswith("AWS::SSM::"):
        shown["ResolvedValue"] = ",".join(value) if isinstance(value, list) else value
    if str(declared.get("NoEcho")).lower() == "true":
        shown = {"ParameterKey": name, "ParameterValue": "****"}
    return shown


def template_summary(template: Mapping[str, Any]) -> Shown:
    needed = capabilities(dict(template))
    kinds = sorted({body["Type"] for body in template["Resources"].values()})
    reason = f"The following resource(s) require capabilities: [{', '.join(kinds)}]"
    return {
        "Parameters": [
            {
                "ParameterKey": name,
                "DefaultValue": declared.get("Default"),
                "ParameterType": declared["Type"],
                "NoEcho": str(declared.get("NoEcho", False)).lower() == "true",
                "Description": declared.get("Description"),
                "ParameterConstraints": {"AllowedValues": declared.get("AllowedValues", [])},
            }
            for name, declared in template.get("Parameters", {}).items()
        ],
        "Description": template.get("Description"),
        "Capabilities": needed,
        "CapabilitiesReason": reason if needed else None,
        "ResourceTypes": kinds,
        "Version": template.get("AWSTemplateFormatVersion"),
        "Metadata": json.dumps(template["Metadata"]) if "Metadata" in template else None,
        "DeclaredTransforms": [],
    }


def _tags(tags: Mapping[str, str]) -> list[Shown]:
    return [{"Key": name, "Value": value} for name, value in tags.items()]

"""Roles with their policies, policies of resources, log groups, and types that nothing on the laptop asks for yet."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from local.iam.statements import Statement, read_policy, read_resource_policy
from local.stack.template import Made, Resource, TemplateError
from local.stack.workshop import Kind, Properties, Workshop
from local.wire import ACCOUNT

_OWN = "its own"
"""The source of what a role or a bucket has only one of, whatever the template calls it."""
_HELD = "ManagedPolicyArns"
"""Above the sources of the managed policies that a role names, apart from those of policies that name the role."""


def _role(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    name = workshop.name(resource, properties, "RoleName", 64)
    arn = f"arn:aws:iam::{ACCOUNT}:role{properties.get('Path', '/')}{name}"
    if "AssumeRolePolicyDocument" not in properties:
        raise TemplateError("it has no AssumeRolePolicyDocument")
    _of_resource(workshop, resource, arn, properties["AssumeRolePolicyDocument"])
    roles = workshop.services.permissions.roles
    roles.drop(arn, _OWN)
    roles.drop(arn, _HELD)
    roles.put(arn, _OWN, ())  # one without policies may do nothing
    for policy in properties.get("Policies", []):
        roles.put(arn, f"{_OWN}/{policy['PolicyName']}", _statements(policy["PolicyName"], policy))
    for managed in properties.get("ManagedPolicyArns", []):
        roles.put(arn, f"{_HELD}/{managed}", _managed(workshop, managed))
    workshop.roles[name] = arn
    return Made(name, {"Arn": arn, "RoleId": f"AROA{name[-17:].replace('-', '').upper()}"})


def _delete_role(workshop: Workshop, physical_id: str, properties: Properties) -> None:
    arn = workshop.roles.pop(physical_id, "")
    workshop.services.permissions.roles.drop(arn)
    workshop.services.permissions.resources.drop(arn)


def _statements(name: str, properties: Properties) -> tuple[Statement, ...]:
    return read_policy(name, properties["PolicyDocument"])


def _policy(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    """An inline policy of the roles it names; there are no users or groups here to have one."""
    _attach(workshop, resource.logical_id, _statements(resource.logical_id, properties), properties)
    return Made(resource.logical_id, {"Id": resource.logical_id})


def _delete_policy(workshop: Workshop, physical_id: str, properties: Properties) -> None:
    _detach(workshop, physical_id)


def _managed_policy(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    name = workshop.name(resource, properties, "ManagedPolicyName", 128)
    arn = f"arn:aws:iam::{ACCOUNT}:policy{properties.get('Path', '/')}{name}"
    statements = workshop.policies[arn] = _statements(resource.logical_id, properties)
    _attach(workshop, arn, statements, properties)
    roles = workshop.services.permissions.roles
    for role_arn in workshop.roles.values():
        if (holder := roles.get(role_arn)) and f"{_HELD}/{arn}" in holder.sources:
            roles.put(role_arn, f"{_HELD}/{arn}", statements)
    return Made(arn, {"PolicyArn": arn})


def _delete_managed_policy(workshop: Workshop, physical_id: str, properties: Properties) -> None:
    workshop.policies.pop(physical_id, None)
    _detach(workshop, physical_id)
    _detach(workshop, f"{_HELD}/{physical_id}")


def _attach(workshop: Workshop, source: str, statements: tuple[Statement, ...], properties: Properties) -> None:
    _detach(workshop, source)
    for name in properties.get("Roles", []):
        if name not in workshop.roles:
            raise TemplateError(f"the role {name} is not part of the template, and the laptop has no other")
        workshop.services.permissions.roles.put(workshop.roles[name], source, statements)


def _detach(workshop: Workshop, source: str) -> None:
    for arn in workshop.roles.values():
        workshop.services.permissions.roles.drop(arn, source)


def _managed(workshop: Workshop, arn: str) -> tuple[Statement, ...]:
    if arn in workshop.policies:
        return workshop.policies[arn]
    name = arn.rpartition("/")[2]
    if not arn.startswith("arn:aws:iam::aws:policy/") or name not in _managed_by_aws():
        raise TemplateError(f"the laptop does not know the managed policy {arn}")
    return read_policy(name, _managed_by_aws()[name]["Document"])


@cache
def _managed_by_aws() -> Mapping[str, Any]:
    """As they were when moto was published."""
    from moto.iam.aws_managed_policies import aws_managed_policies_data  # takes a second, and few templates need it

    policies: Mapping[str, Any] = json.loads(aws_managed_policies_data)
    return policies


def _permission(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    """A statement of a function's policy (AddPermission in the Lambda API reference)."""
    function = _function_arn(workshop, properties)
    principal = str(properties["Principal"])
    service = principal.endswith(".amazonaws.com")
    conditions: dict[str, Any] = {}
    if "SourceArn" in properties:
        conditions["ArnLike"] = {"aws:SourceArn": properties["SourceArn"]}
    if "SourceAccount" in properties:
        conditions["StringEquals"] = {"aws:SourceAccount": properties["SourceAccount"]}
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": principal} if service else "*" if principal == "*" else {"AWS": principal},
        "Action": properties["Action"],
        "Resource": [function, f"{function}:*"],
        "Condition": conditions,
    }
    statements = read_policy(resource.logical_id, {"Statement": [statement]})
    permission_id = _one_of(workshop, resource)
    workshop.services.permissions.resources.put(function, permission_id, statements)
    return Made(permission_id, {"Id": permission_id})


def _function_arn(workshop: Workshop, properties: Properties) -> str:
    return workshop.services.functions.spec(properties["FunctionName"]).arn(workshop.region)


def _delete_permission(workshop: Workshop, physical_id: str, properties: Properties) -> None:
    workshop.services.permissions.resources.drop(_function_arn(workshop, properties), physical_id)


def _bucket_policy(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    _of_resource(workshop, resource, f"arn:aws:s3:::{properties['Bucket']}", properties["PolicyDocument"])
    return Made(properties["Bucket"])


def _delete_bucket_policy(workshop: Workshop, physical_id: str, properties: Properties) -> None:
    workshop.services.permissions.resources.drop(f"arn:aws:s3:::{properties['Bucket']}", _OWN)


def _queue_policy(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    policy_id = _one_of(workshop, resource)
    for url in properties["Queues"]:
        workshop.services.sqs.set_policy(url, json.dumps(properties["PolicyDocument"]))
        workshop.queue_policies[url.rpartition("/")[2]] = policy_id
    return Made(policy_id, {"Id": policy_id})


def _delete_queue_policy(workshop: Workshop, physical_id: str, properties: Properties) -> None:
    """Not of a queue that has had another one since."""
    for url in properties["Queues"]:
        if workshop.queue_policies.get(url.rpartition("/")[2], physical_id) == physical_id:
            workshop.services.sqs.set_policy(url, "")


def _vector_bucket_policy(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    policy = properties["Policy"]
    text = policy if isinstance(policy, str) else json.dumps(policy)
    name = _vector_bucket(properties)
    workshop.services.s3vectors.set_policy(name, text)
    return Made(workshop.arn("s3vectors", f"bucket/{name}"))


def _vector_bucket(properties: Properties) -> str:
    arn = str(properties.get("VectorBucketArn", ""))
    return arn.rpartition("/")[2] or str(properties.get("VectorBucketName"))


def _delete_vector_bucket_policy(workshop: Workshop, physical_id: str, properties: Properties) -> None:
    workshop.services.s3vectors.set_policy(_vector_bucket(properties), None)


def _one_of(workshop: Workshop, resource: Resource) -> str:
    """An id that differs from that of what the resource replaces."""
    return f"{workshop.stack}-{resource.logical_id}-{workshop.digest(resource)[:12]}"


def _of_resource(workshop: Workshop, resource: Resource, arn: str, document: Any) -> None:
    statements = read_resource_policy(resource.logical_id, document, arn)
    workshop.services.permissions.resources.put(arn, _OWN, statements)


def _log_group(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    name = workshop.name(resource, properties, "LogGroupName", 512)
    return Made(name, {"Arn": workshop.arn("logs", f"log-group:{name}:*")})


KINDS = {
    "AWS::IAM::Role": Kind(
        _role,
        delete=_delete_role,
        create_only="Path RoleName",
        named="RoleName",
        knows="AssumeRolePolicyDocument ManagedPolicyArns Path Policies RoleName",
        ignores="Description MaxSessionDuration",
    ),
    "AWS::IAM::Policy": Kind(_policy, delete=_delete_policy, knows="PolicyDocument PolicyName Roles"),
    "AWS::IAM::ManagedPolicy": Kind(
        _managed_policy,
        delete=_delete_managed_policy,
        create_only="ManagedPolicyName Path",
        named="ManagedPolicyName",
        knows="ManagedPolicyName Path PolicyDocument Roles",
        ignores="Description",
    ),
    "AWS::Lambda::Permission": Kind(
        _permission,
        delete=_delete_permission,
        create_only="*",
        knows="Action FunctionName Principal SourceAccount SourceArn",
    ),
    "AWS::Logs::LogGroup": Kind(
        _log_group,
        create_only="LogGroupName",
        named="LogGroupName",
        knows="LogGroupName",
        ignores="RetentionInDays KmsKeyId LogGroupClass",
    ),
    "AWS::S3::BucketPolicy": Kind(
        _bucket_policy, delete=_delete_bucket_policy, create_only="Bucket", knows="Bucket PolicyDocument"
    ),
    "AWS::S3Vectors::VectorBucketPolicy": Kind(
        _vector_bucket_policy,
        delete=_delete_vector_bucket_policy,
        create_only="VectorBucketArn VectorBucketName",
        knows="Policy VectorBucketArn VectorBucketName",
    ),
    "AWS::SQS::QueuePolicy": Kind(
        _queue_policy,
        delete=_delete_queue_policy,
        create_only="Queues",  # on AWS it stays the same one, and the queues it leaves lose their policy, as here
        knows="PolicyDocument Queues",
    ),
}

INERT = (
    "AWS::CDK::Metadata",
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::Logs::ResourcePolicy",
    "AWS::XRay::Group",
)
"""Their properties are not looked at."""

"""Roles and log groups, which are names here, and types that nothing on the laptop asks for yet."""

from local.stack.template import Made, Resource
from local.stack.workshop import Kind, Properties, Workshop
from local.wire import ACCOUNT


def _role(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    name = workshop.name(resource, properties, "RoleName", 64)
    arn = f"arn:aws:iam::{ACCOUNT}:role{properties.get('Path', '/')}{name}"
    return Made(name, {"Arn": arn, "RoleId": f"AROA{name[-17:].replace('-', '').upper()}"})


def _log_group(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    name = workshop.name(resource, properties, "LogGroupName", 512)
    return Made(name, {"Arn": workshop.arn("logs", f"log-group:{name}:*")})


KINDS = {
    "AWS::IAM::Role": Kind(
        _role,
        knows="Path RoleName",
        ignores="AssumeRolePolicyDocument Description ManagedPolicyArns MaxSessionDuration Policies",
    ),
    "AWS::Logs::LogGroup": Kind(_log_group, knows="LogGroupName", ignores="RetentionInDays KmsKeyId LogGroupClass"),
}

INERT = (
    "AWS::CDK::Metadata",
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Policy",
    "AWS::Lambda::Permission",
    "AWS::Logs::ResourcePolicy",
    "AWS::S3::BucketPolicy",
    "AWS::S3Vectors::VectorBucketPolicy",
    "AWS::SQS::QueuePolicy",
    "AWS::XRay::Group",
)
"""Their properties are not looked at."""

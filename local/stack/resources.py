"""How each type of resource is made on the laptop.

A type is known here or it stops the start; so is a property, unless it is listed as one that cannot matter on a
laptop (encryption, tags, alarms, log retention, retention policies).
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.dynamodb import DynamoDb
from local.events import EventBus, matches
from local.functions import EventSourceMapping, Functions, FunctionSpec
from local.gateway import Gateway
from local.s3 import S3
from local.s3vectors import S3Vectors
from local.sqs import Sqs
from local.stack.template import Assembly, Made, Resource, TemplateError
from local.stepfunctions import StepFunctions
from local.wire import ACCOUNT

Properties = dict[str, Any]


@dataclass
class Services:
    """What resources are made in."""

    s3: S3
    sqs: Sqs
    dynamodb: DynamoDb
    events: EventBus
    stepfunctions: StepFunctions
    s3vectors: S3Vectors
    functions: Functions
    gateway: Gateway
    app_url: str
    scratch: Path


@dataclass(frozen=True)
class Integration:
    """An HTTP API's way to a function."""

    function: str
    payload_version: str


@dataclass
class Workshop:
    """One stack being made: the services, and what later resources need to know of earlier ones."""

    services: Services
    assembly: Assembly
    layers: dict[str, Path] = field(default_factory=dict)
    mappings: list[EventSourceMapping] = field(default_factory=list)
    integrations: dict[str, Integration] = field(default_factory=dict)
    apis: dict[str, Properties] = field(default_factory=dict)
    routes: dict[str, list[tuple[str, str, str]]] = field(default_factory=dict)

    def name(self, resource: Resource, properties: Properties, key: str) -> str:
        """The physical name: as given, else made of the stack's and the logical id, the same at every start."""
        if properties.get(key):
            return str(properties[key])
        digest = hashlib.sha256(f"{self.assembly.name}/{resource.logical_id}".encode()).hexdigest()[:12]
        return f"{self.assembly.name}-{resource.logical_id[:40]}-{digest}"

    def arn(self, service: str, rest: str) -> str:
        return f"arn:aws:{service}:{self.assembly.region}:{ACCOUNT}:{rest}"


Maker = Callable[[Workshop, Resource, Properties], Made]


@dataclass(frozen=True)
class Kind:
    """`knows` are the properties that are acted upon, `ignores` those that cannot matter on a laptop."""

    make: Maker
    knows: frozenset[str]
    ignores: frozenset[str]

    def check(self, resource: Resource) -> None:
        unknown = sorted(set(resource.properties) - self.knows - self.ignores)
        if unknown:
            raise TemplateError(
                f"{resource.logical_id} ({resource.type}) uses {', '.join(unknown)}, which the laptop does not know"
            )


KINDS: dict[str, Kind] = {}


def kind(name: str, knows: str = "", ignores: str = "") -> Callable[[Maker], Maker]:
    def register(make: Maker) -> Maker:
        KINDS[name] = Kind(make, frozenset(knows.split()), frozenset(ignores.split()) | {"Tags"})
        return make

    return register


def make(workshop: Workshop, resource: Resource, resolve: Callable[[Any], Any]) -> Made:
    """Make one resource (custom resources are made elsewhere); TemplateError for what is not known."""
    known = KINDS.get(resource.type)
    if known is None:
        raise TemplateError(f"{resource.logical_id} is a {resource.type}, which the laptop does not know")
    known.check(resource)
    return known.make(workshop, resource, resolve(resource.properties))


# -- storage ------------------------------------------------------------------------------------------------------


@kind(
    "AWS::S3::Bucket",
    knows="BucketName VersioningConfiguration NotificationConfiguration LifecycleConfiguration CorsConfiguration",
    ignores="BucketEncryption PublicAccessBlockConfiguration OwnershipControls LoggingConfiguration",
)
def _bucket(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    name = _bucket_name(workshop, resource, properties, "BucketName")
    workshop.services.s3.ensure_bucket(name, properties)
    domain = f"{name}.s3.amazonaws.com"
    return Made(name, {"Arn": f"arn:aws:s3:::{name}", "DomainName": domain, "RegionalDomainName": domain})


def _bucket_name(workshop: Workshop, resource: Resource, properties: Properties, key: str) -> str:
    """Buckets take lower case and digits, at most 63 characters."""
    if properties.get(key):
        return str(properties[key])
    long = workshop.name(resource, properties, key).lower()
    return f"{long[:-13][:50].rstrip('-')}{long[-13:]}"


@kind(
    "AWS::DynamoDB::GlobalTable",
    knows="TableName KeySchema AttributeDefinitions GlobalSecondaryIndexes LocalSecondaryIndexes "
    "TimeToLiveSpecification",
    ignores="BillingMode Replicas SSESpecification WriteProvisionedThroughputSettings",
)
@kind(
    "AWS::DynamoDB::Table",
    knows="TableName KeySchema AttributeDefinitions GlobalSecondaryIndexes LocalSecondaryIndexes "
    "TimeToLiveSpecification",
    ignores="BillingMode ProvisionedThroughput PointInTimeRecoverySpecification SSESpecification TableClass "
    "DeletionProtectionEnabled ContributorInsightsSpecification",
)
def _table(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    name = workshop.name(resource, properties, "TableName")
    workshop.services.dynamodb.ensure_table(name, properties)
    return Made(name, {"Arn": workshop.arn("dynamodb", f"table/{name}")})


@kind("AWS::S3Vectors::VectorBucket", knows="VectorBucketName EncryptionConfiguration")
def _vector_bucket(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    name = _bucket_name(workshop, resource, properties, "VectorBucketName")
    workshop.services.s3vectors.ensure_vector_bucket(name, properties)
    arn = workshop.arn("s3vectors", f"bucket/{name}")
    return Made(arn, {"VectorBucketArn": arn})


@kind(
    "AWS::S3Vectors::Index",
    knows="IndexName VectorBucketName VectorBucketArn DataType Dimension DistanceMetric MetadataConfiguration "
    "EncryptionConfiguration",
)
def _index(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    name = properties.get("IndexName") or workshop.name(resource, properties, "IndexName").lower()[-63:].lstrip("-")
    bucket = properties.get("VectorBucketName") or properties["VectorBucketArn"].rpartition("/")[2]
    workshop.services.s3vectors.ensure_index({**properties, "IndexName": name})
    arn = workshop.arn("s3vectors", f"bucket/{bucket}/index/{name}")
    return Made(arn, {"IndexArn": arn})


# -- messages -----------------------------------------------------------------------------------------------------


@kind(
    "AWS::SQS::Queue",
    knows="QueueName DelaySeconds MaximumMessageSize MessageRetentionPeriod ReceiveMessageWaitTimeSeconds "
    "RedrivePolicy RedriveAllowPolicy VisibilityTimeout FifoQueue",
    ignores="SqsManagedSseEnabled KmsMasterKeyId KmsDataKeyReusePeriodSeconds",
)
def _queue(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    name = workshop.name(resource, properties, "QueueName")[:80]
    workshop.services.sqs.ensure_queue(name, properties)
    url = workshop.services.sqs.queue_url(name)
    return Made(url, {"Arn": workshop.arn("sqs", name), "QueueName": name, "QueueUrl": url})


@kind(
    "AWS::Events::Rule",
    knows="Name Description EventPattern ScheduleExpression State Targets EventBusName",
    ignores="RoleArn",
)
def _rule(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    name = workshop.name(resource, properties, "Name")[:64]
    workshop.services.events.ensure_rule(name, properties)
    return Made(name, {"Arn": workshop.arn("events", f"rule/{name}")})


# -- functions ----------------------------------------------------------------------------------------------------


@kind(
    "AWS::Lambda::LayerVersion",
    knows="Content",
    ignores="CompatibleRuntimes CompatibleArchitectures Description LayerName LicenseInfo",
)
def _layer(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    arn = workshop.arn("lambda", f"layer:{resource.logical_id}:1")
    workshop.layers[arn] = workshop.assembly.asset(properties["Content"]["S3Key"])
    return Made(arn, {"LayerVersionArn": arn})


@kind(
    "AWS::Lambda::Function",
    knows="Architectures Code EphemeralStorage Environment FunctionName Handler Layers LoggingConfig MemorySize "
    "PackageType ReservedConcurrentExecutions Role Runtime Timeout",
    ignores="Description TracingConfig RuntimeManagementConfig RecursiveLoop",
)
def _function(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    name = workshop.name(resource, properties, "FunctionName")[:64]
    if properties.get("PackageType", "Zip") != "Zip":
        raise TemplateError(f"{resource.logical_id} is a container image, which the laptop does not run")
    spec = FunctionSpec(
        name=name,
        handler=properties["Handler"],
        code=_code(workshop, resource, properties["Code"]),
        layers=tuple(workshop.layers[arn] for arn in properties.get("Layers", [])),
        environment={
            key: str(value) for key, value in properties.get("Environment", {}).get("Variables", {}).items()
        },
        role_arn=properties["Role"],
        timeout=float(properties.get("Timeout", 3)),
        memory_mb=int(properties.get("MemorySize", 128)),
        tmp_mb=int(properties.get("EphemeralStorage", {}).get("Size", 512)),
        concurrency=properties.get("ReservedConcurrentExecutions"),
        runtime=properties["Runtime"],
        architecture=properties.get("Architectures", ["x86_64"])[0],
        log_group=properties.get("LoggingConfig", {}).get("LogGroup"),
    )
    return Made(name, {"Arn": workshop.services.functions.ensure_function(spec)})


def _code(workshop: Workshop, resource: Resource, code: Properties) -> Path:
    """The asset's folder, or a folder with the inline code as `index.py`."""
    if "S3Key" in code:
        return workshop.assembly.asset(code["S3Key"])
    if "ZipFile" not in code:
        raise TemplateError(f"{resource.logical_id} has code that is neither an asset nor inline")
    folder = workshop.services.scratch / "inline" / hashlib.sha256(code["ZipFile"].encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.py").write_text(code["ZipFile"])
    return folder


@kind(
    "AWS::Lambda::EventSourceMapping",
    knows="BatchSize Enabled EventSourceArn FilterCriteria FunctionName FunctionResponseTypes "
    "MaximumBatchingWindowInSeconds ScalingConfig",
)
def _event_source_mapping(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    mapping = EventSourceMapping(
        queue_arn=properties["EventSourceArn"],
        function=properties["FunctionName"],
        batch_size=int(properties.get("BatchSize", 10)),
        window_seconds=float(properties.get("MaximumBatchingWindowInSeconds", 0)),
        max_concurrency=properties.get("ScalingConfig", {}).get("MaximumConcurrency"),
        report_batch_item_failures="ReportBatchItemFailures" in properties.get("FunctionResponseTypes", []),
        filters=_record_filter(properties.get("FilterCriteria", {}).get("Filters", [])),
    )
    if properties.get("Enabled", True):
        workshop.mappings.append(mapping)
    return Made(resource.logical_id, {"Id": resource.logical_id})


def _record_filter(filters: list[Properties]) -> Callable[[Mapping[str, Any]], bool] | None:
    patterns = [json.loads(one["Pattern"]) for one in filters]
    return (lambda record: any(matches(pattern, record) for pattern in patterns)) if patterns else None


@kind(
    "AWS::StepFunctions::StateMachine",
    knows="Definition DefinitionString DefinitionSubstitutions RoleArn StateMachineName StateMachineType",
    ignores="LoggingConfiguration TracingConfiguration EncryptionConfiguration",
)
def _state_machine(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    name = workshop.name(resource, properties, "StateMachineName")[:80]
    if properties.get("StateMachineType", "STANDARD") != "STANDARD":
        raise TemplateError(f"{resource.logical_id} is an EXPRESS workflow, which the laptop does not run")
    definition = properties.get("Definition") or json.loads(
        _substituted(properties["DefinitionString"], properties.get("DefinitionSubstitutions", {}))
    )
    arn = workshop.services.stepfunctions.ensure_state_machine(name, definition, properties["RoleArn"], properties)
    return Made(arn, {"Arn": arn, "Name": name})


def _substituted(text: str, values: Mapping[str, Any]) -> str:
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", str(value))
    return text


# -- the HTTP API ---------------------------------------------------------------------------------------------------


@kind("AWS::ApiGatewayV2::Api", knows="CorsConfiguration Name ProtocolType", ignores="Description DisableExecuteApiEndpoint")
def _api(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    if properties.get("ProtocolType") != "HTTP":
        raise TemplateError(f"{resource.logical_id} is no HTTP API; the laptop serves no other kind")
    api_id = hashlib.sha256(resource.logical_id.encode()).hexdigest()[:10]
    workshop.apis[api_id] = properties
    return Made(api_id, {"ApiId": api_id, "ApiEndpoint": workshop.services.app_url})


@kind(
    "AWS::ApiGatewayV2::Integration",
    knows="ApiId IntegrationType IntegrationUri PayloadFormatVersion",
    ignores="Description TimeoutInMillis",
)
def _integration(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    if properties["IntegrationType"] != "AWS_PROXY" or ":function:" not in properties["IntegrationUri"]:
        raise TemplateError(f"{resource.logical_id} integrates something other than a function")
    workshop.integrations[resource.logical_id] = Integration(
        properties["IntegrationUri"], properties.get("PayloadFormatVersion", "1.0")
    )
    return Made(resource.logical_id)


@kind("AWS::ApiGatewayV2::Route", knows="ApiId AuthorizationType RouteKey Target")
def _route(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    authorization = properties.get("AuthorizationType", "NONE")
    if authorization not in ("NONE", "AWS_IAM"):
        raise TemplateError(f"{resource.logical_id} authorizes by {authorization}, which the laptop does not do")
    integration = workshop.integrations[properties["Target"].rpartition("/")[2]]
    if integration.payload_version != "2.0":
        raise TemplateError(f"{resource.logical_id} uses payload format {integration.payload_version}, not 2.0")
    route = (properties["RouteKey"], integration.function, authorization)
    workshop.routes.setdefault(properties["ApiId"], []).append(route)
    return Made(resource.logical_id)


@kind(
    "AWS::ApiGatewayV2::Stage",
    knows="ApiId StageName",
    ignores="AccessLogSettings AutoDeploy DefaultRouteSettings Description",
)
def _stage(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    if properties["StageName"] != "$default":
        raise TemplateError(f"{resource.logical_id} is the stage {properties['StageName']}; the laptop serves $default")
    return Made("$default")


# -- identity, and what cannot matter on a laptop -------------------------------------------------------------------


@kind(
    "AWS::IAM::Role",
    knows="RoleName",
    ignores="AssumeRolePolicyDocument Description ManagedPolicyArns MaxSessionDuration Path Policies",
)
def _role(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    name = workshop.name(resource, properties, "RoleName")[:64]
    return Made(name, {"Arn": f"arn:aws:iam::{ACCOUNT}:role/{name}", "RoleId": f"AROA{name[:12].upper()}"})


@kind("AWS::Logs::LogGroup", knows="LogGroupName", ignores="RetentionInDays KmsKeyId LogGroupClass")
def _log_group(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    name = workshop.name(resource, properties, "LogGroupName")
    return Made(name, {"Arn": workshop.arn("logs", f"log-group:{name}:*")})


INERT = (
    "AWS::ApiGatewayV2::ApiMapping",
    "AWS::CDK::Metadata",
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::IAM::Policy",
    "AWS::Lambda::Permission",
    "AWS::Logs::ResourcePolicy",
    "AWS::S3::BucketPolicy",
    "AWS::S3Vectors::VectorBucketPolicy",
    "AWS::SQS::QueuePolicy",
    "AWS::XRay::Group",
)
"""Types that nothing on the laptop asks for yet. Their properties are not looked at."""

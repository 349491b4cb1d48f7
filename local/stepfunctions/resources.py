"""What a Task's `Resource` names, and AWS SDK parameters between Step Functions' PascalCase and botocore's casing."""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape
from botocore.session import Session

from local.stepfunctions.jsonpath import Json
from local.stepfunctions.payload import dump

TOKEN = "waitForTaskToken"

# Where boto3's name of a service is not its service id in lower case (checked against the model all the same).
_BOTO_NAMES = {
    "applicationautoscaling": "application-autoscaling",
    "cloudwatchlogs": "logs",
    "cognitoidentityprovider": "cognito-idp",
    "costandusagereport": "cur",
    "costexplorer": "ce",
    "databasemigration": "dms",
    "directory": "ds",
    "elasticsearch": "es",
    "elasticloadbalancing": "elb",
    "elasticloadbalancingv2": "elbv2",
    "eventbridge": "events",
    "iotdataplane": "iot-data",
    "iotjobsdataplane": "iot-jobs-data",
    "serverlessapplicationrepository": "serverlessrepo",
    "sfn": "stepfunctions",
}
# Optimised integrations: boto3's service, and the operations with the patterns they take.
_OPTIMISED: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
    "lambda": ("lambda", {"invoke": ("", TOKEN)}),
    "sqs": ("sqs", {"sendMessage": ("", TOKEN)}),
    "sns": ("sns", {"publish": ("", TOKEN)}),
    "dynamodb": ("dynamodb", dict.fromkeys(("getItem", "putItem", "updateItem", "deleteItem"), ("",))),
    "events": ("events", {"putEvents": ("", TOKEN)}),
    "states": ("stepfunctions", {"startExecution": ("", TOKEN, "sync", "sync:2")}),
}
_FUNCTION = re.compile(r"arn:aws[\w-]*:lambda:[\w-]+:\d{12}:function:[\w-]+(:[\w$-]+)?")
_INTEGRATION = re.compile(
    r"arn:aws[\w-]*:states:[\w-]*:\d*:(aws-sdk:)?([\w-]+):(\w+)(?:\.(waitForTaskToken|sync|sync:2))?"
)


class ResourceError(ValueError):
    """The Resource is none a task here can have."""


@dataclass(frozen=True)
class Resource:
    """One API action: `kind` is `function` (a Lambda ARN), `optimised` or `sdk`; `service` is boto3's name of it."""

    arn: str
    kind: str
    service: str
    operation: str  # as botocore writes it: PutItem
    resource_type: str  # as the history writes it: lambda, aws-sdk:dynamodb
    action: str  # as the history writes it: invoke.waitForTaskToken
    pattern: str  # "", waitForTaskToken, sync or sync:2

    @property
    def model(self) -> OperationModel:
        return service_model(self.service).operation_model(self.operation)


@lru_cache(maxsize=1)
def _session() -> Session:
    return Session()


@lru_cache(maxsize=64)
def service_model(name: str) -> ServiceModel:
    return _session().get_service_model(name)


@lru_cache(maxsize=1)
def _services() -> dict[str, str]:
    return {name.replace("-", ""): name for name in _session().get_available_services()} | _BOTO_NAMES


@lru_cache(maxsize=1024)
def parse_resource(arn: str) -> Resource:
    if _FUNCTION.fullmatch(arn):
        return Resource(arn, "function", "lambda", "Invoke", "lambda", "invoke", "")
    found = _INTEGRATION.fullmatch(arn)
    if not found:
        raise ResourceError(f"The resource {arn} is none the laptop offers")
    sdk, service, action, pattern = found[1], found[2], found[3], found[4] or ""
    return _sdk_resource(arn, service, action, pattern) if sdk else _optimised(arn, service, action, pattern)


def _optimised(arn: str, service: str, action: str, pattern: str) -> Resource:
    boto_name, actions = _OPTIMISED.get(service, ("", {}))
    if pattern not in actions.get(action, ()):
        raise ResourceError(f"The laptop offers no optimised integration {arn}; an aws-sdk one may do")
    operation = action[0].upper() + action[1:]
    return Resource(arn, "optimised", boto_name, operation, service, _with(action, pattern), pattern)


def _sdk_resource(arn: str, service: str, action: str, pattern: str) -> Resource:
    boto_name = _services().get(service)
    if boto_name is None or _squeezed(service_model(boto_name)) != service:
        raise ResourceError(f"The resource {arn} names no service of the AWS SDK")
    operation = action[0].upper() + action[1:]
    model = service_model(boto_name)
    if not action[0].islower() or operation not in model.operation_names:
        raise ResourceError(f"The resource {arn} names no action of {service}")
    if model.operation_model(operation).has_event_stream_output or pattern not in ("", TOKEN):
        raise ResourceError(f"The resource {arn} is not supported by Step Functions")
    return Resource(arn, "sdk", boto_name, operation, f"aws-sdk:{service}", _with(action, pattern), pattern)


def _with(action: str, pattern: str) -> str:
    return f"{action}.{pattern}" if pattern else action


def _squeezed(model: ServiceModel) -> str:
    return re.sub(r"[\s-]|Service$", "", str(model.service_id)).lower()


def prefix(model: ServiceModel) -> str:
    """A service's name as the AWS SDK for Java writes it in its exceptions: DynamoDb, BedrockRuntime, Sfn, S3."""
    words = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z]+\d*", str(model.service_id))
    return "".join(word[0].upper() + word[1:].lower() for word in words)


def pascal(name: str) -> str:
    return name[0].upper() + name[1:]


@lru_cache(maxsize=4096)
def _members(shape: StructureShape) -> dict[str, str]:
    """botocore's member names by their PascalCase ones, in any case after the first letter (Java's acronyms)."""
    return {pascal(name)[0] + name[1:].lower(): name for name in shape.members}


def _member(shape: StructureShape, key: str) -> str | None:
    return _members(shape).get(key[:1] + key[1:].lower())


def unknown_fields(template: Json, shape: Shape | None) -> Iterator[str]:
    """The fields of a payload template that the API action does not have."""
    match shape:
        case StructureShape() if isinstance(template, dict) and not shape.is_document_type:
            for key, value in template.items():
                member = _member(shape, key.removesuffix(".$"))
                if member is None:
                    yield key
                elif not key.endswith(".$"):
                    yield from unknown_fields(value, shape.members[member])
        case ListShape() if isinstance(template, list):
            for item in template:
                yield from unknown_fields(item, shape.member)
        case MapShape() if isinstance(template, dict):
            for value in template.values():
                yield from unknown_fields(value, shape.value)


def missing_fields(template: dict[str, Json], shape: StructureShape) -> list[str]:
    given = {_member(shape, key.removesuffix(".$")) for key in template}
    return [pascal(name) for name in shape.required_members if name not in given and not _filled_in(shape, name)]


def _filled_in(shape: StructureShape, name: str) -> bool:
    return bool(shape.members[name].metadata.get("idempotencyToken"))


def to_sdk(value: Json, shape: Shape) -> Any:
    """PascalCase parameters as botocore takes them; null members are left out, as the AWS SDK does."""
    match shape:
        case StructureShape() if isinstance(value, dict) and not shape.is_document_type:
            named = ((_member(shape, key) or key, item) for key, item in value.items() if item is not None)
            return {key: to_sdk(item, shape.members[key]) if key in shape.members else item for key, item in named}
        case ListShape() if isinstance(value, list):
            return [to_sdk(item, shape.member) for item in value]
        case MapShape() if isinstance(value, dict):
            return {key: to_sdk(item, shape.value) for key, item in value.items()}
        case _:
            return _scalar(value, shape)


def _scalar(value: Json, shape: Shape) -> Any:
    if shape.type_name == "blob":
        return (value if isinstance(value, str) else dump(value)).encode()
    if shape.type_name == "string" and isinstance(value, dict | list):
        return dump(value)
    if shape.type_name in ("integer", "long") and isinstance(value, float) and value.is_integer():
        return int(value)
    if shape.type_name in ("float", "double") and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def from_sdk(value: Any, shape: Shape | None) -> Json:
    """What botocore answered as Step Functions shows it: PascalCase, times as ISO texts, bytes and streams as text."""
    match shape:
        case StructureShape() if isinstance(value, dict) and not shape.is_document_type:
            known = ((name, item) for name, item in value.items() if name in shape.members and item is not None)
            return {pascal(name): from_sdk(item, shape.members[name]) for name, item in known}
        case ListShape() if isinstance(value, list):
            return [from_sdk(item, shape.member) for item in value]
        case MapShape() if isinstance(value, dict):
            return {key: from_sdk(item, shape.value) for key, item in value.items()}
        case _:
            return _plain(value)


def _plain(value: Any) -> Json:
    if hasattr(value, "read"):
        with value as stream:
            value = stream.read()
    if isinstance(value, bytes | bytearray):
        return _decoded(bytes(value))
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()

"""The errors that rules send: what a service says when it throttles or fails, from the SDK's models."""

from collections.abc import Mapping
from functools import cache

from botocore.model import StructureShape

from local.operations import models_of
from local.refusals import protocol_of
from local.wire import AwsError

_THROTTLING = (
    "ProvisionedThroughputExceededException",
    "TooManyRequestsException",
    "ThrottlingException",
    "RequestThrottled",
)
_INTERNAL = ("InternalServerException", "InternalServerError", "InternalException", "ServiceException")
# What S3 and the services of the query protocol send is in no model (S3 API reference, "Error responses").
_UNDECLARED_THROTTLING = {
    "rest-xml": ("SlowDown", 503),
    "query": ("Throttling", 400),
    "rest-json": (_THROTTLING[2], 429),
}
_MESSAGES = {
    "SlowDown": "Please reduce your request rate.",
    "ProvisionedThroughputExceededException": "The level of configured provisioned throughput for the table was "
    "exceeded. Consider increasing your provisioning level with the UpdateTable API.",
    "InternalError": "We encountered an internal error. Please try again.",
}


def throttled(service: str, operation: str) -> AwsError:
    declared = declared_errors(service, operation)
    for name in _THROTTLING:
        if name in declared:
            return _made(*declared[name], "Rate exceeded")
    code, status = _UNDECLARED_THROTTLING.get(protocol_of(service), ("ThrottlingException", 400))
    return _made(code, status, "Rate exceeded")


def internal(service: str, operation: str, message: str | None = None) -> AwsError:
    """The service's own error of status 500."""
    declared = declared_errors(service, operation)
    found = next((declared[name] for name in _INTERNAL if name in declared), None)
    code, status = found or ("InternalError" if protocol_of(service) == "rest-xml" else "InternalFailure", 500)
    return _made(code, status, message or "The service failed because a fault was asked for")


def named(service: str, operation: str, name: str, status: int | None, message: str | None) -> AwsError:
    """An exception of the model by its name, or with a status anything."""
    code, declared = declared_errors(service, operation).get(name, (name, 400))
    return _made(code, status or declared, message or f"{name} because a fault was asked for")


@cache
def declared_errors(service: str, operation: str) -> Mapping[str, tuple[str, int]]:
    """The exceptions of an operation by name, each with its code on the wire and its status."""
    errors: dict[str, tuple[str, int]] = {}
    for model in models_of(service):
        if operation in model.operation_names:
            by_code = model.metadata["protocol"] in ("query", "rest-xml")
            for shape in model.operation_model(operation).error_shapes:
                assert isinstance(shape, StructureShape)
                status = shape.metadata.get("error", {}).get("httpStatusCode") or _usual_status(shape.name)
                errors[shape.name] = (shape.error_code if by_code else shape.name, status)
    return errors


def _usual_status(name: str) -> int:
    """Services of the JSON protocol mostly do not say."""
    if "Unavailable" in name:
        return 503
    return 500 if name.startswith("Internal") else 400


def _made(code: str, status: int, message: str) -> AwsError:
    return AwsError(code, _MESSAGES.get(code, message), status)

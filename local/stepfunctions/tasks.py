"""Calls a Task's API action as the state machine's role and tells its failures as Step Functions names them."""

import json
import re
from typing import Any

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from local.clients import Clients
from local.stepfunctions import resources
from local.stepfunctions.jsonpath import Json
from local.stepfunctions.payload import StateFailure, dump
from local.stepfunctions.resources import Resource

# Optimised integrations are built on the first AWS SDK for Java: prefix, service, exception without a name of its own.
_FIRST_SDK = {
    "lambda": ("Lambda", "AWSLambda", "AWSLambdaException"),
    "sqs": ("SQS", "AmazonSQS", "AmazonSQSException"),
    "sns": ("SNS", "AmazonSNS", "AmazonSNSException"),
    "dynamodb": ("DynamoDB", "AmazonDynamoDBv2", "AmazonDynamoDBException"),
    "events": ("EventBridge", "AmazonCloudWatchEvents", "AmazonEventBridgeException"),
    "stepfunctions": ("StepFunctions", "AWSStepFunctions", "AWSStepFunctionsException"),
}


def invoke(clients: Clients, role_arn: str, resource: Resource, parameters: Json) -> Json:
    """The result of a Task's call. It blocks until the service has answered."""
    if resource.kind == "function":
        return _invoke_function(clients, role_arn, resource, {"FunctionName": resource.arn, "Payload": parameters})
    if resource.service == "lambda" and resource.kind == "optimised":
        return _invoke_function(clients, role_arn, resource, parameters)
    result, metadata = _call(clients, role_arn, resource, parameters)
    if resource.kind == "sdk":
        return result
    if resource.service == "events":
        return _checked_entries(result)
    return result | metadata


def _call(
    clients: Clients, role_arn: str, resource: Resource, parameters: Json
) -> tuple[dict[str, Json], dict[str, Json]]:
    """The answer in PascalCase, and what the optimised integrations add about HTTP."""
    model = resource.model
    if not isinstance(parameters, dict):
        raise StateFailure("States.Runtime", f"The Parameters of {resource.arn} are not an object")
    arguments = resources.to_sdk(parameters, model.input_shape) if model.input_shape else {}
    client = clients.get(resource.service, role_arn)
    try:
        answer = getattr(client, xform_name(resource.operation))(**arguments)
        result = resources.from_sdk(answer, model.output_shape) if model.output_shape else {}
    except ClientError as error:
        raise _refused(resource, error) from error
    except ParamValidationError as error:
        raise _invalid(resource, error) from error
    except BotoCoreError as error:
        raise StateFailure(
            f"{_prefix(resource)}.SdkClientException", f"Unable to execute HTTP request: {error}"
        ) from error
    return result, _metadata(answer.get("ResponseMetadata", {}))


def _metadata(answer: dict[str, Any]) -> dict[str, Json]:
    headers = answer.get("HTTPHeaders", {})
    http = {
        "AllHttpHeaders": {name: [value] for name, value in headers.items()},
        "HttpHeaders": dict(headers),
        "HttpStatusCode": answer.get("HTTPStatusCode", 200),
    }
    request_id = answer.get("RequestId") or headers.get("x-amzn-requestid", "")
    return {"SdkHttpMetadata": http, "SdkResponseMetadata": {"RequestId": request_id}}


def _invoke_function(clients: Clients, role_arn: str, resource: Resource, parameters: Json) -> Json:
    if isinstance(parameters, dict) and "Payload" in parameters:
        parameters = parameters | {"Payload": dump(parameters["Payload"])}
    result, metadata = _call(clients, role_arn, resource, parameters)
    text = result.get("Payload", "")
    payload = _parsed(text)
    if "FunctionError" in result:
        named = payload.get("errorType") if isinstance(payload, dict) else None
        raise StateFailure(named or "Lambda.Unknown", text)
    if resource.kind == "function":
        return payload
    return result | metadata | {"Payload": payload}


def _parsed(text: str) -> Json:
    try:
        return json.loads(text) if text else {}
    except ValueError:
        return text


def _checked_entries(result: dict[str, Json]) -> Json:
    if result.get("FailedEntryCount"):
        raise StateFailure("EventBridge.FailedEntry", dump(result))
    return result


def _refused(resource: Resource, error: ClientError) -> StateFailure:
    message = error.response["Error"].get("Message", "")
    code = error.response["Error"].get("Code", "")
    answer = error.response["ResponseMetadata"]
    status, request_id = answer.get("HTTPStatusCode"), answer.get("RequestId", "")
    name = _exception(resource, code)
    if resource.kind == "sdk":
        service = _prefix(resource)
        cause = f"{message} (Service: {service}, Status Code: {status}, Request ID: {request_id})"
        return StateFailure(f"{service}.{name or service + 'Exception'}", cause)
    short, service, unnamed = _FIRST_SDK[resource.service]
    details = f"Service: {service}; Status Code: {status}; Error Code: {code}; Request ID: {request_id}; Proxy: null"
    return StateFailure(f"{short}.{name or unnamed}", f"{message} ({details})")


def _invalid(resource: Resource, error: ParamValidationError) -> StateFailure:
    if resource.kind == "sdk":
        service = _prefix(resource)
        return StateFailure(f"{service}.{service}Exception", str(error))
    short, _, unnamed = _FIRST_SDK[resource.service]
    return StateFailure(f"{short}.{unnamed}", str(error))


def _prefix(resource: Resource) -> str:
    if resource.kind == "sdk":
        return resources.prefix(resources.service_model(resource.service))
    return _FIRST_SDK[resource.service][0]


def _exception(resource: Resource, code: str) -> str | None:
    """The Java class of an error the service's model has; None for others, which have the service's base class."""
    if code.isdigit():  # an answer to HEAD has no body, so S3 has no code: the SDK takes the action's one error
        shapes = resource.model.error_shapes
        return _java(shapes[0].name) if code == "404" and shapes else None
    for shape in resources.service_model(resource.service).error_shapes:
        if code in (shape.name, getattr(shape, "error_code", None)):
            return _java(shape.name)
    return None


def _java(name: str) -> str:
    return re.sub(r"(Exception|Fault)?$", "Exception", resources.pascal(name), count=1)

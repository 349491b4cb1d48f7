"""Templates as they are sent: read, held against what CloudFormation asks of any, and given their parameters."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from botocore.exceptions import ClientError

from local.clients import Clients
from local.cloudformation.wire import invalid
from local.cloudformation.yaml import read_yaml
from local.stack.form import check_form
from local.stack.kinds import is_known
from local.stack.template import Blueprint, TemplateError, in_order, typed

Template = dict[str, Any]

_SECTIONS = {
    "AWSTemplateFormatVersion", "Conditions", "Description", "Mappings", "Metadata", "Outputs", "Parameters",
    "Resources", "Rules", "Transform", "Hooks",
}  # fmt: skip
_IAM = ("AWS::IAM::Group", "AWS::IAM::InstanceProfile", "AWS::IAM::ManagedPolicy", "AWS::IAM::Policy",
        "AWS::IAM::Role", "AWS::IAM::User")  # fmt: skip
_NAMES = ("GroupName", "InstanceProfileName", "ManagedPolicyName", "RoleName", "UserName")
_MAX_BODY, _MAX_FILE = 51_200, 1_048_576


def template_text(request: Mapping[str, Any], clients: Clients) -> str | None:
    """What the request has as its body or at its URL in S3; None where it has neither."""
    body, url = request.get("TemplateBody"), request.get("TemplateURL")
    if body is not None and url is not None:
        raise invalid("Either Template URL or Template Body must be specified, but not both.")
    if body is not None and len(body.encode()) > _MAX_BODY:
        raise invalid(f"Template body must be at most {_MAX_BODY} bytes: a longer one is put into S3.")
    return _download(url, clients) if url is not None else body


def _download(url: str, clients: Clients) -> str:
    """From the laptop's S3, whatever host the URL names: `https://s3.us-east-1.amazonaws.com/bucket/key`."""
    parts = urlsplit(url)
    host, path = parts.hostname or "", unquote(parts.path).lstrip("/")
    found = re.fullmatch(r"(?P<bucket>.+)\.s3[.-].*amazonaws\.com(\.cn)?", host)
    bucket, key = (found["bucket"], path) if found else (path.partition("/")[0], path.partition("/")[2])
    if not bucket or not key:
        raise invalid("TemplateURL must be a supported URL.")
    try:
        body: bytes = clients.get("s3", None).get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        raise invalid(f"S3 error: {error.response['Error']['Message']}") from error
    if len(body) > _MAX_FILE:
        raise invalid(f"Template may not exceed {_MAX_FILE} bytes in size.")
    return body.decode()


def read_template(text: str) -> Template:
    """JSON or YAML; ValidationError for what is no template."""
    try:
        found = json.loads(text) if text.lstrip().startswith("{") else read_yaml(text)
    except ValueError as error:
        kind = "JSON" if text.lstrip().startswith("{") else "YAML"
        raise invalid(f"Template format error: {kind} not well-formed. ({error})") from error
    if not isinstance(found, dict):
        raise invalid("Template format error: unsupported structure.")
    if unknown := sorted(found.keys() - _SECTIONS):
        raise invalid(f"Invalid template property or properties [{', '.join(unknown)}]")
    resources = found.get("Resources")
    if not isinstance(resources, dict) or not resources:
        raise invalid("Template format error: At least one Resources member must be defined.")
    try:
        check_form(found)
    except TemplateError as error:
        raise invalid(str(error)) from error
    return found


def check_template(name: str, template: Template) -> None:
    """ValidationError for what cannot become a stack, here or anywhere."""
    kinds = {body["Type"] for body in template["Resources"].values()}
    if unknown := sorted(kind for kind in kinds if not is_known(kind)):
        raise invalid(f"Template format error: Unrecognized resource types: [{', '.join(unknown)}]")
    try:
        blueprint = Blueprint(name, "", "", template)
    except TemplateError as error:
        raise invalid(str(error)) from error
    _check_references(blueprint)
    try:
        in_order(blueprint.resources)
    except TemplateError as error:
        raise invalid(f"Circular dependency between resources: {error}") from error


def _check_references(blueprint: Blueprint) -> None:
    there = blueprint.resources.keys() | blueprint.template.get("Parameters", {}).keys()
    for resource in blueprint.resources.values():
        if missing := sorted(name for name in resource.needs - there if not name.startswith("AWS::")):
            names = ", ".join(missing)
            message = f"Unresolved resource dependencies [{names}] in the Resources block of the template"
            raise invalid(f"Template format error: {message}")


def capabilities(template: Template) -> list[str]:
    """What somebody who makes a stack of it must agree to."""
    roles = [body for body in template["Resources"].values() if body["Type"] in _IAM]
    if any(name in body.get("Properties", {}) for body in roles for name in _NAMES):
        return ["CAPABILITY_NAMED_IAM"]
    return ["CAPABILITY_IAM"] if roles else []


def given_parameters(given: Iterable[Mapping[str, Any]], previous: Mapping[str, str]) -> dict[str, str]:
    """What a request gives for parameters; `previous` is for those with `UsePreviousValue`."""
    found: dict[str, str] = {}
    for each in given:
        name = each["ParameterKey"]
        if not each.get("UsePreviousValue"):
            found[name] = each.get("ParameterValue", "")
        elif name in previous:
            found[name] = previous[name]
    return found


def parameter_values(template: Template, given: Mapping[str, str], clients: Clients) -> dict[str, Any]:
    """What `Ref` gives for each parameter of the template; ValidationError for values it does not allow."""
    declared: dict[str, Any] = template.get("Parameters", {})
    if unknown := [name for name in given if name not in declared]:
        raise invalid(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    if missing := [name for name in declared if name not in given and "Default" not in declared[name]]:
        raise invalid(f"Parameters: [{', '.join(missing)}] must have values")
    values = {name: given.get(name, one.get("Default")) for name, one in declared.items()}
    return {name: _value(name, one, values[name], clients) for name, one in declared.items()}


def _value(name: str, declared: Mapping[str, Any], value: Any, clients: Clients) -> Any:
    kind = declared["Type"]
    _check_value(name, declared, str(value))
    stored = re.fullmatch(r"AWS::SSM::Parameter::Value<(.+)>", kind)
    if not stored:
        return typed(kind, value)
    try:
        found = clients.get("ssm", None).get_parameter(Name=str(value))["Parameter"]["Value"]
    except ClientError as error:
        message = f"Unable to fetch parameters [{value}] from parameter store for this account."
        raise invalid(message) from error
    return typed(stored[1], found)


def _check_value(name: str, declared: Mapping[str, Any], value: str) -> None:
    allowed = declared.get("AllowedValues")
    if isinstance(allowed, list) and value not in map(str, allowed):
        raise invalid(f"Parameter '{name}' must be one of AllowedValues")
    pattern = declared.get("AllowedPattern")
    if pattern is not None and not _matches(name, str(pattern), value):
        raise invalid(f"Parameter '{name}' must match pattern {pattern}")
    if len(value) < _bound(name, declared, "MinLength", 0):
        raise invalid(f"Parameter '{name}' must contain at least {declared['MinLength']} characters")
    if len(value) > _bound(name, declared, "MaxLength", len(value)):
        raise invalid(f"Parameter '{name}' must contain at most {declared['MaxLength']} characters")
    if declared["Type"] == "Number":
        _check_number(name, declared, value)


def _check_number(name: str, declared: Mapping[str, Any], value: str) -> None:
    try:
        number = float(value)
    except ValueError:
        raise invalid(f"Parameter '{name}' must be a number") from None
    if number < _bound(name, declared, "MinValue", number):
        raise invalid(f"Parameter '{name}' must be a number not less than {declared['MinValue']}")
    if number > _bound(name, declared, "MaxValue", number):
        raise invalid(f"Parameter '{name}' must be a number not greater than {declared['MaxValue']}")


def _bound(name: str, declared: Mapping[str, Any], key: str, default: float) -> float:
    try:
        return float(declared.get(key, default))
    except (TypeError, ValueError):
        raise invalid(f"Template format error: {key} of the parameter {name} must be a number.") from None


def _matches(name: str, pattern: str, value: str) -> bool:
    try:
        return re.fullmatch(pattern, value) is not None
    except re.error:
        message = f"Template format error: AllowedPattern of the parameter {name} must be a regular expression."
        raise invalid(message) from None

"""AWS services that the laptop does not run itself (IAM, STS, CloudWatch Logs, SSM …), answered by moto from memory."""

import logging
import os
import uuid
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from wsgiref.types import WSGIApplication

from werkzeug.wrappers import Request, Response

from local.auth import read_signature, user_id
from local.operations import asked_of, name_of
from local.refusals import protocol_of, refusal
from local.wire import ACCOUNT, AwsError, Caller

log = logging.getLogger(__name__)

BOOTSTRAP_VERSION = "30"  # that of aws-cdk 2.1148


@dataclass(frozen=True)
class MadeRole:
    """A role of the IAM API: its trust policy and the others by name or ARN, in JSON, and the ARN of its boundary."""

    trust: str
    policies: tuple[tuple[str, str], ...]
    boundary: str | None


def made_role(arn: str) -> MadeRole | None:
    """What a client made of the role with this ARN, so far."""
    _prepare()
    from moto.iam.models import iam_backends

    role = next((role for role in list(iam_backends[ACCOUNT]["aws"].roles.values()) if role.arn == arn), None)
    if role is None:
        return None
    attached = [
        (policy.arn, str(version.document))
        for policy in list(role.managed_policies.values())
        for version in policy.versions
        if version.version_id == policy.default_version_id
    ]
    policies = (*role.policies.items(), *attached)
    return MadeRole(role.assume_role_policy_document, policies, role.permissions_boundary_arn)


def answer_other(name: str, request: Request, caller: Caller) -> Response:
    """What moto answers for the service with this signing name; an error in its form for what moto does not know."""
    asked = asked_of(name, request)
    if asked and (name, asked.operation) == ("sts", "GetCallerIdentity"):
        return _identity(request, caller)
    # Who checked the signature read the body, which the next application reads from the socket: it would wait.
    body = request.get_data()
    request.environ |= {"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))}
    try:
        return _answer_of_moto(name, request)
    except NotImplementedError:
        code = "InvalidAction" if protocol_of(name) in ("query", "ec2") else "UnknownOperationException"
        error = AwsError(code, f"The laptop does not offer {name_of(name, request)} of {name}")
    except AwsError as unknown:
        error = unknown
    except Exception:
        log.exception("moto failed")
        return refusal(name, None, AwsError("InternalFailure", "The laptop failed; its log says why", 500))
    log.warning("%s: %s", error.code, error.message)
    return refusal(name, None, error)


def _answer_of_moto(name: str, request: Request) -> Response:
    """NotImplementedError also where moto does not know the path."""
    response = Response.from_app(_moto(name), request.environ, buffered=True)
    if response.get_data().lower().startswith(b"<!doctype html>"):  # a page of its framework
        raise NotImplementedError
    return response


@cache
def _moto(name: str) -> WSGIApplication:
    """moto's application for a service. AwsError for one that it does not have, or only with what we don't install."""
    _prepare()
    # Imported late: it takes a second, and most runs never need it.
    from moto.backends import list_of_moto_modules
    from moto.moto_server.werkzeug_app import create_backend_app

    unknown = AwsError("UnknownServiceException", f"The laptop does not offer the service {name}", 501)
    if name not in list_of_moto_modules():
        raise unknown
    try:
        application: WSGIApplication = create_backend_app(name)
    except ImportError as error:
        raise unknown from error
    if name == "ssm":
        _bootstrap()
    return application


def _identity(request: Request, caller: Caller) -> Response:
    """GetCallerIdentity: moto knows nobody of ours."""
    signature = read_signature(request)
    key = signature.access_key if signature else "local"
    fields = {"Arn": caller.arn, "UserId": user_id(caller, key), "Account": ACCOUNT}
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
    body = (
        f'<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>{inner}'
        f"</GetCallerIdentityResult><ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata>"
        "</GetCallerIdentityResponse>"
    )
    return Response(body, content_type="text/xml")


def _prepare() -> None:
    """moto reads this when it is imported: one account, whoever answers, where the policies of AWS's own exist."""
    os.environ |= {"MOTO_ACCOUNT_ID": ACCOUNT, "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"}


def _bootstrap() -> None:
    """What `cdk bootstrap` leaves in SSM: the CDK command line deploys nowhere without it."""
    from moto.ssm.models import ssm_backends

    for region in ssm_backends[ACCOUNT].regions:
        ssm_backends[ACCOUNT][region].put_parameter(
            name="/cdk-bootstrap/hnb659fds/version",
            value=BOOTSTRAP_VERSION,
            parameter_type="String",
            description="The version of the CDK bootstrap resources in this environment",
            allowed_pattern="",
            keyid="",
            overwrite=True,
            tags=[],
            data_type="text",
            tier=None,
            policies=None,
        )

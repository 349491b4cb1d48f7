"""AWS services that the laptop does not run itself (IAM, STS, CloudWatch Logs, SSM …), answered by moto from memory."""

import os
from dataclasses import dataclass
from functools import cache
from wsgiref.types import WSGIApplication

from local.wire import ACCOUNT, AwsError, json_response

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


@cache
def moto_service(name: str) -> WSGIApplication:
    """moto's application for the service with this signing name; an error of ours for one it does not know either."""
    _prepare()
    # Imported late: it takes a second, and most runs never need it.
    from moto.backends import list_of_moto_modules
    from moto.moto_server.werkzeug_app import create_backend_app

    if name not in list_of_moto_modules():
        error = AwsError("UnknownServiceException", f"The laptop does not offer the service {name}", 501)
        return json_response({"__type": error.code, "message": error.message}, error.status, error.code)
    application: WSGIApplication = create_backend_app(name)
    if name == "ssm":
        _bootstrap()
    return application


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

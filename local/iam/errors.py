"""How each service says that somebody may not do something."""

from typing import Literal

from local.iam.needs import Need
from local.iam.principals import Principal
from local.wire import AwsError

Reason = Literal["identity-based", "resource-based", "no identity-based", "no resource-based"]
"""Which kind of policy has an explicit Deny, or which kind has no Allow."""

# AWS JSON 1.x services answer a denial with 400; REST ones, and SQS, with 403.
_BAD_REQUEST = ("dynamodb", "states", "events", "ssm", "logs", "secretsmanager", "kms", "tagging")
_ACCESS_DENIED = ("s3", "sqs", "sts", "iam", "sns", "cloudformation")


def denial(service: str, principal: Principal, need: Need, reason: Reason, why: str = "") -> AwsError:
    """The service's error (IAM user guide, "Troubleshoot access denied error messages"); `why` is added to it."""
    code = "AccessDenied" if service in _ACCESS_DENIED else "AccessDeniedException"
    return AwsError(code, sentence(service, principal, need, reason) + why, 400 if service in _BAD_REQUEST else 403)


def sentence(service: str, principal: Principal, need: Need, reason: Reason) -> str:
    action = need.action.lower() if service == "sqs" else need.action  # as SQS writes it
    resource = f'"{need.resource}"' if service == "s3" else need.resource  # as S3 writes it
    kind = reason.removeprefix("no ")
    because = (
        f"because no {kind} policy allows the {action} action"
        if reason.startswith("no ")
        else f"with an explicit deny in {'an' if kind.startswith('identity') else 'a'} {kind} policy"
    )
    return f"User: {principal.arn} is not authorized to perform: {action} on resource: {resource} {because}"

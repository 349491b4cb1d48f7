"""What S3 asks about rights that no request shows before it is read: keys in a body, the signer of a form, a 404."""

from typing import Protocol

from werkzeug.wrappers import Request

from local.wire import AwsError, Caller


class Refusal(Protocol):
    def __call__(self, caller: Caller, action: str, resource: str, request: Request) -> AwsError | None:
        """The error where the caller may not do that (`s3:DeleteObject`, `arn:aws:s3:::bucket/key`)."""


def nobody_is_refused(caller: Caller, action: str, resource: str, request: Request) -> AwsError | None:
    return None

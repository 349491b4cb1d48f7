"""S3's errors that more than one operation sends."""

from typing import Any

from local.wire import AwsError


class S3Error(AwsError):
    """An error that also sets headers of its response."""

    def __init__(self, code: str, message: str, status: int, headers: dict[str, str], **members: Any) -> None:
        super().__init__(code, message, status, **members)
        self.headers = headers


def no_such_bucket(name: str) -> AwsError:
    return AwsError("NoSuchBucket", "The specified bucket does not exist", 404, BucketName=name)


def no_such_key(key: str) -> AwsError:
    return AwsError("NoSuchKey", "The specified key does not exist.", 404, Key=key)


def no_such_upload(upload: str) -> AwsError:
    message = (
        "The specified upload does not exist. The upload ID may be invalid, "
        "or the upload may have been aborted or completed."
    )
    return AwsError("NoSuchUpload", message, 404, UploadId=upload)


def precondition_failed(condition: str) -> AwsError:
    message = "At least one of the pre-conditions you specified did not hold"
    return AwsError("PreconditionFailed", message, 412, Condition=condition)


def not_implemented(what: str) -> AwsError:
    message = f"A header or parameter you provided implies functionality that is not implemented: {what}"
    return AwsError("NotImplemented", message, 501, Resource=what)


def invalid_argument(message: str, name: str, value: str) -> AwsError:
    return AwsError("InvalidArgument", message, ArgumentName=name, ArgumentValue=value)

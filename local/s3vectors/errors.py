"""The errors of S3 Vectors, in the words the service uses where those are known."""

from local.wire import AwsError


def invalid(message: str, path: str, detail: str | None = None) -> AwsError:
    """A ValidationException about one member; `detail` is the member's own message where it differs."""
    return AwsError("ValidationException", message, 400, fieldList=[{"path": path, "message": detail or message}])


def unreadable(message: str) -> AwsError:
    """A value of the wrong JSON type: refused before any rule of the service is looked at."""
    return AwsError("SerializationException", message)


def bucket_not_found() -> AwsError:
    return AwsError("NotFoundException", "The specified vector bucket could not be found", 404)


def index_not_found() -> AwsError:
    return AwsError("NotFoundException", "The specified index could not be found", 404)


def resource_not_found() -> AwsError:
    return AwsError("NotFoundException", "The specified resource could not be found", 404)


def conflict(message: str) -> AwsError:
    return AwsError("ConflictException", message, 409)


def over_quota(message: str) -> AwsError:
    return AwsError("ServiceQuotaExceededException", message, 402)

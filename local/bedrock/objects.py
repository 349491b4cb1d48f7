"""Files in and out of S3 with the caller's own rights, as Bedrock does it. Keys in URIs are raw, not URL-encoded."""

import contextlib
from pathlib import Path
from typing import Any

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from local.wire import ACCOUNT, AwsError

_ONE_AFTER_THE_OTHER = TransferConfig(use_threads=False)
_CHUNK = 1 << 20


class ObjectRefusedError(Exception):
    """S3 will not give or take the object; the message is a sentence. `denied` where a right is missing."""

    def __init__(self, message: str, denied: bool = False) -> None:
        super().__init__(message)
        self.denied = denied

    def as_aws(self) -> AwsError:
        if self.denied:
            return AwsError("AccessDeniedException", str(self), 403)
        return AwsError("ValidationException", str(self))


def split_uri(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def check_owner(bucket_owner: str | None, uri: str) -> None:
    if bucket_owner not in (None, ACCOUNT):
        raise ObjectRefusedError(f"The bucket of {uri} does not belong to account {bucket_owner}", denied=True)


def download(s3: Any, uri: str, target: Path, limit: int) -> None:
    """Raises `ObjectRefusedError`, also for an object of more than `limit` bytes."""
    bucket, key = split_uri(uri)
    try:
        answer = s3.get_object(Bucket=bucket, Key=key)
    except ClientError as error:
        raise refused(error, "read", uri) from error
    with contextlib.closing(answer["Body"]) as body, target.open("wb") as file:
        if answer["ContentLength"] > limit:
            raise ObjectRefusedError(f"{uri} has {answer['ContentLength']} bytes; the limit is {limit}")
        for chunk in body.iter_chunks(_CHUNK):
            file.write(chunk)


def upload(s3: Any, source: Path, uri: str, kms_key: str | None) -> None:
    """In parts if it is large. Raises `ObjectRefusedError`."""
    bucket, key = split_uri(uri)
    kind = "application/json" if key.endswith(".json") else "application/jsonl"
    try:
        # Not upload_file: it hides S3's error code in an error of its own.
        with source.open("rb") as body:
            s3.upload_fileobj(
                body, bucket, key, ExtraArgs={"ContentType": kind, **encryption(kms_key)}, Config=_ONE_AFTER_THE_OTHER
            )
    except ClientError as error:
        raise refused(error, "write", uri) from error


def check_writable(s3: Any, uri: str, kms_key: str | None, cleaner: Any) -> None:
    """Whether the caller may write there. An upload begun and given up leaves no object and sends no event.

    `cleaner` gives it up: who may put need not be allowed to abort.
    """
    bucket, key = split_uri(uri)
    try:
        begun = s3.create_multipart_upload(Bucket=bucket, Key=key, **encryption(kms_key))
    except ClientError as error:
        raise refused(error, "write", uri) from error
    with contextlib.suppress(ClientError):
        cleaner.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=begun["UploadId"])


def encryption(kms_key: str | None) -> dict[str, str]:
    return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}


def refused(error: ClientError, verb: str, uri: str) -> Exception:
    """A sentence for what the caller can mend; anything else (a 5xx, throttling) stays what it is."""
    code = error.response["Error"]["Code"]
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    if status == 403:
        return ObjectRefusedError(f"Access to {verb} {uri} was denied", denied=True)
    if code == "NoSuchBucket":
        return ObjectRefusedError(f"The bucket of {uri} does not exist")
    if status == 404:
        return ObjectRefusedError(f"{uri} does not exist")
    if 400 <= status < 500 and status != 429:
        return ObjectRefusedError(f"S3 refuses to {verb} {uri}: {error.response['Error']['Message']}")
    return error

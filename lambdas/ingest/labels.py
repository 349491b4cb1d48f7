"""What a user says of a file: in `x-amz-meta-*`, in its tags, in a sidecar beside it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson
from botocore.exceptions import ClientError

from lambdas.shared.assets import SIDECAR, StoredObject
from lambdas.shared.metadata import Attributes, attributes_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SIDECAR_BYTES = 10_240  # Amazon Bedrock user guide, "Include metadata in a data source"
_VALUES = ("stringValue", "numberValue", "booleanValue", "stringListValue")


def read_labels(s3: "S3Client", stored: StoredObject, owner_attribute: str = "") -> Attributes:
    """As they are now. Of one name the sidecar goes before the tag, and the tag before `x-amz-meta-*`.

    A sidecar that cannot be read counts as none; `problem` says so.
    """
    texts = {**stored.metadata, **_tags(s3, stored)}
    typed, problem = _sidecar(s3, stored)
    return attributes_of(stored.key, texts, typed, problem, owner_attribute)


def _tags(s3: "S3Client", stored: StoredObject) -> dict[str, str]:
    if not stored.tag_count:
        return {}
    version: Any = {"VersionId": stored.version_id} if stored.version_id else {}
    try:
        found = s3.get_object_tagging(Bucket=stored.bucket, Key=stored.key, **version)["TagSet"]
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchVersion", "MethodNotAllowed"):
            return {}  # gone meanwhile, as the next look will see
        raise
    return {tag["Key"]: tag["Value"] for tag in found}


def _sidecar(s3: "S3Client", stored: StoredObject) -> tuple[dict[str, Any], str | None]:
    """`{"metadataAttributes": {name: value}}`, as Bedrock Knowledge Bases have it: the value plain, or in
    `{"value": {"type", "stringValue" | "numberValue" | …}}`."""
    name = f"{stored.name}{SIDECAR}"
    try:
        answer = s3.get_object(Bucket=stored.bucket, Key=f"{stored.key}{SIDECAR}")
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "KeyTooLongError", "InvalidObjectState"):
            return {}, None
        raise
    if answer["ContentLength"] > SIDECAR_BYTES:
        return {}, f"{name} has {answer['ContentLength']:,} bytes; {SIDECAR_BYTES:,} is the most"
    try:
        values = orjson.loads(answer["Body"].read())["metadataAttributes"]
        return {str(key): _plain(value) for key, value in values.items()}, None
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return {}, f'{name} is not of the form {{"metadataAttributes": {{…}}}}'


def _plain(value: Any) -> Any:
    inner = value.get("value") if isinstance(value, Mapping) else None
    if not isinstance(inner, Mapping):
        return value
    return next((inner[name] for name in _VALUES if name in inner), None)

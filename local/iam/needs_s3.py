"""Which actions a request to S3 needs (Service Authorization Reference, "Actions, resources, and condition keys")."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from urllib.parse import unquote

from local.iam.needs import Need, Question

_OBJECT_ACTIONS: Mapping[str, tuple[str, ...]] = {
    "GetObject": ("GetObject",),
    "HeadObject": ("GetObject",),
    "GetObjectAttributes": ("GetObject", "GetObjectAttributes"),
    "GetObjectTagging": ("GetObjectTagging",),
    "GetObjectAcl": ("GetObjectAcl",),
    "PutObjectTagging": ("PutObjectTagging",),
    "PutObjectAcl": ("PutObjectAcl",),
    "DeleteObjectTagging": ("DeleteObjectTagging",),
    "DeleteObject": ("DeleteObject",),
}
"""Those that name the version they mean in their action."""
_WRITES = frozenset(
    ("PutObject", "CopyObject", "CreateMultipartUpload", "UploadPart", "UploadPartCopy", "CompleteMultipartUpload")
)
_OTHERWISE_CALLED = {
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListParts": "ListMultipartUploadParts",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "PutBucketNotificationConfiguration": "PutBucketNotification",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "GetBucketCors": "GetBucketCORS",
    "PutBucketCors": "PutBucketCORS",
    "DeleteBucketCors": "PutBucketCORS",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
}
_HEADERS = (
    "x-amz-acl",
    "x-amz-content-sha256",
    "x-amz-copy-source",
    "x-amz-metadata-directive",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
)


def s3_needs(question: Question) -> Iterable[Need]:
    """Those of DeleteObjects and of a form are told by S3 itself, which reads what they name."""
    operation = question.asked.operation
    bucket, key = question.asked.labels.get("Bucket", ""), question.asked.labels.get("Key", "")
    if operation in ("DeleteObjects", "PostObject"):
        return []
    if not bucket:
        return [question.need("*", "ListAllMyBuckets" if operation == "ListBuckets" else None)]
    values = partial(_values, question)
    arn = object_arn(bucket, key) if key else f"arn:aws:s3:::{bucket}"
    if operation in _WRITES:
        return _writing(question, arn, values)
    versioned = "versionId" in question.request.args
    actions = _OBJECT_ACTIONS.get(operation)
    if actions is None:
        return [Need(f"s3:{_OTHERWISE_CALLED.get(operation, operation)}", arn, values)]
    return [Need(f"s3:{with_version(action) if versioned else action}", arn, values) for action in actions]


def _writing(question: Question, arn: str, values: Callable[[], Mapping[str, str | None]]) -> Iterable[Need]:
    headers = question.request.headers
    yield Need("s3:PutObject", arn, values)
    if "x-amz-tagging" in headers:
        yield Need("s3:PutObjectTagging", arn, values)
    if "x-amz-acl" in headers:
        yield Need("s3:PutObjectAcl", arn, values)
    if source := headers.get("x-amz-copy-source"):
        path, mark, _ = source.partition("?versionId=")
        bucket, _, key = unquote(path).removeprefix("/").partition("/")
        yield Need("s3:GetObjectVersion" if mark else "s3:GetObject", object_arn(bucket, key))


def object_arn(bucket: str, key: str) -> str:
    return f"arn:aws:s3:::{bucket}/{key}"


def with_version(action: str) -> str:
    """GetObjectVersion, GetObjectVersionTagging, …"""
    return action.replace("Object", "ObjectVersion", 1)


def _values(question: Question) -> Mapping[str, str | None]:
    query, headers = question.request.args, question.request.headers
    return {
        "s3:prefix": query.get("prefix"),
        "s3:delimiter": query.get("delimiter"),
        "s3:max-keys": query.get("max-keys"),
        "s3:VersionId": query.get("versionId"),
        "s3:TlsVersion": "1.3",
        "s3:signatureversion": "AWS4-HMAC-SHA256",
        "s3:authType": "REST-QUERY-STRING" if "X-Amz-Signature" in query else "REST-HEADER",
        "s3:if-match": headers.get("If-Match"),
        "s3:if-none-match": headers.get("If-None-Match"),
        **{f"s3:{name}": headers.get(name) for name in _HEADERS},
    }

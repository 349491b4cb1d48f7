"""The source of CopyObject and UploadPartCopy, and its bytes on their way into a new file."""

from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import unquote

from local.s3.blobs import Blobs, Blocks, Incoming
from local.s3.body import MAX_PUT, Digest
from local.s3.buckets import Buckets
from local.s3.conditions import check_copy_source
from local.s3.errors import S3Error, invalid_argument, not_implemented
from local.s3.headers import Headers
from local.s3.versions import NULL, Version, Versions
from local.state import State
from local.wire import AwsError


@dataclass(frozen=True)
class Source:
    """An open source: its file stays readable whatever happens to the object. Close it."""

    version: Version
    file: BinaryIO

    @property
    def header(self) -> dict[str, str]:
        version = self.version.id
        return {} if version == NULL else {"x-amz-copy-source-version-id": version}


class Sources:
    def __init__(self, state: State, buckets: Buckets, versions: Versions, blobs: Blobs) -> None:
        self._state = state
        self._buckets = buckets
        self._versions = versions
        self._blobs = blobs

    def open(self, headers: Headers) -> Source:
        bucket, key, version = named_source(headers["x-amz-copy-source"])
        with self._state.transaction():
            self._buckets.get(bucket)
            found = self._get(bucket, key, version)
            check_copy_source(headers, found)
            return Source(found, self._blobs.open(found.content.file))

    def _get(self, bucket: str, key: str, version: str | None) -> Version:
        try:
            return self._versions.get(bucket, key, version)
        except S3Error as error:
            if error.status != 405:
                raise
            message = "The source of a copy request may not specifically refer to a delete marker by version id."
            raise AwsError("InvalidRequest", message) from error


def named_source(source: str) -> tuple[str, str, str | None]:
    """Bucket, key and version of `bucket/key%20encoded?versionId=…`; only the key is encoded."""
    path, mark, version = source.partition("?versionId=")
    bucket, _, key = unquote(path).removeprefix("/").partition("/")
    if bucket.startswith("arn:"):
        raise not_implemented("x-amz-copy-source with an access point")
    if not bucket or not key:
        message = "Copy Source must mention the source bucket and key: sourcebucket/sourcekey"
        raise invalid_argument(message, "x-amz-copy-source", source)
    return bucket, key, version if mark else None


def copy_bytes(source: Source, start: int, length: int, blob: Incoming, digest: Digest) -> None:
    if length > MAX_PUT:
        message = f"The specified copy source is larger than the maximum allowable size for a copy source: {MAX_PUT}"
        raise AwsError("InvalidRequest", message)
    for data in Blocks(source.file, start, length):
        digest.update(data)
        blob.write(data)
    blob.keep()

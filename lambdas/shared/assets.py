"""The nouns: an asset, what of it is stored, and the names that its work and its vectors go by."""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from typing import TYPE_CHECKING, NamedTuple

from botocore.exceptions import ClientError

from lambdas.shared.profiles import Profile

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SIDECAR = ".metadata.json"
_CHARSET = re.compile(r"""; *charset *= *["']?([\w.:-]+)""", re.IGNORECASE)


def asset_id_of(bucket: str, key: str) -> str:
    """20 characters a–z and 2–7, the same for ever for one bucket and key."""
    digest = hashlib.sha256(f"{bucket}\0{key}".encode()).digest()
    return base64.b32encode(digest)[:20].decode().lower()


def is_asset(key: str) -> bool:
    """Folders, the Finder's droppings and our sidecars are none."""
    return not (key.endswith(("/", SIDECAR)) or key.rpartition("/")[2] == ".DS_Store")


def prefix_of(key: str) -> str:
    """The key up to and with its last `/`, empty where it has none."""
    return key[: key.rfind("/") + 1]


@dataclass(frozen=True)
class StoredObject:
    """What HeadObject says of a key just now. `created` is its last-modified time in epoch seconds."""

    bucket: str
    key: str
    version_id: str | None
    etag: str
    size: int
    created: int
    metadata: Mapping[str, str] = field(default_factory=dict)  # x-amz-meta-*, the names in small letters
    tag_count: int = field(default=0, compare=False)  # tags are no content
    charset: str | None = field(default=None, compare=False)  # that the content type says

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]

    @property
    def asset_id(self) -> str:
        return asset_id_of(self.bucket, self.key)

    def content(self, profile: Profile) -> str:
        """16 hex digits that name this content under this profile. Nothing from an event goes in."""
        content = [self.version_id] if self.version_id else [self.etag, str(self.created)]
        return _digest(self.bucket, self.key, *content, profile.name)


def generation_of(content: str, attempt: int) -> str:
    """16 hex digits that name a content from the attempt on at which it was wanted.

    Content that is wanted a second time gets another name, so whoever still clears up after the first cannot harm it.
    """
    return _digest(content, str(attempt))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def head_object(s3: "S3Client", bucket: str, key: str) -> StoredObject | None:
    """What lies under the key now; None when there is nothing (needs `s3:ListBucket`, else S3 says 403)."""
    try:
        head = s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound"):
            return None
        raise
    version = head.get("VersionId")
    return StoredObject(
        bucket=bucket,
        key=key,
        version_id=None if version in (None, "null") else version,
        etag=head["ETag"].strip('"'),
        size=head["ContentLength"],
        created=int(head["LastModified"].timestamp()),
        metadata={name: _readable(value) for name, value in head.get("Metadata", {}).items()},
        tag_count=head.get("TagCount", 0),
        charset=said[1] if (said := _CHARSET.search(head.get("ContentType", ""))) else None,
    )


def _readable(value: str) -> str:
    """S3 gives other scripts back in RFC 2047's encoding (S3 user guide, "Working with object metadata")."""
    try:
        return str(make_header(decode_header(value))).encode(errors="replace").decode()  # UTF-7 can hold half a letter
    except (HeaderParseError, LookupError, ValueError):
        return value


@dataclass(frozen=True)
class Work:
    """One attempt at one generation of one asset: what a job, a write and a status speak for."""

    asset_id: str
    generation: str
    attempt: int

    @property
    def name(self) -> str:
        """Client token, execution name and output prefix: letters, digits and `-`, at most 80 characters."""
        return f"{self.asset_id}-{self.generation}-{self.attempt}"

    @classmethod
    def of(cls, name: str) -> "Work":
        """Back from its name; ValueError if it is none."""
        asset_id, generation, attempt = name.split("-")
        return cls(asset_id, generation, int(attempt))


class Segment(NamedTuple):
    """A part of an asset with one embedding: seconds, characters, a page (from 1), or (with none) the whole.

    `number` counts within one embedding type. `embedding` is a JSON array of numbers, as text. Seconds are from the
    start of the media; `end_char` is exclusive.
    """

    number: int
    embedding_type: str
    embedding: bytes | memoryview
    start: float | None = None
    end: float | None = None
    start_char: int | None = None
    end_char: int | None = None
    page: int | None = None
    text: str | None = None


class FailedSegment(NamedTuple):
    """A part that the model could not embed, and why, in a sentence."""

    number: int
    embedding_type: str
    reason: str
    start: float | None = None
    end: float | None = None
    start_char: int | None = None
    end_char: int | None = None
    page: int | None = None


def vector_key(asset_id: str, generation: str, embedding_type: str, number: int) -> str:
    """`AUDIO_VIDEO_SEPARATE` repeats segment numbers, so the type is part of the key."""
    return f"{asset_id}/{generation}/{embedding_type}/{number}"

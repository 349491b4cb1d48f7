"""What an object carries beside its content: system headers, user metadata and tags."""

import re
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import Header, decode_header, make_header
from urllib.parse import parse_qsl

from local.s3.errors import invalid_argument, not_implemented
from local.s3.headers import Headers
from local.wire import AwsError

_STORED = (
    "Content-Type", "Content-Disposition", "Content-Encoding", "Content-Language", "Cache-Control", "Expires",
    "x-amz-website-redirect-location", "x-amz-storage-class", "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id", "x-amz-server-side-encryption-bucket-key-enabled",
)  # fmt: skip
_READABLE_CLASSES = {
    "STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR",
}  # fmt: skip
_META = "x-amz-meta-"
MAX_METADATA = 2048
_TAG_TEXT = re.compile(r"[\w\s+\-=.:/@]*")


@dataclass(frozen=True)
class Attributes:
    """`headers` go back to the client as they are. `metadata` is text of any script."""

    headers: dict[str, str]
    metadata: dict[str, str]
    tags: dict[str, str]

    @property
    def storage_class(self) -> str:
        return self.headers.get("x-amz-storage-class", "STANDARD")

    def response_headers(self) -> dict[str, str]:
        """The stored headers and metadata; non-ASCII metadata is sent as RFC 2047 words, as S3 does."""
        found = dict(self.headers)
        found |= {_META + name: _mail_safe(value) for name, value in self.metadata.items()}
        if self.tags:
            found["x-amz-tagging-count"] = str(len(self.tags))
        return found


def read_attributes(headers: Headers) -> Attributes:
    _refuse(headers)
    stored = {name: headers[name] for name in _STORED if headers.get(name)}
    encoding = ", ".join(part for part in _parts(stored.pop("Content-Encoding", "")) if part != "aws-chunked")
    if encoding:
        stored["Content-Encoding"] = encoding
    stored.setdefault("Content-Type", "binary/octet-stream")
    stored.setdefault("x-amz-server-side-encryption", "AES256")
    if stored.get("x-amz-storage-class") == "STANDARD":
        del stored["x-amz-storage-class"]
    return Attributes(stored, read_metadata(headers), parse_tagging(headers.get("x-amz-tagging", "")))


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def read_metadata(headers: Headers) -> dict[str, str]:
    metadata = {name.removeprefix(_META): _decoded(value) for name, value in headers.items() if name.startswith(_META)}
    size = sum(len(name) + len(value.encode()) for name, value in metadata.items())
    if size > MAX_METADATA:
        message = "Your metadata headers exceed the maximum allowed metadata size"
        raise AwsError("MetadataTooLarge", message, Size=size, MaxSizeAllowed=MAX_METADATA)
    return metadata


def _decoded(value: str) -> str:
    """Clients send other scripts as raw UTF-8 (which WSGI shows as Latin-1) or as RFC 2047 words."""
    try:
        if "=?" in value:
            return str(make_header(decode_header(value)))
        return value.encode("latin1").decode()
    except (UnicodeError, HeaderParseError, LookupError, ValueError):
        return value


def _mail_safe(value: str) -> str:
    return value if value.isascii() and value.isprintable() else Header(value, "utf-8", maxlinelen=10**6).encode()


def _refuse(headers: Headers) -> None:
    """What S3 would refuse on a bucket made today, and what the laptop does not offer."""
    storage = headers.get("x-amz-storage-class", "STANDARD")
    if storage in ("GLACIER", "DEEP_ARCHIVE"):
        raise not_implemented(f"x-amz-storage-class: {storage}")
    if storage not in _READABLE_CLASSES:
        raise AwsError("InvalidStorageClass", "The storage class you specified is not valid")
    if headers.get("x-amz-acl", "private") not in ("private", "bucket-owner-full-control"):
        raise AwsError("AccessControlListNotSupported", "The bucket does not allow ACLs")
    encryption = headers.get("x-amz-server-side-encryption", "AES256")
    if encryption not in ("AES256", "aws:kms", "aws:kms:dsse"):
        message = "The encryption method specified is not supported"
        raise invalid_argument(message, "x-amz-server-side-encryption", encryption)
    for name in headers:
        if name.startswith("x-amz-grant-"):
            raise AwsError("AccessControlListNotSupported", "The bucket does not allow ACLs")
        if name.startswith("x-amz-object-lock-"):
            raise AwsError("InvalidRequest", "Bucket is missing Object Lock Configuration")
        if name.startswith(("x-amz-server-side-encryption-customer-", "x-amz-write-offset-")):
            raise not_implemented(name)


def parse_tagging(text: str) -> dict[str, str]:
    """Tags as `x-amz-tagging` carries them, in the form of a query."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), errors="strict")
    except ValueError as error:
        message = "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters."
        raise invalid_argument(message, "x-amz-tagging", text) from error
    return checked_tags(pairs)


def checked_tags(pairs: list[tuple[str, str]]) -> dict[str, str]:
    if len(pairs) > 10:
        raise AwsError("BadRequest", "Object tags cannot be greater than 10")
    tags = dict(pairs)
    if len(tags) != len(pairs):
        raise AwsError("InvalidTag", "Cannot provide multiple Tags with the same key")
    for key, value in pairs:
        if not 1 <= len(key) <= 128 or not _TAG_TEXT.fullmatch(key) or key.startswith("aws:"):
            raise AwsError("InvalidTag", "The TagKey you have provided is invalid", TagKey=key)
        if len(value) > 256 or not _TAG_TEXT.fullmatch(value):
            raise AwsError("InvalidTag", "The TagValue you have provided is invalid", TagKey=key, TagValue=value)
    return tags

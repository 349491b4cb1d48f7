"""One request to S3: which bucket and key it means, and its headers as the client wrote them."""

import re
import secrets
from collections.abc import Container
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes, urlsplit

from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Request, Response

from local.hosts import bucket_of_host
from local.s3.events import Origin
from local.s3.headers import Headers
from local.s3.xml import Element, document
from local.wire import ACCOUNT, AwsError, Caller

OWNER_ID = "0" * 64  # the canonical user id of the laptop's one account
MAX_KEY_BYTES = 1024
# What may follow `?` to name another thing than the bucket or object itself; a request has one of them.
SUBRESOURCES = (
    "uploadId", "uploads", "delete", "tagging", "attributes", "versions", "versioning", "location", "notification",
    "list-type", "abac", "accelerate", "acl", "analytics", "annotation", "annotations", "append", "cors", "encryption",
    "intelligent-tiering", "inventory", "legal-hold", "lifecycle", "logging", "metadataAnnotationTable",
    "metadataConfiguration",
    "metadataInventoryTable", "metadataJournalTable", "metadataTable", "metrics", "object-lock", "ownershipControls",
    "policy", "policyStatus", "publicAccessBlock", "renameObject", "replication", "requestPayment", "restore",
    "retention", "select", "session", "torrent", "website",
)  # fmt: skip


@dataclass(frozen=True)
class Call:
    """`bucket` and `key` are empty where the request names none."""

    request: Request
    caller: Caller
    bucket: str
    key: str
    headers: Headers
    id: str = field(default_factory=lambda: secrets.token_hex(8).upper())

    @property
    def query(self) -> MultiDict[str, str]:
        return self.request.args

    @property
    def version(self) -> str | None:
        version = self.query.get("versionId")
        if version == "":
            raise AwsError("InvalidArgument", "Version id cannot be the empty string", ArgumentName="versionId")
        return version

    def origin(self, reason: str) -> Origin:
        """Where a change comes from; an event names the requester by account, and all callers are of this one."""
        return Origin(self.id, ACCOUNT, self.request.remote_addr or "127.0.0.1", reason)

    def integer(self, name: str, default: int, least: int = 0, most: int = 1000) -> int:
        """A number of query or headers, such as `max-keys`; above `most` it means `most`, as S3 reads it."""
        text = self.query.get(name) or self.headers.get(name) or str(default)
        if not re.fullmatch(r"\d{1,10}", text) or not least <= int(text) <= 2**31 - 1:
            message = f"Provided {name} not an integer or within integer range"
            raise AwsError("InvalidArgument", message, ArgumentName=name, ArgumentValue=text)
        return min(int(text), most)


def read_call(request: Request, caller: Caller) -> Call:
    bucket, key = bucket_and_key(request)
    if len(key.encode()) > MAX_KEY_BYTES:
        size = len(key.encode())
        raise AwsError("KeyTooLongError", "Your key is too long", Size=size, MaxSizeAllowed=MAX_KEY_BYTES)
    call = Call(request, caller, bucket, key, _headers(request))
    _check_owner(call.headers)
    return call


def bucket_and_key(request: Request) -> tuple[str, str]:
    """Each is empty where the request names none. AwsError where its path cannot be read."""
    path, bucket = _decoded_path(request), bucket_of_host(request.host)
    if bucket:
        return bucket, path
    bucket, _, key = path.partition("/")
    return bucket, key


def subresource_of(query: Container[str]) -> str:
    """Of several the first, empty without one."""
    return next((name for name in SUBRESOURCES if name in query), "")


def _decoded_path(request: Request) -> str:
    """The path behind its first slash, decoded exactly once; PATH_INFO has lost `%2F` and invalid UTF-8."""
    raw: str = request.environ["REQUEST_URI"].partition("?")[0]
    if not raw.startswith("/"):
        raw = urlsplit(raw).path
    try:
        received = raw.encode("latin1").decode().encode("latin1")  # undoes what werkzeug does to the request line
        return unquote_to_bytes(received)[1:].decode()
    except UnicodeError as error:
        raise AwsError("InvalidURI", "Couldn't parse the specified URI.") from error


def _headers(request: Request) -> Headers:
    """The headers as they came: WSGI's own form turns `_` in a name into `-` (`x-amz-meta-taken_at`).

    A server that keeps them offers them as `laptop.headers`, pairs of name and value.
    """
    raw = request.environ.get("laptop.headers")
    return Headers(request.headers.items() if raw is None else raw)


def _check_owner(headers: Headers) -> None:
    for name in ("x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"):
        if headers.get(name, ACCOUNT) != ACCOUNT:
            raise AwsError("AccessDenied", "Access Denied", 403)


def owner(tag: str = "Owner") -> Element:
    return (tag, [("ID", OWNER_ID), ("DisplayName", "local")])


def xml_response(root: str, content: list[Element] | str, headers: dict[str, str] | None = None) -> Response:
    return Response(document(root, content), content_type="application/xml", headers=headers)


def empty(status: int, headers: dict[str, str] | None = None) -> Response:
    """An answer without a body, and without the content type werkzeug would give it."""
    headers = headers or {}
    response = Response(status=status, headers=headers)
    if "Content-Type" not in headers:
        del response.headers["Content-Type"]
    return response

"""A request's body: plain or `aws-chunked`, checked against everything the client said about it."""

import base64
import binascii
import hashlib
import io
import re
from collections.abc import Iterator

from werkzeug.exceptions import ClientDisconnected
from werkzeug.wrappers import Request

from local.s3.blobs import BLOCK, Incoming
from local.s3.call import Call
from local.s3.checksums import COMPUTED, Checksum, Hasher, claimed, encoded, hasher, named
from local.s3.headers import Headers
from local.wire import AwsError

MAX_PUT = 5 * 1024**3
MAX_DOCUMENT = 8 * 1024**2  # of XML; S3's own documents (10,000 parts with checksums) stay well under it
_CHUNK_HEADER = re.compile(rb"([0-9a-fA-F]{1,16})(;[^\r\n]*)?\r\n")


class Body:
    """Iterates over the content. `trailers` is full once the iteration has ended."""

    def __init__(self, call: Call) -> None:
        self.headers = call.headers
        self.trailers = Headers([])
        self._stream = io.BufferedReader(call.request.stream, BLOCK)  # type: ignore[type-var]
        self._declared = _declared_size(call.request, call.headers)

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._chunks() if is_chunked(self.headers) else self._plain()
        except (ClientDisconnected, OSError) as error:
            raise _incomplete() from error

    def _plain(self) -> Iterator[bytes]:
        while data := self._stream.read(BLOCK):
            yield data

    def _chunks(self) -> Iterator[bytes]:
        total = 0
        while left := self._chunk_size():
            total += left
            while left:
                data = self._stream.read(min(BLOCK, left))
                if not data:
                    raise _incomplete()
                left -= len(data)
                yield data
            if self._stream.readline(3) != b"\r\n":
                raise _incomplete()
        self._read_trailers()
        if self._declared is not None and total != self._declared:
            raise _incomplete()

    def _chunk_size(self) -> int:
        found = _CHUNK_HEADER.fullmatch(self._stream.readline(1024))
        if not found:
            raise _incomplete()
        return int(found[1], 16)

    def _read_trailers(self) -> None:
        pairs = []
        while line := self._stream.readline(4096).decode("latin1").strip():
            name, _, value = line.partition(":")
            pairs.append((name.strip(), value.strip()))
        self.trailers = Headers(pairs)


def is_chunked(headers: Headers) -> bool:
    return headers.get("x-amz-content-sha256", "").startswith("STREAMING-") or "aws-chunked" in (
        headers.get("Content-Encoding", "")
    )


def _declared_size(request: Request, headers: Headers) -> int | None:
    chunked = is_chunked(headers)
    text = headers.get("x-amz-decoded-content-length") if chunked else headers.get("Content-Length")
    if text is None:
        if not chunked and "chunked" not in request.headers.get("Transfer-Encoding", "").lower():
            raise AwsError("MissingContentLength", "You must provide the Content-Length HTTP header.", 411)
        return None
    if not text.isdecimal():
        raise AwsError("InvalidArgument", "The content length is not a number")
    if int(text) > MAX_PUT:
        raise too_large(int(text), MAX_PUT)
    return int(text)


class Digest:
    """The ETag and checksum of a content, as it passes by."""

    def __init__(self, algorithm: str | None) -> None:
        self.algorithm = algorithm
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._computed: Hasher | None = hasher(algorithm) if algorithm in COMPUTED else None
        self.size = 0

    def update(self, data: bytes) -> None:
        self.size += len(data)
        self._md5.update(data)
        if self._computed:
            self._computed.update(data)

    @property
    def etag(self) -> str:
        return self._md5.hexdigest()

    @property
    def checksum(self) -> Checksum | None:
        """None where the laptop does not compute the algorithm."""
        return Checksum(self.algorithm, encoded(self._computed.digest())) if self._computed and self.algorithm else None


class Receipt(Digest):
    """What the client claims about a content, beside what it turns out to be."""

    def __init__(self, headers: Headers, trailing: bool = False) -> None:
        self._claim = claimed(headers)
        super().__init__(self._claim.algorithm if self._claim else _announced(headers, trailing))
        self._md5_claim = _md5_claim(headers.get("Content-MD5"))
        sha256 = headers.get("x-amz-content-sha256", "")
        self._sha256_claim = sha256 if re.fullmatch(r"[0-9a-f]{64}", sha256) else None
        self._sha256 = hashlib.sha256() if self._sha256_claim else None

    def update(self, data: bytes) -> None:
        super().update(data)
        if self._sha256:
            self._sha256.update(data)

    def verify(self, trailers: Headers) -> Checksum | None:
        """The checksum to keep; `BadDigest` and its kin where the content is not what the client meant to send."""
        if self._md5_claim not in (None, self._md5.digest()):
            raise AwsError("BadDigest", "The Content-MD5 you specified did not match what we received.")
        if self._sha256 and self._sha256.hexdigest() != self._sha256_claim:
            message = "The provided 'x-amz-content-sha256' header does not match what was computed."
            raise AwsError("XAmzContentSHA256Mismatch", message)
        claim = self._claim or claimed(trailers)
        if claim is None and self.algorithm:
            raise _unfulfilled()
        if self.checksum and claim and claim.value != self.checksum.value:
            raise AwsError("BadDigest", f"The {self.algorithm} you specified did not match the calculated checksum.")
        return claim


def _announced(headers: Headers, trailing: bool) -> str | None:
    """The algorithm whose value comes behind the body."""
    trailer = headers.get("x-amz-trailer", "").lower()
    if trailing and trailer.startswith("x-amz-checksum-"):
        return named(trailer.removeprefix("x-amz-checksum-"))
    if "x-amz-sdk-checksum-algorithm" in headers:
        raise _unfulfilled()
    return None


def _unfulfilled() -> AwsError:
    message = (
        "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* "
        "or x-amz-trailer headers were found."
    )
    return AwsError("InvalidRequest", message)


def _md5_claim(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        digest = base64.b64decode(text, validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != 16:
        raise AwsError("InvalidDigest", "The Content-MD5 you specified was invalid.")
    return digest


def receive(call: Call, blob: Incoming) -> tuple[Receipt, Checksum | None]:
    """Write the call's body into `blob`, verified and in its place."""
    body = Body(call)
    receipt = Receipt(call.headers, is_chunked(call.headers))
    for data in body:
        receipt.update(data)
        if receipt.size > MAX_PUT:
            raise too_large(receipt.size, MAX_PUT)
        blob.write(data)
    checksum = receipt.verify(body.trailers)
    blob.keep()
    return receipt, checksum


def read_document(call: Call) -> bytes:
    """A small body, such as XML, verified like a large one."""
    if not call.headers.get("Content-Length") and "Transfer-Encoding" not in call.headers:
        return b""
    body = Body(call)
    receipt = Receipt(call.headers, is_chunked(call.headers))
    content = bytearray()
    for data in body:
        receipt.update(data)
        content += data
        if len(content) > MAX_DOCUMENT:
            raise AwsError("MaxMessageLengthExceeded", "Your request was too large.")
    receipt.verify(body.trailers)
    return bytes(content)


def too_large(size: int, most: int) -> AwsError:
    message = "Your proposed upload exceeds the maximum allowed size"
    return AwsError("EntityTooLarge", message, ProposedSize=size, MaxSizeAllowed=most)


def _incomplete() -> AwsError:
    message = "You did not provide the number of bytes specified by the Content-Length HTTP header"
    return AwsError("IncompleteBody", message)

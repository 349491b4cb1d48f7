"""The checksums S3 knows. CRC32, SHA-1 and SHA-256 are computed here; CRC32C and CRC64NVME are kept as told.

Python computes neither of those two at a speed fit for films, and no client sends them unless asked to.
"""

import base64
import binascii
import hashlib
import re
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Protocol

from local.s3.headers import Headers
from local.wire import AwsError

DIGEST_BYTES = {"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8, "SHA1": 20, "SHA256": 32}
COMPUTED = ("CRC32", "SHA1", "SHA256")
FULL_OBJECT = "FULL_OBJECT"
COMPOSITE = "COMPOSITE"
_PREFIX = "x-amz-checksum-"
_NOT_VALUES = ("algorithm", "mode", "type")


@dataclass(frozen=True)
class Checksum:
    """`value` is base64, of a multipart object possibly with `-N` behind it."""

    algorithm: str
    value: str
    type: str = FULL_OBJECT

    @property
    def element(self) -> tuple[str, str]:
        return (f"Checksum{self.algorithm}", self.value)

    @property
    def header(self) -> tuple[str, str]:
        return (f"{_PREFIX}{self.algorithm.lower()}", self.value)

    def as_json(self) -> dict[str, str]:
        return asdict(self)


class Hasher(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


class Crc32c:
    """Bit by bit: only for the few bytes of a composite checksum."""

    def __init__(self) -> None:
        self._value = 0xFFFFFFFF

    def update(self, data: bytes, /) -> None:
        for byte in data:
            self._value ^= byte
            for _ in range(8):
                self._value = (self._value >> 1) ^ (0x82F63B78 if self._value & 1 else 0)

    def digest(self) -> bytes:
        return (self._value ^ 0xFFFFFFFF).to_bytes(4, "big")


_HASHERS: dict[str, Callable[[], Hasher]] = {
    "CRC32": Crc32,
    "CRC32C": Crc32c,
    "SHA1": hashlib.sha1,
    "SHA256": hashlib.sha256,
}


def hasher(algorithm: str) -> Hasher:
    """For `COMPUTED`, and CRC32C of short input."""
    return _HASHERS[algorithm]()


def named(algorithm: str) -> str:
    """The algorithm's name in capitals, refused where S3 knows none of that name."""
    name = algorithm.upper()
    if name not in DIGEST_BYTES:
        raise AwsError("InvalidRequest", "Checksum algorithm provided is unsupported. Please try again with any of "
                       "the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")  # fmt: skip
    return name


def claimed(headers: Headers) -> Checksum | None:
    """The checksum a client sent in a header or trailer `x-amz-checksum-<algorithm>`."""
    found = [
        (name.removeprefix(_PREFIX), value)
        for name, value in headers.items()
        if name.startswith(_PREFIX) and name.removeprefix(_PREFIX) not in _NOT_VALUES
    ]
    if len(found) > 1:
        message = "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        raise AwsError("InvalidRequest", message)
    return _valid(named(found[0][0]), found[0][1]) if found else None


def _valid(algorithm: str, value: str) -> Checksum:
    digest = re.sub(r"-\d+$", "", value)
    try:
        size = len(base64.b64decode(digest, validate=True))
    except binascii.Error:
        size = -1
    if size != DIGEST_BYTES[algorithm]:
        raise AwsError("InvalidRequest", f"Value for x-amz-checksum-{algorithm.lower()} header is invalid.")
    return Checksum(algorithm, value)


def encoded(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def composite(parts: list[Checksum]) -> Checksum:
    """The checksum of the parts' checksums, `-` and how many (S3 user guide, "Checking object integrity")."""
    algorithm = parts[0].algorithm
    total = hasher(algorithm)
    for part in parts:
        total.update(base64.b64decode(part.value))
    return Checksum(algorithm, f"{encoded(total.digest())}-{len(parts)}", COMPOSITE)

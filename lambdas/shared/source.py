"""The bytes of exactly the version of an object that was seen."""

import io
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from botocore.exceptions import ClientError

from lambdas.shared.assets import StoredObject
from lambdas.shared.errors import BadInputError, ConflictError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BLOCK_BYTES = 4 << 20
BLOCKS = 8  # kept at once


@dataclass(frozen=True)
class Source:
    """ConflictError where that version is there no more, BadInputError where it is archived."""

    s3: "S3Client"
    stored: StoredObject

    def read(self, offset: int, count: int) -> bytes:
        """A range, less at the end of the object."""
        stored = self.stored
        if offset >= stored.size or count <= 0:
            return b""
        version: Any = {"VersionId": stored.version_id} if stored.version_id else {"IfMatch": stored.etag}
        wanted = f"bytes={offset}-{min(offset + count, stored.size) - 1}"
        try:
            return self.s3.get_object(Bucket=stored.bucket, Key=stored.key, Range=wanted, **version)["Body"].read()
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in ("NoSuchKey", "NoSuchVersion", "PreconditionFailed"):
                raise ConflictError(f"{stored.key} went away while it was being read") from error
            if code == "InvalidObjectState":
                raise BadInputError("the file is archived and cannot be read") from error
            raise

    def open(self) -> "SourceFile":
        return SourceFile(self)


class SourceFile(io.RawIOBase):
    """An object as a file that can be seeked: blocks are read as they are needed, the last few are kept.

    Libraries in C swallow what a read raises; `error` keeps it.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._position = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self.error: Exception | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.stored.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        number, skip = divmod(self._position, BLOCK_BYTES)
        piece = memoryview(self._block(number))[skip : skip + len(view)]
        view[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def buffered(self) -> BinaryIO:
        """For those who want every read filled."""
        return cast(BinaryIO, io.BufferedReader(self, io.DEFAULT_BUFFER_SIZE))

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        try:
            block = self._source.read(number * BLOCK_BYTES, BLOCK_BYTES)
        except Exception as error:
            self.error = error
            raise
        self._blocks[number] = block
        if len(self._blocks) > BLOCKS:
            self._blocks.popitem(last=False)
        return block

"""The index: one Amazon S3 Vectors index, what it takes, and the limits of its calls.

A vector goes to the wire as the text it came in: its numbers were JSON in the model's answer and are JSON in the body
of the put. So they are checked, but not written anew, and botocore is given a body that is ready; it would spend most
of an index function's time on turning floats into text (`make bench`).
"""

import math
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import orjson
from botocore.exceptions import ClientError

from lambdas.shared.assets import Work, vector_key
from lambdas.shared.errors import OverloadedError, RefusedError, ThrottledError

if TYPE_CHECKING:
    from mypy_boto3_s3vectors import S3VectorsClient
    from mypy_boto3_s3vectors.type_defs import PutInputVectorTypeDef

# S3 user guide, "S3 Vectors limitations and restrictions": what one call may carry.
VECTORS_A_CALL = 500
KEYS_A_GET = 100
BODY_BYTES = 20 * 1024 * 1024
BODY_ROOM = 4096  # the name of the index and what is around the vectors
THROTTLES = ("TooManyRequestsException", "ThrottlingException")
OVERLOADED = "ServiceUnavailableException"  # also the answer to too many vectors at once
SMALL, LARGE = 1e-30, 1e38  # the length of a vector whose numbers are surely neither all 0 nor infinite as float32
NO_VECTOR = "the model's answer for this part holds no vector"
NOT_FINITE = "the model answered with a number that is NaN, infinite or too large for a float32"
NO_DIRECTION = "the model answered with a vector of zeros, which has no direction"
BETWEEN, END = b'"data":{"float32":', b"}}"
T = TypeVar("T")

_body: ContextVar[bytes | None] = ContextVar("body of the put under way", default=None)


class Vector(NamedTuple):
    """One vector as it is put: `opening` is its key and metadata as JSON, up to where the numbers of `array` go."""

    work: Work
    embedding_type: str
    number: int
    opening: bytes
    array: bytes

    @property
    def size(self) -> int:
        """Bytes in the body of a put, the comma included."""
        return len(self.opening) + len(self.array) + len(END) + 1


def make_vector(work: Work, embedding_type: str, number: int, array: bytes, metadata: Mapping[str, Any]) -> Vector:
    """`array` is a JSON array of numbers in which `problem_of` found nothing wrong."""
    key = vector_key(work.asset_id, work.generation, embedding_type, number)
    return Vector(
        work, embedding_type, number, orjson.dumps({"key": key, "metadata": metadata})[:-1] + b"," + BETWEEN, array
    )


def problem_of(numbers: Any, dimension: int) -> str | None:
    """What is wrong with a model's numbers as a vector of the index, as a person would say it.

    S3 Vectors keeps float32: a number that is infinite as such, or a vector of nothing but zeros, is refused (S3 user
    guide, "Vectors"). `true` and `false` pass for the numbers that they are in Python.
    """
    if not isinstance(numbers, list):
        return NO_VECTOR
    if len(numbers) != dimension:
        return f"the model answered with {len(numbers)} numbers instead of {dimension}"
    try:
        length = math.hypot(*numbers)
    except TypeError:
        return NO_VECTOR
    except OverflowError:
        return NOT_FINITE
    if SMALL < length < LARGE:  # no number is larger than this, and the largest is not much smaller
        return None
    return _rounded_problem(numbers)


def _rounded_problem(numbers: list[float]) -> str | None:
    """Of numbers that may be too large or too small for a float32."""
    try:
        rounded = struct.unpack(f"{len(numbers)}f", struct.pack(f"{len(numbers)}f", *numbers))
    except OverflowError:
        return NOT_FINITE
    if not all(map(math.isfinite, rounded)):
        return NOT_FINITE
    return None if any(rounded) else NO_DIRECTION


@dataclass(frozen=True)
class Neighbour:
    """A vector found by a query; `distance` is cosine distance, 0 (same) to 2."""

    key: str
    distance: float
    metadata: Mapping[str, Any]

    @property
    def asset_id(self) -> str:
        return self.key.split("/", 3)[0]

    @property
    def generation(self) -> str:
        return self.key.split("/", 3)[1]

    @property
    def segment_id(self) -> str:
        """`AUDIO/3`: the embedding type and the number within it."""
        return self.key.split("/", 2)[2]


class VectorStore:
    """One index. Put and delete are upserts by key: repeating either changes nothing."""

    def __init__(self, client: "S3VectorsClient", index_arn: str) -> None:
        self._client = client
        self._index = index_arn
        client.meta.events.register("before-call.s3vectors.PutVectors", _use_body, unique_id="bucketlens-body")

    def put(self, vectors: Sequence[Vector]) -> None:
        """Write what one call takes (see `batches`); what is too much at once for S3 Vectors goes in halves.

        ThrottledError when S3 Vectors asks to slow down, RefusedError when it finds the vectors wrong.
        """
        try:
            self._put(vectors)
        except OverloadedError:
            if len(vectors) == 1:
                raise
            half = len(vectors) // 2
            self.put(vectors[:half])
            self.put(vectors[half:])

    def _put(self, vectors: Sequence[Vector]) -> None:
        parts = [part for vector in vectors for part in (b",", vector.opening, vector.array, END)]
        index = orjson.dumps(self._index)
        token = _body.set(b"".join([b'{"indexArn":', index, b',"vectors":[', *parts[1:], b"]}"]))
        # botocore signs, sends and repeats the body that is ready; this one only passes its validation.
        placeholder: list[PutInputVectorTypeDef] = [{"key": "-", "data": {"float32": [0.0]}}]
        try:
            _called(partial(self._client.put_vectors, indexArn=self._index, vectors=placeholder))
        finally:
            _body.reset(token)

    def delete(self, keys: Sequence[str]) -> None:
        """Keys that are not there are no error."""
        for some in _cut(keys, VECTORS_A_CALL):
            _called(partial(self._client.delete_vectors, indexArn=self._index, keys=some))

    def existing(self, keys: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Those of the vectors that are there, with their metadata."""
        found: dict[str, Mapping[str, Any]] = {}
        for some in _cut(keys, KEYS_A_GET):
            answer = _called(partial(self._client.get_vectors, indexArn=self._index, keys=some, returnMetadata=True))
            found |= {vector["key"]: vector.get("metadata", {}) for vector in answer["vectors"]}
        return found

    def query(
        self, embedding: Sequence[float], filter: Mapping[str, Any] | None, top_k: int, next_token: str | None = None
    ) -> tuple[list[Neighbour], str | None]:
        """One page (at most 100) of the nearest `top_k` that pass the filter, and the token of the next page."""
        request: dict[str, Any] = {
            "indexArn": self._index,
            "queryVector": {"float32": list(embedding)},
            "topK": top_k,
            "returnDistance": True,
            "returnMetadata": True,
        }
        if filter:
            request["filter"] = filter
        if next_token:
            request["nextToken"] = next_token
        answer = _called(partial(self._client.query_vectors, **request))
        found = [Neighbour(hit["key"], hit["distance"], hit.get("metadata", {})) for hit in answer["vectors"]]
        return found, answer.get("nextToken")


def batches(vectors: Iterable[Vector]) -> Iterator[list[Vector]]:
    """Cut into calls by count and by bytes, reading no further ahead than one call."""
    batch: list[Vector] = []
    room = BODY_BYTES - BODY_ROOM
    for vector in vectors:
        size = vector.size
        if batch and (len(batch) == VECTORS_A_CALL or size > room):
            yield batch
            batch, room = [], BODY_BYTES - BODY_ROOM
        batch.append(vector)
        room -= size
    if batch:
        yield batch


def _cut(keys: Sequence[str], size: int) -> list[list[str]]:
    return [list(keys[start : start + size]) for start in range(0, len(keys), size)]


def _use_body(params: dict[str, Any], **_: Any) -> None:
    """botocore's `before-call`: the request is made but not yet signed."""
    body = _body.get()
    if body is not None:
        params["body"] = body


def _called(call: Callable[[], T]) -> T:
    """The answer of S3 Vectors; a throttle becomes ThrottledError, a refusal RefusedError."""
    try:
        return call()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == OVERLOADED:
            raise OverloadedError(str(error)) from error
        if code in THROTTLES:
            raise ThrottledError(str(error)) from error
        if code == "ValidationException":
            raise RefusedError(error.response["Error"]["Message"]) from error
        raise

"""The index: one Amazon S3 Vectors index for each profile, what it takes, and the limits of its calls.

A vector goes to the wire as the text it came in: its numbers were JSON in the model's answer and are JSON in the body
of the put. So they are checked, but not written anew, and botocore is given a body that is ready; it would spend most
of an index function's time on turning floats into text (`make bench`).
"""

import math
import mmap
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
from lambdas.shared.profiles import Profiles

if TYPE_CHECKING:
    from mypy_boto3_s3vectors import S3VectorsClient
    from mypy_boto3_s3vectors.type_defs import PutInputVectorTypeDef

# S3 user guide, "S3 Vectors limitations and restrictions": what one call may carry.
VECTORS_A_CALL = 500
KEYS_A_GET = 100
BODY_BYTES = 20 * 1024 * 1024
THROTTLES = ("TooManyRequestsException", "ThrottlingException")
OVERLOADED = "ServiceUnavailableException"  # also the answer to too many vectors at once
SMALL, LARGE = 1e-30, 1e38  # the length of a vector whose numbers are surely neither all 0 nor infinite as float32
NO_VECTOR = "the model's answer for this part holds no vector"
NOT_FINITE = "the model answered with a number that is NaN, infinite or too large for a float32"
NO_DIRECTION = "the model answered with a vector of zeros, which has no direction"
BETWEEN, CLOSING = b"}},", b"}}]}"
T = TypeVar("T")

_body: ContextVar[memoryview | None] = ContextVar("body of the put under way", default=None)


# One vector as it is put: whose, its embedding type, its number, its key and metadata as JSON up to where the numbers
# go, and the numbers as a JSON array. A plain tuple, for an index function makes a hundred thousand of them.
Vector = tuple[Work, str, int, bytes, bytes | memoryview]


def make_vector(
    work: Work, embedding_type: str, number: int, array: bytes | memoryview, common: bytes, own: Mapping[str, Any]
) -> Vector:
    """`array` is a JSON array of numbers in which `problem_of` found nothing wrong.

    `common` is the metadata that the vector shares with others, as the inside of a JSON object; `own` is the rest.
    """
    key = vector_key(work.asset_id, work.generation, embedding_type, number).encode()
    opening = b'{"key":"%b","metadata":{%b,%b,"data":{"float32":' % (key, common, orjson.dumps(own)[1:])
    return work, embedding_type, number, opening, array


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


def has_room(count: int, size: int, most: int = BODY_BYTES) -> bool:
    """Whether a call that holds `count` vectors takes another one, with which its body has `size` bytes."""
    return count < VECTORS_A_CALL and size <= most


@dataclass(frozen=True)
class Neighbour:
    """A vector found by a query; `distance` is cosine distance, 0 (same) to 2.

    `text` is the sum of its texts' BM25 scores, `fused` the service's own fusion of both.
    """

    key: str
    distance: float | None
    metadata: Mapping[str, Any]
    text: float | None = None
    fused: float | None = None

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

    @property
    def number(self) -> int:
        """Of the segment, within its embedding type."""
        return int(self.key.rpartition("/")[2])


class StoredVector(NamedTuple):
    """A vector as it lies in the index."""

    embedding_type: str
    number: int
    values: list[float]
    metadata: Mapping[str, Any]


class Entry(NamedTuple):
    """A vector in a batch, and where it lies in the body."""

    work: Work
    embedding_type: str
    number: int
    start: int
    end: int


class Batch:
    """The vectors of one PutVectors, in the body of its request: `{"indexArn":…,"vectors":[…]}`.

    The buffer is as large as a body may be and is filled over and over again, for 20 MiB of fresh memory cost more
    than what is written into them. It is mapped, so that what is not filled is no memory at all, in large pages where
    the system has them.
    """

    def __init__(self, index_arn: str, size: int = BODY_BYTES) -> None:
        self._index = index_arn
        opening = b'{"indexArn":%b,"vectors":[' % orjson.dumps(index_arn)
        self._first = len(opening)
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            memory.madvise(mmap.MADV_HUGEPAGE)
        self._buffer = memoryview(memory)
        self._buffer[: self._first] = opening
        self.clear()

    def clear(self) -> None:
        self.entries: list[Entry] = []
        self._end = self._first

    def add(self, vector: Vector) -> bool:
        """False when there is no room for it in this call."""
        work, embedding_type, number, opening, array = vector
        start = self._end
        middle = start + len(opening)
        last = middle + len(array)
        end = last + len(BETWEEN)
        if not has_room(len(self.entries), end + len(CLOSING), len(self._buffer)):
            if not self.entries:
                raise ValueError(f"a vector of {end - start} bytes is larger than a call")
            return False
        buffer = self._buffer
        buffer[start:middle] = opening
        buffer[middle:last] = array
        buffer[last:end] = BETWEEN
        self.entries.append(Entry(work, embedding_type, number, start, end))
        self._end = end
        return True

    def close(self) -> memoryview:
        """The body, which is JSON now: nothing more can be added until it is cleared."""
        end = self._end - len(BETWEEN)  # the comma too
        self._buffer[end : end + len(CLOSING)] = CLOSING
        return self._buffer[: end + len(CLOSING)]

    def with_only(self, entries: Sequence[Entry]) -> "Batch":
        """A batch of its own with some of the vectors."""
        size = self._first + sum(entry.end - entry.start for entry in entries) + len(CLOSING)
        other = Batch(self._index, size)
        for entry in entries:
            last = entry.end - len(BETWEEN)  # what follows is different where this one is closed
            end = other._end + last - entry.start
            other._buffer[other._end : end] = self._buffer[entry.start : last]
            other._buffer[end : end + len(BETWEEN)] = BETWEEN
            other.entries.append(entry._replace(start=other._end, end=end + len(BETWEEN)))
            other._end = end + len(BETWEEN)
        return other


class VectorStore:
    """One index. Put and delete are upserts by key: repeating either changes nothing."""

    def __init__(self, client: "S3VectorsClient", index_arn: str) -> None:
        self._client = client
        self._index = index_arn
        events = client.meta.events
        events.register("before-call.s3vectors.PutVectors", _use_body, unique_id="bucketlens-body")
        events.register("before-send.s3vectors.PutVectors", _allow_repeats, unique_id="bucketlens-repeats")

    def batches(self, vectors: Iterable[Vector]) -> Iterator[Batch]:
        """Cut into calls by count and by bytes. Each is to be put before the next is asked for: they share a buffer."""
        batch = Batch(self._index)
        for vector in vectors:
            if not batch.add(vector):
                yield batch
                batch.clear()
                batch.add(vector)
        if batch.entries:
            yield batch

    def put(self, batch: Batch) -> None:
        """One call; what is too much at once for S3 Vectors goes in halves.

        ThrottledError when S3 Vectors asks to slow down, RefusedError when it finds the vectors wrong.
        """
        try:
            self._put(batch)
        except OverloadedError as error:
            if len(batch.entries) == 1:
                raise ThrottledError(str(error)) from error
            half = len(batch.entries) // 2
            self.put(batch.with_only(batch.entries[:half]))
            self.put(batch.with_only(batch.entries[half:]))

    def _put(self, batch: Batch) -> None:
        # botocore signs, sends and repeats the body that is ready; this one only passes its validation.
        placeholder: list[PutInputVectorTypeDef] = [{"key": "-", "data": {"float32": [0.0]}}]
        token = _body.set(batch.close())
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

    def present(self, keys: Sequence[str]) -> set[str]:
        """Those of the vectors that are there."""
        gets = (partial(self._client.get_vectors, indexArn=self._index, keys=some) for some in _cut(keys, KEYS_A_GET))
        return {vector["key"] for get in gets for vector in _called(get)["vectors"]}

    def stored(self, keys: Sequence[str]) -> Iterator[StoredVector]:
        """Those of the vectors that are there, whole, a hundred read at a time."""
        for some in _cut(keys, KEYS_A_GET):
            get = partial(
                self._client.get_vectors, indexArn=self._index, keys=some, returnData=True, returnMetadata=True
            )
            for vector in _called(get)["vectors"]:
                embedding_type, number = vector["key"].split("/")[2:]
                yield StoredVector(embedding_type, int(number), vector["data"]["float32"], vector.get("metadata", {}))

    def values(self, keys: Sequence[str]) -> Iterator[tuple[str, list[float]]]:
        """The numbers of those of the vectors that are there, by their keys, a hundred read at a time."""
        for some in _cut(keys, KEYS_A_GET):
            for vector in _called(partial(self._client.get_vectors, indexArn=self._index, keys=some, returnData=True))[
                "vectors"
            ]:
                yield vector["key"], vector["data"]["float32"]

    def query(
        self,
        embedding: Sequence[float] | None,
        texts: Mapping[str, str],
        filter: Mapping[str, Any] | None,
        top_k: int,
        next_token: str | None = None,
    ) -> tuple[list[Neighbour], str | None]:
        """One page (at most 100) of the best `top_k` that pass the filter, and the token of the next page.

        The nearest to the embedding, the best by the words of `texts` (by metadata key), or both, fused by the service.
        """
        request: dict[str, Any] = {"indexArn": self._index, "topK": top_k, "returnMetadata": True}
        if embedding is not None:
            request |= {"queryVector": {"float32": list(embedding)}, "returnDistance": True}
        if texts:
            request["queryTexts"] = [{"metadataKey": key, "text": text} for key, text in texts.items()]
            request["returnScores"] = True
        if filter:
            request["filter"] = filter
        if next_token:
            request["nextToken"] = next_token
        answer = _called(partial(self._client.query_vectors, **request))
        return [_neighbour(hit) for hit in answer["vectors"]], answer.get("nextToken")


def _neighbour(hit: Mapping[str, Any]) -> Neighbour:
    scores = hit.get("scores", {})
    words = [one["score"] for one in scores.get("bm25Scores", ())]
    distance = hit.get("distance", scores.get("vectorDistance"))
    return Neighbour(hit["key"], distance, hit.get("metadata", {}), sum(words) if words else None, scores.get("fused"))


Stores = Mapping[str, VectorStore]  # by the name of the profile that owns the index


def stores_of(client: "S3VectorsClient", bucket_arn: str, profiles: Profiles) -> Stores:
    """Of all profiles that the deployment has."""
    names = [profile.name for profile in profiles.named.values()]
    return {name: VectorStore(client, f"{bucket_arn}/index/{name}") for name in names}


def _cut(keys: Sequence[str], size: int) -> list[list[str]]:
    return [list(keys[start : start + size]) for start in range(0, len(keys), size)]


def _use_body(params: dict[str, Any], **_: Any) -> None:
    """botocore's `before-call`: the request is made but not yet signed."""
    body = _body.get()
    if body is not None:
        params["body"] = body


def _allow_repeats(request: Any, **_: Any) -> None:
    """botocore rewinds what is no string before it repeats a request; there is nothing to rewind."""
    request.reset_stream = lambda: None


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

"""The index: one Amazon S3 Vectors index, and the limits of its calls."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from botocore.exceptions import ClientError

from lambdas.shared.errors import RefusedError, ThrottledError

if TYPE_CHECKING:
    from mypy_boto3_s3vectors import S3VectorsClient

# S3 user guide, "S3 Vectors limitations and restrictions": what one call may carry.
VECTORS_A_CALL = 500
BODY_BYTES = 20 * 1024 * 1024
BODY_ROOM = 4096  # the names of index and bucket, brackets and commas
THROTTLES = ("TooManyRequestsException", "ServiceUnavailableException", "ThrottlingException")

Vector = dict[str, Any]


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

    def put(self, vectors: Sequence[Vector]) -> None:
        """Write them in as few calls as the limits allow; ThrottledError when S3 Vectors asks to slow down."""
        for batch in batches(vectors):
            with_throttling(lambda batch=batch: self._client.put_vectors(indexArn=self._index, vectors=batch))

    def delete(self, keys: Sequence[str]) -> None:
        """Keys that are not there are no error."""
        for start in range(0, len(keys), VECTORS_A_CALL):
            some = list(keys[start : start + VECTORS_A_CALL])
            with_throttling(lambda some=some: self._client.delete_vectors(indexArn=self._index, keys=some))

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
        answer = with_throttling(lambda: self._client.query_vectors(**request))
        found = [Neighbour(hit["key"], hit["distance"], hit.get("metadata", {})) for hit in answer["vectors"]]
        return found, answer.get("nextToken")


def with_throttling(call: Any) -> Any:
    """Run a call of S3 Vectors; a throttle becomes ThrottledError, a refusal RefusedError."""
    try:
        return call()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in THROTTLES:
            raise ThrottledError(str(error)) from error
        if code == "ValidationException":
            raise RefusedError(error.response["Error"]["Message"]) from error
        raise


def wire_size(vector: Vector) -> int:
    """Bytes of a vector in the body as botocore writes it: a space after each comma, other scripts escaped."""
    numbers = vector["data"]["float32"]
    return len(orjson.dumps(numbers)) + 2 * len(numbers) + len(json.dumps({**vector, "data": None})) + 64


def batches(vectors: Sequence[Vector]) -> Iterator[list[Vector]]:
    """Cut into calls by count and by bytes."""
    batch: list[Vector] = []
    room = BODY_BYTES - BODY_ROOM
    for vector in vectors:
        size = wire_size(vector)
        if batch and (len(batch) == VECTORS_A_CALL or size > room):
            yield batch
            batch, room = [], BODY_BYTES - BODY_ROOM
        batch.append(vector)
        room -= size
    if batch:
        yield batch

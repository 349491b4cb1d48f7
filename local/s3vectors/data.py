"""The operations on vectors: put, get, list, delete and query."""

import struct
import threading
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson

from local.s3vectors import store
from local.s3vectors.catalog import Index
from local.s3vectors.control import Control, Json
from local.s3vectors.errors import invalid
from local.s3vectors.filters import read_filter
from local.s3vectors.ranking import Hit, Place, Ranking
from local.s3vectors.records import InvalidVectorError, check_key, read_records, read_vector
from local.s3vectors.store import Stored, VectorIndex, vector_path
from local.s3vectors.tokens import make_token, read_token
from local.s3vectors.vectorfile import Rows
from local.state import State

MAX_TOP_K = 10_000
QUERY_PAGE = 100
LIST_PAGE = 500
LIST_PAGE_BYTES = 2**20
_ROWS_AT_ONCE = 500
_PLACE = struct.Struct("<dI")  # distance and number of hits so far; the key follows


class Data:
    """Vectors of all indexes, each opened when it is first used."""

    def __init__(self, state: State, control: Control) -> None:
        self._state = state
        self._control = control
        self._folder = state.folder / "s3vectors"
        self._lock = threading.Lock()
        self._open: dict[int, VectorIndex] = {}
        state.create(store.SCHEMA)
        self._finish_deletions()

    def put_vectors(self, request: Json) -> Json:
        index = self._control.find_index(request)
        records = read_records(request["vectors"], index.dimension, index.metric, index.non_filterable)
        self._vectors(index).put(records)
        return {}

    def get_vectors(self, request: Json) -> Json:
        index = self._control.find_index(request)
        for key in request["keys"]:
            check_key(key)
        found = self._vectors(index).get(
            request["keys"], bool(request.get("returnMetadata")), bool(request.get("returnData"))
        )
        return {"vectors": [_described(*each) for each in found]}

    def delete_vectors(self, request: Json) -> Json:
        index = self._control.find_index(request)
        for key in request["keys"]:
            check_key(key)
        self._vectors(index).delete(request["keys"])
        return {}

    def list_vectors(self, request: Json) -> Json:
        index = self._control.find_index(request)
        segments = _segments(request)
        token = request.get("nextToken")
        after = read_token(token, "list", index.id, segments).decode() if token else ""
        wanted, size, last = request.get("maxResults", LIST_PAGE), 0, after
        vectors: list[orjson.Fragment] = []
        for stored, row in self._walk(index, request, after, segments):
            if len(vectors) == wanted or size > LIST_PAGE_BYTES:
                return {"vectors": vectors, "nextToken": make_token(last.encode(), "list", index.id, segments)}
            text = orjson.dumps(_described(stored, row))
            vectors.append(orjson.Fragment(text))
            size, last = size + len(text), stored.key
        return {"vectors": vectors}

    def query_vectors(self, request: Json) -> Json:
        index = self._control.find_index(request)
        ranking = self._ranking(index, request)
        mode = _query_mode(index, request)
        top_k, conditions = request["topK"], request.get("filter")
        if top_k > MAX_TOP_K:
            raise invalid(f"topK must be between 1 and {MAX_TOP_K}", "topK")
        condition = None if conditions is None else read_filter(conditions, index.non_filterable, mode)
        same = ("query", index.id, request["queryVector"], top_k, conditions, mode)
        after, seen = _read_place(request.get("nextToken"), same)
        page = min(QUERY_PAGE, top_k - seen)
        more_wanted = top_k - seen > page
        found = self._vectors(index).search(
            ranking, condition, page + more_wanted, after, bool(request.get("returnMetadata"))
        )
        answer: Json = {"distanceMetric": index.metric}
        answer["vectors"] = [_hit(*each, bool(request.get("returnDistance"))) for each in found[:page]]
        if len(found) > page:
            last = found[page - 1][0]
            place = _PLACE.pack(last.distance, seen + page) + last.key.encode()
            answer["nextToken"] = make_token(place, *same)
        return answer

    def delete_index(self, request: Json) -> Json:
        index = self._control.find_index(request)
        vectors = self._vectors(index)
        vectors.close()
        with self._state.transaction() as db:
            db.execute("DELETE FROM s3vectors_indexes WHERE id = ?", (index.id,))
        with self._lock:
            self._open.pop(index.id, None)
        self._erase(index.id)
        return {}

    def _vectors(self, index: Index) -> VectorIndex:
        with self._lock:
            if index.id not in self._open:
                self._open[index.id] = VectorIndex(self._state, self._folder, index.id, index.dimension)
            return self._open[index.id]

    def _walk(
        self, index: Index, request: Json, after: str, segments: tuple[int, int]
    ) -> Iterator[tuple[Stored, Rows | None]]:
        """The vectors of a segment from a key on."""
        count, mine = segments
        with_metadata, with_data = bool(request.get("returnMetadata")), bool(request.get("returnData"))
        at_once = max(1, min(_ROWS_AT_ONCE, LIST_PAGE_BYTES // (4 * index.dimension))) if with_data else _ROWS_AT_ONCE
        while rows := self._vectors(index).page(after, at_once, with_metadata, with_data):
            yield from (each for each in rows if zlib.crc32(each[0].key.encode()) % count == mine)
            after = rows[-1][0].key

    def _ranking(self, index: Index, request: Json) -> Ranking:
        if request.get("queryTexts") is not None:
            raise invalid("The laptop does not offer full-text search yet", "queryTexts")
        if request.get("queryVector") is None:
            raise invalid("Must specify queryVector, queryTexts, or both", "queryVector")
        try:
            vector, _ = read_vector(request["queryVector"]["float32"], index.dimension, index.metric)
        except InvalidVectorError as error:
            message = "Query vector contains invalid values or is invalid for this index"
            raise invalid(message, "vector", f"Invalid input: {error}") from error
        return Ranking(index.metric, vector)

    def _erase(self, index_id: int) -> None:
        """Remove what a deleted index leaves, in short transactions; the file goes last, it marks work to do."""
        for table, column in (("s3vectors_vectors", "key"), ("s3vectors_other_metadata", "slot")):
            some = f"SELECT {column} FROM {table} WHERE index_id = ? LIMIT {_ROWS_AT_ONCE}"
            sql = f"DELETE FROM {table} WHERE index_id = ? AND {column} IN ({some})"
            left = True
            while left:
                with self._state.transaction() as db:
                    left = db.execute(sql, (index_id, index_id)).rowcount > 0
        vector_path(self._folder, index_id).unlink(missing_ok=True)

    def _finish_deletions(self) -> None:
        with self._state.transaction() as db:
            known = {row["id"] for row in db.execute("SELECT id FROM s3vectors_indexes")}
        for path in self._folder.glob("*.f32"):
            if int(path.stem) not in known:
                self._erase(int(path.stem))


def _described(stored: Stored, row: Rows | None) -> Json:
    found: Json = {"key": stored.key}
    if row is not None:
        found["data"] = {"float32": row.astype(np.float64).tolist()}
    if stored.metadata is not None:
        found["metadata"] = orjson.Fragment(stored.metadata)
    return found


def _hit(hit: Hit, metadata: bytes | None, with_distance: bool) -> Json:
    found: Json = {"key": hit.key}
    if with_distance:
        found["distance"] = hit.distance
    if metadata is not None:
        found["metadata"] = orjson.Fragment(metadata)
    return found


def _segments(request: Json) -> tuple[int, int]:
    """Into how many segments the list is divided and which one is asked for."""
    count, mine = request.get("segmentCount"), request.get("segmentIndex")
    if (count is None) != (mine is None):
        raise invalid("segmentCount and segmentIndex must be specified together", "segmentIndex")
    if count is None or mine is None:
        return 1, 0
    if mine >= count:
        raise invalid("segmentIndex must be less than segmentCount", "segmentIndex")
    return count, mine


def _query_mode(index: Index, request: Json) -> str:
    mode: str = request.get("queryMode") or index.mode
    if mode == "CLASSIC" and index.mode == "ENHANCED":
        raise invalid("CLASSIC can't be specified for an ENHANCED index", "queryMode")
    return mode


def _read_place(token: str | None, same: tuple[Any, ...]) -> tuple[Place | None, int]:
    """Where the last page ended and how many hits came so far."""
    if token is None:
        return None, 0
    position = read_token(token, *same)
    distance, seen = _PLACE.unpack_from(position)
    return Place(distance, position[_PLACE.size :].decode()), seen

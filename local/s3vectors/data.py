"""The operations on vectors: put, get, list, delete and query."""

import threading
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import orjson

from local.s3vectors import store, texts
from local.s3vectors.catalog import Index
from local.s3vectors.control import Control, Json
from local.s3vectors.errors import index_not_found, invalid
from local.s3vectors.pages import Place, Rankings, first_place, place_token, read_place
from local.s3vectors.query import identity, read_question, shown
from local.s3vectors.ranking import Hit
from local.s3vectors.records import check_key, read_records
from local.s3vectors.search import Question
from local.s3vectors.store import Stored, VectorIndex, vector_path
from local.s3vectors.tokens import make_token, read_token
from local.s3vectors.vectorfile import Rows
from local.state import State

QUERY_PAGE = 100
LIST_PAGE = 500
LIST_PAGE_BYTES = 2**20
_ROWS_AT_ONCE = 500


class Data:
    """Vectors of all indexes, each opened when it is first used."""

    def __init__(self, state: State, control: Control) -> None:
        self._state = state
        self._control = control
        self._folder = state.folder / "s3vectors"
        self._lock = threading.Lock()
        self._open: dict[int, VectorIndex] = {}
        self._rankings = Rankings()
        state.create(store.SCHEMA)
        self._finish_deletions()
        self._follow_texts()

    def put_vectors(self, request: Json) -> Json:
        index = self._control.find_index(request)
        records = read_records(request["vectors"], index.dimension, index.metric, index.non_filterable)
        self._vectors(index).put(records, self._control.quotas.vectors_per_index)
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
        question, same = read_question(index, request), identity(index, request)
        vectors, with_metadata = self._vectors(index), bool(request.get("returnMetadata"))
        token = request.get("nextToken")
        if token is None:
            place = first_place()
            hits, found = vectors.search(question, QUERY_PAGE, with_metadata)
            read = len(found)
            if read < len(hits):
                self._rankings.keep(place, hits)
        else:
            place = read_place(token, *same)
            hits = self._hits_after(place, vectors, question)
            read, found = vectors.following(hits, question.condition, QUERY_PAGE, with_metadata)
        answer: Json = {"distanceMetric": index.metric, "vectors": [shown(*each, request) for each in found]}
        if read < len(hits):
            answer["nextToken"] = place_token(place.beyond(hits[:read]), *same)
        return answer

    def delete_index(self, request: Json) -> Json:
        index = self._control.find_index(request)
        vectors = self._vectors(index)
        vectors.close()
        with self._state.transaction() as db:
            deleted = db.execute("DELETE FROM s3vectors_indexes WHERE id = ?", (index.id,)).rowcount
            texts.follow(db, index.id, [])
        with self._lock:
            self._open.pop(index.id, None)
        if not deleted:  # somebody else was faster
            raise index_not_found()
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

    def _hits_after(self, place: Place, vectors: VectorIndex, question: Question) -> Sequence[Hit]:
        hits = self._rankings.after(place)
        if hits is None:
            again, _ = vectors.search(question, 0, with_metadata=False)
            hits = [hit for hit in again if (hit.order, hit.key) > place.last][: question.top_k - place.read]
            self._rankings.keep(place, hits)
        return hits

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

    def _follow_texts(self) -> None:
        """Make the full-text indexes that a laptop from before there were any left out."""
        with self._state.transaction() as db:
            for row in db.execute("SELECT id, text_search FROM s3vectors_indexes").fetchall():
                texts.follow(db, row["id"], orjson.loads(row["text_search"]))


def _described(stored: Stored, row: Rows | None) -> Json:
    found: Json = {"key": stored.key}
    if row is not None:
        found["data"] = {"float32": row.astype(np.float64).tolist()}
    if stored.metadata is not None:
        found["metadata"] = orjson.Fragment(stored.metadata)
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

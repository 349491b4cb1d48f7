"""One index: rows in SQLite name the slots of the vector file that count; memory holds what a query needs.

A put writes its vectors into free slots, then commits the rows. Killed in between it leaves slots that no row names,
which are free again. A slot that a reader may still see is not written again before that reader is done.
"""

import heapq
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from sqlite3 import Connection
from typing import Any, TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray

from local.s3vectors import texts
from local.s3vectors.columns import Columns, Mask
from local.s3vectors.errors import index_not_found, over_quota
from local.s3vectors.filters import Filter, matching
from local.s3vectors.ranking import Candidates, Hit
from local.s3vectors.records import Record
from local.s3vectors.search import Question, best_hits
from local.s3vectors.texts import Scores, Source, Terms
from local.s3vectors.vectorfile import Rows, VectorFile
from local.state import State

SCHEMA = """
CREATE TABLE IF NOT EXISTS s3vectors_vectors (
    index_id INTEGER NOT NULL, key TEXT NOT NULL, slot INTEGER NOT NULL, norm REAL NOT NULL, filterable BLOB NOT NULL,
    PRIMARY KEY (index_id, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS s3vectors_other_metadata (
    index_id INTEGER NOT NULL, slot INTEGER NOT NULL, metadata BLOB NOT NULL, PRIMARY KEY (index_id, slot));
"""
_ROWS_AT_ONCE = 5000
_PENDING_ROWS = 4096
_TRIES = 5

T = TypeVar("T")
Found = tuple[Hit, bytes | None]  # and its metadata, JSON, where it was asked for


@dataclass(frozen=True)
class Stored:
    """One vector as it is now; `metadata` is JSON, None where it was not asked for."""

    key: str
    slot: int
    metadata: bytes | None = None


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The index after one write. Norms and keys are shared with later ones, which write only where this is not live."""

    version: int
    rows: Rows
    norms: NDArray[np.float64]
    keys: list[str]
    live: Mask
    base: Columns
    merging: threading.Lock
    removed: frozenset[int] = frozenset()  # slots to take out of `base`
    added: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)  # then slot → metadata to put in

    @cached_property
    def columns(self) -> Columns:
        """Built when a filter first asks, so that a bulk load does not build them once a request."""
        with self.merging:
            return self.base.following(len(self.live), self.removed, self.added.items())

    @property
    def is_merged(self) -> bool:
        return "columns" in self.__dict__

    def holds(self, stored: Stored) -> bool:
        return stored.slot < len(self.live) and bool(self.live[stored.slot]) and self.keys[stored.slot] == stored.key

    def candidates(self, condition: Filter | None) -> Candidates:
        mask = self.live if condition is None else self.live & matching(condition, self.columns)
        return Candidates(self.rows, self.norms, self.keys, mask)


class VectorIndex:
    """Reads and writes of one index, from any thread. Opens on first use."""

    def __init__(self, state: State, folder: Path, index_id: int, dimension: int) -> None:
        self._state = state
        self._path = vector_path(folder, index_id)
        self._id = index_id
        self._dimension = dimension
        self._writing = threading.RLock()
        self._pinning = threading.Lock()
        self._pinned: Counter[int] = Counter()  # snapshot version → queries that read it
        self._retired: deque[tuple[int, list[int]]] = deque()  # first version that no longer sees the slots
        self._free: list[int] = []  # a heap: low slots first keeps the rows in use together
        self._deleted = False
        self._committed = 0  # the version that the rows are of; ahead of the snapshot's for a moment after a write
        self._snapshot: Snapshot | None = None
        self._file: VectorFile

    # Reading

    def search(self, question: Question, count: int, with_metadata: bool) -> tuple[Sequence[Hit], list[Found]]:
        """All results in order, and the first `count` as they are to be shown, all as of one moment."""
        return self._at_one_moment(partial(self._search, question, count, with_metadata))

    def following(
        self, hits: Sequence[Hit], condition: Filter | None, count: int, with_metadata: bool
    ) -> tuple[int, list[Found]]:
        """How many hits of an earlier search were read to find the first `count` that still are there and match."""
        read, found = 0, list[Found]()
        while len(found) < count and read < len(hits):
            some = hits[read : read + count - len(found)]
            found += self._at_one_moment(partial(self._kept, some, condition, with_metadata))
            read += len(some)
        return read, found

    def get(self, keys: Iterable[str], with_metadata: bool, with_data: bool) -> list[tuple[Stored, Rows | None]]:
        """Those of the keys that exist, by key."""
        with self._reading():
            found = sorted(self._stored(set(keys), with_metadata).values(), key=lambda each: each.key)
            return [(each, self._file.read(each.slot) if with_data else None) for each in found]

    def page(self, after: str, count: int, with_metadata: bool, with_data: bool) -> list[tuple[Stored, Rows | None]]:
        """Up to `count` vectors after a key, by key."""
        sql = "SELECT key FROM s3vectors_vectors WHERE index_id = ? AND key > ? ORDER BY key LIMIT ?"
        with self._reading():
            with self._state.transaction() as db:
                keys = {row["key"] for row in db.execute(sql, (self._id, after, count))}
                found = self._stored(keys, with_metadata)
            ordered = [found[key] for key in sorted(keys)]
            return [(each, self._file.read(each.slot) if with_data else None) for each in ordered]

    # Writing

    def put(self, records: Sequence[Record], most: int) -> None:
        """Write all of them or, where the index would then hold more than `most` vectors, none."""
        with self._changing() as before:
            slots = self._claim(len(records))
            try:
                self._file.write(slots, np.stack([each.vector for each in records]))
                terms = self._terms(slots, records)
                with self._state.transaction() as db:
                    self._check_exists(db)
                    replaced = self._remove_rows(db, [each.key for each in records])
                    if np.count_nonzero(before.live) - len(replaced) + len(records) > most:
                        raise over_quota(f"A vector index may have at most {most} vectors")
                    self._add_rows(db, slots, records, terms)
                    self._committed = before.version + 1
            except BaseException:
                for slot in slots:
                    heapq.heappush(self._free, slot)
                raise
            self._publish(before, replaced, dict(zip(slots, records, strict=True)))

    def delete(self, keys: Iterable[str]) -> None:
        with self._changing() as before:
            with self._state.transaction() as db:
                self._check_exists(db)
                removed = self._remove_rows(db, list(dict.fromkeys(keys)))
                self._committed = before.version + bool(removed)
            if removed:
                self._publish(before, removed, {})

    def close(self) -> None:
        """The index is gone: no write comes after this."""
        with self._writing:
            self._deleted = True

    @contextmanager
    def _reading(self) -> Iterator[Snapshot]:
        """A snapshot whose slots stay as they are until the reader is done."""
        if self._snapshot is None:
            self._open()
        with self._pinning:
            snapshot = self._snapshot
            assert snapshot is not None
            self._pinned[snapshot.version] += 1
        try:
            yield snapshot
        finally:
            with self._pinning:
                self._pinned[snapshot.version] -= 1
                if not self._pinned[snapshot.version]:
                    del self._pinned[snapshot.version]

    @contextmanager
    def _changing(self) -> Iterator[Snapshot]:
        with self._writing:
            if self._deleted:
                raise index_not_found()
            before = self._snapshot or self._open()
            try:
                yield before
            except BaseException:
                self._committed = before.version
                raise

    def _at_one_moment(self, read: Callable[[Snapshot], T | None]) -> T:
        """What `read` finds; it says None where a write came between the snapshot and what it read of the rows."""
        for _ in range(_TRIES):
            with self._reading() as snapshot:
                if (found := read(snapshot)) is not None:
                    return found
        with self._writing, self._reading() as snapshot:  # writes came between every time: hold them off
            found = read(snapshot)
            assert found is not None
            return found

    def _search(
        self, question: Question, count: int, with_metadata: bool, snapshot: Snapshot
    ) -> tuple[Sequence[Hit], list[Found]] | None:
        scores = self._text_scores(snapshot, question.texts) if question.texts else {}
        if scores is None:
            return None
        hits = best_hits(question, snapshot.candidates(question.condition), scores)
        shown = hits[:count]
        if not with_metadata:
            return hits, [(hit, None) for hit in shown]
        stored = self._stored({hit.key for hit in shown}, with_metadata=True)
        if any(hit.key not in stored or stored[hit.key].slot != hit.slot for hit in shown):
            return None
        return hits, [(hit, stored[hit.key].metadata) for hit in shown]

    def _kept(
        self, hits: Sequence[Hit], condition: Filter | None, with_metadata: bool, snapshot: Snapshot
    ) -> list[Found] | None:
        """Those of the hits that are there and match, wherever they lie by now."""
        mask = snapshot.candidates(condition).mask
        stored = self._stored({hit.key for hit in hits}, with_metadata)
        if any(not snapshot.holds(each) for each in stored.values()):
            return None
        here = [(hit, stored[hit.key]) for hit in hits if hit.key in stored]
        return [(hit, each.metadata) for hit, each in here if mask[each.slot]]

    def _text_scores(self, snapshot: Snapshot, asked: Mapping[str, str]) -> dict[str, Scores] | None:
        with self._state.transaction() as db:
            if self._committed != snapshot.version:
                return None
            return texts.score_all(db, self._id, asked)

    def _stored(self, keys: set[str], with_metadata: bool) -> dict[str, Stored]:
        sql = f"SELECT key, slot, filterable FROM s3vectors_vectors WHERE index_id = ? AND key IN ({_marks(keys)})"
        with self._state.transaction() as db:
            rows = db.execute(sql, (self._id, *keys)).fetchall()
            if not with_metadata:
                return {row["key"]: Stored(row["key"], row["slot"]) for row in rows}
            slots = [row["slot"] for row in rows]
            sql = (
                f"SELECT slot, metadata FROM s3vectors_other_metadata WHERE index_id = ? AND slot IN ({_marks(slots)})"
            )
            other = {row["slot"]: row["metadata"] for row in db.execute(sql, (self._id, *slots))}
        return {
            row["key"]: Stored(row["key"], row["slot"], _joined(row["filterable"], other.get(row["slot"])))
            for row in rows
        }

    def _claim(self, count: int) -> list[int]:
        """Free slots, ascending. Slots of old versions are free once nobody reads those versions."""
        with self._pinning:
            oldest = min(self._pinned, default=None)
            while self._retired and (oldest is None or oldest >= self._retired[0][0]):
                for slot in self._retired.popleft()[1]:
                    heapq.heappush(self._free, slot)
        if count > len(self._free):
            start = self._file.capacity
            self._file.grow(start + count - len(self._free))
            self._free += range(start, self._file.capacity)  # larger than all before: still a heap
        return [heapq.heappop(self._free) for _ in range(count)]

    def _check_exists(self, db: Connection) -> None:
        if not db.execute("SELECT 1 FROM s3vectors_indexes WHERE id = ?", (self._id,)).fetchone():
            raise index_not_found()

    def _remove_rows(self, db: Connection, keys: Sequence[str]) -> list[int]:
        """Delete the rows of these keys; the slots they named."""
        where = f"WHERE index_id = ? AND key IN ({_marks(keys)})"
        slots = [row["slot"] for row in db.execute(f"SELECT slot FROM s3vectors_vectors {where}", (self._id, *keys))]
        db.execute(f"DELETE FROM s3vectors_vectors {where}", (self._id, *keys))
        where = f"WHERE index_id = ? AND slot IN ({_marks(slots)})"
        db.execute(f"DELETE FROM s3vectors_other_metadata {where}", (self._id, *slots))
        texts.remove(db, self._id, slots)
        return slots

    def _terms(self, slots: Sequence[int], records: Sequence[Record]) -> Terms:
        with self._state.transaction() as db:
            configured = texts.text_indexes(db, self._id)
        return texts.terms_of(configured, _sources(slots, records))

    def _add_rows(self, db: Connection, slots: Sequence[int], records: Sequence[Record], terms: Terms) -> None:
        pairs = list(zip(slots, records, strict=True))
        db.executemany(
            "INSERT INTO s3vectors_vectors VALUES (?, ?, ?, ?, ?)",
            [(self._id, each.key, slot, each.norm, each.filterable_json) for slot, each in pairs],
        )
        db.executemany(
            "INSERT INTO s3vectors_other_metadata VALUES (?, ?, ?)",
            [(self._id, slot, each.other_json) for slot, each in pairs if each.other_json is not None],
        )
        texts.add(db, self._id, _sources(slots, records), terms)

    def _publish(self, before: Snapshot, removed: Sequence[int], added: Mapping[int, Record]) -> None:
        """Make a committed write visible."""
        live, norms, keys = _resized(before.live, self._file.capacity), before.norms, before.keys
        if len(norms) < self._file.capacity:
            norms = _resized(norms, self._file.capacity)
            keys = keys + [""] * (self._file.capacity - len(keys))
        live[list(removed)] = False
        live[list(added)] = True
        for slot, record in added.items():
            norms[slot], keys[slot] = record.norm, record.key
        base, gone, come = _pending(before, removed)
        come.update({slot: record.filterable for slot, record in added.items()})
        version = before.version + 1
        after = Snapshot(version, self._file.rows, norms, keys, live, base, threading.Lock(), gone, come)
        with self._pinning:
            self._snapshot = after
            self._retired.append((version, list(removed)))

    def _open(self) -> Snapshot:
        """Read the rows and take every slot that none of them names as free."""
        with self._writing:
            if self._deleted:
                raise index_not_found()
            if self._snapshot is None:
                self._file = VectorFile(self._path, self._dimension)
                self._snapshot = self._read_rows()
                self._free = np.flatnonzero(~self._snapshot.live).tolist()
            return self._snapshot

    def _read_rows(self) -> Snapshot:
        capacity = self._file.capacity
        live, norms, keys = np.zeros(capacity, np.bool_), np.ones(capacity), [""] * capacity

        def filterable() -> Iterator[tuple[int, Mapping[str, Any]]]:
            """Slot and metadata of each row; the rest of the row is noted on the way."""
            for rows in self._rows():
                metadata = orjson.loads(_array(row[3] for row in rows))
                for (key, slot, norm, _), parsed in zip(rows, metadata, strict=True):
                    live[slot], norms[slot], keys[slot] = True, norm, key
                    yield slot, parsed

        columns = Columns(capacity).following(capacity, (), filterable())
        return Snapshot(0, self._file.rows, norms, keys, live, columns, threading.Lock())

    def _rows(self) -> Iterator[list[tuple[str, int, float, bytes]]]:
        columns = "SELECT key, slot, norm, filterable FROM s3vectors_vectors"
        sql = f"{columns} WHERE index_id = ? AND key > ? ORDER BY key LIMIT ?"
        last = ""
        while True:
            with self._state.transaction() as db:
                rows = db.execute(sql, (self._id, last, _ROWS_AT_ONCE)).fetchall()
            if not rows:
                return
            yield rows
            last = rows[-1][0]


def vector_path(folder: Path, index_id: int) -> Path:
    return folder / f"{index_id}.f32"


def _pending(before: Snapshot, removed: Sequence[int]) -> tuple[Columns, frozenset[int], dict[int, Mapping[str, Any]]]:
    """The columns to go on from and what is to be taken out of and put into them, `removed` included."""
    if before.is_merged or len(before.added) + len(before.removed) > _PENDING_ROWS:
        return before.columns, frozenset(removed), {}
    gone = frozenset(removed)
    come = {slot: metadata for slot, metadata in before.added.items() if slot not in gone}
    return before.base, before.removed | gone, come


def _sources(slots: Sequence[int], records: Sequence[Record]) -> list[Source]:
    return [Source(slot, each.filterable_json, each.other_json) for slot, each in zip(slots, records, strict=True)]


def _resized(values: Any, length: int) -> Any:
    """A copy, with zeros behind."""
    larger = np.zeros(length, dtype=values.dtype)
    larger[: len(values)] = values
    return larger


def _joined(filterable: bytes, other: bytes | None) -> bytes:
    """Two JSON objects as one."""
    if other is None:
        return filterable
    return other if filterable == b"{}" else filterable[:-1] + b"," + other[1:]


def _array(items: Iterable[bytes]) -> bytes:
    return b"[" + b",".join(items) + b"]"


def _marks(values: Iterable[object]) -> str:
    return ", ".join("?" for _ in values)

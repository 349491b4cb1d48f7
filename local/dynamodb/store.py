"""Tables, items and index entries in SQLite, so that every read is a range of keys."""

import sqlite3
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from local import clock
from local.dynamodb import schema
from local.dynamodb.errors import no_table
from local.dynamodb.schema import Entry, Index, Table
from local.dynamodb.values import Item, item_size
from local.state import State

PAGE_BYTES = 1_048_576
_SCHEMA = """
CREATE TABLE IF NOT EXISTS dynamodb_tables (
    name TEXT PRIMARY KEY, definition TEXT NOT NULL, id TEXT NOT NULL, created REAL NOT NULL,
    items INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS dynamodb_items (
    table_name TEXT NOT NULL, pk BLOB NOT NULL, sk BLOB NOT NULL,
    item BLOB NOT NULL, size INTEGER NOT NULL, expires REAL,
    UNIQUE (table_name, pk, sk)
);
CREATE INDEX IF NOT EXISTS dynamodb_expiry ON dynamodb_items (table_name, expires) WHERE expires IS NOT NULL;
CREATE TABLE IF NOT EXISTS dynamodb_entries (
    table_name TEXT NOT NULL, index_name TEXT NOT NULL, pk BLOB NOT NULL, sk BLOB NOT NULL,
    item_pk BLOB NOT NULL, item_sk BLOB NOT NULL, size INTEGER NOT NULL,
    PRIMARY KEY (table_name, index_name, pk, sk, item_pk, item_sk)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dynamodb_tokens (
    token TEXT PRIMARY KEY, digest TEXT NOT NULL, at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS dynamodb_tokens_at ON dynamodb_tokens (at);
"""


@dataclass(frozen=True)
class Bound:
    sort: bytes
    inclusive: bool


@dataclass(frozen=True)
class Span:
    """A run of positions in a table or index: all of it, or those under one partition key between two sort keys.

    `after` is the position read last: (pk, sk) in a table, (pk, sk, item's pk, item's sk) in an index.
    """

    partition: bytes | None = None
    low: Bound | None = None
    high: Bound | None = None
    after: tuple[bytes, ...] | None = None
    forward: bool = True
    segment: int = 0
    segments: int = 1

    def holds(self, partition: bytes, sort: bytes) -> bool:
        above = self.low is None or sort > self.low.sort or (self.low.inclusive and sort == self.low.sort)
        below = self.high is None or sort < self.high.sort or (self.high.inclusive and sort == self.high.sort)
        return self.partition in (None, partition) and above and below

    def in_segment(self, partition: bytes) -> bool:
        return self.segments == 1 or zlib.crc32(partition) % self.segments == self.segment


@dataclass(frozen=True)
class Page:
    items: list[Item]
    more: bool  # false only where the span is known to be read to its end


@dataclass(frozen=True)
class TableRow:
    table: Table
    id: str
    created: float
    items: int
    bytes: int


class Store:
    """Its methods join the transaction they are called in."""

    def __init__(self, state: State) -> None:
        self.state = state
        state.create(_SCHEMA)

    def names(self, after: str, limit: int) -> list[str]:
        with self.state.transaction() as db:
            sql = "SELECT name FROM dynamodb_tables WHERE name > ? ORDER BY name LIMIT ?"
            return [row["name"] for row in db.execute(sql, (after, limit))]

    def all_names(self) -> list[str]:
        with self.state.transaction() as db:
            return [row["name"] for row in db.execute("SELECT name FROM dynamodb_tables")]

    def index_size(self, table: str, index: str) -> tuple[int, int]:
        """How many items an index holds, and their bytes."""
        with self.state.transaction() as db:
            sql = "SELECT COUNT(*), TOTAL(size) FROM dynamodb_entries WHERE table_name = ? AND index_name = ?"
            count, size = db.execute(sql, (table, index)).fetchone()
        return count, int(size)

    def row(self, name: str) -> TableRow | None:
        with self.state.transaction() as db:
            row = db.execute("SELECT * FROM dynamodb_tables WHERE name = ?", (name,)).fetchone()
        if row is None:
            return None
        return TableRow(schema.load(name, row["definition"]), row["id"], row["created"], row["items"], row["bytes"])

    def table(self, name: str) -> Table:
        with self.state.transaction() as db:
            row = db.execute("SELECT definition FROM dynamodb_tables WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise no_table()
        return schema.load(name, row["definition"])

    def define(self, name: str, definition: dict[str, object]) -> Table:
        """Make the table or change its definition; entries and expiry times follow."""
        text = orjson.dumps(definition, option=orjson.OPT_SORT_KEYS).decode()
        made = schema.load(name, text)
        with self.state.transaction() as db:
            before = self.row(name)
            db.execute(
                "INSERT INTO dynamodb_tables (name, definition, id, created) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (name) DO UPDATE SET definition = excluded.definition",
                (name, text, str(uuid.uuid4()), clock.now()),
            )
            if before:
                self._follow(db, before.table, made)
        return made

    def _follow(self, db: sqlite3.Connection, before: Table, now: Table) -> None:
        for gone in before.indexes.keys() - now.indexes.keys():
            db.execute("DELETE FROM dynamodb_entries WHERE table_name = ? AND index_name = ?", (now.name, gone))
        added = [now.indexes[name] for name in now.indexes.keys() - before.indexes.keys()]
        if not added and before.ttl == now.ttl:
            return
        for row_id, item in self._all(db, now.name):
            for index in added:
                if index.holds(item):
                    self._insert(db, now, now.keys.position(item), now.entry(index, item))
            if before.ttl != now.ttl:
                db.execute("UPDATE dynamodb_items SET expires = ? WHERE rowid = ?", (expires_at(now, item), row_id))

    def _all(self, db: sqlite3.Connection, name: str) -> Iterator[tuple[int, Item]]:
        """Every item by row id, in small reads: nothing stays open while its rows are changed."""
        pk, sk = b"", b""
        sql = (
            "SELECT rowid, pk, sk, item FROM dynamodb_items WHERE table_name = ? AND (pk, sk) > (?, ?) "
            "ORDER BY pk, sk LIMIT 50"
        )
        while rows := db.execute(sql, (name, pk, sk)).fetchall():
            yield from ((row["rowid"], orjson.loads(row["item"])) for row in rows)
            pk, sk = rows[-1]["pk"], rows[-1]["sk"]

    def drop(self, name: str) -> None:
        with self.state.transaction() as db:
            db.execute("DELETE FROM dynamodb_tables WHERE name = ?", (name,))
            db.execute("DELETE FROM dynamodb_items WHERE table_name = ?", (name,))
            db.execute("DELETE FROM dynamodb_entries WHERE table_name = ?", (name,))

    def get(self, table: Table, key: Item) -> Item | None:
        """The item with the (checked) key, or with the key attributes of the (checked) item."""
        with self.state.transaction() as db:
            sql = "SELECT item FROM dynamodb_items WHERE table_name = ? AND pk = ? AND sk = ?"
            row = db.execute(sql, (table.name, *table.keys.position(key))).fetchone()
        return orjson.loads(row["item"]) if row else None

    def write(self, table: Table, old: Item | None, new: Item | None) -> None:
        """Put `new` where `old` was; None is no item."""
        known = new or old
        if known is None:
            return
        position = table.keys.position(known)
        size = item_size(new) if new else 0
        with self.state.transaction() as db:
            if new:
                db.execute(
                    "INSERT INTO dynamodb_items VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE "
                    "SET item = excluded.item, size = excluded.size, expires = excluded.expires",
                    (table.name, *position, orjson.dumps(new), size, expires_at(table, new)),
                )
            else:
                sql = "DELETE FROM dynamodb_items WHERE table_name = ? AND pk = ? AND sk = ?"
                db.execute(sql, (table.name, *position))
            self._move(db, table, position, table.entries(old), table.entries(new))
            db.execute(
                "UPDATE dynamodb_tables SET items = items + ?, bytes = bytes + ? WHERE name = ?",
                (bool(new) - bool(old), size - (item_size(old) if old else 0), table.name),
            )

    def _move(
        self, db: sqlite3.Connection, table: Table, position: tuple[bytes, bytes], old: set[Entry], new: set[Entry]
    ) -> None:
        for entry in old - new:
            db.execute(
                "DELETE FROM dynamodb_entries WHERE table_name = ? AND index_name = ? AND pk = ? AND sk = ? "
                "AND item_pk = ? AND item_sk = ?",
                (table.name, entry.index, entry.partition, entry.sort, *position),
            )
        for entry in new - old:
            self._insert(db, table, position, entry)

    def _insert(self, db: sqlite3.Connection, table: Table, position: tuple[bytes, bytes], entry: Entry) -> None:
        db.execute(
            "INSERT INTO dynamodb_entries VALUES (?, ?, ?, ?, ?, ?, ?)",
            (table.name, entry.index, entry.partition, entry.sort, *position, entry.size),
        )

    def page(self, table: Table, index: Index | None, span: Span, limit: int | None) -> Page:
        """The first items of the span: at most `limit`, at most 1 MB (but one at least)."""
        sql, arguments = _select(table, index, span)
        texts: list[bytes] = []
        total = 0
        more = False
        with self.state.transaction() as db:
            cursor = db.execute(sql, arguments)
            for row in cursor:
                if not span.in_segment(row["pk"]):
                    continue
                total += row["size"]
                if texts and total > PAGE_BYTES:
                    more = True
                    break
                texts.append(row["item"])
                if len(texts) == limit:
                    more = True
                    break
            cursor.close()
        return Page([orjson.loads(text) for text in texts], more)

    def expired(self, name: str, since: float, until: float, limit: int) -> list[Item]:
        with self.state.transaction() as db:
            sql = "SELECT item FROM dynamodb_items WHERE table_name = ? AND expires > ? AND expires < ? LIMIT ?"
            return [orjson.loads(row["item"]) for row in db.execute(sql, (name, since, until, limit))]


def expires_at(table: Table, item: Item) -> float | None:
    value = item.get(table.ttl, {}) if table.ttl else {}
    return float(value["N"]) if "N" in value else None


def _select(table: Table, index: Index | None, span: Span) -> tuple[str, list[object]]:
    """One range of the unique index of items, or of the primary key of entries with their items looked up."""
    columns = ["pk", "sk", "item_pk", "item_sk"] if index else ["pk", "sk"]
    where, arguments = ["r.table_name = ?"], list[object]([table.name])
    if index:
        where.append("r.index_name = ?")
        arguments.append(index.name)
    if span.partition is not None:
        where.append("r.pk = ?")
        arguments.append(span.partition)
        columns = columns[1:]
    for condition, values in _bounds(columns, span):
        where.append(condition)
        arguments.extend(values)
    source = "dynamodb_items r"
    item = "r.item"
    if index:
        source = (
            "dynamodb_entries r CROSS JOIN dynamodb_items i "
            "ON i.table_name = r.table_name AND i.pk = r.item_pk AND i.sk = r.item_sk"
        )
        item = "i.item"
    direction = "" if span.forward else " DESC"
    order = ", ".join(f"r.{column}{direction}" for column in columns)
    return f"SELECT {item}, r.size, r.pk FROM {source} WHERE {' AND '.join(where)} ORDER BY {order}", arguments


def _bounds(columns: list[str], span: Span) -> Iterator[tuple[str, tuple[bytes, ...]]]:
    """At most one bound on each side: where a page starts after a position, that replaces the bound it is beyond."""
    low, high = ("after", span.high) if span.forward else (span.low, "after")
    if span.after is None:
        low, high = span.low, span.high
    for side, sign in ((low, ">"), (high, "<")):
        if isinstance(side, Bound):
            yield f"r.sk {sign}{'=' if side.inclusive else ''} ?", (side.sort,)
        elif side and span.after is not None:
            names = ", ".join(f"r.{column}" for column in columns)
            marks = ", ".join("?" * len(columns))
            yield f"({names}) {sign} ({marks})", span.after[-len(columns) :]

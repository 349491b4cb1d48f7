"""The full-text indexes of an index, one for each text search configuration, in the same SQLite as its rows.

Terms lie in an FTS5 table of SQLite's, which merges and deletes postings as a search engine does; a put, a delete and
what they change here are one transaction. FTS5 only finds which slots hold a term how often: terms are made by our
analyzers and scores by the formula below, for FTS5's own BM25 gives nothing to a word that half of the texts hold.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from sqlite3 import Connection, Row
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from local.s3vectors.analyzers import analyze
from local.s3vectors.errors import invalid
from local.state import State

SCHEMA = """
CREATE TABLE IF NOT EXISTS s3vectors_texts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, index_id INTEGER NOT NULL, metadata_key TEXT NOT NULL, language TEXT,
    status TEXT NOT NULL, built_to TEXT NOT NULL, texts INTEGER NOT NULL, terms INTEGER NOT NULL,
    UNIQUE (index_id, metadata_key));
CREATE TABLE IF NOT EXISTS s3vectors_text_lengths (
    text_id INTEGER NOT NULL, slot INTEGER NOT NULL, length INTEGER NOT NULL,
    PRIMARY KEY (text_id, slot)) WITHOUT ROWID;
"""
K1, B = 1.2, 0.75  # the usual ones; the service does not say its own
_BUILD_AT_ONCE = 200

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Source:
    """The metadata of one vector as it is stored: two JSON objects."""

    slot: int
    filterable: bytes
    other: bytes | None


Terms = Mapping[tuple[int, Source], list[str]]
"""What the texts of vectors hold, by full-text index; made outside transactions, for which everybody waits."""


@dataclass(frozen=True)
class TextIndex:
    """The full-text index of one metadata key. `texts` vectors have a text there, of `terms` terms in all."""

    id: int
    key: str
    language: str | None
    status: str  # "BUILDING" or "ACTIVE"
    built_to: str  # while building: vectors up to this key are in
    texts: int
    terms: int


@dataclass(frozen=True, eq=False)
class Scores:
    """What the texts under a key score: slots, ascending, and for each its BM25 score."""

    slots: Numbers
    scores: NDArray[np.float64]


def follow(db: Connection, index_id: int, configurations: Iterable[Mapping[str, str]]) -> None:
    """Make full-text indexes for new configurations (`{"metadataKey", "language"?}`), drop those without one.

    A new one of an index that holds vectors is BUILDING, and `build_some` is to be called until it is not.
    """
    wanted = {each["metadataKey"]: each.get("language") for each in configurations}
    there = text_indexes(db, index_id)
    for text in there:
        if text.key not in wanted:
            _drop(db, text)
    has_vectors = db.execute("SELECT 1 FROM s3vectors_vectors WHERE index_id = ? LIMIT 1", (index_id,)).fetchone()
    for key in wanted.keys() - {text.key for text in there}:
        _make(db, index_id, key, wanted[key], "BUILDING" if has_vectors else "ACTIVE")


def text_indexes(db: Connection, index_id: int) -> list[TextIndex]:
    return [_text_index(row) for row in db.execute("SELECT * FROM s3vectors_texts WHERE index_id = ?", (index_id,))]


def terms_of(texts: Sequence[TextIndex], sources: Sequence[Source]) -> Terms:
    metadata = [(each, _metadata(each)) for each in sources] if texts else []
    return {
        (text.id, source): analyze(_text(values.get(text.key)), text.language)
        for text in texts
        for source, values in metadata
    }


def add(db: Connection, index_id: int, sources: Sequence[Source], known: Terms) -> None:
    """Index the texts of new slots."""
    _add(db, text_indexes(db, index_id), sources, known)


def remove(db: Connection, index_id: int, slots: Sequence[int]) -> None:
    """Take out what these slots hold."""
    if not slots:
        return
    marks = ", ".join("?" for _ in slots)
    for text in text_indexes(db, index_id):
        where = f"FROM s3vectors_text_lengths WHERE text_id = ? AND slot IN ({marks})"
        held = db.execute(f"SELECT slot, length {where}", (text.id, *slots)).fetchall()
        db.execute(f"DELETE {where}", (text.id, *slots))
        db.executemany(f"DELETE FROM {_terms_table(text.id)} WHERE rowid = ?", [(row["slot"],) for row in held])
        _count(db, text, -len(held), -sum(row["length"] for row in held))


def build_some(state: State) -> bool:
    """Index some vectors more for one full-text index that is BUILDING; false where none is."""
    with state.transaction() as db:
        found = _to_build(db)
    if found is None:
        return False
    text, sources, _ = found
    known = terms_of([text], sources)
    with state.transaction() as db:
        now = _to_build(db)  # a write may have come between
        if now is None or now[0].id != text.id:
            return True
        _, sources, last = now
        _add(db, [text], sources, known)
        if last is None:
            db.execute("UPDATE s3vectors_texts SET status = 'ACTIVE' WHERE id = ?", (text.id,))
        else:
            db.execute("UPDATE s3vectors_texts SET built_to = ? WHERE id = ?", (last, text.id))
    return True


def _to_build(db: Connection) -> tuple[TextIndex, list[Source], str | None] | None:
    """A full-text index that is BUILDING, what to put in next, and the last of these vectors' keys, None at the end."""
    row = db.execute("SELECT * FROM s3vectors_texts WHERE status = 'BUILDING' LIMIT 1").fetchone()
    if row is None:
        return None
    text = _text_index(row)
    # What was put since the build began is in already, and a slot can be in but once.
    sql = """
        SELECT key, v.slot, filterable, metadata, length FROM s3vectors_vectors v
        LEFT JOIN s3vectors_other_metadata o ON o.index_id = v.index_id AND o.slot = v.slot
        LEFT JOIN s3vectors_text_lengths l ON l.text_id = ? AND l.slot = v.slot
        WHERE v.index_id = ? AND key > ? ORDER BY key LIMIT ?
    """
    rows = db.execute(sql, (text.id, row["index_id"], text.built_to, _BUILD_AT_ONCE)).fetchall()
    missing = [Source(each["slot"], each["filterable"], each["metadata"]) for each in rows if each["length"] is None]
    return text, missing, rows[-1]["key"] if rows else None


def score_all(db: Connection, index_id: int, asked: Mapping[str, str]) -> dict[str, Scores]:
    """The scores for each `metadata key → text`; a ValidationException where one has no ACTIVE full-text index."""
    active = {each.key: each for each in text_indexes(db, index_id) if each.status == "ACTIVE"}
    if missing := [key for key in asked if key not in active]:
        path = f"queryTexts[{list(asked).index(missing[0])}].metadataKey"
        raise invalid(f"'{missing[0]}' has no active text search configuration", path)
    return {key: _score(db, active[key], text) for key, text in asked.items()}


def _score(db: Connection, text: TextIndex, query: str) -> Scores:
    """The BM25 scores of the texts that hold a term of the query; a term that the query repeats counts repeatedly."""
    slots, scores = [np.empty(0, np.int64)], [np.empty(0)]
    for term, times in Counter(analyze(query, text.language)).items():
        found, frequencies, lengths = _postings(db, text.id, term)
        rarity = math.log(1 + (text.texts - len(found) + 0.5) / (len(found) + 0.5))
        relative_lengths = lengths * text.texts / (text.terms or 1)
        weights = frequencies * (K1 + 1) / (frequencies + K1 * (1 - B + B * relative_lengths))
        slots.append(found)
        scores.append(times * rarity * weights)
    distinct, places = np.unique(np.concatenate(slots), return_inverse=True)
    total = np.zeros(len(distinct))
    np.add.at(total, places, np.concatenate(scores))
    return Scores(distinct, total)


def _postings(db: Connection, text_id: int, term: str) -> tuple[Numbers, Numbers, Numbers]:
    """The slots that hold a term, how often, and how many terms each holds in all."""
    sql = f"""
        SELECT doc, times, length
        FROM (SELECT doc, COUNT(*) AS times FROM {_places_table(text_id)} WHERE term = ? GROUP BY doc)
        JOIN s3vectors_text_lengths ON text_id = ? AND slot = doc
    """
    cursor = db.cursor()
    cursor.row_factory = None  # plain tuples, which are many here
    rows = cursor.execute(sql, (term, text_id)).fetchall()
    slots, times, lengths = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return slots, times, lengths


def _add(db: Connection, texts: Sequence[TextIndex], sources: Sequence[Source], known: Terms) -> None:
    for text in texts:
        missing = [each for each in sources if (text.id, each) not in known]
        terms_by_source = {**known, **terms_of([text], missing)}
        analyzed = [(each.slot, terms_by_source[text.id, each]) for each in sources]
        found = [(slot, terms) for slot, terms in analyzed if terms]
        db.executemany(
            f"INSERT INTO {_terms_table(text.id)} (rowid, terms) VALUES (?, ?)",
            [(slot, " ".join(terms)) for slot, terms in found],
        )
        lengths = [(text.id, slot, len(terms)) for slot, terms in found]
        db.executemany("INSERT INTO s3vectors_text_lengths VALUES (?, ?, ?)", lengths)
        _count(db, text, len(found), sum(length for _, _, length in lengths))


def _metadata(source: Source) -> dict[str, Any]:
    return {**orjson.loads(source.filterable), **orjson.loads(source.other or b"{}")}


def _text(value: Any) -> str:
    """The text of a metadata value: a string, or a list of them; numbers and booleans have none."""
    strings = value if isinstance(value, list) else [value]
    return "\n".join(each for each in strings if isinstance(each, str))


def _count(db: Connection, text: TextIndex, texts: int, terms: int) -> None:
    sql = "UPDATE s3vectors_texts SET texts = texts + ?, terms = terms + ? WHERE id = ?"
    db.execute(sql, (texts, terms, text.id))


def _make(db: Connection, index_id: int, key: str, language: str | None, status: str) -> None:
    sql = "INSERT INTO s3vectors_texts VALUES (NULL, ?, ?, ?, ?, '', 0, 0)"
    made = db.execute(sql, (index_id, key, language, status)).lastrowid
    assert made is not None
    # Terms are split at white space only: the other ASCII characters they may hold are declared as theirs.
    tokenizer = "ascii tokenchars '_.,'''"
    db.execute(f'CREATE VIRTUAL TABLE {_terms_table(made)} USING fts5(terms, tokenize = "{tokenizer}")')
    db.execute(f"CREATE VIRTUAL TABLE {_places_table(made)} USING fts5vocab({_terms_table(made)}, instance)")


def _drop(db: Connection, text: TextIndex) -> None:
    db.execute(f"DROP TABLE {_places_table(text.id)}")
    db.execute(f"DROP TABLE {_terms_table(text.id)}")
    db.execute("DELETE FROM s3vectors_text_lengths WHERE text_id = ?", (text.id,))
    db.execute("DELETE FROM s3vectors_texts WHERE id = ?", (text.id,))


def _text_index(row: Row) -> TextIndex:
    names = ("id", "language", "status", "built_to", "texts", "terms")
    return TextIndex(key=row["metadata_key"], **{name: row[name] for name in names})


def _terms_table(text_id: int) -> str:
    return f"s3vectors_terms_{text_id}"


def _places_table(text_id: int) -> str:
    return f"s3vectors_places_{text_id}"

"""The one way into the index, and the two ways an attempt ends: committed or failed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lambdas.shared.assets import FailedSegment, Segment, StoredObject, Work, prefix_of, vector_key
from lambdas.shared.catalog import Catalog
from lambdas.shared.errors import PermanentError, SupersededError
from lambdas.shared.vectors import Vector, VectorStore

PASSAGE_CHARS = 4000  # so that a passage fits into 40 KB of metadata in any script


@dataclass(frozen=True)
class Described:
    """Segments of one asset, with what the metadata of their vectors says of it."""

    work: Work
    stored: StoredObject
    modality: str
    duration: float | None
    segments: Sequence[Segment]


@dataclass
class Written:
    """What one piece of work has put so far: how many vectors, and the highest number per embedding type."""

    count: int = 0
    highest: dict[str, int] = field(default_factory=dict)

    def add(self, segments: Sequence[Segment]) -> None:
        self.count += len(segments)
        for segment in segments:
            kind = segment.embedding_type
            self.highest[kind] = max(segment.number, self.highest.get(kind, 0))


def write_segments(described: Sequence[Described], store: VectorStore, catalog: Catalog) -> list[Described]:
    """Put segments, of one asset or of many, into the index; those that may not be written any more are left out.

    The generation record is raised before the put it covers, so whoever dies in between leaves a record of what may
    be there. Repeating it writes the same vectors again.
    """
    written = [one for one in described if _may_write(one, catalog)]
    store.put([_vector(one, segment) for one in written for segment in one.segments])
    return written


def commit(
    work: Work, written: Written, failures: Sequence[FailedSegment], store: VectorStore, catalog: Catalog
) -> None:
    """Make the generation live with its failures recorded, and clear the one it replaces.

    SupersededError if another is wanted by now: what this one wrote is deleted then. ConflictError if the head moved
    meanwhile, and it is worth another try.
    """
    catalog.record_failures(work, failures)
    if catalog.commit(work, written.count, len(failures)) is None:
        discard(work, written, store)
        clear_stale(work.asset_id, store, catalog)
        raise SupersededError(f"{work.name} is not wanted any more")
    clear_stale(work.asset_id, store, catalog)


def fail(work: Work, error: PermanentError, store: VectorStore, catalog: Catalog) -> None:
    """Record why there is nothing to find, and clear what was written; errors as with `commit`."""
    retired = catalog.fail(work, error.status, str(error))
    clear_stale(work.asset_id, store, catalog)
    if retired is None:
        raise SupersededError(f"{work.name} is not wanted any more")


def discard(work: Work, written: Written, store: VectorStore) -> None:
    """Delete what one piece of superseded work put: its record may have been cleared before its last put."""
    store.delete(_keys(work.asset_id, work.generation, written.highest))


def clear_stale(asset_id: str, store: VectorStore, catalog: Catalog) -> None:
    """Delete the vectors of every generation that is neither wanted nor live, by key range, then its record.

    Repeating it is harmless, and finishes what somebody who died left.
    """
    for generation in catalog.retire_stale(asset_id):
        record = catalog.generation(asset_id, generation)
        if record:
            store.delete(_keys(asset_id, generation, record.highest))
            catalog.forget_generation(asset_id, generation)


def _keys(asset_id: str, generation: str, highest: Mapping[str, int]) -> list[str]:
    return [
        vector_key(asset_id, generation, embedding_type, number)
        for embedding_type, last in highest.items()
        for number in range(last + 1)
    ]


def _may_write(one: Described, catalog: Catalog) -> bool:
    try:
        covered = Written()
        covered.add(one.segments)
        catalog.raise_highest(one.work, covered.highest)
    except SupersededError:
        return False
    return True


def _vector(one: Described, segment: Segment) -> Vector:
    return {
        "key": vector_key(one.work.asset_id, one.work.generation, segment.embedding_type, segment.number),
        "data": {"float32": segment.embedding},
        "metadata": _metadata(one, segment),
    }


def _metadata(one: Described, segment: Segment) -> dict[str, Any]:
    values = {
        "_asset_id": one.work.asset_id,
        "_modality": one.modality,
        "_type": segment.embedding_type,
        "_start": segment.start,
        "_end": segment.end,
        "_start_char": segment.start_char,
        "_end_char": segment.end_char,
        "_created": one.stored.created,
        "_size": one.stored.size,
        "_duration": one.duration,
        "_prefix": prefix_of(one.stored.key),
        "_uri": one.stored.uri,
        "_title": one.stored.name,
        "_text": segment.text[:PASSAGE_CHARS] if segment.text else None,
    }
    return {name: value for name, value in values.items() if value is not None}

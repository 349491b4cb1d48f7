"""The one way into the index, and the two ways an attempt ends: committed or failed."""

from collections.abc import Sequence
from dataclasses import dataclass
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


def write_segments(described: Sequence[Described], store: VectorStore, catalog: Catalog) -> list[Described]:
    """Put segments, of one asset or of many, into the index; those that may not be written any more are left out.

    The generation record is raised before the put it covers, so whoever dies in between leaves a record of what may
    be there. Repeating it writes the same vectors again.
    """
    written = [one for one in described if _may_write(one, catalog)]
    store.put([_vector(one, segment) for one in written for segment in one.segments])
    return written


def commit(
    work: Work, segment_count: int, failures: Sequence[FailedSegment], store: VectorStore, catalog: Catalog
) -> None:
    """Make the generation live with its failures recorded, and clear the one it replaces.

    SupersededError if another is wanted by now; what this one wrote is cleared then.
    """
    catalog.record_failures(work, failures)
    _end(work, catalog.commit(work, segment_count, len(failures)), store, catalog)


def fail(work: Work, error: PermanentError, store: VectorStore, catalog: Catalog) -> None:
    """Record why there is nothing to find, and clear what was written. SupersededError as with `commit`."""
    _end(work, catalog.fail(work, error.status, str(error)), store, catalog)


def clear_generation(asset_id: str, generation: str, store: VectorStore, catalog: Catalog) -> None:
    """Delete the vectors of a retired generation by its key range, then its record. Repeating it is harmless."""
    record = catalog.generation(asset_id, generation)
    if record is None or record.state != "retired":
        return
    store.delete(
        [
            vector_key(asset_id, generation, embedding_type, number)
            for embedding_type, highest in record.highest.items()
            for number in range(highest + 1)
        ]
    )
    catalog.forget_generation(asset_id, generation)


def _end(work: Work, retired: Sequence[str] | None, store: VectorStore, catalog: Catalog) -> None:
    for generation in (work.generation,) if retired is None else retired:
        clear_generation(work.asset_id, generation, store, catalog)
    if retired is None:
        raise SupersededError(f"{work.name} is not wanted any more")


def _may_write(one: Described, catalog: Catalog) -> bool:
    try:
        catalog.raise_highest(one.work, _highest(one.segments))
    except SupersededError:
        return False
    return True


def _highest(segments: Sequence[Segment]) -> dict[str, int]:
    highest: dict[str, int] = {}
    for segment in segments:
        highest[segment.embedding_type] = max(segment.number, highest.get(segment.embedding_type, 0))
    return highest


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

"""What a vector says of its segment, within the limits of S3 Vectors: 2 KB that filters see, 40 KB in all, 50 names.

Ours start with an underscore and always fit: their longest is the passage, at most 4,000 characters. A user's
attributes take what room is left for filters, in the order of their names; what does not fit is named, not lost
silently.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lambdas.shared.assets import Segment, StoredObject, prefix_of

# S3 user guide, "S3 Vectors limitations and restrictions".
FILTERABLE_BYTES = 2048
NAMES = 50
NAME_CHARS = 63

# What a filter of the API calls ours; no attribute can go by these names.
TAKEN = ("asset_id", "modality", "type", "start", "end", "page", "created", "size", "duration", "prefix")
OUR_NAMES = 16
OUR_BYTES = 400  # of all of ours that filters see, but for the prefix
VALUE_ROOM = 16  # how the service counts is not documented: what is around a name and its value is reckoned large
PASSAGE_CHARS = 4000


@dataclass(frozen=True)
class Attributes:
    """A user's own metadata: what is kept, and the names of what is left out."""

    kept: Mapping[str, Any]
    dropped: tuple[str, ...]


def attributes_of(stored: StoredObject) -> Attributes:
    """Those of `x-amz-meta-*` that have a name of their own, no longer than S3 Vectors takes, and room."""
    kept: dict[str, Any] = {}
    dropped = []
    room = FILTERABLE_BYTES - OUR_BYTES - len(prefix_of(stored.key).encode())
    for name, value in sorted(stored.metadata.items()):
        size = VALUE_ROOM + len(name.encode()) + len(value.encode())
        is_named = not name.startswith(("_", "$")) and name not in TAKEN and len(name) <= NAME_CHARS
        if not is_named or size > room or len(kept) == NAMES - OUR_NAMES:
            dropped.append(name)
            continue
        kept[name] = value
        room -= size
    return Attributes(kept, tuple(dropped))


def common_metadata(stored: StoredObject, modality: str, duration: float | None) -> dict[str, Any]:
    """What all vectors of an asset say."""
    values = {
        **attributes_of(stored).kept,
        "_asset_id": stored.asset_id,
        "_modality": modality,
        "_created": stored.created,
        "_size": stored.size,
        "_duration": duration,
        "_prefix": prefix_of(stored.key),
        "_uri": stored.uri,
        "_title": stored.name,
    }
    return {name: value for name, value in values.items() if value is not None}


def own_metadata(segment: Segment) -> dict[str, Any]:
    """What one vector says: where its segment is, and the passage."""
    metadata: dict[str, Any] = {"_type": segment.embedding_type}
    if segment.start is not None:
        metadata["_start"] = segment.start
    if segment.end is not None:
        metadata["_end"] = segment.end
    if segment.page is not None:
        metadata["_page"] = segment.page
    if segment.start_char is not None:
        metadata["_start_char"] = segment.start_char
    if segment.end_char is not None:
        metadata["_end_char"] = segment.end_char
    if segment.text:
        metadata["_text"] = segment.text[:PASSAGE_CHARS]
    return metadata

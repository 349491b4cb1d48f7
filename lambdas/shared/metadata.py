"""What a vector says of its segment, within the limits of S3 Vectors: 2 KB that filters see, 40 KB in all, 50 names.

Ours start with an underscore and always fit: their longest is the passage, at most 4,000 characters. A user's
attributes take what room is left for filters, in the order of their names, the one that says whose a file is before all
others; what does not fit is named, not lost silently.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from lambdas.shared.assets import Segment, StoredObject, prefix_of
from lambdas.shared.owners import is_owner

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
SMALLEST, LARGEST = 1e-100, 1e15  # of a number: what a double, and DynamoDB, keep exactly
DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?")


@dataclass(frozen=True)
class Attributes:
    """A user's own metadata as it was given, the names among it of dates, and the names of what is left out.

    `owner` is whose the file is, where the deployment asks. `problem` is a sentence about what could not be read.
    """

    kept: Mapping[str, Any] = field(default_factory=dict)
    dates: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    problem: str | None = None
    owner: str | None = None

    @property
    def indexed(self) -> dict[str, Any]:
        """As filters see it: dates are epoch seconds."""
        return {name: epoch(value) if name in self.dates else value for name, value in self.kept.items()}


def attributes_of(
    key: str,
    texts: Mapping[str, str],
    typed: Mapping[str, Any] | None = None,
    problem: str | None = None,
    owner_attribute: str = "",
) -> Attributes:
    """Those that have a name of their own, no longer than S3 Vectors takes, a value that it knows, and room.

    `typed` values keep their type, and go before `texts` of the same name; ISO dates are dates only there. What names
    the owner is never cut, and is a text also where it looks like a date.
    """
    kept: dict[str, Any] = {}
    dates, dropped = [], []
    room = FILTERABLE_BYTES - OUR_BYTES - len(prefix_of(key).encode())
    given = {**texts, **(typed or {})}
    for name, value in sorted(given.items(), key=lambda item: (item[0] != owner_attribute, item[0])):
        size = VALUE_ROOM + len(name.encode()) + len(orjson.dumps(value))
        is_named = name and not name.startswith(("_", "$")) and name not in TAKEN and len(name) <= NAME_CHARS
        if not is_named or not _is_known(value) or size > room or len(kept) == NAMES - OUR_NAMES:
            dropped.append(name[:NAME_CHARS])
            continue
        kept[name] = value
        room -= size
        may_be_date = typed and name in typed and name != owner_attribute
        if may_be_date and isinstance(value, str) and DATE.fullmatch(value) and epoch(value) is not None:
            dates.append(name)
    owner = kept.get(owner_attribute)
    return Attributes(kept, tuple(dates), tuple(dropped[:NAMES]), problem, owner if is_owner(owner) else None)


def _is_known(value: Any) -> bool:
    """S3 user guide, "Metadata": text, number, boolean, or a list of texts or numbers."""
    if isinstance(value, list):
        return bool(value) and (all(type(one) is str for one in value) or all(map(_is_number, value)))
    return type(value) in (str, bool) or _is_number(value)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and (value == 0 or SMALLEST < abs(value) < LARGEST)


def epoch(text: str) -> float | None:
    """Seconds since 1970 of an ISO date (UTC unless it says otherwise), None where it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def common_metadata(
    stored: StoredObject, modality: str, duration: float | None, attributes: Attributes
) -> dict[str, Any]:
    """What all vectors of an asset say."""
    values = {
        **attributes.indexed,
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

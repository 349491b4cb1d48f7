"""The records of the catalog as Python values, and how they lie in DynamoDB items."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Literal

from lambdas.shared.assets import FailedSegment, Work

Status = Literal["received", "waiting", "embedding", "indexed", "partial", "failed", "unsupported", "deleted"]
SETTLED = ("indexed", "partial", "failed", "unsupported")
OPEN = ("received", "waiting", "embedding")
DELETED_KEPT_SECONDS = 120 * 86_400  # an execution name is free again after 90 days


@dataclass(frozen=True)
class Head:
    """An asset as search and lists see it. `created` is epoch seconds, `duration` seconds, `size` bytes.

    `wanted` is the generation that should be in the index, `live` the one that is; `live_version` is the S3 version
    that `live` was made from, `version_id` that of `wanted` (None in a bucket without versions).
    """

    asset_id: str
    key: str
    rev: int
    status: Status
    attempt: int
    size: int
    created: int
    wanted: str | None = None
    live: str | None = None
    version_id: str | None = None
    live_version: str | None = None
    modality: str | None = None
    duration: float | None = None
    segment_count: int = 0
    failed_segments: int = 0
    reason: str | None = None

    @property
    def work(self) -> Work | None:
        return Work(self.asset_id, self.wanted, self.attempt) if self.wanted else None


@dataclass(frozen=True)
class GenerationRecord:
    """`highest` covers every vector that may exist: it is raised before the put."""

    state: Literal["writing", "live", "retired"]
    highest: Mapping[str, int]


def head_item(head: Head) -> dict[str, Any]:
    """The item; what is None is left out, and `listed` puts it into the index of all assets or of deleted ones."""
    item = plain({name: value for name, value in asdict(head).items() if value is not None})
    deleted = head.status == "deleted"
    item |= {"record": "head", "listed": "deleted" if deleted else "assets"}
    if deleted:
        item["expires"] = int(time.time()) + DELETED_KEPT_SECONDS
    return item


def read_head(item: Mapping[str, Any]) -> Head:
    """Back from the item, whose numbers are Decimals."""
    fields: dict[str, Any] = {name: item.get(name) for name in Head.__dataclass_fields__ if item.get(name) is not None}
    for name in ("rev", "attempt", "size", "created", "segment_count", "failed_segments"):
        fields[name] = int(fields.get(name) or 0)
    if "duration" in fields:
        fields["duration"] = float(fields["duration"])
    return Head(**fields)


def read_failed_segment(entry: Mapping[str, Any]) -> FailedSegment:
    """Back from an entry of a failure item."""
    values: dict[str, Any] = {
        name: float(value) if isinstance(value, Decimal) else value for name, value in entry.items()
    }
    for name in ("number", "start_char", "end_char"):
        if values.get(name) is not None:
            values[name] = int(values[name])
    return FailedSegment(**values)


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """DynamoDB takes no floats."""
    return {name: decimal(value) if isinstance(value, float) else value for name, value in values.items()}


def decimal(value: float | None) -> Decimal | None:
    """To the millisecond, which is as fine as places in media are told."""
    return None if value is None else Decimal(str(round(value, 3)))

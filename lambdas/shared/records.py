"""The records of the catalog as Python values, and how they lie in DynamoDB items."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any, Literal

from lambdas.shared.assets import FailedSegment, Work
from lambdas.shared.metadata import Attributes

Status = Literal["received", "waiting", "embedding", "indexed", "partial", "failed", "unsupported", "deleted"]
SETTLED = ("indexed", "partial", "failed", "unsupported")
OPEN = ("received", "waiting", "embedding")
KEPT_SECONDS = 120 * 86_400  # of what is over: an execution name is free again after 90 days


@dataclass(frozen=True)
class Live:
    """The generation that is in the index: what it is made from, and the attempt that made it live.

    `profile` names the index that its vectors lie in. `derived` counts what was made of it for showing: `thumbnail`,
    `frames`, `pages`, `peaks`. `owner` says whose it was when other content became wanted in its place.
    """

    generation: str
    content: str
    attempt: int
    profile: str
    owner: str | None = None
    version_id: str | None = None
    modality: str | None = None
    duration: float | None = None
    derived: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Head:
    """An asset as search and lists see it. `created` is epoch seconds, `duration` seconds, `size` bytes.

    `wanted` is the generation that should be in the index, `live` the one that is; `content`, `profile`, `version_id`,
    `modality`, `duration` and `derived` are of what is wanted (no version in a bucket without). `extent` is the last
    segment number per embedding type, failed ones included. `begun` and `settled` are when the attempt was, in epoch
    seconds. `relabelling` says that vectors of what is live may not have the `attributes` yet. `owned_by` is the one of
    them that puts it into the list of an owner. `retry_failure` says why a retry of what is live came to nothing.
    """

    asset_id: str
    key: str
    rev: int
    status: Status
    attempt: int
    size: int
    created: int
    etag: str = ""
    begun: int = 0
    wanted: str | None = None
    content: str | None = None
    profile: str | None = None
    live: Live | None = None
    version_id: str | None = None
    modality: str | None = None
    duration: float | None = None
    derived: Mapping[str, int] = field(default_factory=dict)
    segment_count: int = 0
    failed_segments: int = 0
    extent: Mapping[str, int] = field(default_factory=dict)
    reason: str | None = None
    retry_failure: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    attributes_dropped: tuple[str, ...] = ()
    attribute_dates: tuple[str, ...] = ()
    attributes_problem: str | None = None
    owned_by: str | None = None
    relabelling: bool = False
    settled: int = 0

    @property
    def labels(self) -> Attributes:
        """The user's own metadata, as it should be in the index."""
        return Attributes(
            self.attributes, self.attribute_dates, self.attributes_dropped, self.attributes_problem, self.owned_by
        )

    @property
    def work(self) -> Work | None:
        """What is wanted."""
        return Work(self.asset_id, self.wanted, self.attempt) if self.wanted else None

    @property
    def told(self) -> Work | None:
        """What the counts, the extent and the failures tell of: what is live, else what has failed."""
        if self.live:
            return Work(self.asset_id, self.live.generation, self.live.attempt)
        return self.work if self.status == "failed" else None

    @property
    def live_generation(self) -> str | None:
        return self.live.generation if self.live else None

    @property
    def generations(self) -> set[str]:
        """Those that are not over: what is live, and what is being made. All others that have a record are retired."""
        making = self.wanted if self.status in OPEN else None
        return {generation for generation in (self.live_generation, making) if generation}

    @property
    def live_status(self) -> Status:
        """The status of what is live."""
        return "partial" if self.failed_segments else "indexed"

    @property
    def live_reason(self) -> str | None:
        """Why not all of what is live was indexed."""
        all_segments = self.segment_count + self.failed_segments
        return f"{self.failed_segments} of {all_segments} segments failed" if self.failed_segments else None


@dataclass(frozen=True)
class GenerationRecord:
    """`highest` covers every vector that may exist: it is raised before the put. `attempt` is the one that may write.
    `profile` names the index that the vectors lie in, for a file's profile may change.

    `busy` says until when (epoch seconds) whoever covered vectors may still be putting them. `derived` says, before the
    first is put, that files are derived from it.
    """

    state: Literal["writing", "live", "retired"]
    attempt: int
    highest: Mapping[str, int]
    busy: Mapping[str, int]
    profile: str
    derived: bool = False


def head_item(head: Head) -> dict[str, Any]:
    """The item without what is None or empty; `listed` puts it into the index of all assets or of deleted ones."""
    item = plain(_filled(asdict(head)))
    item["attributes"] = {name: _exact(value) for name, value in head.attributes.items()}
    if head.live:
        item["live"] = plain(_filled(asdict(head.live)))
    deleted = head.status == "deleted"
    item |= {"record": "head", "listed": "deleted" if deleted else "assets"}
    if deleted:
        item["expires"] = int(time.time()) + KEPT_SECONDS
    return item


def read_head(item: Mapping[str, Any]) -> Head:
    """Back from the item, whose numbers are Decimals."""
    fields: dict[str, Any] = {name: item.get(name) for name in Head.__dataclass_fields__ if item.get(name) is not None}
    for name in ("rev", "attempt", "size", "created", "segment_count", "failed_segments", "settled", "begun"):
        fields[name] = int(fields.get(name) or 0)
    if "live" in fields:
        fields["live"] = _read_live(fields["live"])
    if "duration" in fields:
        fields["duration"] = float(fields["duration"])
    fields["derived"] = _counts(fields.get("derived", {}))
    fields["extent"] = _counts(fields.get("extent", {}))
    fields["attributes"] = {name: _undecimal(value) for name, value in fields.get("attributes", {}).items()}
    for name in ("attributes_dropped", "attribute_dates"):
        fields[name] = tuple(fields.get(name, ()))
    return Head(**fields)


def _read_live(item: Mapping[str, Any]) -> Live:
    duration = item.get("duration")
    return Live(
        generation=item["generation"],
        content=item["content"],
        attempt=int(item.get("attempt", 0)),
        profile=item.get("profile", ""),
        owner=item.get("owner"),
        version_id=item.get("version_id"),
        modality=item.get("modality"),
        duration=None if duration is None else float(duration),
        derived=_counts(item.get("derived", {})),
    )


def _counts(item: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(number) for name, number in item.items()}


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, {}, ())}


def generation_item(asset_id: str, generation: str, record: GenerationRecord) -> dict[str, Any]:
    return {"asset_id": asset_id, "record": f"gen#{generation}", **asdict(record)}


def read_generation(item: Mapping[str, Any]) -> GenerationRecord:
    """Back from the item."""
    return GenerationRecord(
        state=item["state"],
        attempt=int(item["attempt"]),
        highest={name: int(number) for name, number in item["highest"].items()},
        busy={name: int(until) for name, until in item["busy"].items()},
        profile=item.get("profile", ""),
        derived=bool(item.get("derived")),
    )


def read_failed_segment(entry: Mapping[str, Any]) -> FailedSegment:
    """Back from an entry of a failure item."""
    values: dict[str, Any] = {
        name: float(value) if isinstance(value, Decimal) else value for name, value in entry.items()
    }
    for name in ("number", "start_char", "end_char", "page"):
        if values.get(name) is not None:
            values[name] = int(values[name])
    return FailedSegment(**values)


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """DynamoDB takes no floats."""
    return {name: decimal(value) if isinstance(value, float) else value for name, value in values.items()}


def _exact(value: Any) -> Any:
    """DynamoDB takes no floats."""
    if isinstance(value, list):
        return [_exact(one) for one in value]
    return Decimal(str(value)) if isinstance(value, float) else value


def _undecimal(value: Any) -> Any:
    if isinstance(value, list):
        return [_undecimal(one) for one in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def decimal(value: float | None) -> Decimal | None:
    """To the millisecond, which is as fine as places in media are told."""
    return None if value is None else Decimal(str(round(value, 3)))

"""The shapes of what the API answers."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, SerializerFunctionWrapHandler, model_serializer

AttributeValue = str | bool | int | float | list[str | int | float]


class Answer(BaseModel):
    """What does not exist is left out, not null."""

    @model_serializer(mode="wrap")
    def _without_nulls(self, serialize: SerializerFunctionWrapHandler):  # type: ignore[no-untyped-def]  # a return type would replace the schema
        values: dict[str, Any] = serialize(self)
        return {name: value for name, value in values.items() if value is not None}


class Scores(Answer):
    """Those that exist: `similarity` (1 − cosine distance), `text` (BM25 of passages and titles), `fused` (by ranks, of
    words and vectors or of several profiles), the `recency` weight, and `rerank`, the similarity of the full vectors.
    """

    similarity: float | None = None
    text: float | None = None
    fused: float | None = None
    recency: float | None = None
    rerank: float | None = None


class Segment(Answer):
    """A part of an asset: seconds, characters or a page as in a hit, and why it failed if it did."""

    segment_id: str
    status: Literal["indexed", "failed"]
    reason: str | None = None
    start: float | None = None
    end: float | None = None
    page: int | None = None
    start_char: int | None = None
    end_char: int | None = None
    text: str | None = None


class SegmentHit(Answer):
    """A match inside a hit: seconds (`start`, `end`), characters (`start_char`, `end_char`), a `page`, or the whole.

    `thumbnail` is a picture of it: the page, the frame that it begins with, or the whole made small. Where parts that
    touch are one match, `segment_ids` names them and `segment_id` the best. `asset_id` and `key` say whose it is where
    a hit can be of several assets; `context` are the parts before and after.
    """

    segment_id: str
    segment_ids: list[str] | None = None
    asset_id: str | None = None
    key: str | None = None
    start: float | None = None
    end: float | None = None
    page: int | None = None
    start_char: int | None = None
    end_char: int | None = None
    score: float
    scores: Scores
    found_by: list[Literal["vector", "text"]] | None = None
    text: str | None = None
    url: str
    thumbnail: str | None = None
    context: list[Segment] | None = None


class Hit(Answer):
    """A group of matches: an asset, one segment of it, or all that has one value of an attribute (`group`).

    What it says of an asset is of the best match's. `url` opens at the place of that match. `score` is what hits are in
    the order of, unless they are sorted: the similarity, BM25 or `fused`, with `recency` and `rerank` where asked for.
    Where several profiles were asked, whose similarities do not compare, it is `fused`, and `profile` says whose the
    hit is. `peaks` is the waveform of a sound, a byte for each of its equally long moments.
    """

    asset_id: str
    key: str
    uri: str
    title: str | None = None
    modality: str
    group: AttributeValue | None = None
    profile: str | None = None
    score: float
    scores: Scores
    found_by: list[Literal["vector", "text"]]
    attributes: dict[str, AttributeValue]
    url: str
    thumbnail: str | None = None
    peaks: str | None = None
    segments: list[SegmentHit]


class SearchAnswer(Answer):
    """`complete` is false when there may be more groups than could be read; `next` asks for what comes after these.

    `stages_ms` are the milliseconds of each stage, of several profiles' the longest.
    """

    hits: list[Hit]
    next: str | None = None
    complete: bool
    notes: list[str] | None = None
    took_ms: int
    stages_ms: dict[str, int]
    search_id: str


class Heat(Answer):
    """How near a part of an asset is to a query."""

    segment_id: str
    start: float | None = None
    end: float | None = None
    page: int | None = None
    start_char: int | None = None
    end_char: int | None = None
    score: float
    scores: Scores


class HeatAnswer(Answer):
    """Every indexed part of an asset in order, by embedding type; each `score` is its similarity."""

    asset_id: str
    key: str
    modality: str | None = None
    segments: list[Heat]
    took_ms: int
    stages_ms: dict[str, int]


class Asset(Answer):
    """An asset in a list. `segment_count` is the number of its vectors in the index; `created` is an ISO time.

    `attempt` grows with every change of the file and every retry. `attributes_dropped` names those of the user's
    attributes that have no room in S3 Vectors, or a name that is taken.
    """

    asset_id: str
    key: str
    modality: str | None = None
    status: str
    reason: str | None = None
    segment_count: int
    size: int
    created: str
    attempt: int
    attributes: dict[str, AttributeValue]
    attributes_dropped: list[str] | None = None
    attributes_problem: str | None = None


class SegmentPage(Answer):
    """In order, by embedding type; `next` asks for the following page and is absent on the last one."""

    segments: list[Segment]
    next: str | None = None


class AssetDetails(Asset):
    """One asset: what the list shows, where it is, and the first hundred parts that failed.

    `retry_failure` says why a retry of what is indexed came to nothing. `thumbnail` is a picture of it; `peaks` the
    waveform of a sound, a byte for each of its equally long moments.
    """

    uri: str
    url: str | None = None
    thumbnail: str | None = None
    peaks: str | None = None
    duration: float | None = None
    retry_failure: str | None = None
    failed_segments: int
    failures: list[Segment]


class AssetPage(Answer):
    """`next` asks for the following page; it is absent on the last one."""

    assets: list[Asset]
    next: str | None = None


class Asked(Answer):
    """What will be retried, page by page."""

    prefix: str
    status: str | None
    since: datetime | None


class Reconciled(Answer):
    """A pass that holds bucket, catalog and index against each other: what it read, and what differed, by kind.

    `rung` of the differences were given to ingestion to be mended; `deleted` counts derived files that nothing owned.
    Times are ISO times; `moved` is when it last got on.
    """

    id: str
    state: Literal["waiting", "running", "ended"]
    started: str | None = None
    moved: str | None = None
    ended: str | None = None
    read: dict[str, int]
    differences: dict[str, int]
    rung: int
    deleted: int


class Upload(Answer):
    """A form for `url`: its `fields`, and after them the content as `file`, of `max_bytes` at most.

    It is good for one key, and until `expires`, an ISO time. Of the purpose `query`, `key` is the `upload` of a
    search.
    """

    key: str
    url: str
    fields: dict[str, str]
    max_bytes: int
    expires: str


class Error(Answer):
    """`field` is a path in the request, such as `filter.$and[1].year`."""

    code: str
    message: str
    field: str | None = None


class ErrorAnswer(Answer):
    """What every refusal looks like."""

    error: Error
    request_id: str

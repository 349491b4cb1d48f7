"""QueryVectors on the wire: what a request asks, and how a result is shown."""

from typing import Any

import orjson

from local.s3vectors.catalog import Index
from local.s3vectors.errors import invalid
from local.s3vectors.filters import read_filter
from local.s3vectors.ranking import Hit, Ranking
from local.s3vectors.records import InvalidVectorError, read_vector
from local.s3vectors.search import Question

MAX_TOP_K = 10_000

Json = dict[str, Any]


def read_question(index: Index, request: Json) -> Question:
    """What the request asks of this index, or a ValidationException."""
    if request["topK"] > MAX_TOP_K:
        raise invalid(f"topK must be between 1 and {MAX_TOP_K}", "topK")
    if request.get("queryVector") is None and request.get("queryTexts") is None:
        raise invalid("Must specify queryVector, queryTexts, or both", "queryVector")
    conditions, mode = request.get("filter"), _mode(index, request)
    return Question(
        vector=_read_vector(index, request),
        texts=_read_texts(index, request),
        condition=None if conditions is None else read_filter(conditions, index.non_filterable, mode),
        top_k=request["topK"],
    )


def identity(index: Index, request: Json) -> tuple[Any, ...]:
    """What must be the same in the requests of all pages."""
    asked = (request.get(name) for name in ("queryVector", "queryTexts", "topK", "filter"))
    return ("query", index.id, _mode(index, request), *asked)


def shown(hit: Hit, metadata: bytes | None, request: Json) -> Json:
    """A result as the request wants it; `metadata` is JSON, None where it is not wanted."""
    found: Json = {"key": hit.key}
    if request.get("returnDistance") and hit.distance is not None:
        found["distance"] = hit.distance
    if request.get("returnScores") and request.get("queryTexts"):
        found["scores"] = _scores(hit, is_hybrid=request.get("queryVector") is not None)
    if metadata is not None:
        found["metadata"] = orjson.Fragment(metadata)
    return found


def _scores(hit: Hit, *, is_hybrid: bool) -> Json:
    scores: Json = {}
    if hit.bm25:
        scores["bm25Scores"] = [{"metadataKey": key, "score": score} for key, score in hit.bm25]
    if is_hybrid:
        scores["fused"] = hit.fused
        if hit.distance is not None:
            scores["vectorDistance"] = hit.distance
    return scores


def _mode(index: Index, request: Json) -> str:
    mode: str = request.get("queryMode") or index.mode
    if mode == "CLASSIC" and index.mode == "ENHANCED":
        raise invalid("CLASSIC can't be specified for an ENHANCED index", "queryMode")
    return mode


def _read_vector(index: Index, request: Json) -> Ranking | None:
    if request.get("queryVector") is None:
        return None
    try:
        vector, _ = read_vector(request["queryVector"]["float32"], index.dimension, index.metric)
    except InvalidVectorError as error:
        message = "Query vector contains invalid values or is invalid for this index"
        raise invalid(message, "vector", f"Invalid input: {error}") from error
    return Ranking(index.metric, vector)


def _read_texts(index: Index, request: Json) -> dict[str, str]:
    asked = request.get("queryTexts") or []
    if asked and index.mode != "ENHANCED":
        raise invalid("Full-text search requires a vector index in ENHANCED mode", "queryTexts")
    texts: dict[str, str] = {}
    for position, each in enumerate(asked):
        key = each["metadataKey"]
        if key in texts:
            path = f"queryTexts[{position}].metadataKey"
            raise invalid("Each query text must have a distinct metadataKey", path)
        texts[key] = each["text"]
    return texts

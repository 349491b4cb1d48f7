"""What QueryVectors should answer, worked out one vector at a time in plain Python, apart from the laptop's way."""

import math
import struct
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

STEMS = {
    "dog": "dog", "dogs": "dog", "run": "run", "runs": "run", "running": "run", "house": "hous", "houses": "hous",
    "red": "red", "quick": "quick", "quickly": "quick", "river": "river", "rivers": "river", "night": "night",
    "the": "", "and": "", "in": "", "of": "",
}  # fmt: skip
"""English words and their stems, "" for stop words: the only words that these texts are made of."""

Metadata = Mapping[str, Any]


@dataclass(frozen=True)
class Ask:
    """A query. `texts` is metadata key → (text, whether the key's language is English)."""

    top_k: int
    vector: Sequence[float] | None = None
    texts: Mapping[str, tuple[str, bool]] = field(default_factory=dict)
    keeps: Callable[[Metadata], bool] = lambda metadata: True


@dataclass
class Expected:
    key: str
    order: float
    distance: float | None = None
    fused: float | None = None
    bm25: dict[str, float] = field(default_factory=dict)


def expected(rows: Mapping[str, tuple[Sequence[float], Metadata]], metric: str, ask: Ask) -> list[Expected]:
    """The results in order; `rows` is key → (vector, metadata)."""
    kept = [key for key, (_, metadata) in rows.items() if ask.keeps(metadata)]
    scores = {
        key: bm25({row: terms(metadata.get(key), english) for row, (_, metadata) in rows.items()}, terms(text, english))
        for key, (text, english) in ask.texts.items()
    }
    if ask.vector is None:
        return by_text(kept, scores)[: ask.top_k]
    wanted = ask.vector
    distances = {key: float32(distance(metric, rows[key][0], wanted)) for key in kept}
    nearest = sorted((Expected(key, each, each) for key, each in distances.items()), key=place)[: ask.top_k]
    if not scores:
        return nearest
    found: dict[str, Expected] = {}
    for ranking in (nearest, *(by_text(kept, {key: each})[: ask.top_k] for key, each in scores.items())):
        for rank, each in enumerate(ranking, start=1):
            one = found.setdefault(each.key, Expected(each.key, 0, fused=0))
            assert one.fused is not None
            one.fused += 1 / (60 + rank)
            one.distance = one.distance if each.distance is None else each.distance
            one.bm25 |= each.bm25
    for one in found.values():
        assert one.fused is not None
        one.fused = float32(one.fused)
        one.order = -one.fused
    return sorted(found.values(), key=place)[: ask.top_k]


def place(each: Expected) -> tuple[float, str]:
    return each.order, each.key


def by_text(kept: Sequence[str], scores: Mapping[str, Mapping[str, float]]) -> list[Expected]:
    found = []
    for row in kept:
        parts = {key: each[row] for key, each in scores.items() if row in each}
        if parts:
            narrow = {key: float32(value) for key, value in parts.items()}
            found.append(Expected(row, -float32(sum(parts.values())), bm25=narrow))
    return sorted(found, key=place)


def bm25(texts: Mapping[str, list[str]], query: list[str]) -> dict[str, float]:
    """Robertson's BM25 with Lucene's idf, k1 = 1.2 and b = 0.75, for the texts that have a term of the query."""
    texts = {row: each for row, each in texts.items() if each}
    total: dict[str, float] = {}
    for term, times in Counter(query).items():
        having = [row for row, each in texts.items() if term in each]
        idf = math.log(1 + (len(texts) - len(having) + 0.5) / (len(having) + 0.5))
        for row in having:
            frequency = texts[row].count(term)
            length = len(texts[row]) * len(texts) / sum(map(len, texts.values()))
            weight = frequency * 2.2 / (frequency + 1.2 * (0.25 + 0.75 * length))
            total[row] = total.get(row, 0.0) + times * idf * weight
    return total


def terms(text: Any, english: bool) -> list[str]:
    """A text has only words of STEMS and spaces; a list is the texts in it one after another."""
    strings = text if isinstance(text, list) else [text]
    words = [word for each in strings if isinstance(each, str) for word in each.lower().split()]
    return [STEMS[word] for word in words if STEMS[word]] if english else words


def distance(metric: str, left: Sequence[float], right: Sequence[float]) -> float:
    if metric == "euclidean":
        return math.sqrt(sum((a - b) ** 2 for a, b in zip(left, right, strict=True)))
    lengths = math.sqrt(sum(a * a for a in left)) * math.sqrt(sum(b * b for b in right))
    apart = 1 - sum(a * b for a, b in zip(left, right, strict=True)) / lengths
    return 0.0 if apart < 1e-12 else min(apart, 2.0)


def float32(value: float) -> float:
    narrow: float = struct.unpack("f", struct.pack("f", value))[0]
    return narrow

"""One query over a snapshot: by distance, by the words of texts, or by both.

Both means reciprocal rank fusion, as the user guide says ("Querying with full-text and vector search"): one full-text
search for each text of the query and one vector search, each of them of `topK` results; a result is worth the sum of
1 / (60 + rank) over the searches that found it. The guide tells neither that 60, which is the method's usual constant,
nor how deep the searches go, nor how several texts without a vector add up: here their BM25 scores are summed.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from local.s3vectors.filters import Filter
from local.s3vectors.ranking import Candidates, Hit, Ranking, in_order
from local.s3vectors.texts import Scores

_FUSION_CONSTANT = 60


@dataclass(frozen=True, eq=False)
class Question:
    """What a query asks: a vector, texts (metadata key → text), or both; `top_k` results at most."""

    vector: Ranking | None
    texts: dict[str, str]
    condition: Filter | None
    top_k: int


def best_hits(question: Question, among: Candidates, scores: dict[str, Scores]) -> list[Hit]:
    """The results in order. `scores` has those of each of the question's texts."""
    if question.vector is None:
        return _best_texts(among, scores, question.top_k)
    nearest = question.vector.nearest(among, question.top_k)
    if not scores:
        return nearest
    by_text = [_best_texts(among, {key: each}, question.top_k) for key, each in scores.items()]
    return _fused([nearest, *by_text])[: question.top_k]


def _best_texts(among: Candidates, scores: dict[str, Scores], count: int) -> list[Hit]:
    """By the sum of the scores, the highest first."""
    total = np.zeros(len(among.mask))
    found = np.zeros(len(among.mask), np.bool_)
    for each in scores.values():
        total[each.slots] += each.scores
        found[each.slots] = True
    slots = np.flatnonzero(found & among.mask)
    orders = -total[slots].astype(np.float32)
    if len(orders) > count:
        slots = slots[orders <= np.partition(orders, count - 1)[count - 1]]
    parts: dict[int, list[tuple[str, float]]] = defaultdict(list)
    for key, each in scores.items():
        matched = np.isin(each.slots, slots)
        narrow = each.scores[matched].astype(np.float32)
        for slot, value in zip(each.slots[matched].tolist(), narrow.tolist(), strict=True):
            parts[slot].append((key, value))
    orders = -total[slots].astype(np.float32)
    pairs = zip(slots.tolist(), orders.tolist(), strict=True)
    return in_order(Hit(among.keys[slot], slot, order, bm25=tuple(parts[slot])) for slot, order in pairs)[:count]


def _fused(rankings: Iterable[Sequence[Hit]]) -> list[Hit]:
    worth: dict[int, float] = defaultdict(float)
    bm25: dict[int, tuple[tuple[str, float], ...]] = defaultdict(tuple)
    keys: dict[int, str] = {}
    distances: dict[int, float] = {}
    for ranking in rankings:
        for rank, hit in enumerate(ranking, 1):
            worth[hit.slot] += 1 / (_FUSION_CONSTANT + rank)
            bm25[hit.slot] += hit.bm25
            keys[hit.slot] = hit.key
            if hit.distance is not None:
                distances[hit.slot] = hit.distance
    fused = {slot: float(np.float32(value)) for slot, value in worth.items()}
    return in_order(
        Hit(keys[slot], slot, -value, distances.get(slot), value, bm25[slot]) for slot, value in fused.items()
    )

"""The nearest vectors of a snapshot: one float32 pass that bounds every distance, then exact ones for the few in reach.

A fast pass cannot decide ties: BLAS sums a row differently by where it lies. So it only says between which bounds a
distance is; whatever may be among the nearest is computed again in float64, row by row, and put in order by distance
as the client sees it (float32) and then by key.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from local.s3vectors.records import lengths

Distances = NDArray[np.float64]
_ROWS_AT_ONCE = 2048
_GATHER_BELOW = 1 / 12  # reading scattered rows costs about this much more than one pass over all
_NOISE = 1e-12  # what float64 leaves of the distance of two vectors in the same direction
_SAFE_NORMS = (1e-30, 1e36)  # outside, float32 products may vanish or overflow
_MAX_FLOAT32 = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Hit:
    """A vector that was found. Hits are in order by `order` and then by key; all numbers are float32 values."""

    key: str
    slot: int
    order: float
    distance: float | None = None
    fused: float | None = None
    bm25: tuple[tuple[str, float], ...] = ()  # (metadata key, score) of the texts that matched


@dataclass(frozen=True, eq=False)
class Candidates:
    """What a search looks at: all rows of the index and which of them count."""

    rows: NDArray[np.float32]
    norms: Distances
    keys: Sequence[str]
    mask: NDArray[np.bool_]


class Ranking:
    """Distances to one query vector."""

    def __init__(self, metric: str, query: NDArray[np.float32]) -> None:
        self._cosine = metric == "cosine"
        self._query = query.astype(np.float64)
        self._norm = float(lengths(query[np.newaxis])[0])
        self._unit = (self._query / (self._norm or 1.0)).astype(np.float32)
        # Rounding of a float32 dot product of n terms is at most n·2⁻²⁴ of the product of the lengths, however it
        # is summed; the rest covers rounding of the query and of the final distance.
        self._error = (len(query) + 16) * 2.0**-24

    def nearest(self, among: Candidates, count: int) -> list[Hit]:
        """The `count` nearest in order."""
        slots = np.flatnonzero(among.mask)
        low, high = self._bounds(among, slots)
        hits = self._exact(among, slots[low <= _smallest(high, count)])
        return in_order(hits)[:count]

    def _bounds(self, among: Candidates, slots: NDArray[np.intp]) -> tuple[Distances, Distances]:
        """Between what the distance (euclidean: its square) of each slot lies."""
        norms = among.norms[slots]
        dots = self._dots(among.rows, slots).astype(np.float64)
        with np.errstate(all="ignore"):
            if self._cosine:
                middle, spread = 1 - dots / norms, np.full(len(slots), self._error)
            else:
                middle = norms**2 + self._norm**2 - 2 * self._norm * dots
                spread = self._error * (norms + self._norm) ** 2
        low, high = middle - spread, middle + spread
        unsafe = ~_is_safe(norms) | ~_is_safe(self._norm)
        low[unsafe], high[unsafe] = -np.inf, np.inf
        return low, high

    def _dots(self, rows: NDArray[np.float32], slots: NDArray[np.intp]) -> NDArray[np.float32]:
        with np.errstate(all="ignore"):  # rows of empty slots hold anything
            if len(slots) and len(slots) > _GATHER_BELOW * (slots[-1] + 1):
                return np.asarray((rows[: slots[-1] + 1] @ self._unit)[slots])
            parts = [rows[part] @ self._unit for part in _parts(slots)]
        return np.concatenate(parts) if parts else np.empty(0, np.float32)

    def _exact(self, among: Candidates, slots: NDArray[np.intp]) -> list[Hit]:
        hits = []
        for part in _parts(slots):
            distances = self._distances(among.rows[part].astype(np.float64), among.norms[part])
            narrow = np.minimum(distances, _MAX_FLOAT32).astype(np.float32)
            pairs = zip(narrow.tolist(), part.tolist(), strict=True)
            hits += [Hit(among.keys[slot], slot, distance, distance) for distance, slot in pairs]
        return hits

    def _distances(self, rows: NDArray[np.float64], norms: Distances) -> Distances:
        if not self._cosine:
            apart = rows - self._query
            return np.asarray(np.sqrt((apart * apart).sum(axis=1)))
        distances = 1 - (rows * self._query).sum(axis=1) / (norms * self._norm)
        return np.where(distances < _NOISE, 0.0, np.minimum(distances, 2.0))


def in_order(hits: Iterable[Hit]) -> list[Hit]:
    return sorted(hits, key=lambda each: (each.order, each.key))


def _is_safe(norms: Distances | float) -> NDArray[np.bool_]:
    return np.logical_and(np.greater(norms, _SAFE_NORMS[0]), np.less(norms, _SAFE_NORMS[1]))


def _smallest(values: Distances, count: int) -> float:
    """The `count`-th smallest, infinity where there are fewer."""
    return float(np.partition(values, count - 1)[count - 1]) if len(values) >= count else np.inf


def _parts(slots: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    return (slots[start : start + _ROWS_AT_ONCE] for start in range(0, len(slots), _ROWS_AT_ONCE))

"""The pages of a query: its results are ranked once, for the first page, and the others read on from there.

So a write in between neither repeats a result nor shifts the rest. What was deleted since, or no longer meets the
filter, is left out of the pages to come.

A ranking that was let go of, by a restart or because many others came, is made again and read on after the place that
the token names.
"""

import math
import secrets
import struct
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from local.s3vectors.ranking import Hit
from local.s3vectors.tokens import make_token, read_token

_KEPT = 32
_PLACE = struct.Struct("<8sId")  # the ranking's id, hits read so far, order of the last; its key follows


@dataclass(frozen=True)
class Place:
    """Where a page ended: after `read` hits of a ranking."""

    ranking: bytes
    read: int
    last: tuple[float, str]  # order and key of the last of them

    def beyond(self, hits: Sequence[Hit]) -> "Place":
        """After these hits more."""
        return Place(self.ranking, self.read + len(hits), (hits[-1].order, hits[-1].key))


class Rankings:
    """The rankings that have pages left, the latest ones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, tuple[int, Sequence[Hit]]] = OrderedDict()

    def keep(self, place: Place, hits: Sequence[Hit]) -> None:
        """Remember what comes after a place."""
        with self._lock:
            self._kept[place.ranking] = place.read, hits
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)

    def after(self, place: Place) -> Sequence[Hit] | None:
        """The hits after a place, None where the ranking is gone."""
        with self._lock:
            if place.ranking not in self._kept:
                return None
            self._kept.move_to_end(place.ranking)
            start, hits = self._kept[place.ranking]
        return hits[place.read - start :] if place.read >= start else None


def first_place() -> Place:
    return Place(secrets.token_bytes(8), 0, (-math.inf, ""))


def place_token(place: Place, *request: Any) -> str:
    order, key = place.last
    return make_token(_PLACE.pack(place.ranking, place.read, order) + key.encode(), *request)


def read_place(token: str, *request: Any) -> Place:
    """The place in a token; a ValidationException where it is of another request."""
    raw = read_token(token, *request)
    ranking, read, order = _PLACE.unpack_from(raw)
    return Place(ranking, read, (order, raw[_PLACE.size :].decode()))

"""What `next` holds: where the search goes on in each profile's index, and the groups that were shown."""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lambdas.search.errors import RequestError
from lambdas.search.requests import SearchRequest

NAME_BYTES = 8  # of a shown group's hash: two of the 10,000 that there can be are the same once in 10^11 searches


class Place(NamedTuple):
    """In one profile's index: the service's token of a page (None: the first), how many groups came before it, and
    whether there is nothing more."""

    token: str | None = None
    passed: Annotated[int, Field(ge=0)] = 0
    done: bool = False


@dataclass(frozen=True)
class Cursor:
    """The places by the profiles' short names, and short hashes of the shown groups' names."""

    places: Mapping[str, Place] = field(default_factory=dict)
    seen: frozenset[bytes] = frozenset()

    def place(self, profile: str) -> Place:
        return self.places.get(profile, Place())

    def has_shown(self, name: str) -> bool:
        return short(name) in self.seen

    def beyond(self, places: Mapping[str, Place], shown: Iterable[str]) -> "Cursor | None":
        """After these groups; None where every profile is done."""
        if all(place.done for place in places.values()):
            return None
        return Cursor(places, self.seen | {short(name) for name in shown})

    def token(self, request: SearchRequest, owner: str | None) -> str:
        seen = base64.b64encode(b"".join(sorted(self.seen))).decode()
        written = _Written(of=_name(request, owner), places=dict(self.places), seen=seen)
        return base64.urlsafe_b64encode(written.model_dump_json().encode()).decode()


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid")

    of: str
    places: dict[str, Place]
    seen: str


def short(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=NAME_BYTES).digest()


def read_cursor(request: SearchRequest, owner: str | None) -> Cursor:
    """Where the request goes on; RequestError where its `next` is of another request, or another owner's."""
    if request.next is None:
        return Cursor()
    try:
        written = _Written.model_validate_json(base64.urlsafe_b64decode(request.next))
        seen = base64.b64decode(written.seen, validate=True)
    except (ValidationError, binascii.Error, ValueError) as error:
        raise RequestError("this is no `next` of ours", "next") from error
    if written.of != _name(request, owner):
        raise RequestError("this `next` belongs to another search", "next")
    return Cursor(written.places, frozenset(seen[at : at + NAME_BYTES] for at in range(0, len(seen), NAME_BYTES)))


def _name(request: SearchRequest, owner: str | None) -> str:
    """Of a search, however many hits a page of it shows."""
    asked = orjson.dumps([owner, request.model_dump(exclude={"next", "top_k"})], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(asked).hexdigest()[:16]

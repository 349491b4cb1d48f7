"""Page tokens: where a list goes on, bound to the request it belongs to. Nothing is kept, so they outlive a restart."""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import orjson

from local.s3vectors.errors import invalid

_MARK_BYTES = 8


def make_token(position: bytes, *request: Any) -> str:
    """A token for the next page of the request that `request` (JSON values) identifies."""
    return urlsafe_b64encode(_mark(position, request) + position).decode()


def read_token(token: str, *request: Any) -> bytes:
    """The position in a token; a token of another request, or a changed one, is refused, as the service does."""
    try:
        raw = urlsafe_b64decode(token.encode())
    except ValueError:
        raw = b""
    mark, position = raw[:_MARK_BYTES], raw[_MARK_BYTES:]
    if mark != _mark(position, request):
        raise invalid("Invalid nextToken", "nextToken", "The token does not belong to this request")
    return position


def _mark(position: bytes, request: tuple[Any, ...]) -> bytes:
    digest = hashlib.blake2b(orjson.dumps(request, option=orjson.OPT_SORT_KEYS), digest_size=_MARK_BYTES)
    digest.update(position)
    return digest.digest()

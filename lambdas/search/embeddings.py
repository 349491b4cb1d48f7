"""The vector of a question: one call of the model for each of its parts, or none where the vector is stored already.

An embedding is kept as long as the function is warm, by a hash of the model, the purpose and the whole content.
"""

import base64
import binascii
import hashlib
import math
import re
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import mul
from typing import TYPE_CHECKING, Any

import orjson
from botocore.exceptions import ClientError

from lambdas.search.caller import Caller
from lambdas.search.errors import RequestError
from lambdas.search.formats import NAMES, TAKEN, format_of
from lambdas.search.listing import known
from lambdas.search.requests import AssetPart, Medium, Query, QueryVector
from lambdas.shared.assets import vector_key
from lambdas.shared.catalog import Catalog
from lambdas.shared.errors import BadInputError
from lambdas.shared.kinds import HEAD_BYTES
from lambdas.shared.lengths import audio_length
from lambdas.shared.nova import IMAGE_BYTES, MAX_SECONDS, SYNC_MEDIA_BYTES, SYNC_MEDIA_SECONDS, Nova
from lambdas.shared.profiles import Profile, Profiles
from lambdas.shared.records import Head
from lambdas.shared.vectors import KEYS_A_GET, StoredVector, Stores, problem_of

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient
    from mypy_boto3_s3 import S3Client

INLINE_BYTES = 4_000_000  # as base64 they fit into the 6 MB of a Lambda's event beside the rest; API Gateway takes 10
KEPT = 256
QUERY_PREFIX = "query/"
ISSUED = re.compile(rf"{QUERY_PREFIX}[0-9a-f]{{40}}")

Vector = Sequence[float]
WAY_OUT = 'upload it: POST /uploads {"purpose": "query"} gives a key, which is then its `upload`'


class Kept:
    """The latest embeddings, `KEPT` at most; safe across threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._vectors: OrderedDict[bytes, Vector] = OrderedDict()

    def get(self, name: bytes, make: Callable[[], Vector]) -> Vector:
        """What is kept under this name, or is made now."""
        with self._lock:
            if name in self._vectors:
                self._vectors.move_to_end(name)
                return self._vectors[name]
        vector = array("d", make())
        with self._lock:
            self._vectors[name] = vector
            while len(self._vectors) > KEPT:
                self._vectors.popitem(last=False)
        return vector


@dataclass(frozen=True)
class Source:
    """A medium as the model takes it; `name` is a hash of all of its content."""

    kind: str
    media_format: str
    content: Mapping[str, Any]
    name: str


@dataclass(frozen=True)
class Embeddings:
    """The clients behind a question's vector."""

    profiles: Profiles
    bedrock: "BedrockRuntimeClient"
    stores: Stores
    catalog: Catalog
    s3: "S3Client"
    query_bucket: str
    kept: Kept = field(default_factory=Kept)

    def bound(self, caller: Caller, query: Query) -> str | None:
        """The short name of the one profile that a question is bound to by its stored or given vector; RequestError."""
        names = self.profiles.named
        bound: dict[str, str] = {}
        if query.vector:
            given = query.vector.profile
            found = [name for name, one in names.items() if given in (name, one.name)]
            if not found:
                raise RequestError(
                    f"there is no profile {given[:64]!r}; there is {', '.join(names)}", "query.vector.profile"
                )
            bound["query.vector"] = found[0]
        if query.asset:
            head = self._head(caller, query.asset)
            assert head.live is not None
            bound["query.asset"] = next(name for name, one in names.items() if one.name == head.live.profile)
        if len(set(bound.values())) > 1:
            raise RequestError("the asset and the vector are of two profiles, which do not compare", "query.asset")
        return next(iter(bound.values()), None)

    def sources(self, query: Query) -> dict[str, Source]:
        """The media of a question, read once for all profiles."""
        media = {"image": query.image, "audio": query.audio, "video": query.video}
        return {kind: self._source(kind, medium) for kind, medium in media.items() if medium}

    def vector(
        self, caller: Caller, query: Query, sources: Mapping[str, Source], profile: Profile, purpose: str
    ) -> Vector:
        """Of all parts, under one profile."""
        model = Nova(self.bedrock, profile)
        parts: dict[str, Vector] = {}
        if query.text is not None:
            text = query.text
            parts["text"] = self._keep(profile, purpose, "text", text, lambda: model.embed_text(text, purpose).values)
        for kind, source in sources.items():
            parts[kind] = self._keep(profile, purpose, kind, source.name, partial(_embed, model, source, purpose))
        if query.asset:
            parts["asset"] = self._stored(caller, query.asset)
        if query.vector:
            parts["vector"] = _given(query.vector, profile)
        return fused(parts, query.weights or {})

    def _keep(self, profile: Profile, purpose: str, kind: str, content: str, make: Callable[[], Vector]) -> Vector:
        settings = [profile.model_id, profile.dimension, profile.detail_level, purpose, kind, content]
        try:
            return self.kept.get(hashlib.sha256(orjson.dumps(settings)).digest(), make)
        except BadInputError as error:
            limits = f"; taken is {TAKEN[kind]}" if kind in TAKEN else ""
            raise RequestError(f"the model does not take it: {error}{limits}", f"query.{kind}") from error

    # -- media -----------------------------------------------------------------------------------------------------

    def _source(self, kind: str, medium: Medium) -> Source:
        place = f"query.{kind}"
        if (medium.base64 is None) == (medium.upload is None):
            raise RequestError("a medium has either `base64` or `upload`", place)
        if medium.upload is not None:
            return self._uploaded(kind, medium.upload, f"{place}.upload")
        raw = _decoded(medium.base64 or "", f"{place}.base64")
        media_format = _checked_format(kind, raw[:HEAD_BYTES], f"{place}.base64")
        _check_length(kind, media_format, len(raw), lambda at, count: raw[at : at + count], f"{place}.base64")
        content = {"bytes": base64.b64encode(raw).decode()}
        return Source(kind, media_format, content, hashlib.sha256(raw).hexdigest())

    def _uploaded(self, kind: str, key: str, place: str) -> Source:
        if not ISSUED.fullmatch(key):
            raise RequestError('this is no upload: POST /uploads {"purpose": "query"} gives a key', place)
        try:
            found = self.s3.head_object(Bucket=self.query_bucket, Key=key)
        except ClientError as error:  # without the right to list, S3 says 403 of what is not there
            if error.response["ResponseMetadata"]["HTTPStatusCode"] in (403, 404):
                raise RequestError("nothing is uploaded under this key, or it was over a day ago", place) from error
            raise
        size, etag = found["ContentLength"], found["ETag"]

        def read(at: int, count: int) -> bytes:
            if at >= size:
                return b""
            asked = f"bytes={at}-{min(at + count, size) - 1}"
            return self.s3.get_object(Bucket=self.query_bucket, Key=key, Range=asked, IfMatch=etag)["Body"].read()

        media_format = _checked_format(kind, read(0, HEAD_BYTES), place)
        _check_length(kind, media_format, size, read, place)
        uri = {"s3Location": {"uri": f"s3://{self.query_bucket}/{key}"}}
        return Source(kind, media_format, uri, f"{key} {etag}")

    # -- what is stored ----------------------------------------------------------------------------------------------

    def _head(self, caller: Caller, part: AssetPart) -> Head:
        try:
            head = known(self.catalog, caller, part.asset_id)
        except RequestError as error:
            raise RequestError(error.message, "query.asset.asset_id", code="not_found", status=404) from error
        if part.start is not None and part.page is not None:
            raise RequestError("a part has either `start` or `page`", "query.asset")
        if head.live is None or self.profiles.of(head.live.profile) is None:
            raise RequestError(f"nothing of this asset is indexed: it is {head.status}", "query.asset.asset_id")
        return head

    def _stored(self, caller: Caller, part: AssetPart) -> Vector:
        head = self._head(caller, part)
        found = self._of_place(head, part)
        if not found:
            place = "page" if part.page is not None else "start" if part.start is not None else "asset_id"
            raise RequestError("no indexed part of this asset is there", f"query.asset.{place}")
        return mean([(normalised(one.values), 1.0) for one in found])

    def _of_place(self, head: Head, part: AssetPart) -> list[StoredVector]:
        """Where numbers follow places evenly the first look finds it; else all parts are looked at."""
        assert head.live is not None
        store = self.stores[head.live.profile]

        def keys(numbers: Callable[[int], Iterable[int]]) -> list[str]:
            made = ((name, number) for name, last in sorted(head.extent.items()) for number in numbers(last))
            return [vector_key(head.asset_id, head.live_generation or "", name, number) for name, number in made]

        if part.start is None and part.page is None:
            return list(store.stored(keys(lambda last: spread(last, KEYS_A_GET // len(head.extent)))))
        near = list(store.stored(keys(lambda last: _near(head, part, last))))
        if found := [one for one in near if _is_at(one.metadata, part)]:
            return found
        places = store.existing(keys(lambda last: range(last + 1)))
        return list(store.stored([key for key, metadata in places.items() if _is_at(metadata, part)]))


def fused(parts: Mapping[str, Vector], weights: Mapping[Any, float]) -> Vector:
    """The mean of the parts as vectors of length 1, each as heavy as its weight; a single part as it is."""
    for name in weights:
        if name not in parts:
            raise RequestError(f"the query has no {name} to be weighed", f"query.weights.{name}")
    weighed = [(normalised(vector), weights.get(name, 1.0)) for name, vector in parts.items()]
    if not any(weight for _, weight in weighed):
        raise RequestError("some weight must be more than 0", "query.weights")
    if len(parts) == 1:
        return next(iter(parts.values()))
    return mean(weighed)


def mean(weighed: Sequence[tuple[Vector, float]]) -> Vector:
    """Of vectors with their weights, at length 1."""
    if len(weighed) == 1:
        return weighed[0][0]
    weights = [weight for _, weight in weighed]
    columns = zip(*(vector for vector, _ in weighed), strict=True)
    total = [sum(map(mul, weights, column)) for column in columns]
    if math.hypot(*total) < 1e-9:
        raise RequestError("the parts of the query cancel each other out", "query")
    return normalised(total)


def normalised(vector: Vector) -> list[float]:
    """At length 1."""
    length = math.hypot(*vector)
    return [value / length for value in vector]


def spread(last: int, count: int) -> list[int]:
    """At most `count` of the numbers 0 to `last`, evenly."""
    return (
        sorted({number * last // max(1, count - 1) for number in range(count)})
        if last >= count
        else list(range(last + 1))
    )


def _near(head: Head, part: AssetPart, last: int) -> range:
    if part.page is not None:
        guess = part.page - 1
    else:
        assert head.live is not None
        guess = int(min(part.start or 0, MAX_SECONDS) * (last + 1) / (head.live.duration or 1))
    return range(max(0, min(guess, last) - 1), min(last, guess + 1) + 1)


def _is_at(metadata: Mapping[str, Any], part: AssetPart) -> bool:
    if part.page is not None:
        return bool(metadata.get("_page") == part.page)
    start = part.start or 0
    return "_start" in metadata and metadata["_start"] <= start < metadata.get("_end", math.inf)


def _embed(model: Nova, source: Source, purpose: str) -> Vector:
    return model.embed_query(source.kind, source.media_format, source.content, purpose).values


def _given(given: QueryVector, profile: Profile) -> Vector:
    if problem := problem_of(given.values, profile.dimension):
        raise RequestError(problem.replace("the model answered with", "this is"), "query.vector.values")
    return given.values


def _decoded(text: str, place: str) -> bytes:
    if len(text) > INLINE_BYTES * 4 // 3 + 4:
        raise RequestError(f"inline a medium has at most {INLINE_BYTES // 1_000_000} MB; {WAY_OUT}", place)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError("this is not base64", place) from error


def _checked_format(kind: str, head: bytes, place: str) -> str:
    found = format_of(head)
    if found is None:
        raise RequestError(f"this is not {NAMES[kind]}; taken is {TAKEN[kind]}", place)
    if found.kind != kind:
        raise RequestError(f"this is {NAMES[found.kind]}: ask with it as `query.{found.kind}`", place)
    if found.name is None:
        raise RequestError(f"the model does not take this format of {NAMES[kind]}; taken is {TAKEN[kind]}", place)
    return found.name


def _check_length(kind: str, media_format: str, size: int, read: Callable[[int, int], bytes], place: str) -> None:
    if size > (IMAGE_BYTES if kind == "image" else SYNC_MEDIA_BYTES):
        raise RequestError(f"this is too large: taken is {TAKEN[kind]}", place)
    if kind != "audio":  # how long a film is, the model says
        return
    try:
        seconds = audio_length(media_format, size, read).seconds
    except BadInputError as error:
        raise RequestError(str(error), place) from error
    if seconds > SYNC_MEDIA_SECONDS:
        raise RequestError(f"it lasts {seconds:.0f} seconds, and {SYNC_MEDIA_SECONDS} are the most: cut it", place)

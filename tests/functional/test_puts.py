"""Puts over the wire to the laptop's S3 Vectors: their number, their size, and what happens when it says no."""

import io
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.wrappers import Request, Response

from lambdas.shared import clients
from lambdas.shared.assets import Segment, StoredObject, Work
from lambdas.shared.errors import RefusedError, ThrottledError
from lambdas.shared.metadata import Attributes, attributes_of
from lambdas.shared.nova import read_lines
from lambdas.shared.vectors import BODY_BYTES, Vector, VectorStore, make_vector
from lambdas.shared.writing import Described, vectors_of
from local.auth import Keyring
from local.clients import Clients
from local.front import Front
from local.http import HttpServer
from local.s3vectors import S3Vectors
from local.state import State
from local.wire import AwsError, Caller

INDEX = {"vectorBucketName": "films", "indexName": "scenes"}
INDEX_ARN = "arn:aws:s3vectors:us-east-1:000000000000:bucket/films/index/scenes"
COMMON = b'"_size":7'
OURS = ["_uri", "_text", "_title"]
BUSY = AwsError("ServiceUnavailableException", "Currently unable to handle the request", 503)


class WatchedVectors:
    """The laptop's S3 Vectors, which remembers the bodies of puts; `refuse` says which it answers with an error."""

    def __init__(self, folder: Path, dimension: int) -> None:
        self.bodies: list[int] = []
        self.refuse: Callable[[Request], AwsError | None] = lambda request: None
        self._state = State(folder)
        self._service = S3Vectors(self._state)
        keyring = Keyring(folder)
        self._server = HttpServer(Front({"s3vectors": self}, keyring, lambda name, *_: pytest.fail(name)), 0)
        self._server.start()
        self.url = self._server.url
        self.client = Clients(self.url, keyring).get("s3vectors", None)
        self.client.create_vector_bucket(vectorBucketName="films")
        self.client.create_index(
            **INDEX,
            dataType="float32",
            dimension=dimension,
            distanceMetric="cosine",
            metadataConfiguration={"nonFilterableMetadataKeys": OURS},
        )
        self.store = VectorStore(self.client, INDEX_ARN)

    def __call__(self, request: Request, caller: Caller) -> Response:
        if request.path == "/PutVectors":
            self.bodies.append(request.content_length or 0)
            if error := self.refuse(request):
                return Response(json.dumps({"message": error.message}), error.status, {"x-amzn-errortype": error.code})
        return self._service(request, caller)

    def keys(self) -> list[str]:
        pages = self.client.get_paginator("list_vectors").paginate(**INDEX)
        return [vector["key"] for page in pages for vector in page["vectors"]]

    def close(self) -> None:
        self._server.stop()
        self._state.close()


@pytest.fixture
def wide(tmp_path: Path) -> Iterator[WatchedVectors]:
    service = WatchedVectors(tmp_path, 3072)
    yield service
    service.close()


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[WatchedVectors]:
    service = WatchedVectors(tmp_path, 4)
    yield service
    service.close()


def as_in_lambda(service: WatchedVectors, monkeypatch: pytest.MonkeyPatch) -> VectorStore:
    """A store over a client with the functions' own settings, which repeats calls."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", service.url)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "local")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    clients.s3vectors.cache_clear()
    store = VectorStore(clients.s3vectors(), INDEX_ARN)
    clients.s3vectors.cache_clear()
    return store


def stored(key: str = "a/film.mp4", metadata: dict[str, str] | None = None) -> StoredObject:
    return StoredObject("media", key, "v1", "etag", 10**12, 1_800_000_000, metadata or {})


def work(one: StoredObject) -> Work:
    return Work(one.asset_id, "0123456789abcdef", 0)


def numbered(count: int) -> list[Vector]:
    return [
        make_vector(work(stored()), "AUDIO", number, b"[1,2,3,4]", COMMON, {"_start": 1.0}) for number in range(count)
    ]


def put_all(store: VectorStore, vectors: Iterable[Vector]) -> None:
    for batch in store.batches(vectors):
        store.put(batch)


def test_720_segments_of_3072_numbers_are_three_puts_below_20_mib(wide: WatchedVectors) -> None:
    rng = np.random.default_rng(7)
    embeddings = rng.standard_normal((720, 3072)) / 55
    lines = [
        orjson.dumps(
            {"embedding": embedding.tolist(), "segmentMetadata": {"segmentIndex": number}, "status": "SUCCESS"}
        )
        for number, embedding in enumerate(embeddings)
    ]
    assert sum(map(len, lines)) > 45_000_000
    segments = [part for part in read_lines(io.BytesIO(b"\n".join(lines)), "AUDIO", 3072) if isinstance(part, Segment)]
    one = stored()
    put_all(wide.store, vectors_of(Described(work(one), "profile", one, "audio", 3600.0, Attributes(), segments)))
    assert len(wide.bodies) == 3 and max(wide.bodies) <= BODY_BYTES
    assert len(wide.keys()) == 720
    key = f"{one.asset_id}/0123456789abcdef/AUDIO/719"
    (found,) = wide.client.get_vectors(**INDEX, keys=[key], returnData=True, returnMetadata=True)["vectors"]
    assert np.array_equal(np.float32(found["data"]["float32"]), np.float32(embeddings[719]))
    assert found["metadata"]["_prefix"] == "a/" and found["metadata"]["_duration"] == 3600


def test_what_is_too_much_at_once_goes_in_halves(narrow: WatchedVectors) -> None:
    narrow.refuse = lambda request: BUSY if len(json.loads(request.get_data())["vectors"]) > 60 else None
    put_all(narrow.store, numbered(200))
    assert len(narrow.keys()) == 200


@pytest.mark.parametrize("code", ["ServiceUnavailableException", "TooManyRequestsException"])
def test_a_service_that_stays_busy_is_a_throttle(narrow: WatchedVectors, code: str) -> None:
    narrow.refuse = lambda request: AwsError(code, "not now", 503 if code.startswith("Service") else 429)
    with pytest.raises(ThrottledError, match="not now"):
        put_all(narrow.store, numbered(2))


@pytest.mark.parametrize(("code", "status"), [("ServiceUnavailableException", 503), ("TooManyRequestsException", 429)])
def test_a_put_that_meets_a_busy_service_once_is_repeated_whole(
    narrow: WatchedVectors, monkeypatch: pytest.MonkeyPatch, code: str, status: int
) -> None:
    errors = iter([AwsError(code, "not now", status)])
    narrow.refuse = lambda request: next(errors, None)
    put_all(as_in_lambda(narrow, monkeypatch), numbered(30))
    assert len(narrow.keys()) == 30 and len(narrow.bodies) == 2 and len(set(narrow.bodies)) == 1


def test_what_stays_too_much_goes_in_halves_with_a_client_that_repeats(
    narrow: WatchedVectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow.refuse = lambda request: BUSY if len(json.loads(request.get_data())["vectors"]) > 30 else None
    put_all(as_in_lambda(narrow, monkeypatch), numbered(40))
    assert len(narrow.keys()) == 40 and len(narrow.bodies) == 3 + 1 + 1


def test_a_refusal_tells_what_the_service_says(narrow: WatchedVectors) -> None:
    wrong = make_vector(work(stored()), "AUDIO", 0, b"[1,2,3]", COMMON, {"_type": "AUDIO"})
    with pytest.raises(RefusedError, match="must have length 4, but has length 3"):
        put_all(narrow.store, [wrong])
    narrow.client.put_vectors(**INDEX, vectors=[{"key": "plain", "data": {"float32": [1, 2, 3, 4]}}])
    assert narrow.keys() == ["plain"]  # another user of the same client sends what he gives it


RUN = st.builds(lambda character, count: character * count, st.sampled_from("aé漢\x01"), st.integers(0, 1500))
TEXT = RUN | st.text(st.characters(codec="utf-8"), max_size=100)
KEYS = st.builds("{}/{}".format, TEXT, TEXT).map(lambda key: key.encode()[:1024].decode("utf-8", "ignore"))
NAMES = st.text("abcxyz-_0", min_size=1, max_size=80)


@given(
    key=KEYS,
    metadata=st.dictionaries(NAMES, TEXT, max_size=60),
    passage=st.text(st.sampled_from('a漢\U0001f600\x01"'), min_size=1).map(lambda text: (text * 5000)[:5000]),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_whatever_a_file_is_called_and_says_its_metadata_is_within_the_limits(
    narrow: WatchedVectors, key: str, metadata: dict[str, str], passage: str
) -> None:
    one = stored(key, metadata)
    places = {"start": 7199.999, "end": 7200.0, "start_char": 999_999_999, "end_char": 999_999_999}
    segment = Segment(9999, "AUDIO_VIDEO_COMBINED", b"[1,2,3,4]", **places, text=passage)
    put_all(
        narrow.store,
        vectors_of(
            Described(work(one), "profile", one, "document", 7200.0, attributes_of(one.key, metadata), [segment])
        ),
    )

"""How vectors are cut into calls, and what a vector is: laws, for any sizes and any numbers."""

from itertools import accumulate
from typing import Any

import boto3
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdas.shared.assets import Work
from lambdas.shared.vectors import BODY_BYTES, VECTORS_A_CALL, Vector, VectorStore, make_vector

INDEX_ARN = "arn:aws:s3vectors:us-east-1:000000000000:bucket/films/index/scenes"
STORE = VectorStore(boto3.client("s3vectors", region_name="us-east-1"), INDEX_ARN)
COMMON = b'"_size":7'
WORK = Work("a" * 20, "0" * 16, 3)


@st.composite
def vectors(draw: st.DrawFn) -> list[Vector]:
    dimension = draw(st.sampled_from([8, 256, 3072]))
    count = draw(st.integers(0, 700 if dimension < 3072 else 520))
    number = draw(st.sampled_from([0.5, 0.12345678901234567, -1.2345e-17, 1.0]))
    text = draw(st.sampled_from(["", "a" * 4000, "漢" * 4000, '"\\' * 1000]))
    array = orjson.dumps([number] * dimension)
    return [make_vector(WORK, "AUDIO", index, array, COMMON, {"_text": text, "_start": 1.5}) for index in range(count)]


@given(vectors())
@settings(max_examples=15, deadline=None)
def test_every_call_is_within_the_limits_and_nothing_is_lost_or_reordered(made: list[Vector]) -> None:
    read: list[Any] = []
    for batch in STORE.batches(made):
        assert 0 < len(batch.entries) <= VECTORS_A_CALL and len(batch.close()) <= BODY_BYTES
        body = orjson.loads(batch.close())
        assert body.keys() == {"indexArn", "vectors"} and body["indexArn"] == INDEX_ARN
        read += body["vectors"]
        some = batch.with_only(batch.entries[::2])
        assert orjson.loads(some.close())["vectors"] == body["vectors"][::2]
    assert read == [orjson.loads(opening + array + b"}}") for *_, opening, array in made]


@given(vectors())
@settings(max_examples=10, deadline=None)
def test_a_call_is_only_ended_by_what_has_no_room_in_it(made: list[Vector]) -> None:
    counts = [len(batch.entries) for batch in STORE.batches(made)]
    for at, count in zip(accumulate(counts[:-1]), counts[:-1], strict=True):
        size = sum(len(opening) + len(array) + 3 for *_, opening, array in made[at - count : at + 1])
        assert count == VECTORS_A_CALL or size + 200 > BODY_BYTES


def test_a_vector_that_is_larger_than_a_call_is_said_so() -> None:
    with pytest.raises(ValueError, match="larger than a call"):
        list(STORE.batches([make_vector(WORK, "AUDIO", 0, b"[1]", COMMON, {"_text": "x" * BODY_BYTES})]))

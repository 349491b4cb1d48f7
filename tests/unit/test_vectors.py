"""How vectors are cut into calls: a law, for any sizes."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lambdas.shared.vectors import BODY_BYTES, VECTORS_A_CALL, batches, wire_size


@st.composite
def vectors(draw: st.DrawFn) -> list[dict[str, Any]]:
    dimension = draw(st.sampled_from([8, 256, 3072]))
    count = draw(st.integers(0, 700 if dimension < 3072 else 520))
    number = draw(st.sampled_from([0.5, 0.12345678901234567, -1.2345e-17, 1.0]))
    text = draw(st.sampled_from(["", "a" * 4000, "漢" * 4000, '"\\' * 1000]))
    return [
        {"key": f"a/b/AUDIO/{index}", "data": {"float32": [number] * dimension}, "metadata": {"_text": text}}
        for index in range(count)
    ]


@given(vectors())
@settings(max_examples=15, deadline=None)
def test_every_call_is_within_the_limits_and_nothing_is_lost_or_reordered(given_vectors: list[dict[str, Any]]) -> None:
    calls = list(batches(given_vectors))
    assert [vector for call in calls for vector in call] == given_vectors
    for call in calls:
        assert 0 < len(call) <= VECTORS_A_CALL
        assert len(json.dumps({"indexArn": "x" * 200, "vectors": call})) <= BODY_BYTES


@given(vectors())
@settings(max_examples=10, deadline=None)
def test_a_vector_is_never_larger_on_the_wire_than_reckoned(given_vectors: list[dict[str, Any]]) -> None:
    for vector in given_vectors[:3]:
        assert len(json.dumps(vector)) <= wire_size(vector)

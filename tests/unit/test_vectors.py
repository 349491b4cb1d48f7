"""How vectors are cut into calls, and what a vector is: laws, for any sizes and any numbers."""

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdas.shared.assets import Work
from lambdas.shared.vectors import BODY_BYTES, VECTORS_A_CALL, Vector, batches, make_vector

WORK = Work("a" * 20, "0" * 16, 3)


@st.composite
def vectors(draw: st.DrawFn) -> list[Vector]:
    dimension = draw(st.sampled_from([8, 256, 3072]))
    count = draw(st.integers(0, 700 if dimension < 3072 else 520))
    number = draw(st.sampled_from([0.5, 0.12345678901234567, -1.2345e-17, 1.0]))
    text = draw(st.sampled_from(["", "a" * 4000, "漢" * 4000, '"\\' * 1000]))
    array = orjson.dumps([number] * dimension)
    return [make_vector(WORK, "AUDIO", index, array, {"_text": text, "_start": 1.5}) for index in range(count)]


@given(vectors())
@settings(max_examples=15, deadline=None)
def test_every_call_is_within_the_limits_and_nothing_is_lost_or_reordered(made: list[Vector]) -> None:
    calls = list(batches(made))
    assert [vector for call in calls for vector in call] == made
    for call in calls:
        assert 0 < len(call) <= VECTORS_A_CALL
        assert sum(vector.size for vector in call) + 300 <= BODY_BYTES

"""A line of a job's JSONL becomes a vector or a failure exactly as a plain reading of it would."""

import io
import json
import math
import struct
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lambdas.shared.assets import FailedSegment, Segment
from lambdas.shared.nova import LINE_BYTES, read_line, read_lines
from lambdas.shared.vectors import NO_DIRECTION, NO_VECTOR, NOT_FINITE

DIMENSION = 4


def read_plainly(line: bytes) -> list[float] | str:
    """What a line holds: its numbers as float32, or the reason why it holds none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return "the model's answer for this part is not JSON"
    if not isinstance(record, dict):
        return "the model's answer for this part is not an object"
    if record.get("status", "SUCCESS") != "SUCCESS":
        return "the model"
    numbers = record.get("embedding")
    if not isinstance(numbers, list):
        return NO_VECTOR
    if len(numbers) != DIMENSION:
        return f"the model answered with {len(numbers)} numbers instead of {DIMENSION}"
    if not all(isinstance(number, int | float) for number in numbers):
        return NO_VECTOR
    rounded = [as_float32(number) for number in numbers]
    if not all(map(math.isfinite, rounded)):
        return NOT_FINITE
    if any(isinstance(number, bool) for number in numbers):
        return NO_VECTOR if any(rounded) else NO_DIRECTION
    return rounded if any(rounded) else NO_DIRECTION


def as_float32(number: float) -> float:
    try:
        return float(struct.unpack("f", struct.pack("f", float(number)))[0])
    except OverflowError:
        return math.inf


def outcome(part: Segment | FailedSegment) -> list[float] | str:
    if isinstance(part, FailedSegment):
        return part.reason
    return [as_float32(number) for number in json.loads(bytes(part.embedding))]


# Every text of a JSON number, what is none, and what Python's json takes though it is none.
DIGITS = st.text("0123456789", min_size=1, max_size=45)
NO_JSON = [
    "NaN",
    "Infinity",
    "-Infinity",
    "01",
    ".5",
    "5.",
    "+1",
    "--1",
    "1e",
    "0x1",
    "1_0",
    "-",
    "nan",
    "1.5.2",
    "1 2",
]
TOO_LARGE = ["1e400", "-1e400", "1e39", "3.4028235e38", "3.4028236e38", "1" * 5000, "9" * 310]
SMALL = ["1e-46", "-0.0", "0", "1e-30", "1e38", "1E5", "1e+5"]
NO_NUMBER = ["true", "false", "null", '"a"', "[1]", "{}", "", "\\u0031"]
ODD = st.sampled_from([*NO_JSON, *TOO_LARGE, *SMALL, *NO_NUMBER])
NUMBER = st.builds(
    lambda sign, whole, part, exponent: f"{sign}{whole}{part}{exponent}",
    st.sampled_from(["", "-"]),
    st.sampled_from(["0", "1", "9"]) | DIGITS,
    st.just("") | DIGITS.map(".{}".format),
    st.just("") | st.builds("{}{}{}".format, st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), DIGITS),
)
FLOAT = st.floats(allow_nan=False, allow_infinity=False).map(repr)
ZERO = st.sampled_from(["0", "0.0", "-0.0", "0e5", "1e-400", "1e-60"])
SPACE = st.sampled_from(["", "", "", " ", "\t", " \r", "\n", "\x0b"])


@st.composite
def arrays(draw: st.DrawFn) -> str:
    kind = draw(st.sampled_from([FLOAT, NUMBER, ZERO, FLOAT | NUMBER | ZERO | ODD]))
    count = draw(st.sampled_from([DIMENSION, DIMENSION, DIMENSION, DIMENSION - 1, DIMENSION + 1, 0]))
    numbers = [draw(SPACE) + draw(kind) + draw(SPACE) for _ in range(count)]
    return "[" + ",".join(numbers) + draw(st.sampled_from(["]", "]", "]", "]", ",]", "", "]]"]))


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """Lines as Nova writes them, with members in any order, twice, of other names; spaces; cut off anywhere."""
    members = [f'"embedding"{draw(SPACE)}:{draw(SPACE)}{draw(arrays())}']
    others = ['"status":"SUCCESS"', '"status":"FAILURE"', '"segmentMetadata":{"segmentIndex":7}', '"x":[1,2,3,4]']
    others += ['"message":"a ] and a \\" and \\ud800"', '"\\u0065mbedding":[4,3,2,1]', '"embedding":[1,2,3,4]']
    others += ['"x":NaN', '"x":{"embedding":[5,6,7,8]}', '"segmentMetadata":{"segmentIndex":7,"x":"é"}', '"x":1e999']
    members += draw(st.lists(st.sampled_from(others), max_size=3))
    if draw(st.integers(0, 3)) == 0:
        members = draw(st.permutations(members))
    text = draw(SPACE) + "{" + draw(SPACE) + ",".join(members) + draw(SPACE) + "}" + draw(SPACE)
    content = text.encode(draw(st.sampled_from(["utf-8"] * 8 + ["utf-16", "utf-8-sig", "latin-1"])))
    return content[: draw(st.integers(0, len(content)))] if draw(st.integers(0, 5)) == 0 else content


@given(lines())
@settings(max_examples=1500, deadline=None)
@example(b'{"embedding":[1,2,3,4],"embedding":[]}')
@example(b'{"embedding":[1,2,3,4],"\\u0065mbedding":[9,9,9,9]}')
@example(b'{"x":"[1,2,3,4]","embedding":[]}')
@example(b'{"embedding":[1,2,3,NaN]}')
@example(b'{"embedding":[1,2,3,1e400]}')
@example(b'{"embedding":[true,1,1,1]}')
@example(b'{"status":"SUCCESS","embedding":[true,1,1,1]}')
@example(b'{"embedding":[5e38,1,1,1]}')
@example(b'{"embedding":[3.4028235e38,3.4028235e38,3.4028235e38,1]}')
@example(b'{"embedding":[1e-46,0,0,-0.0]}')
@example(b'{"embedding":[1e-45,0,0,-0.0]}')
@example(b'{"embedding":[%s,1,1,1]}' % (b"9" * 400))
@example(b'{"embedding":[%s,1,1,1]}' % (b"1" * 5000))
@example(b'{"embedding":%s' % (b"[" * 100_000))
@example(b"\xff\xfe")
@example(b"null")
def test_the_fast_reading_accepts_and_refuses_what_a_plain_one_does_for_the_same_reason(line: bytes) -> None:
    plain = read_plainly(line)
    read = outcome(read_line(line, "AUDIO", DIMENSION, 0))
    if isinstance(plain, str):
        assert isinstance(read, str) and read.startswith(plain)
    else:
        assert read == plain


@given(st.lists(lines(), max_size=8))
@settings(max_examples=100, deadline=None)
def test_no_line_of_a_file_is_lost(content: list[bytes]) -> None:
    text = b"\n".join(line.replace(b"\n", b" ") for line in content)
    parts = list(read_lines(io.BytesIO(text), "AUDIO", DIMENSION))
    assert len(parts) == sum(bool(line.strip()) for line in text.split(b"\n"))


PLACES: list[dict[str, Any]] = [
    {"segmentIndex": -1},
    {"segmentIndex": "3"},
    {"segmentIndex": 1.0},
    {"segmentIndex": True},
    {"segmentIndex": 10**9},
    {"segmentIndex": None},
    {"segmentIndex": 1, "segmentStartSeconds": "0"},
    {"segmentIndex": 1, "segmentStartSeconds": math.nan},
    {"segmentIndex": 1, "segmentEndSeconds": math.inf},
    {"segmentIndex": 1, "segmentEndSeconds": -5},
    {"segmentIndex": 1, "segmentStartCharPosition": 1.5},
    {"segmentIndex": 1, "segmentEndCharPosition": 10**30},
]


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_place_that_cannot_be_is_a_failure_at_the_line_s_position(place: dict[str, Any]) -> None:
    line = json.dumps({"embedding": [1.0] * DIMENSION, "segmentMetadata": place}).encode()
    part = read_line(line, "AUDIO", DIMENSION, 5)
    assert isinstance(part, FailedSegment) and part.number == 5 and "which is no" in part.reason


NESTED = b"[" * 990 + b"]" * 990


@pytest.mark.parametrize(
    "line",
    [
        b'{"status":"FAILURE","failureReason":"X","message":"half a character: \\ud800"}',
        b'{"status":"FAILURE","failureReason":%s}' % NESTED,
        b'{"segmentMetadata":{"segmentIndex":%s}}' % NESTED,
        b'{"segmentMetadata":{"segmentIndex":0,"segmentStartSeconds":%s}}' % NESTED,
    ],
)
def test_what_cannot_be_told_is_a_failure_that_can_be_kept(line: bytes) -> None:
    part = read_line(line, "AUDIO", DIMENSION, 5)
    assert isinstance(part, FailedSegment) and part.reason.encode()


def test_the_text_of_the_numbers_is_what_goes_on() -> None:
    line = b'{"embedding":[1.50, -2e-3,0.1 ,4],"segmentMetadata":{"segmentIndex":2},"status":"SUCCESS"}'
    part = read_line(line, "AUDIO", DIMENSION, 0)
    assert part == Segment(2, "AUDIO", b"[1.50, -2e-3,0.1 ,4]")


def test_a_line_that_never_ends_is_taken_in_pieces() -> None:
    endless = b'{"embedding":[' + b"1," * LINE_BYTES + b"1]}\n"
    good = b'{"embedding":[1,2,3,4],"segmentMetadata":{"segmentIndex":9}}'
    *pieces, last = read_lines(io.BytesIO(endless + good), "AUDIO", DIMENSION)
    assert len(pieces) == 3 and {outcome(piece) for piece in pieces} == {"the model's answer for this part is not JSON"}
    assert outcome(last) == [1, 2, 3, 4]

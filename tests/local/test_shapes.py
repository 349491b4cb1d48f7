"""The patterns in the SDK's models, which are not written for Python's re."""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.model import ListShape, MapShape, Shape, StructureShape
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from local.shapes import input_shape, service_model, violations
from tests.local.test_docs import PAGE

SERVICES = ("s3vectors", "dynamodb", "sqs", "events", "bedrock-runtime", "bedrock")  # which ask `violations`
KINDS_OF_TARGET = re.compile(r"(AppSync|Batch|Ecs|Http|Kinesis|Redshift|RunCommand|SageMaker)\w*Parameters")
"""The laptop offers none of these, and looks into none."""
JOB_NAME = service_model("bedrock").shape_for("ModelInvocationJobName")


def patterned(shape: Shape) -> Iterator[Shape]:
    if "pattern" in shape.metadata:
        yield shape
    if isinstance(shape, StructureShape) and shape.name != "AttributeValue":  # which holds itself
        for name, member in shape.members.items():
            if not KINDS_OF_TARGET.fullmatch(name):
                yield from patterned(member)
    elif isinstance(shape, ListShape):
        yield from patterned(shape.member)
    elif isinstance(shape, MapShape):
        yield from patterned(shape.key)
        yield from patterned(shape.value)


def offered(service: str) -> list[str]:
    row = re.search(rf"^\| {service} \| (.*) \|$", PAGE, re.MULTILINE)
    assert row
    return [name for name in row[1].split(", ") if service_model(service).operation_model(name).input_shape]


def shapes() -> dict[str, Shape]:
    """One for each pattern that a request can meet."""
    inputs = [input_shape(service, operation) for service in SERVICES for operation in offered(service)]
    return {one.metadata["pattern"]: one for each in inputs for one in patterned(each)}


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Ends with an error what takes more of the processor's time."""

    def end(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize("shape", shapes().values(), ids=lambda shape: shape.name)
@settings(max_examples=10, phases=[Phase.generate])
@given(data=st.data())
def test_no_text_holds_up_the_laptop(shape: Shape, data: Any) -> None:
    """What matches, with one letter of it many times over and an end that does not match."""
    pattern = shape.metadata["pattern"].replace(r"\p{L}\p{Z}\p{N}", r"\w")
    text = data.draw(st.from_regex(pattern, fullmatch=True))
    at = data.draw(st.integers(0, max(0, len(text) - 1)))
    with at_most(0.5):
        list(violations(shape, f"{text[:at]}{text[at : at + 1] * 30}\0"))


@given(st.text("aZ9-+._", max_size=12))
def test_a_pattern_that_was_rewritten_takes_what_it_took(text: str) -> None:
    takes = not any(one.rule == "pattern" for one in violations(JOB_NAME, text))
    assert takes == bool(re.fullmatch(JOB_NAME.metadata["pattern"], text))

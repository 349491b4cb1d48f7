"""Nothing that anybody sends makes S3 Vectors fail: requests out of the SDK's model, bent in every way.

`FUZZ_EXAMPLES=5000 pytest tests/local/test_s3vectors_fuzz.py` looks longer.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from random import Random
from typing import Any
from urllib.parse import quote, unquote

import pytest
from botocore.model import ListShape, MapShape, OperationModel, Shape, StringShape, StructureShape
from botocore.validate import ParamValidator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.auth import Keyring
from local.front import Front
from local.http import HttpServer
from local.s3vectors import S3Vectors
from local.s3vectors.control import Quotas
from local.shapes import service_model
from local.state import State
from tests.local import contract
from tests.local.contract import BUCKET, BUCKET_ARN, INDEX, INDEX_ARN, Answer, Json, Wire, usual_request, valid_request

Record = Callable[[str, object], None]
Sent = tuple[str, str, bytes]  # method, target, body
FUZZ = settings(
    deadline=None,
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", 80)),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
# Of no operation: what AWS's front end says before any operation is known or read.
UNKNOWN = {"UnknownOperationException": 404}
DECLARED: dict[str, dict[str, int]] = {
    name: {"SerializationException": 400}
    | {each.code: each.status for each in contract.declared() if each.operation == name}
    for name in contract.operations()
}

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(
    [
        BUCKET,
        INDEX,
        BUCKET_ARN,
        INDEX_ARN,
        f"{BUCKET_ARN}-2",
        "absent",
        "x",
        "A_b",
        "",
        "a" * 64,
        "text",
        "\0",
        "𝕏" * 63,
    ]
)
huge = st.builds(lambda text, times: text * times, st.sampled_from(["x", "é", "𝕏", "\0", "\\", '"']), st.just(1100))
numbers = st.sampled_from([0.0, 1.0, -1e39, 1e-46, 3, True, "NaN", "Infinity", None, 10**400])


def values(shape: Shape) -> st.SearchStrategy[Any]:
    """Mostly what the shape asks for, or nearly so; now and then something else."""
    return st.one_of(st.just(contract.valid(shape)), fitting(shape), fitting(shape), fitting(shape), anything)


def fitting(shape: Shape) -> st.SearchStrategy[Any]:
    if isinstance(shape, StructureShape):
        return documents() if shape.metadata.get("document") else structures(shape)
    if isinstance(shape, ListShape) and shape.member.type_name == "float":
        return st.lists(numbers, max_size=3)
    if isinstance(shape, ListShape):
        at_bounds = [size for size in (shape.metadata.get("max"),) if size]
        long = [st.just([contract.valid(shape.member)] * (size + more)) for size in at_bounds for more in (0, 1)]
        return st.one_of(st.lists(values(shape.member), max_size=3), *long)
    if isinstance(shape, MapShape):
        return st.dictionaries(names | st.text(max_size=9), values(shape.value), max_size=3)
    if isinstance(shape, StringShape):
        return st.one_of(st.sampled_from(shape.enum or [BUCKET]), names, st.text(), huge)
    bounds = [each for each in (shape.metadata.get("min"), shape.metadata.get("max")) if each is not None]
    near = st.sampled_from([bound + step for bound in bounds for step in (-1, 0, 1)] or [1])
    return {"integer": near | st.integers(-(2**70), 2**70), "boolean": st.booleans()}.get(shape.type_name, near)


def structures(shape: StructureShape) -> st.SearchStrategy[Json]:
    """With or without each member, and with one that nobody knows."""
    members = {name: values(member) for name, member in shape.members.items()}
    return st.fixed_dictionaries({}, optional={**members, "nobody's": anything})


def documents() -> st.SearchStrategy[Any]:
    """Metadata and filters."""
    operators = st.sampled_from(["$and", "$or", "$eq", "$ne", "$in", "$nin", "$gt", "$exists", "$startsWith", "$no"])
    keys = operators | st.sampled_from(["text", "k", "", "é" * 64])
    leaves = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20) | huge
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8
    )


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    model = service_model("s3vectors").operation_model(draw(st.sampled_from(contract.operations())))
    request = draw(inputs(model.name) if draw(st.integers(0, 2)) == 0 else usual(model.name))
    method, (target, body) = str(model.http["method"]), contract.encoded(model, _writable(model, request))
    bend = draw(st.integers(0, 29))  # one in ten is bent outside its members
    if bend == 0:
        odd = [body[:-1], body + b"}", b"\xff", b"\xef\xbb\xbf{}", b"[]", b"null", b'"x"', b"[" * 5000]
        body = draw(st.sampled_from(odd) | st.binary(max_size=20))
    elif bend == 1:
        odd_targets = [target.lower(), target + "/", "/tags", "/tags/", "/%00", "/?%ff", "/%ff%fe"]
        target = draw(st.sampled_from(odd_targets) | st.text(max_size=9).map(lambda text: "/" + quote(text)))
    elif bend == 2:
        method = draw(st.sampled_from(["GET", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"]))
    return method, target, body


@cache  # making a strategy takes longer than drawing from it
def inputs(operation: str) -> st.SearchStrategy[Json]:
    return structures(contract.input_of(operation))


@cache
def usual(operation: str) -> st.SearchStrategy[Json]:
    """A valid request with at most one member changed, so that what comes after the model's checks is reached."""
    members = contract.input_of(operation).members
    least = st.just(valid_request(operation))
    more = {name: st.just(contract.valid(member)) for name, member in members.items() if not name.endswith("Arn")}
    one = [st.fixed_dictionaries({name: fitting(member)}) for name, member in members.items()]
    changed = st.integers(0, 2).flatmap(lambda number: st.one_of(*one) if number == 0 else st.just({}))
    return st.tuples(least, st.fixed_dictionaries({}, optional=more), changed).map(
        lambda parts: parts[0] | parts[1] | parts[2]
    )


def _writable(model: OperationModel, request: Json) -> Json:
    """What JSON can hold. Values in a URL are text, or lists of it."""
    where = contract.locations(model)
    lists = {name: value if isinstance(value, list) else [value] for name, value in request.items()}
    in_url = {
        name: lists[name] if where[name] == "querystring" else value for name, value in request.items() if name in where
    }
    return {**request, **in_url}


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    folder = tmp_path_factory.mktemp("fuzz")
    state = State(folder)
    service = S3Vectors(state, older_buckets=["*s"], quotas=Quotas(3, 3, 40))
    server = HttpServer(Front({"s3vectors": service}, Keyring(folder), lambda name, *_: pytest.fail(name)), 0)
    server.start()
    made = Wire(server.url)
    yield made
    made.close()
    server.stop()
    service.stop()
    state.close()


def test_whatever_is_sent_is_answered_in_the_services_words(wire: Wire, record_property: Record) -> None:
    seen: Counter[str] = Counter()

    @FUZZ
    @given(st.lists(requests(), min_size=1, max_size=20))
    def fuzz(sent: list[Sent]) -> None:
        for operation in ("CreateVectorBucket", "CreateIndex", "PutVectors"):
            wire.ask(operation, valid_request(operation))  # a former example may have deleted it
        for method, target, body in sent:
            answer = wire.send(method, target, body)
            check(method, meant(method, target), answer)
            seen[answer.code or "done"] += 1

    fuzz()
    codes = ", ".join(f"{count} {code}" for code, count in seen.most_common())
    record_property("summary", f"S3 Vectors, requests of the fuzz test: {seen.total()} ({codes})")
    assert seen["done"] and seen["ValidationException"] and seen["NotFoundException"]


def meant(method: str, target: str) -> str | None:
    """The operation that the model has for this."""
    path = unquote(target.partition("?")[0])
    for name in contract.operations():
        http = service_model("s3vectors").operation_model(name).http
        fixed, _, variable = str(http["requestUri"]).partition("{")
        if method == http["method"] and (path.startswith(fixed) if variable else path == fixed):
            return name
    return None


def test_a_changed_token_is_refused(wire: Wire) -> None:
    for operation in ("CreateVectorBucket", "CreateIndex", "PutVectors"):
        wire.ask(operation, valid_request(operation))
    wire.ask("CreateVectorBucket", {"vectorBucketName": "another"})
    wire.ask("CreateIndex", {**valid_request("CreateIndex"), "indexName": "another"})
    more = [{**valid_request("PutVectors")["vectors"][0], "key": str(number)} for number in range(9)]
    wire.ask("PutVectors", {**valid_request("PutVectors"), "vectors": more})
    for operation in ("ListVectorBuckets", "ListIndexes", "ListVectors"):
        request = {**valid_request(operation), "maxResults": 1}
        token = wire.ask(operation, request).body["nextToken"]
        assert wire.ask(operation, {**request, "nextToken": token}).status == 200
        bent = [token[:cut] for cut in range(1, len(token))]
        bent += [
            token[:place] + ("_" if token[place] != "_" else "A") + token[place + 1 :]
            for place in range(len(token) - 3)
        ]
        for each in bent:
            answer = wire.ask(operation, {**request, "nextToken": each})
            assert (answer.status, answer.code, answer.paths) == (400, "ValidationException", ("nextToken",)), each


def test_callers_at_one_moment_are_answered_as_if_one_after_the_other(wire: Wire) -> None:
    def call(seed: int) -> Counter[tuple[str, str | None]]:
        chance, own, seen = Random(seed), Wire(wire.endpoint), Counter[tuple[str, str | None]]()
        for _ in range(60):
            operation = chance.choice([*contract.operations(), "CreateVectorBucket", "CreateIndex", "PutVectors"])
            answer = own.ask(operation, usual_request(operation))
            check("POST", operation, answer)
            seen[operation, answer.code] += 1
        own.close()
        return seen

    with ThreadPoolExecutor(6) as threads:
        seen = sum(threads.map(call, range(6)), Counter())
    for kind in ("VectorBucket", "Index"):
        assert seen[f"Delete{kind}", None] <= seen[f"Create{kind}", None] + 1  # one may have been there before


def check(method: str, operation: str | None, answer: Answer) -> None:
    assert answer.status < 500, answer
    if answer.status >= 400:
        declared = DECLARED[operation] if operation else UNKNOWN
        assert answer.code in declared, answer
        assert answer.status == declared[answer.code]
        assert method == "HEAD" or answer.body["message"]
        return
    assert operation is not None
    said = service_model("s3vectors").operation_model(operation).output_shape
    assert answer.status == 200
    assert said is None or not ParamValidator().validate(answer.body, said).has_errors(), answer

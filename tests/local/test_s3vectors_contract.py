"""Every rule and every declared exception of botocore's model of S3 Vectors, over the wire: the contract as a table."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from botocore.credentials import Credentials

from local.auth import Keyring
from local.faults import Control, Faults
from local.front import Front
from local.http import HttpServer
from local.iam import Permissions
from local.s3vectors import S3Vectors
from local.s3vectors.control import Quotas
from local.state import State
from local.wire import Service
from tests.local import contract
from tests.local.contract import BUCKET, BUCKET_ARN, INDEX_ARN, Answer, Declared, Row, Wire, usual_request

NOBODY = "arn:aws:iam::000000000000:role/nobody"
Record = Callable[[str, object], None]
ROWS = contract.rows()
DECLARED = contract.declared()
# These come from inside AWS, whatever is asked, and here when the fault control says so. Conflicts of tags do too: they
# are two writers at one moment, and ours wait for each other.
INSIDE_AWS = {
    "InternalServerException",
    "KmsDisabledException",
    "KmsInvalidKeyUsageException",
    "KmsInvalidStateException",
    "KmsNotFoundException",
    "RequestTimeoutException",
    "ServiceUnavailableException",
    "TooManyRequestsException",
}


@dataclass(frozen=True)
class World:
    """`nobody` asks as a role without rights; `full` is another laptop, whose account may not have one thing more."""

    wire: Wire
    nobody: Wire
    full: Wire


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    with laptop(folder / "a", Quotas()) as (wire, nobody), laptop(folder / "full", Quotas(1, 1, 1)) as (full, _):
        yield World(wire, nobody, full)


@contextmanager
def laptop(folder: Path, quotas: Quotas) -> Iterator[tuple[Wire, Wire]]:
    """One where all that `valid_request` names is there already."""
    state = State(folder)
    service = S3Vectors(state, quotas=quotas)
    keyring, permissions = Keyring(folder), Permissions()
    faults = Faults()
    services: dict[str, Service] = {"s3vectors": service, "_local": Control(faults, {})}
    front = Front(services, keyring, lambda name, *_: pytest.fail(name), permissions=permissions, faults=faults)
    server = HttpServer(front, 0)
    server.start()
    permissions.roles.put(NOBODY, "no policy", ())
    keys = keyring.issue(NOBODY, "contract")
    wire = Wire(server.url)
    nobody = Wire(server.url, Credentials(keys.access_key, keys.secret_key, keys.session_token))
    for operation in ("CreateVectorBucket", "CreateIndex", "UpdateMetadataConfiguration", "PutVectors"):
        assert wire.ask(operation, usual_request(operation)).status == 200
    yield wire, nobody
    wire.close()
    nobody.close()
    server.stop()
    service.stop()
    state.close()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_rule_of_the_model(world: World, row: Row, record_property: Record) -> None:
    record_property("table row", row.kind)
    answer = world.wire.ask(row.operation, row.request)
    if row.code is None:  # what is empty is not too short
        assert row.path not in answer.paths
        assert answer.code != "SerializationException"
        return
    assert (answer.status, answer.code) == (row.status, row.code)
    assert set(answer.paths) == ({row.path} if row.code == "ValidationException" else set())
    assert str(answer.body["message"]).count(f"'{row.path}'") == len(answer.paths) or row.kind == "type"


@pytest.mark.parametrize("declared", DECLARED, ids=lambda declared: declared.name)
def test_a_declared_exception(world: World, declared: Declared, record_property: Record) -> None:
    inside = is_inside_aws(declared)
    record_property("table row", "exception by fault control" if inside else "exception")
    answer = by_fault_control(world.wire, declared) if inside else provoked(world, declared)
    assert (answer.status, answer.code) == (declared.status, declared.code)
    assert answer.body["message"]
    assert bool(answer.paths) == (declared.code == "ValidationException")


def is_inside_aws(declared: Declared) -> bool:
    """Whether nothing that a caller does can raise it."""
    of_tags = declared.operation in ("TagResource", "UntagResource")
    return declared.code in INSIDE_AWS or (declared.code == "ConflictException" and of_tags)


def provoked(world: World, declared: Declared) -> Answer:
    """The exception by real means."""
    operation, request = declared.operation, usual_request(declared.operation)
    match declared.code:
        case "ValidationException":
            broken = next(row for row in ROWS if row.operation == operation and row.code == declared.code)
            return world.wire.ask(operation, broken.request)
        case "AccessDeniedException":
            return world.nobody.ask(operation, request)
        case "NotFoundException":
            absent = {"vectorBucketName": "absent", "resourceArn": f"{BUCKET_ARN}-absent"}
            return world.wire.ask(operation, {name: absent.get(name, value) for name, value in request.items()})
        case "ConflictException":
            return world.wire.ask(operation, request)  # once more: what it makes is there, what it deletes is not empty
        case "ServiceQuotaExceededException":
            new = {"CreateVectorBucket": "vectorBucketName", "CreateIndex": "indexName"}.get(operation)
            one_more = {new: "one-more"} if new else {"vectors": [{**request["vectors"][0], "key": "one more"}]}
            return world.full.ask(operation, {**request, **one_more})
    pytest.fail(f"nothing here raises {declared.name}")


@pytest.mark.parametrize("operation", [name for name in contract.operations() if contract.arn_of(name)])
def test_a_resource_is_named_by_name_or_by_arn(world: World, operation: str, record_property: Record) -> None:
    record_property("table row", "naming")
    usual = usual_request(operation)
    is_index = contract.arn_of(operation) == "indexArn"
    arn = {"indexArn": INDEX_ARN} if is_index else {"vectorBucketArn": BUCKET_ARN}
    parts = [
        {name: usual.pop(name)} for name in (["vectorBucketName", "indexName"] if is_index else ["vectorBucketName"])
    ]
    names = {name: value for part in parts for name, value in part.items()}
    for wrong in ({}, {**names, **arn}, *([*parts, *({**part, **arn} for part in parts)] if is_index else [])):
        answer = world.wire.ask(operation, {**usual, **wrong})
        assert (answer.status, answer.code) == (400, "ValidationException")
        assert str(answer.body["message"]).startswith("Must specify either ")
    absent = [{**names, "vectorBucketName": "absent"}, {name: arn[name].replace(BUCKET, "absent") for name in arn}]
    by_name, by_arn = (world.wire.ask(operation, {**usual, **each}) for each in absent)
    assert by_name == by_arn
    assert by_name.code == "NotFoundException"


def by_fault_control(wire: Wire, declared: Declared) -> Answer:
    rule = {"fault": "fail", "service": "s3vectors", "operation": declared.operation, "error": declared.code, "next": 1}
    assert wire.control("POST", "/_local/faults", rule).status == 200
    return wire.ask(declared.operation, usual_request(declared.operation))


def test_the_table_has_a_row_for_each_thing_that_the_model_says() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert {row.operation for row in ROWS} == {each.operation for each in DECLARED} == set(contract.operations())
    assert {row.kind for row in ROWS} == {"required", "type", "min", "max", "pattern", "enum"}

"""The laptop's DynamoDB, over the wire."""

import base64
import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pytest
from boto3.dynamodb.conditions import Attr
from boto3.dynamodb.conditions import Key as KeyIs
from boto3.dynamodb.types import TypeSerializer
from botocore.config import Config
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local import clock
from local.auth import Keyring
from local.clients import Clients
from local.dynamodb import DynamoDb, values
from local.dynamodb.reserved import is_reserved
from local.front import Front
from local.http import HttpServer
from local.state import State
from local.wire import AwsError, Service
from tests.local.conftest import nothing_else

Serve = Callable[[Mapping[str, Service]], Clients]
OVER_THE_WIRE = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
_names = itertools.count()

NOTES = {
    "AttributeDefinitions": [
        {"AttributeName": "id", "AttributeType": "S"},
        {"AttributeName": "seq", "AttributeType": "N"},
        {"AttributeName": "status", "AttributeType": "S"},
        {"AttributeName": "rank", "AttributeType": "N"},
    ],
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "seq", "KeyType": "RANGE"}],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by-status",
            "KeySchema": [
                {"AttributeName": "status", "KeyType": "HASH"},
                {"AttributeName": "rank", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "ALL"},
        },
        {
            "IndexName": "keys-only",
            "KeySchema": [{"AttributeName": "status", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        },
        {
            "IndexName": "with-title",
            "KeySchema": [{"AttributeName": "status", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["title"]},
        },
    ],
    "LocalSecondaryIndexes": [
        {
            "IndexName": "by-rank",
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "rank", "KeyType": "RANGE"}],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }
    ],
    "BillingMode": "PAY_PER_REQUEST",
}
PLAIN = {
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "BillingMode": "PAY_PER_REQUEST",
}


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[State, DynamoDb, Any]]:
    """One for all tests: to stop a server takes half a second."""
    state = State(tmp_path_factory.mktemp("state"))
    service = DynamoDb(state)
    keyring = Keyring(state.folder)
    server = HttpServer(Front({"dynamodb": service}, keyring, nothing_else), 0)
    server.start()
    yield state, service, Clients(server.url, keyring).get("dynamodb", None)
    server.stop()
    state.close()


@pytest.fixture
def state(laptop: tuple[State, DynamoDb, Any]) -> Iterator[State]:
    """Without tables, before and after."""
    state = laptop[0]
    yield state
    with state.transaction() as db:
        for table in ("tables", "items", "entries", "tokens"):
            db.execute(f"DELETE FROM dynamodb_{table}")


@pytest.fixture
def service(laptop: tuple[State, DynamoDb, Any], state: State) -> DynamoDb:
    return laptop[1]


@pytest.fixture
def db(laptop: tuple[State, DynamoDb, Any], state: State) -> Any:
    return laptop[2]


@pytest.fixture(scope="module")
def raw(laptop: tuple[State, DynamoDb, Any]) -> Any:
    """A client that sends what it is given."""
    return boto3.client("dynamodb", **connection(laptop[2]), config=Config(parameter_validation=False))


@pytest.fixture
def plain(service: DynamoDb, db: Any) -> str:
    service.ensure_table("plain", PLAIN)
    return "plain"


@pytest.fixture
def notes(service: DynamoDb, db: Any) -> Any:
    """A resource's table with keys, three global indexes and a local one."""
    service.ensure_table("notes", NOTES)
    return resource(db).Table("notes")


def resource(db: Any) -> Any:
    return boto3.resource("dynamodb", **connection(db))


def connection(db: Any) -> dict[str, str]:
    keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    return {"endpoint_url": db.meta.endpoint_url, "region_name": "us-east-1", **keys}


@contextmanager
def refused(code: str, message: str = "") -> Iterator[dict[str, Any]]:
    """The block must fail so; what it yields is filled with the error's response."""
    seen: dict[str, Any] = {}
    with pytest.raises(ClientError) as error:
        yield seen
    seen.update(error.value.response)
    assert seen["Error"]["Code"] == code
    assert message in seen["Error"]["Message"]
    assert seen["ResponseMetadata"]["HTTPStatusCode"] == 400


def invalid(message: str) -> Any:
    return refused("ValidationException", message)


def put(db: Any, table: str, id: str, **attributes: Any) -> None:
    db.put_item(TableName=table, Item={"id": {"S": id}, **attributes})


def get(db: Any, table: str, id: str) -> Any:
    return db.get_item(TableName=table, Key={"id": {"S": id}}, ConsistentRead=True).get("Item")


def update(db: Any, table: str, expression: str, given: dict[str, Any] | None = None, **more: Any) -> Any:
    if given:
        more["ExpressionAttributeValues"] = given
    return db.update_item(TableName=table, Key={"id": {"S": "x"}}, UpdateExpression=expression, **more)


# Tables


def test_a_table_is_made_described_listed_and_deleted(db: Any) -> None:
    made = db.create_table(TableName="notes", **NOTES)["TableDescription"]
    assert made["TableStatus"] == "CREATING"
    db.get_waiter("table_exists").wait(TableName="notes")
    table = db.describe_table(TableName="notes")["Table"]
    assert table["TableArn"] == "arn:aws:dynamodb:us-east-1:000000000000:table/notes"
    assert table["KeySchema"] == NOTES["KeySchema"]
    assert [index["IndexStatus"] for index in table["GlobalSecondaryIndexes"]] == ["ACTIVE"] * 3
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    with refused("ResourceInUseException", "Table already exists: notes"):
        db.create_table(TableName="notes", **NOTES)
    assert db.list_tables()["TableNames"] == ["notes"]
    db.delete_table(TableName=table["TableArn"])
    db.get_waiter("table_not_exists").wait(TableName="notes")
    with refused("ResourceNotFoundException", "Requested resource not found: Table: notes not found"):
        db.describe_table(TableName="notes")
    with refused("ResourceNotFoundException", "Requested resource not found"):
        get(db, "notes", "x")


def test_tables_are_listed_in_pages(db: Any, service: DynamoDb) -> None:
    for name in ("ccc", "aaa", "bbb"):
        service.ensure_table(name, PLAIN)
    first = db.list_tables(Limit=2)
    assert (first["TableNames"], first["LastEvaluatedTableName"]) == (["aaa", "bbb"], "bbb")
    assert db.list_tables(ExclusiveStartTableName="bbb")["TableNames"] == ["ccc"]


def test_a_deleted_table_leaves_no_items_behind(db: Any, plain: str, service: DynamoDb) -> None:
    put(db, plain, "x")
    db.delete_table(TableName=plain)
    service.ensure_table(plain, PLAIN)
    assert get(db, plain, "x") is None


def test_a_protected_table_is_not_deleted(db: Any, service: DynamoDb) -> None:
    service.ensure_table("kept", {**PLAIN, "DeletionProtectionEnabled": True})
    with invalid("protected against deletion"):
        db.delete_table(TableName="kept")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"TableName": "a b"}, "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"),
        ({"TableName": "ab"}, "TableName must be at least 3 characters long"),
        ({"BillingMode": "FREE"}, "Member must satisfy enum value set: [PROVISIONED, PAY_PER_REQUEST]"),
        ({"BillingMode": "PROVISIONED"}, "must both be specified when BillingMode is PROVISIONED"),
        ({"KeySchema": [{"AttributeName": "no", "KeyType": "HASH"}]}, "Some index key attributes are not defined"),
        ({"KeySchema": [{"AttributeName": "id", "KeyType": "RANGE"}]}, "first KeySchemaElement is not a HASH key type"),
        (
            {"AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("id", "unused")]},
            "Number of attributes in KeySchema does not exactly match",
        ),
        ({"LocalSecondaryIndexes": NOTES["LocalSecondaryIndexes"]}, "Table KeySchema does not have a range key"),
        ({"StreamSpecification": {"StreamEnabled": True}}, "The laptop does not offer DynamoDB Streams"),
    ],
)
def test_a_wrong_table_is_refused(db: Any, change: dict[str, Any], message: str) -> None:
    with invalid(message):
        db.create_table(**{"TableName": "wrong", **PLAIN, **change})


def test_a_name_that_no_table_can_have_is_refused_by_every_operation(db: Any) -> None:
    with invalid("Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"):
        put(db, "a b", "x")
    with invalid("TableName must be at least 3 characters long"):
        get(db, "ab", "x")
    with invalid("Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"):
        db.describe_table(TableName="a/b")


def test_what_is_not_offered_is_refused_and_not_ignored(db: Any, plain: str) -> None:
    with refused("UnknownOperationException", "ExecuteStatement"):
        db.execute_statement(Statement="SELECT * FROM plain")
    with invalid("The laptop does not offer AttributesToGet"):
        db.get_item(TableName=plain, Key={"id": {"S": "x"}}, AttributesToGet=["a"])
    with invalid("The laptop does not offer ReturnConsumedCapacity TOTAL"):
        db.scan(TableName=plain, ReturnConsumedCapacity="TOTAL")


def test_tags_are_kept_changed_and_listed(db: Any, service: DynamoDb) -> None:
    arn = service.ensure_table("plain", {**PLAIN, "Tags": [{"Key": "a", "Value": "1"}]})
    db.tag_resource(ResourceArn=arn, Tags=[{"Key": "a", "Value": "2"}, {"Key": "b", "Value": "3"}])
    db.untag_resource(ResourceArn=arn, TagKeys=["b"])
    assert db.list_tags_of_resource(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "2"}]


@pytest.mark.parametrize("tags", [{"a;b": "c"}, {"a": "b;c"}, {"k" * 129: ""}, {"k": "v" * 257}, {"aws:a": "b"}])
def test_tags_that_aws_does_not_take_are_refused(db: Any, plain: str, tags: dict[str, str]) -> None:
    wrong = [{"Key": key, "Value": value} for key, value in tags.items()]
    arn = db.describe_table(TableName=plain)["Table"]["TableArn"]
    with invalid(""):
        db.tag_resource(ResourceArn=arn, Tags=wrong)
    with invalid(""):
        db.create_table(TableName="other", **PLAIN, Tags=wrong)


# Errors on the wire


def test_an_error_is_typed_as_the_service_types_it(raw: Any, plain: str) -> None:
    told = []

    def keep(response_dict: dict[str, Any], **_: Any) -> None:
        told.append((response_dict["headers"]["Content-Type"], json.loads(response_dict["body"])["__type"]))

    raw.meta.events.register("response-received.dynamodb", keep)
    try:
        with refused("ResourceNotFoundException"):
            get(raw, "none", "x")
        with invalid(""):
            raw.get_item()
        with refused("UnknownOperationException"):
            raw.list_backups()
    finally:
        raw.meta.events.unregister("response-received.dynamodb", keep)
    kinds = (
        "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException",
        "com.amazon.coral.validate#ValidationException",
        "com.amazon.coral.service#UnknownOperationException",
    )
    assert told == [("application/x-amz-json-1.0", kind) for kind in kinds]


def test_a_request_of_more_than_16_mb_is_refused_and_the_connection_goes_on(db: Any, plain: str) -> None:
    with pytest.raises(ClientError) as error:
        put(db, plain, "x", a={"S": "a" * 16 * 1024 * 1024})
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    put(db, plain, "x")


# The host


def test_a_table_is_ensured_twice_and_keeps_its_items(db: Any, service: DynamoDb, plain: str) -> None:
    put(db, plain, "x")
    before = db.describe_table(TableName=plain)["Table"]["TableId"]
    assert service.ensure_table(plain, PLAIN) == "arn:aws:dynamodb:us-east-1:000000000000:table/plain"
    assert db.describe_table(TableName=plain)["Table"]["TableId"] == before
    assert get(db, plain, "x")


def test_an_added_index_is_filled_and_a_removed_one_is_gone(db: Any, service: DynamoDb) -> None:
    without = {**NOTES, "AttributeDefinitions": [*NOTES["AttributeDefinitions"]][:2]}
    del without["GlobalSecondaryIndexes"], without["LocalSecondaryIndexes"]
    service.ensure_table("notes", without)
    items = [
        {"id": {"S": "x"}, "seq": {"N": str(n)}, "status": {"S": "new"}, "rank": {"N": str(-n)}} for n in range(60)
    ]
    for item in [*items, {"id": {"S": "sparse"}, "seq": {"N": "1"}}]:
        db.put_item(TableName="notes", Item=item)
    wrong = {"id": {"S": "wrong"}, "seq": {"N": "1"}, "status": {"N": "5"}}
    db.put_item(TableName="notes", Item=wrong)
    without_local = {key: value for key, value in NOTES.items() if key != "LocalSecondaryIndexes"}
    service.ensure_table("notes", without_local)
    asked = {
        "TableName": "notes",
        "IndexName": "by-status",
        "KeyConditionExpression": "#s = :s",
        "ExpressionAttributeNames": {"#s": "status"},
        "ExpressionAttributeValues": {":s": {"S": "new"}},
    }
    assert db.query(**asked)["Items"] == items[::-1]
    assert db.scan(TableName="notes", IndexName="by-status")["Count"] == 60
    service.ensure_table("notes", without)
    with invalid("The table does not have the specified index: by-status"):
        db.query(**asked)


def test_what_cloudformation_cannot_change_in_place_is_refused(service: DynamoDb) -> None:
    service.ensure_table("notes", NOTES)
    index = {**NOTES["GlobalSecondaryIndexes"][0], "Projection": {"ProjectionType": "KEYS_ONLY"}}
    with pytest.raises(AwsError, match="Cannot update GSI's properties"):
        service.ensure_table(
            "notes", {**NOTES, "GlobalSecondaryIndexes": [index, *NOTES["GlobalSecondaryIndexes"][1:]]}
        )
    with pytest.raises(AwsError, match="KeySchema of a table cannot change"):
        service.ensure_table("notes", PLAIN)
    with pytest.raises(AwsError, match="The laptop does not offer KinesisStreamSpecification"):
        service.ensure_table("other", {**PLAIN, "KinesisStreamSpecification": {"StreamArn": "x"}})


def test_a_global_table_with_one_replica_is_a_table(db: Any, service: DynamoDb) -> None:
    replica = {"Region": "us-east-1", "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True}}
    expiry = {"TimeToLiveSpecification": {"AttributeName": "ends", "Enabled": True}}
    service.ensure_table("global", {**PLAIN, **expiry, "Replicas": [replica]})
    backups = db.describe_continuous_backups(TableName="global")["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    assert db.describe_time_to_live(TableName="global")["TimeToLiveDescription"]["AttributeName"] == "ends"
    with pytest.raises(AwsError, match="one replica"):
        service.ensure_table("wide", {**PLAIN, "Replicas": [replica, {"Region": "eu-west-1"}]})


def test_expired_items_are_there_until_the_host_expires_them(db: Any, plain: str, service: DynamoDb) -> None:
    now = 1_800_000_000
    for id, ends in (("old", now - 1), ("new", now + 1), ("ancient", now - 6 * 365 * 86_400)):
        put(db, plain, id, ends={"N": str(ends)})
    put(db, plain, "text", ends={"S": str(now - 1)})
    assert service.expire(now) == 0
    specification = {"AttributeName": "ends", "Enabled": True}
    db.update_time_to_live(TableName=plain, TimeToLiveSpecification=specification)
    with invalid("TimeToLive is already enabled"):
        db.update_time_to_live(TableName=plain, TimeToLiveSpecification=specification)
    assert get(db, plain, "old")
    assert service.expire(now) == 1
    assert {item["id"]["S"] for item in db.scan(TableName=plain)["Items"]} == {"new", "ancient", "text"}
    put(db, plain, "later", ends={"N": str(now)})
    assert service.expire(now + 10) == 2


def test_a_kill_loses_nothing(tmp_path: Path, serve: Serve) -> None:
    killed = State(tmp_path / "kept")
    service = DynamoDb(killed)
    service.ensure_table("notes", NOTES)
    db = serve({"dynamodb": service}).get("dynamodb", None)
    item = {"id": {"S": "x"}, "seq": {"N": "1"}, "status": {"S": "new"}, "rank": {"N": "2"}}
    db.put_item(TableName="notes", Item=item)
    transaction = [{"Put": {"TableName": "notes", "Item": {**item, "seq": {"N": "2"}}}}]
    db.transact_write_items(TransactItems=transaction, ClientRequestToken="once")
    again = State(tmp_path / "kept")
    db = serve({"dynamodb": DynamoDb(again)}).get("dynamodb", None)
    found = db.query(
        TableName="notes",
        IndexName="by-status",
        KeyConditionExpression="#s = :s",
        ExpressionAttributeNames={"#s": "status"},
        ExpressionAttributeValues={":s": {"S": "new"}},
    )
    assert found["Items"] == [item, {**item, "seq": {"N": "2"}}]
    with refused("IdempotentParameterMismatchException"):
        transaction = [{"Delete": {"TableName": "notes", "Key": {"id": {"S": "x"}, "seq": {"N": "2"}}}}]
        db.transact_write_items(TransactItems=transaction, ClientRequestToken="once")
    again.close()
    killed.close()


# Values

numbers = st.decimals(
    allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=5
) | st.builds(
    lambda digits, exponent: Decimal(digits).scaleb(exponent), st.integers(-(10**9), 10**9), st.integers(-120, 110)
)


@given(st.lists(numbers, min_size=2, max_size=2))
def test_number_keys_sort_as_numbers(pair: list[Decimal]) -> None:
    left, right = pair
    keys = [values.order_key({"N": values.number(str(number))}) for number in pair]
    assert (keys[0] < keys[1], keys[0] == keys[1]) == (left < right, left == right)


@given(numbers)
def test_a_number_keeps_its_value_and_has_one_form(number: Decimal) -> None:
    text = values.number(str(number))
    assert Decimal(text) == number
    assert values.number(f"+{text}0" if "." in text and number >= 0 else text) == text


def test_all_types_come_back_as_they_were(notes: Any) -> None:
    item = {
        "id": "x",
        "seq": Decimal("1.5"),
        "text": "é🎬",
        "empty": "",
        "number": Decimal("-12345678901234567890.123456789012345678"),
        "flags": [True, None, {"deep": {"er": [b"\x00\xff"]}}],
        "strings": {"b", "a"},
        "numbers": {Decimal(2), Decimal(10)},
        "bytes": {b"1", b"2"},
    }
    notes.put_item(Item=item)
    found = notes.get_item(Key={"id": "x", "seq": Decimal("1.50")})["Item"]
    bytes_read = {"bytes": {member.value for member in found["bytes"]}}
    flags = [*found["flags"][:2], {"deep": {"er": [found["flags"][2]["deep"]["er"][0].value]}}]
    assert {**found, **bytes_read, "flags": flags} == item


def test_numbers_are_answered_in_plain_digits(db: Any, plain: str) -> None:
    put(db, plain, "x", a={"N": "1e3"}, b={"N": "01.50"}, c={"NS": ["2", "1.0"]}, d={"N": "-0"}, e={"N": "5E-3"})
    found = get(db, plain, "x")
    shown = [found[name] for name in "abcde"]
    assert shown == [{"N": "1000"}, {"N": "1.5"}, {"NS": ["1", "2"]}, {"N": "0"}, {"N": "0.005"}]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"N": "abc"}, "The parameter cannot be converted to a numeric value: abc"),
        ({"N": "1e126"}, "Number overflow. Attempting to store a number with magnitude larger than supported range"),
        ({"N": "1e-131"}, "Number underflow."),
        ({"N": "1" * 39}, "Attempting to store more than 38 significant digits in a Number"),
        ({"SS": []}, "One or more parameter values were invalid: An string set  may not be empty"),
        ({"SS": ["a", "a"]}, "Input collection [a, a] contains duplicates."),
        ({"NS": ["1", "1.0"]}, "Input collection contains duplicates."),
        ({"NULL": False}, "Null attribute value types must have the value of true"),
        ({"L": [{}]}, "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"),
        ({"M": {"a": {"S": "1", "N": "1"}}}, "Supplied AttributeValue has more than one datatypes set"),
        ({"S": "x" * 409_600}, "Item size has exceeded the maximum allowed size"),
    ],
)
def test_a_wrong_value_is_refused(plain: str, raw: Any, value: dict[str, Any], message: str) -> None:
    with invalid(message):
        put(raw, plain, "x", a=value)


def test_an_item_of_exactly_400_kb_fits(db: Any, plain: str) -> None:
    put(db, plain, "x", a={"S": "x" * (409_600 - 4)})
    with invalid("Item size to update has exceeded the maximum allowed size"):
        update(db, plain, "SET b = :b", {":b": {"S": "y"}})


# Keys


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"id": "x"}, "One or more parameter values were invalid: Missing the key seq in the item"),
        ({"id": 1, "seq": 1}, "Type mismatch for key id expected: S actual: N"),
        ({"id": "", "seq": 1}, "The AttributeValue for a key attribute cannot contain an empty string value. Key: id"),
        ({"id": "x" * 2049, "seq": 1}, "Size of hashkey has exceeded the maximum size limit of2048 bytes"),
        (
            {"id": "x", "seq": 1, "status": 5},
            "Type mismatch for Index Key status Expected: S Actual: N IndexName: by-status",
        ),
        ({"id": "x", "seq": 1, "status": ""}, "IndexName: by-status, IndexKey: status"),
    ],
)
def test_an_item_whose_keys_do_not_fit_is_refused(notes: Any, item: dict[str, Any], message: str) -> None:
    with invalid(message):
        notes.put_item(Item=item)


@pytest.mark.parametrize("key", [{"id": "x"}, {"id": "x", "seq": "1"}, {"id": "x", "seq": 1, "more": 1}])
def test_a_key_that_does_not_fit_the_schema_is_refused(notes: Any, key: dict[str, Any]) -> None:
    for operation in (notes.get_item, notes.delete_item, notes.update_item):
        with invalid("The provided key element does not match the schema"):
            operation(Key=key)


def test_an_update_cannot_change_keys_or_break_those_of_an_index(notes: Any) -> None:
    def change(expression: str, value: Any) -> None:
        key = {"id": "x", "seq": 1}
        names = {"#s": "status"} if "#s" in expression else None
        more = {"ExpressionAttributeNames": names} if names else {}
        notes.update_item(Key=key, UpdateExpression=expression, ExpressionAttributeValues={":v": value}, **more)

    with invalid("Cannot update attribute id. This attribute is part of the key"):
        change("SET id = :v", "y")
    with invalid("The update expression attempted to update the secondary index key to unsupported type"):
        change("SET #s = :v", 1)
    with invalid("attempted to update a secondary index key to a value that is not supported"):
        change("SET #s = :v", "")


# Writes and what they return


def test_writes_return_what_was_asked_for(db: Any, plain: str) -> None:
    item = {"id": {"S": "x"}, "a": {"N": "1"}, "m": {"M": {"b": {"N": "2"}, "c": {"N": "3"}}}}
    assert "Attributes" not in db.put_item(TableName=plain, Item=item, ReturnValues="ALL_OLD")
    assert db.put_item(TableName=plain, Item=item, ReturnValues="ALL_OLD")["Attributes"] == item

    def after(wanted: str) -> Any:
        return update(db, plain, "SET m.b = m.b + :one REMOVE a", {":one": {"N": "1"}}, ReturnValues=wanted)

    assert after("UPDATED_OLD")["Attributes"] == {"a": {"N": "1"}, "m": {"M": {"b": {"N": "2"}}}}
    assert after("UPDATED_NEW")["Attributes"] == {"m": {"M": {"b": {"N": "4"}}}}
    assert after("ALL_OLD")["Attributes"]["m"]["M"]["b"] == {"N": "4"}
    assert after("ALL_NEW")["Attributes"] == {"id": {"S": "x"}, "m": {"M": {"b": {"N": "6"}, "c": {"N": "3"}}}}
    assert "Attributes" not in after("NONE")
    deleted = db.delete_item(TableName=plain, Key={"id": {"S": "x"}}, ReturnValues="ALL_OLD")
    assert deleted["Attributes"]["m"]["M"]["b"] == {"N": "7"}
    with invalid("ReturnValues can only be ALL_OLD or NONE"):
        db.put_item(TableName=plain, Item=item, ReturnValues="ALL_NEW")


def test_a_failed_condition_shows_the_item_to_who_asks(db: Any, plain: str) -> None:
    put(db, plain, "x", a={"N": "1"})
    asked = {"TableName": plain, "Item": {"id": {"S": "x"}}, "ConditionExpression": "attribute_not_exists(id)"}
    with refused("ConditionalCheckFailedException", "The conditional request failed") as error:
        db.put_item(**asked)
    assert "Item" not in error
    with refused("ConditionalCheckFailedException") as error:
        db.put_item(**asked, ReturnValuesOnConditionCheckFailure="ALL_OLD")
    assert error["Item"] == {"id": {"S": "x"}, "a": {"N": "1"}}


def test_an_update_makes_the_item_it_does_not_find(db: Any, plain: str) -> None:
    db.update_item(TableName=plain, Key={"id": {"S": "x"}})
    assert get(db, plain, "x") == {"id": {"S": "x"}}


def test_of_eight_threads_one_wins_the_condition(db: Any, plain: str) -> None:
    start = threading.Barrier(8)
    won: list[int] = []

    def claim(number: int) -> None:
        start.wait()
        try:
            item = {"id": {"S": "slot"}, "by": {"N": str(number)}}
            db.put_item(TableName=plain, Item=item, ConditionExpression="attribute_not_exists(id)")
            won.append(number)
        except db.exceptions.ConditionalCheckFailedException:
            pass

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [get(db, plain, "slot")["by"]] == [{"N": str(number)} for number in won]


def test_counters_added_to_from_many_threads_lose_nothing(db: Any, plain: str) -> None:
    def count() -> None:
        for _ in range(20):
            update(db, plain, "ADD n :one", {":one": {"N": "1"}})

    threads = [threading.Thread(target=count) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert get(db, plain, "x")["n"] == {"N": "100"}


# Conditions

SUBJECT = {
    "n": {"N": "10"},
    "s": {"S": "hello"},
    "b": {"B": b"abc"},
    "l": {"L": [{"N": "1"}, {"M": {"k": {"S": "v"}}}]},
    "m": {"M": {"deep": {"M": {"x": {"N": "1"}}}}},
    "ss": {"SS": ["a", "b"]},
    "t": {"BOOL": True},
}
GIVEN: dict[str, Any] = {
    ":five": {"N": "5"},
    ":ten": {"N": "10.0"},
    ":he": {"S": "he"},
    ":text": {"S": "hello"},
    ":b": {"B": b"b"},
    ":a": {"S": "a"},
    ":set": {"SS": ["b", "a"]},
    ":one": {"N": "1"},
    ":v": {"S": "v"},
    ":number": {"S": "N"},
    ":true": {"BOOL": True},
}


@pytest.mark.parametrize(
    ("condition", "outcome"),
    [
        ("n = :ten", True),
        ("n > :five AND n <= :ten", True),
        ("n < :five OR s = :text", True),
        ("n BETWEEN :five AND :ten AND t = :true", True),
        ("NOT n BETWEEN :five AND :ten", False),
        ("n IN (:five, :ten)", True),
        ("n in (:five)", False),
        ("s > :five", False),
        ("n <> :text", True),
        ("absent <> :five", True),
        ("absent <> nowhere", True),
        ("absent = nowhere", False),
        ("absent = :five", False),
        ("NOT absent = :five", True),
        ("absent < :five", False),
        ("attribute_exists(m.deep.x) AND attribute_not_exists(m.deep.y)", True),
        ("attribute_exists(l[1].k) AND attribute_not_exists(l[12])", True),
        ("l[1].k = :v", True),
        ("attribute_type(n, :number)", True),
        ("begins_with(s, :he)", True),
        ("contains(s, :he) AND contains(ss, :a) AND contains(l, :one) AND contains(b, :b)", True),
        ("contains(n, :one)", False),
        ("size(s) = :five", True),
        ("size(l) > :one AND size(absent) < :five", False),
        ("ss = :set", True),
        ("(n = :five OR s = :text) AND (NOT (t <> :true))", True),
        ("n = :ten OR n = :five AND n = :one", True),
        ("(n) = (:ten)", True),
        ("(size(s)) < :ten\n\tAND :five < n", True),
    ],
)
def test_a_condition_holds_as_documented(db: Any, plain: str, condition: str, outcome: bool) -> None:
    put(db, plain, "x", **SUBJECT)
    used = {name: GIVEN[name] for name in re.findall(r":\w+", condition)}
    asked = {"FilterExpression": condition, **({"ExpressionAttributeValues": used} if used else {})}
    assert (db.scan(TableName=plain, **asked)["Count"] == 1) is outcome


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("", "Invalid ConditionExpression: The expression can not be empty;"),
        ("a = ", 'Invalid ConditionExpression: Syntax error; token: "<EOF>", near: "="'),
        ("a = :v extra", 'Invalid ConditionExpression: Syntax error; token: "extra", near: ":v extra"'),
        ("a ! :v", 'Syntax error; token: "!", near: "a ! :v"'),
        ("_a = :v", "Syntax error"),
        ("status = :v", "Attribute name is a reserved keyword; reserved keyword: status"),
        ("#no = :v", "An expression attribute name used in the document path is not defined; attribute name: #no"),
        ("a = :no", "An expression attribute value used in expression is not defined; attribute value: :no"),
        ("exists(a)", "Invalid function name; function: exists"),
        ("attribute_exists(a, b)", "number of operands: 2"),
        ("attribute_exists(:v)", "Operator or function requires a document path"),
        ("size(a)", "The function is not allowed to be used this way in an expression; function: size"),
        ("a = contains(b, :v)", "The function is not allowed to be used this way in an expression; function: contains"),
        ("begins_with(a, :n)", "operator or function: begins_with, operand type: N"),
        ("attribute_type(a, :v)", "Invalid attribute type name found; type: z"),
        ("a < :t", "operator or function: <, operand type: BOOL"),
        ("a BETWEEN :two AND :n", "upper bound to be greater than or equal to lower bound"),
        ("((a = :v))", "The expression has redundant parentheses;"),
        ("a = a", "The first operand must be distinct from the remaining operands"),
        (
            "a = :v AND attribute_exists(b)",
            "Value provided in ExpressionAttributeValues unused in expressions: keys: {",
        ),
        ("(" * 2000 + "a = :v", "nested too deeply"),
        ("a < " + "size(" * 680 + "b" + ")" * 680, "nested too deeply"),
        ("a < size(size(b))", "The function is not allowed to be used this way in an expression; function: size"),
        ("a = :v OR " * 500 + "a = :v", "Expression size has exceeded the maximum allowed size"),
    ],
)
def test_a_wrong_condition_is_refused(db: Any, plain: str, condition: str, message: str) -> None:
    given = {":v": {"S": "z"}, ":n": {"N": "1"}, ":two": {"N": "2"}, ":t": {"BOOL": True}}
    with invalid(message):
        db.put_item(
            TableName=plain,
            Item={"id": {"S": "x"}},
            ConditionExpression=condition,
            ExpressionAttributeValues=given,
        )


def test_placeholders_without_an_expression_are_refused(db: Any, plain: str) -> None:
    item = {"id": {"S": "x"}}
    with invalid("ExpressionAttributeNames can only be specified when using expressions"):
        db.put_item(TableName=plain, Item=item, ExpressionAttributeNames={"#a": "a"})
    with invalid("can only be specified when using expressions: ConditionExpression is null"):
        db.put_item(TableName=plain, Item=item, ExpressionAttributeValues={":a": {"S": "a"}})
    with invalid('ExpressionAttributeNames contains invalid key: Syntax error; key: "a"'):
        asked = {"ConditionExpression": "attribute_exists(id)", "ExpressionAttributeNames": {"a": "a"}}
        db.put_item(TableName=plain, Item=item, **asked)


def test_an_attribute_has_a_name(db: Any, plain: str) -> None:
    with invalid("Empty attribute name"):
        put(db, plain, "x", **{"": {"S": "a"}})
    with invalid("Empty attribute name"):
        put(db, plain, "x", m={"M": {"": {"S": "a"}}})
    with invalid("ExpressionAttributeNames contains invalid value: Empty attribute name for key #n"):
        update(db, plain, "REMOVE #n", ExpressionAttributeNames={"#n": ""})


def test_reserved_words_are_known() -> None:
    assert is_reserved("Status")
    assert not is_reserved("title")


# Updates


@pytest.mark.parametrize(
    ("expression", "after"),
    [
        ("SET a = b, b = a", {"a": {"N": "2"}, "b": {"N": "1"}}),
        ("SET a = a + :ten, b = b - :ten", {"a": {"N": "11"}, "b": {"N": "-8"}}),
        ("SET c = if_not_exists(c, :ten) + a", {"c": {"N": "11"}}),
        ("SET a = if_not_exists(a, :ten)", {}),
        ("SET l = list_append(l, :more)", {"l": {"L": [{"S": name} for name in "xyzm"]}}),
        ("SET l = list_append(:more, if_not_exists(absent, :more))", {"l": {"L": [{"S": "m"}, {"S": "m"}]}}),
        ("SET l[1] = :ten, l[9] = :s", {"l": {"L": [{"S": "x"}, {"N": "10"}, {"S": "z"}, {"S": "s"}]}}),
        ("REMOVE l[0], l[2]", {"l": {"L": [{"S": "y"}]}}),
        ("SET l[2] = :s REMOVE l[0]", {"l": {"L": [{"S": "y"}, {"S": "s"}]}}),
        ("REMOVE a, absent, l[7]", {"a": None}),
        ("SET m.fresh = :s REMOVE m.k", {"m": {"M": {"fresh": {"S": "s"}}}}),
        ("ADD a :ten, c :ten", {"a": {"N": "11"}, "c": {"N": "10"}}),
        ("ADD ss :set", {"ss": {"SS": ["1", "2", "3"]}}),
        ("ADD fresh :set", {"fresh": {"SS": ["2", "3"]}}),
        ("DELETE ss :set, nil :set", {"ss": {"SS": ["1"]}}),
        ("DELETE ss :all", {"ss": None}),
        ("set a = :s remove b", {"a": {"S": "s"}, "b": None}),
        ("SET big = :huge + :huge", {"big": {"N": "2" + "0" * 125}}),
    ],
)
def test_an_update_changes_what_it_names(db: Any, plain: str, expression: str, after: dict[str, Any]) -> None:
    before = {
        "id": {"S": "x"},
        "a": {"N": "1"},
        "b": {"N": "2"},
        "l": {"L": [{"S": name} for name in "xyz"]},
        "m": {"M": {"k": {"S": "v"}}},
        "ss": {"SS": ["1", "2"]},
    }
    db.put_item(TableName=plain, Item=before)
    known: dict[str, Any] = {
        ":ten": {"N": "10"},
        ":s": {"S": "s"},
        ":more": {"L": [{"S": "m"}]},
        ":set": {"SS": ["2", "3"]},
        ":all": {"SS": ["1", "2"]},
        ":huge": {"N": "1e125"},
    }
    update(db, plain, expression, {name: known[name] for name in re.findall(r":\w+", expression)})
    wanted = {name: value for name, value in {**before, **after}.items() if value is not None}
    assert get(db, plain, "x") == wanted


@pytest.mark.parametrize(("expression", "made"), [("REMOVE a", False), ("DELETE a :s", False), ("ADD a :s", True)])
def test_an_update_that_only_takes_away_makes_no_item(db: Any, plain: str, expression: str, made: bool) -> None:
    used = {name: {"SS": ["s"]} for name in re.findall(r":\w+", expression)}
    answer = update(db, plain, expression, used, ReturnValues="ALL_NEW")
    assert ("Attributes" in answer, get(db, plain, "x") is not None) == (made, made)


def test_an_update_that_says_nothing_makes_an_item(db: Any, plain: str) -> None:
    db.update_item(TableName=plain, Key={"id": {"S": "x"}})
    assert get(db, plain, "x") == {"id": {"S": "x"}}


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("SET a = absent + :n", "The provided expression refers to an attribute that does not exist in the item"),
        ("SET nil.nowhere = :n", "The document path provided in the update expression is invalid for update"),
        ("REMOVE nil.nowhere", "The document path provided in the update expression is invalid for update"),
        ("SET s[0] = :n", "The document path provided in the update expression is invalid for update"),
        ("SET a = s + :n", "An operand in the update expression has an incorrect data type"),
        ("ADD s :n", "An operand in the update expression has an incorrect data type"),
        ("SET a = :s + :n", "operator or function: +, operand type: S"),
        ("ADD a :s", "operator: ADD, operand type: STRING, typeSet: ALLOWED_FOR_ADD_OPERAND"),
        ("SET a = :n SET b = :n", 'The "SET" section can only be used once in an update expression;'),
        ("SET a = :n REMOVE a.b", "Two document paths overlap with each other"),
        ("SET a.b = :n, a[0] = :n", "path one: [a, b], path two: [a, [0]]"),
        ("SET a :n", "Invalid UpdateExpression: Syntax error"),
        ("CHANGE a = :n", "Invalid UpdateExpression: Syntax error"),
        ("SET a = nothing(b)", "Invalid function name; function: nothing"),
        ("SET id = :n", "Cannot update attribute id. This attribute is part of the key"),
    ],
)
def test_a_wrong_update_is_refused(db: Any, plain: str, expression: str, message: str) -> None:
    put(db, plain, "x", s={"S": "text"})
    known = {":n": {"N": "1"}, ":s": {"S": "s"}}
    used = {name: known[name] for name in re.findall(r":\w+", expression)}
    with invalid(message):
        update(db, plain, expression, used)
    assert get(db, plain, "x") == {"id": {"S": "x"}, "s": {"S": "text"}}


# Query and Scan


def test_a_projection_picks_parts_of_the_item(db: Any, plain: str) -> None:
    put(db, plain, "x", **SUBJECT)
    asked = {"TableName": plain, "Key": {"id": {"S": "x"}}}
    found = db.get_item(**asked, ProjectionExpression="#n, m.deep, l[1].k, nil", ExpressionAttributeNames={"#n": "n"})
    picked = {"n": {"N": "10"}, "m": {"M": {"deep": {"M": {"x": {"N": "1"}}}}}, "l": {"L": [{"M": {"k": {"S": "v"}}}]}}
    assert found["Item"] == picked
    with invalid("Invalid ProjectionExpression: Two document paths overlap with each other"):
        db.get_item(**asked, ProjectionExpression="m, m.deep")


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        (KeyIs("seq").eq(3), [3]),
        (KeyIs("seq").lt(-1), [-10]),
        (KeyIs("seq").lte(-1), [-10, -1]),
        (KeyIs("seq").gt(3), [Decimal("3.5"), 20]),
        (KeyIs("seq").gte(20), [20]),
        (KeyIs("seq").between(-1, Decimal("3.5")), [-1, 0, 3, Decimal("3.5")]),
        (None, [-10, -1, 0, 3, Decimal("3.5"), 20]),
    ],
)
def test_a_key_condition_is_a_range_in_the_order_of_numbers(notes: Any, condition: Any, found: list[Any]) -> None:
    for at in (20, 3, -1, 0, Decimal("3.5"), -10):
        notes.put_item(Item={"id": "x", "seq": at})
        notes.put_item(Item={"id": "other", "seq": at})
    whole = KeyIs("id").eq("x") & condition if condition else KeyIs("id").eq("x")
    assert [item["seq"] for item in notes.query(KeyConditionExpression=whole)["Items"]] == found
    back = notes.query(KeyConditionExpression=whole, ScanIndexForward=False)["Items"]
    assert [item["seq"] for item in back] == found[::-1]


@pytest.mark.parametrize(("forward", "found"), [(True, [2, 3, 4, 5]), (False, [5, 4, 3, 2])])
def test_the_last_page_of_a_range_ends_where_the_range_does(notes: Any, forward: bool, found: list[int]) -> None:
    for at in range(9):
        notes.put_item(Item={"id": "x", "seq": at, "status": "new", "rank": at})
    asked = {"Limit": 3, "ScanIndexForward": forward}
    mine = KeyIs("id").eq("x") & KeyIs("seq").between(2, 5)
    assert [item["seq"] for item in pages(notes.query, KeyConditionExpression=mine, **asked)] == found
    new = KeyIs("status").eq("new") & KeyIs("rank").between(2, 5)
    by_status = pages(notes.query, IndexName="by-status", KeyConditionExpression=new, **asked)
    assert [item["seq"] for item in by_status] == found


def test_strings_sort_by_their_utf_8_bytes_and_begin_with_a_prefix(db: Any, service: DynamoDb) -> None:
    keys = [("p", "S", "HASH"), ("s", "S", "RANGE"), ("raw", "B", "RANGE")]
    definitions = [{"AttributeName": name, "AttributeType": kind} for name, kind, _ in keys]
    schemas = [[{"AttributeName": name, "KeyType": role} for name, _, role in pair] for pair in (keys[:2], keys[::2])]
    index = {"IndexName": "by-raw", "KeySchema": schemas[1], "Projection": {"ProjectionType": "ALL"}}
    service.ensure_table(
        "words",
        {
            "AttributeDefinitions": definitions,
            "KeySchema": schemas[0],
            "LocalSecondaryIndexes": [index],
            "BillingMode": "PAY_PER_REQUEST",
        },
    )
    words = ["a", "ab", "abz", "ac", "z", "é", "éa", "\uffff", "🎬", "🎬b"]
    raws = [b"\xff", b"\xff\xff", b"\xff\x00", b"\x00", b"a", b"ab", b"\xfe\xff", b"b", b"\xffz", b"\xfe"]
    for word, raw in zip(words, raws, strict=True):
        db.put_item(TableName="words", Item={"p": {"S": "p"}, "s": {"S": word}, "raw": {"B": raw}})

    def starting(name: str, prefix: dict[str, Any], **index: str) -> list[Any]:
        given = {":p": {"S": "p"}, ":prefix": prefix}
        condition = f"p = :p AND begins_with({name}, :prefix)"
        asked = {"KeyConditionExpression": condition.replace("raw", "#r"), "ExpressionAttributeValues": given}
        names = {"ExpressionAttributeNames": {"#r": "raw"}} if name == "raw" else {}
        found = db.query(TableName="words", **asked, **names, **index)["Items"]
        return [next(iter(item[name].values())) for item in found]

    for prefix in ("a", "ab", "é", "🎬", "\uffff"):
        assert starting("s", {"S": prefix}) == [word for word in words if word.startswith(prefix)]
    for start in (b"\xff", b"\xff\xff", b"a", b"\xfe"):
        wanted = sorted(raw for raw in raws if raw.startswith(start))
        assert starting("raw", {"B": start}, IndexName="by-raw") == wanted


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("seq = :n", "Query condition missed key schema element: id"),
        ("id > :s", "Query key condition not supported"),
        ("id = :s AND extra = :n", "Query condition missed key schema element: seq"),
        ("id = :s OR seq = :n", "Invalid operator used in KeyConditionExpression: OR"),
        ("id = :s AND seq > :n AND seq < :n", "must only contain one condition per key"),
        ("id = :s AND seq = :s", "Condition parameter type does not match schema type"),
        ("id = :s AND begins_with(seq, :s)", "Condition parameter type does not match schema type"),
        ("id = :s AND contains(seq, :n)", "Invalid operator used in KeyConditionExpression: contains"),
    ],
)
def test_a_wrong_key_condition_is_refused(db: Any, notes: Any, condition: str, message: str) -> None:
    known = {":n": {"N": "1"}, ":s": {"S": "s"}}
    used = {name: known[name] for name in re.findall(r":\w+", condition)}
    with invalid(message):
        db.query(TableName="notes", KeyConditionExpression=condition, ExpressionAttributeValues=used)


def test_a_query_is_refused_what_aws_refuses_it(notes: Any) -> None:
    mine = KeyIs("id").eq("x")
    new = {"KeyConditionExpression": KeyIs("status").eq("new")}
    with invalid("Consistent reads are not supported on global secondary indexes"):
        notes.query(IndexName="by-status", ConsistentRead=True, **new)
    with invalid("Filter Expression can only contain non-primary key attributes: Primary key attribute: seq"):
        notes.query(KeyConditionExpression=mine, FilterExpression=Attr("seq").gt(1))
    with invalid("Select type ALL_ATTRIBUTES is not supported for global secondary index keys-only"):
        notes.query(IndexName="keys-only", Select="ALL_ATTRIBUTES", **new)
    with invalid("Global secondary index keys-only does not project [title]"):
        notes.query(IndexName="keys-only", ProjectionExpression="title", **new)
    with invalid("Cannot specify the ProjectionExpression when choosing to get only the Count"):
        notes.query(KeyConditionExpression=mine, Select="COUNT", ProjectionExpression="title")
    with invalid("The provided starting key is outside query boundaries"):
        notes.query(KeyConditionExpression=mine, ExclusiveStartKey={"id": "y", "seq": 1})
    with invalid("The provided starting key is invalid"):
        notes.query(KeyConditionExpression=mine, ExclusiveStartKey={"id": "x"})
    with invalid("Either the KeyConditions or KeyConditionExpression parameter must be specified"):
        notes.query()


def test_a_request_is_held_against_the_model_of_the_api(raw: Any, plain: str) -> None:
    with invalid(
        "2 validation errors detected: "
        "Value null at 'tableName' failed to satisfy constraint: Member must not be null; "
        "Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1"
    ):
        raw.scan(Limit=0)
    with refused("SerializationException"):
        raw.get_item(TableName=plain, Key={"id": {"S": 5}})


def test_an_index_holds_what_it_projects_of_the_items_that_have_its_keys(notes: Any) -> None:
    whole = {"id": "x", "seq": 1, "status": "new", "rank": 5, "title": "T", "body": "B"}
    notes.put_item(Item=whole)
    notes.put_item(Item={"id": "sparse", "seq": 1, "title": "T"})
    new = KeyIs("status").eq("new")

    def found(index: str, condition: Any = new, **more: Any) -> list[dict[str, Any]]:
        return list(notes.query(IndexName=index, KeyConditionExpression=condition, **more)["Items"])

    keys = {"id": "x", "seq": 1, "status": "new"}
    assert found("by-status") == [whole]
    assert found("keys-only") == [keys]
    assert found("with-title") == [{**keys, "title": "T"}]
    assert found("keys-only", FilterExpression=Attr("body").eq("B")) == []
    local = KeyIs("id").eq("x")
    assert found("by-rank", local) == [{"id": "x", "seq": 1, "rank": 5}]
    assert found("by-rank", local, Select="ALL_ATTRIBUTES") == [whole]
    assert found("by-rank", local, ProjectionExpression="body") == [{"body": "B"}]
    notes.update_item(
        Key={"id": "x", "seq": 1}, UpdateExpression="REMOVE #s", ExpressionAttributeNames={"#s": "status"}
    )
    assert notes.scan(IndexName="by-status")["Items"] == []
    assert found("by-rank", local) == [{"id": "x", "seq": 1, "rank": 5}]


def test_a_filter_counts_what_it_read_and_a_limit_counts_before_it(notes: Any) -> None:
    for at in range(10):
        notes.put_item(Item={"id": "x", "seq": at, "even": at % 2 == 0})
    asked = {"KeyConditionExpression": KeyIs("id").eq("x"), "FilterExpression": Attr("even").eq(True)}
    page = notes.query(**asked, Limit=3)
    assert (page["Count"], page["ScannedCount"], page["LastEvaluatedKey"]) == (2, 3, {"id": "x", "seq": 2})
    rest = notes.query(**asked, ExclusiveStartKey=page["LastEvaluatedKey"], Select="COUNT")
    assert (rest["Count"], rest["ScannedCount"], "Items" in rest, "LastEvaluatedKey" in rest) == (3, 7, False, False)


def test_a_page_ends_at_one_megabyte(db: Any, plain: str, notes: Any) -> None:
    for at in range(6):
        notes.put_item(Item={"id": "x", "seq": at, "status": "new", "body": "b" * 300_000})
    first = notes.query(KeyConditionExpression=KeyIs("id").eq("x"))
    assert (first["Count"], first["LastEvaluatedKey"]) == (3, {"id": "x", "seq": 2})
    assert notes.scan()["Count"] == 3
    assert notes.query(IndexName="keys-only", KeyConditionExpression=KeyIs("status").eq("new"))["Count"] == 6
    pages = db.get_paginator("scan").paginate(TableName="notes")
    assert [page["Count"] for page in pages] == [3, 3]


def test_the_segments_of_a_scan_share_the_items(db: Any, plain: str) -> None:
    for number in range(50):
        put(db, plain, str(number))
    parts = []
    for segment in range(3):
        pages = db.get_paginator("scan").paginate(
            TableName=plain, Segment=segment, TotalSegments=3, PaginationConfig={"PageSize": 7}
        )
        parts.append([item["id"]["S"] for page in pages for item in page["Items"]])
    assert sorted(itertools.chain(*parts)) == sorted(map(str, range(50)))
    assert all(parts)
    with invalid("Segment: 3 is not less than TotalSegments: 3"):
        db.scan(TableName=plain, Segment=3, TotalSegments=3)
    of_the_first = {"id": {"S": parts[0][0]}}
    with invalid("Please use ExclusiveStartKey with correct Segment. TotalSegments: 3 Segment: 1"):
        db.scan(TableName=plain, Segment=1, TotalSegments=3, ExclusiveStartKey=of_the_first)


def test_a_batch_names_a_table_once(db: Any, plain: str) -> None:
    arn = db.describe_table(TableName=plain)["Table"]["TableArn"]
    puts = [{"PutRequest": {"Item": {"id": {"S": "x"}}}}]
    with invalid("A table is named twice"):
        db.batch_write_item(RequestItems={plain: puts, arn: puts})
    with invalid("A table is named twice"):
        db.batch_get_item(RequestItems={name: {"Keys": [{"id": {"S": "x"}}]} for name in (plain, arn)})


# Batches and transactions


def test_batches_write_and_read_many_items(db: Any, plain: str) -> None:
    puts = [{"PutRequest": {"Item": {"id": {"S": str(number)}}}} for number in range(25)]
    assert db.batch_write_item(RequestItems={plain: puts})["UnprocessedItems"] == {}
    db.batch_write_item(RequestItems={plain: [{"DeleteRequest": {"Key": {"id": {"S": "3"}}}}]})
    keys = [{"id": {"S": str(number)}} for number in range(30)]
    found = db.batch_get_item(RequestItems={plain: {"Keys": keys, "ConsistentRead": True}})
    assert {item["id"]["S"] for item in found["Responses"][plain]} == {str(n) for n in range(25)} - {"3"}
    assert found["UnprocessedKeys"] == {}
    with invalid("Provided list of item keys contains duplicates"):
        db.batch_get_item(RequestItems={plain: {"Keys": [keys[0], keys[0]]}})
    with invalid("Provided list of item keys contains duplicates"):
        db.batch_write_item(RequestItems={plain: [puts[0], puts[0]]})
    with invalid("Member must have length less than or equal to 25"):
        db.batch_write_item(RequestItems={plain: [*puts, {"PutRequest": {"Item": {"id": {"S": "25"}}}}]})
    with invalid("Member must have length less than or equal to 100"):
        db.batch_get_item(RequestItems={plain: {"Keys": [{"id": {"S": str(n)}} for n in range(101)]}})


def test_a_batch_leaves_unread_what_is_over_16_mb(db: Any, plain: str) -> None:
    for number in range(45):
        put(db, plain, str(number), body={"S": "b" * 400_000})
    wish: dict[str, Any] = {"Keys": [{"id": {"S": str(number)}} for number in range(45)], "ProjectionExpression": "id"}
    seen: list[str] = []
    rounds = 0
    asked = {plain: wish}
    while asked:
        answer = db.batch_get_item(RequestItems=asked)
        seen += [item["id"]["S"] for item in answer["Responses"][plain]]
        asked = answer["UnprocessedKeys"]
        rounds += 1
    assert (sorted(seen, key=int), rounds) == ([str(number) for number in range(45)], 2)


def test_a_transaction_is_all_or_nothing_and_says_why(db: Any, plain: str) -> None:
    put(db, plain, "x", n={"N": "1"})
    one: dict[str, Any] = {":one": {"N": "1"}}

    def change(condition: str) -> dict[str, Any]:
        key = {"TableName": plain, "Key": {"id": {"S": "x"}}, "ExpressionAttributeValues": one}
        shown = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        return {"Update": {**key, "UpdateExpression": "ADD n :one", "ConditionExpression": condition, **shown}}

    fresh = {"Put": {"TableName": plain, "Item": {"id": {"S": "y"}}}}
    absent = {"TableName": plain, "Key": {"id": {"S": "z"}}, "ConditionExpression": "attribute_not_exists(id)"}
    message = "Transaction cancelled, please refer cancellation reasons for specific reasons [None, ConditionalCheckF"
    with refused("TransactionCanceledException", message) as error:
        db.transact_write_items(TransactItems=[fresh, change("n > :one"), {"ConditionCheck": absent}])
    assert [reason["Code"] for reason in error["CancellationReasons"]] == ["None", "ConditionalCheckFailed", "None"]
    assert error["CancellationReasons"][1]["Item"] == {"id": {"S": "x"}, "n": {"N": "1"}}
    assert get(db, plain, "y") is None
    db.transact_write_items(TransactItems=[fresh, change("n = :one"), {"ConditionCheck": absent}])
    assert (get(db, plain, "x")["n"], get(db, plain, "y")) == ({"N": "2"}, {"id": {"S": "y"}})
    read = [{"Get": {"TableName": plain, "Key": {"id": {"S": id}}}} for id in "yzx"]
    assert [bool(found.get("Item")) for found in db.transact_get_items(TransactItems=read)["Responses"]] == [1, 0, 1]


def test_what_a_table_cannot_hold_cancels_a_transaction(db: Any, notes: Any) -> None:
    wrong = {"id": {"S": "x"}, "seq": {"S": "not a number"}}
    with refused("TransactionCanceledException", "[ValidationError]") as error:
        db.transact_write_items(TransactItems=[{"Put": {"TableName": "notes", "Item": wrong}}])
    assert "Type mismatch for key seq" in error["CancellationReasons"][0]["Message"]


def test_a_transaction_names_an_item_once_and_one_action_each(db: Any, plain: str) -> None:
    key = {"TableName": plain, "Key": {"id": {"S": "x"}}}
    update_it = {**key, "UpdateExpression": "REMOVE a"}
    with invalid("Transaction request cannot include multiple operations on one item"):
        failing = {**key, "ConditionExpression": "attribute_exists(id)"}
        db.transact_write_items(TransactItems=[{"Delete": failing}, {"Update": update_it}])
    with invalid("TransactItems can only contain one of Check, Put, Update or Delete"):
        db.transact_write_items(TransactItems=[{"Delete": key, "Update": update_it}])
    with invalid("Member must have length less than or equal to 100"):
        deletes = [{"Delete": {"TableName": plain, "Key": {"id": {"S": str(n)}}}} for n in range(101)]
        db.transact_write_items(TransactItems=deletes)


def test_a_token_makes_a_transaction_happen_once(db: Any, plain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def add(number: int) -> None:
        key = {"TableName": plain, "Key": {"id": {"S": "x"}}, "UpdateExpression": "ADD n :n"}
        write = {"Update": {**key, "ExpressionAttributeValues": {":n": {"N": str(number)}}}}
        db.transact_write_items(TransactItems=[write], ClientRequestToken="token")

    add(1)
    add(1)
    with refused("IdempotentParameterMismatchException"):
        add(2)
    assert get(db, plain, "x")["n"] == {"N": "1"}
    later = clock.now() + 601
    monkeypatch.setattr(clock, "now", lambda: later)
    add(1)
    assert get(db, plain, "x")["n"] == {"N": "2"}


def test_a_cancelled_transaction_may_use_its_token_again(db: Any, plain: str) -> None:
    write = {"TableName": plain, "Item": {"id": {"S": "y"}}, "ConditionExpression": "attribute_exists(id)"}
    for _ in range(2):
        with refused("TransactionCanceledException"):
            db.transact_write_items(TransactItems=[{"Put": write}], ClientRequestToken="token")


# Laws

ids = st.sampled_from(["a", "b"])
ranks = st.integers(-3, 3)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), ids, ranks, st.none() | st.sampled_from(["new", "old"]), ranks),
        st.tuples(st.just("update"), ids, ranks, st.none() | st.sampled_from(["new", "old"]), ranks),
        st.tuples(st.just("delete"), ids, ranks, st.none(), ranks),
    ),
    min_size=8,
    max_size=25,
)


def do(table: Any, model: dict[Any, Any], step: Any) -> None:
    """One step on the table and on a plain dict."""
    action, id, at, status, rank = step
    key = {"id": id, "seq": at}
    if action == "put":
        item = {**key, "rank": rank, **({"status": status} if status else {})}
        table.put_item(Item=item)
        model[id, at] = item
    elif action == "delete":
        table.delete_item(Key=key)
        model.pop((id, at), None)
    else:
        item = {**model.get((id, at), key), "n": rank}
        item.pop("status", None)
        asked = {"UpdateExpression": "SET n = :n REMOVE #s", "ExpressionAttributeValues": {":n": rank}}
        if status:
            item["status"] = status
            asked["UpdateExpression"] = "SET n = :n, #s = :s"
            asked["ExpressionAttributeValues"] = {":n": rank, ":s": status}
        table.update_item(Key=key, ExpressionAttributeNames={"#s": "status"}, **asked)
        model[id, at] = item


def pages(read: Callable[..., Any], **asked: Any) -> list[Any]:
    """All items, by following LastEvaluatedKey."""
    items: list[Any] = []
    while True:
        page = read(**asked)
        items += page["Items"]
        assert len(items) < 1000, "the pages never end"
        if "LastEvaluatedKey" not in page:
            return items
        asked["ExclusiveStartKey"] = page["LastEvaluatedKey"]


@OVER_THE_WIRE
@given(steps, st.integers(1, 3), ranks, ranks, st.booleans())
def test_any_history_reads_back_as_a_plain_dict_would(
    db: Any, service: DynamoDb, history: Any, limit: int, one: int, other: int, forward: bool
) -> None:
    name = f"notes-{next(_names)}"
    service.ensure_table(name, NOTES)
    table = resource(db).Table(name)
    model: dict[Any, Any] = {}
    for step in history:
        do(table, model, step)
    low, high = sorted((one, other))

    def expected(sort: str, holds: Callable[[Any], bool]) -> list[Any]:
        found = [item for item in model.values() if sort in item and low <= item[sort] <= high and holds(item)]
        found.sort(key=lambda item: (item[sort], item["id"], item["seq"]))
        return found if forward else found[::-1]

    between = {"Limit": limit, "ScanIndexForward": forward}
    mine = KeyIs("id").eq("a") & KeyIs("seq").between(low, high)
    assert pages(table.query, KeyConditionExpression=mine, **between) == expected("seq", lambda i: i["id"] == "a")
    new = KeyIs("status").eq("new") & KeyIs("rank").between(low, high)
    by_status = pages(table.query, IndexName="by-status", KeyConditionExpression=new, **between)
    assert by_status == expected("rank", lambda item: item.get("status") == "new")
    by_key = sorted(pages(table.scan, Limit=limit), key=lambda item: (item["id"], item["seq"]))
    assert by_key == [model[key] for key in sorted(model)]
    assert len(pages(table.scan, IndexName="keys-only", Limit=limit)) == sum("status" in i for i in model.values())
    described = table.meta.client.describe_table(TableName=name)["Table"]
    size = sum(values.item_size(TypeSerializer().serialize(item)["M"]) for item in model.values())
    assert (described["ItemCount"], described["TableSizeBytes"]) == (len(model), size)


# Size


@pytest.mark.slow
def test_twenty_thousand_items_are_read_and_written_by_index(
    state: State, service: DynamoDb, db: Any, notes: Any
) -> None:
    store = service._store
    with state.transaction():
        table = store.table("notes")
        for number in range(20_000):
            status = {"S": f"s{number % 4}"}
            keys = {"id": {"S": f"id{number % 100}"}, "seq": {"N": str(number)}}
            store.write(table, None, {**keys, "status": status, "rank": {"N": str(number)}})
    statements: list[str] = []
    state._db.set_trace_callback(statements.append)
    first = notes.query(IndexName="by-status", KeyConditionExpression=KeyIs("status").eq("s1"), Limit=10)
    next_page = {"ExclusiveStartKey": first["LastEvaluatedKey"], "Limit": 10, "ScanIndexForward": False}
    notes.query(IndexName="by-status", KeyConditionExpression=KeyIs("status").eq("s1"), **next_page)
    notes.query(KeyConditionExpression=KeyIs("id").eq("id1") & KeyIs("seq").gt(100), Limit=10)
    scanned = notes.scan(Limit=5)
    notes.scan(Limit=5, ExclusiveStartKey=scanned["LastEvaluatedKey"])
    notes.put_item(Item={"id": "id1", "seq": 1, "status": "s2", "rank": 1})
    key = {"TableName": "notes", "Key": {"id": {"S": "id2"}, "seq": {"N": "2"}}}
    db.transact_write_items(TransactItems=[{"Delete": key}], ClientRequestToken="token")
    service.expire(2_000_000_000)
    state._db.set_trace_callback(None)
    plans = {
        statement: [row["detail"] for row in state._db.execute(f"EXPLAIN QUERY PLAN {statement}")]
        for statement in statements
        if statement.startswith(("SELECT", "DELETE", "UPDATE")) and statement != "SELECT name FROM dynamodb_tables"
    }
    assert len(plans) > 12
    details = [detail for plan in plans.values() for detail in plan]
    assert all(detail.startswith("SEARCH") for detail in details), plans
    assert any("pk=? AND (sk,item_pk,item_sk)<(?,?,?)" in detail for detail in details), details


def test_binary_attributes_compare_by_their_bytes(db: Any, plain: str) -> None:
    put(db, plain, "x", b={"B": base64.b64decode("/w==")})
    asked = {"FilterExpression": "b > :low", "ExpressionAttributeValues": {":low": {"B": b"\x7f"}}}
    assert db.scan(TableName=plain, **asked)["Count"] == 1

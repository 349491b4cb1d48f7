"""A table's definition: checked as CreateTable checks it, and read from CloudFormation's properties."""

import re
from collections.abc import Iterator
from typing import Any

from local.dynamodb.errors import invalid
from local.shapes import is_tag_text

Definition = dict[str, Any]
MAX_GLOBAL_INDEXES = 20
MAX_LOCAL_INDEXES = 5
MAX_TAGS = 50
_BAD = "One or more parameter values were invalid:"
_NAME = re.compile(r"[a-zA-Z0-9_.-]{3,255}")
_KEPT = (
    "AttributeDefinitions",
    "BillingMode",
    "DeletionProtectionEnabled",
    "GlobalSecondaryIndexes",
    "KeySchema",
    "LocalSecondaryIndexes",
    "OnDemandThroughput",
    "ProvisionedThroughput",
    "SSESpecification",
    "TableClass",
)
# What bounds cost, capacity or monitoring on AWS changes nothing a client of the laptop could see.
_WITHOUT_EFFECT = (
    "ContributorInsightsSpecification",
    "ReadOnDemandThroughputSettings",
    "ReadProvisionedThroughputSettings",
    "WarmThroughput",
    "WriteOnDemandThroughputSettings",
    "WriteProvisionedThroughputSettings",
)
_TRANSLATED = (
    "PointInTimeRecoverySpecification",
    "Replicas",
    "StreamSpecification",
    "TableName",
    "Tags",
    "TimeToLiveSpecification",
)
_OF_A_REPLICA = (
    "ContributorInsightsSpecification",
    "DeletionProtectionEnabled",
    "GlobalSecondaryIndexes",
    "PointInTimeRecoverySpecification",
    "ReadOnDemandThroughputSettings",
    "ReadProvisionedThroughputSettings",
    "Region",
    "SSESpecification",
    "TableClass",
    "Tags",
)


def from_request(request: dict[str, Any]) -> Definition:
    """CreateTable's request as a definition."""
    check_name(request["TableName"])
    _refuse_stream(request)
    for member in ("AttributeDefinitions", "KeySchema"):
        if request.get(member) is None:
            path = member[0].lower() + member[1:]
            raise invalid(
                f"1 validation error detected: Value null at '{path}' failed to satisfy constraint: "
                "Member must not be null"
            )
    _check_throughput(request)
    definition = {member: request[member] for member in _KEPT if request.get(member) is not None}
    definition["Tags"] = tags(request.get("Tags") or [])
    check(definition)
    return definition


def check_name(name: str) -> None:
    """Refuse what is no table's name."""
    if not 3 <= len(name) <= 255:
        raise invalid("TableName must be at least 3 characters long and at most 255 characters long")
    if not _NAME.fullmatch(name):
        raise invalid(
            f"1 validation error detected: Value '{name}' at 'tableName' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
        )


def from_cloudformation(properties: dict[str, Any], region: str) -> Definition:
    """The Properties of an `AWS::DynamoDB::Table` or, with Replicas, an `AWS::DynamoDB::GlobalTable`."""
    for member in properties:
        if member not in (*_KEPT, *_WITHOUT_EFFECT, *_TRANSLATED):
            raise invalid(f"The laptop does not offer {member} of a table")
    _refuse_stream(properties)
    merged = {**properties, **_replica(properties["Replicas"], region)} if "Replicas" in properties else properties
    definition: Definition = {member: merged[member] for member in _KEPT if merged.get(member) is not None}
    definition.setdefault("BillingMode", "PROVISIONED")
    if "Replicas" not in properties:
        _check_throughput(definition)
    definition["Tags"] = tags(merged.get("Tags") or [])
    expiry = merged.get("TimeToLiveSpecification") or {}
    if expiry.get("Enabled"):
        definition["TimeToLive"] = expiry["AttributeName"]
    recovery = merged.get("PointInTimeRecoverySpecification") or {}
    if recovery.get("PointInTimeRecoveryEnabled"):
        definition["BackupDays"] = recovery.get("RecoveryPeriodInDays", 35)
    check(definition)
    return definition


def tags(given: list[dict[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in given}


def check_tags(tags: dict[str, str]) -> None:
    if len(tags) > MAX_TAGS:
        raise invalid(f"{_BAD} Too many tags, at most {MAX_TAGS}")
    for key, value in tags.items():
        if key.lower().startswith("aws:"):
            raise invalid(f"{_BAD} A tag's key does not start with aws: {key}")
        if not is_tag_text(key + value):
            raise invalid(f"{_BAD} A tag has letters, numbers, spaces and _.:/=+-@ only: {key}")


def _replica(replicas: list[dict[str, Any]], region: str) -> dict[str, Any]:
    """What a global table says of its one replica; that replica's index settings bound capacity only."""
    if [replica["Region"] for replica in replicas] != [region]:
        raise invalid(f"The laptop offers a global table with one replica, in {region}")
    for member in replicas[0]:
        if member not in _OF_A_REPLICA:
            raise invalid(f"The laptop does not offer {member} of a replica")
    taken = ("DeletionProtectionEnabled", "PointInTimeRecoverySpecification", "TableClass", "Tags")
    return {member: replicas[0][member] for member in taken if member in replicas[0]}


def _refuse_stream(given: dict[str, Any]) -> None:
    stream = given.get("StreamSpecification")
    if stream and stream.get("StreamEnabled", True):
        raise invalid("The laptop does not offer DynamoDB Streams")


def _check_throughput(given: dict[str, Any]) -> None:
    on_demand = given.get("BillingMode") == "PAY_PER_REQUEST"
    if on_demand and given.get("ProvisionedThroughput"):
        raise invalid(
            f"{_BAD} Neither ReadCapacityUnits nor WriteCapacityUnits can be specified "
            "when BillingMode is PAY_PER_REQUEST"
        )
    if not on_demand and not given.get("ProvisionedThroughput"):
        raise invalid(
            f"{_BAD} ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED"
        )


def check(definition: Definition) -> None:
    """Refuse tags that are none, and keys and indexes that do not fit together."""
    check_tags(definition["Tags"])
    _check_keys(definition["KeySchema"], "")
    for member in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes"):
        if definition.get(member) == []:
            raise invalid(f"{_BAD} List of {member} is empty")
    names = set()
    for index in indexes(definition):
        if index["IndexName"] in names:
            raise invalid(f"{_BAD} Duplicate index name: {index['IndexName']}")
        names.add(index["IndexName"])
        _check_keys(index["KeySchema"], f" for index {index['IndexName']}")
        _check_projection(index.get("Projection") or {})
    _check_counts(definition)
    for index in definition.get("LocalSecondaryIndexes") or []:
        _check_local(index, definition["KeySchema"])
    _check_attributes(definition)


def indexes(definition: Definition) -> Iterator[dict[str, Any]]:
    for member in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes"):
        yield from definition.get(member) or []


def _check_counts(definition: Definition) -> None:
    for member, limit in (("GlobalSecondaryIndexes", MAX_GLOBAL_INDEXES), ("LocalSecondaryIndexes", MAX_LOCAL_INDEXES)):
        if len(definition.get(member) or []) > limit:
            raise invalid(f"{_BAD} Number of {member} exceeds per-table limit of {limit}")


def _check_keys(schema: list[dict[str, str]], where: str) -> None:
    if len(schema) > 2:
        raise invalid(f"The laptop does not offer keys of more than two attributes{where}")
    if schema[0]["KeyType"] != "HASH":
        raise invalid("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
    if len(schema) == 2:
        if schema[1]["KeyType"] != "RANGE":
            raise invalid("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type")
        if schema[0]["AttributeName"] == schema[1]["AttributeName"]:
            raise invalid("Both the Hash Key and the Range Key element in the KeySchema have the same name")


def _check_projection(projection: dict[str, Any]) -> None:
    kind = projection.get("ProjectionType")
    if kind not in ("ALL", "KEYS_ONLY", "INCLUDE"):
        raise invalid(f"{_BAD} Unknown ProjectionType: {kind or 'null'}")
    if kind == "INCLUDE" and not projection.get("NonKeyAttributes"):
        raise invalid(f"{_BAD} ProjectionType is INCLUDE, but NonKeyAttributes is not specified")
    if kind != "INCLUDE" and projection.get("NonKeyAttributes"):
        raise invalid(f"{_BAD} ProjectionType is {kind}, but NonKeyAttributes is specified")


def _check_local(index: dict[str, Any], table: list[dict[str, str]]) -> None:
    name, schema = index["IndexName"], index["KeySchema"]
    if len(table) < 2:
        raise invalid(
            f"{_BAD} Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex"
        )
    if len(schema) < 2:
        raise invalid(f"{_BAD} Index KeySchema does not have a range key for index: {name}")
    own, leading = schema[0]["AttributeName"], table[0]["AttributeName"]
    if own != leading:
        raise invalid(
            f"{_BAD} Index KeySchema does not have the same leading hash key as table KeySchema "
            f"for index: {name}. index hash key: {own}, table hash key: {leading}"
        )


def _check_attributes(definition: Definition) -> None:
    defined = [attribute["AttributeName"] for attribute in definition["AttributeDefinitions"]]
    schemas = [definition["KeySchema"], *(index["KeySchema"] for index in indexes(definition))]
    used = sorted({element["AttributeName"] for schema in schemas for element in schema})
    missing = sorted(set(used) - set(defined))
    shown = f"AttributeDefinitions: [{', '.join(defined)}]"
    if missing:
        raise invalid(
            f"{_BAD} Some index key attributes are not defined in AttributeDefinitions. "
            f"Keys: [{', '.join(missing)}], {shown}"
        )
    if set(defined) != set(used):
        if len(schemas) > 1:
            raise invalid(f"{_BAD} Some AttributeDefinitions are not used. {shown}, keys used: [{', '.join(used)}]")
        raise invalid(
            f"{_BAD} Number of attributes in KeySchema does not exactly match "
            "number of attributes defined in AttributeDefinitions"
        )
    if len(defined) > len(set(defined)):
        raise invalid(f"{_BAD} Duplicate AttributeName in AttributeDefinitions")


def check_change(before: Definition, now: Definition) -> None:
    """Refuse what an update of a table cannot change: it would be another table, or another index."""
    for member in ("KeySchema", "LocalSecondaryIndexes"):
        if _keyed(before, member) != _keyed(now, member):
            raise invalid(f"{member} of a table cannot change: that takes a table of another name")
    known = {index["IndexName"]: index for index in before.get("GlobalSecondaryIndexes") or []}
    for index in now.get("GlobalSecondaryIndexes") or []:
        old = known.get(index["IndexName"])
        if old and _typed(before, old) != _typed(now, index):
            raise invalid(
                "Cannot update GSI's properties other than Provisioned Throughput and Contributor Insights "
                "Specification. You can create a new GSI with a different name."
            )


def _keyed(definition: Definition, member: str) -> list[Any]:
    found = definition.get(member) or []
    if member == "KeySchema":
        return [(element, _kinds(definition)[element["AttributeName"]]) for element in found]
    return sorted(_typed(definition, index) for index in found)


def _typed(definition: Definition, index: dict[str, Any]) -> tuple[str, list[tuple[str, str]], str, list[str]]:
    kinds = _kinds(definition)
    keys = [(element["AttributeName"], kinds[element["AttributeName"]]) for element in index["KeySchema"]]
    projection = index["Projection"]
    return index["IndexName"], keys, projection["ProjectionType"], sorted(projection.get("NonKeyAttributes") or [])


def _kinds(definition: Definition) -> dict[str, str]:
    return {found["AttributeName"]: found["AttributeType"] for found in definition["AttributeDefinitions"]}

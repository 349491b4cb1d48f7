"""Operations on tables: made, described, listed, deleted, tagged, and when their items expire."""

from collections.abc import Callable
from typing import Any

from local import clock
from local.dynamodb import definitions
from local.dynamodb.definitions import Definition
from local.dynamodb.errors import invalid, no_table
from local.dynamodb.items import Request, table_name
from local.dynamodb.store import Store, TableRow
from local.wire import ACCOUNT, AwsError


class Tables:
    def __init__(self, store: Store, region: str) -> None:
        self._store = store
        self._region = region

    def arn(self, name: str) -> str:
        return f"arn:aws:dynamodb:{self._region}:{ACCOUNT}:table/{name}"

    def ensure(self, name: str, properties: dict[str, Any]) -> None:
        """Make the table as CloudFormation would, or change it; its items stay."""
        definition = definitions.from_cloudformation(properties, self._region)
        with self._store.state.transaction():
            known = self._store.row(name)
            if known:
                definitions.check_change(known.table.definition, definition)
            if known is None or known.table.definition != definition:
                self._store.define(name, definition)

    def create(self, request: Request) -> Request:
        name = request["TableName"]
        definition = definitions.from_request(request)
        with self._store.state.transaction():
            if self._store.row(name):
                raise AwsError("ResourceInUseException", f"Table already exists: {name}")
            self._store.define(name, definition)
            return {"TableDescription": self._describe(self._row(name), "CREATING")}

    def describe(self, request: Request) -> Request:
        return {"Table": self._describe(self._row(request["TableName"]), "ACTIVE")}

    def list(self, request: Request) -> Request:
        limit = request.get("Limit", 100)
        names = self._store.names(request.get("ExclusiveStartTableName", ""), limit + 1)
        more = {"LastEvaluatedTableName": names[limit - 1]} if len(names) > limit else {}
        return {"TableNames": names[:limit], **more}

    def delete(self, request: Request) -> Request:
        with self._store.state.transaction():
            row = self._row(request["TableName"])
            if row.table.definition.get("DeletionProtectionEnabled"):
                raise invalid(
                    "Resource cannot be deleted as it is currently protected against deletion. "
                    f"Disable deletion protection first. Table: {row.table.name}"
                )
            described = self._describe(row, "DELETING")
            self._store.drop(row.table.name)
        return {"TableDescription": described}

    def _row(self, given: str) -> TableRow:
        name = table_name(given)
        row = self._store.row(name)
        if row is None:
            raise no_table(name)
        return row

    def _describe(self, row: TableRow, status: str) -> Request:
        definition = row.table.definition
        copied = ("AttributeDefinitions", "KeySchema", "OnDemandThroughput")
        described = {member: definition[member] for member in copied if member in definition}
        described |= {
            "TableName": row.table.name,
            "TableArn": self.arn(row.table.name),
            "TableId": row.id,
            "TableStatus": status,
            "CreationDateTime": row.created,
            "ItemCount": row.items,
            "TableSizeBytes": row.bytes,
            "ProvisionedThroughput": _throughput(definition),
            "DeletionProtectionEnabled": bool(definition.get("DeletionProtectionEnabled")),
        }
        if definition.get("BillingMode") == "PAY_PER_REQUEST":
            described["BillingModeSummary"] = {"BillingMode": "PAY_PER_REQUEST"}
        if "TableClass" in definition:
            described["TableClassSummary"] = {"TableClass": definition["TableClass"]}
        if (definition.get("SSESpecification") or {}).get("SSEEnabled"):
            described["SSEDescription"] = {"Status": "ENABLED", "SSEType": "KMS"}
        return described | self._indexes(row, status)

    def _indexes(self, row: TableRow, status: str) -> Request:
        """The index descriptions, each kind under its member's name."""
        described: dict[str, Any] = {}
        for member in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes"):
            for index in row.table.definition.get(member) or []:
                items, size = self._store.index_size(row.table.name, index["IndexName"])
                shown = {copied: index[copied] for copied in ("IndexName", "KeySchema", "Projection")}
                shown |= {"ItemCount": items, "IndexSizeBytes": size}
                shown["IndexArn"] = f"{self.arn(row.table.name)}/index/{index['IndexName']}"
                if member == "GlobalSecondaryIndexes":
                    shown |= {"IndexStatus": status, "ProvisionedThroughput": _throughput(index)}
                described.setdefault(member, []).append(shown)
        return described

    def describe_expiry(self, request: Request) -> Request:
        attribute = self._row(request["TableName"]).table.ttl
        if attribute is None:
            return {"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}}
        return {"TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED", "AttributeName": attribute}}

    def update_expiry(self, request: Request) -> Request:
        wanted = request["TimeToLiveSpecification"]
        with self._store.state.transaction():
            row = self._row(request["TableName"])
            current = row.table.ttl
            if wanted["Enabled"] and current == wanted["AttributeName"]:
                raise invalid("TimeToLive is already enabled")
            if not wanted["Enabled"] and current is None:
                raise invalid("TimeToLive is already disabled")
            if current not in (None, wanted["AttributeName"]):
                raise invalid(f"TimeToLive is active on a different AttributeName: current AttributeName is {current}")
            attribute = wanted["AttributeName"] if wanted["Enabled"] else None
            self._store.define(row.table.name, {**row.table.definition, "TimeToLive": attribute})
        return {"TimeToLiveSpecification": wanted}

    def describe_backups(self, request: Request) -> Request:
        """Whether point-in-time recovery is asked for. The laptop restores nothing."""
        row = self._row(request["TableName"])
        recovery: dict[str, Any] = {"PointInTimeRecoveryStatus": "DISABLED"}
        if days := row.table.definition.get("BackupDays"):
            recovery = {
                "PointInTimeRecoveryStatus": "ENABLED",
                "RecoveryPeriodInDays": days,
                "EarliestRestorableDateTime": max(row.created, clock.now() - days * 86_400),
                "LatestRestorableDateTime": clock.now(),
            }
        described = {"ContinuousBackupsStatus": "ENABLED", "PointInTimeRecoveryDescription": recovery}
        return {"ContinuousBackupsDescription": described}

    def tag(self, request: Request) -> Request:
        return self._retag(request, lambda old: {**old, **definitions.tags(request["Tags"])})

    def untag(self, request: Request) -> Request:
        gone = request["TagKeys"]
        return self._retag(request, lambda old: {key: value for key, value in old.items() if key not in gone})

    def _retag(self, request: Request, change: Callable[[dict[str, str]], dict[str, str]]) -> Request:
        with self._store.state.transaction():
            row = self._tagged(request)
            tags = change(row.table.definition.get("Tags") or {})
            definitions.check_tags(tags)
            self._store.define(row.table.name, {**row.table.definition, "Tags": tags})
        return {}

    def list_tags(self, request: Request) -> Request:
        tags = self._tagged(request).table.definition.get("Tags") or {}
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def _tagged(self, request: Request) -> TableRow:
        arn = request["ResourceArn"]
        if not arn.startswith("arn:"):
            raise invalid(f"Invalid TableArn: Invalid ResourceArn provided as input {arn}")
        row = self._store.row(table_name(arn))
        if row is None or arn != self.arn(row.table.name):
            raise AwsError("ResourceNotFoundException", f"Requested resource not found: ResourcArn: {arn} not found")
        return row


def _throughput(definition: Definition) -> Request:
    given = definition.get("ProvisionedThroughput") or {}
    units = {name: given.get(name, 0) for name in ("ReadCapacityUnits", "WriteCapacityUnits")}
    return {**units, "NumberOfDecreasesToday": 0}

"""The DynamoDB table under the catalog: the items of an asset by the names of their records, and conditional writes.

In expressions `#name` stands for the attribute of that name and `:name` for the value given under it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from lambdas.shared.errors import BucketlensError, ConflictError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Item = dict[str, Any]
Write = dict[str, Any]  # a part of a transaction
KEYS_A_BATCH = 100  # BatchGetItem's limit


class ConditionError(BucketlensError):
    """The item is not as the condition wants it."""


class Table:
    """All reads are strongly consistent, but for those of an index. Numbers come back as Decimals.

    A write raises ConflictError when a transaction is in its way.
    """

    def __init__(self, client: "DynamoDBClient", name: str) -> None:
        self._db: Any = client  # the stubs describe the low-level form; this client takes Python values
        self._name = name

    # -- reading ------------------------------------------------------------------------------------------------

    def get(self, asset_id: str, record: str) -> Item | None:
        item: Item | None = self._db.get_item(**self._at(asset_id, record), ConsistentRead=True).get("Item")
        return item

    def get_many(self, asset_ids: Sequence[str], record: str) -> Iterator[Item]:
        """That record of each asset, in no order; those without it are left out."""
        for start in range(0, len(asset_ids), KEYS_A_BATCH):
            some = asset_ids[start : start + KEYS_A_BATCH]
            keys = [{"asset_id": asset_id, "record": record} for asset_id in some]
            while keys:
                answer = self._db.batch_get_item(RequestItems={self._name: {"Keys": keys, "ConsistentRead": True}})
                yield from answer["Responses"].get(self._name, [])
                keys = answer.get("UnprocessedKeys", {}).get(self._name, {}).get("Keys", [])

    def records(self, asset_id: str, prefix: str, only: str = "") -> Iterator[Item]:
        """The asset's records that start so, in order; whole, or one attribute of each."""
        condition = "asset_id = :asset_id AND begins_with(#record, :prefix)"
        names = _names(condition, f"#{only}" if only else "")
        request = {
            "TableName": self._name,
            "KeyConditionExpression": condition,
            **names,
            **_values({"asset_id": asset_id, "prefix": prefix}),
            **({"ProjectionExpression": f"#{only}"} if only else {}),
            "ConsistentRead": True,
        }
        while True:
            answer = self._db.query(**request)
            yield from answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def first(self, asset_id: str) -> Item | None:
        """The first of its records."""
        found = self._db.query(
            TableName=self._name,
            KeyConditionExpression="asset_id = :asset_id",
            **_values({"asset_id": asset_id}),
            Limit=1,
            ConsistentRead=True,
        )["Items"]
        return found[0] if found else None

    def page(
        self, index: str, condition: str, filter: str, start: Item | None, limit: int, **values: Any
    ) -> tuple[list[Item], Item | None]:
        """Items of an index, and where the next page starts. One that is filtered away counts, too."""
        answer = self._db.query(
            TableName=self._name,
            IndexName=index,
            KeyConditionExpression=condition,
            Limit=limit,
            **_names(condition, filter),
            **_values(values),
            **({"FilterExpression": filter} if filter else {}),
            **({"ExclusiveStartKey": start} if start else {}),
        )
        return answer["Items"], answer.get("LastEvaluatedKey")

    # -- writing ------------------------------------------------------------------------------------------------

    def put(self, item: Item) -> None:
        self._write("put_item", TableName=self._name, Item=item)

    def update(self, asset_id: str, record: str, expression: str, condition: str = "", **values: Any) -> Item:
        """The item as it is then. ConditionError if the condition does not hold."""
        answer = self._write(
            "update_item", **self._updating(asset_id, record, expression, condition, values), ReturnValues="ALL_NEW"
        )
        item: Item = answer["Attributes"]
        return item

    def delete(self, asset_id: str, record: str, condition: str = "", **values: Any) -> None:
        """ConditionError if the condition does not hold; what is not there is no error without one."""
        self._write("delete_item", **self._at(asset_id, record), **_condition(condition), **_values(values))

    def transact(self, *writes: Write) -> None:
        """All or nothing; ConflictError when a condition does not hold or another transaction was in the way."""
        try:
            self._db.transact_write_items(TransactItems=list(writes))
        except ClientError as error:
            reasons = {reason.get("Code") for reason in error.response.get("CancellationReasons", [])}
            if reasons and reasons <= {"None", "ConditionalCheckFailed", "TransactionConflict"}:
                raise ConflictError(str(error)) from error
            raise

    # -- parts of a transaction -----------------------------------------------------------------------------------

    def putting(self, item: Item, condition: str, **values: Any) -> Write:
        return {"Put": {"TableName": self._name, "Item": item, **_condition(condition), **_values(values)}}

    def updating(self, asset_id: str, record: str, expression: str, condition: str, **values: Any) -> Write:
        return {"Update": self._updating(asset_id, record, expression, condition, values)}

    def deleting(self, asset_id: str, record: str, condition: str, **values: Any) -> Write:
        return {"Delete": {**self._at(asset_id, record), **_condition(condition), **_values(values)}}

    # -- inside -------------------------------------------------------------------------------------------------

    def _at(self, asset_id: str, record: str) -> dict[str, Any]:
        return {"TableName": self._name, "Key": {"asset_id": asset_id, "record": record}}

    def _updating(
        self, asset_id: str, record: str, expression: str, condition: str, values: Mapping[str, Any]
    ) -> dict[str, Any]:
        request = {**self._at(asset_id, record), "UpdateExpression": expression}
        return {**request, **_condition(condition), **_values(values), **_names(expression, condition)}

    def _write(self, operation: str, **request: Any) -> Any:
        try:
            return getattr(self._db, operation)(**request)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "ConditionalCheckFailedException":
                raise ConditionError(str(error)) from error
            if code == "TransactionConflictException":
                raise ConflictError(str(error)) from error
            raise


def _condition(condition: str) -> dict[str, Any]:
    return {"ConditionExpression": condition, **_names(condition)} if condition else {}


def _values(values: Mapping[str, Any]) -> dict[str, Any]:
    return {"ExpressionAttributeValues": {f":{name}": value for name, value in values.items()}} if values else {}


def _names(*expressions: str) -> dict[str, Any]:
    found = re.findall(r"#(\w+)", " ".join(expressions))
    return {"ExpressionAttributeNames": {f"#{name}": name for name in found}} if found else {}

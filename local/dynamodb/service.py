"""DynamoDB's wire side and what its host calls."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from werkzeug.wrappers import Request as HttpRequest
from werkzeug.wrappers import Response

from local.dynamodb import batches, items, queries
from local.dynamodb.errors import type_of
from local.dynamodb.items import Request
from local.dynamodb.shapes import check
from local.dynamodb.store import Store
from local.dynamodb.tables import Tables
from local.state import State
from local.wire import AwsError, Caller, TargetService, json_response

MAX_BODY_BYTES = 16 * 1024 * 1024
EXPIRY_BATCH = 200
TOO_OLD_TO_EXPIRE_SECONDS = 5 * 365 * 86_400  # AWS leaves items alone whose time is further back

Function = Callable[[Request], Request]


class DynamoDb(TargetService):
    """Amazon DynamoDB. PartiQL, streams, backups to restore from and UpdateTable are not offered."""

    def __init__(self, state: State, region: str = "us-east-1") -> None:
        self._store = Store(state)
        self._tables = Tables(self._store, region)
        offered = {**self._on_tables(), **self._on_items()}
        super().__init__({name: partial(_serve, name, function) for name, function in offered.items()})

    def __call__(self, request: HttpRequest, caller: Caller) -> Response:
        if (request.content_length or 0) > MAX_BODY_BYTES:
            while request.stream.read(1 << 20):  # to its end, so that the connection can go on
                pass
            message = f"Request size exceeded the limit of {MAX_BODY_BYTES} bytes"
            return self.refuse(AwsError("RequestEntityTooLargeException", message, 413))
        return super().__call__(request, caller)

    def refuse(self, error: AwsError) -> Response:
        body = {"__type": type_of(error.code), "message": error.message, **error.members}
        return json_response(body, error.status, content_type=self.content_type)

    def _on_tables(self) -> Mapping[str, Function]:
        return {
            "CreateTable": self._tables.create,
            "DescribeTable": self._tables.describe,
            "ListTables": self._tables.list,
            "DeleteTable": self._tables.delete,
            "UpdateTimeToLive": self._tables.update_expiry,
            "DescribeTimeToLive": self._tables.describe_expiry,
            "DescribeContinuousBackups": self._tables.describe_backups,
            "TagResource": self._tables.tag,
            "UntagResource": self._tables.untag,
            "ListTagsOfResource": self._tables.list_tags,
        }

    def _on_items(self) -> Mapping[str, Function]:
        offered = {
            "GetItem": items.get_item,
            "PutItem": items.put_item,
            "UpdateItem": items.update_item,
            "DeleteItem": items.delete_item,
            "Query": queries.query,
            "Scan": queries.scan,
            "BatchGetItem": batches.batch_get,
            "BatchWriteItem": batches.batch_write,
            "TransactGetItems": batches.transact_get,
            "TransactWriteItems": batches.transact_write,
        }
        return {name: partial(function, self._store) for name, function in offered.items()}

    def ensure_table(self, name: str, properties: dict[str, Any]) -> str:
        """Make or update a table from the Properties of an `AWS::DynamoDB::Table` or `GlobalTable`; its ARN.

        An added index is filled from the items there are. What CloudFormation would replace the table for, or
        refuse, is refused with an `AwsError`.
        """
        self._tables.ensure(name, properties)
        return self._tables.arn(name)

    def expire(self, now: float) -> int:
        """Delete the items whose time to live ended before `now` (seconds since the epoch); how many there were."""
        return sum(self._expire_table(name, now) for name in self._store.all_names())

    def _expire_table(self, name: str, now: float) -> int:
        """In small transactions, so that no request waits for long."""
        deleted = 0
        while True:
            with self._store.state.transaction():
                gone = self._store.expired(name, now - TOO_OLD_TO_EXPIRE_SECONDS, now, EXPIRY_BATCH)
                for item in gone:
                    self._store.write(self._store.table(name), item, None)
            deleted += len(gone)
            if len(gone) < EXPIRY_BATCH:
                return deleted


def _serve(name: str, function: Function, request: Request, caller: Caller) -> Request:
    check(name, request)
    return function(request)

"""BatchGetItem, BatchWriteItem and the two transactions."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from local import clock
from local.dynamodb.errors import UnfitItem, invalid, transaction_cancelled
from local.dynamodb.items import (
    Request,
    Write,
    checked_item,
    parse_check,
    parse_delete,
    parse_put,
    parse_update,
    table_name,
    table_of,
)
from local.dynamodb.paths import project, tree
from local.dynamodb.schema import Table
from local.dynamodb.store import Store
from local.dynamodb.syntax import Placeholders, parse_projection
from local.dynamodb.values import Item, item_size
from local.wire import AwsError

MAX_BATCH_GET = 100
MAX_BATCH_WRITE = 25
MAX_BATCH_BYTES = 16 * 1024 * 1024
MAX_TRANSACTION_BYTES = 4 * 1024 * 1024
TOKEN_SECONDS = 600
_DUPLICATES = "Provided list of item keys contains duplicates"
_PARSERS: dict[str, Callable[[Store, Request], Write]] = {
    "ConditionCheck": parse_check,
    "Put": parse_put,
    "Delete": parse_delete,
    "Update": parse_update,
}
_FINE = {"Code": "None"}


def batch_get(store: Store, request: Request) -> Request:
    asked = _by_table(request)
    if sum(len(wish["Keys"]) for wish in asked.values()) > MAX_BATCH_GET:
        raise invalid("Too many items requested for the BatchGetItem call")
    responses: dict[str, list[Item]] = {}
    unprocessed: dict[str, Request] = {}
    left = MAX_BATCH_BYTES
    with store.state.transaction():
        for name, wish in asked.items():
            responses[name], later, left = _get_some(store, name, wish, left)
            if later:
                unprocessed[name] = {**wish, "Keys": later}
    return {"Responses": responses, "UnprocessedKeys": unprocessed}


def _by_table(request: Request) -> dict[str, Any]:
    """What a batch asks for, by the tables as it names them, none of them twice."""
    asked: dict[str, Any] = request["RequestItems"]
    if len({table_name(given) for given in asked}) < len(asked):
        raise invalid("One or more parameter values were invalid: A table is named twice, by its name and its ARN")
    return asked


def _get_some(store: Store, name: str, wish: Request, left: int) -> tuple[list[Item], list[Item], int]:
    """One table's items until `left` bytes are used up (counted before projection), and the keys left over."""
    placeholders = Placeholders(wish, ("ProjectionExpression",))
    wanted = tree(parse_projection(wish, placeholders), "ProjectionExpression")
    placeholders.refuse_unused()
    table = store.table(table_name(name))
    keys = [table.key(key) for key in wish["Keys"]]
    if len({table.keys.position(key) for key in keys}) < len(keys):
        raise invalid(_DUPLICATES)
    found: list[Item] = []
    for at, key in enumerate(keys):
        item = store.get(table, key) if left > 0 else None
        left -= item_size(item) if item else 0
        if left <= 0:
            return found, keys[at:], 0
        if item:
            found.append(project(item, wanted))
    return found, [], left


def batch_write(store: Store, request: Request) -> Request:
    asked = _by_table(request)
    if sum(map(len, asked.values())) > MAX_BATCH_WRITE:
        raise invalid("Too many items requested for the BatchWriteItem call")
    with store.state.transaction():
        for name, writes in asked.items():
            table = store.table(table_name(name))
            changes = [_change(table, write) for write in writes]
            if len({table.keys.position(key) for key, _ in changes}) < len(changes):
                raise invalid(_DUPLICATES)
            for key, new in changes:
                store.write(table, store.get(table, key), new)
    return {"UnprocessedItems": {}}


def _change(table: Table, write: Request) -> tuple[Item, Item | None]:
    """The key of what is written, and what it becomes."""
    put, delete = write.get("PutRequest"), write.get("DeleteRequest")
    if (put is None) == (delete is None):
        raise invalid(
            "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported "
            "datatypes: PutRequest, DeleteRequest"
        )
    if put is None:
        return table.key(write["DeleteRequest"]["Key"]), None
    item = checked_item(table, put["Item"])
    return item, item


def transact_get(store: Store, request: Request) -> Request:
    gets = [entry["Get"] for entry in request["TransactItems"]]
    responses: list[Request] = []
    seen = set()
    total = 0
    with store.state.transaction():
        for get in gets:
            placeholders = Placeholders(get, ("ProjectionExpression",))
            wanted = tree(parse_projection(get, placeholders), "ProjectionExpression")
            placeholders.refuse_unused()
            table = table_of(store, get)
            key = table.key(get["Key"])
            seen.add((table.name, table.keys.position(key)))
            item = store.get(table, key)
            total += item_size(item) if item else 0
            responses.append({"Item": project(item, wanted)} if item else {})
    _refuse_repeats(len(seen), len(gets))
    _refuse_size(total)
    return {"Responses": responses}


def transact_write(store: Store, request: Request) -> Request:
    """All writes or none; the same token and request again within ten minutes is answered and not done twice."""
    with store.state.transaction():
        if _done_before(store, request):
            return {}
        writes = [_parsed(store, entry) for entry in request["TransactItems"]]
        fit = [write for write in writes if isinstance(write, Write)]
        _refuse_repeats(len({write.target for write in fit}), len(fit))
        for write, old, new in _prepared(store, writes):
            if new is not old:
                store.write(write.table, old, new)
    return {}


def _prepared(store: Store, writes: list[Write | UnfitItem]) -> list[tuple[Write, Item | None, Item | None]]:
    """Every write with the item before and after it, or the cancellation with the reasons of those that cannot be."""
    prepared: list[tuple[Write, Item | None, Item | None]] = []
    reasons: list[dict[str, Any]] = []
    for write in writes:
        try:
            if isinstance(write, UnfitItem):
                raise write
            prepared.append((write, *write.prepare(store)))
            reasons.append(_FINE)
        except AwsError as error:
            reasons.append(_reason(error))
    if len(prepared) < len(writes):
        raise transaction_cancelled(reasons)
    _refuse_size(sum(item_size(new) for _, _, new in prepared if new))
    return prepared


def _parsed(store: Store, entry: Request) -> Write | UnfitItem:
    """What to write. What cannot be held by the table cancels the transaction later; a wrong request fails at once."""
    kinds = [kind for kind in _PARSERS if entry.get(kind) is not None]
    if len(kinds) != 1:
        raise invalid("TransactItems can only contain one of Check, Put, Update or Delete")
    try:
        return _PARSERS[kinds[0]](store, entry[kinds[0]])
    except UnfitItem as error:
        return error


def _reason(error: AwsError) -> dict[str, Any]:
    code = "ConditionalCheckFailed" if error.code == "ConditionalCheckFailedException" else "ValidationError"
    return {"Code": code, "Message": error.message, **error.members}


def _refuse_repeats(targets: int, operations: int) -> None:
    if targets < operations:
        raise invalid("Transaction request cannot include multiple operations on one item")


def _refuse_size(size: int) -> None:
    if size > MAX_TRANSACTION_BYTES:
        raise invalid("Aggregated size of the items in the transaction exceeds the limit of 4 MB")


def _done_before(store: Store, request: Request) -> bool:
    """Whether this request was done under its token; notes the token (a cancelled transaction takes that back)."""
    token = request.get("ClientRequestToken")
    if token is None:
        return False
    digest = hashlib.sha256(json.dumps(request["TransactItems"], sort_keys=True).encode()).hexdigest()
    with store.state.transaction() as db:
        db.execute("DELETE FROM dynamodb_tokens WHERE at < ?", (clock.now() - TOKEN_SECONDS,))
        row = db.execute("SELECT digest FROM dynamodb_tokens WHERE token = ?", (token,)).fetchone()
        if row is None:
            db.execute("INSERT INTO dynamodb_tokens VALUES (?, ?, ?)", (token, digest, clock.now()))
            return False
    if row["digest"] != digest:
        message = "The request with the same ClientRequestToken had different parameters"
        raise AwsError("IdempotentParameterMismatchException", message)
    return True

"""Operations on one item: GetItem, PutItem, UpdateItem, DeleteItem, and the writes transactions are made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local.dynamodb.conditions import Condition, ConditionParser, holds
from local.dynamodb.definitions import check_name
from local.dynamodb.errors import UnfitItem, condition_failed, invalid
from local.dynamodb.paths import Path, project, tree
from local.dynamodb.schema import Table
from local.dynamodb.store import Store
from local.dynamodb.syntax import Placeholders, parse_projection
from local.dynamodb.updates import NOTHING, UpdateParser, apply
from local.dynamodb.values import Item, canonical_item, item_size

MAX_ITEM_BYTES = 400 * 1024
Request = dict[str, Any]


@dataclass(frozen=True)
class Write:
    """One conditional change of one item, ready to be made.

    `change` turns the item (None for none) into what it becomes; the very same object means that nothing is written.
    """

    table: Table
    key: Item
    condition: Condition | None
    shows_old: bool
    change: Callable[[Item | None], Item | None]
    paths: list[Path]

    def prepare(self, store: Store) -> tuple[Item | None, Item | None]:
        """The item before and after, or the error that forbids it. Nothing is written yet."""
        old = store.get(self.table, self.key)
        if self.condition is not None and not holds(self.condition, old or {}):
            raise condition_failed(old if self.shows_old else None)
        return old, self.change(old)

    @property
    def target(self) -> tuple[str, bytes, bytes]:
        return self.table.name, *self.table.keys.position(self.key)


def table_of(store: Store, request: Request) -> Table:
    """The table a request names, by its name or its ARN."""
    return store.table(table_name(request["TableName"]))


def table_name(given: str) -> str:
    name = given.rpartition(":table/")[2] if given.startswith("arn:") else given
    check_name(name)
    return name


def parse_put(store: Store, request: Request) -> Write:
    table = table_of(store, request)
    placeholders = Placeholders(request, ("ConditionExpression",))
    condition = parse_condition(request, placeholders)
    placeholders.refuse_unused()
    item = checked_item(table, request["Item"])
    return Write(table, item, condition, _shows_old(request), lambda old: item, [])


def parse_delete(store: Store, request: Request) -> Write:
    return _parse_keyed(store, request, lambda old: None)


def parse_check(store: Store, request: Request) -> Write:
    return _parse_keyed(store, request, lambda old: old)


def _parse_keyed(store: Store, request: Request, change: Callable[[Item | None], Item | None]) -> Write:
    table = table_of(store, request)
    placeholders = Placeholders(request, ("ConditionExpression",))
    condition = parse_condition(request, placeholders)
    placeholders.refuse_unused()
    return Write(table, table.key(request["Key"]), condition, _shows_old(request), change, [])


def parse_update(store: Store, request: Request) -> Write:
    table = table_of(store, request)
    placeholders = Placeholders(request, ("UpdateExpression", "ConditionExpression"))
    text = request.get("UpdateExpression")
    update = UpdateParser(text, placeholders).parse() if text is not None else NOTHING
    condition = parse_condition(request, placeholders)
    placeholders.refuse_unused()
    key = table.key(request["Key"])
    for path in update.paths:
        if path[0] in table.keys.names:
            raise UnfitItem(
                f"One or more parameter values were invalid: Cannot update attribute {path[0]}. "
                "This attribute is part of the key"
            )

    def change(old: Item | None) -> Item | None:
        before = old or key
        new = apply(update, before)
        if old is None and update.only_removes:
            return None
        table.check_update(before, new)
        if item_size(new) > MAX_ITEM_BYTES:
            raise UnfitItem("Item size to update has exceeded the maximum allowed size")
        return new

    return Write(table, key, condition, _shows_old(request), change, update.paths)


def checked_item(table: Table, given: Request) -> Item:
    """An item to put: canonical, fit for the table, and not over 400 KB."""
    item = canonical_item(given)
    table.check_item(item)
    if item_size(item) > MAX_ITEM_BYTES:
        raise UnfitItem("Item size has exceeded the maximum allowed size")
    return item


def parse_condition(
    request: Request, placeholders: Placeholders, kind: str = "ConditionExpression"
) -> Condition | None:
    text = request.get(kind)
    return None if text is None else ConditionParser(kind, text, placeholders).parse()


def _shows_old(request: Request) -> bool:
    return request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"


def get_item(store: Store, request: Request) -> Request:
    placeholders = Placeholders(request, ("ProjectionExpression",))
    wanted = tree(parse_projection(request, placeholders), "ProjectionExpression")
    placeholders.refuse_unused()
    table = table_of(store, request)
    item = store.get(table, table.key(request["Key"]))
    return {} if item is None else {"Item": project(item, wanted)}


def put_item(store: Store, request: Request) -> Request:
    return _write(store, request, parse_put, ("NONE", "ALL_OLD"))


def delete_item(store: Store, request: Request) -> Request:
    return _write(store, request, parse_delete, ("NONE", "ALL_OLD"))


def update_item(store: Store, request: Request) -> Request:
    return _write(store, request, parse_update, ("NONE", "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW"))


def _write(
    store: Store, request: Request, parse: Callable[[Store, Request], Write], returnable: tuple[str, ...]
) -> Request:
    wanted = request.get("ReturnValues", "NONE")
    if wanted not in returnable:
        raise invalid("ReturnValues can only be ALL_OLD or NONE")
    with store.state.transaction():
        write = parse(store, request)
        old, new = write.prepare(store)
        store.write(write.table, old, new)
    returned = _returned(wanted, old, new, write.paths)
    return {"Attributes": returned} if returned else {}


def _returned(wanted: str, old: Item | None, new: Item | None, paths: list[Path]) -> Item | None:
    chosen = old if wanted.endswith("OLD") else new
    if wanted == "NONE" or chosen is None:
        return None
    if wanted.startswith("ALL"):
        return chosen
    return project(chosen, tree(paths, "UpdateExpression")) if paths else None

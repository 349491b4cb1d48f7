"""What a table is: its keys and indexes, and how an item's keys become bytes in order."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from local.dynamodb.errors import UnfitItem, invalid
from local.dynamodb.values import Item, Value, canonical, item_size, kind_of, order_key

MAX_PARTITION_KEY_BYTES = 2048
MAX_SORT_KEY_BYTES = 1024
_UNFIT = "One or more parameter values are not valid."
_BAD = "One or more parameter values were invalid:"
_MISMATCH = "The provided key element does not match the schema"


@dataclass(frozen=True)
class Key:
    """A key attribute. `kind` is S, N or B."""

    name: str
    kind: str


@dataclass(frozen=True)
class Keys:
    partition: Key
    sort: Key | None

    def __iter__(self) -> Iterator[Key]:
        yield self.partition
        if self.sort:
            yield self.sort

    @property
    def names(self) -> list[str]:
        return [key.name for key in self]

    def position(self, item: Item) -> tuple[bytes, bytes]:
        """Where the item stands; without a sort key the second part is empty."""
        sort = order_key(item[self.sort.name]) if self.sort else b""
        return order_key(item[self.partition.name]), sort


@dataclass(frozen=True)
class Index:
    name: str
    keys: Keys
    projection: str  # ALL, KEYS_ONLY or INCLUDE
    included: frozenset[str]
    is_global: bool

    def holds(self, item: Item) -> bool:
        """An item without the index's keys is not in it; nor is one that had them wrongly typed before it was made."""
        return all(key.name in item and fits(key, item[key.name]) for key in self.keys)


@dataclass(frozen=True)
class Entry:
    """An item's place in an index. `size` is that of what the index projects."""

    index: str
    partition: bytes
    sort: bytes
    size: int


@dataclass(frozen=True)
class Table:
    """`definition` is what CreateTable takes, and `TimeToLive`, `BackupDays` and `Tags` beside it."""

    name: str
    definition: dict[str, Any]
    keys: Keys
    indexes: dict[str, Index]

    @property
    def ttl(self) -> str | None:
        """The attribute with the second at which an item expires."""
        return self.definition.get("TimeToLive")

    def index(self, name: str) -> Index:
        if name not in self.indexes:
            raise invalid(f"The table does not have the specified index: {name}")
        return self.indexes[name]

    def projected(self, index: Index) -> frozenset[str] | None:
        """The attributes that the index holds, None for all."""
        if index.projection == "ALL":
            return None
        return index.included | {*self.keys.names, *index.keys.names}

    def entries(self, item: Item | None) -> set[Entry]:
        """The item's places in all indexes."""
        return {self.entry(index, item) for index in self.indexes.values() if item and index.holds(item)}

    def entry(self, index: Index, item: Item) -> Entry:
        held = self.projected(index)
        part = item if held is None else {name: item[name] for name in held if name in item}
        return Entry(index.name, *index.keys.position(item), item_size(part))

    def key(self, given: dict[str, Any]) -> Item:
        """A request's Key, checked."""
        key = {name: canonical(value) for name, value in given.items()}
        if set(key) != set(self.keys.names) or any(kind_of(key[part.name]) != part.kind for part in self.keys):
            raise UnfitItem(_MISMATCH)
        self._check_sizes(key)
        return key

    def check_item(self, item: Item) -> None:
        """Refuse a put item whose keys are missing, of another type, empty or too long."""
        for key in self.keys:
            if key.name not in item:
                raise UnfitItem(f"{_BAD} Missing the key {key.name} in the item")
            actual = kind_of(item[key.name])
            if actual != key.kind:
                raise UnfitItem(f"{_BAD} Type mismatch for key {key.name} expected: {key.kind} actual: {actual}")
        self._check_sizes(item)
        for index, key in self._index_keys(item):
            _check_index_key(index, key, item[key.name])

    def check_update(self, old: Item, new: Item) -> None:
        """Refuse what an update would make of the keys of indexes."""
        for index, key in self._index_keys(new):
            if old.get(key.name) == new[key.name]:
                continue
            if key.kind not in new[key.name]:
                raise UnfitItem("The update expression attempted to update the secondary index key to unsupported type")
            if not fits(key, new[key.name]):
                raise UnfitItem(
                    f"{_UNFIT} The update expression attempted to update a secondary index key to a value that is not "
                    f"supported. The AttributeValue for a key attribute cannot contain an empty {_word(key)} value."
                )
            _check_index_key(index, key, new[key.name])

    def _index_keys(self, item: Item) -> Iterator[tuple[Index, Key]]:
        """The index keys the item has, but for those that are keys of the table."""
        for index in self.indexes.values():
            for key in index.keys:
                if key.name in item and key.name not in self.keys.names:
                    yield index, key

    def _check_sizes(self, item: Item) -> None:
        for key in self.keys:
            if not fits(key, item[key.name]):
                raise UnfitItem(
                    f"{_UNFIT} The AttributeValue for a key attribute cannot contain "
                    f"an empty {_word(key)} value. Key: {key.name}"
                )
        partition, sort = self.keys.position(item)
        if len(partition) > MAX_PARTITION_KEY_BYTES:
            raise UnfitItem(f"{_BAD} Size of hashkey has exceeded the maximum size limit of2048 bytes")
        if len(sort) > MAX_SORT_KEY_BYTES:
            raise UnfitItem(f"{_BAD} Aggregated size of all range keys has exceeded the size limit of1024 bytes")


def fits(key: Key, value: Value) -> bool:
    """Of the key's type, and not empty."""
    return bool(value.get(key.kind))


def _word(key: Key) -> str:
    return "binary" if key.kind == "B" else "string"


def _check_index_key(index: Index, key: Key, value: Value) -> None:
    actual = kind_of(value)
    if actual != key.kind:
        raise UnfitItem(
            f"{_BAD} Type mismatch for Index Key {key.name} Expected: {key.kind} Actual: {actual} "
            f"IndexName: {index.name}"
        )
    if not fits(key, value):
        raise UnfitItem(
            f"{_UNFIT} A value specified for a secondary index key is not supported. The AttributeValue for a key "
            f"attribute cannot contain an empty {_word(key)} value. IndexName: {index.name}, IndexKey: {key.name}"
        )
    is_sort = key == index.keys.sort
    limit = MAX_SORT_KEY_BYTES if is_sort else MAX_PARTITION_KEY_BYTES
    if len(order_key(value)) > limit:
        part = "Aggregated size of all range keys" if is_sort else "Size of hashkey"
        raise UnfitItem(f"{_BAD} {part} has exceeded the size limit of{limit} bytes")


@lru_cache(maxsize=256)
def load(name: str, definition: str) -> Table:
    """A table from its stored definition. The result is shared: do not change it."""
    read = orjson.loads(definition)
    kinds = {attribute["AttributeName"]: attribute["AttributeType"] for attribute in read["AttributeDefinitions"]}
    indexes = [
        _index(found, kinds, member == "GlobalSecondaryIndexes")
        for member in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes")
        for found in read.get(member) or []
    ]
    return Table(name, read, _keys(read["KeySchema"], kinds), {index.name: index for index in indexes})


def _keys(schema: list[dict[str, str]], kinds: dict[str, str]) -> Keys:
    keys = [Key(element["AttributeName"], kinds[element["AttributeName"]]) for element in schema]
    return Keys(keys[0], keys[1] if len(keys) > 1 else None)


def _index(found: dict[str, Any], kinds: dict[str, str], is_global: bool) -> Index:
    projection = found["Projection"]
    included = frozenset(projection.get("NonKeyAttributes") or [])
    return Index(
        found["IndexName"], _keys(found["KeySchema"], kinds), projection["ProjectionType"], included, is_global
    )

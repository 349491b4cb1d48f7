"""Vector buckets and indexes as they are kept in SQLite, and how a request names them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from sqlite3 import Connection, Row
from typing import Any

import orjson

from local.s3vectors import texts
from local.s3vectors.errors import bucket_not_found, index_not_found, invalid, resource_not_found
from local.wire import ACCOUNT

SCHEMA = """
CREATE TABLE IF NOT EXISTS s3vectors_buckets (
    name TEXT PRIMARY KEY, created REAL NOT NULL, encryption TEXT NOT NULL, mode TEXT NOT NULL, policy TEXT,
    tags TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS s3vectors_indexes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, bucket TEXT NOT NULL, name TEXT NOT NULL, created REAL NOT NULL,
    dimension INTEGER NOT NULL, metric TEXT NOT NULL, non_filterable TEXT NOT NULL, text_search TEXT NOT NULL,
    encryption TEXT NOT NULL, mode TEXT NOT NULL, tags TEXT NOT NULL, UNIQUE (bucket, name));
"""
_ARN = re.compile(
    r"arn:aws[-a-z0-9]*:s3vectors:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):"
    r"bucket/(?P<bucket>[a-z0-9.-]+)(/index/(?P<index>[a-z0-9.-]+))?"
)
MAX_TAGS = 50


@dataclass(frozen=True)
class Bucket:
    name: str
    created: float
    encryption: dict[str, str]
    mode: str  # of indexes created from now on
    policy: str | None
    tags: dict[str, str]


@dataclass(frozen=True)
class Index:
    id: int
    bucket: str
    name: str
    created: float
    dimension: int
    metric: str
    non_filterable: list[str]
    text_search: list[dict[str, str]]  # {"metadataKey", "language"?}
    encryption: dict[str, str]
    mode: str
    tags: dict[str, str]


class Names:
    """ARNs of this account and region, and the requests that use them."""

    def __init__(self, region: str) -> None:
        self._region = region

    def bucket_arn(self, bucket: str) -> str:
        return f"arn:aws:s3vectors:{self._region}:{ACCOUNT}:bucket/{bucket}"

    def index_arn(self, bucket: str, index: str) -> str:
        return f"{self.bucket_arn(bucket)}/index/{index}"

    def bucket_in(self, request: Mapping[str, Any]) -> str:
        """The bucket a request names, by name or by ARN."""
        name, arn = request.get("vectorBucketName"), request.get("vectorBucketArn")
        if (name is None) == (arn is None):
            raise invalid("Must specify either vectorBucketName or vectorBucketArn but not both", "vectorBucketName")
        if name is not None:
            return str(name)
        found = self._ours(str(arn))
        if found is None or found["index"]:
            raise bucket_not_found()
        return found["bucket"]

    def index_in(self, request: Mapping[str, Any]) -> tuple[str, str]:
        """The bucket and index a request names, by both names or by ARN."""
        bucket, name, arn = (request.get(each) for each in ("vectorBucketName", "indexName", "indexArn"))
        by_name, by_arn = (bucket, name, arn).count(None) == 1 and arn is None, bucket is None and name is None
        if not by_name and (not by_arn or arn is None):
            message = "Must specify either indexArn or both vectorBucketName and indexName"
            raise invalid(message, "indexArn")
        if by_name:
            return str(bucket), str(name)
        found = self._ours(str(arn))
        if found is None or not found["index"]:
            raise index_not_found()
        return found["bucket"], found["index"]

    def resource_in(self, arn: str) -> tuple[str, str | None]:
        """The bucket, and the index where it is one, of a resource ARN."""
        found = self._ours(arn)
        if found is None:
            raise resource_not_found()
        return found["bucket"], found["index"]

    def _ours(self, arn: str) -> re.Match[str] | None:
        found = _ARN.fullmatch(arn)
        return found if found and (found["region"], found["account"]) == (self._region, ACCOUNT) else None


def find_bucket(db: Connection, name: str) -> Bucket:
    row = db.execute("SELECT * FROM s3vectors_buckets WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise bucket_not_found()
    return Bucket(
        row["name"], row["created"], orjson.loads(row["encryption"]), row["mode"], row["policy"], _json(row, "tags")
    )


def find_index(db: Connection, bucket: str, name: str) -> Index:
    row = db.execute("SELECT * FROM s3vectors_indexes WHERE bucket = ? AND name = ?", (bucket, name)).fetchone()
    if row is None:
        raise index_not_found()
    return Index(
        id=row["id"],
        bucket=row["bucket"],
        name=row["name"],
        created=row["created"],
        dimension=row["dimension"],
        metric=row["metric"],
        non_filterable=_json(row, "non_filterable"),
        text_search=_json(row, "text_search"),
        encryption=_json(row, "encryption"),
        mode=row["mode"],
        tags=_json(row, "tags"),
    )


def insert_bucket(db: Connection, bucket: Bucket) -> None:
    values = (bucket.name, bucket.created, to_json(bucket.encryption), bucket.mode, bucket.policy, to_json(bucket.tags))
    db.execute("INSERT INTO s3vectors_buckets VALUES (?, ?, ?, ?, ?, ?)", values)


def insert_index(db: Connection, index: Index) -> None:
    """Store a new index and make its full-text indexes; its `id` is not looked at, SQLite gives a fresh one."""
    scalars = (index.bucket, index.name, index.created, index.dimension, index.metric)
    lists = [to_json(each) for each in (index.non_filterable, index.text_search, index.encryption)]
    added = db.execute(
        "INSERT INTO s3vectors_indexes VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*scalars, *lists, index.mode, to_json(index.tags)),
    ).lastrowid
    assert added is not None
    texts.follow(db, added, index.text_search)


def set_text_search(db: Connection, index_id: int, configurations: list[dict[str, str]]) -> None:
    """Store which metadata keys are full-text searchable and make or drop their full-text indexes."""
    db.execute("UPDATE s3vectors_indexes SET text_search = ? WHERE id = ?", (to_json(configurations), index_id))
    texts.follow(db, index_id, configurations)


def read_tags(db: Connection, resource: tuple[str, str | None]) -> dict[str, str]:
    bucket, index = resource
    sql, values = _tagged(bucket, index)
    row = db.execute(f"SELECT tags FROM {sql}", values).fetchone()
    if row is None:
        raise resource_not_found()
    tags: dict[str, str] = _json(row, "tags")
    return tags


def write_tags(db: Connection, resource: tuple[str, str | None], tags: Mapping[str, str]) -> None:
    bucket, index = resource
    sql, values = _tagged(bucket, index)
    table, _, where = sql.partition(" ")
    db.execute(f"UPDATE {table} SET tags = ? {where}", (to_json(tags), *values))


def check_tags(tags: Mapping[str, str]) -> None:
    if len(tags) > MAX_TAGS:
        raise invalid("Too many tags specified", "tags")
    if any(key.lower().startswith("aws:") for key in tags):
        raise invalid("System tags cannot be added/updated by requester", "tags")


def to_json(value: object) -> str:
    return orjson.dumps(value).decode()


def _tagged(bucket: str, index: str | None) -> tuple[str, tuple[str, ...]]:
    if index is None:
        return "s3vectors_buckets WHERE name = ?", (bucket,)
    return "s3vectors_indexes WHERE bucket = ? AND name = ?", (bucket, index)


def _json(row: Row, column: str) -> Any:
    return orjson.loads(row[column])

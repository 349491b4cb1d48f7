"""The queues: their names, attributes and tags."""

import json
import re
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from local import clock
from local.sqs.attributes import Redrive, check, effective, from_properties, merge, read_allowed, read_redrive
from local.sqs.errors import invalid, invalid_value, missing, no_queue, unsupported
from local.state import State
from local.wire import ACCOUNT, AwsError, SetPolicy

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sqs_queues (
    name TEXT PRIMARY KEY, attributes TEXT NOT NULL, tags TEXT NOT NULL,
    created REAL NOT NULL, modified REAL NOT NULL, purged REAL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sqs_deleted_queues (name TEXT PRIMARY KEY, deleted REAL NOT NULL) WITHOUT ROWID;
"""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
_SECONDS_BETWEEN = 60
"""Of two purges of a queue, and of a queue's end and another one's start under its name."""
_MAX_TAGS = 50


@dataclass(frozen=True)
class Queue:
    """A queue as it is stored; `attributes` are those that were set."""

    name: str
    arn: str
    attributes: Mapping[str, str]
    tags: Mapping[str, str]
    created: float
    modified: float
    purged: float | None

    def number(self, attribute: str) -> int:
        return int(effective(self.attributes)[attribute])

    @property
    def redrive(self) -> Redrive | None:
        policy = self.attributes.get("RedrivePolicy")
        return read_redrive(policy) if policy else None


class Queues:
    """Raises `QueueDoesNotExist` where a queue is not there."""

    def __init__(self, state: State, region: str, enforce: SetPolicy) -> None:
        self._state = state
        self._region = region
        self._enforce = enforce
        state.create(_SCHEMA)
        with state.transaction() as db:
            for row in db.execute("SELECT * FROM sqs_queues"):
                self._enforce_policy(row["name"], json.loads(row["attributes"]))

    def arn(self, name: str) -> str:
        return f"arn:aws:sqs:{self._region}:{ACCOUNT}:{name}"

    def get(self, name: str) -> Queue:
        found = self.find(name)
        if found is None:
            raise no_queue()
        return found

    def find(self, name: str) -> Queue | None:
        with self._state.transaction() as db:
            row = db.execute("SELECT * FROM sqs_queues WHERE name = ?", (name,)).fetchone()
        return self._queue(row) if row else None

    def by_url(self, url: str) -> Queue:
        """By what CreateQueue gave out, on whatever host."""
        try:
            account, _, name = urlsplit(url).path.strip("/").partition("/")
        except ValueError:
            name = ""
        if not name or "/" in name:
            raise AwsError("InvalidAddress", f"The address {url} is not valid for this endpoint.")
        if account != ACCOUNT:
            raise no_queue()
        return self.get(name)

    def by_arn(self, arn: str) -> Queue:
        found = self.find_arn(arn)
        if found is None:
            raise no_queue()
        return found

    def find_arn(self, arn: str) -> Queue | None:
        name = arn.rpartition(":")[2]
        return self.find(name) if arn == self.arn(name) else None

    def create(self, name: str, attributes: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """One that is there already must have the same values of these attributes."""
        _check_name(name)
        check(attributes)
        _check_tags(tags)
        with self._state.transaction() as db:
            existing = self.find(name)
            if existing:
                _check_same(existing, attributes)
                return
            gone = db.execute("SELECT deleted FROM sqs_deleted_queues WHERE name = ?", (name,)).fetchone()
            if gone and clock.now() - gone["deleted"] < _SECONDS_BETWEEN:
                message = "You must wait 60 seconds after deleting a queue before you can create another with the same"
                raise AwsError("QueueDeletedRecently", f"{message} name.")
            self._write(name, merge({}, attributes), tags)

    def ensure(self, name: str, properties: Mapping[str, Any]) -> None:
        """Make or change a queue to be what the Properties of an `AWS::SQS::Queue` say; its messages stay."""
        _check_name(name)
        existing = self.find(name)
        policy = {"Policy": existing.attributes.get("Policy", "")} if existing else {}  # another resource's to say
        attributes = merge(policy, from_properties(properties))
        tags = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
        check(attributes)
        with self._state.transaction():
            if existing is None:
                self._write(name, attributes, tags)
            elif existing.attributes != attributes or existing.tags != tags:
                self._check_redrive(name, attributes)
                self._update(name, attributes=json.dumps(attributes), tags=json.dumps(tags), modified=clock.now())

    def set_attributes(self, queue: Queue, attributes: Mapping[str, str]) -> None:
        check(attributes)
        self._check_redrive(queue.name, attributes)
        merged = merge(queue.attributes, attributes)
        self._enforce_policy(queue.name, merged)
        self._update(queue.name, attributes=json.dumps(merged), modified=clock.now())

    def mark_purged(self, queue: Queue) -> None:
        now = clock.now()
        if queue.purged is not None and now - queue.purged < _SECONDS_BETWEEN:
            message = f"Only one PurgeQueue operation on {queue.name} is allowed every 60 seconds."
            raise AwsError("PurgeQueueInProgress", message)
        self._update(queue.name, purged=now)

    def delete(self, queue: Queue) -> None:
        with self._state.transaction() as db:
            db.execute("DELETE FROM sqs_queues WHERE name = ?", (queue.name,))
            self._enforce_policy(queue.name, {})
            db.execute("INSERT OR REPLACE INTO sqs_deleted_queues VALUES (?, ?)", (queue.name, clock.now()))

    def tag(self, queue: Queue, tags: Mapping[str, str]) -> None:
        if not tags:
            raise missing("Tags")
        merged = {**queue.tags, **tags}
        _check_tags(merged)
        self._update(queue.name, tags=json.dumps(merged))

    def untag(self, queue: Queue, keys: Iterable[str]) -> None:
        gone = set(keys)
        self._update(queue.name, tags=json.dumps({key: queue.tags[key] for key in queue.tags if key not in gone}))

    def names(self, prefix: str, after: str, limit: int) -> list[str]:
        """In order, those after `after`."""
        query = "SELECT name FROM sqs_queues WHERE name > ? AND substr(name, 1, ?) = ? ORDER BY name LIMIT ?"
        with self._state.transaction() as db:
            rows = db.execute(query, (after, len(prefix), prefix, limit)).fetchall()
        return [row["name"] for row in rows]

    def sources(self, dead_letter_arn: str) -> list[str]:
        """The names of the queues whose dead letters go there, in order."""
        with self._state.transaction() as db:
            rows = db.execute("SELECT * FROM sqs_queues ORDER BY name").fetchall()
        redrives = [(row["name"], self._queue(row).redrive) for row in rows]
        return [name for name, redrive in redrives if redrive and redrive.dead_letter_arn == dead_letter_arn]

    def _write(self, name: str, attributes: Mapping[str, str], tags: Mapping[str, str]) -> None:
        self._check_redrive(name, attributes)
        self._enforce_policy(name, attributes)
        now = clock.now()
        row = (name, json.dumps(dict(attributes)), json.dumps(dict(tags)), now, now)
        with self._state.transaction() as db:
            db.execute("DELETE FROM sqs_deleted_queues WHERE name = ?", (name,))
            db.execute("INSERT INTO sqs_queues (name, attributes, tags, created, modified) VALUES (?, ?, ?, ?, ?)", row)

    def _update(self, name: str, **columns: str | float) -> None:
        changes = ", ".join(f"{column} = ?" for column in columns)
        with self._state.transaction() as db:
            db.execute(f"UPDATE sqs_queues SET {changes} WHERE name = ?", (*columns.values(), name))

    def _enforce_policy(self, name: str, attributes: Mapping[str, str]) -> None:
        try:
            self._enforce(self.arn(name), attributes.get("Policy"))
        except ValueError as error:
            raise invalid_value(attributes["Policy"], "Policy", f"{error}.") from error

    def _check_redrive(self, name: str, attributes: Mapping[str, str]) -> None:
        policy = attributes.get("RedrivePolicy")
        if not policy:
            return
        arn = read_redrive(policy).dead_letter_arn
        if arn == self.arn(name):
            raise invalid_value(policy, "RedrivePolicy", "A queue cannot be its own dead-letter queue.")
        target = self.find_arn(arn)
        if target is None:
            raise invalid_value(policy, "RedrivePolicy", "Dead letter target does not exist.")
        allowed = target.attributes.get("RedriveAllowPolicy")
        sources = read_allowed(allowed) if allowed else None
        if sources is not None and self.arn(name) not in sources:
            reason = "The dead-letter queue's redrive allow policy does not permit this source queue."
            raise invalid_value(policy, "RedrivePolicy", reason)

    def _queue(self, row: sqlite3.Row) -> Queue:
        return Queue(
            row["name"],
            self.arn(row["name"]),
            json.loads(row["attributes"]),
            json.loads(row["tags"]),
            row["created"],
            row["modified"],
            row["purged"],
        )


def _check_name(name: str) -> None:
    if name.endswith(".fifo"):
        raise unsupported("The laptop does not offer FIFO queues")
    if not _NAME.fullmatch(name):
        raise invalid("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")


def _check_tags(tags: Mapping[str, str]) -> None:
    if len(tags) > _MAX_TAGS:
        raise invalid(f"Too many tags: a queue can have {_MAX_TAGS}.")
    if any(not 1 <= len(key) <= 128 or len(value) > 256 or key.startswith("aws:") for key, value in tags.items()):
        raise invalid("Tag keys must be 1 to 128 characters and not start with aws:, values at most 256 characters.")


def _check_same(existing: Queue, attributes: Mapping[str, str]) -> None:
    current = effective(existing.attributes)
    for name, value in attributes.items():
        if current.get(name, "") != value:
            message = "A queue already exists with the same name and a different value for attribute"
            raise AwsError("QueueNameExists", f"{message} {name}")

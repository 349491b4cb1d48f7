"""What is known of stacks: what they were made from, their resources, and what happened to them."""

import json
import uuid
from dataclasses import asdict, dataclass, field
from typing import Any

from local import clock
from local.state import State
from local.wire import ACCOUNT

_SCHEMA = """
CREATE TABLE IF NOT EXISTS stacks (id TEXT PRIMARY KEY, name TEXT, deleted REAL, body TEXT);
CREATE TABLE IF NOT EXISTS stack_resources (
    number INTEGER PRIMARY KEY AUTOINCREMENT, stack TEXT, logical_id TEXT, body TEXT, UNIQUE (stack, logical_id)
);
CREATE TABLE IF NOT EXISTS stack_events (number INTEGER PRIMARY KEY AUTOINCREMENT, stack TEXT, body TEXT);
CREATE INDEX IF NOT EXISTS stack_events_stack ON stack_events (stack);
"""


@dataclass
class Stack:
    """`text` is the template as it was given, `parameters` what was given for them and `values` what they are."""

    id: str
    name: str
    status: str = "REVIEW_IN_PROGRESS"
    reason: str | None = None
    text: str = "{}"
    template: dict[str, Any] = field(default_factory=lambda: {"Resources": {}})
    parameters: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    capabilities: list[str] = field(default_factory=list)
    role_arn: str | None = None
    protected: bool = False
    change_set: str | None = None
    created: float = field(default_factory=clock.now)
    updated: float | None = None
    deleted: float | None = None


@dataclass
class Record:
    """A resource of a stack. `needs` are the logical ids it refers to.

    While a stack is updated, `others` are the resources that replaced this one or were replaced by it: those that are
    deleted when the update, or its rollback, is over. The one with the highest `turn` is the newest.
    """

    logical_id: str
    type: str
    physical_id: str
    attributes: dict[str, Any]
    properties: dict[str, Any]
    needs: list[str]
    deletion_policy: str
    replace_policy: str
    turn: int = 0
    status: str = "CREATE_COMPLETE"
    reason: str | None = None
    changed: float = field(default_factory=clock.now)
    others: list["Record"] = field(default_factory=list)


class Records:
    def __init__(self, state: State, region: str) -> None:
        self._state, self._region = state, region
        state.create(_SCHEMA)

    def stack_id(self, name: str, unique: str | None = None) -> str:
        return f"arn:aws:cloudformation:{self._region}:{ACCOUNT}:stack/{name}/{unique or uuid.uuid4()}"

    def save(self, stack: Stack, event: dict[str, Any] | None = None) -> None:
        """All but its protection, which `protect` may have changed while somebody worked on the stack.

        With the event that says so, which comes before those of whoever sees the new status.
        """
        with self._state.transaction():
            if known := self.find(stack.id):
                stack.protected = known.protected
            self._write(stack)
            if event:
                self.note(stack, event)

    def protect(self, stack: Stack, protected: bool) -> None:
        with self._state.transaction():
            if known := self.find(stack.id):
                known.protected = protected
                self._write(known)

    def _write(self, stack: Stack) -> None:
        row = (stack.id, stack.name, stack.deleted, json.dumps(asdict(stack)))
        with self._state.transaction() as db:
            db.execute("REPLACE INTO stacks VALUES (?, ?, ?, ?)", row)

    def find(self, name_or_id: str) -> Stack | None:
        """By name the one that is there, by id a deleted one too."""
        where = "id = ?" if name_or_id.startswith("arn:") else "name = ? AND deleted IS NULL"
        with self._state.transaction() as db:
            row = db.execute(f"SELECT body FROM stacks WHERE {where}", (name_or_id,)).fetchone()
        return Stack(**json.loads(row["body"])) if row else None

    def all(self) -> list[Stack]:
        """Deleted ones too; those made last come first."""
        with self._state.transaction() as db:
            rows = db.execute("SELECT body FROM stacks ORDER BY rowid DESC").fetchall()
        return sorted((Stack(**json.loads(row["body"])) for row in rows), key=lambda stack: -stack.created)

    def forget(self, stack: Stack) -> None:
        """One that never came to be."""
        with self._state.transaction() as db:
            db.execute("DELETE FROM stacks WHERE id = ?", (stack.id,))
            db.execute("DELETE FROM stack_events WHERE stack = ?", (stack.id,))

    def resources(self, stack: Stack) -> dict[str, Record]:
        """By logical id, in the order they were first made."""
        query = "SELECT body FROM stack_resources WHERE stack = ? ORDER BY number"
        with self._state.transaction() as db:
            rows = db.execute(query, (stack.id,)).fetchall()
        records = [_record(json.loads(row["body"])) for row in rows]
        return {record.logical_id: record for record in records}

    def save_resource(self, stack: Stack, record: Record) -> None:
        with self._state.transaction() as db:
            db.execute(
                "INSERT INTO stack_resources (stack, logical_id, body) VALUES (?, ?, ?)"
                " ON CONFLICT (stack, logical_id) DO UPDATE SET body = excluded.body",
                (stack.id, record.logical_id, json.dumps(asdict(record))),
            )

    def drop_resource(self, stack: Stack, record: Record) -> None:
        with self._state.transaction() as db:
            db.execute("DELETE FROM stack_resources WHERE stack = ? AND logical_id = ?", (stack.id, record.logical_id))

    def note(self, stack: Stack, event: dict[str, Any]) -> None:
        """Add an event, as DescribeStackEvents shows it."""
        whole = {
            "StackId": stack.id,
            "EventId": str(uuid.uuid4()),
            "StackName": stack.name,
            "Timestamp": clock.now(),
            **event,
        }
        with self._state.transaction() as db:
            db.execute("INSERT INTO stack_events (stack, body) VALUES (?, ?)", (stack.id, json.dumps(whole)))

    def events(self, stack: Stack, before: int | None, limit: int) -> list[tuple[int, dict[str, Any]]]:
        """The newest first, each with its number."""
        query = "SELECT number, body FROM stack_events WHERE stack = ? AND number < ? ORDER BY number DESC LIMIT ?"
        with self._state.transaction() as db:
            rows = db.execute(query, (stack.id, before or 1 << 62, limit)).fetchall()
        return [(row["number"], json.loads(row["body"])) for row in rows]


def _record(body: dict[str, Any]) -> Record:
    others = body.pop("others")
    return Record(**body, others=[_record(other) for other in others])

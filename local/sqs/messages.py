"""The messages of all queues. A message is one row; nothing of it is kept in memory."""

import base64
import json
import secrets
import sqlite3
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local import clock
from local.sqs.contents import Attributes, body_md5
from local.sqs.errors import bad_receipt_handle, invalid_value
from local.sqs.queues import Queue
from local.state import State

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sqs_messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    queue TEXT NOT NULL,
    visible_at REAL NOT NULL,
    receives INTEGER NOT NULL DEFAULT 0,
    receipt TEXT,             -- of the latest receive: older handles are stale
    received REAL,            -- when that was
    held REAL,                -- while a poller has it: when it is to be visible again should that fail
    first_received REAL,
    sent REAL NOT NULL,       -- a dead letter keeps its time, so retention counts from the first send
    message_id TEXT NOT NULL,
    sender TEXT NOT NULL,
    system TEXT NOT NULL,     -- JSON: AWSTraceHeader, MessageGroupId, DeadLetterQueueSourceArn
    attributes TEXT NOT NULL, -- JSON
    body TEXT NOT NULL        -- last, so that SQLite reads the others without it
);
CREATE INDEX IF NOT EXISTS sqs_messages_visible ON sqs_messages (queue, visible_at, receives);
CREATE INDEX IF NOT EXISTS sqs_messages_sent ON sqs_messages (queue, sent);
"""
_MAX_HIDDEN_SECONDS = 43200
_NEVER = float("inf")
_MAX_ROW_DIGITS = 18


@dataclass(frozen=True)
class Message:
    """A received message. `attributes` are all the system's; the user's are in their JSON form (base64 for bytes)."""

    message_id: str
    receipt_handle: str
    body: str
    attributes: Mapping[str, str]
    message_attributes: Mapping[str, Mapping[str, Any]]

    @property
    def md5_of_body(self) -> str:
        return body_md5(self.body)


@dataclass(frozen=True)
class Counts:
    visible: int
    in_flight: int
    delayed: int


class Messages:
    """Every method is one transaction, or a part of the caller's.

    What pollers of a former run held when they were ended is back, as if it had never been received.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        state.create(_SCHEMA)
        with state.transaction() as db:
            db.execute(
                "UPDATE sqs_messages SET visible_at = ?, receives = receives - 1, receipt = NULL, held = NULL "
                "WHERE held IS NOT NULL",
                (clock.now(),),
            )

    def add(
        self,
        queue: str,
        body: str,
        delays: Sequence[float],
        sender: str,
        attributes: Attributes,
        system: Mapping[str, str],
    ) -> str:
        """The new message's id. It comes once after each of the delays, which are seconds."""
        now, message_id = clock.now(), str(uuid.uuid4())
        rest = (now, message_id, sender, json.dumps(system), json.dumps(attributes), body)
        columns = "queue, visible_at, sent, message_id, sender, system, attributes, body"
        with self._state.transaction() as db:
            rows = [(queue, now + delay, *rest) for delay in delays]
            db.executemany(f"INSERT INTO sqs_messages ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        return message_id

    def take(
        self, queue: Queue, count: int, visibility: float, dead_letters: Queue | None, *, hold: bool
    ) -> tuple[list[Message], int]:
        """Receive up to `count` messages; also how many moved to `dead_letters` because their receives are used up.

        With `hold` they are a poller's until `let_go`. What functions do is not done faster on a fast clock: there
        they stay hidden all that time.
        """
        now = clock.now()
        with self._state.transaction() as db:
            self._expire(db, queue, now)
            moved = 0
            while True:
                rows = db.execute(
                    "SELECT id, receives FROM sqs_messages WHERE queue = ? AND visible_at <= ? "
                    "ORDER BY visible_at, receives, id LIMIT ?",
                    (queue.name, now, count),
                ).fetchall()
                spent = [row["id"] for row in rows if _is_spent(queue, row["receives"])]
                if not spent or dead_letters is None or dead_letters.name == queue.name:
                    break
                _bury(db, spent, queue, dead_letters)
                moved += len(spent)
            held = now + visibility if hold else None
            visible_at = _NEVER if hold and clock.scale() > 1 else now + visibility
            return [_receive(db, queue.name, row["id"], now, visible_at, held) for row in rows], moved

    def next_visible(self, queue: str) -> float | None:
        """When the next hidden message shows itself."""
        with self._state.transaction() as db:
            row = db.execute(
                "SELECT min(visible_at) FROM sqs_messages WHERE queue = ? AND visible_at > ?", (queue, clock.now())
            ).fetchone()
        found: float | None = row[0]
        return found

    def delete(self, queue: str, handle: str) -> None:
        """A stale handle deletes nothing, and that is no error."""
        number, receipt = read_handle(queue, handle)
        with self._state.transaction() as db:
            db.execute("DELETE FROM sqs_messages WHERE id = ? AND queue = ? AND receipt = ?", (number, queue, receipt))

    def hide(self, queue: str, handle: str, seconds: float) -> None:
        """Set when a message in flight shows itself again, counted from now; refused for any other message."""
        number, receipt = read_handle(queue, handle)
        now = clock.now()
        with self._state.transaction() as db:
            row = db.execute(
                "SELECT received FROM sqs_messages WHERE id = ? AND queue = ? AND receipt = ? AND visible_at > ?",
                (number, queue, receipt, now),
            ).fetchone()
            if row is None:
                reason = "Message does not exist or is not available for visibility timeout change."
                raise invalid_value(handle, "ReceiptHandle", reason)
            if now + seconds - row["received"] > _MAX_HIDDEN_SECONDS:
                reason = "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]"
                raise invalid_value(seconds, "VisibilityTimeout", reason)
            db.execute(
                "UPDATE sqs_messages SET visible_at = iif(visible_at = :never, :never, :at),"
                " held = iif(held IS NULL, NULL, :at) WHERE id = :number",
                {"never": _NEVER, "at": now + seconds, "number": number},
            )

    def let_go(self, queue: str, handle: str) -> bool:
        """Let a message be visible when its timeout is over. Whether a poller had it, under this handle."""
        number, receipt = read_handle(queue, handle)
        with self._state.transaction() as db:
            done = db.execute(
                "UPDATE sqs_messages SET visible_at = held, held = NULL "
                "WHERE id = ? AND queue = ? AND receipt = ? AND held IS NOT NULL",
                (number, queue, receipt),
            )
        return done.rowcount > 0

    def purge(self, queue: str) -> None:
        with self._state.transaction() as db:
            db.execute("DELETE FROM sqs_messages WHERE queue = ?", (queue,))

    def count(self, queue: Queue) -> Counts:
        now = clock.now()
        with self._state.transaction() as db:
            self._expire(db, queue, now)
            row = db.execute(
                "SELECT count(*) AS everything, total(visible_at <= :now) AS visible,"
                " total(visible_at > :now AND receives > 0) AS in_flight FROM sqs_messages WHERE queue = :queue",
                {"now": now, "queue": queue.name},
            ).fetchone()
        visible, in_flight = int(row["visible"]), int(row["in_flight"])
        return Counts(visible, in_flight, row["everything"] - visible - in_flight)

    def redrive(self, source: str, destination: str | None, count: int) -> dict[str | None, int]:
        """Send up to `count` visible messages anew: to that queue (a name), or each to where it came from (by ARN).

        How many went to which queue; those that name no source stay, counted under None.
        """
        now = clock.now()
        went: dict[str | None, int] = {}
        with self._state.transaction() as db:
            rows = db.execute(
                "SELECT id, system FROM sqs_messages WHERE queue = ? AND visible_at <= ? "
                "ORDER BY visible_at, receives, id LIMIT ?",
                (source, now, count),
            ).fetchall()
            for row in rows:
                system = json.loads(row["system"])
                origin = system.pop("DeadLetterQueueSourceArn", "").rpartition(":")[2]
                target = destination or origin or None
                went[target] = went.get(target, 0) + 1
                if target:
                    _send_anew(db, row["id"], target, system, now)
        return went

    def _expire(self, db: sqlite3.Connection, queue: Queue, now: float) -> None:
        oldest = now - queue.number("MessageRetentionPeriod")
        db.execute("DELETE FROM sqs_messages WHERE queue = ? AND sent <= ?", (queue.name, oldest))


def read_handle(queue: str, handle: str) -> tuple[int, str]:
    """The row and the receipt a handle stands for, or `ReceiptHandleIsInvalid`."""
    try:
        name, number, receipt = base64.urlsafe_b64decode(handle.encode()).decode().split("/")
        if name == queue and len(number) <= _MAX_ROW_DIGITS:
            return int(number), receipt
    except ValueError:
        pass  # no handle of ours: refused as one of another queue is
    raise bad_receipt_handle(handle)


def _is_spent(queue: Queue, receives: int) -> bool:
    return queue.redrive is not None and receives >= queue.redrive.max_receives


def _receive(
    db: sqlite3.Connection, queue: str, number: int, now: float, visible_at: float, held: float | None
) -> Message:
    receipt = secrets.token_hex(8)
    row = db.execute(
        "UPDATE sqs_messages SET receives = receives + 1, receipt = ?, received = ?, visible_at = ?, held = ?,"
        " first_received = coalesce(first_received, ?) WHERE id = ? RETURNING *",
        (receipt, now, visible_at, held, now, number),
    ).fetchone()
    handle = base64.urlsafe_b64encode(f"{queue}/{number}/{receipt}".encode()).decode()
    attributes = {
        "SenderId": row["sender"],
        "SentTimestamp": _milliseconds(row["sent"]),
        "ApproximateReceiveCount": str(row["receives"]),
        "ApproximateFirstReceiveTimestamp": _milliseconds(row["first_received"]),
        **json.loads(row["system"]),
    }
    return Message(row["message_id"], handle, row["body"], attributes, json.loads(row["attributes"]))


def _bury(db: sqlite3.Connection, numbers: Sequence[int], source: Queue, dead_letters: Queue) -> None:
    marks = ", ".join("?" * len(numbers))
    db.execute(
        "UPDATE sqs_messages SET queue = ?, receipt = NULL, held = NULL,"
        f" system = json_set(system, '$.DeadLetterQueueSourceArn', ?) WHERE id IN ({marks})",
        (dead_letters.name, source.arn, *numbers),
    )


def _send_anew(db: sqlite3.Connection, number: int, target: str, system: Mapping[str, str], now: float) -> None:
    """SQS developer guide, "dead-letter queue redrive": a redriven message is a new one, with a new id and time."""
    db.execute(
        "UPDATE sqs_messages SET queue = ?, message_id = ?, system = ?, sent = ?, visible_at = ?,"
        " receives = 0, receipt = NULL, received = NULL, held = NULL, first_received = NULL WHERE id = ?",
        (target, str(uuid.uuid4()), json.dumps(system), now, now, number),
    )


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))

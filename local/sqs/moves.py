"""Message move tasks: dead letters on their way back, at most one task a queue at a time."""

import base64
import logging
import sqlite3
import threading
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from local import clock
from local.sqs.errors import invalid, invalid_value, no_resource, unsupported
from local.sqs.messages import Messages
from local.sqs.queues import Queues
from local.state import State
from local.wire import AwsError

log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sqs_move_tasks (
    handle TEXT PRIMARY KEY, source TEXT NOT NULL, destination TEXT, rate INTEGER,
    status TEXT NOT NULL, moved INTEGER NOT NULL, to_move INTEGER NOT NULL, started REAL NOT NULL, failure TEXT
);
CREATE INDEX IF NOT EXISTS sqs_move_tasks_source ON sqs_move_tasks (source, started);
"""
_MAX_RATE = 500
_AT_ONCE = 100


class Moves:
    """Each running task has a thread; one that a kill interrupted goes on when this is made again.

    `announce` is called with the name of a queue that got messages.
    """

    def __init__(self, state: State, queues: Queues, messages: Messages, announce: Callable[[str], None]) -> None:
        self._state, self._queues, self._messages, self._announce = state, queues, messages, announce
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        state.create(_SCHEMA)
        with state.transaction() as db:
            for row in db.execute("SELECT handle FROM sqs_move_tasks WHERE status = 'RUNNING'").fetchall():
                self._start(row["handle"])

    def start(self, source_arn: str, destination_arn: str | None, rate: int | None) -> str:
        """The handle of a new task."""
        if rate is not None and not 1 <= rate <= _MAX_RATE:
            reason = f"Must be between 1 and {_MAX_RATE}, if provided."
            raise invalid_value(rate, "MaxNumberOfMessagesPerSecond", reason)
        handle = base64.b64encode(f'{{"taskId":"{uuid.uuid4()}","sourceArn":"{source_arn}"}}'.encode()).decode()
        with self._state.transaction() as db:
            self._check(db, source_arn, destination_arn)
            waiting = self._messages.count(self._queues.by_arn(source_arn)).visible
            db.execute(
                "INSERT INTO sqs_move_tasks VALUES (?, ?, ?, ?, 'RUNNING', 0, ?, ?, NULL)",
                (handle, source_arn, destination_arn, rate, waiting, clock.now()),
            )
            self._state.after_commit(lambda: self._start(handle))
        return handle

    def cancel(self, handle: str) -> int:
        """How many messages it had moved."""
        with self._state.transaction() as db:
            task = _find(db, handle)
            if task is None:
                raise no_resource("TaskHandle")
            if task["status"] != "RUNNING":
                raise unsupported("Only active tasks can be cancelled.")
            db.execute("UPDATE sqs_move_tasks SET status = 'CANCELLED' WHERE handle = ?", (handle,))
        moved: int = task["moved"]
        return moved

    def list(self, source_arn: str, limit: int) -> list[dict[str, Any]]:
        """The latest first."""
        if self._queues.find_arn(source_arn) is None:
            raise no_resource("SourceArn")
        query = "SELECT * FROM sqs_move_tasks WHERE source = ? ORDER BY started DESC LIMIT ?"
        with self._state.transaction() as db:
            return [_entry(row) for row in db.execute(query, (source_arn, limit)).fetchall()]

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(1)

    def _check(self, db: sqlite3.Connection, source_arn: str, destination_arn: str | None) -> None:
        if self._queues.find_arn(source_arn) is None:
            raise no_resource("SourceArn")
        if not self._queues.sources(source_arn):
            raise invalid("Source queue must be configured as a Dead Letter Queue.")
        if destination_arn is not None and self._queues.find_arn(destination_arn) is None:
            raise no_resource("DestinationArn")
        if destination_arn == source_arn:
            raise invalid("Source queue arn and destination queue arn cannot be the same.")
        running = "SELECT 1 FROM sqs_move_tasks WHERE source = ? AND status = 'RUNNING'"
        if db.execute(running, (source_arn,)).fetchone():
            message = "There is already a task running. "
            raise unsupported(message + "Only one active task is allowed for a source queue arn at a given time.")

    def _start(self, handle: str) -> None:
        thread = threading.Thread(target=self._run, args=(handle,), daemon=True, name="sqs-move")
        self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        thread.start()

    def _run(self, handle: str) -> None:
        while not self._stopped.is_set():
            try:
                pause = self._step(handle)
            except AwsError as error:
                log.warning("messages could not be moved: %s", error)
                self._end(handle, "FAILED", error.code)
                return
            if pause is None:
                return
            if pause:
                clock.wait(pause, self._stopped)

    def _step(self, handle: str) -> float | None:
        """Move some; how long to wait before the next ones, None when the task is over."""
        with self._state.transaction() as db:
            task = _find(db, handle)
            if task is None or task["status"] != "RUNNING":
                return None
            source = self._queues.by_arn(task["source"])
            target = self._queues.by_arn(task["destination"]).name if task["destination"] else None
            left = task["to_move"] - task["moved"]
            went = self._messages.redrive(source.name, target, min(left, task["rate"] or _AT_ONCE))
            self._check_arrived(went)
            moved = task["moved"] + sum(went.values())
            db.execute("UPDATE sqs_move_tasks SET moved = ? WHERE handle = ?", (moved, handle))
            if not went or moved >= task["to_move"]:
                self._end(handle, "COMPLETED")
                return None
        return 1.0 if task["rate"] else 0.0

    def _check_arrived(self, went: Mapping[str | None, int]) -> None:
        """Undo the step where a message has nowhere to go."""
        for name in went:
            if name is None:
                raise AwsError("CouldNotDetermineMessageSource", "A message does not say where it came from")
            self._queues.get(name)
            self._state.after_commit(partial(self._announce, name))

    def _end(self, handle: str, status: str, failure: str | None = None) -> None:
        with self._state.transaction() as db:
            db.execute("UPDATE sqs_move_tasks SET status = ?, failure = ? WHERE handle = ?", (status, failure, handle))


def _find(db: sqlite3.Connection, handle: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = db.execute("SELECT * FROM sqs_move_tasks WHERE handle = ?", (handle,)).fetchone()
    return row


def _entry(task: sqlite3.Row) -> dict[str, Any]:
    shown = {
        "TaskHandle": task["handle"] if task["status"] == "RUNNING" else None,
        "Status": task["status"],
        "SourceArn": task["source"],
        "DestinationArn": task["destination"],
        "MaxNumberOfMessagesPerSecond": task["rate"],
        "ApproximateNumberOfMessagesMoved": task["moved"],
        "ApproximateNumberOfMessagesToMove": task["to_move"],
        "FailureReason": task["failure"],
        "StartedTimestamp": int(task["started"] * 1000),
    }
    return {name: value for name, value in shown.items() if value is not None}

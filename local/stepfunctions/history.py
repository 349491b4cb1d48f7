"""The events of an execution, as GetExecutionHistory shows them."""

import json
from typing import Any

from local import clock
from local.state import State
from local.stepfunctions.payload import StateFailure

MAX_EVENTS = 25_000

SCHEMA = """
CREATE TABLE IF NOT EXISTS sfn_history (
    execution TEXT, id INTEGER, at REAL, type TEXT, previous INTEGER, details TEXT, PRIMARY KEY (execution, id)
) WITHOUT ROWID;
"""


class ExecutionOver(Exception):
    """The execution has ended or the laptop stops: its threads have nothing more to write."""


class HistoryFull(StateFailure):
    def __init__(self) -> None:
        cause = f"The execution reached the maximum number of history events ({MAX_EVENTS})."
        super().__init__("States.Runtime", cause)


class History:
    """Writes one execution's events until `closed` is set, inside a transaction, by whoever ends it."""

    def __init__(self, state: State, execution: str) -> None:
        self._state = state
        self._execution = execution
        self._count = 0
        self.closed = False

    def add(self, kind: str, previous: int, details: dict[str, Any] | None = None) -> int:
        """Write an event and answer with its id. The last of the 25,000 is kept for the execution's end."""
        with self._state.transaction():
            if self.closed:
                raise ExecutionOver
            if self._count >= MAX_EVENTS - 1:
                raise HistoryFull
            return self._insert(kind, previous, details)

    def close(self, kind: str, previous: int, details: dict[str, Any]) -> None:
        """Write the event that ends the execution, which may be the 25,000th."""
        self._insert(kind, previous, details)

    def _insert(self, kind: str, previous: int, details: dict[str, Any] | None) -> int:
        text = json.dumps({_details_name(kind): details}) if details is not None else "{}"
        row = (self._execution, self._count + 1, clock.now(), kind, previous, text)
        with self._state.transaction() as db:
            db.execute("INSERT INTO sfn_history VALUES (?, ?, ?, ?, ?, ?)", row)
            self._count += 1
        return self._count


def _details_name(kind: str) -> str:
    for suffix in ("StateEntered", "StateExited"):
        if kind.endswith(suffix):
            kind = suffix
    return f"{kind[0].lower()}{kind[1:]}EventDetails"


def data(name: str, text: str) -> dict[str, Any]:
    """An input or output inside an event's details."""
    return {name: text, f"{name}Details": {"truncated": False}}


def read(
    state: State, execution: str, reverse: bool, after: int | None, limit: int, with_data: bool
) -> list[dict[str, Any]]:
    """Up to `limit` events beyond the id `after`."""
    order, beyond = ("DESC", "<") if reverse else ("ASC", ">")
    start = after if after is not None else (MAX_EVENTS + 1 if reverse else 0)
    query = f"SELECT * FROM sfn_history WHERE execution = ? AND id {beyond} ? ORDER BY id {order} LIMIT ?"
    with state.transaction() as db:
        rows = db.execute(query, (execution, start, limit)).fetchall()
    return [_event(dict(row), with_data) for row in rows]


def _event(row: dict[str, Any], with_data: bool) -> dict[str, Any]:
    details = json.loads(row["details"])
    if not with_data:
        for group in details.values():
            for name in ("input", "output", "inputDetails", "outputDetails"):
                group.pop(name, None)
    return {
        "timestamp": row["at"],
        "type": row["type"],
        "id": row["id"],
        "previousEventId": row["previous"],
        **details,
    }

"""Task tokens: what a `.waitForTaskToken` task waits for and SendTaskSuccess, …Failure and …Heartbeat bring."""

import secrets
import threading
from dataclasses import dataclass, field

from local import clock
from local.state import State
from local.stepfunctions.jsonpath import Json
from local.stepfunctions.payload import StateFailure
from local.wire import AwsError

SCHEMA = """
CREATE TABLE IF NOT EXISTS sfn_token (token TEXT PRIMARY KEY, execution TEXT, open INTEGER) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sfn_token_execution ON sfn_token (execution);
"""


@dataclass
class Callback:
    """A task that waits; `wake` is the event of its thread."""

    token: str
    wake: threading.Event
    beat: float = field(default_factory=clock.now)
    settled: bool = False
    outcome: Json | StateFailure = None

    def result(self) -> Json:
        if isinstance(self.outcome, StateFailure):
            raise self.outcome
        return self.outcome


class Tokens:
    """A token is remembered as long as its execution, so that a late one is told from a wrong one."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._waiting: dict[str, Callback] = {}
        state.create(SCHEMA)
        with state.transaction() as db:  # nothing waits at a start: executions run again with new tokens
            db.execute("UPDATE sfn_token SET open = 0 WHERE open = 1")

    def issue(self, execution: str, wake: threading.Event) -> Callback:
        callback = Callback(secrets.token_urlsafe(96), wake)
        with self._state.transaction() as db:
            db.execute("INSERT INTO sfn_token VALUES (?, ?, 1)", (callback.token, execution))
        self._waiting[callback.token] = callback
        return callback

    def close(self, callback: Callback) -> None:
        """The task waits no longer. What came before this is in the callback."""
        with self._state.transaction() as db:
            db.execute("UPDATE sfn_token SET open = 0 WHERE token = ?", (callback.token,))
            self._waiting.pop(callback.token, None)

    def settle(self, token: str, outcome: Json | StateFailure) -> None:
        with self._state.transaction() as db:
            callback = self._open(token)
            db.execute("UPDATE sfn_token SET open = 0 WHERE token = ?", (token,))
            callback.outcome = outcome
            callback.settled = True
            callback.wake.set()

    def beat(self, token: str) -> None:
        with self._state.transaction():
            callback = self._open(token)
            callback.beat = clock.now()
            callback.wake.set()

    def execution_of(self, token: str) -> str | None:
        """Of the task that waits or waited with it."""
        with self._state.transaction() as db:
            row = db.execute("SELECT execution FROM sfn_token WHERE token = ?", (token,)).fetchone()
        return row and str(row["execution"])

    def _open(self, token: str) -> Callback:
        with self._state.transaction() as db:
            row = db.execute("SELECT open FROM sfn_token WHERE token = ?", (token,)).fetchone()
        if row is None:
            raise AwsError("InvalidToken", "Invalid Token: 'Invalid token'")
        if not row["open"] or token not in self._waiting:
            raise AwsError("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
        return self._waiting[token]

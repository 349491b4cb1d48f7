"""State machines and the revisions of their definitions."""

import json
import uuid
from typing import Any

from local import clock
from local.state import State
from local.stepfunctions import definition
from local.wire import ACCOUNT, AwsError

MAX_DEFINITION = 1_048_576  # bytes

SCHEMA = """
CREATE TABLE IF NOT EXISTS sfn_machine (
    arn TEXT PRIMARY KEY, name TEXT, revision TEXT, status TEXT, created REAL, updated INTEGER, settings TEXT, tags TEXT
);
CREATE TABLE IF NOT EXISTS sfn_revision (
    id TEXT PRIMARY KEY, machine TEXT, definition TEXT, role_arn TEXT, created REAL
);
CREATE INDEX IF NOT EXISTS sfn_revision_machine ON sfn_revision (machine);
"""

_SELECT = """SELECT m.*, r.definition, r.role_arn, r.created AS revised FROM sfn_machine m
             JOIN sfn_revision r ON r.id = m.revision"""

Machine = dict[str, Any]


class Machines:
    def __init__(self, state: State, region: str) -> None:
        self._state = state
        self._prefix = f"arn:aws:states:{region}:{ACCOUNT}:stateMachine:"
        state.create(SCHEMA)

    def arn(self, name: str) -> str:
        return self._prefix + name

    def find(self, arn: str) -> Machine | None:
        with self._state.transaction() as db:
            row = db.execute(f"{_SELECT} WHERE m.arn = ?", (arn,)).fetchone()
        return dict(row) if row else None

    def get(self, arn: str) -> Machine:
        check_arn(arn)
        found = self.find(arn)
        if found is None:
            raise AwsError("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{arn}'")
        return found

    def active(self, arn: str) -> Machine:
        found = self.get(arn)
        if found["status"] == "DELETING":
            raise AwsError("StateMachineDeleting", f"State Machine is being deleted: '{arn}'")
        return found

    def page(self, after: str, limit: int) -> list[Machine]:
        with self._state.transaction() as db:
            rows = db.execute(f"{_SELECT} WHERE m.arn > ? ORDER BY m.arn LIMIT ?", (after, limit)).fetchall()
        return [dict(row) for row in rows]

    def create(
        self, name: str, text: str, role_arn: str, settings: dict[str, Any], tags: dict[str, str]
    ) -> tuple[Machine, bool]:
        """The state machine, and whether it is new; the same one again is no error, another of the name is."""
        check_definition(text)
        arn = self.arn(name)
        with self._state.transaction() as db:
            found = self.find(arn)
            if found is not None:
                self._check_same(self.active(arn), text, settings)
                return found, False
            revision = self._revise(arn, text, role_arn)
            row = (arn, name, revision, "ACTIVE", clock.now(), 0, json.dumps(settings), json.dumps(tags))
            db.execute("INSERT INTO sfn_machine VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            return self.get(arn), True

    def _check_same(self, found: Machine, text: str, settings: dict[str, Any]) -> None:
        """Role and tags are no part of a state machine's identity (CreateStateMachine's reference)."""
        if (found["definition"], json.loads(found["settings"])) != (text, settings):
            raise AwsError("StateMachineAlreadyExists", f"State Machine Already Exists: '{found['arn']}'")

    def update(self, arn: str, text: str | None, role_arn: str | None, settings: dict[str, Any]) -> Machine:
        """Change what is given. Executions that run keep the revision they began with."""
        if text is not None:
            check_definition(text)
        with self._state.transaction() as db:
            found = self.active(arn)
            merged = json.dumps(json.loads(found["settings"]) | settings)
            given = (text or found["definition"], role_arn or found["role_arn"], merged)
            if given != (found["definition"], found["role_arn"], found["settings"]):
                revision = self._revise(arn, given[0], given[1])
                change = "revision = ?, updated = 1, settings = ?"
                db.execute(f"UPDATE sfn_machine SET {change} WHERE arn = ?", (revision, merged, arn))
                self._forget_revisions(arn)
            return self.get(arn)

    def _revise(self, arn: str, text: str, role_arn: str) -> str:
        revision = str(uuid.uuid4())
        with self._state.transaction() as db:
            db.execute("INSERT INTO sfn_revision VALUES (?, ?, ?, ?, ?)", (revision, arn, text, role_arn, clock.now()))
        return revision

    def _forget_revisions(self, arn: str) -> None:
        unused = """DELETE FROM sfn_revision WHERE machine = ? AND id NOT IN
                    (SELECT revision FROM sfn_machine UNION SELECT revision FROM sfn_execution WHERE machine = ?)"""
        with self._state.transaction() as db:
            db.execute(unused, (arn, arn))

    def begin_delete(self, arn: str) -> None:
        with self._state.transaction() as db:
            db.execute("UPDATE sfn_machine SET status = 'DELETING' WHERE arn = ?", (arn,))
        self.finish_delete(arn)

    def finish_delete(self, arn: str) -> None:
        """Delete it if it is being deleted and none of its executions runs any more."""
        with self._state.transaction() as db:
            running = "SELECT 1 FROM sfn_execution WHERE machine = ? AND status = 'RUNNING' LIMIT 1"
            if db.execute(running, (arn,)).fetchone() is None:
                db.execute("DELETE FROM sfn_machine WHERE arn = ? AND status = 'DELETING'", (arn,))

    def deleting(self) -> list[str]:
        with self._state.transaction() as db:
            rows = db.execute("SELECT arn FROM sfn_machine WHERE status = 'DELETING'").fetchall()
        return [row["arn"] for row in rows]

    def set_tags(self, arn: str, tags: dict[str, str]) -> None:
        with self._state.transaction() as db:
            db.execute("UPDATE sfn_machine SET tags = ? WHERE arn = ?", (json.dumps(tags), arn))


def not_taken() -> AwsError:
    """For a role that does not exist, or does not trust Step Functions."""
    principals = "Neither the global service principal states.amazonaws.com, nor the regional one"
    return AwsError("AccessDeniedException", f"{principals} is authorized to assume the provided role.")


def check_arn(arn: str) -> None:
    if not arn.startswith("arn:"):
        raise AwsError("InvalidArn", f"Invalid Arn: 'Invalid ARN prefix: {arn}'")


def check_definition(text: str) -> None:
    if len(text.encode()) > MAX_DEFINITION:
        raise AwsError("InvalidDefinition", f"Invalid State Machine Definition: 'longer than {MAX_DEFINITION:,} bytes'")
    if found := definition.problems(text):
        raise AwsError("InvalidDefinition", f"Invalid State Machine Definition: '{', '.join(map(str, found))}'")

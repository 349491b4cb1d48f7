"""Change sets: what somebody wants of a stack, looked at before it is done."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from local import clock
from local.cloudformation.changes import changes
from local.stack.records import Stack
from local.stack.stacks import Proposal, Stacks
from local.stack.template import Blueprint, TemplateError
from local.state import State
from local.wire import ACCOUNT, AwsError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS stack_change_sets (id TEXT PRIMARY KEY, stack TEXT, name TEXT, body TEXT) WITHOUT ROWID;
"""
_NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."


@dataclass
class ChangeSet:
    """`kind` is CREATE or UPDATE; `execution` says whether it can be executed, or was."""

    id: str
    name: str
    stack_id: str
    stack_name: str
    kind: str
    proposal: Proposal
    changes: list[dict[str, Any]]
    on_failure: str = "ROLLBACK"
    description: str | None = None
    status: str = "CREATE_COMPLETE"
    reason: str | None = None
    execution: str = "AVAILABLE"
    created: float = field(default_factory=clock.now)


class ChangeSets:
    def __init__(self, state: State, stacks: Stacks, region: str) -> None:
        self._state, self._stacks, self._region = state, stacks, region
        state.create(_SCHEMA)

    def create(self, stack: Stack, name: str, kind: str, proposal: Proposal, **more: Any) -> ChangeSet:
        """One that would change nothing is FAILED, as on AWS."""
        if any(each.name == name for each in self.of(stack)):
            raise AwsError("AlreadyExistsException", f"ChangeSet [{name}] already exists")
        id_ = f"arn:aws:cloudformation:{self._region}:{ACCOUNT}:changeSet/{name}/{uuid.uuid4()}"
        found = self._changes(stack, proposal)
        proposal.change_set = id_
        made = ChangeSet(id_, name, stack.id, stack.name, kind, proposal, found, **more)
        if kind == "UPDATE" and not found and _same_otherwise(stack, proposal):
            made.status, made.reason, made.execution = "FAILED", _NO_CHANGES, "UNAVAILABLE"
        self._save(made, name)
        return made

    def would_change(self, stack: Stack, proposal: Proposal) -> bool:
        return bool(self._changes(stack, proposal)) or not _same_otherwise(stack, proposal)

    def get(self, request: Mapping[str, Any]) -> ChangeSet:
        """By ARN, or by the names of stack and change set."""
        name = request["ChangeSetName"]
        stack = self._stacks.records.find(request["StackName"]) if request.get("StackName") else None
        with self._state.transaction() as db:
            row = db.execute(
                "SELECT body FROM stack_change_sets WHERE id = ? OR (stack = ? AND name = ?)",
                (name, stack and stack.id, name),
            ).fetchone()
        if row is None:
            raise AwsError("ChangeSetNotFound", f"ChangeSet [{name}] does not exist", 404)
        return _change_set(row["body"])

    def of(self, stack: Stack) -> list[ChangeSet]:
        """Those not executed."""
        with self._state.transaction() as db:
            query = "SELECT body FROM stack_change_sets WHERE stack = ? AND name IS NOT NULL"
            rows = db.execute(query, (stack.id,)).fetchall()
        return sorted((_change_set(row["body"]) for row in rows), key=lambda each: each.created)

    def execute(self, found: ChangeSet, *, rollback: bool) -> None:
        """Hand it to the stack, whose other change sets are gone then."""
        if (found.status, found.execution) != ("CREATE_COMPLETE", "AVAILABLE"):
            message = f"ChangeSet [{found.id}] cannot be executed in its current status of [{found.status}]"
            raise AwsError("InvalidChangeSetStatus", message)
        stack = self._stacks.records.find(found.stack_id)
        if stack is None:
            raise AwsError("ValidationError", f"Stack [{found.stack_name}] does not exist")
        with self._state.transaction() as db:
            db.execute("DELETE FROM stack_change_sets WHERE stack = ?", (stack.id,))
            found.execution = "EXECUTE_COMPLETE"
            self._save(found, name=None)
        if found.kind == "CREATE":
            self._stacks.create(stack, found.proposal, found.on_failure if rollback else "DO_NOTHING")
        else:
            self._stacks.update(stack, found.proposal, rollback=rollback)

    def delete(self, found: ChangeSet) -> None:
        with self._state.transaction() as db:
            db.execute("DELETE FROM stack_change_sets WHERE id = ?", (found.id,))

    def _changes(self, stack: Stack, proposal: Proposal) -> list[dict[str, Any]]:
        blueprint = Blueprint(stack.name, stack.id, self._region, proposal.template, proposal.values)
        try:
            return changes(blueprint, stack.template, self._stacks.records.resources(stack))
        except TemplateError as error:
            raise AwsError("ValidationError", f"Template error: {error}") from error

    def _save(self, made: ChangeSet, name: str | None) -> None:
        """Under its name; without one it is found by its ARN only, as after its execution."""
        row = (made.id, made.stack_id, name, json.dumps(asdict(made)))
        with self._state.transaction() as db:
            db.execute("REPLACE INTO stack_change_sets VALUES (?, ?, ?, ?)", row)


def _same_otherwise(stack: Stack, proposal: Proposal) -> bool:
    outputs = stack.template.get("Outputs"), proposal.template.get("Outputs")
    return outputs[0] == outputs[1] and stack.tags == proposal.tags


def _change_set(body: str) -> ChangeSet:
    found = json.loads(body)
    return ChangeSet(**{**found, "proposal": Proposal(**found["proposal"])})

"""Executions: their rows, their threads, and the event on every change of their status."""

import json
import logging
import threading
import uuid
from collections.abc import Callable
from typing import Any

from local import clock
from local.clients import Clients
from local.state import State
from local.stepfunctions import history
from local.stepfunctions.history import ExecutionOver, History
from local.stepfunctions.interpreter import Interpreter, stamp
from local.stepfunctions.line import Line, MachineDeletedError, Run
from local.stepfunctions.payload import StateFailure, dump
from local.stepfunctions.scope import Cancelled, DeadlinePassed, Scope
from local.stepfunctions.tokens import Tokens
from local.wire import ACCOUNT

log = logging.getLogger(__name__)

KEPT_SECONDS = 90 * 86_400  # a closed execution, and so its name
_PATIENCE = 5.0  # seconds for a thread to end
MAX_EVENT_DATA = 248 * 1024  # bytes of input and output in a status event; beyond, they are left out

SCHEMA = """
CREATE TABLE IF NOT EXISTS sfn_execution (
    number INTEGER PRIMARY KEY AUTOINCREMENT, arn TEXT UNIQUE, machine TEXT, name TEXT, revision TEXT, status TEXT,
    started REAL, stopped REAL, input TEXT, output TEXT, error TEXT, cause TEXT
);
CREATE INDEX IF NOT EXISTS sfn_execution_machine ON sfn_execution (machine, number);
CREATE INDEX IF NOT EXISTS sfn_execution_stopped ON sfn_execution (stopped);
"""

Emit = Callable[[dict[str, Any]], None]


class Runs:
    """The executions of all state machines; `ended` hears of each state machine one of whose executions ended."""

    def __init__(self, state: State, clients: Clients, emit: Emit, ended: Callable[[str], None]) -> None:
        self._state = state
        self._emit = emit
        self._ended = ended
        self._running: dict[str, tuple[Run, threading.Thread]] = {}
        self.tokens = Tokens(state)
        self._interpreter = Interpreter(clients, self.tokens)
        state.create(SCHEMA)
        state.create(history.SCHEMA)

    def start(self, machine: dict[str, Any], name: str, text: str) -> dict[str, Any]:
        """A new execution; its thread starts when the transaction is on disk."""
        arn = execution_arn(machine["arn"], name)
        values = (arn, machine["arn"], name, machine["revision"], "RUNNING", clock.now(), text)
        columns = "arn, machine, name, revision, status, started, input"
        with self._state.transaction() as db:
            self.forget_old()
            db.execute(f"INSERT INTO sfn_execution ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", values)
            row = dict(db.execute("SELECT * FROM sfn_execution WHERE arn = ?", (arn,)).fetchone())
            self._tell(row)
            self._launch(row, machine["definition"], machine["role_arn"])
        return row

    def resume(self) -> None:
        """Run again, from their input, what was running when the laptop stopped."""
        query = """SELECT e.*, r.definition, r.role_arn FROM sfn_execution e
                   JOIN sfn_revision r ON r.id = e.revision WHERE e.status = 'RUNNING' ORDER BY e.number"""
        with self._state.transaction() as db:
            for row in map(dict, db.execute(query).fetchall()):
                if row["arn"] in self._running:  # started since
                    continue
                db.execute("DELETE FROM sfn_history WHERE execution = ?", (row["arn"],))
                self._launch(row, row["definition"], row["role_arn"])
        self.forget_old()

    def _launch(self, row: dict[str, Any], definition: str, role_arn: str) -> None:
        run = self._make_run(row, json.loads(definition), role_arn)
        thread = threading.Thread(target=self._main, args=(run,), name="states-execution", daemon=True)
        details = {**history.data("input", row["input"]), "roleArn": role_arn}
        run.history.add("ExecutionStarted", 0, details)
        self._running[run.arn] = (run, thread)
        self._state.after_commit(thread.start)

    def _make_run(self, row: dict[str, Any], definition: dict[str, Any], role_arn: str) -> Run:
        limit = definition.get("TimeoutSeconds")
        execution = {
            "Id": row["arn"],
            "Input": json.loads(row["input"]),
            "Name": row["name"],
            "RoleArn": role_arn,
            "StartTime": stamp(row["started"]),
            "RedriveCount": 0,
        }
        return Run(
            arn=row["arn"],
            machine_arn=row["machine"],
            role_arn=role_arn,
            definition=definition,
            input=execution["Input"],
            history=History(self._state, row["arn"]),
            scope=Scope(clock.now() + limit if limit else None),
            context={"Execution": execution, "StateMachine": {"Id": row["machine"], "Name": machine_name(row["arn"])}},
        )

    def _main(self, run: Run) -> None:
        line = Line(run, run.scope, dict(run.context))
        try:
            output = dump(self._interpreter.run(line, run.definition, run.input))
            self._end(run, line.last, "SUCCEEDED", history.data("output", output))
        except StateFailure as failure:
            self._end(run, line.last, "FAILED", failure.details())
        except DeadlinePassed:
            self._end(run, line.last, "TIMED_OUT", {})
        except MachineDeletedError:
            self._end(run, line.last, "ABORTED", {})
        except (Cancelled, ExecutionOver):
            return
        except Exception:
            log.exception("the interpreter failed")
            self._end(run, line.last, "FAILED", {"error": "States.Runtime", "cause": "The laptop failed; see its log"})

    def _end(self, run: Run, last: int, status: str, details: dict[str, Any]) -> float | None:
        """Store the end, unless the execution has one already."""
        event = "Execution" + status.title().replace("_", "")
        with self._state.transaction() as db:
            if run.history.closed:
                return None
            run.history.close(event, last, details)
            stopped = clock.now()
            end = (status, stopped, details.get("output"), details.get("error"), details.get("cause"), run.arn)
            change = "status = ?, stopped = ?, output = ?, error = ?, cause = ?"
            db.execute(f"UPDATE sfn_execution SET {change} WHERE arn = ?", end)
            self._tell(dict(db.execute("SELECT * FROM sfn_execution WHERE arn = ?", (run.arn,)).fetchone()))
            self._ended(run.machine_arn)
            run.history.closed = True
        self._running.pop(run.arn, None)
        run.scope.cancel()
        return stopped

    def abort(self, arn: str, error: str | None, cause: str | None) -> float | None:
        """End a running execution at once; None if it is not running."""
        details = {name: text for name, text in (("error", error), ("cause", cause)) if text is not None}
        found = self._running.get(arn)
        return self._end(found[0], 0, "ABORTED", details) if found else None

    def doom(self, machine_arn: str) -> None:
        """Have the executions of a deleted state machine end at their next transition."""
        for run, _ in list(self._running.values()):
            if run.machine_arn == machine_arn:
                run.doomed = True

    def stop(self) -> None:
        """End all threads; what runs stays RUNNING and is resumed at the next start."""
        found = list(self._running.values())
        for run, _ in found:
            with self._state.transaction():
                run.parked = True
                run.history.closed = True
            run.scope.cancel()
        for _, thread in found:
            if thread.ident:
                thread.join(_PATIENCE)
        self._running.clear()

    def forget_old(self) -> None:
        """Delete what closed 90 days ago."""
        with self._state.transaction() as db:
            query = "SELECT arn FROM sfn_execution WHERE stopped < ?"
            for row in db.execute(query, (clock.now() - KEPT_SECONDS,)).fetchall():
                self.forget(row["arn"])

    def forget(self, arn: str) -> None:
        with self._state.transaction() as db:
            db.execute("DELETE FROM sfn_execution WHERE arn = ?", (arn,))
            db.execute("DELETE FROM sfn_history WHERE execution = ?", (arn,))
            db.execute("DELETE FROM sfn_token WHERE execution = ?", (arn,))

    def _tell(self, row: dict[str, Any]) -> None:
        self._emit(status_event(row))


def execution_arn(machine_arn: str, name: str) -> str:
    return f"{machine_arn.replace(':stateMachine:', ':execution:')}:{name}"


def machine_name(execution: str) -> str:
    return execution.split(":")[6]


def redrive(row: dict[str, Any]) -> dict[str, Any]:
    """What Step Functions says of a redrive (which the laptop does not offer)."""
    if row["status"] in ("RUNNING", "SUCCEEDED"):
        reason = f"Execution is {row['status']} and cannot be redriven"
        return {"redriveCount": 0, "redriveStatus": "NOT_REDRIVABLE", "redriveStatusReason": reason}
    return {"redriveCount": 0, "redriveStatus": "REDRIVABLE"}


def status_event(row: dict[str, Any]) -> dict[str, Any]:
    """`Step Functions Execution Status Change` as EventBridge gets it, nulls and all (recorded)."""
    included = len((row["input"] + (row["output"] or "")).encode()) <= MAX_EVENT_DATA
    detail = {
        "executionArn": row["arn"],
        "stateMachineArn": row["machine"],
        "name": row["name"],
        "status": row["status"],
        "startDate": round(row["started"] * 1000),
        "stopDate": None if row["stopped"] is None else round(row["stopped"] * 1000),
        "input": row["input"] if included else None,
        "output": row["output"] if included else None,
        "stateMachineVersionArn": None,
        "stateMachineAliasArn": None,
        "redriveDate": None,
        "redriveStatusReason": None,
        **redrive(row),
        "inputDetails": {"included": included},
        "outputDetails": None if row["output"] is None else {"included": included},
        "error": row["error"],
        "cause": row["cause"],
    }
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Step Functions Execution Status Change",
        "source": "aws.states",
        "account": ACCOUNT,
        "time": clock.iso(clock.now()),
        "region": row["arn"].split(":")[3],
        "resources": [row["arn"]],
        "detail": detail,
    }

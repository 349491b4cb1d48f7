"""The batch inference jobs, in SQLite, and the event on every change of their status."""

import json
import sqlite3
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from local import clock
from local.bedrock.jobs import job_uri, new_id
from local.state import State
from local.wire import ACCOUNT, AwsError

DEFAULT_HOURS = 24
WAITING = ("Submitted", "Scheduled")  # nobody works on it
UNFINISHED = ("Submitted", "Validating", "Scheduled", "InProgress", "Stopping")

_MAX_MESSAGE_CHARS = 2048
_SCHEMA = """
CREATE TABLE IF NOT EXISTS bedrock_batch_jobs (
    id TEXT PRIMARY KEY,
    name TEXT UNIQUE NOT NULL,
    token TEXT UNIQUE,
    model TEXT NOT NULL,
    request TEXT NOT NULL,
    status TEXT NOT NULL,
    message TEXT,
    submitted REAL NOT NULL,
    modified REAL NOT NULL,
    ended REAL,
    total INTEGER NOT NULL DEFAULT 0,
    succeeded INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS bedrock_batch_jobs_by_time ON bedrock_batch_jobs (submitted, id);
"""

Emit = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class BatchJob:
    """`request` is what CreateModelInvocationJob was asked, without the token; the last three count records."""

    id: str
    name: str
    token: str | None
    model: str
    request: Mapping[str, Any]
    status: str
    message: str | None
    submitted: float
    modified: float
    ended: float | None
    total: int
    succeeded: int
    failed: int

    @property
    def input(self) -> Mapping[str, Any]:
        """The `s3InputDataConfig` of the request."""
        config: Mapping[str, Any] = self.request["inputDataConfig"]["s3InputDataConfig"]
        return config

    @property
    def output(self) -> Mapping[str, Any]:
        """The `s3OutputDataConfig` of the request."""
        config: Mapping[str, Any] = self.request["outputDataConfig"]["s3OutputDataConfig"]
        return config

    @property
    def output_uri(self) -> str:
        """Where its files lie, without a slash at the end."""
        return job_uri(self.output["s3Uri"], self.id)

    @property
    def hours(self) -> int:
        return int(self.request.get("timeoutDurationInHours") or DEFAULT_HOURS)

    @property
    def expires(self) -> float:
        return self.submitted + self.hours * 3600


@dataclass(frozen=True)
class BatchPage:
    """What ListModelInvocationJobs asks for; `after` is the place of the last job of the page before."""

    status: str | None
    name_contains: str | None
    since: float | None
    until: float | None
    ascending: bool
    after: tuple[float, str] | None
    size: int


class BatchJobs:
    """`emit` gets the events as a part of the transaction that changes the status."""

    def __init__(self, state: State, emit: Emit, region: str, max_unfinished: int) -> None:
        state.create(_SCHEMA)
        self._state = state
        self._emit = emit
        self._region = region
        self._max_unfinished = max_unfinished

    def arn(self, job_id: str) -> str:
        return f"arn:aws:bedrock:{self._region}:{ACCOUNT}:model-invocation-job/{job_id}"

    def repeated(self, token: str | None) -> str | None:
        """The id of the job that a request with this token made before, whatever else it said.

        Bedrock API reference, "CreateModelInvocationJob": such a request is ignored without an error.
        """
        with self._state.transaction() as db:
            row = db.execute("SELECT id FROM bedrock_batch_jobs WHERE token = ?", (token,)).fetchone()
        return str(row["id"]) if row else None

    def create(self, token: str | None, model: str, request: Mapping[str, Any]) -> str:
        """Store a new job and return its id. Raises `ConflictException`, `ServiceQuotaExceededException`."""
        job_id, name, now = new_id(), request["jobName"], clock.now()
        with self._state.transaction() as db:
            if db.execute("SELECT 1 FROM bedrock_batch_jobs WHERE name = ?", (name,)).fetchone():
                raise AwsError("ConflictException", f"A batch inference job named {name} already exists.")
            self._check_quota(db, model)
            db.execute(
                "INSERT INTO bedrock_batch_jobs (id, name, token, model, request, status, submitted, modified)"
                " VALUES (?, ?, ?, ?, ?, 'Submitted', ?, ?)",
                (job_id, name, token, model, json.dumps(request), now, now),
            )
            self._tell(job_id)
        return job_id

    def _check_quota(self, db: sqlite3.Connection, model: str) -> None:
        query = f"SELECT count(*) FROM bedrock_batch_jobs WHERE model = ? AND status IN ({_marks(UNFINISHED)})"
        (unfinished,) = db.execute(query, (model, *UNFINISHED)).fetchone()
        if unfinished >= self._max_unfinished:
            quota = "the sum of in-progress and submitted batch inference jobs using a base model"
            message = f"You have reached the quota of {self._max_unfinished} for {quota} for {model}."
            raise AwsError("ServiceQuotaExceededException", message)

    def advance(self, job_id: str, before: tuple[str, ...], status: str, message: str | None = None) -> bool:
        """Change the status if it is one of `before`; False if it is another. An event tells of a change."""
        now = clock.now()
        ended = None if status in UNFINISHED else now
        values = (status, message and message[:_MAX_MESSAGE_CHARS], now, ended, job_id)
        change = "status = ?, message = ?, modified = ?, ended = ?"
        with self._state.transaction() as db:
            query = f"SELECT status FROM bedrock_batch_jobs WHERE id = ? AND status IN ({_marks(before)})"
            known = db.execute(query, (job_id, *before)).fetchone()
            if known and known["status"] != status:
                db.execute(f"UPDATE bedrock_batch_jobs SET {change} WHERE id = ?", values)
                self._tell(job_id)
        return known is not None

    def count(self, job_id: str, total: int) -> None:
        """Keep how many records its input holds."""
        with self._state.transaction() as db:
            db.execute("UPDATE bedrock_batch_jobs SET total = ? WHERE id = ?", (total, job_id))

    def progress(self, job_id: str, succeeded: int, failed: int) -> bool:
        """Keep how many records are done; False if the job shall not go on."""
        with self._state.transaction() as db:
            done = (succeeded, failed, clock.now(), job_id)
            db.execute("UPDATE bedrock_batch_jobs SET succeeded = ?, failed = ?, modified = ? WHERE id = ?", done)
            query = "SELECT 1 FROM bedrock_batch_jobs WHERE id = ? AND status = 'InProgress'"
            return db.execute(query, (job_id,)).fetchone() is not None

    def stop(self, job_id: str) -> None:
        """Raises `ConflictException` for a job that has ended."""
        with self._state.transaction():
            waiting = self.advance(job_id, WAITING, "Stopping")
            if waiting:
                self.advance(job_id, ("Stopping",), "Stopped")
            elif not self.advance(job_id, UNFINISHED, "Stopping"):
                raise AwsError("ConflictException", "The batch inference job has ended and can't be stopped.")

    def get(self, job_id: str) -> BatchJob | None:
        with self._state.transaction() as db:
            row = db.execute("SELECT * FROM bedrock_batch_jobs WHERE id = ?", (job_id,)).fetchone()
        return _job(row) if row else None

    def unfinished(self) -> list[BatchJob]:
        """Oldest first."""
        query = f"SELECT * FROM bedrock_batch_jobs WHERE status IN ({_marks(UNFINISHED)}) ORDER BY submitted, id"
        with self._state.transaction() as db:
            return [_job(row) for row in db.execute(query, UNFINISHED)]

    def page(self, page: BatchPage) -> list[BatchJob]:
        """One job more than the page holds says that there is another page."""
        before, order = ("<", "DESC") if not page.ascending else (">", "ASC")
        conditions: list[tuple[str, tuple[Any, ...] | None]] = [
            ("status = ?", None if page.status is None else (page.status,)),
            ("instr(name, ?)", None if page.name_contains is None else (page.name_contains,)),
            ("submitted > ?", None if page.since is None else (page.since,)),
            ("submitted < ?", None if page.until is None else (page.until,)),
            (f"(submitted, id) {before} (?, ?)", page.after),
        ]
        where = " AND ".join(text for text, values in conditions if values) or "1"
        given = [value for _, values in conditions if values for value in values]
        query = f"SELECT * FROM bedrock_batch_jobs WHERE {where} ORDER BY submitted {order}, id {order} LIMIT ?"
        with self._state.transaction() as db:
            return [_job(row) for row in db.execute(query, [*given, page.size + 1])]

    def _tell(self, job_id: str) -> None:
        job = self.get(job_id)
        assert job
        self._emit(status_event(job, self.arn(job_id)))


def status_event(job: BatchJob, arn: str) -> dict[str, Any]:
    """EventBridge events reference, "Batch Inference Job State Change"; its sample has the times in words."""
    created = datetime.fromtimestamp(job.submitted, UTC)
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Batch Inference Job State Change",
        "source": "aws.bedrock",
        "account": ACCOUNT,
        "time": clock.iso(job.modified),
        "region": arn.split(":")[3],
        "resources": [arn],
        "detail": {
            "version": "0.0",
            "accountId": ACCOUNT,
            "batchJobName": job.name,
            "batchJobArn": arn,
            "batchModelId": job.request["modelId"],
            "status": job.status,
            "failureMessage": job.message or "",
            "creationTime": f"{created:%b} {created.day}, {created:%Y, %I:%M:%S %p}",
        },
    }


def _marks(values: tuple[str, ...]) -> str:
    return ", ".join("?" * len(values))


def _job(row: sqlite3.Row) -> BatchJob:
    return BatchJob(**{**dict(row), "request": json.loads(row["request"])})

"""The asynchronous invocations, in SQLite."""

import json
import secrets
import sqlite3
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local import clock
from local.state import State
from local.wire import ACCOUNT, AwsError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS bedrock_jobs (
    id TEXT PRIMARY KEY,
    token TEXT UNIQUE,
    request TEXT NOT NULL,
    role_arn TEXT,
    status TEXT NOT NULL,
    message TEXT,
    submitted REAL NOT NULL,
    modified REAL NOT NULL,
    ended REAL
);
CREATE INDEX IF NOT EXISTS bedrock_jobs_by_time ON bedrock_jobs (submitted, id);
CREATE INDEX IF NOT EXISTS bedrock_jobs_by_status ON bedrock_jobs (status, submitted, id);
"""
_MAX_MESSAGE_CHARS = 2048
_ID_CHARACTERS = string.ascii_lowercase + string.digits


@dataclass(frozen=True)
class Job:
    """`request` is what StartAsyncInvoke was asked, without the token; times are seconds since the epoch."""

    id: str
    token: str | None
    request: Mapping[str, Any]
    role_arn: str | None
    status: str
    message: str | None
    submitted: float
    modified: float
    ended: float | None

    @property
    def output(self) -> Mapping[str, Any]:
        """The `s3OutputDataConfig` of the request."""
        config: Mapping[str, Any] = self.request["outputDataConfig"]["s3OutputDataConfig"]
        return config

    @property
    def output_uri(self) -> str:
        """Where its files lie, without a slash at the end."""
        return job_uri(self.output["s3Uri"], self.id)


@dataclass(frozen=True)
class Page:
    """What ListAsyncInvokes asks for; `after` is the place of the last job of the page before."""

    status: str | None
    since: float | None
    until: float | None
    ascending: bool
    after: tuple[float, str] | None
    size: int


def new_id() -> str:
    return "".join(secrets.choice(_ID_CHARACTERS) for _ in range(12))


def job_uri(s3_uri: str, job_id: str) -> str:
    return f"{s3_uri.removesuffix('/')}/{job_id}"


class Jobs:
    def __init__(self, state: State, region: str, max_concurrent: int) -> None:
        state.create(_SCHEMA)
        self._state = state
        self._region = region
        self._max_concurrent = max_concurrent

    def arn(self, job_id: str) -> str:
        return f"arn:aws:bedrock:{self._region}:{ACCOUNT}:async-invoke/{job_id}"

    def repeated(self, token: str | None, request: Mapping[str, Any]) -> str | None:
        """The job that this very request started before; `ConflictException` if the token started another one."""
        if token is None:
            return None
        with self._state.transaction() as db:
            row = db.execute("SELECT id, request FROM bedrock_jobs WHERE token = ?", (token,)).fetchone()
        if row is None:
            return None
        if row["request"] != _canonical(request):
            raise AwsError("ConflictException", "The client request token was used with different parameters")
        return str(row["id"])

    def create(self, job_id: str, token: str | None, request: Mapping[str, Any], role_arn: str | None) -> str:
        """Store a new job, or find the one that another thread stored in the meantime. Returns its id."""
        with self._state.transaction() as db:
            if known := self.repeated(token, request):
                return known
            (running,) = db.execute("SELECT count(*) FROM bedrock_jobs WHERE status = 'InProgress'").fetchone()
            if running >= self._max_concurrent:
                # Not published for this model: an account over its quota is throttled, and told so as for any other.
                raise AwsError("ThrottlingException", "Too many concurrent asynchronous invocations, please wait", 429)
            now = clock.now()
            db.execute(
                "INSERT INTO bedrock_jobs VALUES (?, ?, ?, ?, 'InProgress', NULL, ?, ?, NULL)",
                (job_id, token, _canonical(request), role_arn, now, now),
            )
        return job_id

    def end(self, job_id: str, failure: str | None) -> None:
        """Completed, or Failed with a message."""
        status = "Completed" if failure is None else "Failed"
        now = clock.now()
        with self._state.transaction() as db:
            db.execute(
                "UPDATE bedrock_jobs SET status = ?, message = ?, modified = ?, ended = ? WHERE id = ?",
                (status, failure and failure[:_MAX_MESSAGE_CHARS], now, now, job_id),
            )

    def get(self, job_id: str) -> Job | None:
        with self._state.transaction() as db:
            row = db.execute("SELECT * FROM bedrock_jobs WHERE id = ?", (job_id,)).fetchone()
        return _job(row) if row else None

    def unfinished(self) -> list[str]:
        """Ids, oldest first."""
        with self._state.transaction() as db:
            rows = db.execute("SELECT id FROM bedrock_jobs WHERE status = 'InProgress' ORDER BY submitted, id")
            return [row["id"] for row in rows]

    def page(self, page: Page) -> list[Job]:
        """One job more than the page holds says that there is another page."""
        before, order = ("<", "DESC") if not page.ascending else (">", "ASC")
        conditions: list[tuple[str, tuple[Any, ...]]] = []
        if page.status is not None:
            conditions.append(("status = ?", (page.status,)))
        if page.since is not None:
            conditions.append(("submitted > ?", (page.since,)))
        if page.until is not None:
            conditions.append(("submitted < ?", (page.until,)))
        if page.after is not None:
            conditions.append((f"(submitted, id) {before} (?, ?)", page.after))
        where = " AND ".join(text for text, _ in conditions) or "1"
        values = [value for _, some in conditions for value in some]
        query = f"SELECT * FROM bedrock_jobs WHERE {where} ORDER BY submitted {order}, id {order} LIMIT ?"
        with self._state.transaction() as db:
            return [_job(row) for row in db.execute(query, [*values, page.size + 1])]


def _canonical(request: Mapping[str, Any]) -> str:
    return json.dumps(request, sort_keys=True)


def _job(row: sqlite3.Row) -> Job:
    return Job(**{**dict(row), "request": json.loads(row["request"])})

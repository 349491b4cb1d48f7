"""What all lists of jobs share: numbers and times in a query string, and the token of the next page."""

import base64
import contextlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from local.wire import AwsError

DEFAULT_PAGE = 100


def read_query(query: Mapping[str, str]) -> dict[str, Any]:
    """The query with its numbers and times (in seconds since the epoch) as such.

    What is none stays text, for the model's check to refuse.
    """
    read: dict[str, Any] = {**query}
    for name, work in (("maxResults", int), ("submitTimeAfter", _seconds), ("submitTimeBefore", _seconds)):
        with contextlib.suppress(KeyError, ValueError):
            read[name] = work(query[name])
    return read


def _seconds(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def make_token(submitted: float, job_id: str) -> str:
    """Says after which job the next page begins."""
    return base64.urlsafe_b64encode(json.dumps([submitted, job_id]).encode()).decode()


def read_token(query: Mapping[str, Any]) -> tuple[float, str] | None:
    if "nextToken" not in query:
        return None
    try:
        submitted, job_id = json.loads(base64.urlsafe_b64decode(query["nextToken"]))
        return float(submitted), str(job_id)
    except (ValueError, TypeError) as error:
        raise AwsError("ValidationException", "The pagination token is invalid") from error

"""What all lists of jobs share: numbers and times in a query string, and the token of the next page."""

import base64
import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from local.wire import AwsError

DEFAULT_PAGE = 100


class Listed(Protocol):
    """A job, as far as a list is in its order."""

    @property
    def id(self) -> str: ...

    @property
    def submitted(self) -> float: ...


J = TypeVar("J", bound=Listed)


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


def page_of(name: str, found: Sequence[J], size: int, show: Callable[[J], Mapping[str, Any]]) -> dict[str, Any]:
    """The answer with the first `size` of the jobs that were found, and a token where there are more."""
    shown = found[:size]
    more = {"nextToken": _make_token(shown[-1])} if len(found) > size else {}
    return {name: [show(job) for job in shown], **more}


def _make_token(job: Listed) -> str:
    """Says after which job the next page begins."""
    return base64.urlsafe_b64encode(json.dumps([job.submitted, job.id]).encode()).decode()


def read_token(query: Mapping[str, Any]) -> tuple[float, str] | None:
    if "nextToken" not in query:
        return None
    try:
        submitted, job_id = json.loads(base64.urlsafe_b64decode(query["nextToken"]))
        return float(submitted), str(job_id)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise AwsError("ValidationException", "The pagination token is invalid") from error

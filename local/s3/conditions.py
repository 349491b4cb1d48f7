"""Conditional requests, ranges and the headers that answer them (RFC 9110, and where S3 differs)."""

import re
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from werkzeug.wrappers import Response

from local.s3.call import empty
from local.s3.errors import no_such_key, not_implemented, precondition_failed
from local.s3.headers import Headers
from local.s3.versions import Version
from local.wire import AwsError

_RANGE = re.compile(r"bytes=(?P<first>\d*)-(?P<last>\d*)")


def http_date(seconds: float) -> str:
    return format_datetime(datetime.fromtimestamp(int(seconds), UTC), usegmt=True)


def check_read(headers: Headers, version: Version) -> Response | None:
    """None where the object is to be sent, a 304 where the client has it; raises `PreconditionFailed`."""
    if failed := _fails(headers, version):
        raise precondition_failed(failed)
    if _unchanged(headers, version):
        return empty(304, {"ETag": f'"{version.etag}"', "Last-Modified": http_date(version.modified)})
    return None


def check_copy_source(headers: Headers, version: Version) -> None:
    prefix = "x-amz-copy-source-"
    asked = Headers((name.removeprefix(prefix), value) for name, value in headers.items() if name.startswith(prefix))
    if failed := _fails(asked, version):
        raise precondition_failed(f"x-amz-copy-source-{failed}")
    if _unchanged(asked, version):
        raise precondition_failed("x-amz-copy-source-If-None-Match")


def _fails(headers: Headers, version: Version) -> str:
    """The precondition that does not hold; `If-Match` outranks the date, as RFC 9110 has it."""
    if match := headers.get("If-Match"):
        return "" if _matches(match, version.etag) else "If-Match"
    unmodified = _date(headers.get("If-Unmodified-Since"))
    return "If-Unmodified-Since" if unmodified is not None and int(version.modified) > unmodified else ""


def _unchanged(headers: Headers, version: Version) -> bool:
    if none_match := headers.get("If-None-Match"):
        return _matches(none_match, version.etag)
    modified = _date(headers.get("If-Modified-Since"))
    return modified is not None and int(version.modified) <= modified


def _matches(condition: str, etag: str) -> bool:
    asked = {part.strip().removeprefix("W/").strip('"') for part in condition.split(",")}
    return "*" in asked or etag in asked


def _date(text: str | None) -> float | None:
    """A date no server understands is no condition."""
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except ValueError:
        return None


class WriteCondition:
    """`If-Match` and `If-None-Match: *` of a write or delete, asked of the current object inside its transaction."""

    def __init__(self, headers: Headers, key: str) -> None:
        self._match = headers.get("If-Match")
        self._none_match = headers.get("If-None-Match")
        self._key = key
        if self._none_match not in (None, "*"):
            raise not_implemented("If-None-Match with an ETag on a write")

    def __call__(self, current: Version | None) -> None:
        if self._none_match and current is not None:
            raise precondition_failed("If-None-Match")
        if self._match:
            if current is None:
                raise no_such_key(self._key)
            if not _matches(self._match, current.etag):
                raise precondition_failed("If-Match")


def read_range(text: str | None, size: int) -> tuple[int, int] | None:
    """First byte and length, None for the whole object; S3 ignores what it cannot parse and several ranges."""
    found = _RANGE.fullmatch(text.replace(" ", "")) if text else None
    if not found or not (found["first"] or found["last"]):
        return None
    if found["first"]:
        first, last = int(found["first"]), int(found["last"] or size - 1)
        if found["last"] and last < first:
            return None
    else:
        first, last = max(0, size - int(found["last"])), size - 1
    if first >= size or (found["last"] == "0" and not found["first"]):
        message = "The requested range is not satisfiable"
        raise AwsError("InvalidRange", message, 416, RangeRequested=text, ActualObjectSize=size)
    return first, min(last, size - 1) - first + 1


def range_holds(headers: Headers, version: Version) -> bool:
    """Whether `If-Range` lets the range count."""
    condition = headers.get("If-Range")
    return condition is None or condition in (f'"{version.etag}"', http_date(version.modified))

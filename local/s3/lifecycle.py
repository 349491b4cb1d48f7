"""Lifecycle rules: what is due goes, as if its owner had deleted it (rules are CloudFormation's)."""

import secrets
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from local.s3.buckets import Bucket, Buckets
from local.s3.events import Origin
from local.s3.listing import AFTER_ALL, BEFORE_ALL, successor
from local.s3.multipart import Multipart
from local.s3.versions import Version, Versions, read_version
from local.state import State

DAY = 86_400
_PAGE = 200


class Lifecycle:
    def __init__(self, state: State, buckets: Buckets, versions: Versions, multipart: Multipart) -> None:
        self._state = state
        self._buckets = buckets
        self._versions = versions
        self._multipart = multipart

    def expire(self, now: float) -> None:
        """Apply every enabled rule. S3 counts days from the midnight (UTC) that follows."""
        for bucket in self._buckets.all():
            for rule in bucket.lifecycle:
                if rule.get("Status") == "Enabled":
                    self._current(bucket, rule, now)
                    self._noncurrent(bucket, rule, now)
                    self._markers(bucket, rule, now)
                    self._uploads(bucket, rule, now)

    def _current(self, bucket: Bucket, rule: dict[str, Any], now: float) -> None:
        cutoff = _expiry(rule, now)
        if cutoff is not None:
            due = " AND latest = 1 AND marker = 0 AND modified <= ?"
            for version in self._matching(bucket, rule, due, cutoff):
                self._delete(version, None)

    def _noncurrent(self, bucket: Bucket, rule: dict[str, Any], now: float) -> None:
        asked = rule.get("NoncurrentVersionExpiration", {})
        days = asked.get("NoncurrentDays", rule.get("NoncurrentVersionExpirationInDays"))
        if days is None:
            return
        newer = "SELECT {} FROM s3_versions AS n WHERE n.bucket = v.bucket AND n.key = v.key AND n.age < v.age"
        since = newer.format("n.modified") + " ORDER BY n.age DESC LIMIT 1"
        # The current version is newer than all others but no noncurrent one of those to keep.
        due = f" AND latest = 0 AND ({since}) <= ? AND ({newer.format('count(*)')}) > ?"
        keep = int(asked.get("NewerNoncurrentVersions", 0))
        for version in self._matching(bucket, rule, due, _cutoff(now, days), keep):
            self._delete(version, version.id)

    def _markers(self, bucket: Bucket, rule: dict[str, Any], now: float) -> None:
        """A delete marker with nothing under it goes too."""
        lone = (
            " AND latest = 1 AND marker = 1 AND modified <= ? AND NOT EXISTS (SELECT 1 FROM s3_versions AS n"
            " WHERE n.bucket = v.bucket AND n.key = v.key AND n.age > v.age)"
        )
        cutoff = now if _true(rule.get("ExpiredObjectDeleteMarker")) else _expiry(rule, now)
        if cutoff is not None:
            for version in self._matching(bucket, rule, lone, cutoff):
                self._delete(version, version.id)

    def _uploads(self, bucket: Bucket, rule: dict[str, Any], now: float) -> None:
        days = rule.get("AbortIncompleteMultipartUpload", {}).get("DaysAfterInitiation")
        if days is not None:
            sql = "SELECT id, key FROM s3_uploads WHERE bucket = ? AND initiated <= ?"
            with self._state.transaction() as db:
                rows = db.execute(sql, (bucket.name, _cutoff(now, days))).fetchall()
            for row in rows:
                if row["key"].startswith(rule.get("Prefix", "")):
                    self._multipart.remove(row["id"])

    def _matching(self, bucket: Bucket, rule: dict[str, Any], due: str, *values: float) -> Iterator[Version]:
        """Due versions the rule's prefix, tags and sizes cover, page by page."""
        prefix = rule.get("Prefix", "")
        cursor: tuple[str, int] | None = (prefix, BEFORE_ALL)
        while cursor:
            rows = self._page(bucket.name, cursor, successor(prefix), due, values)
            yield from (version for version in map(read_version, rows) if _covers(rule, version))
            cursor = (rows[-1]["key"], rows[-1]["age"]) if len(rows) == _PAGE else None

    def _page(
        self, bucket: str, cursor: tuple[str, int], end: str | None, due: str, values: tuple[float, ...]
    ) -> list[sqlite3.Row]:
        below = chr(0x10FFFF) * 300 if end is None else end  # longer than any key
        sql = (
            f"SELECT * FROM s3_versions AS v WHERE bucket = ? AND (key, age) > (?, ?) AND key < ?{due}"
            f" ORDER BY key, age LIMIT {_PAGE}"
        )
        with self._state.transaction() as db:
            return db.execute(sql, (bucket, *cursor, below, *values)).fetchall()

    def _delete(self, seen: Version, version: str | None) -> None:
        """Delete what was seen, unless something happened to the key since."""
        origin = Origin(secrets.token_hex(8).upper(), "s3.amazonaws.com", None, "Lifecycle Expiration")
        with self._state.transaction():
            found = self._versions.find(seen.bucket, seen.key, version)
            if found and found.age == seen.age:
                self._versions.delete(seen.bucket, seen.key, version, origin)


def _cutoff(now: float, days: int | str) -> float:
    return now // DAY * DAY - int(days) * DAY


def _expiry(rule: dict[str, Any], now: float) -> float | None:
    """Objects last written by then are due; None for a rule that expires no current object."""
    if date := rule.get("ExpirationDate"):
        return now if datetime.fromisoformat(date).timestamp() <= now else None
    return _cutoff(now, rule["ExpirationInDays"]) if "ExpirationInDays" in rule else None


def _covers(rule: dict[str, Any], version: Version) -> bool:
    tags = version.attributes.tags
    return (
        all(tags.get(tag["Key"]) == tag["Value"] for tag in rule.get("TagFilters", []))
        and version.size > int(rule.get("ObjectSizeGreaterThan", -1))
        and version.size < int(rule.get("ObjectSizeLessThan", AFTER_ALL))
    )


def _true(value: object) -> bool:
    return str(value).lower() == "true"

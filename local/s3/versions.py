"""Object versions: what is current, what a write or a delete makes of it, and the event that tells of it."""

import json
import secrets
import sqlite3
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from local import clock
from local.s3.attributes import Attributes
from local.s3.blobs import Blobs
from local.s3.buckets import Bucket, Buckets
from local.s3.checksums import Checksum
from local.s3.errors import S3Error, no_such_key
from local.s3.events import MARKER_CREATED, PERMANENTLY_DELETED, Origin, event, next_sequence, sequencer
from local.state import State
from local.wire import AwsError

NULL = "null"
_EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"
Emit = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Part:
    """A part of a completed multipart upload; `checksum` is its value in the object's algorithm."""

    number: int
    size: int
    checksum: str | None


@dataclass(frozen=True)
class Content:
    """A content on disk that is about to become a version."""

    file: str
    size: int
    etag: str
    checksum: Checksum | None
    parts: list[Part] = field(default_factory=list)


@dataclass(frozen=True)
class Version:
    """One version of an object, or a delete marker (which has no content)."""

    age: int
    bucket: str
    key: str
    id: str
    latest: bool
    marker: bool
    modified: float
    content: Content
    attributes: Attributes

    @property
    def etag(self) -> str:
        return self.content.etag

    @property
    def size(self) -> int:
        return self.content.size


@dataclass(frozen=True)
class Deleted:
    """`version` is the removed version or the new marker; None where there was nothing to delete."""

    version: str | None
    marker: bool


Check = Callable[[Version | None], None]


def anything(current: Version | None) -> None:
    """The check of a write without preconditions."""


def read_version(row: sqlite3.Row) -> Version:
    checksum = json.loads(row["checksum"]) if row["checksum"] else None
    content = Content(
        file=row["file"] or "",
        size=row["size"],
        etag=row["etag"],
        checksum=checksum and Checksum(**checksum),
        parts=[Part(**part) for part in json.loads(row["parts"])],
    )
    attributes = Attributes(json.loads(row["headers"]), json.loads(row["metadata"]), json.loads(row["tags"]))
    return Version(
        age=row["age"],
        bucket=row["bucket"],
        key=row["key"],
        id=row["version"],
        latest=bool(row["latest"]),
        marker=bool(row["marker"]),
        modified=row["modified"],
        content=content,
        attributes=attributes,
    )


class Versions:
    def __init__(self, state: State, buckets: Buckets, blobs: Blobs, emit: Emit) -> None:
        self._state = state
        self._buckets = buckets
        self._blobs = blobs
        self._emit = emit

    def find(self, bucket: str, key: str, version: str | None = None) -> Version | None:
        """The version of that id, or the current one (which may be a delete marker)."""
        with self._state.transaction() as db:
            if version is None:
                sql = "SELECT * FROM s3_versions WHERE bucket = ? AND key = ? ORDER BY age LIMIT 1"
                row = db.execute(sql, (bucket, key)).fetchone()
            else:
                sql = "SELECT * FROM s3_versions WHERE bucket = ? AND key = ? AND version = ?"
                row = db.execute(sql, (bucket, key, version)).fetchone()
        return None if row is None else read_version(row)

    def get(self, bucket: str, key: str, version: str | None = None, method: str = "GET") -> Version:
        """A version with content, or the error S3 has for what is there instead."""
        found = self.find(bucket, key, version)
        if found is None:
            raise _no_such_version(key, version) if version else no_such_key(key)
        if found.marker:
            raise _is_marker(found, version is not None, method)
        return found

    def store(
        self,
        bucket_name: str,
        key: str,
        content: Content,
        attributes: Attributes,
        origin: Origin,
        check: Check = anything,
        begun: tuple[int, float] | None = None,
    ) -> Version:
        """Make `content` a version of the key. `begun` is the age and time of a multipart upload's start:
        of two versions the one that began later is current (S3 user guide, "Concurrent multipart uploads")."""
        with self._state.transaction() as db:
            bucket = self._buckets.get(bucket_name)  # again: a body may have taken minutes to come
            current = self.find(bucket.name, key)
            check(None if current is None or current.marker else current)
            number = next_sequence(db)
            versioned = bucket.versioning == "Enabled"
            age, modified = begun if begun and versioned else (-number, begun[1] if begun else clock.now())
            version = self._insert(db, bucket, key, content, attributes, age, modified, marker=False)
            changed = {"size": content.size, "etag": content.etag, "sequencer": sequencer(number)}
            self._tell("Object Created", bucket, version, changed, origin, reason=origin.reason)
            return version

    def delete(
        self, bucket_name: str, key: str, version: str | None, origin: Origin, check: Check = anything
    ) -> Deleted:
        """Remove a version, or the key: in a versioned bucket that only puts a delete marker on top."""
        with self._state.transaction():
            bucket = self._buckets.get(bucket_name)
            target = self.find(bucket.name, key, version)
            check(None if target is None or target.marker else target)
            if version is None and bucket.versioning:
                return self._mark(bucket, key, origin)
            if target is None:
                return Deleted(version, False)
            self._remove(bucket, target, origin)
            return Deleted(version, target.marker)

    def set_tags(self, version: Version, tags: dict[str, str], origin: Origin) -> None:
        with self._state.transaction() as db:
            bucket = self._buckets.get(version.bucket)
            db.execute("UPDATE s3_versions SET tags = ? WHERE age = ?", (json.dumps(tags), version.age))
            detail_type = "Object Tags Added" if tags else "Object Tags Deleted"
            self._tell(detail_type, bucket, version, {"etag": version.etag}, origin)

    def _mark(self, bucket: Bucket, key: str, origin: Origin) -> Deleted:
        with self._state.transaction() as db:
            number = next_sequence(db)
            nothing, bare = Content("", 0, _EMPTY_MD5, None), Attributes({}, {}, {})
            marker = self._insert(db, bucket, key, nothing, bare, -number, clock.now(), marker=True)
            changed = {"etag": _EMPTY_MD5, "sequencer": sequencer(number)}
            deletion = {"reason": origin.reason, "deletion-type": MARKER_CREATED}
            self._tell("Object Deleted", bucket, marker, changed, origin, **deletion)
            return Deleted(marker.id, True)

    def _remove(self, bucket: Bucket, version: Version, origin: Origin) -> None:
        with self._state.transaction() as db:
            self._drop(db, version)
            _settle(db, version.bucket, version.key)
            changed = {
                "etag": version.etag if version.marker else None,
                "sequencer": sequencer(next_sequence(db)),
            }
            deletion = {"reason": origin.reason, "deletion-type": PERMANENTLY_DELETED}
            self._tell("Object Deleted", bucket, version, changed, origin, **deletion)

    def _insert(
        self,
        db: sqlite3.Connection,
        bucket: Bucket,
        key: str,
        content: Content,
        attributes: Attributes,
        age: int,
        modified: float,
        marker: bool,
    ) -> Version:
        version = secrets.token_hex(16) if bucket.versioning == "Enabled" else NULL
        if version == NULL and (replaced := self.find(bucket.name, key, NULL)):
            self._drop(db, replaced)
        made = Version(age, bucket.name, key, version, True, marker, modified, content, attributes)
        db.execute(
            "INSERT INTO s3_versions (age, bucket, key, version, marker, file, size, etag, modified, headers, metadata,"
            " tags, checksum, parts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            _columns(made),
        )
        _settle(db, bucket.name, key)
        return made

    def _drop(self, db: sqlite3.Connection, version: Version) -> None:
        db.execute("DELETE FROM s3_versions WHERE age = ?", (version.age,))
        self._blobs.delete_after_commit(version.content.file)

    def _tell(
        self,
        detail_type: str,
        bucket: Bucket,
        version: Version,
        changed: dict[str, Any],
        origin: Origin,
        **detail: str,
    ) -> None:
        if bucket.event_bridge:
            named = {"key": version.key, **changed, "version-id": None if version.id == NULL else version.id}
            self._emit(event(detail_type, bucket.name, bucket.region, named, origin, **detail))


def _columns(version: Version) -> tuple[Any, ...]:
    content, attributes = version.content, version.attributes
    return (
        version.age,
        version.bucket,
        version.key,
        version.id,
        version.marker,
        content.file or None,
        content.size,
        content.etag,
        version.modified,
        json.dumps(attributes.headers),
        json.dumps(attributes.metadata),
        json.dumps(attributes.tags),
        content.checksum and json.dumps(content.checksum.as_json()),
        json.dumps([asdict(part) for part in content.parts]),
    )


def _settle(db: sqlite3.Connection, bucket: str, key: str) -> None:
    """Flag the youngest version as the latest; listing reads nothing but the flag's index."""
    db.execute("UPDATE s3_versions SET latest = 0 WHERE bucket = ? AND key = ? AND latest = 1", (bucket, key))
    db.execute(
        "UPDATE s3_versions SET latest = 1 WHERE age ="
        " (SELECT age FROM s3_versions WHERE bucket = ? AND key = ? ORDER BY age LIMIT 1)",
        (bucket, key),
    )


def _no_such_version(key: str, version: str) -> AwsError:
    return AwsError("NoSuchVersion", "The specified version does not exist.", 404, Key=key, VersionId=version)


def _is_marker(marker: Version, asked_for: bool, method: str) -> AwsError:
    headers = {"x-amz-delete-marker": "true", "x-amz-version-id": marker.id}
    if not asked_for:
        return S3Error("NoSuchKey", "The specified key does not exist.", 404, headers, Key=marker.key)
    message = "The specified method is not allowed against this resource."
    details = {"Method": method, "ResourceType": "DeleteMarker"}
    return S3Error("MethodNotAllowed", message, 405, headers | {"Allow": "DELETE"}, **details)

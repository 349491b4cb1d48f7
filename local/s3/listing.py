"""Lists: pages of keys, versions and uploads, rolled up at a delimiter, each entry an index lookup."""

import base64
import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from werkzeug.wrappers import Response

from local.s3.call import Call, owner, xml_response
from local.s3.errors import invalid_argument
from local.s3.xml import Element, timestamp
from local.state import State

BEFORE_ALL = -(2**62)  # an age older lists cannot start before: newest version first
AFTER_ALL = 2**62
Cursor = tuple[str, int | str]  # key, and the age of a version or the id of an upload: what was listed last
Fetch = Callable[[Cursor, "str | None"], Iterator[sqlite3.Row]]

_OBJECT_COLUMNS = "key, age, version, latest, marker, size, etag, modified, headers, checksum"


@dataclass(frozen=True)
class Entry:
    """A row, or a common prefix."""

    row: sqlite3.Row | None
    prefix: str = ""

    @property
    def key(self) -> str:
        return self.row["key"] if self.row else self.prefix


@dataclass(frozen=True)
class Page:
    entries: list[Entry]
    truncated: bool

    @property
    def rows(self) -> list[sqlite3.Row]:
        return [entry.row for entry in self.entries if entry.row]

    @property
    def last(self) -> Entry:
        return self.entries[-1]


def successor(prefix: str) -> str | None:
    """The first text behind all that start with `prefix`; None where there is none. S3 sorts by UTF-8 bytes,
    which is the order of code points."""
    while prefix:
        code = ord(prefix[-1]) + 1
        if code <= 0x10FFFF:
            return prefix[:-1] + chr(0xE000 if code == 0xD800 else code)  # surrogates are no text
        prefix = prefix[:-1]
    return None


def walk(fetch: Fetch, prefix: str, delimiter: str, start: Cursor, limit: int) -> Page:
    """Up to `limit` entries behind `start`; keys under a common prefix are skipped, not read."""
    end = successor(prefix)
    entries: list[Entry] = []
    cursor: Cursor | None = (prefix, BEFORE_ALL) if start[0] < prefix else start
    while cursor is not None and limit:
        cursor = _gather(fetch(cursor, end), prefix, delimiter, entries, limit)
    return Page(entries[:limit], len(entries) > limit)


def _gather(
    rows: Iterator[sqlite3.Row], prefix: str, delimiter: str, entries: list[Entry], limit: int
) -> Cursor | None:
    """Add rows until a common prefix comes: then where to go on behind it."""
    for row in rows:
        if common := _common(row["key"], prefix, delimiter):
            entries.append(Entry(None, common))
            after = successor(common)
            return None if after is None or len(entries) > limit else (after, BEFORE_ALL)
        entries.append(Entry(row))
        if len(entries) > limit:
            break
    return None


def _common(key: str, prefix: str, delimiter: str) -> str:
    if not delimiter or not key.startswith(prefix):
        return ""
    at = key.find(delimiter, len(prefix))
    return "" if at < 0 else key[: at + len(delimiter)]


class Listing:
    """The list operations. One page is one read transaction."""

    def __init__(self, state: State) -> None:
        self._state = state

    def objects(self, call: Call) -> Response:
        """ListObjects, the first version: pages by `marker`."""
        ask = _Ask(call, "max-keys")
        marker = call.query.get("marker", "")
        page = self._current(call.bucket, ask, _behind(marker, ask))
        next_marker = ask.shown(page.last.key) if page.truncated and ask.delimiter else None
        head: list[Element] = [("Marker", ask.shown(marker)), ("NextMarker", next_marker)]
        return ask.response("ListBucketResult", call.bucket, page, head, [ask.object(row, True) for row in page.rows])

    def objects_v2(self, call: Call) -> Response:
        ask = _Ask(call, "max-keys")
        token, after = call.query.get("continuation-token"), call.query.get("start-after", "")
        start = _behind(_read_token(token) if token is not None else after, ask)
        page = self._current(call.bucket, ask, start)
        head: list[Element] = [
            ("KeyCount", len(page.entries)),
            ("ContinuationToken", token),
            ("NextContinuationToken", _token(page.last.key) if page.truncated else None),
            ("StartAfter", ask.shown(after) if after else None),
        ]
        owners = call.query.get("fetch-owner") == "true"
        return ask.response("ListBucketResult", call.bucket, page, head, [ask.object(r, owners) for r in page.rows])

    def versions(self, call: Call) -> Response:
        ask = _Ask(call, "max-keys")
        marker, version = call.query.get("key-marker", ""), call.query.get("version-id-marker", "")
        if version and not marker:
            raise invalid_argument("A version-id marker cannot be specified without a key marker.",
                                   "version-id-marker", version)  # fmt: skip
        with self._state.transaction() as db:
            start = self._version_start(db, call.bucket, marker, version) if version else _behind(marker, ask)
            page = walk(_versions(db, call.bucket), ask.prefix, ask.delimiter, start, ask.limit)
        last = page.last if page.truncated else None
        head: list[Element] = [
            ("KeyMarker", ask.shown(marker)),
            ("VersionIdMarker", version),
            ("NextKeyMarker", ask.shown(last.key) if last else None),
            ("NextVersionIdMarker", last.row["version"] if last and last.row else None),
        ]
        return ask.response("ListVersionsResult", call.bucket, page, head, [ask.version(row) for row in page.rows])

    def uploads(self, call: Call) -> Response:
        ask = _Ask(call, "max-uploads")
        marker, upload = call.query.get("key-marker", ""), call.query.get("upload-id-marker", "")
        start: Cursor = (marker, upload) if upload else (marker, "~")
        with self._state.transaction() as db:
            page = walk(_uploads(db, call.bucket), ask.prefix, ask.delimiter, start, ask.limit)
        last = page.last if page.truncated else None
        head: list[Element] = [
            ("KeyMarker", ask.shown(marker)),
            ("UploadIdMarker", upload),
            ("NextKeyMarker", ask.shown(last.key) if last else None),
            ("NextUploadIdMarker", last.row["id"] if last and last.row else None),
        ]
        uploads = [ask.upload(row) for row in page.rows]
        return ask.response("ListMultipartUploadsResult", call.bucket, page, head, uploads, "Bucket")

    def _current(self, bucket: str, ask: "_Ask", start: Cursor) -> Page:
        with self._state.transaction() as db:
            return walk(_versions(db, bucket, " AND latest = 1 AND marker = 0"), ask.prefix, ask.delimiter, start,
                        ask.limit)  # fmt: skip

    def _version_start(self, db: sqlite3.Connection, bucket: str, key: str, version: str) -> Cursor:
        sql = "SELECT age FROM s3_versions WHERE bucket = ? AND key = ? AND version = ?"
        row = db.execute(sql, (bucket, key, version)).fetchone()
        if row is None:
            raise invalid_argument("Invalid version id specified", "version-id-marker", version)
        return (key, row["age"])


def _versions(db: sqlite3.Connection, bucket: str, only: str = "") -> Fetch:
    def fetch(cursor: Cursor, end: str | None) -> Iterator[sqlite3.Row]:
        below = "" if end is None else " AND key < ?"
        sql = (
            f"SELECT {_OBJECT_COLUMNS} FROM s3_versions WHERE bucket = ? AND (key, age) > (?, ?){below}{only}"
            " ORDER BY key, age"
        )
        return db.execute(sql, (bucket, *cursor, *([] if end is None else [end])))

    return fetch


def _uploads(db: sqlite3.Connection, bucket: str) -> Fetch:
    def fetch(cursor: Cursor, end: str | None) -> Iterator[sqlite3.Row]:
        below = "" if end is None else " AND key < ?"
        sql = f"SELECT * FROM s3_uploads WHERE bucket = ? AND (key, id) > (?, ?){below} ORDER BY key, id"
        return db.execute(sql, (bucket, cursor[0], str(cursor[1]), *([] if end is None else [end])))

    return fetch


def _behind(marker: str, ask: "_Ask") -> Cursor:
    """The cursor behind `marker`; behind all of it where it is a common prefix that was listed."""
    if not marker:
        return ("", BEFORE_ALL)
    if ask.delimiter and marker == _common(marker, ask.prefix, ask.delimiter):
        return (successor(marker) or chr(0x10FFFF) * 300, BEFORE_ALL)
    return (marker, AFTER_ALL)


def _token(key: str) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


def _read_token(token: str) -> str:
    try:
        key = json.loads(base64.urlsafe_b64decode(token))
    except (ValueError, RecursionError):
        key = None
    if not isinstance(key, str):
        raise invalid_argument("The continuation token provided is incorrect", "continuation-token", token)
    return key


class _Ask:
    """What every list is asked, and how its answer is written."""

    def __init__(self, call: Call, limit: str) -> None:
        self.prefix = call.query.get("prefix", "")
        self.delimiter = call.query.get("delimiter", "")
        self.limit_name = "MaxKeys" if limit == "max-keys" else "MaxUploads"
        self.limit = call.integer(limit, 1000)
        self.encoding = call.query.get("encoding-type")
        if self.encoding not in (None, "url"):
            raise invalid_argument("Invalid Encoding Method specified in Request", "encoding-type", self.encoding)

    def shown(self, text: str) -> str:
        return quote(text, safe="/") if self.encoding else text

    def response(
        self, root: str, bucket: str, page: Page, head: list[Element], items: list[Element], name: str = "Name"
    ) -> Response:
        prefixes: list[Element] = [
            ("CommonPrefixes", [("Prefix", self.shown(entry.prefix))]) for entry in page.entries if not entry.row
        ]
        common: list[Element] = [
            (name, bucket),
            ("Prefix", self.shown(self.prefix)),
            ("Delimiter", self.shown(self.delimiter) if self.delimiter else None),
            (self.limit_name, self.limit),
            ("EncodingType", self.encoding),
            ("IsTruncated", page.truncated),
        ]
        return xml_response(root, common + head + items + prefixes)

    def object(self, row: sqlite3.Row, with_owner: bool) -> Element:
        return ("Contents", self._facts(row) + ([owner()] if with_owner else []))

    def version(self, row: sqlite3.Row) -> Element:
        identity: list[Element] = [("VersionId", row["version"]), ("IsLatest", bool(row["latest"])), owner()]
        if row["marker"]:
            key: list[Element] = [("Key", self.shown(row["key"])), ("LastModified", timestamp(row["modified"]))]
            return ("DeleteMarker", key + identity)
        return ("Version", self._facts(row) + identity)

    def upload(self, row: sqlite3.Row) -> Element:
        facts: list[Element] = [
            ("Key", self.shown(row["key"])),
            ("UploadId", row["id"]),
            owner("Initiator"),
            owner(),
            ("StorageClass", json.loads(row["headers"]).get("x-amz-storage-class", "STANDARD")),
            ("Initiated", timestamp(row["initiated"])),
            ("ChecksumAlgorithm", row["algorithm"]),
            ("ChecksumType", row["checksum_type"]),
        ]
        return ("Upload", facts)

    def _facts(self, row: sqlite3.Row) -> list[Element]:
        checksum = json.loads(row["checksum"]) if row["checksum"] else {}
        return [
            ("Key", self.shown(row["key"])),
            ("LastModified", timestamp(row["modified"])),
            ("ETag", f'"{row["etag"]}"'),
            ("ChecksumAlgorithm", checksum.get("algorithm")),
            ("ChecksumType", checksum.get("type")),
            ("Size", row["size"]),
            ("StorageClass", json.loads(row["headers"]).get("x-amz-storage-class", "STANDARD")),
        ]

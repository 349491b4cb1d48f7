"""Multipart uploads: parts as files of their own until completion writes them into one."""

import hashlib
import json
import secrets
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import quote
from xml.etree.ElementTree import Element as XmlElement

from werkzeug.wrappers import Response

from local import clock
from local.s3.attributes import Attributes, read_attributes
from local.s3.blobs import Blobs, Blocks, Incoming
from local.s3.body import Digest, read_document, receive
from local.s3.buckets import Buckets
from local.s3.call import Call, empty, owner, xml_response
from local.s3.checksums import COMPOSITE, COMPUTED, FULL_OBJECT, Checksum, claimed, composite, named
from local.s3.conditions import WriteCondition, read_range
from local.s3.copying import Sources, copy_bytes
from local.s3.errors import invalid_argument, no_such_upload
from local.s3.events import next_sequence
from local.s3.objects import encryption_headers
from local.s3.versions import Content, Part, Version, Versions
from local.s3.xml import Element, malformed, parse, required, text_of, timestamp
from local.state import State
from local.wire import AwsError

MIN_PART = 5 * 1024**2
MAX_PARTS = 10_000


@dataclass(frozen=True)
class Upload:
    """`age` is the age its version will have: it counts from the start of the upload."""

    id: str
    age: int
    initiated: float
    attributes: Attributes
    algorithm: str | None
    checksum_type: str | None


@dataclass(frozen=True)
class StoredPart:
    number: int
    file: str
    size: int
    etag: str
    modified: float
    checksum: Checksum | None

    @property
    def elements(self) -> list[Element]:
        return [self.checksum.element] if self.checksum else []


class Multipart:
    def __init__(
        self,
        state: State,
        buckets: Buckets,
        versions: Versions,
        blobs: Blobs,
        stored_headers: Callable[[Version], dict[str, str]],
    ) -> None:
        self._state = state
        self._buckets = buckets
        self._versions = versions
        self._blobs = blobs
        self._sources = Sources(state, buckets, versions, blobs)
        self._stored_headers = stored_headers

    def create(self, call: Call) -> Response:
        attributes = read_attributes(call.headers)
        algorithm, checksum_type = _checksum_plan(call)
        with self._state.transaction() as db:
            self._buckets.get(call.bucket)
            number = next_sequence(db)
            upload = f"{number:012x}{secrets.token_hex(24)}"  # lists are in the order of initiation
            stored = (attributes.headers, attributes.metadata, attributes.tags)
            db.execute(
                "INSERT INTO s3_uploads VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (upload, -number, call.bucket, call.key, clock.now(), *map(json.dumps, stored), algorithm,
                 checksum_type),
            )  # fmt: skip
        headers = encryption_headers(attributes)
        if algorithm and checksum_type:
            headers |= {"x-amz-checksum-algorithm": algorithm, "x-amz-checksum-type": checksum_type}
        facts: list[Element] = [("Bucket", call.bucket), ("Key", call.key), ("UploadId", upload)]
        return xml_response("InitiateMultipartUploadResult", facts, headers)

    def upload_part(self, call: Call) -> Response:
        upload, number = self._find(call), _part_number(call)
        with self._blobs.incoming() as blob:
            receipt, checksum = receive(call, blob)
            _check_algorithm(upload, checksum)
            self._store_part(call, StoredPart(number, blob.name, blob.size, receipt.etag, clock.now(), checksum))
        headers = {"ETag": f'"{receipt.etag}"'} | encryption_headers(upload.attributes)
        return empty(200, headers | (dict([checksum.header]) if checksum else {}))

    def upload_part_copy(self, call: Call) -> Response:
        upload, number = self._find(call), _part_number(call)
        source = self._sources.open(call.headers)
        with closing(source.file), self._blobs.incoming() as blob:
            start, length = _copy_range(call, source.version.size)
            digest = Digest(upload.algorithm)
            copy_bytes(source, start, length, blob, digest)
            part = StoredPart(number, blob.name, blob.size, digest.etag, clock.now(), digest.checksum)
            self._store_part(call, part)
        facts: list[Element] = [("ETag", f'"{part.etag}"'), ("LastModified", timestamp(part.modified))]
        return xml_response("CopyPartResult", facts + part.elements, source.header)

    def list_parts(self, call: Call) -> Response:
        limit, marker = call.integer("max-parts", 1000), call.integer("part-number-marker", 0, most=MAX_PARTS)
        with self._state.transaction() as db:
            upload = self._find(call)
            sql = "SELECT * FROM s3_parts WHERE upload = ? AND number > ? ORDER BY number LIMIT ?"
            parts = [_part(row) for row in db.execute(sql, (upload.id, marker, limit + 1)).fetchall()]
        page = parts[:limit]
        facts: list[Element] = [
            ("Bucket", call.bucket),
            ("Key", call.key),
            ("UploadId", upload.id),
            owner("Initiator"),
            owner(),
            ("StorageClass", upload.attributes.storage_class),
            ("PartNumberMarker", marker),
            ("NextPartNumberMarker", page[-1].number if page else 0),
            ("MaxParts", limit),
            ("IsTruncated", len(parts) > limit),
            ("ChecksumAlgorithm", upload.algorithm),
            ("ChecksumType", upload.checksum_type),
        ]
        return xml_response("ListPartsResult", facts + [("Part", _part_facts(part)) for part in page])

    def complete(self, call: Call) -> Response:
        condition = WriteCondition(call.headers, call.key)
        asked = parse(read_document(call), "CompleteMultipartUpload").findall("Part")
        upload, parts = self._chosen(call, asked)
        with self._blobs.incoming() as blob:
            digest = self._join(parts, blob, upload.algorithm if upload.checksum_type == FULL_OBJECT else None)
            checksum = _checked_total(call, upload, parts, digest)
            version = self._commit(call, upload, _content(blob, parts, checksum), condition)
        facts: list[Element] = [
            ("Location", f"{call.request.host_url}{call.bucket}/{quote(call.key)}"),
            ("Bucket", call.bucket),
            ("Key", call.key),
            ("ETag", f'"{version.etag}"'),
        ]
        if checksum:
            facts += [checksum.element, ("ChecksumType", checksum.type)]
        stored = self._stored_headers(version)
        headers = {name: value for name, value in stored.items() if name != "ETag" and "checksum" not in name}
        return xml_response("CompleteMultipartUploadResult", facts, headers)

    def abort(self, call: Call) -> Response:
        with self._state.transaction():
            self.remove(self._find(call).id)
        return empty(204)

    def remove(self, upload: str) -> None:
        """Forget an upload and its parts."""
        with self._state.transaction() as db:
            for row in db.execute("SELECT file FROM s3_parts WHERE upload = ?", (upload,)).fetchall():
                self._blobs.delete_after_commit(row["file"])
            db.execute("DELETE FROM s3_parts WHERE upload = ?", (upload,))
            db.execute("DELETE FROM s3_uploads WHERE id = ?", (upload,))

    def _find(self, call: Call) -> Upload:
        name = call.query.get("uploadId", "")
        with self._state.transaction() as db:
            sql = "SELECT * FROM s3_uploads WHERE id = ? AND bucket = ? AND key = ?"
            row = db.execute(sql, (name, call.bucket, call.key)).fetchone()
        if row is None:
            raise no_such_upload(name)
        attributes = Attributes(json.loads(row["headers"]), json.loads(row["metadata"]), json.loads(row["tags"]))
        return Upload(row["id"], row["age"], row["initiated"], attributes, row["algorithm"], row["checksum_type"])

    def _store_part(self, call: Call, part: StoredPart) -> None:
        with self._state.transaction() as db:
            upload = self._find(call).id
            sql = "SELECT file FROM s3_parts WHERE upload = ? AND number = ?"
            if replaced := db.execute(sql, (upload, part.number)).fetchone():
                self._blobs.delete_after_commit(replaced["file"])
            checksum = part.checksum and json.dumps(part.checksum.as_json())
            db.execute(
                "INSERT OR REPLACE INTO s3_parts VALUES (?, ?, ?, ?, ?, ?, ?)",
                (upload, part.number, part.file, part.size, part.etag, part.modified, checksum),
            )

    def _chosen(self, call: Call, asked: list[XmlElement]) -> tuple[Upload, list[StoredPart]]:
        with self._state.transaction() as db:
            upload = self._find(call)
            rows = db.execute("SELECT * FROM s3_parts WHERE upload = ?", (upload.id,)).fetchall()
        stored = {part.number: part for part in map(_part, rows)}
        numbers = [_number(part) for part in asked]
        if not numbers:
            raise malformed()
        if any(first >= second for first, second in pairwise(numbers)):
            message = "The list of parts was not in ascending order. Parts must be ordered by part number."
            raise AwsError("InvalidPartOrder", message, UploadId=upload.id)
        return upload, _checked_parts(asked, stored)

    def _join(self, parts: list[StoredPart], blob: Incoming, algorithm: str | None) -> Digest:
        digest = Digest(algorithm)
        for part in parts:
            try:
                file = self._blobs.open(part.file)
            except FileNotFoundError as error:  # aborted, completed or replaced in this very moment
                raise _invalid_part(part.number) from error
            with file:
                for data in Blocks(file, 0, part.size):
                    if algorithm in COMPUTED:
                        digest.update(data)
                    blob.write(data)
        blob.keep()
        return digest

    def _commit(self, call: Call, upload: Upload, content: Content, condition: WriteCondition) -> Version:
        with self._state.transaction():
            self._find(call)
            origin = call.origin("CompleteMultipartUpload")
            begun = (upload.age, upload.initiated)
            version = self._versions.store(call.bucket, call.key, content, upload.attributes, origin, condition, begun)
            self.remove(upload.id)
            return version


def _checksum_plan(call: Call) -> tuple[str | None, str | None]:
    asked, kind = call.headers.get("x-amz-checksum-algorithm"), call.headers.get("x-amz-checksum-type")
    if asked is None:
        if kind:
            message = "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
            raise AwsError("InvalidRequest", message)
        return None, None
    algorithm = named(asked)
    allowed = {"CRC64NVME": [FULL_OBJECT], "SHA1": [COMPOSITE], "SHA256": [COMPOSITE]}.get(
        algorithm, [COMPOSITE, FULL_OBJECT]
    )
    if kind and kind.upper() not in allowed:
        message = f"The {kind} checksum type cannot be used with the {algorithm.lower()} checksum algorithm."
        raise AwsError("InvalidRequest", message)
    return algorithm, kind.upper() if kind else allowed[0]


def _check_algorithm(upload: Upload, checksum: Checksum | None) -> None:
    actual = checksum.algorithm if checksum else None
    if upload.algorithm and actual != upload.algorithm:
        message = (
            f"Checksum Type mismatch occurred, expected checksum Type: {upload.algorithm.lower()}, "
            f"actual checksum Type: {actual.lower() if actual else 'null'}"
        )
        raise AwsError("InvalidRequest", message)


def _part_number(call: Call) -> int:
    text = call.query.get("partNumber", "")
    if not text.isdecimal() or not 1 <= int(text) <= MAX_PARTS:
        message = f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive"
        raise invalid_argument(message, "partNumber", text)
    return int(text)


def _copy_range(call: Call, size: int) -> tuple[int, int]:
    text = call.headers.get("x-amz-copy-source-range")
    if text is None:
        return 0, size
    span = read_range(text, size)
    last = text.rpartition("-")[2]
    if span is None or not last.isdecimal() or int(last) >= size:
        message = f"Range specified is not valid for source object of size: {size}"
        raise invalid_argument(message, "x-amz-copy-source-range", text)
    return span


def _part(row: sqlite3.Row) -> StoredPart:
    checksum = row["checksum"] and Checksum(**json.loads(row["checksum"]))
    return StoredPart(row["number"], row["file"], row["size"], row["etag"], row["modified"], checksum)


def _part_facts(part: StoredPart) -> list[Element]:
    return [
        ("PartNumber", part.number),
        ("LastModified", timestamp(part.modified)),
        ("ETag", f'"{part.etag}"'),
        ("Size", part.size),
        *part.elements,
    ]


def _number(asked: XmlElement) -> int:
    text = required(asked, "PartNumber")
    if not text.isdecimal():
        raise malformed()
    return int(text)


def _checked_parts(asked: list[XmlElement], stored: dict[int, StoredPart]) -> list[StoredPart]:
    chosen = []
    for element in asked:
        number = _number(element)
        part = stored.get(number)
        if part is None or required(element, "ETag").strip('"') != part.etag:
            raise _invalid_part(number)
        told = part.checksum and text_of(element, part.checksum.element[0])
        if part.checksum and told not in (None, part.checksum.value):
            raise _invalid_part(number)
        chosen.append(part)
    for part in chosen[:-1]:
        if part.size < MIN_PART:
            message = "Your proposed upload is smaller than the minimum allowed size"
            raise AwsError("EntityTooSmall", message, PartNumber=part.number, ETag=part.etag,
                           ProposedSize=part.size, MinSizeAllowed=MIN_PART)  # fmt: skip
    return chosen


def _invalid_part(number: int) -> AwsError:
    message = (
        "One or more of the specified parts could not be found. The part may not have been uploaded, "
        "or the specified entity tag may not match the part's entity tag."
    )
    return AwsError("InvalidPart", message, PartNumber=number)


def _checked_total(call: Call, upload: Upload, parts: list[StoredPart], digest: Digest) -> Checksum | None:
    size = call.headers.get("x-amz-mp-object-size")
    if size is not None and size != str(sum(part.size for part in parts)):
        message = "The provided 'x-amz-mp-object-size' header does not match what was computed."
        raise AwsError("InvalidRequest", message)
    claim = claimed(call.headers)
    total = digest.checksum
    if upload.checksum_type == COMPOSITE and (sums := [part.checksum for part in parts if part.checksum]):
        total = composite(sums) if len(sums) == len(parts) else None
    if claim and total and claim.value.partition("-")[0] != total.value.partition("-")[0]:
        raise AwsError("BadDigest", f"The {total.algorithm} you specified did not match the calculated checksum.")
    return total or (claim if claim and claim.algorithm == upload.algorithm else None)


def _content(blob: Incoming, parts: list[StoredPart], checksum: Checksum | None) -> Content:
    total = hashlib.md5(b"".join(bytes.fromhex(part.etag) for part in parts), usedforsecurity=False)
    listed = [
        Part(number, part.size, part.checksum.value if part.checksum else None)
        for number, part in enumerate(parts, start=1)
    ]
    return Content(blob.name, blob.size, f"{total.hexdigest()}-{len(parts)}", checksum, listed)

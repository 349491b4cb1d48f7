"""The operations on single objects."""

from contextlib import closing

from werkzeug.wrappers import Response

from local.s3.attributes import Attributes, read_attributes, read_metadata
from local.s3.blobs import Blobs, Blocks
from local.s3.body import Digest, receive
from local.s3.buckets import Buckets
from local.s3.call import Call, empty, xml_response
from local.s3.checksums import COMPUTED, FULL_OBJECT, Checksum, named
from local.s3.conditions import WriteCondition, check_read, http_date, range_holds, read_range
from local.s3.copying import Source, Sources, copy_bytes
from local.s3.errors import invalid_argument, not_implemented
from local.s3.versions import NULL, Content, Version, Versions
from local.s3.xml import Element, timestamp
from local.state import State
from local.wire import AwsError

_OVERRIDES = ("Content-Type", "Content-Language", "Expires", "Cache-Control", "Content-Disposition", "Content-Encoding")
_ENCRYPTION = "x-amz-server-side-encryption"


class Objects:
    def __init__(self, state: State, buckets: Buckets, versions: Versions, blobs: Blobs) -> None:
        self._state = state
        self._buckets = buckets
        self._versions = versions
        self._blobs = blobs
        self._sources = Sources(state, buckets, versions, blobs)

    def put(self, call: Call) -> Response:
        attributes = read_attributes(call.headers)
        condition = WriteCondition(call.headers, call.key)
        with self._blobs.incoming() as blob:
            receipt, checksum = receive(call, blob)
            content = Content(blob.name, receipt.size, receipt.etag, checksum)
            origin = call.origin("PutObject")
            version = self._versions.store(call.bucket, call.key, content, attributes, origin, condition)
        return empty(200, self.stored_headers(version))

    def stored_headers(self, version: Version) -> dict[str, str]:
        """What S3 says of an object it has just stored."""
        headers = {"ETag": f'"{version.etag}"'} | self._version_header(version) | encryption_headers(version.attributes)
        if version.content.checksum:
            headers |= _checksum_headers(version.content.checksum)
        return headers

    def get(self, call: Call) -> Response:
        """GetObject and HeadObject."""
        with self._state.transaction():
            version = self._versions.get(call.bucket, call.key, call.version, call.request.method)
            unchanged = check_read(call.headers, version)
            if unchanged is not None:
                return unchanged
            span = _span(call, version)
            headers = self._object_headers(call, version, span)
            start, length = span or (0, version.size)
            if call.request.method == "HEAD":
                return empty(206 if span else 200, headers)
            blocks = Blocks(self._blobs.open(version.content.file), start, length)
        return Response(blocks, status=206 if span else 200, headers=headers, direct_passthrough=True)

    def _object_headers(self, call: Call, version: Version, span: tuple[int, int] | None) -> dict[str, str]:
        headers = version.attributes.response_headers() | self._version_header(version)
        headers |= {
            "ETag": f'"{version.etag}"',
            "Last-Modified": http_date(version.modified),
            "Accept-Ranges": "bytes",
            "Content-Length": str(span[1] if span else version.size),
        }
        if span:
            headers["Content-Range"] = f"bytes {span[0]}-{span[0] + span[1] - 1}/{version.size}"
        if "partNumber" in call.query and version.content.parts:
            headers["x-amz-mp-parts-count"] = str(len(version.content.parts))
        checksum = version.content.checksum
        if checksum and not span and call.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
            headers |= _checksum_headers(checksum)
        return headers | _overrides(call)

    def copy(self, call: Call) -> Response:
        condition = WriteCondition(call.headers, call.key)
        source = self._sources.open(call.headers)
        with closing(source.file), self._blobs.incoming() as blob:
            attributes = _copied_attributes(call, source.version)
            digest = Digest(_copy_algorithm(call, source.version))
            copy_bytes(source, 0, source.version.size, blob, digest)
            checksum = digest.checksum or _same_checksum(digest.algorithm, source.version)
            content = Content(blob.name, digest.size, digest.etag, checksum)
            origin = call.origin("CopyObject")
            version = self._versions.store(call.bucket, call.key, content, attributes, origin, condition)
        return self._copied(source, version)

    def _copied(self, source: Source, version: Version) -> Response:
        facts: list[Element] = [("ETag", f'"{version.etag}"'), ("LastModified", timestamp(version.modified))]
        if version.content.checksum:
            facts += [version.content.checksum.element, ("ChecksumType", version.content.checksum.type)]
        headers = source.header | self._version_header(version) | encryption_headers(version.attributes)
        return xml_response("CopyObjectResult", facts, headers)

    def delete(self, call: Call) -> Response:
        _refuse_directory_conditions(call)
        condition = WriteCondition(call.headers, call.key)
        origin = call.origin("DeleteObject")
        deleted = self._versions.delete(call.bucket, call.key, call.version, origin, condition)
        headers = {"x-amz-version-id": deleted.version} if deleted.version else {}
        return empty(204, headers | ({"x-amz-delete-marker": "true"} if deleted.marker else {}))

    def attributes(self, call: Call) -> Response:
        """GetObjectAttributes."""
        names = call.headers.get("x-amz-object-attributes", "")
        asked = {name.strip() for name in names.split(",")}
        known = {"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"}
        if not asked <= known:
            raise invalid_argument("Invalid attribute name specified.", "x-amz-object-attributes", names)
        version = self._versions.get(call.bucket, call.key, call.version)
        facts: list[Element] = [
            ("ETag", version.etag),
            ("Checksum", _checksum_elements(version.content.checksum)),
            ("ObjectParts", _part_elements(call, version)),
            ("StorageClass", version.attributes.storage_class),
            ("ObjectSize", version.size),
        ]
        headers = {"Last-Modified": http_date(version.modified)} | self._version_header(version)
        return xml_response("GetObjectAttributesResponse", [fact for fact in facts if fact[0] in asked], headers)

    def _version_header(self, version: Version) -> dict[str, str]:
        shown = version.id != NULL or self._buckets.get(version.bucket).versioning
        return {"x-amz-version-id": version.id} if shown else {}


def encryption_headers(attributes: Attributes) -> dict[str, str]:
    return {name: value for name, value in attributes.headers.items() if name.startswith(_ENCRYPTION)}


def _checksum_headers(checksum: Checksum) -> dict[str, str]:
    return dict([checksum.header, ("x-amz-checksum-type", checksum.type)])


def _checksum_elements(checksum: Checksum | None) -> list[Element] | None:
    return [checksum.element, ("ChecksumType", checksum.type)] if checksum else None


def _part_elements(call: Call, version: Version) -> list[Element] | None:
    parts, checksum = version.content.parts, version.content.checksum
    if not parts:
        return None
    counted: list[Element] = [("PartsCount", len(parts))]
    if not checksum:
        return counted
    marker = call.integer("x-amz-part-number-marker", 0, most=10_000)
    limit = call.integer("x-amz-max-parts", 1000)
    page = [part for part in parts if part.number > marker][:limit]
    name = f"Checksum{checksum.algorithm}"
    listed: list[Element] = [
        ("Part", [("PartNumber", part.number), ("Size", part.size), (name, part.checksum)]) for part in page
    ]
    return [
        *counted,
        ("PartNumberMarker", marker),
        ("NextPartNumberMarker", page[-1].number if page else 0),
        ("MaxParts", limit),
        ("IsTruncated", bool(page) and page[-1].number < parts[-1].number),
        *listed,
    ]


def _span(call: Call, version: Version) -> tuple[int, int] | None:
    """First byte and length where a part of the object is asked for."""
    text = call.headers.get("Range")
    if "partNumber" in call.query:
        if text:
            message = "Cannot specify both Range header and partNumber query parameter"
            raise AwsError("InvalidRequest", message)
        return _part_span(call.integer("partNumber", 1, least=1, most=10_000), version)
    return read_range(text, version.size) if range_holds(call.headers, version) else None


def _part_span(number: int, version: Version) -> tuple[int, int] | None:
    sizes = [part.size for part in version.content.parts] or [version.size]
    if number > len(sizes):
        raise AwsError("InvalidPartNumber", "The requested partnumber is not satisfiable", 416)
    return (sum(sizes[: number - 1]), sizes[number - 1]) if version.size else None


def _overrides(call: Call) -> dict[str, str]:
    """`response-content-type=…` and so on, as a presigned URL sets them."""
    asked = {name: call.query.get(f"response-{name.lower()}") for name in _OVERRIDES}
    for name, value in asked.items():
        if value and not value.isprintable():
            raise invalid_argument("Header value cannot be represented.", f"response-{name.lower()}", value)
    return {name: value.encode().decode("latin1") for name, value in asked.items() if value}


def _copied_attributes(call: Call, source: Version) -> Attributes:
    directive = _directive(call, "x-amz-metadata-directive")
    tagging = _directive(call, "x-amz-tagging-directive")
    asked = read_attributes(call.headers)
    itself = (source.bucket, source.key) == (call.bucket, call.key) and source.latest
    changed = {"x-amz-storage-class", "x-amz-website-redirect-location", _ENCRYPTION} & call.headers.keys()
    if itself and directive == "COPY" and not changed:
        message = (
            "This copy request is illegal because it is trying to copy an object to itself without changing the "
            "object's metadata, storage class, website redirect location or encryption attributes."
        )
        raise AwsError("InvalidRequest", message)
    tags = asked.tags if tagging == "REPLACE" else source.attributes.tags
    if directive == "REPLACE":
        return Attributes(asked.headers, read_metadata(call.headers), tags)
    return Attributes(_kept_headers(source.attributes, asked), source.attributes.metadata, tags)


def _directive(call: Call, name: str) -> str:
    value = call.headers.get(name, "COPY").upper()
    if value not in ("COPY", "REPLACE"):
        raise invalid_argument(f"Unknown {name}.", name, value)
    return value


def _kept_headers(source: Attributes, asked: Attributes) -> dict[str, str]:
    """A copy keeps its source's headers but for storage class, redirect and encryption, which are the request's."""
    kept = {name: value for name, value in source.headers.items() if not name.startswith("x-amz-")}
    return kept | {name: value for name, value in asked.headers.items() if name.startswith("x-amz-")}


def _copy_algorithm(call: Call, source: Version) -> str | None:
    asked = call.headers.get("x-amz-checksum-algorithm")
    if asked is None:
        return source.content.checksum.algorithm if source.content.checksum else None
    algorithm = named(asked)
    if algorithm not in COMPUTED and not _same_checksum(algorithm, source):
        raise not_implemented(f"x-amz-checksum-algorithm: {algorithm} on a copy")
    return algorithm


def _same_checksum(algorithm: str | None, source: Version) -> Checksum | None:
    """The source's own checksum, where it holds for the copy too."""
    checksum = source.content.checksum
    return checksum if checksum and checksum.algorithm == algorithm and checksum.type == FULL_OBJECT else None


def _refuse_directory_conditions(call: Call) -> None:
    for name in ("x-amz-if-match-last-modified-time", "x-amz-if-match-size"):
        if name in call.headers:
            raise not_implemented(name)

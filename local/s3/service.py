"""Amazon S3 on the wire: which operation a request asks for, and the operations on buckets."""

import logging
import re
from collections.abc import Callable
from typing import Any

from werkzeug.wrappers import Request, Response

from local.auth import Keyring
from local.clients import REGION
from local.s3 import cors
from local.s3.blobs import Blobs
from local.s3.body import read_document
from local.s3.buckets import Buckets
from local.s3.call import Call, empty, owner, read_call, subresource_of, xml_response
from local.s3.copying import named_source
from local.s3.errors import S3Error, not_implemented
from local.s3.lifecycle import Lifecycle
from local.s3.listing import Listing
from local.s3.multipart import Multipart
from local.s3.objects import Objects
from local.s3.post import PostObject
from local.s3.rights import Refusal, nobody_is_refused
from local.s3.schema import SCHEMA
from local.s3.tagging import Tagging
from local.s3.versions import Deleted, Version, Versions, anything
from local.s3.xml import Element, malformed, parse, reject_others, required, text_of, timestamp
from local.state import State
from local.wire import AwsError, Caller, xml_error

log = logging.getLogger(__name__)

MAX_DELETES = 1000
Operation = Callable[[Call], Response]


class S3:
    """The service. `emit` is called with each event inside the transaction that stores the change.

    `refusal` says whether a caller may do what only S3 finds out that it asks for; without it everybody may.
    """

    def __init__(
        self,
        state: State,
        keyring: Keyring,
        emit: Callable[[dict[str, Any]], None],
        refusal: Refusal = nobody_is_refused,
    ) -> None:
        state.create(SCHEMA)
        self._state = state
        self._refusal = refusal
        self._buckets = Buckets(state)
        blobs = Blobs(state)
        blobs.sweep()
        self._versions = Versions(state, self._buckets, blobs, emit)
        self._listing = Listing(state)
        objects = Objects(state, self._buckets, self._versions, blobs)
        multipart = Multipart(state, self._buckets, self._versions, blobs, objects.stored_headers)
        self._lifecycle = Lifecycle(state, self._buckets, self._versions, multipart)
        self._bucket_operations = self._offered_for_buckets(PostObject(self._versions, blobs, keyring, refusal))
        self._object_operations = _offered_for_objects(objects, multipart, Tagging(state, self._versions))

    def ensure_bucket(self, name: str, properties: dict[str, Any]) -> None:
        """Create the bucket or bring it in line with its CloudFormation properties; content stays.

        Raises ValueError for a property the laptop does not offer.
        """
        self._buckets.ensure(name, properties)

    def expire(self, now: float) -> None:
        """Delete what the lifecycle rules say is due at `now` (seconds since the epoch)."""
        self._lifecycle.expire(now)

    def __call__(self, request: Request, caller: Caller) -> Response:
        try:
            call = read_call(request, caller)
        except AwsError as error:
            return _refused(error)
        response = self._answer(call)
        response.headers["x-amz-request-id"] = call.id
        self._allow_origin(call, response)
        return response

    def _answer(self, call: Call) -> Response:
        try:
            return self._operation(call)(call)
        except AwsError as error:
            return _refused(self._unlisted(call) or error if error.code == "NoSuchKey" else error)
        except Exception:
            log.exception("the laptop's S3 failed")
            return _refused(AwsError("InternalError", "We encountered an internal error. Please try again.", 500))

    def _unlisted(self, call: Call) -> AwsError | None:
        """Who may not list a bucket is not told that a key is missing (GetObject in the S3 API reference)."""
        source = call.headers.get("x-amz-copy-source")
        bucket = named_source(source)[0] if source else call.bucket
        return self._refusal(call.caller, "s3:ListBucket", f"arn:aws:s3:::{bucket}", call.request)

    def _operation(self, call: Call) -> Operation:
        method = call.request.method
        if method == "OPTIONS":
            return lambda call: cors.preflight(call, self._buckets.get(call.bucket))
        if not call.bucket:
            return self._list_buckets if method == "GET" else _not_allowed
        resource = subresource_of(call.query)
        if call.bucket and (call.key or (method, resource) != ("PUT", "")):
            self._buckets.get(call.bucket)
        if call.key and method == "PUT" and "x-amz-copy-source" in call.headers:
            resource += "+copy"
        offered = self._object_operations if call.key else self._bucket_operations
        operation = offered.get((method, resource))
        if operation is None and resource:
            raise not_implemented(f"{method} ?{resource}")
        return operation or _not_allowed

    def _offered_for_buckets(self, post: PostObject) -> dict[tuple[str, str], Operation]:
        return {
            ("PUT", ""): self._create_bucket,
            ("HEAD", ""): self._head_bucket,
            ("DELETE", ""): self._delete_bucket,
            ("POST", ""): post,
            ("GET", ""): self._listing.objects,
            ("GET", "list-type"): self._listing.objects_v2,
            ("GET", "versions"): self._listing.versions,
            ("GET", "uploads"): self._listing.uploads,
            ("GET", "location"): self._location,
            ("GET", "versioning"): self._get_versioning,
            ("PUT", "versioning"): self._put_versioning,
            ("GET", "notification"): self._get_notification,
            ("PUT", "notification"): self._put_notification,
            ("POST", "delete"): self._delete_objects,
        }

    def _allow_origin(self, call: Call, response: Response) -> None:
        if "Origin" not in call.headers or call.request.method == "OPTIONS" or not call.bucket:
            return
        try:
            cors.allow(call, self._buckets.get(call.bucket), response)
        except AwsError:  # no such bucket: nobody to allow anything
            return

    def _list_buckets(self, call: Call) -> Response:
        prefix, after = call.query.get("prefix", ""), call.query.get("continuation-token", "")
        limit = call.integer("max-buckets", 10_000, least=1, most=10_000)
        found = [bucket for bucket in self._buckets.all() if bucket.name.startswith(prefix) and bucket.name > after]
        page = found[:limit]
        listed: list[Element] = [
            (
                "Bucket",
                [
                    ("Name", bucket.name),
                    ("CreationDate", timestamp(bucket.created)),
                    ("BucketRegion", bucket.region),
                    ("BucketArn", f"arn:aws:s3:::{bucket.name}"),
                ],
            )
            for bucket in page
        ]
        token = page[-1].name if len(found) > limit else None
        facts: list[Element] = [owner(), ("Buckets", listed), ("ContinuationToken", token), ("Prefix", prefix or None)]
        return xml_response("ListAllMyBucketsResult", facts)

    def _create_bucket(self, call: Call) -> Response:
        for name in ("x-amz-bucket-object-lock-enabled", "x-amz-bucket-namespace"):
            if call.headers.get(name, "false").lower() not in ("false", "global"):
                raise not_implemented(name)
        if call.headers.get("x-amz-acl", "private") != "private":
            message = "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"
            raise AwsError("InvalidBucketAclWithObjectOwnership", message)
        self._buckets.create(call.bucket, _region(read_document(call)))
        return empty(200, {"Location": f"/{call.bucket}"})

    def _head_bucket(self, call: Call) -> Response:
        region = self._buckets.get(call.bucket).region
        return empty(200, {"x-amz-bucket-region": region, "x-amz-access-point-alias": "false"})

    def _delete_bucket(self, call: Call) -> Response:
        self._buckets.delete(call.bucket)
        return empty(204)

    def _location(self, call: Call) -> Response:
        region = self._buckets.get(call.bucket).region
        return xml_response("LocationConstraint", "" if region == "us-east-1" else region)

    def _get_versioning(self, call: Call) -> Response:
        status = self._buckets.get(call.bucket).versioning
        return xml_response("VersioningConfiguration", [("Status", status or None)])

    def _put_versioning(self, call: Call) -> Response:
        top = parse(read_document(call), "VersioningConfiguration")
        status = text_of(top, "Status")
        if text_of(top, "MfaDelete") == "Enabled":
            raise not_implemented("MfaDelete")
        if status not in ("Enabled", "Suspended"):
            message = "The Versioning element must be specified"
            raise AwsError("IllegalVersioningConfigurationException", message)
        self._buckets.set_versioning(call.bucket, status)
        return empty(200)

    def _get_notification(self, call: Call) -> Response:
        on = self._buckets.get(call.bucket).event_bridge
        return xml_response("NotificationConfiguration", [("EventBridgeConfiguration", "" if on else None)])

    def _put_notification(self, call: Call) -> Response:
        top = parse(read_document(call), "NotificationConfiguration")
        reject_others(top, ["EventBridgeConfiguration"])
        self._buckets.set_event_bridge(call.bucket, top.find("EventBridgeConfiguration") is not None)
        return empty(200)

    def _delete_objects(self, call: Call) -> Response:
        checked = ("content-md5", "x-amz-checksum-", "x-amz-trailer")
        if not any(name.startswith(checked) for name in call.headers):
            message = "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"
            raise AwsError("InvalidRequest", message)
        top = parse(read_document(call), "Delete")
        asked = top.findall("Object")
        if not 1 <= len(asked) <= MAX_DELETES:
            raise malformed()
        quiet = text_of(top, "Quiet") == "true"
        with self._state.transaction():
            results = [self._delete_one(call, required(each, "Key"), text_of(each, "VersionId"),
                                        text_of(each, "ETag")) for each in asked]  # fmt: skip
        return xml_response("DeleteResult", [each for each in results if not quiet or each[0] == "Error"])

    def _delete_one(self, call: Call, key: str, version: str | None, etag: str | None) -> Element:
        def same(current: Version | None) -> None:
            if etag and (current is None or current.etag != etag.strip('"')):
                raise AwsError("PreconditionFailed", "At least one of the pre-conditions you specified did not hold")

        try:
            action = "s3:DeleteObjectVersion" if version else "s3:DeleteObject"
            if denied := self._refusal(call.caller, action, f"arn:aws:s3:::{call.bucket}/{key}", call.request):
                raise denied
            check = same if etag else anything
            deleted = self._versions.delete(call.bucket, key, version, call.origin("DeleteObject"), check)
        except AwsError as error:
            return ("Error", [("Key", key), ("VersionId", version), ("Code", error.code), ("Message", error.message)])
        return ("Deleted", _deleted_facts(key, version, deleted))


def _offered_for_objects(objects: Objects, multipart: Multipart, tagging: Tagging) -> dict[tuple[str, str], Operation]:
    return {
        ("GET", ""): objects.get,
        ("HEAD", ""): objects.get,
        ("PUT", ""): objects.put,
        ("PUT", "+copy"): objects.copy,
        ("DELETE", ""): objects.delete,
        ("GET", "attributes"): objects.attributes,
        ("GET", "tagging"): tagging.get,
        ("PUT", "tagging"): tagging.put,
        ("DELETE", "tagging"): tagging.delete,
        ("POST", "uploads"): multipart.create,
        ("PUT", "uploadId"): multipart.upload_part,
        ("PUT", "uploadId+copy"): multipart.upload_part_copy,
        ("GET", "uploadId"): multipart.list_parts,
        ("POST", "uploadId"): multipart.complete,
        ("DELETE", "uploadId"): multipart.abort,
    }


def _deleted_facts(key: str, version: str | None, deleted: Deleted) -> list[Element]:
    facts: list[Element] = [("Key", key), ("VersionId", version)]
    if deleted.marker:
        facts += [("DeleteMarker", True), ("DeleteMarkerVersionId", deleted.version)]
    return facts


def _region(document: bytes) -> str:
    """Where a new bucket says it is; the laptop is everywhere."""
    if not document:
        return REGION
    top = parse(document, "CreateBucketConfiguration")
    reject_others(top, ["LocationConstraint"])
    region = text_of(top, "LocationConstraint") or REGION
    if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", region):
        message = "The specified location-constraint is not valid"
        raise AwsError("InvalidLocationConstraint", message, LocationConstraint=region)
    return region


def _not_allowed(call: Call) -> Response:
    message = "The specified method is not allowed against this resource."
    raise AwsError("MethodNotAllowed", message, 405, Method=call.request.method)


def _refused(error: AwsError) -> Response:
    response = xml_error(error)
    if isinstance(error, S3Error):
        response.headers.update(error.headers)
    return response

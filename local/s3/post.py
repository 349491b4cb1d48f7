"""POST Object: an upload from a browser's form, allowed by a signed policy (S3 API, "POST Object")."""

import base64
import hmac
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData
from werkzeug.wrappers import Response

from local.auth import Keyring, signers_now
from local.s3.attributes import Attributes, read_attributes
from local.s3.blobs import BLOCK, Blobs
from local.s3.body import MAX_PUT, Body, Receipt, too_large
from local.s3.call import MAX_KEY_BYTES, Call, empty, xml_response
from local.s3.errors import invalid_argument
from local.s3.headers import Headers
from local.s3.rights import Refusal
from local.s3.tagging import read_tagging
from local.s3.versions import Content, Version, Versions
from local.wire import AwsError

MAX_FIELDS = 20_000  # bytes before the file, S3's own limit
_NEVER_IN_POLICY = {"file", "policy", "x-amz-signature"}


class Form:
    """A multipart form: `fields` (names in lower case) up to the file, whose content `blocks` streams."""

    def __init__(self, call: Call) -> None:
        _, options = parse_options_header(call.headers.get("Content-Type", ""))
        if not options.get("boundary"):
            raise AwsError(
                "MalformedPOSTRequest", "The body of your POST request is not well-formed multipart/form-data."
            )
        self._body = iter(Body(call))
        self._decoder = MultipartDecoder(options["boundary"].encode(), MAX_FIELDS + 2 * BLOCK)
        self.fields, self.filename = self._read_fields()

    def _read_fields(self) -> tuple[Headers, str]:
        pairs: list[tuple[str, str]] = []
        name, value, size = "", bytearray(), 0
        for event in self._events():
            if isinstance(event, File) and event.name == "file":
                return Headers(pairs), event.filename.replace("\\", "/").rpartition("/")[2]
            if isinstance(event, (Field, File)):
                name, value = event.name, bytearray()
            elif isinstance(event, Data):
                value += event.data
                size += len(event.data)
                if size > MAX_FIELDS:
                    message = "Your POST request fields preceding the upload file were too large."
                    raise AwsError("MaxPostPreDataLengthExceeded", message)
                if not event.more_data:
                    pairs.append((name, _field_text(value)))
        message = "POST requires exactly one file upload per request."
        raise invalid_argument(message, "file", "0")

    def blocks(self) -> Iterator[bytes]:
        """The file's content. What follows it in the form is ignored, as S3 does."""
        for event in self._events():
            if isinstance(event, Data):
                yield event.data
                if not event.more_data:
                    break
        for _ in self._body:
            """A cut-off upload shows at the end of the form."""

    def _events(self) -> Iterator[Any]:
        while True:
            try:
                event = self._decoder.next_event()
                if isinstance(event, NeedData):
                    self._decoder.receive_data(next(self._body, None))
            except (ValueError, RequestEntityTooLarge) as error:
                message = "The body of your POST request is not well-formed multipart/form-data."
                raise AwsError("MalformedPOSTRequest", message) from error
            if isinstance(event, Epilogue):
                return
            if not isinstance(event, NeedData):
                yield event


def _field_text(value: bytearray) -> str:
    return value.decode(errors="replace").replace("\r\n", " ").replace("\n", " ").replace("\r", " ")


class Policy:
    """What a form may upload: an expiry and conditions, all of which must hold."""

    def __init__(self, encoded: str) -> None:
        try:
            document = json.loads(base64.b64decode(encoded, validate=True))
            self._expiration = datetime.strptime(document["expiration"][:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
            self._conditions = [_three(condition) for condition in document["conditions"]]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise AwsError("InvalidPolicyDocument", f"Invalid Policy: Invalid JSON or fields: {error}") from error

    def check(self, values: Mapping[str, str]) -> None:
        if self._expiration.timestamp() < signers_now(values.get("x-amz-security-token", "")):
            raise _denied("Policy expired.")
        covered = set(_NEVER_IN_POLICY)
        for operator, name, value in self._conditions:
            if operator == "content-length-range":
                continue
            covered.add(name)
            if not _holds(operator, values.get(name, ""), str(value)):
                raise _denied(f"Policy Condition failed: {json.dumps([operator, f'${name}', value])}")
        for name in values:
            if name not in covered and not name.startswith("x-ignore-") and name != "bucket":
                raise _denied(f"Extra input fields: {name}")

    @property
    def sizes(self) -> tuple[int, int]:
        """The least and the most bytes the file may have."""
        ranges = [
            (int(first), int(last)) for operator, first, last in self._conditions if operator == "content-length-range"
        ]
        return max([0, *(least for least, _ in ranges)]), min([MAX_PUT, *(most for _, most in ranges)])


def _three(condition: Any) -> tuple[str, str, str]:
    """`{"acl": "private"}` and `["eq", "$acl", "private"]` say the same."""
    if isinstance(condition, dict):
        ((name, value),) = condition.items()
        return ("eq", str(name).lower(), value)
    operator, name, value = condition
    operator = str(operator).lower()
    if operator == "content-length-range":
        return (operator, str(int(name)), str(int(value)))
    if operator not in ("eq", "starts-with") or not str(name).startswith("$"):
        raise ValueError(f"condition {condition}")
    return (operator, str(name)[1:].lower(), value)


def _holds(operator: str, actual: str, expected: str) -> bool:
    return actual == expected if operator == "eq" else actual.startswith(expected)


def _denied(reason: str) -> AwsError:
    return AwsError("AccessDenied", f"Invalid according to Policy: {reason}", 403)


class PostObject:
    def __init__(self, versions: Versions, blobs: Blobs, keyring: Keyring, refusal: Refusal) -> None:
        self._versions = versions
        self._blobs = blobs
        self._keyring = keyring
        self._refusal = refusal

    def __call__(self, call: Call) -> Response:
        form = Form(call)
        key = _key(form)
        values = dict(form.fields) | {"key": key, "bucket": call.bucket}
        least, most = self._allowed(values)
        self._check_right(call, values)
        version = self._store(call, form, key, least, most)
        return _answer(call, form.fields, version)

    def _allowed(self, values: Mapping[str, str]) -> tuple[int, int]:
        """The size range; a form without a policy is the local user's, as every unsigned request."""
        if "policy" not in values:
            return 0, MAX_PUT
        self._check_signature(values)
        policy = Policy(values["policy"])
        policy.check(values)
        return policy.sizes

    def _check_right(self, call: Call, values: Mapping[str, str]) -> None:
        """A form puts with the rights of whoever signed its policy."""
        signer = self._keyring.caller_of(values.get("x-amz-credential", "").partition("/")[0]) or call.caller
        actions = ["s3:PutObject", *(["s3:PutObjectTagging"] if "tagging" in values else [])]
        for action in actions:
            if denied := self._refusal(signer, action, f"arn:aws:s3:::{call.bucket}/{values['key']}", call.request):
                raise denied

    def _check_signature(self, values: Mapping[str, str]) -> None:
        if values.get("x-amz-algorithm") != "AWS4-HMAC-SHA256":
            message = "The laptop takes AWS Signature Version 4 only: x-amz-algorithm must be AWS4-HMAC-SHA256"
            raise AwsError("InvalidRequest", message)
        access_key, _, scope = values.get("x-amz-credential", "").partition("/")
        if scope.count("/") != 3:
            message = "The Credential of the form is malformed; expecting <KEY>/<DATE>/<REGION>/s3/aws4_request"
            raise invalid_argument(message, "X-Amz-Credential", values.get("x-amz-credential", ""))
        expected = self._keyring.sign_text(access_key, scope, values["policy"])
        if expected and not hmac.compare_digest(expected.encode(), values.get("x-amz-signature", "").encode()):
            message = "The request signature we calculated does not match the signature you provided."
            raise AwsError("SignatureDoesNotMatch", message, 403)

    def _store(self, call: Call, form: Form, key: str, least: int, most: int) -> Version:
        attributes = _attributes(form.fields)
        with self._blobs.incoming() as blob:
            receipt = Receipt(form.fields)
            for data in form.blocks():
                receipt.update(data)
                if receipt.size > most:
                    raise too_large(receipt.size, most)
                blob.write(data)
            if receipt.size < least:
                message = "Your proposed upload is smaller than the minimum allowed size"
                raise AwsError("EntityTooSmall", message, ProposedSize=receipt.size, MinSizeAllowed=least)
            content = Content(blob.name, receipt.size, receipt.etag, receipt.verify(Headers([])))
            blob.keep()
            return self._versions.store(call.bucket, key, content, attributes, call.origin("POST Object"))


def _key(form: Form) -> str:
    key = form.fields.get("key", "").replace("${filename}", form.filename)
    if not key:
        message = (
            "Bucket POST must contain a field named 'key'. If it is specified, please check the order of the fields."
        )
        raise invalid_argument(message, "key", "")
    if len(key.encode()) > MAX_KEY_BYTES:
        raise AwsError("KeyTooLongError", "Your key is too long", MaxSizeAllowed=MAX_KEY_BYTES)
    return key


def _attributes(fields: Headers) -> Attributes:
    """Form fields are UTF-8 text; headers are the same bytes seen as Latin-1."""
    names = {"acl": "x-amz-acl"}
    seen = ((names.get(name, name), value.encode().decode("latin1")) for name, value in fields.items())
    attributes = read_attributes(Headers(seen))
    if "tagging" not in fields:
        return attributes
    return Attributes(attributes.headers, attributes.metadata, read_tagging(fields["tagging"].encode()))


def _answer(call: Call, fields: Headers, version: Version) -> Response:
    location = f"{call.request.host_url}{call.bucket}/{quote(version.key)}"
    headers = {"ETag": f'"{version.etag}"', "Location": location}
    if version.id != "null":
        headers["x-amz-version-id"] = version.id
    if redirect := fields.get("success_action_redirect") or fields.get("redirect"):
        found = urlencode({"bucket": call.bucket, "key": version.key, "etag": f'"{version.etag}"'})
        headers["Location"] = f"{redirect}{'&' if '?' in redirect else '?'}{found}"
        return empty(303, headers)
    if fields.get("success_action_status") == "201":
        facts = [("Location", location), ("Bucket", call.bucket), ("Key", version.key), ("ETag", headers["ETag"])]
        response = xml_response("PostResponse", [*facts], headers)
        response.status_code = 201
        return response
    return empty(200 if fields.get("success_action_status") == "200" else 204, headers)

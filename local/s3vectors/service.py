"""Amazon S3 Vectors on the wire: REST-JSON, one POST path an operation, tags by ARN."""

import logging
import uuid
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any

import orjson
from botocore import xform_name
from werkzeug.wrappers import Request, Response

from local.s3vectors.building import Builder
from local.s3vectors.catalog import Names
from local.s3vectors.control import Control, Json, Quotas
from local.s3vectors.data import Data
from local.s3vectors.errors import invalid, unreadable
from local.s3vectors.shapes import SERVICE, check_request
from local.s3vectors.template import TemplateResources
from local.shapes import service_model
from local.state import State
from local.wire import PARSED, AwsError, Caller, SetPolicy, json_response

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 20 * 2**20
_READ_AT_ONCE = 2**20


class S3Vectors:
    """The service (signing name `s3vectors`). One thread builds full-text indexes; `stop` ends it.

    `older_buckets` names vector buckets (`*` for any part) to take as made before 30 Sep 2026, the only ones that can
    be CLASSIC. `enforce` is told the policy of each bucket.
    """

    def __init__(
        self,
        state: State,
        region: str = "us-east-1",
        *,
        older_buckets: Collection[str] = (),
        quotas: Quotas | None = None,
        enforce: SetPolicy = lambda arn, text: None,
    ) -> None:
        names = Names(region)
        self._builder = Builder(state)
        self._control = Control(state, names, self._builder, older_buckets, quotas or Quotas(), enforce)
        self._data = Data(state, self._control)
        self._template = TemplateResources(self._control, names)
        self._builder.start()

    def stop(self) -> None:
        self._builder.stop()

    def __call__(self, request: Request, caller: Caller) -> Response:
        try:
            return _json_response(self._answer(request))
        except AwsError as error:
            return _error_response(error)
        except Exception:
            log.exception("S3 Vectors failed")
            return _error_response(AwsError("InternalServerException", "The laptop failed; its log says why", 500))

    def ensure_vector_bucket(self, name: str, properties: Mapping[str, Any]) -> str:
        """Make the bucket of an `AWS::S3Vectors::VectorBucket` unless it is there; its ARN.

        Raises ImmutablePropertyError where it is there with another value of a property that cannot change.
        """
        return self._template.ensure_vector_bucket(name, properties)

    def ensure_index(self, properties: Mapping[str, Any]) -> str:
        """Make the index of an `AWS::S3Vectors::Index` unless it is there, vectors and all; its ARN.

        Raises ImmutablePropertyError as `ensure_vector_bucket` does.
        """
        return self._template.ensure_index(properties)

    def set_policy(self, bucket: str, text: str | None) -> None:
        """The policy of a bucket, None for none, as PutVectorBucketPolicy and DeleteVectorBucketPolicy set it."""
        if text is None:
            self._control.delete_vector_bucket_policy({"vectorBucketName": bucket})
        else:
            self._control.put_vector_bucket_policy({"vectorBucketName": bucket, "policy": text})

    def _answer(self, request: Request) -> Json:
        operation, from_path = _route(request)
        body = {**read_body(request), **from_path}
        check_request(operation, body)
        name = xform_name(operation)
        run: Callable[[Json], Json] | None = getattr(self._control, name, None) or getattr(self._data, name, None)
        if run is None:
            raise _unknown(operation)
        return run(body)


@cache
def _operations_by_route() -> Mapping[tuple[str, str], str]:
    """`(method, path)` → operation; a path with a parameter is kept up to that parameter."""
    model = service_model(SERVICE)
    routes = {name: model.operation_model(name).http for name in model.operation_names}
    return {(http["method"], http["requestUri"].partition("{")[0]): name for name, http in routes.items()}


def _route(request: Request) -> tuple[str, Json]:
    """The operation and what the URL says of its input."""
    path, members = request.path, Json()
    if path.startswith("/tags/"):
        path, members = "/tags/", {"resourceArn": path.removeprefix("/tags/")}
        if request.method == "DELETE":
            members["tagKeys"] = request.args.getlist("tagKeys") or None
    operation = _operations_by_route().get((request.method, path))
    if operation is None:
        raise _unknown(f"{request.method} {request.path}")
    return operation, members


def read_body(request: Request) -> Json:
    """The JSON object, parsed once; ValidationException for one that is too large, SerializationException for none."""
    known: Json | None = request.environ.get(PARSED)
    if known is not None:
        return known
    if (request.content_length or 0) > MAX_BODY_BYTES:
        while request.stream.read(_READ_AT_ONCE):
            pass  # or the client, still sending, would see a broken connection in place of the answer
        raise _too_large()
    sent = request.get_data(cache=False)
    if len(sent) > MAX_BODY_BYTES:  # one sent in chunks does not say its length
        raise _too_large()
    try:
        body = orjson.loads(sent or b"{}")
    except orjson.JSONDecodeError as error:
        raise unreadable(f"The body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise unreadable("The body is not a JSON object")
    request.environ[PARSED] = body
    return body


def _too_large() -> AwsError:
    return invalid("Request body exceeds max allowed size", "body")


def _unknown(name: str) -> AwsError:
    return AwsError("UnknownOperationException", f"The laptop does not offer {name}", 404)


def _json_response(body: Json) -> Response:
    """Like `wire.json_response`, with orjson: pages of vectors are large, and stored metadata goes out as it is."""
    response = Response(orjson.dumps(body), content_type="application/json")
    response.headers["x-amzn-RequestId"] = str(uuid.uuid4())
    return response


def _error_response(error: AwsError) -> Response:
    return json_response({"message": error.message, **error.members}, error.status, error.code)

"""What every service on the laptop shares: who calls, how an error looks, and the JSON forms of AWS on the wire."""

import json
import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from xml.sax.saxutils import escape

from werkzeug.wrappers import Request, Response

log = logging.getLogger(__name__)

ACCOUNT = "000000000000"
PARSED = "laptop.json"  # where a request keeps its body once it is parsed


@dataclass(frozen=True)
class Caller:
    """Who signed a request. `role_arn` is None for the local user, who may do everything."""

    arn: str
    role_arn: str | None = None


LOCAL_USER = Caller(arn=f"arn:aws:iam::{ACCOUNT}:user/local")


class AwsError(Exception):
    """An error as the service sends it: `code` is the exception's name on the wire, `members` its other fields."""

    def __init__(self, code: str, message: str, status: int = 400, **members: Any) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.members = members


class Service(Protocol):
    """One AWS service on the wire."""

    def __call__(self, request: Request, caller: Caller) -> Response: ...


Operation = Callable[[dict[str, Any], Caller], Mapping[str, Any]]
SetPolicy = Callable[[str, str | None], None]
"""What the policy of the resource with an ARN is from now on; ValueError for a text that is none."""
MayTake = Callable[[str, str, str], bool]
"""Whether a service (`states.amazonaws.com`) may take the role with an ARN, for the resource with another."""


def anybody(service: str, role_arn: str, source_arn: str) -> bool:
    """Every role may be taken."""
    return True


class TargetService:
    """A service that speaks AWS JSON 1.0 or 1.1: the operation's name is in `X-Amz-Target`."""

    def __init__(self, operations: Mapping[str, Operation], content_type: str = "application/x-amz-json-1.0") -> None:
        self.operations = operations
        self.content_type = content_type

    def __call__(self, request: Request, caller: Caller) -> Response:
        name = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        operation = self.operations.get(name)
        if operation is None:
            return self.refuse(AwsError("UnknownOperationException", f"The laptop does not offer {name or 'this'}"))
        return answer_json(lambda: operation(read_json(request), caller), self.refuse, self.content_type)

    def refuse(self, error: AwsError) -> Response:
        """An error as this service sends it."""
        body = {"__type": error.code, "message": error.message, **error.members}
        return json_response(body, error.status, error.code, self.content_type)


def read_json_value(request: Request) -> Any:
    """The request's body as JSON, or `SerializationException`."""
    try:
        return json.loads(request.get_data() or b"{}")
    except (ValueError, RecursionError) as error:
        raise AwsError("SerializationException", f"The body is not JSON: {error}") from error


def read_json(request: Request) -> dict[str, Any]:
    """The request's body as a JSON object, parsed once, or `SerializationException`."""
    known: dict[str, Any] | None = request.environ.get(PARSED)
    if known is not None:
        return known
    body = read_json_value(request)
    if not isinstance(body, dict):
        raise AwsError("SerializationException", "The body is not a JSON object")
    request.environ[PARSED] = body
    return body


def answer_json(
    work: Callable[[], Mapping[str, Any]],
    on_error: Callable[[AwsError], Response],
    content_type: str = "application/json",
) -> Response:
    """Do the work and send what it returns; an unforeseen failure is logged and sent as AWS sends its own."""
    try:
        return json_response(work(), content_type=content_type)
    except AwsError as error:
        return on_error(error)
    except Exception:
        log.exception("a service of the laptop failed")
        return on_error(AwsError("InternalServerException", "The laptop failed; its log says why", 500))


def json_response(
    body: Mapping[str, Any], status: int = 200, error: str | None = None, content_type: str = "application/json"
) -> Response:
    response = Response(json.dumps(body), status=status, content_type=content_type)
    response.headers["x-amzn-RequestId"] = str(uuid.uuid4())
    if error:
        response.headers["x-amzn-ErrorType"] = error
    return response


def xml_error(error: AwsError) -> Response:
    """An error in S3's form; `members` become further elements."""
    request_id = uuid.uuid4().hex[:16].upper()
    fields = {"Code": error.code, "Message": error.message, **error.members, "RequestId": request_id}
    inner = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in fields.items())
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'
    response = Response(body, status=error.status, content_type="application/xml")
    response.headers["x-amz-request-id"] = request_id
    return response

"""An error in the form that a service sends it, whichever part of the laptop refuses."""

import uuid
from xml.sax.saxutils import escape

from werkzeug.wrappers import Response

from local.operations import models_of
from local.wire import AwsError, Service, TargetService, json_response, xml_error


def refusal(name: str, service: Service | None, error: AwsError) -> Response:
    """`name` is the signing name; `service` what answers for it, None where that is not ours."""
    if isinstance(service, TargetService):
        return service.refuse(error)
    match protocol_of(name):
        case "rest-xml":
            return xml_error(error)
        case "query" | "ec2" as protocol:
            return _query_error(error, protocol)
        case "rest-json":
            return json_response(_rest_json(name, error), error.status, error.code)
    body = {"__type": error.code, "message": error.message, **error.members}
    return json_response(body, error.status, error.code, "application/x-amz-json-1.1")


def protocol_of(name: str) -> str:
    """What the service speaks; `json` for one that the SDK does not know."""
    return next((str(model.metadata["protocol"]) for model in models_of(name)), "json")


def _rest_json(name: str, error: AwsError) -> dict[str, object]:
    if name != "lambda":
        return {"message": error.message, **error.members}
    return {"Type": "User" if error.status < 500 else "Service", "Message": error.message, **error.members}


def _query_error(error: AwsError, protocol: str) -> Response:
    request_id = uuid.uuid4()
    said = f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
    if protocol == "ec2":
        body = f"<Response><Errors><Error>{said}</Error></Errors><RequestID>{request_id}</RequestID></Response>"
    else:
        kind = "Sender" if error.status < 500 else "Receiver"
        inner = f"<Error><Type>{kind}</Type>{said}</Error><RequestId>{request_id}</RequestId>"
        body = f"<ErrorResponse>{inner}</ErrorResponse>"
    response = Response(body, error.status, content_type="text/xml")
    response.headers["x-amzn-RequestId"] = str(request_id)
    return response

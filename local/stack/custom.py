"""Custom resources: a function of the template is told what to create, and answers at a URL."""

import json
import threading
import uuid
from dataclasses import dataclass
from typing import Any

from werkzeug.wrappers import Request, Response

from local import clock
from local.functions import Functions
from local.stack.template import Made, TemplateError, as_text
from local.wire import Caller

PATH = "/_local/cloudformation/"
ANSWER_SECONDS = 300.0

Properties = dict[str, Any]
Answer = dict[str, Any]
Subject = dict[str, str]
"""Of whom a request speaks: StackId, ResourceType and LogicalResourceId."""


@dataclass
class _Pending:
    answered: threading.Event
    body: Answer


class CustomResources:
    """Asks the functions behind custom resources to create, update and delete; `endpoint` is where they answer."""

    def __init__(self, functions: Functions, endpoint: str) -> None:
        self._functions = functions
        self._endpoint = endpoint
        self._pending: dict[str, _Pending] = {}

    def __call__(self, request: Request, caller: Caller) -> Response:
        """The answer of a function, at the URL it was given. What is none counts as a refusal."""
        pending = self._pending.get(request.path.removeprefix(PATH))
        if pending is None or request.method != "PUT":
            return Response("nobody waits for this\n", status=404)
        answer = _read(request.get_data())
        wrong = _wrong(answer)
        pending.body = {"Status": "FAILED", "Reason": wrong} if wrong else answer
        pending.answered.set()
        return Response(f"{wrong}\n", status=400) if wrong else Response("")

    def create(self, subject: Subject, properties: Properties) -> Made:
        """TemplateError with the function's reason when it refuses, here as in the others."""
        return _made(self._ask({**subject, "RequestType": "Create"}, properties))

    def update(self, subject: Subject, physical_id: str, former: Properties, properties: Properties) -> Made:
        """What has another physical id afterwards is another resource, and the former one is to be deleted."""
        known = {"PhysicalResourceId": physical_id, "OldResourceProperties": _as_texts(former)}
        return _made(self._ask({**subject, "RequestType": "Update", **known}, properties))

    def delete(self, subject: Subject, physical_id: str, properties: Properties) -> None:
        self._ask({**subject, "RequestType": "Delete", "PhysicalResourceId": physical_id}, properties)

    def _ask(self, event: dict[str, Any], properties: Properties) -> Answer:
        token = str(uuid.uuid4())
        pending = self._pending[token] = _Pending(threading.Event(), {})
        function = properties["ServiceToken"]
        whole = {
            **event,
            "RequestId": token,
            "ResponseURL": f"{self._endpoint}{PATH}{token}",
            "ServiceToken": function,
            "ResourceProperties": _as_texts(properties),
        }
        seconds = float(properties.get("ServiceTimeout", ANSWER_SECONDS))
        try:
            invocation = self._functions.invoke(function, json.dumps(whole).encode())
            if invocation.error and not pending.answered.is_set():
                raise TemplateError(f"its function failed: {invocation.payload.decode()}")
            if not clock.wait(seconds, pending.answered):
                raise TemplateError(f"its function did not answer in {seconds:.0f} seconds")
        finally:
            del self._pending[token]
        if pending.body["Status"] != "SUCCESS":
            raise TemplateError(f"its function refused: {pending.body.get('Reason')}")
        return pending.body


def _read(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _wrong(answer: Any) -> str | None:
    """What makes it no answer."""
    if not isinstance(answer, dict) or answer.get("Status") not in ("SUCCESS", "FAILED"):
        return "the answer is no JSON object with a Status of SUCCESS or FAILED"
    if not isinstance(answer.get("Data") or {}, dict):
        return "the Data of the answer is no JSON object"
    physical_id = answer.get("PhysicalResourceId")
    if answer["Status"] == "SUCCESS" and not (physical_id and isinstance(physical_id, str)):
        return "the answer has no PhysicalResourceId"
    return None


def _made(answer: Answer) -> Made:
    return Made(answer["PhysicalResourceId"], answer.get("Data") or {})


def _as_texts(value: Any) -> Any:
    """CloudFormation sends every number and boolean as a string."""
    if isinstance(value, dict):
        return {name: _as_texts(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_as_texts(item) for item in value]
    return as_text(value)

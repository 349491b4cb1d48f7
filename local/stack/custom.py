"""Custom resources: a function of the template is told what to create, and answers at a URL."""

import json
import logging
import threading
import uuid
from dataclasses import dataclass
from typing import Any

from werkzeug.wrappers import Request, Response

from local import clock
from local.functions import Functions
from local.stack.template import Assembly, Made, Resource, TemplateError, as_text
from local.state import State
from local.wire import AwsError, Caller

log = logging.getLogger(__name__)

PATH = "/_local/cloudformation/"
ANSWER_SECONDS = 300.0

Properties = dict[str, Any]
Answer = dict[str, Any]


@dataclass
class _Pending:
    answered: threading.Event
    body: Answer


class CustomResources:
    """Asks a function once, and again only when its properties changed; what it answered is kept."""

    def __init__(self, state: State, functions: Functions, endpoint: str) -> None:
        self._state = state
        self._functions = functions
        self._endpoint = endpoint
        self._pending: dict[str, _Pending] = {}
        state.create(
            "CREATE TABLE IF NOT EXISTS custom_resources (stack TEXT, logical_id TEXT, properties TEXT, answer TEXT,"
            " PRIMARY KEY (stack, logical_id))"
        )

    def __call__(self, request: Request, caller: Caller) -> Response:
        """The answer of a function, at the URL it was given."""
        pending = self._pending.get(request.path.removeprefix(PATH))
        if pending is None or request.method != "PUT":
            return Response("nobody waits for this\n", status=404)
        pending.body = json.loads(request.get_data())
        pending.answered.set()
        return Response("")

    def make(self, assembly: Assembly, resource: Resource, properties: Properties) -> Made:
        """Create or update it, unless it is as it was; TemplateError with the function's reason when it refuses.

        An update that answers with another physical id has made another resource, and the former one is deleted.
        """
        stack = assembly.name
        event = {
            "StackId": assembly.stack_id,
            "ResourceType": resource.type,
            "LogicalResourceId": resource.logical_id,
        }
        before = self._recorded(stack, resource.logical_id)
        if before is None:
            answer = self._ask({**event, "RequestType": "Create"}, properties)
            self._record(stack, resource.logical_id, properties, answer)
            return _made(answer)
        former, known = before
        if former == properties:
            return _made(known)
        event["PhysicalResourceId"] = known["PhysicalResourceId"]
        update = {**event, "RequestType": "Update", "OldResourceProperties": _as_texts(former)}
        answer = self._ask(update, properties)
        self._record(stack, resource.logical_id, properties, answer)
        if answer["PhysicalResourceId"] != known["PhysicalResourceId"]:
            self._clean_up({**event, "RequestType": "Delete"}, former)
        return _made(answer)

    def _recorded(self, stack: str, logical_id: str) -> tuple[Properties, Answer] | None:
        with self._state.transaction() as db:
            row = db.execute(
                "SELECT properties, answer FROM custom_resources WHERE stack = ? AND logical_id = ?",
                (stack, logical_id),
            ).fetchone()
        return (json.loads(row["properties"]), json.loads(row["answer"])) if row else None

    def _record(self, stack: str, logical_id: str, properties: Properties, answer: Answer) -> None:
        row = (stack, logical_id, json.dumps(properties), json.dumps(answer))
        with self._state.transaction() as db:
            db.execute("REPLACE INTO custom_resources VALUES (?, ?, ?, ?)", row)

    def _clean_up(self, event: dict[str, Any], properties: Properties) -> None:
        """As in CloudFormation, a former resource that cannot be deleted stops nothing."""
        try:
            self._ask(event, properties)
        except (TemplateError, AwsError) as error:
            log.warning("%s: its former resource stays: %s", event["LogicalResourceId"], error)

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
        if pending.body.get("Status") != "SUCCESS":
            raise TemplateError(f"its function refused: {pending.body.get('Reason')}")
        if not pending.body.get("PhysicalResourceId"):
            raise TemplateError("its function answered without a PhysicalResourceId")
        return pending.body


def _made(answer: Answer) -> Made:
    return Made(answer["PhysicalResourceId"], answer.get("Data") or {})


def _as_texts(value: Any) -> Any:
    """CloudFormation sends every number and boolean as a string."""
    if isinstance(value, dict):
        return {name: _as_texts(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_as_texts(item) for item in value]
    return as_text(value)

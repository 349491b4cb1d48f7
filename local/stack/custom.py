"""Custom resources: a function of the template is told what to create, and answers at a URL."""

import json
import threading
import uuid
from dataclasses import dataclass
from typing import Any

from werkzeug.wrappers import Request, Response

from local.functions import Functions
from local.stack.template import Assembly, Made, Resource, TemplateError
from local.state import State
from local.wire import ACCOUNT, Caller

PATH = "/_local/cloudformation/"
ANSWER_SECONDS = 300


@dataclass
class _Pending:
    answered: threading.Event
    body: dict[str, Any]


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

    def make(self, assembly: Assembly, resource: Resource, properties: dict[str, Any]) -> Made:
        """Create or update it, unless it is as it was; TemplateError with the function's reason when it refuses."""
        text = json.dumps(properties, sort_keys=True)
        before = self._recorded(assembly.name, resource.logical_id)
        if before is None or before[0] != text:
            answer = self._ask(assembly, resource, properties, before)
            with self._state.transaction() as db:
                db.execute(
                    "REPLACE INTO custom_resources VALUES (?, ?, ?, ?)",
                    (assembly.name, resource.logical_id, text, json.dumps(answer)),
                )
        else:
            answer = before[1]
        return Made(answer["PhysicalResourceId"], answer.get("Data", {}))

    def _recorded(self, stack: str, logical_id: str) -> tuple[str, dict[str, Any]] | None:
        with self._state.transaction() as db:
            row = db.execute(
                "SELECT properties, answer FROM custom_resources WHERE stack = ? AND logical_id = ?", (stack, logical_id)
            ).fetchone()
        return (row["properties"], json.loads(row["answer"])) if row else None

    def _ask(
        self,
        assembly: Assembly,
        resource: Resource,
        properties: dict[str, Any],
        before: tuple[str, dict[str, Any]] | None,
    ) -> dict[str, Any]:
        token = uuid.uuid4().hex
        pending = self._pending[token] = _Pending(threading.Event(), {})
        event = {
            "RequestType": "Update" if before else "Create",
            "ServiceToken": properties["ServiceToken"],
            "ResponseURL": f"{self._endpoint}{PATH}{token}",
            "StackId": f"arn:aws:cloudformation:{assembly.region}:{ACCOUNT}:stack/{assembly.name}/laptop",
            "RequestId": token,
            "ResourceType": resource.type,
            "LogicalResourceId": resource.logical_id,
            "ResourceProperties": _as_text(properties),
        }
        if before:
            event["PhysicalResourceId"] = before[1]["PhysicalResourceId"]
            event["OldResourceProperties"] = _as_text(json.loads(before[0]))
        try:
            invocation = self._functions.invoke(properties["ServiceToken"], json.dumps(event).encode())
            if invocation.error:
                raise TemplateError(f"{resource.logical_id}: its function failed: {invocation.payload.decode()}")
            if not pending.answered.wait(ANSWER_SECONDS):
                raise TemplateError(f"{resource.logical_id}: its function did not answer in {ANSWER_SECONDS} s")
        finally:
            del self._pending[token]
        if pending.body.get("Status") != "SUCCESS":
            raise TemplateError(f"{resource.logical_id}: its function refused: {pending.body.get('Reason')}")
        return pending.body


def _as_text(value: Any) -> Any:
    """CloudFormation sends every number and boolean as a string."""
    if isinstance(value, dict):
        return {name: _as_text(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_as_text(item) for item in value]
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)

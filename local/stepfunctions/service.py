"""AWS Step Functions on the wire: Standard workflows in JSONPath."""

import base64
import json
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from botocore.validate import ParamValidator

from local import clock
from local.clients import REGION, Clients
from local.state import State
from local.stepfunctions import definition, history, payload
from local.stepfunctions.machines import Machine, Machines, check_arn, not_taken
from local.stepfunctions.payload import StateFailure
from local.stepfunctions.resources import service_model
from local.stepfunctions.runs import KEPT_SECONDS, Emit, Runs, execution_arn, machine_name, redrive
from local.wire import AwsError, Caller, MayTake, Operation, TargetService, anybody

MAX_NAME = 80
MAX_PAGE = 1_000
MAX_TAGS = 50
STATUSES = ("RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED", "PENDING_REDRIVE")

_BAD_NAME = re.compile(r"[\s<>{}\[\]?*\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]")
_DEFAULTS: dict[str, dict[str, Any]] = {
    "loggingConfiguration": {"level": "OFF", "includeExecutionData": False},
    "tracingConfiguration": {"enabled": False},
}
_NOT_OFFERED = ("publish", "versionDescription", "mapRunArn", "redriveFilter", "traceHeader", "encryptionConfiguration")

Body = dict[str, Any]
Answer = dict[str, Any]


class StepFunctions(TargetService):
    """`emit` gets the status-change events, inside the transaction that stores the change.

    `resume()` starts again what ran when the laptop stopped; `stop()` ends all threads and keeps that for later.
    """

    def __init__(
        self, state: State, clients: Clients, emit: Emit, region: str = REGION, may_take: MayTake = anybody
    ) -> None:
        names = [name for name in service_model("stepfunctions").operation_names if hasattr(self, _method(name))]
        super().__init__({name: self._operation(name) for name in names})
        self._state, self._may_take = state, may_take
        self._machines = Machines(state, region)
        self._runs = Runs(state, clients, emit, self._machines.finish_delete)

    def ensure_state_machine(
        self, name: str, definition: dict[str, Any], role_arn: str, properties: Mapping[str, Any]
    ) -> str:
        """The ARN of the state machine of that name, created or brought up to date.

        `properties` are those of `AWS::StepFunctions::StateMachine`; executions that run keep their definition.
        """
        kind = properties.get("StateMachineType", "STANDARD")
        settings = {
            "loggingConfiguration": _lowered(properties.get("LoggingConfiguration")),
            "tracingConfiguration": _lowered(properties.get("TracingConfiguration")),
        }
        settings = {field: value for field, value in settings.items() if value}
        tags = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
        text = json.dumps(definition)
        arn = self._machines.arn(name)
        if self._machines.find(arn) is None:
            given = {"name": name, "definition": text, "roleArn": role_arn, "type": kind, **settings}
            self._make_state_machine(given)
        else:
            self._machines.update(arn, text, role_arn, _DEFAULTS | _settings(settings))
        self._machines.set_tags(arn, tags)
        return arn

    def machine_of_token(self, token: str) -> str | None:
        """The ARN of the state machine whose task has this token, None for one that no task has."""
        execution = self._runs.tokens.execution_of(token)
        return execution and execution.replace(":execution:", ":stateMachine:").rpartition(":")[0]

    def resume(self) -> None:
        self._runs.resume()
        for arn in self._machines.deleting():
            self._delete_state_machine({"stateMachineArn": arn})

    def stop(self) -> None:
        self._runs.stop()

    def _operation(self, name: str) -> Operation:
        work: Callable[[Body], Answer] = getattr(self, _method(name))

        def operation(body: Body, caller: Caller) -> Answer:
            _check_parameters(name, body)
            return work(body)

        return operation

    def _create_state_machine(self, body: Body) -> Answer:
        self._check_role(body["roleArn"], self._machines.arn(body["name"]))
        return self._make_state_machine(body)

    def _check_role(self, role_arn: str, machine_arn: str) -> None:
        if not self._may_take("states.amazonaws.com", role_arn, machine_arn):
            raise not_taken()

    def _make_state_machine(self, body: Body) -> Answer:
        _check_name(body["name"])
        if body.get("type", "STANDARD") != "STANDARD":
            raise AwsError("StateMachineTypeNotSupported", "The laptop runs STANDARD state machines only")
        tags = {tag["key"]: tag.get("value", "") for tag in body.get("tags", [])}
        settings = _DEFAULTS | _settings(body)
        with self._state.transaction():
            machine, _ = self._machines.create(body["name"], body["definition"], body["roleArn"], settings, tags)
        return {"stateMachineArn": machine["arn"], "creationDate": machine["created"]}

    def _update_state_machine(self, body: Body) -> Answer:
        settings = _settings(body)
        if not settings and "definition" not in body and "roleArn" not in body:
            needed = "Either the definition, the role ARN, the LoggingConfiguration, or the TracingConfiguration"
            raise AwsError("MissingRequiredParameter", f"{needed} must be specified")
        arn = body["stateMachineArn"]
        if "roleArn" in body:
            self._check_role(body["roleArn"], arn)
        machine = self._machines.update(arn, body.get("definition"), body.get("roleArn"), settings)
        return {"updateDate": machine["revised"], "revisionId": machine["revision"]}

    def _delete_state_machine(self, body: Body) -> Answer:
        arn = body["stateMachineArn"]
        check_arn(arn)
        with self._state.transaction():
            self._machines.begin_delete(arn)
            self._runs.doom(arn)
        return {}

    def _describe_state_machine(self, body: Body) -> Answer:
        machine = self._machines.get(body["stateMachineArn"])
        revision = {"revisionId": machine["revision"]} if machine["updated"] else {}
        return {
            "stateMachineArn": machine["arn"],
            "name": machine["name"],
            "status": machine["status"],
            "definition": machine["definition"],
            "roleArn": machine["role_arn"],
            "type": "STANDARD",
            "creationDate": machine["created"],
            **json.loads(machine["settings"]),
            **revision,
        }

    def _list_state_machines(self, body: Body) -> Answer:
        limit = _limit(body)
        found = self._machines.page(str(_read_token(body, "")), limit + 1)
        listed = [_machine_item(machine) for machine in found[:limit]]
        more = {"nextToken": _token(found[limit - 1]["arn"])} if len(found) > limit else {}
        return {"stateMachines": listed, **more}

    def _validate_state_machine_definition(self, body: Body) -> Answer:
        found = definition.problems(body["definition"])
        limit = body.get("maxResults") or 100
        diagnostics = [
            {"severity": "ERROR", "code": problem.code, "message": problem.message, "location": problem.location}
            for problem in found[:limit]
        ]
        return {"result": "FAIL" if found else "OK", "diagnostics": diagnostics, "truncated": len(found) > limit}

    def _start_execution(self, body: Body) -> Answer:
        name = body.get("name") or str(uuid.uuid4())
        text = body.get("input", "{}")
        _check_name(name)
        _check_json(text, "InvalidExecutionInput", "Invalid State Machine Execution Input")
        with self._state.transaction():
            machine = self._machines.active(body["stateMachineArn"])
            row = self._same_execution(machine, name, text) or self._runs.start(machine, name, text)
        return {"executionArn": row["arn"], "startDate": row["started"]}

    def _same_execution(self, machine: Machine, name: str, text: str) -> dict[str, Any] | None:
        """The execution of that name if it is this very one and still runs."""
        arn = execution_arn(machine["arn"], name)
        found = self._find_execution(arn)
        if found is None:
            return None
        if found["status"] == "RUNNING" and found["input"] == text:
            return found
        if found["stopped"] is None or found["stopped"] > clock.now() - KEPT_SECONDS:
            raise AwsError("ExecutionAlreadyExists", f"Execution Already Exists: '{arn}'")
        self._runs.forget(arn)
        return None

    def _find_execution(self, arn: str) -> dict[str, Any] | None:
        with self._state.transaction() as db:
            row = db.execute("SELECT * FROM sfn_execution WHERE arn = ?", (arn,)).fetchone()
        return dict(row) if row else None

    def _execution(self, arn: str) -> dict[str, Any]:
        check_arn(arn)
        found = self._find_execution(arn)
        if found is None:
            raise AwsError("ExecutionDoesNotExist", f"Execution Does Not Exist: '{arn}'")
        return found

    def _stop_execution(self, body: Body) -> Answer:
        row = self._execution(body["executionArn"])
        stopped = self._runs.abort(row["arn"], body.get("error"), body.get("cause"))
        return {"stopDate": stopped or self._execution(row["arn"])["stopped"]}

    def _describe_execution(self, body: Body) -> Answer:
        row = self._execution(body["executionArn"])
        found = {
            **_execution_item(row),
            "input": row["input"],
            "inputDetails": {"included": True},
            "output": row["output"],
            "outputDetails": {"included": True} if row["output"] is not None else None,
            "error": row["error"],
            "cause": row["cause"],
            **redrive(row),
        }
        return _present(found)

    def _list_executions(self, body: Body) -> Answer:
        if "stateMachineArn" not in body:
            raise AwsError("ValidationException", "The laptop lists executions by stateMachineArn only")
        machine = self._machines.get(body["stateMachineArn"])
        status = body.get("statusFilter")
        _check_status(status)
        limit = _limit(body)
        query = """SELECT * FROM sfn_execution WHERE machine = ? AND number < ? AND (? IS NULL OR status = ?)
                   ORDER BY number DESC LIMIT ?"""
        before = _read_token(body, 1 << 62)
        with self._state.transaction() as db:
            rows = db.execute(query, (machine["arn"], before, status, status, limit + 1)).fetchall()
        more = {"nextToken": _token(rows[limit - 1]["number"])} if len(rows) > limit else {}
        listed = [_execution_item(dict(row)) | {"redriveCount": 0} for row in rows[:limit]]
        return {"executions": [_present(item) for item in listed], **more}

    def _get_execution_history(self, body: Body) -> Answer:
        row = self._execution(body["executionArn"])
        limit = _limit(body)
        after, reverse = _read_token(body, None), body.get("reverseOrder", False)
        whole = body.get("includeExecutionData", True)
        events = history.read(self._state, row["arn"], reverse, after, limit + 1, whole)
        more = {"nextToken": _token(events[limit - 1]["id"])} if len(events) > limit else {}
        return {"events": events[:limit], **more}

    def _describe_state_machine_for_execution(self, body: Body) -> Answer:
        row = self._execution(body["executionArn"])
        with self._state.transaction() as db:
            revision = dict(db.execute("SELECT * FROM sfn_revision WHERE id = ?", (row["revision"],)).fetchone())
        machine = self._machines.find(row["machine"])
        settings = json.loads(machine["settings"]) if machine else _DEFAULTS
        return {
            "stateMachineArn": row["machine"],
            "name": machine_name(row["arn"]),
            "definition": revision["definition"],
            "roleArn": revision["role_arn"],
            "updateDate": revision["created"],
            "revisionId": revision["id"],
            **settings,
        }

    def _send_task_success(self, body: Body) -> Answer:
        output = _check_json(body["output"], "InvalidOutput", "Invalid Output")
        self._runs.tokens.settle(body["taskToken"], output)
        return {}

    def _send_task_failure(self, body: Body) -> Answer:
        self._runs.tokens.settle(body["taskToken"], StateFailure(body.get("error"), body.get("cause")))
        return {}

    def _send_task_heartbeat(self, body: Body) -> Answer:
        self._runs.tokens.beat(body["taskToken"])
        return {}

    def _tags(self, arn: str) -> dict[str, str]:
        check_arn(arn)
        found = self._machines.find(arn)
        if found is None:
            raise AwsError("ResourceNotFound", f"Resource not found: '{arn}'", resourceName=arn)
        tags: dict[str, str] = json.loads(found["tags"])
        return tags

    def _tag_resource(self, body: Body) -> Answer:
        arn = body["resourceArn"]
        with self._state.transaction():
            tags = self._tags(arn) | {tag["key"]: tag.get("value", "") for tag in body["tags"]}
            if len(tags) > MAX_TAGS:
                raise AwsError("TooManyTags", f"Too many tags: '{arn}'", resourceName=arn)
            self._machines.set_tags(arn, tags)
        return {}

    def _untag_resource(self, body: Body) -> Answer:
        arn = body["resourceArn"]
        with self._state.transaction():
            kept = {key: value for key, value in self._tags(arn).items() if key not in body["tagKeys"]}
            self._machines.set_tags(arn, kept)
        return {}

    def _list_tags_for_resource(self, body: Body) -> Answer:
        return {"tags": [{"key": key, "value": value} for key, value in self._tags(body["resourceArn"]).items()]}


def _method(operation: str) -> str:
    return re.sub(r"([A-Z])", r"_\1", operation).lower()


def _check_parameters(name: str, body: Body) -> None:
    shape = service_model("stepfunctions").operation_model(name).input_shape
    report = ParamValidator().validate(body, shape) if shape else None
    if report and report.has_errors():
        raise AwsError("ValidationException", f"1 validation error detected: {report.generate_report()}")
    for parameter in _NOT_OFFERED:
        if body.get(parameter):
            raise AwsError("ValidationException", f"The laptop does not offer the parameter {parameter}")


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= MAX_NAME or _BAD_NAME.search(name):
        raise AwsError("InvalidName", f"Invalid Name: '{name}'")


def _check_status(status: str | None) -> None:
    if status is not None and status not in STATUSES:
        reason = f"Member must satisfy enum value set: [{', '.join(STATUSES)}]"
        message = f"Value '{status}' at 'statusFilter' failed to satisfy constraint: {reason}"
        raise AwsError("ValidationException", f"1 validation error detected: {message}")


def _check_json(text: str, code: str, title: str) -> Any:
    """The value of a JSON text of at most 256 KiB."""
    try:
        if payload.size(text) > payload.MAX_BYTES:
            raise AwsError(code, f"{title}: 'longer than {payload.MAX_BYTES:,} bytes'")
        text.encode()
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise AwsError(code, f"{title}: '{error}'") from error


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _settings(body: Body) -> dict[str, Any]:
    return {name: _DEFAULTS[name] | body[name] for name in _DEFAULTS if body.get(name)}


def _lowered(value: Any) -> Any:
    """CloudFormation's PascalCase properties as the API writes them."""
    match value:
        case dict():
            return {name[0].lower() + name[1:]: _lowered(item) for name, item in value.items()}
        case list():
            return [_lowered(item) for item in value]
        case _:
            return value


def _limit(body: Body) -> int:
    limit = body.get("maxResults") or 100
    if limit > MAX_PAGE:
        reason = f"Member must have value less than or equal to {MAX_PAGE}"
        message = f"Value '{limit}' at 'maxResults' failed to satisfy constraint: {reason}"
        raise AwsError("ValidationException", f"1 validation error detected: {message}")
    return int(limit)


def _token(place: str | int) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def _read_token(body: Body, first: Any) -> Any:
    if "nextToken" not in body:
        return first
    try:
        place = json.loads(base64.urlsafe_b64decode(body["nextToken"]))
    except (ValueError, RecursionError) as error:
        raise AwsError("InvalidToken", "Invalid Token: 'Invalid token'") from error
    if not isinstance(place, str | int):
        raise AwsError("InvalidToken", "Invalid Token: 'Invalid token'")
    return place


def _machine_item(machine: Machine) -> dict[str, Any]:
    return {
        "stateMachineArn": machine["arn"],
        "name": machine["name"],
        "type": "STANDARD",
        "creationDate": machine["created"],
    }


def _execution_item(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "executionArn": row["arn"],
        "stateMachineArn": row["machine"],
        "name": row["name"],
        "status": row["status"],
        "startDate": row["started"],
        "stopDate": row["stopped"],
    }


def _present(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if value is not None}

"""Lambda's REST-JSON API (2015-03-31): calling functions and reading what they are."""

import base64
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from werkzeug.wrappers import Request, Response

from local import clock
from local.functions.mapping import EventSourceMapping
from local.functions.runner import MAX_REQUEST_BYTES, Functions, check_payload
from local.functions.spec import FunctionSpec
from local.operations import name_of
from local.wire import AwsError, Caller, answer_json, json_response

log = logging.getLogger(__name__)

_PAGE = 50
_NOT_OFFERED_HEADERS = ("X-Amz-Durable-Execution-Name", "X-Amz-Tenant-Id")


class LambdaService:
    """`mappings` may grow after this is made; it is read at every call."""

    def __init__(self, functions: Functions, mappings: Sequence[EventSourceMapping] = ()) -> None:
        self._functions = functions
        self._mappings = mappings
        self._started = clock.now()
        function = r"/2015-03-31/functions/(?P<name>[^/]+)"
        self._routes: list[tuple[str, re.Pattern[str], set[str], Callable[..., Mapping[str, Any]]]] = [
            ("GET", re.compile(r"/2015-03-31/functions/?"), {"Marker", "MaxItems", "FunctionVersion"}, self._list),
            ("GET", re.compile(function), {"Qualifier"}, self._get),
            ("GET", re.compile(f"{function}/configuration"), {"Qualifier"}, self._get_configuration),
            (
                "GET",
                re.compile(r"/2015-03-31/event-source-mappings/?"),
                {"EventSourceArn", "FunctionName", "Marker", "MaxItems"},
                self._list_mappings,
            ),
        ]
        self._invoke_path = re.compile(f"{function}/invocations")

    def __call__(self, request: Request, caller: Caller) -> Response:
        path = request.environ["REQUEST_URI"].partition("?")[0]
        if request.method == "POST" and (found := self._invoke_path.fullmatch(path)):
            return self._answer_invoke(request, unquote(found["name"]))
        return answer_json(lambda: self._read(request, path), _error)

    def _read(self, request: Request, path: str) -> Mapping[str, Any]:
        for method, pattern, known, operation in self._routes:
            found = pattern.fullmatch(path)
            if found and method == request.method:
                if unknown := sorted(set(request.args) - known):
                    raise _invalid(f"The laptop does not offer {', '.join(unknown)} here")
                names = {key: unquote(value) for key, value in found.groupdict().items()}
                return operation(request, **names)
        raise AwsError("UnknownOperationException", f"The laptop does not offer {name_of('lambda', request)}", 404)

    def _answer_invoke(self, request: Request, name: str) -> Response:
        try:
            return self._invoke(request, name)
        except AwsError as error:
            return _error(error)
        except Exception:
            log.exception("%s could not be invoked", name)
            return _error(AwsError("ServiceException", "The laptop failed; its log says why", 500))

    def _invoke(self, request: Request, name: str) -> Response:
        for header in _NOT_OFFERED_HEADERS:
            if header in request.headers:
                raise _invalid(f"The laptop does not offer {header}")
        self._functions.spec(name, request.args.get("Qualifier"))
        name = name if "Qualifier" not in request.args else self._functions.spec(name).name
        kind = request.headers.get("X-Amz-Invocation-Type", "RequestResponse")
        if kind == "Event":
            return _invoked(202, self._functions.invoke_async(name, request.get_data()))
        if kind == "DryRun":
            check_payload(request.get_data(), kind, MAX_REQUEST_BYTES)
            return _invoked(204, None)
        if kind != "RequestResponse":
            raise _invalid(f"Value '{kind}' at 'invocationType' must be Event, RequestResponse or DryRun")
        result = self._functions.invoke(name, request.get_data(), client_context=_client_context(request))
        response = _invoked(200, None, result.payload)
        if result.error:
            response.headers["X-Amz-Function-Error"] = result.error
        if request.headers.get("X-Amz-Log-Type") == "Tail":
            tail = result.log_tail.encode()[-4096:]
            response.headers["X-Amz-Log-Result"] = base64.b64encode(tail).decode()
        return response

    def _get(self, request: Request, name: str) -> Mapping[str, Any]:
        spec = self._functions.spec(name, request.args.get("Qualifier"))
        reserved = {} if spec.concurrency is None else {"ReservedConcurrentExecutions": spec.concurrency}
        answer = {
            "Configuration": self._configuration(spec),
            "Code": {"RepositoryType": "S3", "Location": spec.code.resolve().as_uri()},
        }
        return {**answer, "Concurrency": reserved} if reserved else answer

    def _get_configuration(self, request: Request, name: str) -> Mapping[str, Any]:
        return self._configuration(self._functions.spec(name, request.args.get("Qualifier")))

    def _list(self, request: Request) -> Mapping[str, Any]:
        page, marker = _page(request, self._functions.specs(), lambda spec: spec.name)
        return {"Functions": [self._configuration(spec) for spec in page], **marker}

    def _list_mappings(self, request: Request) -> Mapping[str, Any]:
        queue, function = request.args.get("EventSourceArn"), request.args.get("FunctionName")
        name = self._functions.spec(function).name if function else None
        chosen = [
            mapping
            for mapping in self._mappings
            if queue in (None, mapping.queue_arn) and name in (None, self._functions.spec(mapping.function).name)
        ]
        page, marker = _page(request, chosen, lambda mapping: mapping.uuid)
        return {"EventSourceMappings": [self._describe(mapping) for mapping in page], **marker}

    def _describe(self, mapping: EventSourceMapping) -> dict[str, Any]:
        return {
            "UUID": mapping.uuid,
            "EventSourceArn": mapping.queue_arn,
            "FunctionArn": self._functions.spec(mapping.function).arn(self._functions.region),
            "BatchSize": mapping.batch_size,
            "MaximumBatchingWindowInSeconds": int(mapping.window_seconds),
            "FunctionResponseTypes": ["ReportBatchItemFailures"] if mapping.report_batch_item_failures else [],
            "State": "Enabled",
            "StateTransitionReason": "USER_INITIATED",
            "LastModified": self._started,
            **({"ScalingConfig": {"MaximumConcurrency": mapping.max_concurrency}} if mapping.max_concurrency else {}),
        }

    def _configuration(self, spec: FunctionSpec) -> dict[str, Any]:
        return {
            "FunctionName": spec.name,
            "FunctionArn": spec.arn(self._functions.region),
            "Runtime": spec.runtime,
            "Role": spec.role_arn,
            "Handler": spec.handler,
            "Timeout": int(spec.timeout),
            "MemorySize": spec.memory_mb,
            "EphemeralStorage": {"Size": spec.tmp_mb},
            "Architectures": [spec.architecture],
            "Environment": {"Variables": dict(spec.environment)},
            "LoggingConfig": {"LogFormat": "Text", "LogGroup": spec.log_group_name},
            "LastModified": clock.iso(self._started).replace("Z", ".000+0000"),
            "Version": "$LATEST",
            "PackageType": "Zip",
            "State": "Active",
            "LastUpdateStatus": "Successful",
            "TracingConfig": {"Mode": "PassThrough"},
        }


def _page(request: Request, items: Sequence[Any], key: Callable[[Any], str]) -> tuple[list[Any], dict[str, str]]:
    """The items after `Marker` (a key), and the next marker where there is one."""
    text = request.args.get("MaxItems", str(_PAGE))
    if not text.isdecimal() or not 1 <= int(text) <= 10000:
        raise _invalid(f"Value '{text}' at 'maxItems' must be between 1 and 10000")
    after = [item for item in sorted(items, key=key) if key(item) > request.args.get("Marker", "")]
    page = after[: min(int(text), _PAGE)]
    return page, ({"NextMarker": key(page[-1])} if len(page) < len(after) else {})


def _client_context(request: Request) -> dict[str, Any] | None:
    header = request.headers.get("X-Amz-Client-Context")
    if header is None:
        return None
    try:
        given = json.loads(base64.b64decode(header, validate=True))
    except ValueError as error:
        raise AwsError("InvalidRequestContentException", "Client context must be a valid Base64 JSON object") from error
    if not isinstance(given, dict):
        raise AwsError("InvalidRequestContentException", "Client context must be a valid Base64 JSON object")
    return given


def _invoked(status: int, request_id: str | None, payload: bytes = b"") -> Response:
    response = json_response({}, status)
    response.set_data(payload)
    if request_id:
        response.headers["x-amzn-RequestId"] = request_id
    if status == 200:
        response.headers["X-Amz-Executed-Version"] = "$LATEST"
    return response


def _error(error: AwsError) -> Response:
    kind = "User" if error.status < 500 else "Service"
    return json_response({"Type": kind, "Message": error.message, **error.members}, error.status, error.code)


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidParameterValueException", message)

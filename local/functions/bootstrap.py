"""The Python runtime inside a function's process: it imports the handler, calls it, and writes down what came of it.

Started as a script with `-I -S` by `local.functions.sandbox`, with its configuration as one JSON argument. Standard
library only: what else can be imported is the function's code, its layers and what Lambda's runtime brings. Errors
look as those of AWS's own client do (github.com/aws/aws-lambda-python-runtime-interface-client).

A message is a line of JSON and, after it, the event or result.
"""

import importlib
import importlib.util
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from decimal import Decimal
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

Handler = Callable[[Any, Any], Any]
MAX_RESPONSE_BYTES = 6_291_556
_monotonic = time.monotonic  # real seconds, as a function's timeout is


class Fault(Exception):
    """An error of the runtime's own, `kind` being its `errorType`."""

    def __init__(self, kind: str, message: str, trace: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.kind = kind
        self.trace = list(trace)


class RuntimePackages:
    """Finds the packages that AWS's runtime brings (boto3, …) where this machine has them, and nothing beside them."""

    def __init__(self, folders: dict[str, str]) -> None:
        self._folders = folders

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        folder = self._folders.get(name)
        return PathFinder.find_spec(name, [folder], target) if folder and path is None else None


class LambdaContext:
    """The second argument of a handler."""

    function_version = "$LATEST"
    tenant_id = None

    def __init__(self, call: dict[str, Any], arn: str) -> None:
        self.aws_request_id = call["request_id"]
        self.invoked_function_arn = arn
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.client_context = _client_context(call.get("client_context"))
        self.identity = SimpleNamespace(cognito_identity_id=None, cognito_identity_pool_id=None)
        self._ends = _monotonic() + call["seconds"]

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._ends - _monotonic()) * 1000))

    def log(self, message: object) -> None:
        sys.stdout.write(str(message))


def _client_context(given: dict[str, Any] | None) -> SimpleNamespace | None:
    if given is None:
        return None
    fields = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")
    client = given.get("client")
    named = None if client is None else SimpleNamespace(**{name: client.get(name) for name in fields})
    return SimpleNamespace(custom=given.get("custom"), env=given.get("env"), client=named)


class Runtime:
    """The handler, once it is imported, and how it is called."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._handler: Handler | None = None
        self._request_id = ""

    def answer(self, message: bytes) -> bytes:
        head, _, event = message.partition(b"\n")
        call = json.loads(head)
        self._request_id = call.get("request_id", "")
        try:
            if call["init"]:
                self._handler = load_handler(self._config["handler"])
                return _frame(None, b"")
            return _frame(None, self._invoke(call, event))
        except Fault as fault:
            return self._failed(str(fault), fault.kind, fault.trace)
        except Exception as error:
            return self._failed(str(error), type(error).__name__, _own_frames(error))

    def log_to_root(self) -> None:
        """The root logger has a handler on Lambda, which is why `basicConfig` does nothing there."""
        logging.Formatter.converter = time.gmtime
        handler = logging.StreamHandler(sys.stdout)
        form = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s"
        handler.setFormatter(logging.Formatter(form, "%Y-%m-%dT%H:%M:%S"))
        handler.addFilter(self._name_request)
        logging.getLogger().addHandler(handler)

    def _name_request(self, record: logging.LogRecord) -> bool:
        record.aws_request_id = self._request_id
        return True

    def _invoke(self, call: dict[str, Any], event: bytes) -> bytes:
        assert self._handler is not None
        os.environ["_X_AMZN_TRACE_ID"] = call["trace_id"]
        result = self._handler(_parse(event), LambdaContext(call, self._config["arn"]))
        body = result if isinstance(result, bytes) else _dump(result)
        if len(body) > MAX_RESPONSE_BYTES:
            raise Fault(
                "Function.ResponseSizeTooLarge",
                f"Response payload size ({len(body)} bytes) exceeded maximum allowed payload size "
                f"({MAX_RESPONSE_BYTES} bytes).",
            )
        return body

    def _failed(self, message: str, kind: str, trace: list[str]) -> bytes:
        print(f"[ERROR] {kind}: {message}", "Traceback (most recent call last):", *trace, sep="\n", flush=True)
        error = {"errorMessage": message, "errorType": kind, "requestId": self._request_id, "stackTrace": trace}
        return _frame("Unhandled", json.dumps(error).encode())


def load_handler(name: str) -> Handler:
    """The function that `package/module.function` names."""
    module_name, dot, function = name.rpartition(".")
    if not dot:
        message = f"Bad handler '{name}': not enough values to unpack (expected 2, got 1)"
        raise Fault("Runtime.MalformedHandlerName", message)
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        raise Fault("Runtime.ImportModuleError", f"Unable to import module '{module_name}': {error}") from error
    except SyntaxError as error:
        trace = [f'  File "{error.filename}" Line {error.lineno}\n    {error.text}']
        message = f"Syntax error in module '{module_name}': {error}"
        raise Fault("Runtime.UserCodeSyntaxError", message, trace) from error
    if not hasattr(module, function):
        raise Fault("Runtime.HandlerNotFound", f"Handler '{function}' missing on module '{module_name}'")
    handler: Handler = getattr(module, function)
    return handler


def _parse(event: bytes) -> Any:
    try:
        return json.loads(event or b"{}")
    except ValueError as error:
        raise Fault("Runtime.UnmarshalError", f"Unable to unmarshal input: {error}") from error


def _dump(result: Any) -> bytes:
    try:
        return json.dumps(result, ensure_ascii=False, default=_plain).encode()
    except Exception as error:  # whatever an object of the user's raises while it is written
        raise Fault("Runtime.MarshalError", f"Unable to marshal response: {error}") from error


def _plain(value: object) -> Any:
    """What AWS's encoder takes beyond the standard library's: decimals as numbers, bytes as text."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        return value.decode()
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _own_frames(error: Exception) -> list[str]:
    """The stack below this file and the import machinery."""
    frames = [(f.filename, f.lineno or 0, f.name, f.line) for f in traceback.extract_tb(error.__traceback__)]
    start = next((i for i, frame in enumerate(frames) if frame[0] != __file__), 0)
    return traceback.format_list([frame for frame in frames[start:] if not frame[0].startswith("<frozen")])


def _frame(error: str | None, payload: bytes) -> bytes:
    return json.dumps({"error": error}).encode() + b"\n" + payload


def _load(path: Path) -> Any:
    """A module by its file, so that nothing beside it can be imported."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    config = json.loads(sys.argv[1])
    child = _load(Path(__file__).parents[1] / "worker_child.py")
    sys.argv = [__file__]
    if config["pace"]:
        _load(Path(__file__).parent / "fast_time.py").install(**config["pace"])
    sys.path[:0] = [config["code"], *config["layers"]]
    sys.meta_path.append(RuntimePackages(config["runtime_packages"]))
    runtime = Runtime(config)
    runtime.log_to_root()
    child.serve(runtime.answer)


if __name__ == "__main__":
    main()

"""What a function is, as its template says, and the names it goes by."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local.wire import ACCOUNT, AwsError

# Lambda developer guide, "Defined runtime environment variables": a template that sets one of these is refused.
RESERVED_VARIABLES = frozenset(
    {
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
    }
)
_MAX_VARIABLES_BYTES = 4096
_MAX_LAYERS = 5
_MAX_UNZIPPED_BYTES = 262_144_000  # of the code and its layers together
_NAME = re.compile(
    r"(?:arn:aws:lambda:(?P<region>[a-z0-9-]+):)?(?:(?P<account>\d{12}):)?(?:function:)?"
    r"(?P<name>[a-zA-Z0-9_-]+)(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9_-]+))?"
)


@dataclass(frozen=True)
class AsyncConfig:
    """What becomes of an event that nobody waits for. ARNs name queues, functions or event buses."""

    retries: int = 2
    max_age_seconds: float = 21600
    on_success: str | None = None
    on_failure: str | None = None
    dead_letter_queue: str | None = None


@dataclass(frozen=True)
class FunctionSpec:
    """`code` and `layers` are unpacked folders; `concurrency` is the reserved one, None without."""

    name: str
    handler: str
    code: Path
    layers: tuple[Path, ...]
    environment: Mapping[str, str]
    role_arn: str
    timeout: float
    memory_mb: int
    tmp_mb: int
    concurrency: int | None
    runtime: str
    architecture: str
    asynchronous: AsyncConfig = field(default_factory=AsyncConfig)
    log_group: str | None = None

    @property
    def log_group_name(self) -> str:
        return self.log_group or f"/aws/lambda/{self.name}"

    def arn(self, region: str) -> str:
        return function_arn(self.name, region)


@dataclass(frozen=True)
class Invocation:
    """`error` is what `X-Amz-Function-Error` says, None after a success; `log_tail` is the last 4 KB of the log."""

    payload: bytes
    error: str | None
    log_tail: str


def function_arn(name: str, region: str) -> str:
    return f"arn:aws:lambda:{region}:{ACCOUNT}:function:{name}"


def checked(spec: FunctionSpec) -> FunctionSpec:
    """The spec, or the error that CreateFunction has for it."""
    if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", spec.name):
        raise _invalid(f"Value '{spec.name}' at 'functionName' must be 1 to 64 letters, digits, '-' and '_'")
    if not spec.runtime.startswith("python3."):
        raise _invalid(f"The laptop runs python3.* functions; {spec.name} wants {spec.runtime}")
    for what, value, low, high in (
        ("timeout", spec.timeout, 1, 900),
        ("memorySize", spec.memory_mb, 128, 10240),
        ("ephemeralStorage.size", spec.tmp_mb, 512, 10240),
    ):
        if not low <= value <= high:
            raise _invalid(f"Value '{value}' at '{what}' of {spec.name} must be between {low} and {high}")
    _check_variables(spec.environment)
    _check_size(spec)
    for target in (spec.asynchronous.on_success, spec.asynchronous.on_failure, spec.asynchronous.dead_letter_queue):
        if target and target.split(":")[2] not in ("sqs", "lambda", "events"):
            raise _invalid(f"The laptop sends the outcome of {spec.name} to queues, functions and buses, not {target}")
    return spec


def _check_variables(environment: Mapping[str, str]) -> None:
    unable = "Lambda was unable to configure your environment variables because the environment variables you have "
    if reserved := sorted(RESERVED_VARIABLES & environment.keys()):
        raise _invalid(
            f"{unable}provided contains reserved keys that are currently not supported for modification. "
            f"Reserved keys used in this request: {', '.join(reserved)}"
        )
    if len(json.dumps(dict(environment), separators=(",", ":")).encode()) > _MAX_VARIABLES_BYTES:
        raise _invalid(f"{unable}provided exceeded the 4KB limit.")


def _check_size(spec: FunctionSpec) -> None:
    if len(spec.layers) > _MAX_LAYERS:
        raise _invalid(f"Cannot reference more than {_MAX_LAYERS} layers.")
    files = (file for folder in (spec.code, *spec.layers) for file in folder.rglob("*"))
    if sum(file.lstat().st_size for file in files if not file.is_dir()) >= _MAX_UNZIPPED_BYTES:
        raise _invalid(f"Unzipped size must be smaller than {_MAX_UNZIPPED_BYTES} bytes")


def read_name(text: str, region: str, qualifier: str | None = None) -> str:
    """The plain name in a name, partial ARN or ARN. Only `$LATEST` exists here; others are not found."""
    found = _NAME.fullmatch(text)
    if found is None:
        raise AwsError("InvalidParameterValueException", f"Value '{text}' at 'functionName' is no name or ARN")
    asked = found["qualifier"] or qualifier or "$LATEST"
    if qualifier and found["qualifier"] and qualifier != found["qualifier"]:
        message = "The derived qualifier from the function name does not match the specified qualifier."
        raise AwsError("InvalidParameterValueException", message)
    here = (found["region"] or region, found["account"] or ACCOUNT) == (region, ACCOUNT)
    if not here or asked != "$LATEST":
        raise not_found(text if text.startswith("arn:") else f"{text}:{asked}")
    return found["name"]


def not_found(arn: str) -> AwsError:
    return AwsError("ResourceNotFoundException", f"Function not found: {arn}", 404)


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidParameterValueException", message)

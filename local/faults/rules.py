"""The rules: what is to go wrong, for which calls, how often."""

import random
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from local.faults.errors import declared_errors
from local.operations import models_of

# The SDK's names of services that requests are signed otherwise for.
_SIGNED_AS = {"bedrock-runtime": "bedrock", "stepfunctions": "states", "sfn": "states", "cloudwatch": "monitoring"}

Seconds = Annotated[float, Field(ge=0, le=86_400)]
Service = Annotated[str, BeforeValidator(lambda name: _SIGNED_AS.get(name, name))]


class RuleError(Exception):
    """The rule makes no sense; one sentence."""


@dataclass(frozen=True)
class Call:
    """A request of AWS as rules see it. `callers` are the names that its caller goes by; `text` holds its resources."""

    service: str
    operation: str
    callers: tuple[str, ...]
    text: Callable[[], str]


class Rule(BaseModel):
    """It strikes at a rate, the `next` times, or the `next` times at a rate; without either always."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    fault: str
    resource: str = ""  # a part of what the call or message names
    rate: Annotated[float, Field(gt=0, le=1)] = 1.0
    next: Annotated[int, Field(ge=1)] | None = None
    seed: Annotated[int, Field(ge=0)] = Field(default_factory=lambda: secrets.randbits(32))


class CallRule(Rule):
    """`service` (signing or SDK name), `operation` and `caller` (function, role, ARN or `local`) may hold `*`."""

    service: Service = "*"
    operation: str = "*"
    caller: str = "*"

    @model_validator(mode="after")
    def _known(self) -> "CallRule":
        if "*" not in self.service:
            if not models_of(self.service):
                raise ValueError(f"the SDK knows no service {self.service}")
            if not self.operations:
                raise ValueError(f"{self.service} has no operation {self.operation}")
        return self

    @property
    def operations(self) -> list[str]:
        """Those of its service that it is for."""
        names = [name for model in models_of(self.service) for name in model.operation_names]
        names += ["PostObject"] if self.service == "s3" else []
        return [name for name in names if fnmatchcase(name, self.operation)]

    def covers(self, call: Call) -> bool:
        return (
            fnmatchcase(call.service, self.service)
            and fnmatchcase(call.operation, self.operation)
            and any(fnmatchcase(name, self.caller) for name in call.callers)
            and (not self.resource or self.resource in call.text())
        )


class Throttle(CallRule):
    """The service's own throttling error."""

    fault: Literal["throttle"]


class Fail(CallRule):
    """An exception by its name; without one the service's internal error, 500. With a `status` any name will do."""

    fault: Literal["fail"]
    error: str | None = None
    status: Annotated[int, Field(ge=400, le=599)] | None = None
    message: str | None = None

    @model_validator(mode="after")
    def _declared(self) -> "Fail":
        if self.error is None or self.status is not None:
            return self
        if "*" in self.service:
            raise ValueError(f"say of which service {self.error} is, or which status it has")
        if not any(self.error in declared_errors(self.service, name) for name in self.operations):
            asked = f"{self.service} {self.operation} declares no"
            what = f"no operation of {self.service} declares" if self.operation == "*" else asked
            raise ValueError(f"{what} {self.error}: say which status it has")
        return self

    def covers(self, call: Call) -> bool:
        declared = self.error is None or self.status or self.error in declared_errors(call.service, call.operation)
        return bool(declared) and super().covers(call)


class Timeout(CallRule):
    """The connection is dropped after `seconds` without an answer; with `done` the call is carried out before."""

    fault: Literal["timeout"]
    seconds: Seconds = 60.0
    done: bool = False


class Late(CallRule):
    """The call is carried out after `seconds`."""

    fault: Literal["late"]
    seconds: Seconds


class Crash(Rule):
    """The function's process is killed after `after_seconds`, or once its `after_calls`-th call of AWS is done."""

    fault: Literal["crash"]
    function: str = "*"
    after_calls: Annotated[int, Field(ge=1)] | None = None
    after_seconds: Seconds | None = None

    @model_validator(mode="after")
    def _when(self) -> "Crash":
        if (self.after_calls is None) == (self.after_seconds is None):
            raise ValueError("give either after_calls or after_seconds")
        return self

    def covers(self, function: str, payload: bytes) -> bool:
        return fnmatchcase(function, self.function) and self.resource.encode() in payload


class MessageRule(Rule):
    """`events` is a delivery of EventBridge to a target, `sqs` a message sent to a queue."""

    service: Literal["events", "sqs"]
    seconds: float

    def covers(self, service: str, arn: str, body: str) -> bool:
        return service == self.service and (self.resource in arn or self.resource in body)


class Duplicate(MessageRule):
    """It comes twice, the second one `seconds` later."""

    fault: Literal["duplicate"]
    seconds: Seconds = 0.0


class Reorder(MessageRule):
    """It is held back for a random time of up to `seconds`, so that later ones overtake it."""

    fault: Literal["reorder"]
    seconds: Annotated[float, Field(gt=0, le=900)]


class FailJob(Rule):
    """A job of Bedrock, asynchronous or batch, ends as failed. `resource` is a part of its request."""

    fault: Literal["fail_job"]
    message: str = "The job failed because a fault was asked for"


class FailSegment(Rule):
    """A segment of an asynchronous invocation, or a record of a batch, gets no embedding. `resource` as for a job."""

    fault: Literal["fail_segment"]
    reason: str = "INVALID_CONTENT"
    message: str = "The segment failed because a fault was asked for"


AnyRule = Throttle | Fail | Timeout | Late | Crash | Duplicate | Reorder | FailJob | FailSegment
FAULTS: dict[str, type[AnyRule]] = {
    rule.model_fields["fault"].annotation.__args__[0]: rule for rule in AnyRule.__args__
}

T = TypeVar("T", bound=Rule)


def read_rule(given: Any) -> AnyRule:
    """A rule from its JSON; RuleError names the first thing that is wrong."""
    if not isinstance(given, dict):
        raise RuleError('a rule is an object, such as {"fault": "throttle"}')
    fault = given.get("fault")
    if not isinstance(fault, str) or fault not in FAULTS:
        which = f", not {fault}" if fault is not None else ""
        raise RuleError(f"the fault of a rule is one of {', '.join(FAULTS)}{which}")
    try:
        return FAULTS[fault].model_validate(given)
    except ValidationError as error:
        raise RuleError(_sentence(error.errors()[0])) from error


def _sentence(first: ErrorDetails) -> str:
    place = ".".join(str(part) for part in first["loc"])
    match first["type"]:
        case "extra_forbidden":
            return f"a rule of this fault takes no {place}"
        case "missing":
            return f"a rule of this fault needs {place}"
        case "value_error":
            return first["msg"].removeprefix("Value error, ")
    return f"{place} should be {first['msg'].removeprefix('Input should be ')}"


@dataclass
class Standing:
    """A rule in force. `left` is how often it still strikes, None for ever."""

    id: str
    rule: AnyRule
    left: int | None
    hits: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.rule.seed)

    def strikes(self) -> bool:
        if self.left == 0 or self.random.random() >= self.rule.rate:
            return False
        self.hits += 1
        self.left = None if self.left is None else self.left - 1
        return True

    def shown(self) -> dict[str, Any]:
        left = {} if self.left is None else {"left": self.left}
        return {"id": self.id, **self.rule.model_dump(exclude_none=True), **left, "hits": self.hits}


class RuleBook:
    """The rules in the order they were given. The first that strikes is the one that does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made = 0
        self._standing: list[Standing] = []

    def add(self, rules: list[AnyRule]) -> list[Standing]:
        with self._lock:
            added = [Standing(str(self._made + n), rule, rule.next) for n, rule in enumerate(rules, 1)]
            self._made += len(added)
            self._standing += added
            return added

    def shown(self) -> list[dict[str, Any]]:
        with self._lock:
            return [standing.shown() for standing in self._standing]

    def remove(self, rule_id: str | None) -> int:
        """One, or all of them; how many there were."""
        with self._lock:
            before = len(self._standing)
            self._standing = [each for each in self._standing if rule_id not in (None, each.id)]
            return before - len(self._standing)

    def draw(self, kind: type[T], covers: Callable[[T], bool]) -> T | None:
        """The rule that strikes here, if one does."""
        found = self.draw_with_random(kind, covers)
        return found[0] if found else None

    def draw_with_random(self, kind: type[T], covers: Callable[[T], bool]) -> tuple[T, float] | None:
        """Also a number from 0 to 1, drawn from the rule's own sequence."""
        with self._lock:
            for standing in self._standing:
                rule = standing.rule
                if isinstance(rule, kind) and standing.left != 0 and covers(rule) and standing.strikes():
                    return rule, standing.random.random()
        return None

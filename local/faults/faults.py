"""What goes wrong on purpose, asked wherever it could: at the door, in functions, queues, deliveries and jobs."""

import io
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from urllib.parse import unquote
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.wrappers import Request, Response

from local import clock
from local.faults.calls import Calls, Entry, outcome_of
from local.faults.errors import internal, named, throttled
from local.faults.invocations import Invocation, Invocations
from local.faults.rules import (
    Call,
    CallRule,
    Crash,
    Duplicate,
    Fail,
    FailJob,
    FailSegment,
    Late,
    MessageRule,
    RuleBook,
    Throttle,
    Timeout,
)
from local.operations import asked_of
from local.refusals import refusal
from local.wire import AwsError, Caller, Service

_NO_ANSWER = "no answer"
_UNKNOWN = "unknown"


class Faults:
    """One for the whole laptop. Without rules it only counts."""

    def __init__(self) -> None:
        self.rules = RuleBook()
        self.calls = Calls()
        self._invocations = Invocations()
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Let go of the calls that are held."""
        self._stopped.set()

    def around(
        self,
        name: str,
        service: Service | None,
        request: Request,
        caller: Caller,
        answer: Callable[[], Response],
    ) -> WSGIApplication:
        """Answer a call, or let it go wrong; count it either way. `name` is the signing name of `service`."""
        invocation = self._invocations.of(request.headers.get("X-Amz-Security-Token", ""))
        call = _read(name, request, caller, invocation)
        rule = self.rules.draw(CallRule, lambda rule: rule.covers(call))
        response: Response | None = None
        match rule:
            case Throttle():
                response = refusal(name, service, throttled(name, call.operation))
            case Fail():
                response = refusal(name, service, _failure(rule, call))
            case Timeout():
                if rule.done:
                    _perform(answer, invocation)
                clock.wait(rule.seconds, self._stopped)
            case Late():
                clock.wait(rule.seconds, self._stopped)
                response = _perform(answer, invocation)
            case _:
                response = _perform(answer, invocation)
        fault = rule.fault if rule else "" if response else "crash"
        outcome = outcome_of(response) if response else _NO_ANSWER
        self.calls.add(Entry(name, call.operation, call.callers[0], outcome, fault))
        return response or _dropped

    def running(
        self, function: str, payload: bytes, token: str, end: Callable[[], None]
    ) -> AbstractContextManager[None]:
        """Around an invocation whose process signs with `token`; `end` kills that process."""
        crash = self.rules.draw(Crash, lambda rule: rule.covers(function, payload))
        return self._invocations.running(token, Invocation(function, end), crash)

    def arrivals(self, service: str, arn: str, body: str) -> Sequence[float]:
        """In how many seconds a message for `arn` comes, once for each time that it does."""
        found = self.rules.draw_with_random(MessageRule, lambda rule: rule.covers(service, arn, body))
        if found is None:
            return (0.0,)
        rule, drawn = found
        return (0.0, rule.seconds) if isinstance(rule, Duplicate) else (rule.seconds * drawn,)

    def job_failure(self, request: str) -> str | None:
        """Why a job of Bedrock fails that was asked for so, None when it does not."""
        rule = self.rules.draw(FailJob, lambda rule: rule.resource in request)
        return rule.message if rule else None

    def segment_failure(self, request: str) -> FailSegment | None:
        """Asked once for each segment of a job."""
        return self.rules.draw(FailSegment, lambda rule: rule.resource in request)


def _perform(answer: Callable[[], Response], invocation: Invocation | None) -> Response | None:
    """Carry the call out. None where its caller is dead then, because a rule said so."""
    response = answer()
    return None if invocation and invocation.called() else response


def _read(name: str, request: Request, caller: Caller, invocation: Invocation | None) -> Call:
    asked = asked_of(name, request)
    return Call(name, asked.operation if asked else _UNKNOWN, _names(caller, invocation), lambda: _text(name, request))


def _names(caller: Caller, invocation: Invocation | None) -> tuple[str, ...]:
    """The function, the role, the ARN: the first that there is names the caller in the counts."""
    names = [invocation.function] if invocation else []
    names.append(caller.role_arn.rpartition("/")[2] if caller.role_arn else "local")
    return (*names, caller.arn)


def _text(name: str, request: Request) -> str:
    """Where a request names its resources: the URL, and the body of a service that has them there."""
    url = unquote(request.environ["REQUEST_URI"])
    if name == "s3":
        return url
    body = request.get_data()
    request.environ["wsgi.input"] = io.BytesIO(body)  # whoever answers reads it again
    return f"{url}\n{body.decode(errors='replace')}"


def _failure(rule: Fail, call: Call) -> AwsError:
    if rule.error is None:
        return internal(call.service, call.operation, rule.message)
    return named(call.service, call.operation, rule.error, rule.status, rule.message)


def _dropped(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """End the connection without an answer."""
    connection: socket.socket = environ["werkzeug.socket"]
    connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError("a fault was asked for")

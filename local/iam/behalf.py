"""What AWS services do for a resource: a rule delivers, an API invokes, an event source mapping polls."""

import threading
from collections.abc import Callable, Sequence

from werkzeug.wrappers import Request

from local.functions.mapping import QueueMessage, Queues
from local.iam.needs import Need
from local.iam.permissions import Permissions
from local.iam.principals import Principal
from local.wire import ACCOUNT, AwsError, Caller

MAPPING_ACTIONS = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")


class OnBehalf:
    """Each of these raises the error of the service that refuses."""

    def __init__(self, permissions: Permissions) -> None:
        self._permissions = permissions

    def deliver(self, rule_arn: str, target_arn: str, role_arn: str | None) -> None:
        """A rule starts state machines as its target's role; queues and functions have policies of their own
        (EventBridge user guide, "Using resource-based policies")."""
        rule = Principal.of_service("events.amazonaws.com", rule_arn)
        match target_arn.split(":")[2]:
            case "states":
                taken = role_arn and self.assume("events.amazonaws.com", role_arn, rule_arn)
                starter = assumed(role_arn, rule_arn.rpartition("/")[2]) if role_arn and taken else rule
                self.require("states", starter, "states:StartExecution", target_arn)
            case "sqs":
                self.require("sqs", rule, "sqs:SendMessage", target_arn)
            case "lambda":
                self.require("lambda", rule, "lambda:InvokeFunction", target_arn)

    def integrate(self, route_arn: str, function_arn: str) -> None:
        """An HTTP API invokes what a function's policy allows it to."""
        api = Principal.of_service("apigateway.amazonaws.com", route_arn)
        self.require("lambda", api, "lambda:InvokeFunction", function_arn)

    def invoke_api(self, caller: Caller, request_arn: str, request: Request) -> None:
        self.require("execute-api", Principal.of(caller), "execute-api:Invoke", request_arn, request)

    def assume(self, service: str, role_arn: str, source_arn: str) -> bool:
        """Whether a role lets the service take it for that function, state machine or rule of a template."""
        return not self._permissions.knows(role_arn) or self.take(service, role_arn, source_arn)

    def take(self, service: str, role_arn: str, source_arn: str) -> bool:
        """As `assume`, for a request of a client: AWS takes no role that does not exist.

        A template may name one that was made through the IAM API and is gone since a restart.
        """
        if not self._permissions.knows(role_arn):
            return False
        taker = Principal.of_service(service, source_arn)
        return self._permissions.refusal("sts", taker, Need("sts:AssumeRole", role_arn)) is None

    def map(self, role_arn: str, function: str, queue_arn: str) -> None:
        """Lambda makes no event source mapping that could not poll (CreateEventSourceMapping)."""
        for action in MAPPING_ACTIONS:
            need = Need(f"sqs:{action}", queue_arn)
            if self._permissions.refusal("sqs", assumed(role_arn, function), need):
                message = f"The function execution role does not have permissions to call {action} on SQS"
                raise AwsError("InvalidParameterValueException", message)

    def send_outcome(self, role_arn: str, function: str, target_arn: str) -> None:
        """A function's destination that is another function is invoked as its role."""
        self.require("lambda", assumed(role_arn, function), "lambda:InvokeFunction", target_arn)

    def s3_refusal(self, caller: Caller, action: str, resource: str, request: Request) -> AwsError | None:
        """What S3 asks about by itself."""
        return self._permissions.refusal("s3", Principal.of(caller), Need(action, resource), request)

    def polling(self, queues: Queues, poller: Callable[[], Principal]) -> Queues:
        """The queues as whoever polls them may use them at the time."""
        return _AsRole(self, queues, poller)

    def require(
        self, service: str, principal: Principal, action: str, resource: str, request: Request | None = None
    ) -> None:
        if refused := self._permissions.refusal(service, principal, Need(action, resource), request):
            raise refused


class _AsRole:
    """Queues, polled with a function's role."""

    def __init__(self, behalf: OnBehalf, queues: Queues, poller: Callable[[], Principal]) -> None:
        self._behalf, self._queues, self._poller = behalf, queues, poller

    def receive(
        self,
        queue_arn: str,
        max_messages: int,
        wait_seconds: float,
        visibility: float | None,
        stopped: threading.Event,
        hold: bool,
    ) -> Sequence[QueueMessage]:
        self._behalf.require("sqs", self._poller(), "sqs:ReceiveMessage", queue_arn)
        return self._queues.receive(queue_arn, max_messages, wait_seconds, visibility, stopped, hold)

    def delete(self, queue_arn: str, receipt_handles: Sequence[str]) -> None:
        self._behalf.require("sqs", self._poller(), "sqs:DeleteMessage", queue_arn)
        self._queues.delete(queue_arn, receipt_handles)

    def let_go(self, queue_arn: str, receipt_handles: Sequence[str]) -> None:
        self._queues.let_go(queue_arn, receipt_handles)


def assumed(role_arn: str, session: str) -> Principal:
    """A role that a service has assumed."""
    role = role_arn.rpartition("/")[2]
    return Principal(f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session}", role_arn)

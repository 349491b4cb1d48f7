"""Amazon EventBridge on the wire (AWS JSON 1.1), and for the services that send events."""

import base64
import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from local import clock
from local.events.deliveries import Allow, Deliver, Deliveries, Delivery, Send
from local.events.rules import Rule, Rules, check_bus, read_pattern
from local.events.scheduler import Scheduler
from local.events.shapes import check
from local.events.transform import Origin, target_input, to_json
from local.faults import Faults
from local.state import State
from local.wire import ACCOUNT, AwsError, Caller, Operation, TargetService

Request = dict[str, Any]
Answer = Mapping[str, Any]

_MAX_BYTES = 1048576
_TIME_BYTES = 14
_REQUIRED_OF_EVENT = ("id", "account", "source", "time", "region", "resources", "detail-type")


def _everything(rule: str, target: str, role: str | None) -> None:
    """Nothing is refused."""


class EventBus(TargetService):
    """The service (signing name `events`).

    `targets` maps the service in a target's ARN to what delivers to it. `send` puts messages with attributes and
    groups into queues; without it `targets["sqs"]` serves, and dead letters do not say what was wrong. `allow` is
    asked before each delivery; without it rules may deliver to everything.
    """

    def __init__(
        self,
        state: State,
        targets: Mapping[str, Deliver],
        *,
        region: str = "us-east-1",
        send: Send | None = None,
        faults: Faults | None = None,
        allow: Allow = _everything,
    ) -> None:
        self._state, self._region = state, region
        self._scheduler: Scheduler | None = None
        self._deliveries = Deliveries(state, targets, send, faults or Faults(), allow)
        self._rules = Rules(state, region, targets.keys(), self._wake)
        self._scheduler = Scheduler(state, self._rules, self._fire)
        operations: dict[str, Operation] = {
            "DeleteRule": self._delete_rule,
            "DescribeRule": self._describe_rule,
            "DisableRule": self._disable_rule,
            "EnableRule": self._enable_rule,
            "ListRuleNamesByTarget": self._list_rule_names_by_target,
            "ListRules": self._list_rules,
            "ListTargetsByRule": self._list_targets_by_rule,
            "PutEvents": self._put_events,
            "PutRule": self._put_rule,
            "PutTargets": self._put_targets,
            "RemoveTargets": self._remove_targets,
            "TestEventPattern": self._test_event_pattern,
        }
        checked = {name: _checked(name, work) for name, work in operations.items()}
        super().__init__(checked, "application/x-amz-json-1.1")

    def start(self) -> None:
        """Begin to deliver and to fire, once every rule of a template was ensured: others of an earlier one are
        forgotten."""
        self._rules.forget_others()
        self._deliveries.start()
        self.scheduler.start()

    def stop(self) -> None:
        self.scheduler.stop()
        self._deliveries.stop()

    @property
    def scheduler(self) -> Scheduler:
        assert self._scheduler
        return self._scheduler

    def put(self, event: Mapping[str, Any]) -> None:
        """Send a whole event, envelope and all, to the rules that match, as a part of the caller's transaction."""
        with self._state.transaction():
            for rule in self._rules.all():
                if rule.matches(event):
                    self._deliver(rule, event)

    def ensure_rule(self, name: str, properties: Mapping[str, Any]) -> None:
        """Make or change the rule of an `AWS::Events::Rule`."""
        self._rules.ensure(name, properties)

    def _wake(self) -> None:
        if self._scheduler:
            self._scheduler.wake()

    def _deliver(self, rule: Rule, event: Mapping[str, Any]) -> None:
        origin = Origin(rule.name, rule.arn)
        for target in rule.targets:
            payload = target_input(target, event, origin)
            self._deliveries.accept(Delivery(rule.arn, target, payload, to_json(event)))

    def _fire(self, rule: Rule, due: float) -> None:
        self._deliver(rule, self._event("aws.events", "Scheduled Event", due, [rule.arn], {}))

    def _event(self, source: str, kind: str, time: float, resources: list[str], detail: Any) -> dict[str, Any]:
        return {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": kind,
            "source": source,
            "account": ACCOUNT,
            "time": clock.iso(time),
            "region": self._region,
            "resources": resources,
            "detail": detail,
        }

    def _put_events(self, request: Request, caller: Caller) -> Answer:
        if sum(map(_entry_bytes, request["Entries"])) > _MAX_BYTES:
            message = "Total size of the entries in the request is over the limit."
            raise AwsError("ValidationException", message)
        with self._state.transaction():
            results = [self._put_entry(entry) for entry in request["Entries"]]
        return {"FailedEntryCount": sum("ErrorCode" in result for result in results), "Entries": results}

    def _put_entry(self, entry: Request) -> dict[str, str]:
        try:
            detail, time = _checked_detail(entry), _time(entry)
        except AwsError as error:
            return {"ErrorCode": error.code, "ErrorMessage": error.message}
        event = self._event(entry["Source"], entry["DetailType"], time, entry.get("Resources") or [], detail)
        self.put(event)
        return {"EventId": event["id"]}

    def _put_rule(self, request: Request, caller: Caller) -> Answer:
        return {"RuleArn": self._rules.put(request)}

    def _describe_rule(self, request: Request, caller: Caller) -> Answer:
        return _shown(self._rules.get(request["Name"]))

    def _list_rules(self, request: Request, caller: Caller) -> Answer:
        prefix = request.get("NamePrefix") or ""
        return _page(request, "Rules", [_shown(rule) for rule in self._rules.all() if rule.name.startswith(prefix)])

    def _list_rule_names_by_target(self, request: Request, caller: Caller) -> Answer:
        wanted = request["TargetArn"]
        names = [rule.name for rule in self._rules.all() if any(each["Arn"] == wanted for each in rule.targets)]
        return _page(request, "RuleNames", names)

    def _enable_rule(self, request: Request, caller: Caller) -> Answer:
        self._rules.set_state(request["Name"], "ENABLED")
        return {}

    def _disable_rule(self, request: Request, caller: Caller) -> Answer:
        self._rules.set_state(request["Name"], "DISABLED")
        return {}

    def _delete_rule(self, request: Request, caller: Caller) -> Answer:
        self._rules.delete(request["Name"])
        return {}

    def _put_targets(self, request: Request, caller: Caller) -> Answer:
        self._rules.put_targets(request["Rule"], request["Targets"])
        return {"FailedEntryCount": 0, "FailedEntries": []}

    def _remove_targets(self, request: Request, caller: Caller) -> Answer:
        self._rules.remove_targets(request["Rule"], request["Ids"])
        return {"FailedEntryCount": 0, "FailedEntries": []}

    def _list_targets_by_rule(self, request: Request, caller: Caller) -> Answer:
        return _page(request, "Targets", list(self._rules.get(request["Rule"]).targets))

    def _test_event_pattern(self, request: Request, caller: Caller) -> Answer:
        pattern = read_pattern(request["EventPattern"])
        event = _object(request["Event"])
        if event is None or any(name not in event for name in _REQUIRED_OF_EVENT):
            raise AwsError("ValidationException", "Parameter Event is not valid.")
        return {"Result": pattern(event)}


def _checked(name: str, work: Operation) -> Callable[[Request, Caller], Answer]:
    def checked(request: Request, caller: Caller) -> Answer:
        check(name, request)
        check_bus(request)
        return work(request, caller)

    return checked


def _checked_detail(entry: Request) -> dict[str, Any]:
    """The detail of an entry that EventBridge takes."""
    for name in ("Source", "DetailType", "Detail"):
        if not entry.get(name):
            message = f"Parameter {name} is not valid. Reason: {name} is a required argument."
            raise AwsError("InvalidArgument", message)
    if entry["Source"].startswith("aws."):
        raise AwsError("NotAuthorizedForSourceException", "Not authorized for the source.")
    check_bus(entry)
    detail = _object(entry["Detail"])
    if detail is None:
        raise AwsError("MalformedDetail", "Detail is malformed.")
    return detail


def _time(entry: Request) -> float:
    time = clock.now() if entry.get("Time") is None else float(entry["Time"])
    try:
        clock.iso(time)
    except (ValueError, OverflowError, OSError):
        raise AwsError("InvalidArgument", "Parameter Time is not valid.") from None
    return time


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _entry_bytes(entry: Request) -> int:
    """EventBridge user guide, "Calculating PutEvents event entry size"."""
    texts = [entry.get("Source"), entry.get("DetailType"), entry.get("Detail"), *(entry.get("Resources") or [])]
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts if text)
    return size + (_TIME_BYTES if entry.get("Time") is not None else 0)


def _shown(rule: Rule) -> dict[str, str]:
    return {"Name": rule.name, "Arn": rule.arn, **rule.definition, "EventBusName": "default"}


def _page(request: Request, member: str, items: list[Any]) -> dict[str, Any]:
    try:
        start = int(base64.b64decode(request.get("NextToken") or "MA=="))
    except ValueError:
        raise AwsError("ValidationException", "Parameter NextToken is not valid.") from None
    end = start + (request.get("Limit") or 100)
    following = {"NextToken": base64.b64encode(str(end).encode()).decode()} if end < len(items) else {}
    return {member: items[start:end], **following}

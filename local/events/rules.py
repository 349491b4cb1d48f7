"""The rules of the default bus and their targets."""

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from local.events.operators import InvalidPatternError
from local.events.patterns import Event, compile_pattern
from local.events.schedules import Cron, InvalidScheduleError, Rate, parse_schedule
from local.events.shapes import check
from local.events.transform import InvalidInputError, check_input
from local.state import State
from local.wire import ACCOUNT, AwsError

Target = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events_rules (
    name TEXT PRIMARY KEY,
    definition TEXT NOT NULL, -- JSON: the members of PutRule
    targets TEXT NOT NULL,    -- JSON: by id
    template TEXT             -- JSON: the template's properties, for a rule of the template
) WITHOUT ROWID;
"""
_DEFINITION = ("Description", "EventPattern", "RoleArn", "ScheduleExpression", "State")
_MAX_TARGETS = 5


@dataclass(frozen=True)
class Rule:
    name: str
    arn: str
    definition: Mapping[str, str]
    targets: tuple[Target, ...]
    pattern: Callable[[Event], bool] | None
    schedule: Rate | Cron | None

    @property
    def enabled(self) -> bool:
        return self.definition["State"] != "DISABLED"

    def matches(self, event: Event) -> bool:
        return self.enabled and self.pattern is not None and self.pattern(event)


class Rules:
    """What is committed is kept compiled in memory; `changed` is called when that is new.

    Rules of a template count until `forget_others` finds that `ensure` was not called for them in this run; what was
    changed over the wire stays, unless the template itself changed.
    """

    def __init__(self, state: State, region: str, services: Collection[str], changed: Callable[[], None]) -> None:
        self._state, self._region, self._services, self._changed = state, region, services, changed
        self._ensured: set[str] = set()
        self._rules: dict[str, Rule] = {}
        state.create(_SCHEMA)
        self._load()

    def all(self) -> list[Rule]:
        """In the order of their names."""
        return list(self._rules.values())

    def get(self, name: str) -> Rule:
        if name not in self._rules:
            raise _no_rule(name)
        return self._rules[name]

    def arn(self, name: str) -> str:
        return f"arn:aws:events:{self._region}:{ACCOUNT}:rule/{name}"

    def ensure(self, name: str, properties: Mapping[str, Any]) -> None:
        """Make or change a rule to be what the Properties of an `AWS::Events::Rule` say."""
        request, targets = _from_properties(name, properties)
        check("PutRule", request)
        if targets:
            check("PutTargets", {"Rule": name, "Targets": targets})
        self._check(request, targets)
        template = json.dumps(properties, sort_keys=True)
        with self._state.transaction() as db:
            row = db.execute("SELECT template FROM events_rules WHERE name = ?", (name,)).fetchone()
            if row is None or row["template"] != template:
                self._write(name, _definition(request), {target["Id"]: target for target in targets}, template)
            self._ensured.add(name)
            self._state.after_commit(self._load)

    def forget_others(self) -> None:
        """Delete rules of an earlier template that this run's template does not have."""
        with self._state.transaction() as db:
            for row in db.execute("SELECT name FROM events_rules WHERE template IS NOT NULL").fetchall():
                if row["name"] not in self._ensured:
                    db.execute("DELETE FROM events_rules WHERE name = ?", (row["name"],))
            self._state.after_commit(self._load)

    def put(self, request: Mapping[str, Any]) -> str:
        """The ARN of a new or changed rule, whose targets stay."""
        self._check(request, [])
        name = request["Name"]
        with self._state.transaction() as db:
            old = self._find(db, name)
            self._write(name, _definition(request), _by_id(old.targets if old else ()))
        return self.arn(name)

    def set_state(self, name: str, state: str) -> None:
        with self._state.transaction() as db:
            rule = self._require(db, name)
            self._write(name, {**rule.definition, "State": state}, _by_id(rule.targets))

    def delete(self, name: str) -> None:
        """One that is not there is no error."""
        with self._state.transaction() as db:
            rule = self._find(db, name)
            if rule and rule.targets:
                raise AwsError("ValidationException", "Rule can't be deleted since it has targets.")
            db.execute("DELETE FROM events_rules WHERE name = ?", (name,))
            self._state.after_commit(self._load)

    def put_targets(self, name: str, targets: list[Target]) -> None:
        self._check({}, targets)
        with self._state.transaction() as db:
            rule = self._require(db, name)
            merged = {**_by_id(rule.targets), **_by_id(targets)}
            if len(merged) > _MAX_TARGETS:
                message = "The requested resource exceeds the maximum number allowed."
                raise AwsError("LimitExceededException", message)
            self._write(name, rule.definition, merged)

    def remove_targets(self, name: str, ids: Collection[str]) -> None:
        with self._state.transaction() as db:
            rule = self._require(db, name)
            kept = {key: target for key, target in _by_id(rule.targets).items() if key not in ids}
            self._write(name, rule.definition, kept)

    def _find(self, db: sqlite3.Connection, name: str) -> Rule | None:
        """As it is stored; the compiled ones may be a moment behind."""
        row = db.execute("SELECT * FROM events_rules WHERE name = ?", (name,)).fetchone()
        return self._rule(row) if row else None

    def _require(self, db: sqlite3.Connection, name: str) -> Rule:
        found = self._find(db, name)
        if found is None:
            raise _no_rule(name)
        return found

    def _check(self, request: Mapping[str, Any], targets: Iterable[Target]) -> None:
        if request:
            _check_rule(request)
        for target in targets:
            self._check_target(target)

    def _check_target(self, target: Target) -> None:
        service = _service(target["Arn"])
        if service not in self._services:
            reason = f"The laptop does not deliver to {service or 'this'}."
            raise _not_valid(target["Arn"], reason)
        if service != "sqs" and "SqsParameters" in target:
            raise _not_valid("SqsParameters", "The target is no queue.")
        dead_letters = (target.get("DeadLetterConfig") or {}).get("Arn")
        if dead_letters and _service(dead_letters) != "sqs":
            raise _not_valid("DeadLetterConfig", "Dead letters go to an Amazon SQS queue.")
        try:
            check_input(target)
        except InvalidInputError as error:
            raise AwsError("ValidationException", str(error)) from error

    def _write(
        self,
        name: str,
        definition: Mapping[str, str],
        targets: Mapping[str, Target],
        template: str | None = None,
    ) -> None:
        """`template` None leaves it as it was."""
        row = (name, json.dumps(dict(definition)), json.dumps(dict(targets)), template)
        with self._state.transaction() as db:
            db.execute(
                "INSERT INTO events_rules VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET"
                " definition = excluded.definition, targets = excluded.targets,"
                " template = coalesce(excluded.template, template)",
                row,
            )
            self._state.after_commit(self._load)

    def _load(self) -> None:
        with self._state.transaction() as db:
            rows = db.execute("SELECT * FROM events_rules ORDER BY name").fetchall()
            self._rules = {row["name"]: self._rule(row) for row in rows}
        self._changed()

    def _rule(self, row: sqlite3.Row) -> Rule:
        definition = json.loads(row["definition"])
        pattern, schedule = definition.get("EventPattern"), definition.get("ScheduleExpression")
        return Rule(
            row["name"],
            self.arn(row["name"]),
            definition,
            tuple(json.loads(row["targets"]).values()),
            compile_pattern(json.loads(pattern)) if pattern else None,
            parse_schedule(schedule) if schedule else None,
        )


def read_pattern(text: str) -> Callable[[Event], bool]:
    """The pattern, or `InvalidEventPatternException`."""
    try:
        pattern = json.loads(text)
    except (ValueError, RecursionError):
        raise _bad_pattern("Invalid JSON") from None
    try:
        return compile_pattern(pattern)
    except InvalidPatternError as error:
        raise _bad_pattern(str(error)) from error


def _no_rule(name: str) -> AwsError:
    return AwsError("ResourceNotFoundException", f"Rule {name} does not exist on EventBus default.")


def _bad_pattern(reason: str) -> AwsError:
    return AwsError("InvalidEventPatternException", f"Event pattern is not valid. Reason: {reason}")


def _not_valid(parameter: str, reason: str) -> AwsError:
    return AwsError("ValidationException", f"Parameter {parameter} is not valid. Reason: {reason}")


def _check_rule(request: Mapping[str, Any]) -> None:
    pattern, schedule = request.get("EventPattern"), request.get("ScheduleExpression")
    if not pattern and not schedule:
        message = "Parameter(s) EventPattern or ScheduleExpression must be specified."
        raise AwsError("ValidationException", message)
    if pattern:
        read_pattern(pattern)
    if schedule:
        try:
            parse_schedule(schedule)
        except InvalidScheduleError as error:
            raise AwsError("ValidationException", "Parameter ScheduleExpression is not valid.") from error


def _definition(request: Mapping[str, Any]) -> dict[str, str]:
    given = {name: request[name] for name in _DEFINITION if request.get(name)}
    return {"State": "ENABLED", **given}


def _from_properties(name: str, properties: Mapping[str, Any]) -> tuple[dict[str, Any], list[Target]]:
    request = {key: value for key, value in properties.items() if key not in ("Name", "Targets")}
    unknown = request.keys() - {*_DEFINITION, "EventBusName"}
    if unknown:
        raise AwsError("ValidationException", f"The laptop does not offer {', '.join(sorted(unknown))} of a rule")
    if isinstance(request.get("EventPattern"), dict):
        request["EventPattern"] = json.dumps(request["EventPattern"])
    check_bus(request)
    return {**request, "Name": name}, [dict(target) for target in properties.get("Targets", [])]


def check_bus(request: Mapping[str, Any]) -> None:
    """Only the default bus is there, by name or ARN."""
    name = str(request.get("EventBusName") or "default").rpartition("/")[2]
    if name != "default":
        raise AwsError("ResourceNotFoundException", f"Event bus {name} does not exist.")


def _by_id(targets: Iterable[Target]) -> dict[str, Target]:
    return {target["Id"]: target for target in targets}


def _service(arn: str) -> str:
    parts = arn.split(":")
    return parts[2] if len(parts) >= 6 and parts[0] == "arn" else ""

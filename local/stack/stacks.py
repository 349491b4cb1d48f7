"""The stacks of this laptop: made from an assembly or by CloudFormation's API, brought back at a start."""

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from local import clock
from local.stack.assembly import Assembly
from local.stack.custom import CustomResources
from local.stack.deployment import Deployment, ResourceError
from local.stack.kinds import Maker
from local.stack.records import Records, Stack
from local.stack.template import Blueprint, TemplateError
from local.stack.workshop import Services, Workshop

log = logging.getLogger(__name__)

_OF_AN_ASSEMBLY = "laptop"
"""Ends the id of a stack that was made from an assembly, which gives it the same names in every folder."""

_UNFORESEEN = {
    "CREATE_IN_PROGRESS": "CREATE_FAILED",
    "DELETE_IN_PROGRESS": "DELETE_FAILED",
    "ROLLBACK_IN_PROGRESS": "ROLLBACK_FAILED",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS": "UPDATE_COMPLETE",
    "UPDATE_IN_PROGRESS": "UPDATE_FAILED",
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS": "UPDATE_ROLLBACK_COMPLETE",
    "UPDATE_ROLLBACK_IN_PROGRESS": "UPDATE_ROLLBACK_FAILED",
}
"""Where a stack stands when the work on it ended by a failure of the laptop."""


@dataclass
class Proposal:
    """What a stack shall be: a template, its parameters as given and as they are, and what goes with them."""

    text: str
    template: dict[str, Any]
    parameters: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    capabilities: list[str] = field(default_factory=list)
    role_arn: str | None = None
    change_set: str | None = None


class Stacks:
    """One piece of work at a time; `create`, `update` and `delete` return at once and go on in a thread.

    `changed` is called after each.
    """

    def __init__(
        self, records: Records, services: Services, custom: CustomResources, changed: Callable[[], None]
    ) -> None:
        self.records, self._changed = records, changed
        self._services, self._custom = services, custom
        self._deployments: dict[str, Deployment] = {}
        self._lock = threading.Lock()
        self._working: list[threading.Thread] = []

    def restore(self, but: str | None = None) -> None:
        """Bring back the stacks that are there, but for the one of this name."""
        for stack in reversed(self.records.all()):
            if stack.deleted is None and stack.status != "REVIEW_IN_PROGRESS" and stack.name != but:
                try:
                    stack.outputs = self._deployment(stack).restore(self._now(stack))
                except TemplateError as error:
                    log.warning("stack %s: %s", stack.name, error)
                    continue
                self.records.save(stack)
        self._changed()

    def resume(self) -> None:
        """Undo what a laptop that was stopped did not finish, and finish what it was deleting."""
        for stack in self.records.all():
            if stack.status in ("CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"):
                self._begin(stack, partial(self._undo_creation, stack, "The laptop was stopped."))
            elif stack.status == "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS":
                self._begin(stack, partial(self._clean_up, stack, "UPDATE_COMPLETE"))
            elif stack.status.startswith("UPDATE_") and stack.status.endswith("_IN_PROGRESS"):
                self._begin(stack, partial(self._undo_update, stack, "The laptop was stopped."))
            elif stack.status == "DELETE_IN_PROGRESS":
                self._begin(stack, partial(self._delete, stack, ()))

    def run(self, assembly: Assembly) -> dict[str, str]:
        """Make the assembly's stack, or change it; its outputs. TemplateError says what stops it; nothing is undone."""
        for key, path in assembly.assets.items():
            self._services.assets.put(key, path)
        stack = self.records.find(assembly.name)
        if stack is None:
            stack = Stack(self.records.stack_id(assembly.name, _OF_AN_ASSEMBLY), assembly.name)
        blueprint = self._blueprint(stack, assembly.template, {})
        with self._lock:
            new = stack.status in ("REVIEW_IN_PROGRESS", "CREATE_FAILED", "ROLLBACK_COMPLETE")
            stack.status = "CREATE_FAILED" if new else "UPDATE_FAILED"
            self.records.save(stack)
            deployment = self._deployment(stack, adopts=True)
            outputs = deployment.apply(blueprint)
            deployment.clean_up(blueprint)
            stack.status, stack.reason = "CREATE_COMPLETE" if new else "UPDATE_COMPLETE", None
            stack.text, stack.template, stack.outputs = json.dumps(assembly.template), assembly.template, outputs
            stack.parameters, stack.values = {}, {}
            stack.updated = None if new else clock.now()
            self.records.save(stack)
        self._changed()
        return outputs

    def create(self, stack: Stack, proposal: Proposal, on_failure: str = "ROLLBACK") -> None:
        """`on_failure` is ROLLBACK, DELETE or DO_NOTHING."""
        _take(stack, proposal)
        self._set(stack, "CREATE_IN_PROGRESS", "User Initiated")
        self._begin(stack, partial(self._create, stack, on_failure))

    def update(self, stack: Stack, proposal: Proposal, *, rollback: bool = True) -> None:
        self._set(stack, "UPDATE_IN_PROGRESS", "User Initiated")
        self._begin(stack, partial(self._update, stack, proposal, rollback))

    def delete(self, stack: Stack, retained: tuple[str, ...] = ()) -> None:
        self._set(stack, "DELETE_IN_PROGRESS", "User Initiated")
        self._begin(stack, partial(self._delete, stack, retained))

    def roll_back(self, stack: Stack) -> None:
        """Of an update that failed and was left as it was."""
        self._set(stack, "UPDATE_ROLLBACK_IN_PROGRESS", "User Initiated")
        self._begin(stack, partial(self._undo_update, stack, "User Initiated"))

    def stop(self) -> None:
        """Wait a moment for what is at work; the next start undoes what does not end."""
        for thread in self._working:
            thread.join(1)

    def _begin(self, stack: Stack, work: Callable[[], None]) -> None:
        def run() -> None:
            with self._lock:
                try:
                    work()
                except Exception:
                    log.exception("the work on the stack %s failed", stack.name)
                    self._set(stack, _UNFORESEEN[stack.status], "Internal Failure")
                self._changed()

        self._working = [thread for thread in self._working if thread.is_alive()]
        thread = threading.Thread(target=run, name="stack", daemon=True)
        self._working.append(thread)
        thread.start()

    def _create(self, stack: Stack, on_failure: str) -> None:
        try:
            stack.outputs = self._deployment(stack).apply(self._now(stack))
        except TemplateError as error:
            reason = _failed(error, "create")
            if on_failure == "DO_NOTHING":
                self._set(stack, "CREATE_FAILED", reason)
            elif on_failure == "DELETE":
                self._set(stack, "DELETE_IN_PROGRESS", f"{reason}Delete requested by user.")
                self._delete(stack, ())
            else:
                self._undo_creation(stack, f"{reason}Rollback requested by user.")
            return
        self._set(stack, "CREATE_COMPLETE")

    def _undo_creation(self, stack: Stack, reason: str) -> None:
        self._set(stack, "ROLLBACK_IN_PROGRESS", reason)
        left = self._deployment(stack).delete(creating=True)
        self._set(stack, "ROLLBACK_FAILED" if left else "ROLLBACK_COMPLETE", _left(left))

    def _update(self, stack: Stack, proposal: Proposal, rollback: bool) -> None:
        try:
            blueprint = self._blueprint(stack, proposal.template, proposal.values)
            outputs = self._deployment(stack).apply(blueprint)
        except TemplateError as error:
            reason = _failed(error, "update")
            if rollback:
                self._undo_update(stack, reason)
            else:
                self._set(stack, "UPDATE_FAILED", reason)
            return
        _take(stack, proposal)
        stack.outputs, stack.updated = outputs, clock.now()
        self._clean_up(stack, "UPDATE_COMPLETE")

    def _undo_update(self, stack: Stack, reason: str) -> None:
        self._set(stack, "UPDATE_ROLLBACK_IN_PROGRESS", reason)
        deployment = self._deployment(stack)
        deployment.revert()
        try:
            deployment.apply(self._now(stack))
        except TemplateError as error:
            self._set(stack, "UPDATE_ROLLBACK_FAILED", _failed(error, "update"))
            return
        stack.updated = clock.now()
        self._clean_up(stack, "UPDATE_ROLLBACK_COMPLETE")

    def _clean_up(self, stack: Stack, then: str) -> None:
        self._set(stack, f"{then}_CLEANUP_IN_PROGRESS")
        self._deployment(stack).clean_up(self._now(stack))
        self._set(stack, then)

    def _delete(self, stack: Stack, retained: tuple[str, ...]) -> None:
        left = self._deployment(stack).delete(retained)
        if left:
            self._set(stack, "DELETE_FAILED", _left(left))
            return
        stack.deleted = clock.now()
        self._set(stack, "DELETE_COMPLETE")
        del self._deployments[stack.id]

    def _deployment(self, stack: Stack, *, adopts: bool = False) -> Deployment:
        """The one at work, with the stack as it is now."""
        found = self._deployments.get(stack.id)
        if found is None:
            seed = stack.name if stack.id.endswith(f"/{_OF_AN_ASSEMBLY}") else stack.id
            maker = Maker(Workshop(self._services, seed, stack.name), self._custom, stack.id)
            found = self._deployments[stack.id] = Deployment(self.records, stack, maker, adopts=adopts)
        return found

    def _blueprint(self, stack: Stack, template: dict[str, Any], values: dict[str, Any]) -> Blueprint:
        return Blueprint(stack.name, stack.id, self._services.region, template, values)

    def _now(self, stack: Stack) -> Blueprint:
        return self._blueprint(stack, stack.template, stack.values)

    def _set(self, stack: Stack, status: str, reason: str | None = None) -> None:
        stack.status, stack.reason = status, reason
        event = {
            "LogicalResourceId": stack.name,
            "PhysicalResourceId": stack.id,
            "ResourceType": "AWS::CloudFormation::Stack",
            "ResourceStatus": status,
            **({"ResourceStatusReason": reason} if reason else {}),
        }
        self.records.save(stack, event)


def _take(stack: Stack, proposal: Proposal) -> None:
    stack.text, stack.template = proposal.text, proposal.template
    stack.parameters, stack.values = proposal.parameters, proposal.values
    stack.tags, stack.capabilities, stack.role_arn = proposal.tags, proposal.capabilities, proposal.role_arn
    stack.change_set = proposal.change_set


def _failed(error: TemplateError, verb: str) -> str:
    """In CloudFormation's words, with which it ends the sentence as a list."""
    if isinstance(error, ResourceError):
        return f"The following resource(s) failed to {error.verb.lower()}: [{error.logical_id}]. "
    return f"{error}. "


def _left(logical_ids: list[str]) -> str | None:
    return f"The following resource(s) failed to delete: [{', '.join(logical_ids)}]. " if logical_ids else None

"""AWS CloudFormation on the wire: what may be asked, and what is answered."""

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

from werkzeug.wrappers import Request, Response

from local.clients import Clients
from local.cloudformation import shown
from local.cloudformation.changes import without_values
from local.cloudformation.changesets import ChangeSets
from local.cloudformation.templates import (
    capabilities,
    check_template,
    given_parameters,
    parameter_values,
    read_template,
    template_text,
)
from local.cloudformation.toolkit import toolkit
from local.cloudformation.wire import answer, invalid, read_form, read_input, refusal, service_model
from local.stack.records import Record, Stack
from local.stack.stacks import Proposal, Stacks
from local.state import State
from local.wire import AwsError, Caller

log = logging.getLogger(__name__)

_NAME = re.compile("[a-zA-Z][-a-zA-Z0-9]*")
_PAGE = 100
_UPDATABLE = {
    "CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_FAILED", "IMPORT_COMPLETE",
}  # fmt: skip

Input = dict[str, Any]
Output = Mapping[str, Any]


class CloudFormation:
    """The service (signing name `cloudformation`). Nested stacks, imports, macros and stack sets are not offered."""

    def __init__(self, state: State, stacks: Stacks, clients: Clients, region: str) -> None:
        self._state, self._stacks, self._clients = state, stacks, clients
        self._toolkit = toolkit(region)
        self._records = stacks.records
        self._change_sets = ChangeSets(state, stacks, region)
        self._operations: dict[str, Callable[[Input], Output]] = {
            "CreateChangeSet": self._create_change_set,
            "CreateStack": self._create_stack,
            "DeleteChangeSet": self._delete_change_set,
            "DeleteStack": self._delete_stack,
            "DescribeChangeSet": self._describe_change_set,
            "DescribeStackEvents": self._describe_stack_events,
            "DescribeStackResource": self._describe_stack_resource,
            "DescribeStackResources": self._describe_stack_resources,
            "DescribeStacks": self._describe_stacks,
            "ExecuteChangeSet": self._execute_change_set,
            "GetTemplate": self._get_template,
            "GetTemplateSummary": self._get_template_summary,
            "ListChangeSets": self._list_change_sets,
            "ListStackResources": self._list_stack_resources,
            "ListStacks": self._list_stacks,
            "RollbackStack": self._rollback_stack,
            "UpdateStack": self._update_stack,
            "UpdateTerminationProtection": self._update_termination_protection,
            "ValidateTemplate": self._validate_template,
        }

    def __call__(self, request: Request, caller: Caller) -> Response:
        try:
            form = read_form(request)
            name = form.get("Action", "")
            if name not in self._operations:
                raise AwsError("InvalidAction", f"The laptop does not offer {name or 'this'}")
            operation = service_model().operation_model(name)
            return answer(operation, self._operations[name](read_input(operation, form)))
        except AwsError as error:
            return refusal(error)
        except Exception:
            log.exception("the laptop's CloudFormation failed")
            return refusal(AwsError("InternalFailure", "The laptop failed; its log says why", 500))

    def _create_change_set(self, request: Input) -> Output:
        kind = request.get("ChangeSetType", "UPDATE")
        if kind not in ("CREATE", "UPDATE") or request.get("ResourcesToImport"):
            raise invalid("The laptop imports no resources")
        proposal = self._proposal(request, self._stack_to_change(request, kind))
        with self._state.transaction():
            stack = self._stack_to_change(request, kind)  # which may have changed while S3 or SSM were asked
            if kind == "CREATE":
                self._records.save(stack)
            made = self._change_sets.create(
                stack,
                request["ChangeSetName"],
                kind,
                proposal,
                description=request.get("Description"),
                on_failure=request.get("OnStackFailure", "ROLLBACK"),
            )
        return {"Id": made.id, "StackId": stack.id}

    def _stack_to_change(self, request: Input, kind: str) -> Stack:
        name, change_set = request["StackName"], request["ChangeSetName"]
        stack = self._records.find(name)
        new = stack is None or stack.status == "REVIEW_IN_PROGRESS"
        if kind == "UPDATE":
            if new:
                raise invalid(f"Stack [{name}] does not exist")
            return self._stack_to_update(name)
        if not new:
            message = f"Stack [{name}] already exists and cannot be created again with the changeSet [{change_set}]."
            raise invalid(message)
        return stack or self._new_stack(name)

    def _describe_change_set(self, request: Input) -> Output:
        found = self._change_sets.get(request)
        start = _place(request) or 0
        page = found.changes[start : start + _PAGE]
        more = {"NextToken": str(start + _PAGE)} if len(found.changes) > start + _PAGE else {}
        whole = request.get("IncludePropertyValues", False)
        return {**shown.change_set(found), "Changes": page if whole else without_values(page), **more}

    def _execute_change_set(self, request: Input) -> Output:
        with self._state.transaction():
            found = self._change_sets.get(request)
            stack = self._stack(found.stack_id)
            if found.kind == "UPDATE":
                _check_updatable(stack)
            self._change_sets.execute(found, rollback=not request.get("DisableRollback", False))
        return {}

    def _delete_change_set(self, request: Input) -> Output:
        try:
            found = self._change_sets.get(request)
        except AwsError:
            if request.get("StackName") and self._records.find(request["StackName"]) is None:
                raise invalid(f"Stack [{request['StackName']}] does not exist") from None
            return {}  # one that is not there is no error
        self._change_sets.delete(found)
        return {}

    def _list_change_sets(self, request: Input) -> Output:
        found = self._change_sets.of(self._stack(request["StackName"]))
        return {"Summaries": [shown.change_set_summary(each) for each in found]}

    def _create_stack(self, request: Input) -> Output:
        name = request["StackName"]
        self._check_free(name)
        stack = self._new_stack(name)
        stack.protected = request.get("EnableTerminationProtection", False)
        proposal = self._proposal(request, stack)
        on_failure = request.get("OnFailure", "DO_NOTHING" if request.get("DisableRollback") else "ROLLBACK")
        with self._state.transaction():
            self._check_free(name)  # somebody else may have taken it while S3 or SSM were asked
            self._stacks.create(stack, proposal, on_failure)
        return {"StackId": stack.id}

    def _update_stack(self, request: Input) -> Output:
        name = request["StackName"]
        proposal = self._proposal(request, self._stack_to_update(name))
        with self._state.transaction():
            stack = self._stack_to_update(name)
            if not self._change_sets.would_change(stack, proposal):
                raise invalid("No updates are to be performed.")
            self._stacks.update(stack, proposal, rollback=not request.get("DisableRollback", False))
        return {"StackId": stack.id}

    def _delete_stack(self, request: Input) -> Output:
        with self._state.transaction():
            return self._delete_found(request)

    def _delete_found(self, request: Input) -> Output:
        stack = self._records.find(request["StackName"])
        if stack is None or stack.deleted is not None:
            return {}
        if stack.protected:
            raise invalid(f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled")
        for change_set in self._change_sets.of(stack):
            self._change_sets.delete(change_set)
        if stack.status == "REVIEW_IN_PROGRESS":
            self._records.forget(stack)
            return {}
        retained = tuple(request.get("RetainResources") or ())
        if retained and stack.status != "DELETE_FAILED":
            raise invalid(
                "Invalid operation on stack. RetainResources is only valid for stacks in the DELETE_FAILED state"
            )
        if stack.status.endswith("_IN_PROGRESS"):
            raise invalid(f"Stack [{stack.id}] cannot be deleted while in status {stack.status}")
        self._stacks.delete(stack, retained)
        return {}

    def _rollback_stack(self, request: Input) -> Output:
        with self._state.transaction():
            stack = self._stack(request["StackName"])
            if stack.status != "UPDATE_FAILED":
                raise invalid(f"Stack {stack.id} is in {stack.status} state and can not be rolled back.")
            self._stacks.roll_back(stack)
        return {"StackId": stack.id}

    def _update_termination_protection(self, request: Input) -> Output:
        stack = self._stack(request["StackName"])
        self._records.protect(stack, request["EnableTerminationProtection"])
        return {"StackId": stack.id}

    def _describe_stacks(self, request: Input) -> Output:
        if request.get("StackName") == self._toolkit.name:
            return {"Stacks": [shown.stack(self._toolkit)]}
        if request.get("StackName"):
            return {"Stacks": [shown.stack(self._stack(request["StackName"]))]}
        found = [stack for stack in self._records.all() if stack.deleted is None]
        return {"Stacks": [shown.stack(stack) for stack in found]}

    def _list_stacks(self, request: Input) -> Output:
        wanted = set(request.get("StackStatusFilter") or [])
        found = [stack for stack in self._records.all() if not wanted or stack.status in wanted]
        return {"StackSummaries": [shown.stack_summary(stack) for stack in found]}

    def _describe_stack_events(self, request: Input) -> Output:
        stack = self._stack(request["StackName"])
        found = self._records.events(stack, _place(request), _PAGE)
        more = {"NextToken": str(found[-1][0])} if len(found) == _PAGE else {}
        return {"StackEvents": [event for _, event in found], **more}

    def _describe_stack_resources(self, request: Input) -> Output:
        stack, records = self._resources(request)
        wanted = request.get("LogicalResourceId")
        found = [record for record in records if wanted in (None, record.logical_id)]
        return {"StackResources": [shown.resource(stack, record) for record in found]}

    def _describe_stack_resource(self, request: Input) -> Output:
        stack, records = self._resources(request)
        wanted = request["LogicalResourceId"]
        for record in records:
            if record.logical_id == wanted:
                return {"StackResourceDetail": shown.resource(stack, record)}
        raise invalid(f"Resource {wanted} does not exist for stack {stack.name}")

    def _list_stack_resources(self, request: Input) -> Output:
        stack, records = self._resources(request)
        start = _place(request) or 0
        more = {"NextToken": str(start + _PAGE)} if len(records) > start + _PAGE else {}
        page = records[start : start + _PAGE]
        return {"StackResourceSummaries": [shown.resource(stack, record) for record in page], **more}

    def _get_template(self, request: Input) -> Output:
        if request.get("ChangeSetName"):
            text = self._change_sets.get(request).proposal.text
        else:
            text = self._stack(request.get("StackName") or "").text
        return {"TemplateBody": text, "StagesAvailable": ["Original", "Processed"]}

    def _get_template_summary(self, request: Input) -> Output:
        text = template_text(request, self._clients)
        if text is None:
            text = self._stack(request.get("StackName") or "").text
        return shown.template_summary(read_template(text))

    def _validate_template(self, request: Input) -> Output:
        text = template_text(request, self._clients)
        if text is None:
            raise invalid("Either Template URL or Template Body must be specified.")
        template = read_template(text)
        check_template("template", template)
        return shown.template_summary(template)

    def _proposal(self, request: Input, stack: Stack) -> Proposal:
        text = stack.text if request.get("UsePreviousTemplate") else template_text(request, self._clients)
        if text is None:
            raise invalid("Either Template URL or Template Body must be specified.")
        template = read_template(text)
        check_template(stack.name, template)
        missing = [name for name in capabilities(template) if not _covers(request.get("Capabilities") or [], name)]
        if missing:
            raise AwsError("InsufficientCapabilitiesException", f"Requires capabilities : [{', '.join(missing)}]")
        given = given_parameters(request.get("Parameters") or [], stack.parameters)
        return Proposal(
            text,
            template,
            given,
            parameter_values(template, given, self._clients),
            {tag["Key"]: tag["Value"] for tag in request.get("Tags") or []},
            list(request.get("Capabilities") or []),
            request.get("RoleARN"),
        )

    def _stack_to_update(self, name: str) -> Stack:
        stack = self._records.find(name)
        if stack is None:
            raise invalid(f"Stack [{name}] does not exist")
        _check_updatable(stack)
        return stack

    def _check_free(self, name: str) -> None:
        if self._records.find(name):
            raise AwsError("AlreadyExistsException", f"Stack [{name}] already exists")

    def _new_stack(self, name: str) -> Stack:
        if not _NAME.fullmatch(name):
            constraint = f"Member must satisfy regular expression pattern: {_NAME.pattern}"
            raise invalid(
                f"1 validation error detected: Value '{name}' at 'stackName' failed to satisfy constraint: {constraint}"
            )
        return Stack(self._records.stack_id(name), name)

    def _resources(self, request: Input) -> tuple[Stack, list[Record]]:
        name, physical = request.get("StackName"), request.get("PhysicalResourceId")
        if name is None:
            for stack in self._records.all():
                records = list(self._records.resources(stack).values())
                if stack.deleted is None and any(record.physical_id == physical for record in records):
                    return stack, records
            raise invalid(f"Stack for {physical} does not exist")
        stack = self._stack(name)
        return stack, list(self._records.resources(stack).values())

    def _stack(self, name_or_id: str) -> Stack:
        found = self._records.find(name_or_id)
        if found is None:
            raise invalid(f"Stack with id {name_or_id} does not exist")
        return found


def _check_updatable(stack: Stack) -> None:
    if stack.status not in _UPDATABLE:
        raise invalid(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")


def _place(request: Input) -> int | None:
    """What NextToken stands for."""
    token = request.get("NextToken")
    if token and not re.fullmatch("[0-9]{1,18}", token):
        raise invalid(f"NextToken '{token}' is none of this operation")
    return int(token) if token else None


def _covers(given: list[str], capability: str) -> bool:
    return capability in given or (capability == "CAPABILITY_IAM" and "CAPABILITY_NAMED_IAM" in given)

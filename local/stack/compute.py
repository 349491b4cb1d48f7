"""Functions with their layers, what calls them, and state machines."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from local.events.patterns import compile_pattern
from local.functions import AsyncConfig, EventSourceMapping, FunctionSpec
from local.stack.storage import deleting, unless_gone
from local.stack.template import Made, Resource, TemplateError, as_text
from local.stack.workshop import Kind, Properties, Workshop, is_true
from local.stepfunctions.machines import not_taken
from local.wire import AwsError


def _layer(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    name = properties.get("LayerName", f"{workshop.stack}-{resource.logical_id}")
    version = workshop.turns.get(resource.logical_id, 0) + 1
    arn = workshop.arn("lambda", f"layer:{name}:{version}")
    workshop.services.layers[arn] = _asset(workshop, properties["Content"])
    return Made(arn, {"LayerVersionArn": arn})


def _delete_layer(workshop: Workshop, physical_id: str, properties: Properties) -> None:
    workshop.services.layers.pop(physical_id, None)


def _asset(workshop: Workshop, place: Properties) -> Path:
    return workshop.services.assets.folder(place["S3Bucket"], place["S3Key"], place.get("S3ObjectVersion"))


def _function(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    if properties.get("PackageType", "Zip") != "Zip":
        raise TemplateError("the laptop does not run container images")
    reserved = properties.get("ReservedConcurrentExecutions")
    name = workshop.name(resource, properties, "FunctionName", 64)
    known = {spec.name: spec.asynchronous for spec in workshop.services.functions.specs()}
    spec = FunctionSpec(
        name=name,
        handler=properties["Handler"],
        code=_code(workshop, properties["Code"]),
        layers=tuple(_layer_folder(workshop, arn) for arn in properties.get("Layers", [])),
        environment={
            key: as_text(value) for key, value in properties.get("Environment", {}).get("Variables", {}).items()
        },
        role_arn=properties["Role"],
        timeout=float(properties.get("Timeout", 3)),
        memory_mb=int(properties.get("MemorySize", 128)),
        tmp_mb=int(properties.get("EphemeralStorage", {}).get("Size", 512)),
        concurrency=None if reserved is None else int(reserved),
        runtime=properties["Runtime"],
        architecture=properties.get("Architectures", ["x86_64"])[0],
        asynchronous=replace(
            known.get(name, AsyncConfig()), dead_letter_queue=properties.get("DeadLetterConfig", {}).get("TargetArn")
        ),
        log_group=properties.get("LoggingConfig", {}).get("LogGroup"),
    )
    if not workshop.services.behalf.assume("lambda.amazonaws.com", spec.role_arn, spec.arn(workshop.region)):
        message = "The role defined for the function cannot be assumed by Lambda."
        raise AwsError("InvalidParameterValueException", message)
    return Made(spec.name, {"Arn": workshop.services.functions.ensure_function(spec)})


def _delete_function(workshop: Workshop, physical_id: str, properties: Properties) -> None:
    workshop.services.functions.forget(physical_id)


def _function_exists(workshop: Workshop, properties: Properties) -> bool:
    return any(spec.name == properties["FunctionName"] for spec in workshop.services.functions.specs())


def _layer_folder(workshop: Workshop, arn: str) -> Path:
    if arn not in workshop.services.layers:
        raise TemplateError(f"the layer {arn} is no layer of a stack, and the laptop has no other")
    return workshop.services.layers[arn]


def _code(workshop: Workshop, code: Properties) -> Path:
    """The asset's folder, or a folder with the inline code as `index.py`."""
    if "S3Key" in code:
        return _asset(workshop, code)
    if "ZipFile" not in code:
        raise TemplateError("its code is neither an asset nor inline")
    folder = workshop.services.scratch / "inline" / hashlib.sha256(code["ZipFile"].encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.py").write_text(code["ZipFile"])
    return folder


def _event_invoke_config(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    if properties["Qualifier"] != "$LATEST":
        raise TemplateError("the laptop has no versions or aliases of functions but $LATEST")
    functions = workshop.services.functions
    spec = functions.spec(properties["FunctionName"])
    destinations = properties.get("DestinationConfig", {})
    asynchronous = replace(
        spec.asynchronous,
        retries=int(properties.get("MaximumRetryAttempts", 2)),
        max_age_seconds=float(properties.get("MaximumEventAgeInSeconds", 21600)),
        on_success=destinations.get("OnSuccess", {}).get("Destination"),
        on_failure=destinations.get("OnFailure", {}).get("Destination"),
    )
    functions.ensure_function(replace(spec, asynchronous=asynchronous))
    return Made(spec.name)


def _delete_event_invoke_config(workshop: Workshop, physical_id: str, properties: Properties) -> None:
    functions = workshop.services.functions
    spec = functions.spec(properties["FunctionName"])
    plain = AsyncConfig(dead_letter_queue=spec.asynchronous.dead_letter_queue)
    functions.ensure_function(replace(spec, asynchronous=plain))


def _event_source_mapping(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    mapping = EventSourceMapping(
        queue_arn=properties["EventSourceArn"],
        function=properties["FunctionName"],
        batch_size=int(properties.get("BatchSize", 10)),
        window_seconds=float(properties.get("MaximumBatchingWindowInSeconds", 0)),
        max_concurrency=_maximum(properties.get("ScalingConfig", {})),
        report_batch_item_failures="ReportBatchItemFailures" in properties.get("FunctionResponseTypes", []),
        filters=_record_filter(properties.get("FilterCriteria", {}).get("Filters", [])),
    )
    _check_visibility(workshop, mapping)
    spec = workshop.services.functions.spec(mapping.function)
    workshop.services.behalf.map(spec.role_arn, spec.name, mapping.queue_arn)
    if is_true(properties.get("Enabled", True)):
        workshop.services.pollers.put(mapping)
    else:
        workshop.services.pollers.remove(mapping.uuid)
    return Made(mapping.uuid, {"Id": mapping.uuid})


def _delete_event_source_mapping(workshop: Workshop, physical_id: str, properties: Properties) -> None:
    workshop.services.pollers.remove(physical_id)


def _maximum(scaling: Properties) -> int | None:
    return int(scaling["MaximumConcurrency"]) if "MaximumConcurrency" in scaling else None


def _record_filter(filters: list[Properties]) -> Callable[[Mapping[str, Any]], bool] | None:
    patterns = [compile_pattern(json.loads(one["Pattern"])) for one in filters]
    return (lambda record: any(matches(record) for matches in patterns)) if patterns else None


def _check_visibility(workshop: Workshop, mapping: EventSourceMapping) -> None:
    """Lambda refuses a queue that would show a message again while the function still works on it."""
    visibility = workshop.services.sqs.visibility_timeout(mapping.queue_arn)
    timeout = int(workshop.services.functions.spec(mapping.function).timeout)
    if visibility < timeout:
        raise TemplateError(
            f"Queue visibility timeout: {visibility} seconds is less than Function timeout: {timeout} seconds"
        )


def _state_machine(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    if properties.get("StateMachineType", "STANDARD") != "STANDARD":
        raise TemplateError("the laptop runs no EXPRESS workflows")
    name = workshop.name(resource, properties, "StateMachineName", 80)
    text = properties.get("DefinitionString") or json.dumps(properties["Definition"])
    for variable, value in properties.get("DefinitionSubstitutions", {}).items():
        text = text.replace(f"${{{variable}}}", as_text(value))
    arn = workshop.arn("states", f"stateMachine:{name}")
    if not workshop.services.behalf.assume("states.amazonaws.com", properties["RoleArn"], arn):
        raise not_taken()
    workshop.services.stepfunctions.ensure_state_machine(name, json.loads(text), properties["RoleArn"], properties)
    return Made(arn, {"Arn": arn, "Name": name})


def _state_machine_exists(workshop: Workshop, properties: Properties) -> bool:
    arn = workshop.arn("states", f"stateMachine:{properties['StateMachineName']}")
    with unless_gone():
        workshop.services.clients.get("stepfunctions", None).describe_state_machine(stateMachineArn=arn)
        return True
    return False


KINDS = {
    "AWS::Lambda::LayerVersion": Kind(
        _layer,
        delete=_delete_layer,
        create_only="*",
        knows="Content LayerName",
        ignores="CompatibleRuntimes CompatibleArchitectures Description LicenseInfo",
    ),
    "AWS::Lambda::Function": Kind(
        _function,
        delete=_delete_function,
        create_only="FunctionName PackageType",
        named="FunctionName",
        exists=_function_exists,
        knows="Architectures Code DeadLetterConfig EphemeralStorage Environment FunctionName Handler Layers "
        "LoggingConfig MemorySize PackageType ReservedConcurrentExecutions Role Runtime Timeout",
        ignores="Description TracingConfig RuntimeManagementConfig RecursiveLoop",
    ),
    "AWS::Lambda::EventInvokeConfig": Kind(
        _event_invoke_config,
        delete=_delete_event_invoke_config,
        create_only="FunctionName Qualifier",
        knows="DestinationConfig FunctionName MaximumEventAgeInSeconds MaximumRetryAttempts Qualifier",
    ),
    "AWS::Lambda::EventSourceMapping": Kind(
        _event_source_mapping,
        delete=_delete_event_source_mapping,
        create_only="EventSourceArn FunctionName",
        knows="BatchSize Enabled EventSourceArn FilterCriteria FunctionName FunctionResponseTypes "
        "MaximumBatchingWindowInSeconds ScalingConfig",
    ),
    "AWS::StepFunctions::StateMachine": Kind(
        _state_machine,
        delete=deleting("stepfunctions", "delete_state_machine", "stateMachineArn"),
        create_only="StateMachineName StateMachineType",
        named="StateMachineName",
        exists=_state_machine_exists,
        knows="Definition DefinitionString DefinitionSubstitutions RoleArn StateMachineName StateMachineType "
        "LoggingConfiguration TracingConfiguration",
        ignores="EncryptionConfiguration",
    ),
}

"""A request held against AWS's own model of the API, and against what of it the laptop offers."""

from typing import Any

from local.shapes import detected, input_shape, violations
from local.wire import AwsError

_NOT_OFFERED = frozenset(
    (
        "AppSyncParameters",
        "BatchParameters",
        "EcsParameters",
        "EndpointId",
        "HttpParameters",
        "KinesisParameters",
        "RedshiftDataParameters",
        "RunCommandParameters",
        "SageMakerPipelineParameters",
        "Tags",
    )
)


def check(operation: str, request: Any) -> None:
    """Refuse a request that breaks the model, or asks for what the laptop does not offer."""
    found = list(violations(input_shape("events", operation), request, not_offered=_NOT_OFFERED))
    for one in found:
        if one.rule == "type":
            raise AwsError("SerializationException", f"The value at '{one.dotted or '/'}' is not {one.wanted}")
        if one.rule == "offered":
            raise AwsError("ValidationException", f"The laptop does not offer {one.path[-1]}")
    if found:
        raise AwsError("ValidationException", detected(found))

"""A request held against AWS's own model of the API, and against what of it the laptop offers."""

from typing import Any

from local.dynamodb.errors import invalid, malformed
from local.shapes import detected, input_shape, violations

_NOT_OFFERED = frozenset(
    (
        "AttributesToGet",
        "AttributeUpdates",
        "ConditionalOperator",
        "Expected",
        "GlobalTableSettingsReplicationMode",
        "GlobalTableSourceArn",
        "KeyConditions",
        "QueryFilter",
        "ResourcePolicy",
        "ScanFilter",
        "VectorIndexes",
    )
)
_ONLY = {"ReturnConsumedCapacity": "NONE", "ReturnItemCollectionMetrics": "NONE"}


def check(operation: str, request: dict[str, Any]) -> None:
    """Refuse a request that breaks the model, or asks for what the laptop does not offer."""
    found = list(violations(input_shape("dynamodb", operation), request, not_offered=_NOT_OFFERED))
    for one in found:
        if one.rule == "type":
            raise malformed(f"Unexpected type of value at '{one.dotted}', expected {one.shape.type_name}")
        if one.rule == "offered":
            raise invalid(f"The laptop does not offer {one.path[-1]}")
    if found:
        raise invalid(detected(found))
    for name, only in _ONLY.items():
        if request.get(name, only) != only:
            raise invalid(f"The laptop does not offer {name} {request[name]}")

"""A request held against Bedrock's own models: `bedrock-runtime`, and `bedrock` for the control plane."""

from typing import Any

from botocore.model import StructureShape

from local.shapes import detected, input_shape, violations
from local.wire import AwsError


def check(operation: str, request: dict[str, Any], service: str = "bedrock-runtime") -> None:
    """Refuse a request that breaks the model; of the members of a union, exactly one is given."""
    shape = input_shape(service, operation)
    found = list(violations(shape, request))
    for one in found:
        if one.rule == "type":
            raise AwsError("SerializationException", f"The value at '{one.dotted or '/'}' is not {one.wanted}")
    if found:
        raise AwsError("ValidationException", detected(found))
    for name, member in shape.members.items():
        given = request.get(name)
        if isinstance(member, StructureShape) and member.is_tagged_union and given is not None and len(given) != 1:
            raise AwsError("ValidationException", f"{name}: exactly one of [{', '.join(member.members)}] is required")

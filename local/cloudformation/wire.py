"""CloudFormation's query protocol: requests as forms, answers in XML, both by the SDK's own model."""

import re
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from botocore.loaders import Loader
from botocore.model import ListShape, OperationModel, ServiceModel, Shape, StringShape, StructureShape
from werkzeug.wrappers import Request, Response

from local.wire import AwsError

_NAMESPACE = "http://cloudformation.amazonaws.com/doc/2010-05-15/"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@cache
def service_model() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("cloudformation", "service-2"), "cloudformation")


def read_form(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.get_data().decode(), keep_blank_values=True)) | request.args.to_dict()


def read_input(operation: OperationModel, form: Mapping[str, str]) -> dict[str, Any]:
    """The request, its members as the model names them; ValidationError for what breaks the model."""
    if operation.input_shape is None:
        return {}
    given: dict[str, Any] = _read(operation.input_shape, form, "") or {}
    if found := list(_violations(operation.input_shape, given, "")):
        noun = "error" if len(found) == 1 else "errors"
        raise invalid(f"{len(found)} validation {noun} detected: {'; '.join(found)}")
    return given


def answer(operation: OperationModel, result: Mapping[str, Any]) -> Response:
    shape = operation.output_shape
    inner = _write(shape, result) if shape else ""
    wrapper = f"{operation.name}Result"
    body = (
        f'<{operation.name}Response xmlns="{_NAMESPACE}"><{wrapper}>{inner}</{wrapper}>'
        f"<ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata></{operation.name}Response>"
    )
    return Response(body, content_type="text/xml")


def refusal(error: AwsError) -> Response:
    kind = "Sender" if error.status < 500 else "Receiver"
    body = (
        f'<ErrorResponse xmlns="{_NAMESPACE}"><Error><Type>{kind}</Type><Code>{error.code}</Code>'
        f"<Message>{_text(error.message)}</Message></Error><RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>"
    )
    return Response(body, status=error.status, content_type="text/xml")


def invalid(message: str) -> AwsError:
    return AwsError("ValidationError", message)


def _read(shape: Shape, form: Mapping[str, str], place: str) -> Any:
    """What the form has at a place, None where it has nothing."""
    if isinstance(shape, StructureShape):
        dot = f"{place}." if place else ""
        found = {name: _read(member, form, f"{dot}{name}") for name, member in shape.members.items()}
        return {name: value for name, value in found.items() if value is not None} or None
    if isinstance(shape, ListShape):
        return _read_list(shape, form, place)
    text = form.get(place)
    return None if text is None else _read_scalar(shape, text, place)


def _read_list(shape: ListShape, form: Mapping[str, str], place: str) -> list[Any] | None:
    if form.get(place) == "":
        return []  # how an empty list is sent
    items: list[Any] = []
    while (item := _read(shape.member, form, f"{place}.member.{len(items) + 1}")) is not None:
        items.append(item)
    return items or None


def _read_scalar(shape: Shape, text: str, place: str) -> Any:
    if shape.type_name == "boolean":
        return text.lower() == "true"
    if shape.type_name in ("integer", "long"):
        if not text.lstrip("-").isdecimal():
            raise AwsError("MalformedInput", f"{place} is no number")
        return int(text)
    return text


def _violations(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if isinstance(shape, StructureShape):
        dot = f"{path}." if path else ""
        for name in shape.required_members:
            if value.get(name) is None:
                yield _violation(None, f"{dot}{_lower(name)}", "Member must not be null")
        for name, member in shape.members.items():
            if value.get(name) is not None:
                yield from _violations(member, value[name], f"{dot}{_lower(name)}")
    elif isinstance(shape, ListShape):
        for number, item in enumerate(value, 1):
            yield from _violations(shape.member, item, f"{path}.{number}.member")
    elif isinstance(shape, StringShape):
        yield from _string_violations(shape, value, path)


def _string_violations(shape: StringShape, value: str, path: str) -> Iterator[str]:
    low, high, pattern = (shape.metadata.get(name) for name in ("min", "max", "pattern"))
    if low is not None and len(value) < low:
        yield _violation(value, path, f"Member must have length greater than or equal to {low}")
    if high is not None and len(value) > high:
        yield _violation(value, path, f"Member must have length less than or equal to {high}")
    if pattern and not re.fullmatch(pattern, value):
        yield _violation(value, path, f"Member must satisfy regular expression pattern: {pattern}")
    if shape.enum and value not in shape.enum:
        yield _violation(value, path, f"Member must satisfy enum value set: [{', '.join(shape.enum)}]")


def _violation(value: str | None, path: str, constraint: str) -> str:
    shown = "null" if value is None else f"'{value}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: {constraint}"


def _lower(name: str) -> str:
    return name[0].lower() + name[1:]


def _write(shape: Shape, value: Any) -> str:
    if isinstance(shape, StructureShape):
        return "".join(
            f"<{name}>{_write(member, value[name])}</{name}>"
            for name, member in shape.members.items()
            if value.get(name) is not None
        )
    if isinstance(shape, ListShape):
        return "".join(f"<member>{_write(shape.member, item)}</member>" for item in value)
    if shape.type_name == "timestamp":
        return datetime.fromtimestamp(value, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if shape.type_name == "boolean":
        return str(value).lower()
    return _text(str(value))


def _text(text: str) -> str:
    return escape(_NOT_XML.sub("?", text))

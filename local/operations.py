"""Which operation of AWS a request asks for, told from the SDK's own models before any service has looked at it."""

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from urllib.parse import parse_qs, quote, unquote

from botocore.exceptions import UnknownServiceError
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel
from werkzeug.wrappers import Request

from local.s3.call import SUBRESOURCES, bucket_and_key, subresource_of
from local.wire import AwsError

# The SDK names its models otherwise than requests are signed.
_MODELS = {"bedrock": ("bedrock-runtime", "bedrock"), "monitoring": ("cloudwatch",), "states": ("stepfunctions",)}
_LABEL = re.compile(r"\{(\w+)(\+?)\}")


@dataclass(frozen=True)
class Asked:
    """An operation as the SDK's model names it (`PutObject`), and what the path says of its input (`Bucket`, `Key`).

    A form posted to a bucket, which no model knows, is `PostObject`.
    """

    service: str
    operation: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class _Route:
    operation: str
    path: re.Pattern[str]
    query: frozenset[tuple[str, str]]  # `?list-type=2`; `?tagging` means any value
    query_names: frozenset[str]  # parameters that the input requires
    headers: frozenset[str]

    @property
    def weight(self) -> int:
        """Of two that fit, the one that demands more is meant: UploadPart is a PutObject with two parameters."""
        return len(self.query) + len(self.query_names) + len(self.headers)

    def labels(self, path: str, arguments: Mapping[str, str], request: Request) -> Mapping[str, str] | None:
        """What the path says, None where the request is not for this operation."""
        for name, value in self.query:
            if name not in arguments or value not in ("", arguments[name]):
                return None
        if not self.query_names <= arguments.keys():
            return None
        found = self.path.fullmatch(path)
        if found is None or not all(name in request.headers for name in self.headers):
            return None
        return {name: unquote(value) for name, value in found.groupdict().items()}


def asked_of(service: str, request: Request) -> Asked | None:
    """What a request signed for `service` asks for; None where no model has it."""
    routes = _routes(service)
    if not routes:
        name = _name(service, request)
        return Asked(service, name, {}) if name else None
    path: str = request.environ["REQUEST_URI"].partition("?")[0]
    arguments = request.args.to_dict()
    if service == "s3":
        try:
            bucket, key = bucket_and_key(request)
        except AwsError:
            return None
        path = f"/{quote(bucket, safe='')}/{quote(key)}" if bucket else "/"
        others = set(SUBRESOURCES) - {subresource_of(arguments)}
        arguments = {name: value for name, value in arguments.items() if name not in others}
    for route in routes.get(request.method, ()):
        if (labels := route.labels(path, arguments, request)) is not None:
            return Asked(service, route.operation, labels)
    if service == "s3" and request.method == "POST" and request.mimetype == "multipart/form-data":
        return Asked(service, "PostObject", {"Bucket": bucket})
    return None


def name_of(service: str, request: Request) -> str:
    """The operation's name for somebody who is told of it; where no model has it, method and path."""
    asked = asked_of(service, request)
    return asked.operation if asked else f"{request.method} {request.path}"


def _name(service: str, request: Request) -> str | None:
    """What a request says by itself; None where it says two things, of which its service may take either."""
    models = models_of(service)
    names = _actions(request)
    target = request.headers.get("X-Amz-Target")
    if target and (not models or any("targetPrefix" in model.metadata for model in models)):
        names.add(target.rpartition(".")[2])
    return names.pop() if len(names) == 1 else None


def _actions(request: Request) -> set[str]:
    """Of the query protocol, in the URL or in a form; what a form of parts says is not read here."""
    if request.mimetype == "multipart/form-data":
        return set()
    found = set(request.args.getlist("Action"))
    if request.mimetype == "application/x-www-form-urlencoded":
        body = request.get_data()
        request.environ["wsgi.input"] = io.BytesIO(body)  # whoever answers reads it again
        found.update(parse_qs(body.decode(errors="replace")).get("Action", ()))
    return found


@cache
def _routes(service: str) -> Mapping[str, list[_Route]]:
    """By method, the most demanding first."""
    routes: dict[str, list[_Route]] = {}
    for model in models_of(service):
        if "rest" in model.metadata["protocol"]:
            for name in model.operation_names:
                operation = model.operation_model(name)
                if not operation.deprecated:
                    routes.setdefault(operation.http["method"], []).append(_route(operation))
    for some in routes.values():
        some.sort(key=lambda route: -route.weight)
    return routes


@cache
def models_of(service: str) -> tuple[ServiceModel, ...]:
    """The SDK's models of the service with this signing name; Bedrock has two, an unknown one none."""
    names = _MODELS.get(service, (service,))
    try:
        return tuple(ServiceModel(Loader().load_service_model(name, "service-2"), name) for name in names)
    except UnknownServiceError:
        return ()


def _route(operation: OperationModel) -> _Route:
    path, _, query = operation.http["requestUri"].partition("?")
    pairs = frozenset(part.partition("=")[::2] for part in query.split("&") if part)
    shape = operation.input_shape
    places = [shape.members[name].serialization for name in shape.required_members] if shape else []
    return _Route(
        operation.name,
        re.compile("".join(_pattern(path))),
        pairs,
        frozenset(place["name"] for place in places if place.get("location") == "querystring"),
        frozenset(place["name"] for place in places if place.get("location") == "header"),
    )


def _pattern(path: str) -> Iterator[str]:
    end = 0
    for label in _LABEL.finditer(path):
        yield re.escape(path[end : label.start()])
        name, greedy = label.groups()
        yield f"(?P<{name}>.+)" if greedy else f"(?P<{name}>[^/]+)"
        end = label.end()
    yield re.escape(path[end:]) + "/?"

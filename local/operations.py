"""Which operation of AWS a request asks for, told from the SDK's own models before any service has looked at it."""

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from urllib.parse import parse_qs, unquote

from botocore.exceptions import UnknownServiceError
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel
from werkzeug.wrappers import Request

from local.s3.call import bucket_of_host

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
    query: frozenset[tuple[str, str]]  # `?list-type=2`
    query_names: frozenset[str]  # parameters that the input requires
    headers: frozenset[str]

    @property
    def weight(self) -> int:
        """Of two that fit, the one that demands more is meant: UploadPart is a PutObject with two parameters."""
        return len(self.query) + len(self.query_names) + len(self.headers)

    def labels(self, path: str, arguments: Mapping[str, str], request: Request) -> Mapping[str, str] | None:
        """What the path says, None where the request is not for this operation."""
        for name, value in self.query:
            if arguments.get(name) != value:
                return None
        if not self.query_names <= arguments.keys():
            return None
        found = self.path.fullmatch(path)
        if found is None or not all(name in request.headers for name in self.headers):
            return None
        return {name: unquote(value) for name, value in found.groupdict().items()}


def asked_of(service: str, request: Request) -> Asked | None:
    """What a request signed for `service` asks for; None where no model has it."""
    if (target := request.headers.get("X-Amz-Target")) and not _routes(service):
        return Asked(service, target.rpartition(".")[2], {})
    path: str = request.environ["REQUEST_URI"].partition("?")[0]
    if service == "s3" and (bucket := bucket_of_host(request.host)):
        path = f"/{bucket}{path}"
    arguments = request.args.to_dict()
    for route in _routes(service).get(request.method, ()):
        if (labels := route.labels(path, arguments, request)) is not None:
            return Asked(service, route.operation, labels)
    if service == "s3" and request.method == "POST" and request.mimetype == "multipart/form-data":
        return Asked(service, "PostObject", {"Bucket": unquote(path.strip("/"))})
    action = _action(request) if service != "s3" else None
    return Asked(service, action, {}) if action else None


def _action(request: Request) -> str | None:
    """Of the query protocol, in the URL or in a form."""
    if request.mimetype == "application/x-www-form-urlencoded":
        body = request.get_data()
        request.environ["wsgi.input"] = io.BytesIO(body)  # whoever answers reads it again
        if found := parse_qs(body.decode(errors="replace")).get("Action"):
            return found[0]
    return request.args.get("Action")


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

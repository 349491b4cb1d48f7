"""What botocore's model of S3 Vectors says a request must be, as requests that break it: one row for each rule.

Nothing here is a list of operations or members: a new SDK brings its own rows.
"""

import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import quote, urlsplit

import orjson
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.model import ListShape, MapShape, OperationModel, Shape, StringShape, StructureShape

from local.shapes import service_model

Json = dict[str, Any]

BUCKET, INDEX = "films", "scenes"
BUCKET_ARN = f"arn:aws:s3vectors:us-east-1:000000000000:bucket/{BUCKET}"
INDEX_ARN = f"{BUCKET_ARN}/index/{INDEX}"
# What a valid request says where a name, an ARN or a document is asked for.
_VALID = {
    "VectorBucketName": BUCKET,
    "VectorBucketArn": BUCKET_ARN,
    "IndexName": INDEX,
    "IndexArn": INDEX_ARN,
    "ResourceARN": BUCKET_ARN,
    "KmsKeyArn": "arn:aws:kms:us-east-1:000000000000:key/k",
    "VectorBucketPolicy": '{"Version": "2012-10-17", "Statement": []}',
}
# What no model says an operation needs.
_ALSO_NEEDED: dict[str, Json] = {
    "QueryVectors": {"queryVector": {"float32": [1.0]}},
    "UpdateMetadataConfiguration": {"add": {"textSearchConfigurations": [{"metadataKey": "text"}]}},
}
_WRONG_TYPES: Mapping[str, Any] = {
    "string": 7,
    "integer": "seven",
    "boolean": "true",
    "float": "seven",
    "list": {},
    "map": [],
    "structure": [],
}


@dataclass(frozen=True)
class Answer:
    status: int
    code: str | None  # of an error, as the SDKs read it from the header
    body: Json
    paths: tuple[str, ...] = ()  # of `fieldList`


@dataclass(frozen=True)
class Row:
    """A request that breaks one rule, and what S3 Vectors answers. Without a `code` the rule cannot be broken."""

    operation: str
    kind: str
    path: str
    request: Json = field(repr=False)
    status: int = 400
    code: str | None = "ValidationException"

    @property
    def name(self) -> str:
        return f"{self.operation}-{self.kind}-{self.path}"


@dataclass(frozen=True)
class Declared:
    """An exception that an operation's model declares."""

    operation: str
    code: str
    status: int

    @property
    def name(self) -> str:
        return f"{self.operation}-{self.code}"


# A key that the laptop did not give out is the local user's; what is not signed at all is for S3.
_SIGNED_BY_SOMEBODY = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=somebody/20261121/us-east-1/s3vectors/aws4_request, "
    "SignedHeaders=host, Signature=0",
    "X-Amz-Date": "20261121T000000Z",
}


class Wire:
    """Requests as bytes, so that no SDK looks at them first."""

    def __init__(self, endpoint: str, signer: Credentials | None = None) -> None:
        self.endpoint, self._signer = endpoint, signer
        self._connection = http.client.HTTPConnection(str(urlsplit(endpoint).netloc), timeout=60)

    def ask(self, operation: str, request: Mapping[str, Any]) -> Answer:
        model = service_model("s3vectors").operation_model(operation)
        return self.send(str(model.http["method"]), *encoded(model, request))

    def send(self, method: str, target: str, body: bytes) -> Answer:
        headers = self._signed(method, target, body) if self._signer else _SIGNED_BY_SOMEBODY
        self._connection.request(method, target, body, headers)
        response = self._connection.getresponse()
        text = response.read()
        said = orjson.loads(text) if method != "HEAD" else {}
        paths = tuple(each["path"] for each in said.get("fieldList", ()))
        return Answer(response.status, response.getheader("x-amzn-ErrorType"), said, paths)

    def control(self, method: str, target: str, body: Any) -> Answer:
        """Asks the laptop itself: not signed."""
        self._connection.request(method, target, json.dumps(body).encode())
        response = self._connection.getresponse()
        return Answer(response.status, response.getheader("x-amzn-ErrorType"), orjson.loads(response.read()))

    def _signed(self, method: str, target: str, body: bytes) -> dict[str, str]:
        request = AWSRequest(method, self.endpoint + target, data=body)
        SigV4Auth(self._signer, "s3vectors", "us-east-1").add_auth(request)
        return dict(request.headers.items())

    def close(self) -> None:
        self._connection.close()


def encoded(operation: OperationModel, request: Mapping[str, Any]) -> tuple[str, bytes]:
    """The target and body of a request."""
    where = locations(operation)
    target = str(operation.http["requestUri"])
    query = []
    for name, location in where.items():
        if location == "uri":
            target = target.replace(f"{{{name}}}", quote(str(request.get(name, "")), safe=""))
        else:
            query += [f"{name}={quote(str(each), safe='')}" for each in request.get(name, ())]
    body = {name: value for name, value in request.items() if name not in where}
    return target + ("?" + "&".join(query) if query else ""), json.dumps(body).encode() if body else b""


def locations(operation: OperationModel) -> dict[str, str]:
    """The members that are not in the body: name → `uri` or `querystring`."""
    members = input_of(operation.name).members.items()
    found = {name: shape.serialization.get("location") for name, shape in members}
    return {name: str(location) for name, location in found.items() if location}


@cache
def operations() -> tuple[str, ...]:
    return tuple(service_model("s3vectors").operation_names)


def declared() -> list[Declared]:
    """Every exception of every operation; one without a status of its own is the sender's fault, 400."""
    found = []
    for name in operations():
        for shape in service_model("s3vectors").operation_model(name).error_shapes:
            status = shape.metadata.get("error", {}).get("httpStatusCode", 400)
            found.append(Declared(name, shape.error_code, status))
    return found


def rows() -> list[Row]:
    """Every rule of every member of every input."""
    return [
        Row(name, *breach)
        for name in operations()
        for breach in _of_input(service_model("s3vectors").operation_model(name))
    ]


def usual_request(operation: str) -> Json:
    """One that can be carried out."""
    return {**valid_request(operation), **_ALSO_NEEDED.get(operation, {})}


def valid_request(operation: str) -> Json:
    """The least that the model takes."""
    shape = input_of(operation)
    named = ["vectorBucketName"] + (["indexName"] if "indexArn" in shape.members else [])
    names = {name: valid(shape.members[name]) for name in named if name in shape.members}
    return {**valid(shape), **names}


def input_of(operation: str) -> StructureShape:
    shape = service_model("s3vectors").operation_model(operation).input_shape
    assert isinstance(shape, StructureShape)
    return shape


def arn_of(operation: str) -> str | None:
    """The member that names the resource of an operation which takes names too."""
    return next((name for name in ("indexArn", "vectorBucketArn") if name in input_of(operation).members), None)


def valid(shape: Shape) -> Any:
    """The least that fits the shape."""
    low = shape.metadata.get("min", 0)
    if isinstance(shape, StructureShape):
        if shape.metadata.get("document"):
            return {}
        return {name: valid(shape.members[name]) for name in _required(shape)}
    if isinstance(shape, ListShape):
        return [valid(shape.member)] * max(1, low)
    if isinstance(shape, MapShape):
        return {valid(shape.key): valid(shape.value)}
    if isinstance(shape, StringShape):
        return _VALID.get(shape.name) or (shape.enum[-1] if shape.enum else "x" * max(1, low))
    return {"integer": max(1, low), "boolean": True, "float": 1.0}[shape.type_name]


# kind, path, the request, and where they are not those of a ValidationException, status and code
Breach = tuple[Any, ...]
Place = Callable[[Any], Json]


def _of_input(operation: OperationModel) -> Iterator[Breach]:
    shape = input_of(operation.name)
    where, base = locations(operation), valid_request(operation.name)
    for name in _required(shape):
        if where.get(name) != "uri":  # a path without it is another path
            yield "required", f"/{name}", _without(base, name)
    for name, member in shape.members.items():
        breaches = _of_shape(member, f"/{name}", _placed(base, name, lambda request: request))
        yield from (each for each in breaches if not (name in where and each[0] == "type"))  # a URL holds text only


def _of_shape(shape: Shape, path: str, place: Place) -> Iterator[Breach]:
    if isinstance(shape, StructureShape) and shape.metadata.get("document"):
        return  # free JSON
    yield "type", path, place(_WRONG_TYPES[shape.type_name]), 400, "SerializationException"
    yield from _of_bounds(shape, path, place)
    if isinstance(shape, StructureShape):
        least = valid(shape)
        for name in _required(shape):
            yield "required", f"{path}/{name}", place(_without(least, name))
        for name, member in shape.members.items():
            yield from _of_shape(member, f"{path}/{name}", _placed(least, name, place))
    elif isinstance(shape, ListShape):
        yield from _of_shape(shape.member, f"{path}/0", lambda value: place([value]))
    elif isinstance(shape, MapShape):
        key, value = valid(shape.key), valid(shape.value)
        on_keys = _of_shape(shape.key, path, lambda bad: place({bad: value}))
        yield from (each for each in on_keys if each[0] != "type")  # JSON's names are text
        yield from _of_shape(shape.value, f"{path}/{key}", lambda bad: place({key: bad}))


def _of_bounds(shape: Shape, path: str, place: Place) -> Iterator[Breach]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    sized = not isinstance(shape, StringShape | ListShape)
    if low is not None:
        if sized or low > 0:
            yield "min", path, place(_of_size(shape, low - 1))
        else:
            yield "min", path, place(_of_size(shape, 0)), 200, None
    if high is not None:
        yield "max", path, place(_of_size(shape, high + 1))
    if isinstance(shape, StringShape) and shape.enum:
        yield "enum", path, place("no such value")
    if "pattern" in shape.metadata:
        yield "pattern", path, place("#" * max(1, low or 1))


def _of_size(shape: Shape, size: int) -> Any:
    if isinstance(shape, ListShape):
        return [valid(shape.member)] * size
    if isinstance(shape, StringShape):
        return str(valid(shape)).ljust(size, "x")[:size]
    return size


def _placed(base: Json, name: str, place: Place) -> Place:
    return lambda value: place({**base, name: value})


def _without(base: Json, name: str) -> Json:
    return {other: value for other, value in base.items() if other != name}


def _required(shape: StructureShape) -> list[str]:
    """Of a union its members: each here has one."""
    return list(shape.members) if shape.metadata.get("union") else list(shape.metadata.get("required", []))

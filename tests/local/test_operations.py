"""Which operation a request asks for, told for every operation of the services that the laptop offers."""

import contextlib
import io
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest
from botocore.config import Config
from botocore.model import ListShape, MapShape, Shape, StructureShape
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from local.operations import asked_of

SERVICES = (
    *("s3", "s3vectors", "lambda", "bedrock", "bedrock-runtime", "dynamodb", "sqs", "stepfunctions", "events"),
    *("sts", "iam", "ssm", "cloudformation"),
)
SIGNING = {"stepfunctions": "states", "bedrock-runtime": "bedrock"}
TEXTS = {"Bucket": "some-bucket", "CopySource": "other-bucket/key", "AccountId": "000000000000"}
NOT_ASKED = {
    "s3": {"ListDirectoryBuckets", "CreateSession", "WriteGetObjectResponse"},  # only for other kinds of bucket
    "bedrock-runtime": {"InvokeModelWithBidirectionalStream"},  # HTTP/2
}


class SentError(Exception):
    """Ends a call where its request would leave."""


def smallest(shape: Shape, name: str = "") -> Any:
    """The least that the SDK takes for it."""
    match shape:
        case StructureShape() if shape.metadata.get("union"):
            first = next(iter(shape.members))
            return {first: smallest(shape.members[first], first)}
        case StructureShape():
            return {each: smallest(shape.members[each], each) for each in shape.required_members}
        case ListShape():
            return [smallest(shape.member)] * max(1, shape.metadata.get("min", 0))
        case MapShape():
            return {}
    match shape.type_name:
        case "string":
            return TEXTS.get(name) or (shape.enum[0] if shape.enum else "a" * max(1, shape.metadata.get("min", 0)))
        case "blob":
            return b"x"
        case "boolean":
            return True
        case "timestamp":
            return "2026-01-01T00:00:00Z"
        case _:
            return shape.metadata.get("min", 1)


def sent(client: Any, operation: str) -> Request:
    """What the SDK would send."""
    kept: list[AWSPreparedRequest] = []

    def keep(request: AWSPreparedRequest, **_: Any) -> None:
        kept.append(request)
        raise SentError

    client.meta.events.register("before-send", keep)
    method = {client.meta.method_to_api_mapping[name]: name for name in client.meta.method_to_api_mapping}[operation]
    shape = client.meta.service_model.operation_model(operation).input_shape
    with contextlib.suppress(SentError):
        getattr(client, method)(**(smallest(shape) if shape else {}))
    client.meta.events.unregister("before-send", keep)
    request = kept[0]
    url = urlsplit(request.url)
    body = request.body.read() if hasattr(request.body, "read") else request.body or b""
    body = body.encode() if isinstance(body, str) else body
    headers = {name: value.decode() if isinstance(value, bytes) else value for name, value in request.headers.items()}
    builder = EnvironBuilder(
        path=url.path, query_string=url.query, method=request.method, headers=headers, input_stream=io.BytesIO(body)
    )
    environ = builder.get_environ()
    environ["CONTENT_LENGTH"] = str(len(body))
    environ["REQUEST_URI"] = f"{url.path}?{url.query}" if url.query else url.path
    return Request(environ)


@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_of_the_sdk_is_told_from_its_request(service: str) -> None:
    client = boto3.session.Session().client(
        service,
        region_name="us-east-1",
        endpoint_url="http://127.0.0.1:4566",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(s3={"addressing_style": "path"}),
    )
    model = client.meta.service_model
    names = [name for name in model.operation_names if name not in NOT_ASKED.get(service, ())]
    told = {}
    for name in names:
        asked = asked_of(SIGNING.get(service, service), sent(client, name))
        if not model.operation_model(name).deprecated and (asked is None or asked.operation != name):
            told[name] = asked
    assert told == {}
    assert len(names) > 5


def test_the_path_tells_bucket_and_key() -> None:
    environ = EnvironBuilder(path="/films/", method="PUT").get_environ()
    environ["REQUEST_URI"] = "/films/a%20b/c%2Bd/%E3%81%82?partNumber=2&uploadId=x"
    environ["QUERY_STRING"] = "partNumber=2&uploadId=x"
    asked = asked_of("s3", Request(environ))
    assert asked and (asked.operation, asked.labels) == ("UploadPart", {"Bucket": "films", "Key": "a b/c+d/あ"})


def asked(service: str, url: str, method: str = "GET", **headers: str) -> tuple[str, dict[str, str]] | None:
    """What a request with that path and query asks for, as its socket brought them."""
    query = url.partition("?")[2]
    environ = EnvironBuilder(path="/", query_string=query, method=method, headers=headers).get_environ()
    environ["REQUEST_URI"] = url
    found = asked_of(service, Request(environ))
    return (found.operation, dict(found.labels)) if found else None


@pytest.mark.parametrize(
    ("url", "operation", "labels"),
    [
        ("/films%2Fsecret", "GetObject", {"Bucket": "films", "Key": "secret"}),
        ("/films%2F", "ListObjects", {"Bucket": "films"}),
        ("http://somewhere/films/a%2Fb", "GetObject", {"Bucket": "films", "Key": "a/b"}),
        ("/films//a", "GetObject", {"Bucket": "films", "Key": "/a"}),
        ("//", "ListBuckets", {}),
        ("/films/a?tagging=1", "GetObjectTagging", {"Bucket": "films", "Key": "a"}),
        ("/films?versions=1", "ListObjectVersions", {"Bucket": "films"}),
        ("/films?uploads=1", "ListMultipartUploads", {"Bucket": "films"}),
        ("/films?notification=1", "GetBucketNotificationConfiguration", {"Bucket": "films"}),
        ("/films?notification&versions", "ListObjectVersions", {"Bucket": "films"}),
        ("/films?list-type=2&acl", "ListObjectsV2", {"Bucket": "films"}),
    ],
)
def test_s3_is_read_as_s3_reads_it(url: str, operation: str, labels: dict[str, str]) -> None:
    assert asked("s3", url) == (operation, labels)


def test_a_path_that_s3_cannot_read_asks_for_nothing() -> None:
    assert asked("s3", "/films/%ff") is None


def test_a_target_counts_where_services_go_by_it_and_two_names_for_nothing() -> None:
    target = {"X-Amz-Target": "x.DescribeStacks"}
    assert asked("cloudformation", "/?Action=ListStacks", **target) == ("ListStacks", {})
    assert asked("cloudformation", "/", **target) is None
    assert asked("cloudformation", "/?Action=ListStacks&Action=DeleteStack") is None
    assert asked("cloudformation", "/?Action=ListStacks", "POST", **{"Content-Type": "multipart/form-data"}) is None
    assert asked("ssm", "/", **{"X-Amz-Target": "AmazonSSM.GetParameter"}) == ("GetParameter", {})
    assert asked("ssm", "/?Action=PutParameter", **{"X-Amz-Target": "AmazonSSM.GetParameter"}) is None
    assert asked("s3vectors", "/%51ueryVectors?Action=ListVectors", "POST") is None


def test_a_form_is_read_without_taking_it_from_whoever_answers() -> None:
    environ = EnvironBuilder(method="POST", data={"Action": "GetCallerIdentity", "Version": "2011-06-15"}).get_environ()
    environ["REQUEST_URI"] = "/"
    asked = asked_of("sts", Request(environ))
    assert asked and asked.operation == "GetCallerIdentity"
    assert Request(environ).form["Version"] == "2011-06-15"


def test_what_no_model_knows_is_told_as_nothing() -> None:
    environ = EnvironBuilder(path="/favicon.ico", method="PATCH").get_environ()
    environ["REQUEST_URI"] = "/favicon.ico"
    assert asked_of("s3", Request(environ)) is None
    assert asked_of("no-such-service", Request(environ)) is None

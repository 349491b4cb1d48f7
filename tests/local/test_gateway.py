"""HTTP APIs on the laptop, over the wire: events, routes, answers, CORS, signatures and the folder at `/`."""

import base64
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from local.auth import Keyring
from local.functions import Functions, FunctionSpec, Invocation
from local.gateway import Gateway, UnsupportedApiError
from local.gateway_routes import Cors, Route, read_route, split_path
from local.http import HttpServer
from local.state import State
from local.wire import AwsError

ROLE = "arn:aws:iam::000000000000:role/caller"


class Echo:
    """Functions that return `answer`, or else the event; one more name refuses, one fails, one never ends."""

    def __init__(self) -> None:
        self.answer: Any = None
        self.release = threading.Event()

    def invoke(self, name_or_arn: str, payload: bytes) -> Invocation:
        if name_or_arn == "busy":
            raise AwsError("TooManyRequestsException", "Rate Exceeded.", 429)
        if name_or_arn == "slow":
            self.release.wait(5)
        error = "Unhandled" if name_or_arn == "fails" else None
        event = {**json.loads(payload), "function": name_or_arn}
        shown = {"statusCode": 200, "body": json.dumps(event)} if self.answer is None else self.answer
        return Invocation(json.dumps(shown).encode(), error, "")


class Caller:
    """Sends requests exactly as written."""

    def __init__(self, port: int) -> None:
        self.port = port

    def __call__(
        self, method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, target, body, headers or {})
            response = connection.getresponse()
            return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        finally:
            connection.close()

    def event(self, method: str, target: str, body: bytes | None = None, **headers: str) -> dict[str, Any]:
        status, _, data = self(method, target, body, {name.replace("_", "-"): text for name, text in headers.items()})
        assert status == 200, data
        event: dict[str, Any] = json.loads(data)
        return event


@pytest.fixture
def web(tmp_path: Path) -> Path:
    folder = tmp_path / "web"
    (folder / "docs").mkdir(parents=True)
    (folder / "index.html").write_text("<h1>start</h1>")
    (folder / "app.js").write_text("1")
    (folder / "docs" / "index.html").write_text("docs")
    (folder / "a b.txt").write_text("spaced")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    return folder


@pytest.fixture(scope="module")
def echo() -> Echo:
    return Echo()


@pytest.fixture(scope="module")
def started(echo: Echo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Caller, Keyring]]:
    keyring = Keyring(tmp_path_factory.mktemp("keys"))
    gateway = Gateway(echo, keyring, "us-east-1", integration_seconds=0.3)
    server = HttpServer(gateway, 0)
    server.start()
    yield gateway, Caller(server.port), keyring
    echo.release.set()
    server.stop()


@pytest.fixture
def gateway(started: tuple[Gateway, Caller, Keyring], echo: Echo) -> Gateway:
    echo.answer = None
    gateway = started[0]
    gateway._routes, gateway._web = [], None
    return gateway


@pytest.fixture
def send(started: tuple[Gateway, Caller, Keyring], gateway: Gateway) -> Caller:
    return started[1]


def add(gateway: Gateway, *keys: str, iam: bool = False, cors: dict[str, Any] | None = None) -> None:
    """Routes to functions that are called as their keys are."""
    authorization = "AWS_IAM" if iam else "NONE"
    gateway.add_api("api1", {"ProtocolType": "HTTP"}, [(key, key, authorization) for key in keys], cors)


def answered(send: Caller, method: str, target: str) -> Any:
    status, _, data = send(method, target)
    return json.loads(data)["function"] if status == 200 else (status, json.loads(data)["message"])


# Events


def test_an_event_has_every_field_of_payload_format_2(gateway: Gateway, send: Caller) -> None:
    add(gateway, "POST /a/{id}/{rest+}")
    event = send.event(
        "POST",
        "/a/b%20c/d/%C3%BC?x=1&x=2&y=%20z+&empty=",
        b'{"k": 1}',
        Content_Type="application/json",
        Cookie="c1=1; c2=2",
        X_Own="Value",
        User_Agent="me",
    )
    context = event.pop("requestContext")
    headers = event.pop("headers")
    assert event == {
        "version": "2.0",
        "routeKey": "POST /a/{id}/{rest+}",
        "rawPath": "/a/b c/d/ü",
        "rawQueryString": "x=1&x=2&y=%20z+&empty=",
        "cookies": ["c1=1", "c2=2"],
        "queryStringParameters": {"x": "1,2", "y": " z ", "empty": ""},
        "pathParameters": {"id": "b c", "rest": "d/ü"},
        "body": '{"k": 1}',
        "isBase64Encoded": False,
        "function": "POST /a/{id}/{rest+}",
    }
    assert headers["x-own"] == "Value"
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-port"] == str(send.port)
    assert "cookie" not in headers
    http_part = context.pop("http")
    assert http_part == {
        "method": "POST",
        "path": "/a/b c/d/ü",
        "protocol": "HTTP/1.1",
        "sourceIp": "127.0.0.1",
        "userAgent": "me",
    }
    assert context.pop("requestId").endswith("=")
    assert abs(context.pop("timeEpoch") / 1000 - _seconds(context.pop("time"))) < 1
    assert context == {
        "accountId": "000000000000",
        "apiId": "api1",
        "domainName": f"127.0.0.1:{send.port}",
        "domainPrefix": "127",
        "routeKey": "POST /a/{id}/{rest+}",
        "stage": "$default",
    }


def _seconds(time: str) -> float:
    from datetime import datetime

    return datetime.strptime(time, "%d/%b/%Y:%H:%M:%S %z").timestamp()


def test_what_a_request_does_not_have_is_left_out(gateway: Gateway, send: Caller) -> None:
    add(gateway, "$default")
    event = send.event("GET", "/")
    assert event["rawQueryString"] == ""
    assert not {"cookies", "queryStringParameters", "pathParameters", "body"} & event.keys()
    assert "authorizer" not in event["requestContext"]


@pytest.mark.parametrize(
    ("content_type", "body", "binary"),
    [
        ("application/json", b"{}", False),
        ("application/json; charset=utf-8", b"{}", False),
        ("text/csv", "ü".encode(), False),
        ("application/xml", b"<a/>", False),
        ("application/x-www-form-urlencoded", b"a=b", True),
        ("image/png", b"\x89PNG", True),
        ("", b"x", True),
        ("text/plain", b"\xff\xfe", True),
    ],
)
def test_bodies_that_are_no_text_come_in_base64(
    gateway: Gateway, send: Caller, content_type: str, body: bytes, binary: bool
) -> None:
    add(gateway, "POST /")
    event = send.event("POST", "/", body, **({"Content_Type": content_type} if content_type else {}))
    assert event["isBase64Encoded"] is binary
    assert (base64.b64decode(event["body"]) if binary else event["body"].encode()) == body


def test_a_path_ends_at_an_encoded_question_mark_as_on_aws(gateway: Gateway, send: Caller) -> None:
    add(gateway, "$default")
    event = send.event("GET", "/a%3Fb/c?q=1")
    assert (event["rawPath"], event["rawQueryString"]) == ("/a", "q=1")


# Routes


def test_the_most_specific_route_answers(gateway: Gateway, send: Caller) -> None:
    add(
        gateway,
        *("$default", "ANY /{proxy+}", "GET /pets/{proxy+}", "GET /pets/dog/{id}", "GET /pets/dog/1"),
        *("ANY /pets/dog/1", "POST /pets/{kind}/1"),
    )
    assert answered(send, "GET", "/pets/dog/1") == "GET /pets/dog/1"
    assert answered(send, "PUT", "/pets/dog/1") == "ANY /pets/dog/1"
    assert answered(send, "GET", "/pets/dog/2") == "GET /pets/dog/{id}"
    assert answered(send, "GET", "/pets/cat/1") == "GET /pets/{proxy+}"
    assert answered(send, "POST", "/pets/cat/1") == "POST /pets/{kind}/1"
    assert answered(send, "POST", "/test/5") == "ANY /{proxy+}"
    assert answered(send, "GET", "/") == "$default"


def test_no_route_is_not_found(gateway: Gateway, send: Caller) -> None:
    add(gateway, "GET /a/{id}", "GET /b/{proxy+}")
    for method, target in (
        *(("GET", "/"), ("POST", "/a/1"), ("GET", "/a/1/"), ("GET", "/a/"), ("GET", "/b"), ("GET", "/b/")),
        ("HEAD", "/a/1"),
    ):
        status, headers, data = send(method, target)
        assert (status, headers["content-type"]) == (404, "application/json")
        assert data == (b"" if method == "HEAD" else b'{"message": "Not Found"}')


_part = st.text(st.characters(codec="utf-8", exclude_characters="/?{}"), min_size=1, max_size=8)


@given(before=st.lists(_part, max_size=2), value=_part, rest=st.lists(_part, min_size=1, max_size=3))
def test_a_route_gives_back_the_parts_it_was_made_of(before: list[str], value: str, rest: list[str]) -> None:
    fixed = "".join(f"/{part}" for part in before)
    route = Route("key", "ANY", split_path(fixed + "/{id}/x/{rest+}"), "f", False, "api", None)
    path = split_path("/".join([fixed, value, "x", *rest]))
    assert route.match("GET", path) == {"id": value, "rest": "/".join(rest)}
    assert route.match("GET", path[:-1] if len(rest) == 1 else path[: len(before) + 2]) is None


def test_what_the_gateway_does_not_do_is_refused_at_once(gateway: Gateway) -> None:
    with pytest.raises(UnsupportedApiError, match="WEBSOCKET"):
        gateway.add_api("ws", {"ProtocolType": "WEBSOCKET"}, [])
    with pytest.raises(UnsupportedApiError, match="JWT"):
        gateway.add_api("jwt", {}, [("GET /", "f", "JWT")])
    with pytest.raises(UnsupportedApiError, match="no route key"):
        read_route("api", None, "GET", "f", None)
    with pytest.raises(UnsupportedApiError, match="wildcard"):
        Cors.of({"AllowCredentials": True, "AllowOrigins": ["*"]})


# Answers


@pytest.mark.parametrize(
    ("result", "status", "content_type", "body"),
    [
        ({"a": 1}, 200, "application/json", b'{"a": 1}'),
        ("Hello", 200, "application/json", b"Hello"),
        ([1], 200, "application/json", b"[1]"),
        ({"statusCode": 201, "body": "made"}, 201, "text/plain;charset=UTF-8", b"made"),
        ({"statusCode": "404"}, 404, "text/plain;charset=UTF-8", b""),
        (
            {"statusCode": 200, "body": "AAE=", "isBase64Encoded": True, "headers": {"Content-Type": "image/x"}},
            *(200, "image/x", b"\x00\x01"),
        ),
        ({"statusCode": 200, "body": {"a": 1}}, 500, "application/json", b'{"message": "Internal Server Error"}'),
        ({"statusCode": "x"}, 500, "application/json", b'{"message": "Internal Server Error"}'),
        ({"statusCode": 200, "headers": {"a": []}}, 500, "application/json", b'{"message": "Internal Server Error"}'),
        ({"statusCode": 200, "headers": {"a": "1\n2"}}, 500, "application/json", None),
        (
            {"statusCode": 200, "body": "no", "isBase64Encoded": True},
            *(500, "application/json", b'{"message": "Internal Server Error"}'),
        ),
    ],
)
def test_what_a_function_returns_becomes_the_response(
    gateway: Gateway, send: Caller, echo: Echo, result: Any, status: int, content_type: str, body: bytes | None
) -> None:
    add(gateway, "GET /")
    echo.answer = result
    got, headers, data = send("GET", "/")
    assert (got, headers["content-type"]) == (status, content_type)
    assert body in (data, None)
    assert headers["apigw-requestid"]


def test_each_cookie_is_a_header_of_its_own(gateway: Gateway, send: Caller, echo: Echo) -> None:
    add(gateway, "GET /")
    echo.answer = {"statusCode": 200, "cookies": ["a=1", "b=2; Secure"], "headers": {"X-N": 5, "X-B": True}}
    connection = http.client.HTTPConnection("127.0.0.1", send.port, timeout=10)
    connection.request("GET", "/")
    response = connection.getresponse()
    response.read()
    assert response.headers.get_all("set-cookie") == ["a=1", "b=2; Secure"]
    assert (response.headers["x-n"], response.headers["x-b"]) == ("5", "true")
    connection.close()


@pytest.mark.parametrize(
    ("function", "status", "message"),
    [
        ("fails", 500, "Internal Server Error"),
        ("slow", 503, "Service Unavailable"),
        ("busy", 503, "Service Unavailable"),
    ],
)
def test_a_failed_integration_tells_no_detail(
    gateway: Gateway, send: Caller, function: str, status: int, message: str
) -> None:
    gateway.add_api("api1", {}, [("GET /", function, None)])
    got, _, data = send("GET", "/")
    assert (got, json.loads(data)) == (status, {"message": message})


def test_a_body_over_ten_megabytes_is_refused(gateway: Gateway, send: Caller) -> None:
    add(gateway, "POST /")
    status, _, data = send("POST", "/", b"x" * (10 * 1024 * 1024 + 1), {"Content-Type": "text/plain"})
    assert (status, json.loads(data)) == (413, {"message": "Request Entity Too Large"})


# CORS

CORS = {
    "AllowOrigins": ["https://a.example"],
    "AllowMethods": ["GET", "POST"],
    "AllowHeaders": ["content-type"],
    "ExposeHeaders": ["x-id"],
    "MaxAge": 300,
    "AllowCredentials": True,
}


def preflight(send: Caller, origin: str) -> tuple[int, dict[str, str]]:
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    status, headers, _ = send("OPTIONS", "/any", None, asked)
    return status, {name: value for name, value in headers.items() if name.startswith("access-control")}


def test_the_api_answers_preflights_itself(gateway: Gateway, send: Caller) -> None:
    add(gateway, "GET /", "ANY /{proxy+}", iam=True, cors=CORS)
    assert preflight(send, "https://a.example") == (
        204,
        {
            "access-control-allow-origin": "https://a.example",
            "access-control-allow-methods": "GET,POST",
            "access-control-allow-headers": "content-type",
            "access-control-max-age": "300",
            "access-control-allow-credentials": "true",
        },
    )
    assert preflight(send, "https://other.example") == (204, {})


def test_the_apis_cors_headers_replace_the_functions(gateway: Gateway, send: Caller, echo: Echo) -> None:
    add(gateway, "GET /", cors=CORS)
    echo.answer = {"statusCode": 200, "headers": {"Access-Control-Allow-Origin": "*"}}
    _, headers, _ = send("GET", "/", None, {"Origin": "https://a.example"})
    assert headers["access-control-allow-origin"] == "https://a.example"
    assert headers["access-control-expose-headers"] == "x-id"
    _, headers, _ = send("GET", "/")
    assert "access-control-allow-origin" not in headers


def test_without_cors_options_is_a_method_like_others(gateway: Gateway, send: Caller, echo: Echo) -> None:
    add(gateway, "ANY /{proxy+}")
    echo.answer = {"statusCode": 200, "headers": {"Access-Control-Allow-Origin": "*"}}
    assert preflight(send, "https://a.example") == (200, {"access-control-allow-origin": "*"})


def test_origins_may_be_all_or_all_of_a_scheme(gateway: Gateway, send: Caller) -> None:
    add(gateway, "GET /{proxy+}", cors={"AllowOrigins": ["https://*"]})
    assert preflight(send, "https://x.example")[1] == {"access-control-allow-origin": "https://x.example"}
    assert preflight(send, "http://x.example")[1] == {}
    add(gateway, "GET /{proxy+}", cors={"AllowOrigins": ["*"]})
    assert preflight(send, "http://x.example")[1] == {"access-control-allow-origin": "*"}


# Authorization


def signed(keys: Credentials, port: int, target: str, body: bytes = b"") -> dict[str, str]:
    request = AWSRequest("POST", f"http://127.0.0.1:{port}{target}", data=body)
    SigV4Auth(keys, "execute-api", "us-east-1").add_auth(request)
    return dict(request.headers.items())


def test_a_signed_request_is_verified_and_named(
    gateway: Gateway, send: Caller, started: tuple[Gateway, Caller, Keyring]
) -> None:
    add(gateway, "POST /{proxy+}", iam=True)
    issued = started[2].issue(ROLE, "session")
    keys = Credentials(issued.access_key, issued.secret_key, issued.session_token)
    target = "/a%20b/" + quote("ü") + "?x=1%2F2"
    status, _, data = send("POST", target, b"text", signed(keys, send.port, target, b"text"))
    assert status == 200
    iam = json.loads(data)["requestContext"]["authorizer"]["iam"]
    assert iam["accessKey"] == issued.access_key
    assert iam["userArn"] == "arn:aws:sts::000000000000:assumed-role/caller/session"
    assert iam["accountId"] == "000000000000"
    assert iam["callerId"] == iam["userId"] == f"AROA{issued.access_key[4:]}:session"


def test_a_wrong_signature_is_forbidden(
    gateway: Gateway, send: Caller, started: tuple[Gateway, Caller, Keyring]
) -> None:
    add(gateway, "POST /x", iam=True)
    issued = started[2].issue(ROLE, "session")
    keys = Credentials(issued.access_key, "wrong", issued.session_token)
    status, _, data = send("POST", "/x", b"", signed(keys, send.port, "/x"))
    assert (status, json.loads(data)) == (403, {"message": "Forbidden"})
    good = Credentials(issued.access_key, issued.secret_key, issued.session_token)
    status, _, _ = send("POST", "/x", b"changed", signed(good, send.port, "/x", b"signed"))
    assert status == 403


def test_an_unsigned_request_is_the_local_users(gateway: Gateway, send: Caller) -> None:
    add(gateway, "GET /", iam=True)
    iam = send.event("GET", "/")["requestContext"]["authorizer"]["iam"]
    assert iam["userArn"] == "arn:aws:iam::000000000000:user/local"
    assert iam["accessKey"] == "local"


# The folder at /


def test_files_are_served_where_no_explicit_route_is(gateway: Gateway, send: Caller, web: Path) -> None:
    gateway._web = web.resolve()
    add(gateway, "GET /app.js", "$default")
    assert send("GET", "/")[2] == b"<h1>start</h1>"
    assert send("GET", "/")[1]["content-type"].startswith("text/html")
    assert send("GET", "/docs/")[2] == b"docs"
    assert send("GET", "/a%20b.txt")[2] == b"spaced"
    assert send("HEAD", "/a%20b.txt")[1]["content-length"] == "6"
    assert answered(send, "GET", "/app.js") == "GET /app.js"
    assert answered(send, "GET", "/nothing.txt") == "$default"
    assert answered(send, "POST", "/") == "$default"


def test_a_browser_that_has_the_file_gets_it_once(gateway: Gateway, send: Caller, web: Path) -> None:
    gateway._web = web.resolve()
    etag = send("GET", "/app.js")[1]["etag"]
    assert send("GET", "/app.js", None, {"If-None-Match": etag})[0] == 304


@pytest.mark.parametrize(
    "target",
    [
        *("/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/docs/../../secret.txt", "//../secret.txt"),
        *("/link.txt", "/%2e%2e%5csecret.txt", "/a%00b", "/docs/..%2f..%2fsecret.txt"),
    ],
)
def test_nothing_outside_the_folder_is_served(gateway: Gateway, send: Caller, web: Path, target: str) -> None:
    gateway._web = web.resolve()
    status, _, data = send("GET", target)
    assert (status, json.loads(data)) == (404, {"message": "Not Found"})


# With a real function


def test_a_real_function_answers_through_the_gateway(
    tmp_path: Path, state: State, keyring: Keyring, request: pytest.FixtureRequest
) -> None:
    code = """
import json
def handler(event, context):
    if event["rawPath"] == "/late":
        import time; time.sleep(5)
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(event["body"])}
"""
    (tmp_path / "asset").mkdir()
    (tmp_path / "asset" / "app.py").write_text(code)
    functions = Functions(state, keyring, lambda: "http://127.0.0.1:9", tmp_path / "layers")
    request.addfinalizer(functions.stop)
    spec = FunctionSpec(
        *("api", "app.handler", tmp_path / "asset", (), {}, ROLE),
        *(1, 256, 512, None, "python3.14", "arm64"),
    )
    gateway = Gateway(functions, keyring, "us-east-1")
    gateway.add_api("api1", {}, [("POST /{proxy+}", functions.ensure_function(spec), "NONE")])
    server = HttpServer(gateway, 0)
    server.start()
    request.addfinalizer(server.stop)
    send: Callable[..., tuple[int, dict[str, str], bytes]] = Caller(server.port)
    status, headers, data = send("POST", "/x", "ü".encode(), {"Content-Type": "text/plain"})
    assert (status, headers["content-type"], json.loads(data)) == (200, "application/json", "ü")
    assert send("POST", "/late", b"")[0] == 500

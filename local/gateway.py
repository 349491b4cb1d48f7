"""API Gateway's HTTP APIs on one port: routes to functions in payload format 2.0, and a folder of files at `/`."""

import base64
import json
import logging
import re
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.utils import send_file
from werkzeug.wrappers import Request, Response
from werkzeug.wsgi import get_input_stream

from local import clock
from local.auth import Keyring
from local.authorizers import Authorizers, RefusedError
from local.authorizers import message as _message
from local.gateway_routes import Cors, JwtRule, Route, UnsupportedApiError, read_route, split_path
from local.iam import OnBehalf
from local.issuer import PATH, Issuer
from local.wire import ACCOUNT, AwsError

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 10 * 1024 * 1024
INTEGRATION_SECONDS = 30.0  # real ones, like the timeouts of functions
_DRAIN_BYTES = 64 * 1024 * 1024
# All others arrive in base64, one without a type too (tried on AWS by others: ministackorg/ministack#766).
_TEXT = re.compile(r"text/.*|application/(json|xml|javascript)")
_HOP_BY_HOP = {"connection", "content-length", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer"}


class _Invocation(Protocol):
    @property
    def payload(self) -> bytes: ...
    @property
    def error(self) -> str | None: ...


class Invoker(Protocol):
    def invoke(self, name_or_arn: str, payload: bytes) -> _Invocation: ...


class Gateway:
    """A WSGI application. Unsigned requests are the local user's unless `enforce`: it must listen on loopback only.

    `web` holds files for the paths that no route but `$default` claims. `behalf` says what callers and APIs may do;
    without it that is everything.
    """

    def __init__(
        self,
        functions: Invoker,
        keyring: Keyring,
        region: str,
        web: Path | None = None,
        integration_seconds: float = INTEGRATION_SECONDS,
        behalf: OnBehalf | None = None,
        issuer: Issuer | None = None,
        enforce: bool = False,
    ) -> None:
        self._functions, self._region = functions, region
        self._authorizers = Authorizers(keyring, region, issuer, behalf, enforce)
        self._issuer = issuer
        self._web = web.resolve() if web else None
        self._seconds = integration_seconds
        self._behalf = behalf
        self._routes: list[Route] = []

    def add_api(
        self,
        api_id: str,
        protocol_properties: Mapping[str, Any],
        routes: Sequence[tuple[str, str, str | None] | tuple[str, str, str | None, JwtRule | None]],
        cors: Mapping[str, Any] | None = None,
    ) -> None:
        """Serve an `AWS::ApiGatewayV2::Api`: its properties, and (route key, function ARN, authorization type, rule)s.

        Where two APIs have the same route, a request with a token goes to the one that wants tokens, any other to the
        one that doesn't; where that does not tell them apart, to the one added first.
        """
        protocol = protocol_properties.get("ProtocolType", "HTTP")
        if protocol != "HTTP":
            raise UnsupportedApiError(f"The laptop serves HTTP APIs; {api_id} is a {protocol} API")
        rules = Cors.of(cors) if cors else None
        made = [read_route(api_id, rules, *route) for route in routes]
        kept = [route for route in self._routes if route.api_id != api_id]
        self._routes = sorted([*kept, *made], key=Route.rank)

    def remove_api(self, api_id: str) -> None:
        self._routes = [route for route in self._routes if route.api_id != api_id]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self._answer(_Request(environ))(environ, start_response)

    def _answer(self, request: "_Request") -> WSGIApplication:
        origin = request.headers.get("Origin", "")
        asked = request.headers.get("Access-Control-Request-Method", "")
        if request.method == "OPTIONS" and origin and asked:
            cors = self._preflight_rules(request, asked)
            if cors:
                return Response(status=204, headers=cors.for_preflight(origin))
        if self._issuer and request.raw_path.startswith(PATH) and (found := self._issuer.document(request.raw_path)):
            return Response(json.dumps(found), content_type="application/json")
        route, parameters = self._find(request, request.method)
        if route is None or route.path is None:
            file = self._file(request)
            if file:
                return file
        if route is None:
            return _message(404, "Not Found")
        response = self._integrate(request, route, parameters)
        if route.cors and origin:
            response.headers.update(route.cors.for_response(origin))
        return response

    def _find(
        self, request: "_Request", method: str, asks_for_token: bool = False
    ) -> tuple[Route | None, dict[str, str]]:
        """Of each API the route that comes first; of several APIs the one that the request has the credentials for."""
        parts = split_path(request.raw_path)
        found: dict[str, tuple[Route, dict[str, str]]] = {}
        for route in self._routes:
            parameters = route.match(method, parts)
            if parameters is not None:
                found.setdefault(route.api_id, (route, parameters))
        fitting = (one for one in found.values() if one[0].is_door_for(request, asks_for_token))
        return next(fitting, None) or next(iter(found.values()), (None, {}))

    def _preflight_rules(self, request: "_Request", method: str) -> Cors | None:
        """Those of the API that has the route, of any where none has: AWS answers preflights for all paths."""
        asked = request.headers.get("Access-Control-Request-Headers", "").lower()
        route, _ = self._find(request, method, asks_for_token="authorization" in asked)
        if route:
            return route.cors
        return next((route.cors for route in self._routes if route.cors), None)

    def _integrate(self, request: "_Request", route: Route, parameters: dict[str, str]) -> Response:
        try:
            body = request.get_data()
            authorizer = self._authorizers.admit(request, route, self._arn(route, request.method, request.raw_path))
        except RequestEntityTooLarge:
            return _too_large(request)
        except RefusedError as refused:
            return refused.response
        event = self._event(request, route, parameters, authorizer, body)
        try:
            if self._behalf:
                self._behalf.integrate(self._arn(route, *_method_and_path(route)), route.function)
            result = self._invoke(route.function, json.dumps(event).encode())
        except TimeoutError:
            return _message(503, "Service Unavailable")
        except AwsError as error:
            return _refusal(error)
        except Exception:
            log.exception("%s could not be invoked", route.function)
            return _failure()
        response = _failure() if result.error else _response(result.payload, bool(route.cors))
        response.headers["apigw-requestid"] = event["requestContext"]["requestId"]
        return response

    def _invoke(self, function: str, event: bytes) -> _Invocation:
        """The result; `TimeoutError` after the integration's limit, while the function goes on, as on AWS."""
        result: Future[_Invocation] = Future()
        work = _settle(result, lambda: self._functions.invoke(function, event))
        threading.Thread(target=work, name="integration", daemon=True).start()
        return result.result(self._seconds)

    def _arn(self, route: Route, method: str, path: str) -> str:
        return f"arn:aws:execute-api:{self._region}:{ACCOUNT}:{route.api_id}/$default/{method}{path}"

    def _event(
        self,
        request: "_Request",
        route: Route,
        parameters: dict[str, str],
        authorizer: Mapping[str, Any] | None,
        body: bytes,
    ) -> dict[str, Any]:
        query: dict[str, list[str]] = {}
        for name, value in parse_qsl(request.raw_query, keep_blank_values=True):
            query.setdefault(name, []).append(value)
        cookies = [cookie for cookie in re.split(r";\s*", request.headers.get("Cookie", "")) if cookie]
        text, encoded = _body(request.mimetype, body)
        return {
            "version": "2.0",
            "routeKey": route.key,
            "rawPath": request.raw_path,
            "rawQueryString": request.raw_query,
            **({"cookies": cookies} if cookies else {}),
            "headers": _headers(request),
            **({"queryStringParameters": {name: ",".join(all_) for name, all_ in query.items()}} if query else {}),
            "requestContext": _context(request, route, authorizer),
            **({"pathParameters": parameters} if parameters else {}),
            **({"body": text} if body else {}),
            "isBase64Encoded": encoded,
        }

    def _file(self, request: "_Request") -> Response | None:
        """The file at the path, or the `index.html` of the folder there."""
        if self._web is None or request.method not in ("GET", "HEAD") or "\0" in request.raw_path:
            return None
        file = (self._web / request.raw_path.lstrip("/")).resolve()
        if file.is_dir():
            file = (file / "index.html").resolve()
        if not file.is_relative_to(self._web) or not file.is_file():
            return None
        response = send_file(file, request.environ, conditional=True, etag=True)
        response.headers["Cache-Control"] = "no-cache"
        return response


class _Request(Request):
    max_content_length = MAX_BODY_BYTES

    @property
    def raw_path(self) -> str:
        """The path, decoded: AWS calls it raw but decodes it, and cuts it at a `%3F` (middleapi/standard-server#93)."""
        target = self.environ["REQUEST_URI"].partition("?")[0]
        if not target.startswith("/"):  # http://host/path, as to a proxy
            target = "/" + target.partition("://")[2].partition("/")[2]
        return unquote(target).partition("?")[0]

    @property
    def raw_query(self) -> str:
        query: str = self.environ["REQUEST_URI"].partition("?")[2]
        return query


def _method_and_path(route: Route) -> tuple[str, str]:
    """As the ARN has them that a function's policy is held against: `GET/books/{id}`, or `$default` alone."""
    return ("$default", "") if route.path is None else (route.method, f"/{'/'.join(route.path)}")


def _settle(result: "Future[_Invocation]", work: Callable[[], _Invocation]) -> Callable[[], None]:
    def run() -> None:
        try:
            result.set_result(work())
        except Exception as error:  # raised again in the thread that waits
            result.set_exception(error)

    return run


def _headers(request: _Request) -> dict[str, str]:
    """Names in lower case, as AWS sends them, with those that its edge adds."""
    peer = request.remote_addr or "127.0.0.1"
    shown = {name.lower(): value for name, value in request.headers.items() if name.lower() != "cookie"}
    shown["x-forwarded-for"] = ", ".join(filter(None, [shown.get("x-forwarded-for"), peer]))
    shown["x-forwarded-port"] = str(request.environ["SERVER_PORT"])
    shown["x-forwarded-proto"] = request.scheme
    return shown


def _context(request: _Request, route: Route, authorizer: Mapping[str, Any] | None) -> dict[str, Any]:
    now = clock.now()
    return {
        "accountId": ACCOUNT,
        "apiId": route.api_id,
        **({"authorizer": authorizer} if authorizer else {}),
        "domainName": request.host,
        "domainPrefix": request.host.partition(".")[0],
        "http": {
            "method": request.method,
            "path": request.raw_path,
            "protocol": request.environ["SERVER_PROTOCOL"],
            "sourceIp": request.remote_addr or "127.0.0.1",
            "userAgent": request.headers.get("User-Agent", ""),
        },
        "requestId": _request_id(),
        "routeKey": route.key,
        "stage": "$default",
        "time": datetime.fromtimestamp(now, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "timeEpoch": int(now * 1000),
    }


def _request_id() -> str:
    """In the form of AWS's: `JKJaXmPLvHcESHA=`."""
    return base64.urlsafe_b64encode(secrets.token_bytes(11)).decode()


def _body(mimetype: str, body: bytes) -> tuple[str, bool]:
    """The body as text, and whether that is base64."""
    if not body:
        return "", False
    if _TEXT.fullmatch(mimetype):
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode(), True


def _response(payload: bytes, own_cors: bool) -> Response:
    """What a function returned, as a response: formatted where it has a `statusCode`, else the JSON itself."""
    try:
        result = json.loads(payload)
    except ValueError:
        return _failure()
    if not isinstance(result, dict) or "statusCode" not in result:
        text = result if isinstance(result, str) else payload
        return Response(text, content_type="application/json")
    try:
        return _formatted(result, own_cors)
    except (ValueError, TypeError, AttributeError):  # not the documented form
        return _failure()


def _formatted(result: dict[str, Any], own_cors: bool) -> Response:
    body = result.get("body") or ""
    if not isinstance(body, str):
        raise TypeError("a body must be a string")
    status = int(result["statusCode"])
    if not 200 <= status <= 599:
        raise ValueError("no status code")
    data = base64.b64decode(body, validate=True) if result.get("isBase64Encoded") else body.encode()
    response = Response(data, status=status, content_type="text/plain;charset=UTF-8")
    for name, value in (result.get("headers") or {}).items():
        ignored = own_cors and name.lower().startswith("access-control-")  # the API's configuration rules
        if name.lower() not in _HOP_BY_HOP and not ignored:
            response.headers[name] = _header(value)
    for cookie in result.get("cookies") or []:
        response.headers.add("set-cookie", cookie)
    return response


def _header(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise TypeError("a header must be a string, number or boolean")


def _refusal(error: AwsError) -> Response:
    """What the caller hears when Lambda refuses to invoke."""
    if error.status == 413:
        return _message(413, "Request Entity Too Large")
    return _message(503, "Service Unavailable") if error.status == 429 else _failure()


def _too_large(request: _Request) -> Response:
    """413, after reading on for a while: a client that still sends would see a reset instead of the answer."""
    stream, left = get_input_stream(request.environ), _DRAIN_BYTES
    while left > 0 and (piece := stream.read(1 << 16)):
        left -= len(piece)
    response = _message(413, "Request Entity Too Large")
    response.headers["Connection"] = "close"
    return response


def _failure() -> Response:
    return _message(500, "Internal Server Error")

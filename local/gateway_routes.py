"""What an HTTP API of API Gateway is configured with: its routes, in the order they are tried, and its CORS rules."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from werkzeug.wrappers import Request

_SOURCE = re.compile(r"\$request\.(header|querystring)\.[\w-]+")
_ROUTE_KEY = re.compile(r"(?P<method>[A-Z]+) (?P<path>/.*)")


class UnsupportedApiError(Exception):
    """The template asks for something of API Gateway that this gateway does not do."""


@dataclass(frozen=True)
class Cors:
    """The API's CorsConfiguration."""

    origins: tuple[str, ...]
    methods: tuple[str, ...]
    headers: tuple[str, ...]
    exposed: tuple[str, ...]
    max_age: int | None
    credentials: bool

    @classmethod
    def of(cls, properties: Mapping[str, Any]) -> "Cors":
        def listed(name: str) -> tuple[str, ...]:
            return tuple(properties.get(name, ()))

        credentials = str(properties.get("AllowCredentials", False)).lower() == "true"
        if credentials and "*" in (listed("AllowOrigins") + listed("AllowMethods") + listed("AllowHeaders")):
            raise UnsupportedApiError("API Gateway refuses CORS with AllowCredentials and a wildcard")
        max_age = None if "MaxAge" not in properties else int(properties["MaxAge"])
        return cls(
            listed("AllowOrigins"),
            listed("AllowMethods"),
            listed("AllowHeaders"),
            listed("ExposeHeaders"),
            max_age,
            credentials,
        )

    def for_preflight(self, origin: str) -> dict[str, str]:
        shown = self._common(origin)
        if shown:
            shown["access-control-allow-methods"] = ",".join(self.methods)
            shown["access-control-allow-headers"] = ",".join(self.headers)
            shown["access-control-max-age"] = "" if self.max_age is None else str(self.max_age)
        return {name: value for name, value in shown.items() if value}

    def for_response(self, origin: str) -> dict[str, str]:
        shown = self._common(origin)
        if shown and self.exposed:
            shown["access-control-expose-headers"] = ",".join(self.exposed)
        return shown

    def _common(self, origin: str) -> dict[str, str]:
        any_of_scheme = f"{origin.partition('://')[0]}://*"
        if "*" in self.origins:
            return {"access-control-allow-origin": "*"}
        if origin not in self.origins and any_of_scheme not in self.origins:
            return {}
        credentials = {"access-control-allow-credentials": "true"} if self.credentials else {}
        return {"access-control-allow-origin": origin, **credentials}


@dataclass(frozen=True)
class JwtRule:
    """What a JWT authorizer asks of tokens, and a route of their scopes: one of `scopes`, if it has any.

    `source` is where a token is, such as `$request.header.Authorization`.
    """

    issuer: str
    audiences: tuple[str, ...]
    source: str
    scopes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _SOURCE.fullmatch(self.source):
            raise UnsupportedApiError(f"{self.source} is no identity source of an HTTP API")

    def token_of(self, request: Request) -> str:
        """What the request has there."""
        _, place, name = self.source.split(".", 2)
        found = (request.headers if place == "header" else request.args).get(name, "").strip()
        return found if _is_token(found) else ""


@dataclass(frozen=True)
class Route:
    """`method` is ANY for all methods; `path` is None for `$default`."""

    key: str
    method: str
    path: tuple[str, ...] | None
    function: str
    iam: bool
    api_id: str
    cors: Cors | None
    jwt: JwtRule | None = None

    def match(self, method: str, path: tuple[str, ...]) -> dict[str, str] | None:
        """The path parameters, None where the route is for something else."""
        if self.path is None:
            return {}
        if self.method not in (method, "ANY"):
            return None
        parameters: dict[str, str] = {}
        for place, part in enumerate(self.path):
            if part.endswith("+}"):
                rest = "/".join(path[place:])
                return {**parameters, part[1:-2]: rest} if rest else None
            value = path[place] if place < len(path) else ""
            if part.startswith("{") and value:
                parameters[part[1:-1]] = value
            elif part != value or place >= len(path):
                return None
        return parameters if len(path) == len(self.path) else None

    def is_door_for(self, request: Request, asks_for_token: bool = False) -> bool:
        """Whether a request comes with what the route's API goes by: a token, or a signature or nothing."""
        if self.jwt is None:
            return not asks_for_token and not _is_token(request.headers.get("Authorization", ""))
        return asks_for_token or bool(self.jwt.token_of(request))

    def rank(self) -> tuple[Any, ...]:
        """Lower goes first: literal parts, variables, greedy ones, `$default`; then a method before ANY."""
        kinds = tuple(2 if part.endswith("+}") else int(part.startswith("{")) for part in self.path or ())
        return (self.path is None, kinds, self.method == "ANY")


def _is_token(authorization: str) -> bool:
    """A signature is none."""
    return bool(authorization) and not authorization.startswith("AWS4-HMAC")


def read_route(
    api_id: str, cors: Cors | None, key: str, function: str, authorization: str | None, jwt: JwtRule | None = None
) -> Route:
    """A route as its template has it (`GET /a/{id}`, `ANY /{proxy+}`, `$default`)."""
    if authorization not in (None, "NONE", "AWS_IAM", *(["JWT"] if jwt else [])):
        raise UnsupportedApiError(f"The laptop does not do {authorization} authorization ({key} of {api_id})")
    iam = authorization == "AWS_IAM"
    if key == "$default":
        return Route(key, "ANY", None, function, iam, api_id, cors, jwt)
    found = _ROUTE_KEY.fullmatch(key)
    if found is None:
        raise UnsupportedApiError(f"{key!r} of {api_id} is no route key of an HTTP API")
    return Route(key, found["method"], split_path(found["path"]), function, iam, api_id, cors, jwt)


def split_path(path: str) -> tuple[str, ...]:
    return tuple(path[1:].split("/"))

"""Who may use a route of an HTTP API: by an IAM signature or by a JSON Web Token."""

import json
import re
from collections.abc import Mapping
from typing import Any

import jwt
from werkzeug.wrappers import Request, Response

from local.auth import Keyring, read_signature, user_id
from local.gateway_routes import JwtRule, Route
from local.iam import OnBehalf
from local.issuer import Issuer
from local.wire import ACCOUNT, LOCAL_USER, AwsError

_BEARER = re.compile(r"(?:Bearer\s+)?([\w-]+\.[\w-]+\.[\w-]+)", re.IGNORECASE)
_UNKNOWN_TOKEN = "the token is malformed, or its signature is not the issuer's"


class RefusedError(Exception):
    """The request goes no further; `response` is the API's."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


class Authorizers:
    """Unsigned requests are the local user's, unless `enforce`: then the API refuses them as on AWS.

    `behalf` says which callers may use which routes; without it those are all.
    """

    def __init__(
        self,
        keyring: Keyring,
        region: str,
        issuer: Issuer | None = None,
        behalf: OnBehalf | None = None,
        enforce: bool = False,
    ) -> None:
        self._keyring, self._issuer, self._behalf, self._enforce = keyring, issuer, behalf, enforce
        self._scope = (region, "execute-api")

    def admit(self, request: Request, route: Route, arn: str) -> Mapping[str, Any] | None:
        """`requestContext.authorizer` of the event, None for an open route. RefusedError for who may not use it."""
        if route.jwt:
            return {"jwt": self._jwt(request, route.jwt)}
        if not route.iam:
            return None
        try:
            return {"iam": self._iam(request, arn)}
        except AwsError as error:
            raise RefusedError(message(403, "Forbidden")) from error

    def _iam(self, request: Request, arn: str) -> dict[str, Any]:
        caller = self._keyring.identify(request)
        signature = read_signature(request)
        if self._enforce:
            known = signature and self._keyring.caller_of(signature.access_key)
            if signature is None or known is None or (signature.region, signature.service) != self._scope:
                raise AwsError("MissingAuthenticationToken", "The request is not signed for this API", 403)
        if self._behalf:
            self._behalf.invoke_api(caller, arn, request)
        access_key = signature.access_key if signature else "local"
        caller_id = user_id(caller, access_key)
        return {
            "accessKey": access_key,
            "accountId": ACCOUNT,
            "callerId": caller_id,
            "cognitoIdentity": None,
            "principalOrgId": None,
            "userArn": caller.arn,
            "userId": caller_id,
        }

    def _jwt(self, request: Request, rule: JwtRule) -> dict[str, Any]:
        """API Gateway developer guide, "Control access to HTTP APIs with JWT authorizers"."""
        sent = rule.token_of(request)
        if not sent and not self._enforce:
            return {"claims": {"sub": LOCAL_USER.arn.rpartition("/")[2]}, "scopes": None}
        if not sent:
            raise RefusedError(_unauthorized(None))
        claims = self._claims(sent, rule)
        scopes = _scopes(claims)
        allowed = [scope for scope in rule.scopes if scope in scopes]
        if rule.scopes and not allowed:
            wanted = f'Bearer scope="{" ".join(rule.scopes)}" error="insufficient_scope"'
            raise RefusedError(message(403, "Forbidden", {"www-authenticate": wanted}))
        return {"claims": {name: _text(value) for name, value in claims.items()}, "scopes": allowed or None}

    def _claims(self, sent: str, rule: JwtRule) -> dict[str, Any]:
        token = _BEARER.fullmatch(sent)
        if token is None or self._issuer is None:
            raise RefusedError(_unauthorized(_UNKNOWN_TOKEN))
        try:
            claims = self._issuer.claims(token[1], [rule.issuer])
        except jwt.ExpiredSignatureError as error:
            raise RefusedError(_unauthorized("the token has expired")) from error
        except jwt.InvalidIssuerError as error:
            raise RefusedError(_unauthorized("the token does not have a valid issuer")) from error
        except (jwt.ImmatureSignatureError, jwt.InvalidIssuedAtError) as error:
            raise RefusedError(_unauthorized("the token is not valid yet")) from error
        except jwt.InvalidTokenError as error:
            raise RefusedError(_unauthorized(_UNKNOWN_TOKEN)) from error
        audience = claims.get("aud", claims.get("client_id"))
        if not set(audience if isinstance(audience, list) else [audience]) & set(rule.audiences):
            raise RefusedError(_unauthorized("the token does not have a valid audience"))
        return claims


def message(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    """An answer of the API's own."""
    return Response(json.dumps({"message": text}), status, headers, content_type="application/json")


def _unauthorized(why: str | None) -> Response:
    challenge = f'Bearer scope="" error="invalid_token" error_description="{why}"' if why else "Bearer"
    return message(401, "Unauthorized", {"www-authenticate": challenge})


def _scopes(claims: Mapping[str, Any]) -> list[str]:
    found = claims.get("scope", claims.get("scp", []))
    return found.split() if isinstance(found, str) else [str(scope) for scope in found]


def _text(value: Any) -> str:
    """Claims reach a function as texts: a list as `[a b]`."""
    if isinstance(value, list):
        return f"[{' '.join(map(_text, value))}]"
    return value if isinstance(value, str) else json.dumps(value)

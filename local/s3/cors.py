"""Cross-origin requests: preflights, and the headers of the answers (rules are CloudFormation's CorsRules)."""

from fnmatch import fnmatchcase
from typing import Any

from werkzeug.wrappers import Response

from local.s3.buckets import Bucket
from local.s3.call import Call, empty
from local.wire import AwsError

_VARY = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"


def preflight(call: Call, bucket: Bucket) -> Response:
    origin, method = call.headers.get("Origin"), call.headers.get("Access-Control-Request-Method")
    if not origin:
        raise AwsError("BadRequest", "Insufficient information. Origin request header needed.")
    if not method:
        raise AwsError("BadRequest", "Invalid Access-Control-Request-Method: null")
    if not bucket.cors:
        raise _forbidden("CORSResponse: CORS is not enabled for this bucket.", method)
    asked = [name.strip().lower() for name in call.headers.get("Access-Control-Request-Headers", "").split(",")]
    headers = [name for name in asked if name]
    rule = _rule(bucket, origin, method, headers)
    if rule is None:
        message = (
            "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request "
            "method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the "
            "resource's CORS spec."
        )
        raise _forbidden(message, method)
    answer = _headers(rule, origin)
    if headers:
        answer["Access-Control-Allow-Headers"] = ", ".join(headers)
    return empty(200, answer)


def allow(call: Call, bucket: Bucket, response: Response) -> None:
    """Add what lets a page of another origin read the response."""
    origin = call.headers.get("Origin")
    rule = _rule(bucket, origin, call.request.method, []) if origin else None
    if rule and origin:
        response.headers.update(_headers(rule, origin))


def _rule(bucket: Bucket, origin: str, method: str, headers: list[str]) -> dict[str, Any] | None:
    for rule in bucket.cors:
        allowed = [pattern.lower() for pattern in rule.get("AllowedHeaders", [])]
        if (
            method in rule["AllowedMethods"]
            and any(_like(origin, pattern) for pattern in rule["AllowedOrigins"])
            and all(any(_like(header, pattern) for pattern in allowed) for header in headers)
        ):
            return rule
    return None


def _like(text: str, pattern: str) -> bool:
    """`*` is S3's only wildcard."""
    return fnmatchcase(text, pattern.replace("[", "[[]").replace("?", "[?]"))


def _headers(rule: dict[str, Any], origin: str) -> dict[str, str]:
    anyone = "*" in rule["AllowedOrigins"]
    headers = {
        "Access-Control-Allow-Origin": "*" if anyone else origin,
        "Access-Control-Allow-Methods": ", ".join(rule["AllowedMethods"]),
        "Vary": _VARY,
    }
    if not anyone:
        headers["Access-Control-Allow-Credentials"] = "true"
    if exposed := rule.get("ExposedHeaders"):
        headers["Access-Control-Expose-Headers"] = ", ".join(exposed)
    if "MaxAge" in rule:
        headers["Access-Control-Max-Age"] = str(rule["MaxAge"])
    return headers


def _forbidden(message: str, method: str) -> AwsError:
    return AwsError("AccessForbidden", message, 403, Method=method, ResourceType="OBJECT")

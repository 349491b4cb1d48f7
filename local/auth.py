"""Who signed a request: AWS Signature Version 4 in a header or URL, 2 in a URL, or nobody (the local user)."""

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, unquote

from botocore.auth import HmacV1Auth
from werkzeug.wrappers import Request

from local import clock
from local.hosts import bucket_of_host
from local.wire import ACCOUNT, LOCAL_USER, AwsError, Caller

MAX_SKEW_SECONDS = 15 * 60
_PROCESS = "-process-"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=(?P<credential>[^,\s]+),\s*SignedHeaders=(?P<headers>[^,\s]+),\s*Signature=(?P<signature>\w+)"
)


@dataclass(frozen=True)
class Credentials:
    access_key: str
    secret_key: str
    session_token: str


@dataclass(frozen=True)
class Signature:
    """The parts of a SigV4 signature, wherever in the request it was."""

    access_key: str
    date: str  # 20261121T093000Z
    scope: str  # 20261121/us-east-1/s3/aws4_request
    signed_headers: tuple[str, ...]
    value: str
    expires: int | None  # seconds, of a presigned URL

    @property
    def region(self) -> str:
        return self.scope.split("/")[1]

    @property
    def service(self) -> str:
        return self.scope.split("/")[2]


def read_signature(request: Request) -> Signature | None:
    """The request's signature, None where it carries none; SigV2 in a header and broken ones are refused."""
    authorization = request.headers.get("Authorization", "")
    if found := _AUTHORIZATION.match(authorization):
        access_key, _, scope = found["credential"].partition("/")
        date = request.headers.get("X-Amz-Date", "")
        return _checked(
            Signature(access_key, date, scope, tuple(found["headers"].split(";")), found["signature"], None)
        )
    query = request.args
    if "X-Amz-Signature" in query:
        access_key, _, scope = query.get("X-Amz-Credential", "").partition("/")
        headers = tuple(query.get("X-Amz-SignedHeaders", "").split(";"))
        try:
            expires = int(query.get("X-Amz-Expires", ""))
        except ValueError:
            raise AwsError("AuthorizationQueryParametersError", "X-Amz-Expires should be a number") from None
        date = query.get("X-Amz-Date", "")
        return _checked(Signature(access_key, date, scope, headers, query["X-Amz-Signature"], expires))
    if authorization.startswith("AWS"):
        raise AwsError("InvalidRequest", "The laptop takes AWS Signature Version 4 only")
    if authorization and not authorization.lower().startswith("bearer "):
        raise AwsError(
            "InvalidArgument",
            "Unsupported Authorization Type",
            ArgumentName="Authorization",
            ArgumentValue=authorization,
        )
    return None


def _checked(signature: Signature) -> Signature:
    malformed = AwsError("IncompleteSignature", "The credential scope or the date of the signature is malformed")
    if signature.scope.count("/") != 3 or not re.fullmatch(r"\d{8}T\d{6}Z", signature.date):
        raise malformed
    try:
        _seconds(signature.date)
    except ValueError:
        raise malformed from None
    return signature


def _seconds(date: str) -> float:
    return datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()


class Keyring:
    """The access keys this laptop gave out: `local`/`local`, and a pair per role and session, the same ever after."""

    def __init__(self, folder: Path) -> None:
        seed = folder / "keys.seed"
        if not seed.exists():
            folder.mkdir(parents=True, exist_ok=True)
            seed.write_text(secrets.token_hex(32))
            seed.chmod(0o600)
        self._seed = seed.read_text().encode()
        self._known: dict[str, tuple[Credentials, Caller]] = {
            "local": (Credentials("local", "local", ""), LOCAL_USER),
        }

    def issue(self, role_arn: str, session: str) -> Credentials:
        """The keys of a role, for a function or state machine that runs as `session`."""
        digest = hmac.new(self._seed, f"{role_arn} {session}".encode(), hashlib.sha256).hexdigest()
        role = role_arn.rpartition("/")[2]
        credentials = Credentials(f"ASIA{digest[:16].upper()}", digest[16:56], f"laptop-{digest[56:]}")
        caller = Caller(arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session}", role_arn=role_arn)
        self._known[credentials.access_key] = (credentials, caller)
        return credentials

    def identify(self, request: Request) -> Caller:
        """The caller. Without a signature, or with keys nobody here gave out, that is the local user."""
        signature = read_signature(request)
        if signature is None:
            return self._identify_link(request)
        if signature.access_key not in self._known:
            return LOCAL_USER
        credentials, caller = self._known[signature.access_key]
        _check_time(signature, request)
        _check_same(_sign(request, signature, credentials.secret_key), signature.value)
        return caller

    def _identify_link(self, request: Request) -> Caller:
        """Who presigned a URL by SigV2, which is boto3's default for S3 still; for any other URL the local user."""
        query = request.args
        if "AWSAccessKeyId" not in query:
            return LOCAL_USER
        if "Signature" not in query or not re.fullmatch(r"\d{1,20}", query.get("Expires", "")):
            needed = "the Signature, Expires and AWSAccessKeyId parameters"
            raise AwsError("AccessDenied", f"Query-string authentication requires {needed}", 403)
        if int(query["Expires"]) < signers_now(query.get("x-amz-security-token", "")):
            raise AwsError("AccessDenied", "Request has expired", 403)
        known = self._known.get(query["AWSAccessKeyId"])
        if known is None:
            return LOCAL_USER
        credentials, caller = known
        _check_same(_sign_link(request, credentials.secret_key), query["Signature"])
        return caller

    def caller_of(self, access_key: str) -> Caller | None:
        """Whom a key was given out to, None for one that nobody here gave out."""
        known = self._known.get(access_key)
        return known and known[1]

    def sign_text(self, access_key: str, scope: str, text: str) -> str | None:
        """What a known key makes of `text` (a POST policy), None for a key nobody here gave out."""
        known = self._known.get(access_key)
        return known and _hmac_hex(_signing_key(known[0].secret_key, scope), text)


def user_id(caller: Caller, access_key: str) -> str:
    """The unique id of who signs with that key."""
    if caller.role_arn is None:
        return access_key
    return f"AROA{access_key[4:]}:{caller.arn.rpartition('/')[2]}"


def session_of_process(credentials: Credentials, process_id: str) -> str:
    """The session token of one process of a function: as on Lambda, each has its own."""
    return f"{credentials.session_token}{_PROCESS}{process_id}"


def signers_now(session_token: str) -> float:
    """The time where something was signed: functions live by the laptop's clock, all others by the host's."""
    return clock.now() if _PROCESS in session_token else clock.outside()


def _check_time(signature: Signature, request: Request) -> None:
    signed_at = _seconds(signature.date)
    if signature.expires is not None:
        if signers_now(request.args.get("X-Amz-Security-Token", "")) - signed_at > signature.expires:
            raise AwsError("AccessDenied", "Request has expired", 403)
    elif all(abs(now - signed_at) > MAX_SKEW_SECONDS for now in (clock.now(), clock.outside())):
        raise AwsError("RequestTimeTooSkewed", "The difference between the request time and our time is too large", 403)


def _check_same(expected: str, sent: str) -> None:
    if not hmac.compare_digest(expected.encode(), sent.encode()):
        message = "The request signature we calculated does not match the signature you provided."
        raise AwsError("SignatureDoesNotMatch", message, 403)


def _sign(request: Request, signature: Signature, secret: str) -> str:
    """The signature the request should carry (AWS General Reference, "Create a signed AWS API request")."""
    raw_path, _, raw_query = request.environ["REQUEST_URI"].partition("?")
    pairs = [part.partition("=")[::2] for part in raw_query.split("&") if part]
    pairs = [(_encode(unquote(name)), _encode(unquote(value))) for name, value in pairs]
    query = "&".join(f"{name}={value}" for name, value in sorted(pairs) if name != "X-Amz-Signature")
    headers = "".join(f"{name}:{_header(request, name)}\n" for name in signature.signed_headers)
    path = raw_path if signature.service == "s3" else quote(raw_path, safe="/-_.~")
    canonical = "\n".join(
        [
            request.method,
            path or "/",
            query,
            headers,
            ";".join(signature.signed_headers),
            _payload_hash(request, signature),
        ]
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", signature.date, signature.scope, digest])
    return _hmac_hex(_signing_key(secret, signature.scope), text)


def _sign_link(request: Request, secret: str) -> str:
    """The SigV2 signature that the URL should carry (S3 user guide, "Signing and authenticating REST requests")."""
    raw_path, _, raw_query = request.environ["REQUEST_URI"].partition("?")
    bucket = bucket_of_host(request.host)
    pairs = [part.partition("=") for part in raw_query.split("&")]
    asked = sorted((name, equals + unquote(value)) for name, equals, value in pairs if name in HmacV1Auth.QSAOfInterest)
    resource = (f"/{bucket}" if bucket else "") + raw_path
    if asked:
        resource += "?" + "&".join(name + value for name, value in asked)
    # The SDK puts into the URL what it signed, where the service takes headers.
    sent = {name.lower() for name, _ in [*request.environ["laptop.headers"], *request.args.items()]}
    extra = sorted(name for name in sent if name.startswith("x-amz-"))
    text = "\n".join(
        [
            request.method,
            _header(request, "content-md5"),
            _header(request, "content-type"),
            request.args["Expires"],
            *(f"{name}:{_header(request, name) or request.args.get(name, '')}" for name in extra),
            resource,
        ]
    )
    return base64.b64encode(hmac.digest(secret.encode(), text.encode(), "sha1")).decode()


def _payload_hash(request: Request, signature: Signature) -> str:
    if signature.expires is not None and signature.service == "s3":
        return "UNSIGNED-PAYLOAD"
    claimed = request.headers.get("X-Amz-Content-Sha256")
    return claimed or hashlib.sha256(request.get_data()).hexdigest()


def _header(request: Request, name: str) -> str:
    sent: list[tuple[str, str]] = request.environ["laptop.headers"]
    values = [value for header, value in sent if header.lower() == name]
    return ",".join(" ".join(value.split()) for value in values)


def _encode(text: str) -> str:
    return quote(text, safe="-_.~")


def _signing_key(secret: str, scope: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def _hmac_hex(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

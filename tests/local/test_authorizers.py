"""Who may use the routes of an HTTP API: open as on a developer's own machine, and refused as on AWS."""

import io
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local import issuer
from local.laptop import Laptop, Settings
from local.stack.template import TemplateError
from tests.local.test_permissions import CODE, allow, assembly, resource, role

ISSUER = "https://login.example.com/"
Json = dict[str, Any]


def route(key: str, **properties: Any) -> Json:
    return resource(
        "ApiGatewayV2::Route",
        ApiId={"Ref": "Api"},
        RouteKey=key,
        Target={"Fn::Sub": "integrations/${Integration}"},
        **properties,
    ) | {"DependsOn": "Integration"}


JWT = {"AuthorizationType": "JWT", "AuthorizerId": {"Ref": "Authorizer"}}
RESOURCES: Json = {
    "Role": role(),
    "Caller": role(allow("execute-api:Invoke", "arn:aws:execute-api:us-east-1:000000000000:*/$default/GET/iam")),
    "Echo": resource(
        "Lambda::Function",
        FunctionName="echo",
        Handler="index.handler",
        Runtime="python3.13",
        Role={"Fn::GetAtt": ["Role", "Arn"]},
        Code={"ZipFile": CODE.replace("return event", "return event['requestContext']")},
    ),
    "Calls": resource(
        "Lambda::Function",
        FunctionName="calls",
        Handler="index.handler",
        Runtime="python3.13",
        Role={"Fn::GetAtt": ["Caller", "Arn"]},
        Code={"ZipFile": CODE},
    ),
    "Api": resource("ApiGatewayV2::Api", Name="api", ProtocolType="HTTP"),
    "Integration": resource(
        "ApiGatewayV2::Integration",
        ApiId={"Ref": "Api"},
        IntegrationType="AWS_PROXY",
        IntegrationUri={"Fn::GetAtt": ["Echo", "Arn"]},
        PayloadFormatVersion="2.0",
    ),
    "MayCall": resource(
        "Lambda::Permission",
        Action="lambda:InvokeFunction",
        FunctionName={"Ref": "Echo"},
        Principal="apigateway.amazonaws.com",
        SourceArn={"Fn::Sub": "arn:aws:execute-api:us-east-1:000000000000:${Api}/*/GET/*"},
    ),
    "Authorizer": resource(
        "ApiGatewayV2::Authorizer",
        ApiId={"Ref": "Api"},
        Name="who",
        AuthorizerType="JWT",
        IdentitySource=["$request.header.Authorization"],
        JwtConfiguration={"Audience": ["app", "other"], "Issuer": ISSUER},
    ),
    "Open": route("GET /open"),
    "Iam": route("GET /iam", AuthorizationType="AWS_IAM"),
    "OtherIam": route("GET /other", AuthorizationType="AWS_IAM"),
    "Unlet": route("POST /open"),
    "Jwt": route("GET /jwt", **JWT),
    "Scoped": route("GET /scoped", **JWT, AuthorizationScopes=["read", "write"]),
}


@dataclass
class Api:
    laptop: Laptop
    data: Path

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, Json, str | None]:
        """Status, body, and what a refusal asks for."""
        url = self.laptop.app.url + path
        request = urllib.request.Request(url, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, json.load(response), None
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error), error.headers.get("www-authenticate")

    def signed(
        self, path: str, credentials: Credentials, service: str = "execute-api", region: str = "us-east-1"
    ) -> tuple[int, Json, str | None]:
        request = AWSRequest("GET", self.laptop.app.url + path)
        SigV4Auth(credentials, service, region).add_auth(request)
        return self.get(path, **dict(request.headers.items()))

    def as_role(self) -> Credentials:
        (arn,) = (arn for arn in self.laptop.permissions.roles.all() if "T-Caller" in arn)
        keys = self.laptop.keyring.issue(arn, "session")
        return Credentials(keys.access_key, keys.secret_key, keys.session_token)

    def token(self, *arguments: str) -> str:
        printed = io.StringIO()
        with redirect_stdout(printed):
            assert issuer.main(["--data", str(self.data), *arguments]) == 0
        return printed.getvalue().strip()

    def bearing(self, path: str, token: str) -> tuple[int, Json, str | None]:
        return self.get(path, Authorization=f"Bearer {token}")


def laptop_of(folder: Path, enforce: bool) -> Laptop:
    settings = Settings(
        assembly(folder / "asm", RESOURCES), folder / "data", folder / "layers", None, 0, 0, enforce=enforce
    )
    return Laptop(settings)


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("strict")
    laptop = laptop_of(folder, enforce=True)
    try:
        laptop.start()
        yield Api(laptop, folder / "data")
    finally:
        laptop.stop()


@pytest.fixture(scope="module")
def lax(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("lax")
    laptop = laptop_of(folder, enforce=False)
    try:
        laptop.start()
        yield Api(laptop, folder / "data")
    finally:
        laptop.stop()


FORBIDDEN = (403, {"message": "Forbidden"}, None)


def unauthorized(why: str | None = None) -> tuple[int, Json, str]:
    reason = f' scope="" error="invalid_token" error_description="{why}"' if why else ""
    return 401, {"message": "Unauthorized"}, f"Bearer{reason}"


def test_without_enforcement_the_unsigned_are_the_local_user(lax: Api) -> None:
    _, context, _ = lax.get("/iam")
    assert context["authorizer"]["iam"]["userArn"] == "arn:aws:iam::000000000000:user/local"
    _, context, _ = lax.get("/jwt")
    assert context["authorizer"]["jwt"] == {"claims": {"sub": "local"}, "scopes": None}
    assert lax.bearing("/jwt", "a.b.c")[0] == 401
    assert lax.signed("/other", lax.as_role()) == FORBIDDEN


def test_enforced_iam_routes_want_a_signature_for_the_api_by_a_known_key(strict: Api) -> None:
    assert strict.get("/iam") == FORBIDDEN
    assert strict.get("/iam", Authorization="Bearer x.y.z") == FORBIDDEN
    assert strict.signed("/iam", Credentials("stranger", "stranger")) == FORBIDDEN
    assert strict.signed("/iam", Credentials("local", "wrong")) == FORBIDDEN
    assert strict.signed("/iam", Credentials("local", "local"), "s3") == FORBIDDEN
    assert strict.signed("/iam", Credentials("local", "local"), region="eu-west-1") == FORBIDDEN
    status, context, _ = strict.signed("/iam", Credentials("local", "local"))
    assert (status, context["authorizer"]["iam"]["accessKey"]) == (200, "local")


def test_a_role_needs_the_right_to_invoke_the_route(strict: Api) -> None:
    status, context, _ = strict.signed("/iam", strict.as_role())
    assert status == 200
    assert "assumed-role/T-Caller" in context["authorizer"]["iam"]["userArn"]
    assert strict.signed("/other", strict.as_role()) == FORBIDDEN


def test_an_open_route_stays_open_and_knows_nobody(strict: Api) -> None:
    status, context, _ = strict.get("/open")
    assert status == 200
    assert "authorizer" not in context


def test_an_api_invokes_only_what_the_functions_policy_lets_it(strict: Api) -> None:
    assert strict.get("/open", "POST")[:2] == (500, {"message": "Internal Server Error"})


def test_a_token_of_the_local_issuer_opens_and_its_claims_arrive_as_texts(strict: Api) -> None:
    token = strict.token("--subject", "alice", "--claim", "tenant=acme", "--scope", "read", "--scope", "more")
    status, context, _ = strict.bearing("/jwt", token)
    assert status == 200
    claims = context["authorizer"]["jwt"]["claims"]
    assert claims | {"sub": "alice", "tenant": "acme", "iss": ISSUER, "aud": "app", "scope": "read more"} == claims
    assert claims["exp"].isdigit()
    assert context["authorizer"]["jwt"]["scopes"] is None
    assert strict.get("/jwt", Authorization=token)[0] == 200  # `Bearer` may be left out


def test_a_scoped_route_wants_one_of_its_scopes(strict: Api) -> None:
    status, context, _ = strict.bearing("/scoped", strict.token("--scope", "read", "--scope", "more"))
    assert (status, context["authorizer"]["jwt"]["scopes"]) == (200, ["read"])
    wanted = 'Bearer scope="read write" error="insufficient_scope"'
    assert strict.bearing("/scoped", strict.token("--scope", "more")) == (403, {"message": "Forbidden"}, wanted)
    assert strict.bearing("/scoped", strict.token())[0] == 403


def test_no_token_and_a_signature_in_its_place_are_unauthorized(strict: Api) -> None:
    assert strict.get("/jwt") == unauthorized()
    assert strict.signed("/jwt", Credentials("local", "local")) == unauthorized()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--seconds", "-5"], "the token has expired"),
        (["--audience", "nobody"], "the token does not have a valid audience"),
        (["--issuer", "https://elsewhere.example.com"], "the token does not have a valid issuer"),
    ],
)
def test_a_token_that_is_not_for_this_is_refused_with_the_reason(strict: Api, arguments: list[str], why: str) -> None:
    assert strict.bearing("/jwt", strict.token(*arguments)) == unauthorized(why)


def test_a_forged_token_is_refused(strict: Api) -> None:
    claims = jwt.decode(strict.token(), options={"verify_signature": False})
    unsigned = jwt.encode(claims, "", "none")
    shared = jwt.encode(claims, "a secret that is long enough to be one", "HS256")
    header, _, signature = strict.token().split(".")
    payload = jwt.encode({**claims, "sub": "root"}, "", "none").split(".")[1]
    malformed = "the token is malformed, or its signature is not the issuer's"
    for token in (shared, f"{header}.{payload}.{signature}", "no.token.atall"):
        assert strict.bearing("/jwt", token) == unauthorized(malformed)
    assert strict.bearing("/jwt", unsigned)[0] == 401


def test_the_issuer_shows_its_configuration_and_its_key(strict: Api) -> None:
    _, found, _ = strict.get("/_local/issuer/.well-known/openid-configuration")
    assert found["issuer"] == f"{strict.laptop.app.url}/_local/issuer"
    keys = jwt.PyJWKClient(found["jwks_uri"])
    token = strict.token("--issuer", found["issuer"], "--subject", "bob")
    key = keys.get_signing_key_from_jwt(token)
    assert jwt.decode(token, key, ["RS256"], audience="app")["sub"] == "bob"
    assert strict.bearing("/jwt", token)[0] == 200


def test_a_token_needs_a_laptop_that_has_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "local", "token", "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert (done.returncode, done.stderr) == (2, f"no laptop has run on {tmp_path}\n")


def test_other_authorizers_stop_the_start(tmp_path: Path) -> None:
    lambda_one = resource("ApiGatewayV2::Authorizer", ApiId="a", AuthorizerType="REQUEST", Name="n")
    laptop = Laptop(
        Settings(assembly(tmp_path / "asm", {"A": lambda_one}), tmp_path / "data", tmp_path / "layers", None, 0, 0)
    )
    try:
        with pytest.raises(TemplateError, match="JWT authorizers, not REQUEST ones"):
            laptop.start()
    finally:
        laptop.stop()

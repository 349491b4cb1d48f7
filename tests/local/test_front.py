"""The AWS door, in front of services that are not ours."""

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import boto3
import pytest
import urllib3
from botocore.config import Config
from botocore.exceptions import ClientError

from local.auth import Keyring
from local.clients import Clients
from local.front import Front
from local.http import HttpServer
from local.others import answer_other
from local.wire import ACCOUNT, Service, TargetService

ROLE = f"arn:aws:iam::{ACCOUNT}:role/worker"


@pytest.fixture
def endpoint(keyring: Keyring) -> Iterator[str]:
    server = HttpServer(Front({}, keyring, answer_other), 0)
    server.start()
    yield server.url
    server.stop()


@pytest.mark.parametrize("key", ["local", "AKIASOMEBODYELSE"])
def test_a_service_of_motos_gets_the_body_whoever_signs_and_knows_the_account(endpoint: str, key: str) -> None:
    session = boto3.session.Session(key, key, region_name="us-east-1")
    identity = session.client("sts", endpoint_url=endpoint).get_caller_identity()
    assert identity["Account"] == ACCOUNT
    ssm = session.client("ssm", endpoint_url=endpoint)
    ssm.put_parameter(Name=f"/{key}", Value="v" * 4000, Type="String")
    assert ssm.get_parameter(Name=f"/{key}")["Parameter"]["Value"] == "v" * 4000


@pytest.mark.parametrize("signature", ["ab", "\xe9"])
@pytest.mark.parametrize("date", ["20269999T999999Z", "20260101T000000Z"])
def test_a_signature_that_is_none_is_refused_as_one(endpoint: str, date: str, signature: str) -> None:
    scope = "local/20260101/us-east-1/s3/aws4_request"
    authorization = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature={signature}"
    headers = {"Authorization": authorization.encode("latin-1"), "X-Amz-Date": date}
    answer = urllib3.request("GET", endpoint, headers=headers)  # type: ignore[arg-type]
    assert answer.status in (400, 403)
    assert b"<Code>" in answer.data


def test_a_body_that_is_too_deep_is_refused_as_no_json(serve: Callable[[Mapping[str, Service]], Clients]) -> None:
    events = serve({"events": TargetService({"ListRules": lambda request, caller: {}})}).get("events", None)
    with pytest.raises(ClientError, match="SerializationException"):
        events.meta.events.register("before-call", lambda params, **_: params.update(body=b"[" * 100_000))
        events.list_rules()


@pytest.mark.parametrize("expires", ["\u00b2", "9" * 5000])
def test_an_old_link_with_no_time_has_expired(endpoint: str, expires: str) -> None:
    query = urlencode({"AWSAccessKeyId": "local", "Signature": "x", "Expires": expires})
    assert urllib3.request("GET", f"{endpoint}/bucket/key?{query}").status == 403


def client(endpoint: str, service: str, *keys: str) -> Any:
    once = Config(retries={"total_max_attempts": 1})
    session = boto3.session.Session(*(keys or ("local", "local")), region_name="us-east-1")
    return session.client(service, endpoint_url=endpoint, config=once)


@pytest.mark.parametrize(
    ("service", "method", "arguments", "code", "said"),
    [
        ("cloudtrail", "lookup_events", {}, "UnknownOperationException", "LookupEvents of cloudtrail"),
        ("ec2", "describe_spot_datafeed_subscription", {}, "InvalidAction", "DescribeSpotDatafeedSubscription of ec2"),
        ("iam", "list_service_specific_credentials", {}, "InvalidAction", "ListServiceSpecificCredentials of iam"),
        ("glue", "get_blueprint", {"Name": "x"}, "UnknownServiceException", "the service glue"),
        ("apigatewayv2", "get_apis", {}, "UnknownServiceException", "the service apigateway"),
        ("braket", "search_devices", {"filters": []}, "UnknownServiceException", "the service braket"),
    ],
)
def test_what_moto_does_not_offer_is_refused_by_name_in_the_services_form(
    endpoint: str,
    caplog: pytest.LogCaptureFixture,
    service: str,
    method: str,
    arguments: dict[str, Any],
    code: str,
    said: str,
) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(ClientError) as refused:
        getattr(client(endpoint, service), method)(**arguments)
    error = refused.value.response["Error"]
    assert (error["Code"], error["Message"]) == (code, f"The laptop does not offer {said}")
    assert caplog.messages == [f"{code}: The laptop does not offer {said}"]


def test_everybody_is_told_who_they_are(endpoint: str, keyring: Keyring) -> None:
    identity = client(endpoint, "sts").get_caller_identity()
    assert (identity["Arn"], identity["Account"]) == (f"arn:aws:iam::{ACCOUNT}:user/local", ACCOUNT)
    keys = keyring.issue(ROLE, "told")
    identity = client(endpoint, "sts", keys.access_key, keys.secret_key, keys.session_token).get_caller_identity()
    assert identity["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/worker/told"
    assert identity["UserId"].startswith("AROA") and identity["UserId"].endswith(":told")

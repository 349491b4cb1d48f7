"""The AWS door, in front of services that are not ours."""

from collections.abc import Iterator

import boto3
import pytest

from local.auth import Keyring
from local.front import Front
from local.http import HttpServer
from local.others import moto_service
from local.wire import ACCOUNT


@pytest.fixture
def endpoint(keyring: Keyring) -> Iterator[str]:
    server = HttpServer(Front({}, keyring, moto_service), 0)
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

"""What docs/laptop.md says of the laptop, held against the laptop."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local.laptop import Laptop, Settings
from tests.local.test_operations import NOT_ASKED, smallest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "laptop.md").read_text()
SERVICES = (
    *("s3", "sqs", "events", "dynamodb", "stepfunctions", "lambda", "s3vectors"),
    *("bedrock-runtime", "bedrock", "cloudformation"),
)
NOT_OFFERED = ("UnknownOperation", "UnknownOperationException", "NotImplemented", "MethodNotAllowed", "InvalidAction")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("laptop")
    laptop = Laptop(Settings(None, folder / "data", folder / "layers", aws_port=0, port=0))
    try:
        laptop.start()
        yield laptop.aws.url
    finally:
        laptop.stop()


def client_of(url: str, service: str) -> Any:
    return boto3.session.Session().client(
        service,
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, inject_host_prefix=False),
    )


def offered(url: str, service: str) -> list[str]:
    """The operations that the laptop knows, found by asking for each."""
    client = client_of(url, service)
    model = client.meta.service_model
    asked = {
        name: method
        for method, name in sorted(client.meta.method_to_api_mapping.items())
        if name not in NOT_ASKED.get(service, ()) and not model.operation_model(name).deprecated
    }
    return [name for name, method in asked.items() if is_offered(client, method, name)]


def is_offered(client: Any, method: str, name: str) -> bool:
    shape = client.meta.service_model.operation_model(name).input_shape
    try:
        getattr(client, method)(**(smallest(shape) if shape else {}))
    except ClientError as error:
        said = error.response["Error"]
        return said["Code"] not in NOT_OFFERED and "does not offer" not in said.get("Message", "")
    return True


@pytest.mark.parametrize("service", SERVICES)
def test_the_page_names_the_operations_that_the_laptop_offers(service: str, url: str) -> None:
    row = re.search(rf"^\| {service} \| (.*) \|$", PAGE, re.MULTILINE)
    found = ", ".join(offered(url, service))
    assert row and row[1] == found, f"the row is to be:\n| {service} | {found} |"


@pytest.mark.parametrize(
    ("service", "method", "arguments", "operation"),
    [
        ("lambda", "delete_function", {"FunctionName": "f"}, "DeleteFunction"),
        ("lambda", "get_account_settings", {}, "GetAccountSettings"),
        ("bedrock", "get_guardrail", {"guardrailIdentifier": "g"}, "GetGuardrail"),
        ("bedrock-runtime", "count_tokens", {"modelId": "m", "input": {"converse": {}}}, "CountTokens"),
    ],
)
def test_what_is_not_offered_is_refused_by_the_operations_name(
    url: str, service: str, method: str, arguments: dict[str, Any], operation: str
) -> None:
    with pytest.raises(ClientError) as refused:
        getattr(client_of(url, service), method)(**arguments)
    assert refused.value.response["Error"]["Message"] == f"The laptop does not offer {operation}"


@pytest.mark.slow
def test_the_fixture_of_the_page_starts_a_laptop_for_a_test_suite(tmp_path: Path) -> None:
    code = next(block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "@pytest.fixture" in block)
    uses = "import boto3\n\ndef test_it(aws):\n    boto3.client('sqs', endpoint_url=aws).list_queues()\n"
    file = tmp_path / "test_theirs.py"
    file.write_text(f"{code}\n\n{uses}")
    keys = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_DEFAULT_REGION": "us-east-1"}
    options = ["-q", "--rootdir", str(tmp_path), "-p", "no:cacheprovider", str(file)]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *options], cwd=ROOT, env=keys, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0 and "1 passed" in ended.stdout, ended.stdout + ended.stderr

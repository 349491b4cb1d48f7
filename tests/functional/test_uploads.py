"""Uploads with a form that the API signed, as a page or a program fills it in."""

import base64
import json
from typing import Any

import boto3
import pytest
import urllib3
from botocore.config import Config

from lambdas.search import uploads
from lambdas.search.caller import Caller
from lambdas.search.requests import UploadRequest
from tests.user import Answer, User

ORIGIN = "https://page.example"


@pytest.fixture(scope="module")
def http() -> urllib3.PoolManager:
    return urllib3.PoolManager()


def allowed(user: User, name: str, **more: Any) -> dict[str, Any]:
    answer = user.call("POST", "/uploads", {"name": name, **more})
    assert answer.status == 200, answer.body
    return answer.body


def sent(http: urllib3.PoolManager, form: dict[str, Any], content: bytes, **changed: str) -> urllib3.BaseHTTPResponse:
    """The form as `requests` and browsers send it: its fields, then the file."""
    fields = {**form["fields"], **changed, "file": ("of another name", content)}
    return http.request("POST", form["url"], fields=fields, headers={"Origin": ORIGIN})


def test_what_is_uploaded_is_found(user: User, http: urllib3.PoolManager) -> None:
    form = allowed(user, "otters.txt", purpose="media")
    prefix, _, name = form["key"].rpartition("/")
    assert prefix.startswith("uploads/") and len(prefix) > 20 and name == "otters.txt"
    assert sent(http, form, b"Otters hold hands while they sleep.").status == 204
    assert user.settled(form["key"])["status"] == "indexed"
    assert user.search("otters asleep", filter={"prefix": prefix})[0]["key"] == form["key"]


@pytest.mark.parametrize(
    "name",
    [
        *("a b.txt", "100%+#1?&=.txt", "%2F%00.txt", "ünïcödé 漢字 🦦.txt", '"quoted";\\.txt', "<b>bold</b>.txt"),
        *("folder/of/it.txt", "no ending", ".hidden", "e\u0301.txt", "x" * 999),
    ],
)
def test_a_name_is_kept_whatever_is_in_it(user: User, http: urllib3.PoolManager, name: str) -> None:
    form = allowed(user, name)
    assert form["key"].endswith(f"/{name}") and form["key"] == form["fields"]["key"]
    assert sent(http, form, b"words").status == 204
    head = user.client("s3").head_object(Bucket=user.bucket, Key=form["key"])
    assert head["ContentLength"] == 5


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": 5}, "name"),
        ({"name": "x" * 1000}, "name"),
        ({"name": "漢" * 334}, "name"),
        ({"name": "folder/"}, "name"),
        ({"name": "talk.mp4.metadata.json"}, "name"),
        ({"name": ".DS_Store"}, "name"),
        ({"name": "../talk.mp4"}, "name"),
        ({"name": "two\nlines.txt"}, "name"),
        ({"name": "${filename}"}, "name"),
        ({"name": "talk.mp4", "purpose": "theft"}, "purpose"),
        ({"name": "talk.mp4", "size": 5}, "size"),
    ],
)
def test_what_cannot_be_uploaded_is_refused_by_name(user: User, body: Any, field: str) -> None:
    answer = user.call("POST", "/uploads", body)
    assert answer.status == 422 and answer.body["error"]["field"] == field, answer


def test_the_same_name_twice_is_two_files(user: User) -> None:
    assert allowed(user, "same.txt")["key"] != allowed(user, "same.txt")["key"]


def test_a_form_is_good_for_its_own_key_only(user: User, http: urllib3.PoolManager) -> None:
    form = allowed(user, "mine.txt")
    other = sent(http, form, b"words", key="uploads/another/mine.txt")
    assert other.status == 403 and b"Policy Condition failed" in other.data


def test_what_is_too_big_is_refused(user: User, http: urllib3.PoolManager, monkeypatch: pytest.MonkeyPatch) -> None:
    form = allowed(user, "small.txt")
    policy = json.loads(base64.b64decode(form["fields"]["policy"]))
    assert form["max_bytes"] == 5 * 1024**3
    assert ["content-length-range", 0, form["max_bytes"]] in policy["conditions"]
    assert form["expires"].endswith("+00:00")
    monkeypatch.setattr(uploads, "MAX_BYTES", 10)
    signer = boto3.client(
        "s3",
        endpoint_url=user.outputs["AwsEndpointUrl"],
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(signature_version="s3v4"),
    )
    short = (
        uploads.Uploads(signer, user.bucket, user.outputs["OutputBucket"])
        .allow(Caller(), UploadRequest(name="small.txt"))
        .model_dump()
    )
    assert sent(http, short, b"0123456789").status == 204
    refused = sent(http, short, b"0123456789+")
    assert refused.status == 400 and b"EntityTooLarge" in refused.data
    assert refused.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("a.pdf", "application/pdf"),
        ("a.MP4", "video/mp4"),
        ("a.txt", "text/plain"),
        ("a.html", "binary/octet-stream"),
        ("a.svg", "binary/octet-stream"),
        ("pdf", "binary/octet-stream"),
    ],
)
def test_a_browser_shows_what_it_can_and_runs_nothing(
    user: User, http: urllib3.PoolManager, name: str, content_type: str
) -> None:
    form = allowed(user, name)
    assert sent(http, form, b"words").status == 204
    assert user.client("s3").head_object(Bucket=user.bucket, Key=form["key"])["ContentType"] == content_type


def test_a_page_of_any_origin_may_send_the_form_and_read_the_answer(user: User, http: urllib3.PoolManager) -> None:
    form = allowed(user, "from a page.txt")
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    assert http.request("OPTIONS", form["url"], headers=asked).status == 200
    put = {"Origin": ORIGIN, "Access-Control-Request-Method": "PUT"}
    assert http.request("OPTIONS", form["url"], headers=put).status == 403
    assert sent(http, form, b"words").headers["Access-Control-Allow-Origin"] == "*"
    refused = sent(http, form, b"words", key="other")
    assert refused.status == 403 and refused.headers["Access-Control-Allow-Origin"] == "*"


def test_the_api_describes_it(user: User) -> None:
    answer: Answer = user.call("GET", "/openapi.json")
    route = answer.body["paths"]["/uploads"]["post"]
    assert set(route["responses"]) >= {"200", "422"}
    assert set(answer.body["components"]["schemas"]["UploadRequest"]["properties"]) == {"name", "purpose"}

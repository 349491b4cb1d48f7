"""Requests to Nova."""

from typing import Any

import boto3
import orjson
import pytest

from lambdas.shared.errors import BadInputError
from lambdas.shared.nova import Nova
from lambdas.shared.profiles import Profile
from tests.functional.world import refusal


def test_a_profile_chooses_the_detail_of_pictures_and_pages_are_always_documents() -> None:
    asked: list[str] = []

    def refuse(request: Any, **_: Any) -> Any:
        asked.append(orjson.loads(request.body)["singleEmbeddingParams"]["image"]["detailLevel"])
        return refusal(request, 400, "ValidationException")

    client = boto3.client("bedrock-runtime", "us-east-1", aws_access_key_id="local", aws_secret_access_key="local")
    client.meta.events.register("before-send", refuse)
    for profile in (Profile(), Profile(detail_level="DOCUMENT_IMAGE")):
        for embed in (Nova(client, profile).embed_image, Nova(client, profile).embed_page):
            with pytest.raises(BadInputError):
                embed("png", "s3://bucket/key")
    assert asked == ["STANDARD_IMAGE", "DOCUMENT_IMAGE", "DOCUMENT_IMAGE", "DOCUMENT_IMAGE"]

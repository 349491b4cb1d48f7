"""Titan text embeddings over the wire, as langchain-aws, s3vectors-embed-cli and plain boto3 ask for them."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from local.auth import Keyring
from local.bedrock.service import Bedrock, BedrockSettings
from local.clients import Clients
from local.front import Front
from local.http import HttpServer
from local.state import State
from tests.local.conftest import nothing_else

V1 = "amazon.titan-embed-text-v1"
V2 = "amazon.titan-embed-text-v2:0"
NOVA = "amazon.nova-2-multimodal-embeddings-v1:0"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    state = State(tmp_path_factory.mktemp("titan"))
    keyring = Keyring(state.folder)
    services: dict[str, Any] = {}
    server = HttpServer(Front(services, keyring, nothing_else), 0)
    clients = Clients(server.url, keyring)
    services["bedrock"] = Bedrock(state, clients, print, BedrockSettings(requests_per_minute=150))
    server.start()
    yield clients.get("bedrock-runtime", None)
    services["bedrock"].stop()
    server.stop()
    state.close()


def invoke(client: Any, model: str, **body: Any) -> dict[str, Any]:
    with client.invoke_model(modelId=model, body=json.dumps(body))["body"] as stream:
        answer: dict[str, Any] = json.loads(stream.read())
    return answer


def vector(client: Any, model: str, text: str, **more: Any) -> NDArray[np.float64]:
    return np.array(invoke(client, model, inputText=text, **more)["embedding"])


def refusal(client: Any, model: str, body: Any, **more: Any) -> str:
    with pytest.raises(ClientError) as caught:
        client.invoke_model(modelId=model, body=json.dumps(body), **more)
    response = caught.value.response
    assert (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == ("ValidationException", 400)
    message: str = response["Error"]["Message"]
    return message


def test_version_1_answers_1536_numbers_and_a_count_of_tokens(client: Any) -> None:
    answer = invoke(client, V1, inputText="a red fox")
    assert answer.keys() == {"embedding", "inputTextTokenCount"}
    assert len(answer["embedding"]) == 1536
    assert answer["inputTextTokenCount"] == 3


def test_version_2_answers_1024_normalised_numbers_unless_told(client: Any) -> None:
    answer = invoke(client, V2, inputText="a red fox")
    assert answer.keys() == {"embedding", "embeddingsByType", "inputTextTokenCount"}
    assert answer["embeddingsByType"] == {"float": answer["embedding"]}
    assert len(answer["embedding"]) == 1024
    assert np.linalg.norm(answer["embedding"]) == pytest.approx(1)


@pytest.mark.parametrize("dimensions", [256, 512, 1024])
def test_version_2_has_the_length_asked_for_and_is_not_normalised_if_asked_not_to(client: Any, dimensions: int) -> None:
    plain = vector(client, V2, "a red fox", dimensions=dimensions, normalize=False)
    unit = vector(client, V2, "a red fox", dimensions=dimensions, normalize=True)
    assert len(plain) == len(unit) == dimensions
    assert np.linalg.norm(plain) != pytest.approx(1, abs=0.01)
    assert plain / np.linalg.norm(plain) == pytest.approx(unit, abs=1e-6)


def test_binary_embeddings_are_the_signs_of_the_numbers(client: Any) -> None:
    answer = invoke(client, V2, inputText="a red fox", dimensions=256, embeddingTypes=["binary"])
    assert answer["embeddingsByType"] == {"binary": [int(number > 0) for number in answer["embedding"]]}
    both = invoke(client, V2, inputText="a red fox", dimensions=256, embeddingTypes=["float", "binary"])
    assert both["embeddingsByType"] == {**answer["embeddingsByType"], "float": answer["embedding"]}


@pytest.mark.parametrize("model", [V1, V2])
def test_similar_texts_are_near_and_the_same_text_is_the_same(client: Any, model: str) -> None:
    def cosine(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
        return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))

    dog = vector(client, model, "The dog sleeps in the garden")
    assert (dog == vector(client, model, "The dog sleeps in the garden")).all()
    dogs = vector(client, model, "Two dogs were sleeping in a garden")
    tax = vector(client, model, "Quarterly tax returns are due in March")
    assert cosine(dog, dogs) > 0.6 > 0.3 > cosine(dog, tax)


@settings(max_examples=20, deadline=None)
@given(text=st.text(min_size=1, max_size=200), dimensions=st.sampled_from([256, 512, 1024]))
def test_any_text_has_a_vector_of_length_1(client: Any, text: str, dimensions: int) -> None:
    answer = invoke(client, V2, inputText=text, dimensions=dimensions, embeddingTypes=["binary"])
    assert np.linalg.norm(answer["embedding"]) == pytest.approx(1, abs=1e-5)
    assert len(answer["embeddingsByType"]["binary"]) == dimensions
    assert 0 <= answer["inputTextTokenCount"] <= len(text)


def test_vectors_of_different_models_do_not_compare(client: Any) -> None:
    titan = vector(client, V2, "a red fox in the snow")
    params = {
        "embeddingPurpose": "GENERIC_INDEX",
        "embeddingDimension": 1024,
        "text": {"value": "a red fox in the snow", "truncationMode": "END"},
    }
    nova = invoke(client, NOVA, taskType="SINGLE_EMBEDDING", singleEmbeddingParams=params)["embeddings"][0]["embedding"]
    assert abs(titan @ np.array(nova)) < 0.3
    assert abs(titan @ vector(client, V1, "a red fox in the snow")[:1024]) < 0.3


def test_the_headers_of_other_clients_pass(client: Any) -> None:
    body = json.dumps({"inputText": "a red fox"})
    for headers in (
        {},
        {"accept": "application/json", "contentType": "application/json"},
        {"accept": "*/*", "contentType": "application/json"},
    ):
        answer = client.invoke_model(modelId=V2, body=body, **headers)
        answer["body"].close()
        assert answer["contentType"] == "application/json"


@pytest.mark.parametrize(
    ("model", "body", "message"),
    [
        (V1, {}, "#: required key [inputText] not found"),
        (V1, {"inputText": "x", "dimensions": 256}, "#: extraneous key [dimensions] is not permitted"),
        (V1, {"inputText": ["x"]}, "#/inputText"),
        (V1, {"inputText": None}, "#/inputText"),
        (V2, {"inputText": ""}, "expected minLength: 1, actual: 0"),
        (V2, {"inputText": "x" * 50_001}, "expected maxLength: 50000, actual: 50001"),
        (V2, {"inputText": "x", "dimensions": 1536}, "#/dimensions"),
        (V2, {"inputText": "x", "dimensions": "256"}, "#/dimensions"),
        (V2, {"inputText": "x", "dimensions": 256.0}, "#/dimensions"),
        (V2, {"inputText": "x", "dimensions": None}, "#/dimensions"),
        (V2, {"inputText": "x", "normalize": "true"}, "#/normalize"),
        (V2, {"inputText": "x", "embeddingTypes": []}, "#/embeddingTypes"),
        (V2, {"inputText": "x", "embeddingTypes": ["int8"]}, "#/embeddingTypes/0"),
        (V2, {"inputText": "x", "taskType": "SINGLE_EMBEDDING"}, "extraneous key [taskType]"),
        (V2, ["x"], "#"),
    ],
)
def test_what_the_schema_does_not_allow_is_refused(client: Any, model: str, body: Any, message: str) -> None:
    refused = refusal(client, model, body)
    assert refused.startswith("Malformed input request: ")
    assert refused.endswith(", please reformat your input and try again.")
    assert message in refused


def test_more_tokens_than_the_model_takes_are_refused_although_the_characters_are_few(client: Any) -> None:
    text = "日本" * 4_096
    assert invoke(client, V2, inputText=text)["inputTextTokenCount"] == 8_192
    assert invoke(client, V2, inputText="about日本語")["inputTextTokenCount"] == 4
    assert "Max input tokens: 8192, request input token count: 8193" in refusal(client, V2, {"inputText": text + "語"})
    assert invoke(client, V2, inputText="word " * 8_192)["inputTextTokenCount"] == 8_192


def test_a_body_that_is_no_json_is_refused(client: Any) -> None:
    for body in (b"", b"{", b"\xff", b"[" * 100_000, b'{"inputText": "half a pair: \\ud800"}'):
        with pytest.raises(ClientError, match="Malformed input request: the body is not JSON"):
            client.invoke_model(modelId=V2, body=body)


def test_titan_takes_no_asynchronous_invocation(client: Any) -> None:
    with pytest.raises(ClientError, match="doesn't support asynchronous"):
        client.start_async_invoke(
            modelId=V2,
            modelInput={"inputText": "x"},
            outputDataConfig={"s3OutputDataConfig": {"s3Uri": "s3://media/out"}},
        )


def test_each_model_has_a_quota_of_its_own(client: Any) -> None:
    with pytest.raises(ClientError) as caught:
        for _ in range(151):
            invoke(client, V1, inputText="x")
    assert caught.value.response["Error"]["Code"] == "ThrottlingException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert "retry-after" not in caught.value.response["ResponseMetadata"]["HTTPHeaders"]
    assert invoke(client, V2, inputText="x")

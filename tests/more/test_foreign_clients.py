"""What other people wrote against the real S3 Vectors runs against ours, unchanged."""

import json
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.more.conftest import MORE, Aws

RunTests = Callable[..., Counter[str]]
# The command line names its own endpoint for S3 Vectors: without that the SDK's variable counts, as everywhere else.
WITHOUT_ENDPOINT = """\
import boto3, s3vectors.cli; client = boto3.Session.client
boto3.Session.client = lambda session, name, **options: client(session, name, **{**options, "endpoint_url": None})
s3vectors.cli.main()
"""
TEXTS = {"boat": "a red boat on the sea", "cake": "chocolate cake with cream", "tram": "the tram to the station"}


def test_the_tests_that_moto_holds_against_aws_pass(run_their_tests: RunTests) -> None:
    outcomes = run_their_tests("moto-5.2.5", "tests/test_s3vectors", MOTO_TEST_ALLOW_AWS_REQUEST="true")
    assert outcomes == {"passed": 53}


def test_langchains_integration_tests_run_and_pass(aws: Aws, run_their_tests: RunTests) -> None:
    aws.clients.get("s3vectors", None).create_vector_bucket(vectorBucketName="langchain")
    outcomes = run_their_tests(
        "langchain_aws-1.9.1",
        "tests/integration_tests/vectorstores/test_s3_vectors.py",
        "--noconftest",  # theirs replays recorded answers, for other tests
        INTEGRATION_TEST_S3_VECTORS_VECTOR_BUCKET_NAME="langchain",
    )
    assert outcomes == {"passed": 2}


@pytest.mark.parametrize(
    ("model", "dimension"), [("amazon.titan-embed-text-v1", 1536), ("amazon.titan-embed-text-v2:0", 256)]
)
def test_the_embedding_command_line_puts_texts_and_finds_them(
    aws: Aws, tmp_path: Path, model: str, dimension: int
) -> None:
    bucket, index = f"embed-cli-{dimension}", "texts"
    client = aws.clients.get("s3vectors", None)
    client.create_vector_bucket(vectorBucketName=bucket)
    shape = {"dataType": "float32", "dimension": dimension, "distanceMetric": "cosine"}
    client.create_index(vectorBucketName=bucket, indexName=index, **shape)

    def call(command: str, *options: str) -> Any:
        where = ["--vector-bucket-name", bucket, "--index-name", index, "--model-id", model]
        ended = subprocess.run(
            [MORE / "venv/bin/python", "-c", WITHOUT_ENDPOINT, command, *where, *options],
            env=aws.environment(tmp_path),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return json.loads(ended.stdout)

    for key, text in TEXTS.items():
        call("put", "--text-value", text, "--key", key, "--metadata", json.dumps({"kind": key}))
    found = call("query", "--text-value", "a boat on the sea", "--k", "2", "--return-distance")
    assert found["results"][0]["Key"] == "boat"
    assert found["results"][0]["metadata"]["S3VECTORS-EMBED-SRC-CONTENT"] == TEXTS["boat"]
    others = call("query", "--text-value", "a boat on the sea", "--filter", json.dumps({"kind": {"$ne": "boat"}}))
    assert {each["Key"] for each in others["results"]} == {"cake", "tram"}

"""Somebody with the outputs of the stack and nothing else: files in, answers out."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import boto3

SETTLED = ("indexed", "partial", "failed", "unsupported", "deleted")
SECONDS = 60


@dataclass
class Answer:
    status: int
    body: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class User:
    """Somebody with the outputs of the stack and nothing else."""

    outputs: dict[str, str]

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.outputs["AwsEndpointUrl"],
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )

    @property
    def bucket(self) -> str:
        return self.outputs["MediaBucket"]

    def drop(self, key: str, content: bytes, **more: Any) -> None:
        self.client("s3").put_object(Bucket=self.bucket, Key=key, Body=content, **more)

    def remove(self, key: str) -> None:
        self.client("s3").delete_object(Bucket=self.bucket, Key=key)

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """One request of the HTTP API; bytes go as they are, anything else as JSON."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.outputs["ApiUrl"] + path,
            data=data,
            method=method,
            headers={"Content-Type": "application/json", **(headers or {})},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return Answer(response.status, json.load(response), response.headers)
        except urllib.error.HTTPError as error:
            return Answer(error.code, json.load(error), error.headers)

    def search(self, text: str, **more: Any) -> list[dict[str, Any]]:
        answer = self.call("POST", "/search", {"query": {"text": text}, **more})
        assert answer.status == 200, answer.body
        hits: list[dict[str, Any]] = answer.body["hits"]
        return hits

    def assets(self, **query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            page = self.call("GET", "/assets" + (f"?{urlencode(query, quote_via=quote)}" if query else "")).body
            found += page["assets"]
            if "next" not in page:
                return found
            query["next"] = page["next"]

    def asset(self, key: str, **query: str) -> dict[str, Any] | None:
        return next((asset for asset in self.assets(prefix=key, **query) if asset["key"] == key), None)

    def settled(self, key: str, not_as: dict[str, Any] | None = None, seconds: float = SECONDS) -> dict[str, Any]:
        """The asset once it has come to an end that is not the one given."""
        deadline = time.monotonic() + seconds
        asset = None
        while time.monotonic() < deadline:
            asset = self.asset(key) or self.asset(key, status="deleted")
            if asset and asset["status"] in SETTLED and asset != not_as:
                return asset
            time.sleep(0.1)
        raise AssertionError(f"{key} did not settle: {asset}")

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for it."""
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, "it did not come about"
            time.sleep(0.1)

    def ring(self, body: Any) -> None:
        """Put a message into the ingest queue."""
        self.client("sqs").send_message(QueueUrl=self.queue("IngestionQueue"), MessageBody=json.dumps(body))

    def queue(self, name: str) -> str:
        """Its URL, by a part of its name."""
        (url,) = (url for url in self.client("sqs").list_queues()["QueueUrls"] if name in url)
        return str(url)

    def dropped(self, key: str, content: bytes, **more: Any) -> dict[str, Any]:
        """Drop a new file and wait for its end."""
        before = self.asset(key) or self.asset(key, status="deleted")
        self.drop(key, content, **more)
        return self.settled(key, not_as=before)

    def embeddings(self) -> int:
        """How often ingestion has asked the model."""
        with urllib.request.urlopen(f"{self.outputs['AwsEndpointUrl']}/_local/calls") as answer:
            calls = json.load(answer)["calls"]
        return sum(one["count"] for one in calls if "Ingest" in one["caller"] and "bedrock" in one["service"])

    def vectors(self, asset_id: str | None = None) -> list[str]:
        """The keys of all vectors in the index, or of those of one asset."""
        pages = (
            self.client("s3vectors")
            .get_paginator("list_vectors")
            .paginate(vectorBucketName=self.outputs["VectorBucket"], indexName=self.outputs["IndexName"])
        )
        keys = [vector["key"] for page in pages for vector in page["vectors"]]
        return sorted(key for key in keys if asset_id is None or key.startswith(f"{asset_id}/"))

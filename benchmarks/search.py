"""What the search function takes for itself, without Bedrock, S3 Vectors and DynamoDB.

Two ratios, which depend less on the machine than seconds do: a search for ten hits to an empty route of the same
process, and the import of the handler, with its clients made, to a bare function with the same boto3 clients. The
services are stand-ins in the process that answer at once; whatever is left is ours: validation, filter, heads, groups,
links, JSON.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).parent.parent
TOP_K = 10
PAGE = 100
DIMENSION = 1024
IMPORT_LIMIT = 1.8
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": "us-east-1",
    "POWERTOOLS_SERVICE_NAME": "search",
    "POWERTOOLS_LOG_LEVEL": "WARNING",
    "MEDIA_BUCKET": "media",
    "OUTPUT_BUCKET": "output",
    "CATALOG_TABLE": "catalog",
    "VECTOR_BUCKET_ARN": "arn:aws:s3vectors:us-east-1:000000000000:bucket/vectors",
    "INGEST_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/000000000000/ingest",
    "PROFILES": "{}",
}
CLIENTS = ("bedrock-runtime", "dynamodb", "s3", "s3vectors", "sqs")
BARE = f"""
import boto3
from botocore.config import Config
config = Config(connect_timeout=2, read_timeout=10, retries={{"mode": "standard"}})
clients = [boto3.client(name, config=config) for name in {CLIENTS}]
def handler(event, context):
    return {{"statusCode": 200}}
"""
OURS = """
from lambdas.search import handler
handler.search(), handler.listing(), handler.orders(), handler.uploads()
"""


def import_seconds(program: str, rounds: int) -> float:
    """The median of fresh processes, less the start of Python itself."""

    def once(text: str) -> float:
        since = time.perf_counter()
        subprocess.run([sys.executable, "-c", text], cwd=ROOT, env={**os.environ, **ENVIRONMENT}, check=True)
        return time.perf_counter() - since

    once(program)  # compiles what was not
    return statistics.median(once(program) for _ in range(rounds)) - statistics.median(
        once("pass") for _ in range(rounds)
    )


def handler_with_stand_ins() -> Any:
    """Our handler; a query finds a hundred passages of twenty files."""
    os.environ.update(ENVIRONMENT)
    from lambdas.search import handler
    from lambdas.shared.records import Head, Live
    from lambdas.shared.vectors import Neighbour

    profile = handler.settings().profiles.default.name
    live = Live("g", "c", 0, profile)
    heads = {
        name: Head(name, f"notes/{name}.txt", 1, "indexed", 0, 9, 1, wanted="g", live=live)
        for name in (f"{number:020d}" for number in range(20))
    }
    text = "Herons stand in the shallows and wait. " * 30
    found = [
        Neighbour(
            f"{list(heads)[number % 20]}/g/TEXT/{number}",
            0.2 + number / 1000,
            {
                "_uri": "s3://media/k",
                "_modality": "text",
                "_text": text,
                "_start_char": number,
                "_end_char": number + 9,
            },
        )
        for number in range(PAGE)
    ]
    search = handler.search()
    vector = [1.0] + [0.0] * (DIMENSION - 1)
    stand_ins = {
        "stores": {profile: SimpleNamespace(query=lambda *_: (found, None))},
        "catalog": SimpleNamespace(heads=lambda names: {name: heads[name] for name in names}),
        "embeddings": SimpleNamespace(
            sources=lambda query: {}, bound=lambda *_: None, vector=lambda *_: vector, profiles=search.profiles
        ),
    }
    for name, stand_in in stand_ins.items():
        object.__setattr__(search, name, stand_in)
    handler.app.get("/empty", include_in_schema=False)(lambda: {})
    return handler


def event(method: str, path: str, body: Any = None) -> dict[str, Any]:
    return {
        "version": "2.0",
        "rawPath": path,
        "headers": {"content-type": "application/json"},
        "requestContext": {"http": {"method": method, "path": path}, "requestId": "r", "stage": "$default"},
        "body": body and json.dumps(body),
        "isBase64Encoded": False,
    }


def milliseconds(call: Callable[[], dict[str, Any]], rounds: int) -> float:
    """The median, warm."""
    taken = []
    for number in range(rounds + 20):
        since = time.perf_counter()
        answer = call()
        if number >= 20:
            taken.append(1000 * (time.perf_counter() - since))
        assert answer["statusCode"] == 200, answer
    return statistics.median(taken)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    rounds = 3 if given.quick else 9
    bare, ours = import_seconds(BARE, rounds), import_seconds(OURS, rounds)
    handler = handler_with_stand_ins()
    context = SimpleNamespace(
        function_name="search", memory_limit_in_mb=1024, invoked_function_arn="arn", aws_request_id="r"
    )
    wanted = {"query": {"text": "herons"}, "top_k": TOP_K, "filter": {"year": {"$gte": 2020}}}
    first = json.loads(handler.handler(event("POST", "/search", wanted), context)["body"])
    assert len(first["hits"]) == TOP_K, first
    search = milliseconds(lambda: handler.handler(event("POST", "/search", wanted), context), 30 * rounds)
    empty = milliseconds(lambda: handler.handler(event("GET", "/empty"), context), 30 * rounds)
    figures = {
        "search_ms": search,
        "empty_ms": empty,
        "search_ratio": search / empty,
        "import_s": ours,
        "bare_import_s": bare,
        "import_ratio": ours / bare,
    }
    print(f"a search for {TOP_K} hits: {search:.2f} ms, {search / empty:.1f} × an empty route ({empty:.2f} ms)")
    print(f"import: {ours:.2f} s, {ours / bare:.2f} × a bare function with the same clients ({bare:.2f} s)")
    if given.json:
        given.json.write_text(json.dumps(figures))
    if ours / bare > IMPORT_LIMIT:
        print(f"the import is more than {IMPORT_LIMIT} × that of the bare function", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

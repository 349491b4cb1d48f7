"""What QueryVectors costs on the laptop's S3 Vectors, over the wire, beside one plain pass over the same memory.

The plain pass is a numpy product of the float32 matrix with the query: no search that looks at every vector can be
quicker. Queries and passes take turns, so that a slow moment of the machine meets both. The exit code is 0 when every
query found what it should; how long it took is shown, not judged: that depends on the machine.
"""

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import orjson
from botocore.config import Config
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.index_path import progress

ROOT = Path(__file__).parent.parent
VECTORS, DIMENSION = 100_000, 1024
PUT = 500  # vectors a call
ROUNDS = 15
STARTS = 3
WANTED_RATIO = 3.0
WANTED_OPENING = 2.0  # seconds
INDEX = {"vectorBucketName": "bench", "indexName": "vectors"}
WORDS = [f"{first}{second}" for first in ("kal", "mor", "tis", "ven", "dru", "sol") for second in map(str, range(500))]

TEN_OF_MOST: dict[str, Any] = {
    "$and": [
        {"kind": {"$in": ["film", "sound", "picture"]}},  # three constraints: one for each value
        {"year": {"$gte": 1955, "$lt": 2020}},
        {"rating": {"$gt": 0.5}},
        {"tags": {"$ne": "old"}},
        {"path": {"$startsWith": "/media/"}},
        {"public": {"$exists": True}},
        {"size": {"$lte": 9_900_000}},
    ]
}
TEN_OF_FEW: dict[str, Any] = {
    "$and": [
        {"kind": {"$in": ["film", "sound"]}},
        {"year": {"$gte": 1980, "$lt": 2010}},
        {"rating": {"$gt": 5}},
        {"tags": {"$nin": ["old", "grey"]}},
        {"path": {"$startsWith": "/media/"}},
        {"public": True},
        {"size": {"$lte": 5_000_000}},
    ]
}


class WrongError(Exception):
    """A query did not find what it should have; one sentence."""


@dataclass(frozen=True)
class Measured:
    """Seconds: the median over all rounds, and the least."""

    name: str
    median: float
    least: float


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.vector_query", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a twentieth of the vectors, three rounds")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="keep the vectors there, and find them there again")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument("--serve", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        return serve(given.serve)
    vectors, rounds = (VECTORS // 20, 3) if given.quick else (VECTORS, ROUNDS)
    try:
        with tempfile.TemporaryDirectory(prefix="bucketlens-bench-") as folder:
            found = measure(given.data or Path(folder), vectors, rounds)
    except WrongError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    Console(highlight=False).print(result_table(found, vectors, rounds))
    if given.json:
        given.json.write_text(json.dumps([asdict(one) for one in found], indent=1))
    return 0


# -- the server -----------------------------------------------------------------------------------------------------


def serve(folder: Path) -> int:
    """S3 Vectors behind the laptop's door; prints its port, ends when stdin does."""
    from local.auth import Keyring
    from local.front import Front
    from local.http import HttpServer
    from local.others import answer_other
    from local.s3vectors import S3Vectors
    from local.state import State

    server = HttpServer(Front({"s3vectors": S3Vectors(State(folder))}, Keyring(folder), answer_other), 0)
    server.start()
    print(server.port, flush=True)
    sys.stdin.read()
    return 0


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """The server until the block ends; its URL."""
    command = [sys.executable, "-m", "benchmarks.vector_query", "--serve", str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin and process.stdout
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


def connect(url: str) -> Any:
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    settings = Config(retries={"total_max_attempts": 1}, read_timeout=600, proxies={})
    return boto3.client(
        "s3vectors", "us-east-1", endpoint_url=url, aws_access_key_id="x", aws_secret_access_key="x", config=settings
    )


# -- the vectors ----------------------------------------------------------------------------------------------------


def fill(url: str, vectors: int, step: Callable[[str], None]) -> None:
    client = connect(url)
    if client.list_vector_buckets()["vectorBuckets"]:
        return
    client.create_vector_bucket(vectorBucketName=INDEX["vectorBucketName"])
    client.create_index(
        **INDEX,
        dataType="float32",
        dimension=DIMENSION,
        distanceMetric="cosine",
        metadataConfiguration={
            "nonFilterableMetadataKeys": ["text"],
            "textSearchConfigurations": [{"metadataKey": "text", "language": "en"}],
        },
    )
    chance = random.Random(7)
    numbers = np.random.default_rng(7)
    for start in range(0, vectors, PUT):
        if start % 10_000 == 0:
            step(f"putting vectors {start:,} to {min(start + 10_000, vectors):,}")
        rows = np.round(numbers.standard_normal((PUT, DIMENSION)), 4)
        put(url, [described(start + n, row, chance) for n, row in enumerate(rows)])


def put(url: str, vectors: list[dict[str, Any]]) -> None:
    """PutVectors without the SDK, which takes most of a second to write half a million numbers."""
    scope = "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3vectors/aws4_request"
    headers = {"Authorization": f"{scope}, SignedHeaders=host, Signature=0", "X-Amz-Date": "20260101T000000Z"}
    body = orjson.dumps({**INDEX, "vectors": vectors}, option=orjson.OPT_SERIALIZE_NUMPY)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    direct.open(urllib.request.Request(f"{url}/PutVectors", body, headers), timeout=600).close()


def described(number: int, row: NDArray[np.float64], chance: random.Random) -> dict[str, Any]:
    metadata = {
        "kind": chance.choice(["film", "sound", "picture", "text"]),
        "year": chance.randrange(1950, 2026),
        "rating": round(chance.uniform(0, 10), 2),
        "tags": chance.sample(["red", "green", "blue", "grey", "old", "new"], 2),
        "path": f"/{chance.choice(['media', 'inbox'])}/{chance.choice('abcdef')}/{number}",
        "size": chance.randrange(10_000_000),
        "public": chance.random() < 0.5,
        "text": " ".join(WORDS[int(len(WORDS) * chance.random() ** 3)] for _ in range(60)),
    }
    return {"key": f"vector-{number:06}", "data": {"float32": row}, "metadata": metadata}


# -- measuring ------------------------------------------------------------------------------------------------------


def measure(folder: Path, vectors: int, rounds: int) -> list[Measured]:
    with progress(vectors // 10_000 + STARTS + rounds) as step:
        with running(folder) as url:
            fill(url, vectors, step)
        opening = [measure_opening(folder, vectors, step) for _ in range(STARTS)]
        with running(folder) as url:
            found = measure_queries(connect(url), read_matrix(folder, vectors), rounds, step)
    return [*found, Measured("first query of a fresh process", statistics.median(opening), min(opening))]


def measure_opening(folder: Path, vectors: int, step: Callable[[str], None]) -> float:
    """Seconds of the first query, the one that opens the index, in a process that is ready to answer."""
    step("opening")
    with running(folder) as url:
        client = connect(url)
        client.list_vector_buckets()  # the client's own first call
        return timed(lambda: check_keys(client.query_vectors(**INDEX, **asking(DIMENSION, 0)), 10, vectors))


def measure_queries(
    client: Any, matrix: NDArray[np.float32], rounds: int, step: Callable[[str], None]
) -> list[Measured]:
    vectors = len(matrix)
    text = {"queryTexts": [{"text": "kal7 mor300 tis120 ven499", "metadataKey": "text"}]}
    asked: dict[str, dict[str, Any]] = {
        "QueryVectors": {},
        "… ten constraints, most match": {"filter": TEN_OF_MOST},
        "… ten constraints, few match": {"filter": TEN_OF_FEW},
        "… with metadata, topK 100": {"topK": 100, "returnMetadata": True, "returnDistance": True},
        "… and a text (hybrid)": text,
        "… a text alone": {**text, "queryVector": None},
    }
    seconds: dict[str, list[float]] = {name: [] for name in ("one plain pass", *asked)}
    for round_ in range(rounds + 1):  # the first warms up
        step(f"round {round_}")
        query = np.array(asking(DIMENSION, round_)["queryVector"]["float32"], np.float32)
        for name, more in asked.items():
            seconds["one plain pass"].append(timed(lambda: matrix @ query))  # noqa: B023
            request = {**INDEX, **asking(DIMENSION, round_), **more}
            request = {key: value for key, value in request.items() if value is not None}
            seconds[name].append(timed(lambda: check_keys(client.query_vectors(**request), 1, vectors)))  # noqa: B023
    return [Measured(name, statistics.median(each[1:]), min(each[1:])) for name, each in seconds.items()]


def asking(dimension: int, seed: int) -> dict[str, Any]:
    numbers = np.random.default_rng(1000 + seed).standard_normal(dimension)
    return {"queryVector": {"float32": numbers.tolist()}, "topK": 10}


def read_matrix(folder: Path, vectors: int) -> NDArray[np.float32]:
    """The vectors as the server has them, in the memory of this process."""
    [file] = (folder / "s3vectors").glob("*.f32")
    return np.fromfile(file, np.float32, vectors * DIMENSION).reshape(vectors, DIMENSION)


def check_keys(answer: Any, least: int, vectors: int) -> None:
    keys = [each["key"] for each in answer["vectors"]]
    if len(keys) < least or len(set(keys)) < len(keys) or max(keys) >= f"vector-{vectors:06}":
        raise WrongError(f"a query found {keys}")


def timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


# -- showing --------------------------------------------------------------------------------------------------------


def result_table(found: list[Measured], vectors: int, rounds: int) -> Table:
    table = Table(
        title=f"{vectors:,} vectors of {DIMENSION:,} numbers, through boto3 over HTTP",
        caption=f"Median and least of {rounds} rounds (first query: of {STARTS} starts).\n"
        f"× is the median over that of the plain pass, wanted ≤ {WANTED_RATIO:.0f}; "
        f"first query wanted under {WANTED_OPENING:.0f} s.\n"
        f"Python {platform.python_version()}, numpy {np.__version__}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores.",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )
    for name in ("", "median ms", "least ms", "×"):
        table.add_column(name, justify="left" if not name else "right", no_wrap=True)
    pass_, opening = found[0], found[-1]
    for one in found:
        ratio = one.median / pass_.median
        if one is opening:
            mark = "✓" if one.median < WANTED_OPENING else "✗"
        elif one is pass_:
            mark = ""
        else:
            mark = f"{ratio:.1f} {'✓' if ratio <= WANTED_RATIO else '✗'}"
        table.add_row(one.name, f"{one.median * 1000:.1f}", f"{one.least * 1000:.1f}", mark)
    return table


if __name__ == "__main__":
    sys.exit(main())

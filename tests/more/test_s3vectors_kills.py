"""S3 Vectors killed twenty times in the middle of a thousand puts, with readers: nothing acknowledged is lost, nothing
shows half a batch."""

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError

KILLS, PUTS, BATCHES, BATCH, DIMENSION = 20, 1000, 12, 10, 64
INDEX = {"vectorBucketName": "films", "indexName": "scenes"}
SERVER = """
import sys
from pathlib import Path
from local.auth import Keyring
from local.front import Front
from local.http import HttpServer
from local.others import answer_other
from local.s3vectors import S3Vectors
from local.state import State
folder = Path(sys.argv[1])
server = HttpServer(Front({"s3vectors": S3Vectors(State(folder))}, Keyring(folder), answer_other), 0)
server.start()
print(server.port, flush=True)
sys.stdin.read()
"""


@dataclass
class Writes:
    """For each batch, by its number: the last write that was acknowledged and the last that was tried; 0 is none."""

    acknowledged: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(BATCHES), 0))
    tried: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(BATCHES), 0))
    count: int = 0
    reads: int = 0


@contextmanager
def running(folder: Path) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    """A server on the folder, and a client to it that does not try twice."""
    command = [sys.executable, "-c", SERVER, str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdin and process.stdout
        settings = Config(retries={"total_max_attempts": 1}, proxies={}, max_pool_connections=8)
        url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
        client = boto3.client("s3vectors", "us-east-1", endpoint_url=url, config=settings, **keys)
        try:
            yield process, client
        finally:
            client.close()
            process.stdin.close()


def vectors_of(batch: int, write: int) -> list[dict[str, Any]]:
    """One batch as of one write: numbers, filterable metadata and text all tell which write it was."""
    metadata = {"batch": batch, "write": write, "text": f"batch{batch} write{write}"}
    return [
        {"key": f"{batch}-{n}", "data": {"float32": [float(write)] * DIMENSION}, "metadata": metadata}
        for n in range(BATCH)
    ]


def write_until_killed(client: Any, writes: Writes, chance: random.Random) -> None:
    while True:
        batch = chance.randrange(BATCHES)
        writes.count += 1
        writes.tried[batch] = writes.count
        try:
            client.put_vectors(**INDEX, vectors=vectors_of(batch, writes.tried[batch]))
        except BotoCoreError:
            return
        writes.acknowledged[batch] = writes.tried[batch]


def read_until_killed(
    process: subprocess.Popen[str], client: Any, writes: Writes, chance: random.Random, problems: list[str]
) -> None:
    while True:
        batch = chance.randrange(BATCHES)
        try:
            least = writes.acknowledged[batch]
            by_vector = whole_batch(client, batch, queryVector={"float32": [0.0] * DIMENSION})
            by_text = whole_batch(client, batch, queryTexts=[{"metadataKey": "text", "text": f"batch{batch}"}])
        except BotoCoreError:
            return
        except KeyError:  # the kill came between an answer's head and its body
            process.wait(10)
            return
        except AssertionError as error:
            problems.append(str(error))
            return
        writes.reads += 1
        if by_vector < least or by_text < by_vector:
            problems.append(f"batch {batch}: {least} was acknowledged, then {by_vector} was seen, then {by_text}")


def whole_batch(client: Any, batch: int, **asked: Any) -> int:
    """The write that a query shows a batch to be of; 0 where the batch is not there. It must be there whole."""
    answer = client.query_vectors(**INDEX, topK=100, filter={"batch": batch}, returnMetadata=True, **asked)["vectors"]
    shown = {each["key"]: each["metadata"]["write"] for each in answer}
    assert len(shown) in (0, BATCH), f"half a batch: {shown}"
    assert len({*shown.values()}) <= 1, f"two writes at once: {shown}"
    return int(next(iter(shown.values()), 0))


def check_all(client: Any, writes: Writes) -> None:
    for batch in range(BATCHES):
        write = whole_batch(client, batch, queryVector={"float32": [0.0] * DIMENSION})
        assert writes.acknowledged[batch] <= write <= writes.tried[batch]
        writes.acknowledged[batch] = writes.tried[batch] = write
        keys = [f"{batch}-{n}" for n in range(BATCH)] if write else []
        asked = {"topK": 100, "queryTexts": [{"metadataKey": "text", "text": f"batch{batch}"}]}
        assert sorted(each["key"] for each in client.query_vectors(**INDEX, **asked)["vectors"]) == keys
        if not write:
            continue
        asked["queryTexts"] = [{"metadataKey": "text", "text": f"write{write}"}]
        assert sorted(each["key"] for each in client.query_vectors(**INDEX, **asked)["vectors"]) == keys
        found = client.get_vectors(**INDEX, keys=keys, returnData=True, returnMetadata=True)["vectors"]
        assert found == vectors_of(batch, write)


@pytest.mark.timeout(600)
def test_twenty_kills_in_a_thousand_puts_lose_nothing_and_show_no_half_batch(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    writes, problems = Writes(), list[str]()
    stops = [*sorted(chance.sample(range(1, PUTS), KILLS - 1)), PUTS]
    for stop in stops:
        with running(tmp_path) as (process, client):
            if stop == stops[0]:
                make_index(client)
            check_all(client, writes)
            own = [random.Random(chance.random()) for _ in range(3)]
            threads = [threading.Thread(target=write_until_killed, args=(client, writes, own[0]))]
            threads += [
                threading.Thread(target=read_until_killed, args=(process, client, writes, each, problems))
                for each in own[1:]
            ]
            for thread in threads:
                thread.start()
            while writes.count < stop and threads[0].is_alive():
                time.sleep(0.001)
            time.sleep(chance.random() * 0.03)
            process.send_signal(signal.SIGKILL)
            for thread in threads:
                thread.join()
        assert problems == [], f"seed {seed}"
    with running(tmp_path) as (_, client):
        check_all(client, writes)
        held = sum(BATCH for write in writes.acknowledged.values() if write)
        assert len(client.list_vectors(**INDEX)["vectors"]) == held
    print(f"{writes.count} puts, {KILLS} kills, {writes.reads} reads")
    assert writes.count >= PUTS
    assert writes.reads > 0


def make_index(client: Any) -> None:
    client.create_vector_bucket(vectorBucketName=INDEX["vectorBucketName"])
    texts = {"textSearchConfigurations": [{"metadataKey": "text"}], "nonFilterableMetadataKeys": ["text"]}
    shape = {"dataType": "float32", "dimension": DIMENSION, "distanceMetric": "euclidean"}
    client.create_index(**INDEX, **shape, metadataConfiguration=texts)

"""The ways from a job's JSONL to PutVectors. Each run has a process of its own, so that its memory is its own:

`python -m benchmarks.ways WAY FILE DIMENSION` prints what the run cost as JSON. Where the calls go is in the
environment (AWS_ENDPOINT_URL).
"""

import hashlib
import io
import json
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import boto3

from lambdas.shared import clients
from lambdas.shared.assets import FailedSegment, Segment, StoredObject, Work
from lambdas.shared.metadata import Attributes
from lambdas.shared.nova import read_lines
from lambdas.shared.vectors import VectorStore
from lambdas.shared.writing import Described, vectors_of

if TYPE_CHECKING:
    from mypy_boto3_s3vectors import S3VectorsClient

INDEX_ARN = "arn:aws:s3vectors:us-east-1:123456789012:bucket/bucketlens-vectors/index/nova-3072"
STORED = StoredObject("bucketlens-media", "interviews/2026/long talk.mp3", None, "e" * 32, 345_678_901, 1_790_000_000)
WORK = Work(STORED.asset_id, generation="0123456789abcdef", attempt=1)
DURATION = 7200.0  # seconds


@dataclass(frozen=True)
class Cost:
    """Of one run: seconds of user and system time, seconds on the clock, and the process's peak memory in bytes."""

    cpu: float
    wall: float
    peak: int


def plain(client: "S3VectorsClient", stream: BinaryIO) -> None:
    """What one would write first. It checks nothing, and does not know that a call may have 20 MiB at most."""
    about = {
        "_asset_id": WORK.asset_id,
        "_modality": "audio",
        "_type": "AUDIO",
        "_created": STORED.created,
        "_size": STORED.size,
        "_duration": DURATION,
        "_prefix": "interviews/2026/",
        "_uri": STORED.uri,
        "_title": STORED.name,
    }
    batch: list[Any] = []
    for line in stream:
        record = json.loads(line)
        place = record["segmentMetadata"]
        batch.append(
            {
                "key": f"{WORK.asset_id}/{WORK.generation}/AUDIO/{place['segmentIndex']}",
                "data": {"float32": record["embedding"]},
                "metadata": {**about, "_start": place["segmentStartSeconds"], "_end": place["segmentEndSeconds"]},
            }
        )
        if len(batch) == 500:
            client.put_vectors(indexArn=INDEX_ARN, vectors=batch)
            batch = []
    if batch:
        client.put_vectors(indexArn=INDEX_ARN, vectors=batch)


def ours(client: "S3VectorsClient", dimension: int, stream: BinaryIO) -> None:
    """What the index function runs between reading a job's output and the network."""
    described = Described(WORK, "profile", STORED, "audio", DURATION, Attributes(), _segments(stream, dimension))
    store = VectorStore(client, INDEX_ARN)
    for batch in store.batches(vectors_of(described)):
        store.put(batch)


def _segments(stream: BinaryIO, dimension: int) -> Iterator[Segment]:
    for part in read_lines(stream, "AUDIO", dimension):
        if isinstance(part, FailedSegment):
            raise ValueError(f"segment {part.number}: {part.reason}")
        yield part


def floor(stream: BinaryIO) -> None:
    """Read every byte and hash it: no way costs less than about this."""
    digest = hashlib.sha256()
    while piece := stream.read(1 << 20):
        digest.update(piece)


def prepared(way: str, dimension: int) -> Callable[[BinaryIO], None]:
    """The way with its client made, which is not what is measured."""
    if way == "plain":
        return partial(plain, boto3.client("s3vectors"))
    if way == "ours":
        return partial(ours, clients.s3vectors(), dimension)
    return floor


def measured(run: Callable[[BinaryIO], None], path: Path) -> Cost:
    """One line goes first, as a call of its own: connecting and loading what is loaded lazily is not measured."""
    with path.open("rb") as stream:
        run(io.BytesIO(stream.readline()))
    with path.open("rb") as stream:
        clock, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
        run(stream)
        after, wall = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter() - clock
    return Cost(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall, peak_bytes())


def peak_bytes() -> int:
    """The most memory this process ever had: the kernel's mark on Linux, where `ru_maxrss` includes the parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS: bytes


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a word: the starter has one
    name, file, numbers = sys.argv[1:]
    print(json.dumps(asdict(measured(prepared(name, int(numbers)), Path(file)))))

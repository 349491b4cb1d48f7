"""What the simulation knows of the world: files, how long things take, what is allowed, what it costs.

How sure each figure is stands beside it: `doc` is AWS's documentation, `price` a published price list, `seen` was
measured on the laptop, `guess` is just that. Nova's quotas and the time of its jobs are published nowhere.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

PRICES_OF = "us-east-1, November 2026"


class File(NamedTuple):
    """`extent`: characters of a text, seconds of a medium, pages of a PDF; its name and how its content begins."""

    key: str
    head: bytes
    size: int
    extent: float


def short_text(_: random.Random) -> File:
    return File("note.txt", b"a note", 800, 800)


def long_text(chance: random.Random) -> File:
    chars = int(min(1_000_000, chance.lognormvariate(9.5, 1)) + 1_501)
    return File("report.txt", b"a report", chars, chars)


def picture(chance: random.Random) -> File:
    return File("photo.jpg", b"\xff\xd8\xff\xe0", int(chance.lognormvariate(14.5, 0.5)), 1)


def pdf(chance: random.Random) -> File:
    pages = int(min(500, chance.lognormvariate(2, 1)) + 1)
    return File("paper.pdf", b"%PDF-1.7", pages * 100_000, pages)


def office(chance: random.Random) -> File:
    return File("letter.docx", b"PK\x03\x04", 80_000, int(chance.lognormvariate(9, 1)))


def sound(chance: random.Random) -> File:
    seconds = min(7_000, chance.lognormvariate(5, 1.5))
    return File("call.mp3", b"ID3\x04", int(seconds * 16_000), seconds)


def film(chance: random.Random) -> File:
    seconds = min(7_000, chance.lognormvariate(4.5, 1))
    return File("clip.mp4", b"\0\0\0\x20ftypmp42", int(seconds * 250_000), seconds)


def hour(chance: random.Random) -> File:
    """A recording of 40 to 80 minutes."""
    seconds = chance.uniform(2_400, 4_800)
    return File("recording.mp3", b"ID3\x04", int(seconds * 16_000), seconds)


Maker = Callable[[random.Random], File]
# What a company's drive may hold: mostly pictures and documents. A guess.
MIX: dict[Maker, int] = {picture: 55, short_text: 10, long_text: 8, pdf: 12, office: 8, sound: 5, film: 2}


def files(mix: dict[Maker, int], count: int, seed: int = 7) -> Iterator[File]:
    """The same ones for the same seed."""
    chance = random.Random(seed)
    makers, weights = list(mix), list(mix.values())
    for _ in range(count):
        yield chance.choices(makers, weights)[0](chance)


@dataclass(frozen=True)
class Times:
    """Seconds."""

    drop: float = 0.001  # between two files that are dropped
    event: float = 0.5  # from S3 through EventBridge to its target: guess
    invoke: float = 0.05  # until a warm function begins: guess
    ingest: float = 0.3  # a batch: look, label, describe; its files side by side: seen
    ingest_file: float = 0.01  # for each file of a batch: seen
    decode: float = 0.25  # a picture, one after the other: seen (12 megapixels)
    embed: float = 0.4  # InvokeModel: guess
    put: float = 0.15  # PutVectors: guess
    commit: float = 0.05  # look and transaction: guess
    state: float = 0.03  # a transition of the state machine: guess
    ask: float = 0.1  # GetAsyncInvoke: guess
    jobs: float = 0.15  # the jobs function: guess
    prepare: float = 1.0  # open a file: seen
    prepare_second: float = 0.006  # hear a second of sound: seen (20 s an hour)
    prepare_frame: float = 0.05  # a frame for each segment of a film: seen
    page: float = 0.6  # render a page, of which four are embedded at once: seen
    index: float = 0.3  # begin to read a result: seen
    index_vector: float = 0.0005  # check it and put it into a body: seen (`make bench`)
    lag: float = 0.2  # from the result file to the job's status: guess
    job: float = 9.0  # the least time of a job: guess
    job_text: float = 0.0001  # for a character: guess
    job_sound: float = 0.05  # for a second: guess, an hour in three minutes
    job_film: float = 0.2  # for a second: guess


@dataclass(frozen=True)
class Limits:
    """The account's, each named as it is told."""

    bedrock_jobs: int = 30  # quota of jobs at once, guess: published nowhere
    requests_per_minute: int = 2000  # of InvokeModel, guess: published nowhere
    ingest_percent: int = 80  # ours
    max_jobs: int = 30  # ours, as many as `bedrock_jobs`
    ingest_concurrency: int = 10  # ours
    functions: int = 1000  # Lambda, concurrent executions: doc, raised on request
    starts: int = 300  # StartExecution a second: doc
    put_calls: int = 1000  # S3 Vectors a second and index: doc
    put_vectors: int = 2500  # S3 Vectors a second and index: doc
    list_writes: int = 1000  # DynamoDB a second and partition: doc; the lists of assets have one partition


class Price(NamedTuple):
    """Dollars for one unit."""

    dollars: float
    unit: str
    source: str


PRICES = {
    "text": Price(0.000135 / 1000, "token of text", "price, one source"),
    "image": Price(
        0.00006, "picture or page", "price, one source; pages (DOCUMENT_IMAGE) cost more, how much is unknown"
    ),
    "audio": Price(0.00014, "second of sound", "price, one source"),
    "video": Price(0.0007, "second of film", "price, one source"),
    "transition": Price(0.025 / 1000, "transition", "price"),
    "put_gb": Price(0.20, "GB of vectors put, a call at least 128 KB", "price; the minimum from one source"),
    "lambda_gb_s": Price(0.0000133334, "GB-second on arm64", "price, from memory"),
    "invocation": Price(0.20 / 1e6, "invocation", "price, from memory"),
    "sqs": Price(0.40 / 1e6, "request", "price, from memory"),
    "event": Price(1.00 / 1e6, "event of S3", "price, from memory"),
    "write": Price(0.625 / 1e6, "write unit, on demand", "price, from memory"),
    "read": Price(0.125 / 1e6, "read unit, on demand", "price, from memory"),
    "s3_put": Price(0.005 / 1000, "PUT or LIST", "price, from memory"),
    "s3_get": Price(0.0004 / 1000, "GET or HEAD", "price, from memory"),
}
CHARS_A_TOKEN = 4
SERVICES = {  # what a bill says
    "Bedrock": ("text", "image", "audio", "video"),
    "Step Functions": ("transition",),
    "S3 Vectors, puts": ("put_gb",),
    "Lambda": ("lambda_gb_s", "invocation"),
    "DynamoDB": ("write", "read"),
    "SQS, EventBridge": ("sqs", "event"),
    "S3 requests": ("s3_put", "s3_get"),
}

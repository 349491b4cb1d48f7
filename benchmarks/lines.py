"""A job's JSONL as Nova writes it, of any size and the same every time."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

SEED = 20261
SEGMENT_SECONDS = 5.0


def embedding_texts(dimension: int, count: int) -> list[bytes]:
    """`count` vectors of length 1 as JSON arrays, each number a float64 with all its digits (about 21 bytes)."""
    drawn = np.random.default_rng([SEED, dimension]).standard_normal((count, dimension))
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return [json.dumps(row.tolist(), separators=(",", ":")).encode() for row in drawn]


def write_lines(path: Path, texts: Sequence[bytes], count: int) -> None:
    """Write `count` lines; embeddings repeat when there are fewer, segment numbers do not."""
    with path.open("wb") as file:
        for index in range(count):
            file.write(b'{"embedding":' + texts[index % len(texts)] + _after_embedding(index))


def _after_embedding(index: int) -> bytes:
    start = index * SEGMENT_SECONDS
    place = {"segmentIndex": index, "segmentStartSeconds": start, "segmentEndSeconds": start + SEGMENT_SECONDS}
    return b',"segmentMetadata":' + json.dumps(place, separators=(",", ":")).encode() + b',"status":"SUCCESS"}\n'

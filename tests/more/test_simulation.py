"""The model of scale against the laptop: the same three hundred files, dropped on both.

How long the laptop takes for each step is measured beforehand, on forty other files; of the drop that it is to foretell
the simulation is given the files and when each was put, which is the user's doing.
"""

import io
import random
import re
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks.drop import Drop, laptop
from benchmarks.functions import REPORT
from simulation.model import File, Limits, Times
from simulation.pipeline import Outcome, simulate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SLOTS = 30
JOB_SECONDS = 9.0
SENTENCE = "The keeper of the lighthouse wrote down wind and weather every hour of the night. "


def test_the_simulation_foretells_what_three_hundred_files_take_on_the_laptop(tmp_path: Path) -> None:
    with laptop(tmp_path, SLOTS, JOB_SECONDS) as drop:
        bench = Bench(drop, tmp_path)
        bench.drop("warm", a_mix(20))
        before = bench.measured()
        bench.drop("first", a_mix(40))
        times = bench.times(before)
        files = a_mix(300)
        since = bench.counted()
        put, took = bench.drop("many", files)
        seen = bench.counted() - since
    gaps = [later - earlier for earlier, later in pairwise(put)]
    foretold = simulate(
        files, times, Limits(bedrock_jobs=SLOTS, max_jobs=SLOTS, requests_per_minute=1_000_000), gaps=gaps
    )

    expected = counted(foretold)
    print(times, f"time {took:.1f} s, foretold {foretold.seconds:.1f} s", dict(seen), dict(expected), sep="\n")
    for exactly in ("embeds", "starts", "executions", "commits"):
        assert seen[exactly] == expected[exactly], exactly
    for about in ("batches", "puts", "polls"):
        assert seen[about] == pytest.approx(expected[about], rel=0.10), about
    assert took == pytest.approx(foretold.seconds, rel=0.15)


def counted(found: Outcome) -> Counter[str]:
    calls = found.calls
    return Counter(
        embeds=calls["InvokeModel"],
        starts=calls["StartAsyncInvoke"],
        executions=calls["StartExecution"],
        commits=calls["TransactWriteItems"],
        batches=calls["Batch"],
        puts=calls["PutVectors"],
        polls=calls["GetAsyncInvoke"],
    )


def a_mix(count: int) -> list[File]:
    """Half of them long texts, the others short ones and pictures."""
    files = [
        *[File("long.txt", b"The", 4_980, 4_980.0)] * (count // 2),
        *[File("short.txt", b"The", 80, 80.0)] * (count // 4),
    ]
    files += [File("picture.png", b"\x89PNG\r\n\x1a\n", 3_000, 1.0)] * (count - len(files))
    random.Random(count).shuffle(files)
    return files


def body_of(file: File, number: int) -> bytes:
    if file.key.endswith(".png"):
        body = io.BytesIO()
        Image.new("RGB", (64, 64), (number % 256, 90, 200)).save(body, "PNG")
        return body.getvalue()
    return (f"{number:04}: {SENTENCE * 60}"[: int(file.extent)]).encode()


class Bench:
    """Drops files on a laptop, and reads from outside what that took."""

    def __init__(self, drop: Drop, folder: Path) -> None:
        self._drop = drop
        self._logs = folder / "data" / "aws" / "logs"
        self._count = 0

    def drop(self, prefix: str, files: Sequence[File]) -> tuple[list[float], float]:
        """When each was put, in order, and the seconds until the last job's file was found."""
        started = time.time()
        with ThreadPoolExecutor(8) as pool:
            names = [f"{prefix}/{number:04}{Path(file.key).suffix}" for number, file in enumerate(files)]
            bodies = [body_of(file, number) for number, file in enumerate(files)]
            put = sorted(pool.map(self._put, names, bodies))
        self._count += len(files)
        ends = self._drop.wait(self._count)
        assert ends == {"indexed": self._count}
        return put, max(one["stopDate"].timestamp() for one in self._drop.executions()) - started

    def _put(self, key: str, body: bytes) -> float:
        self._drop.put(key, body)
        return time.time()

    def counted(self) -> Counter[str]:
        def of(service: str, operation: str) -> int:
            return self._drop.calls(service)[operation, "ok"]

        return Counter(
            embeds=of("bedrock", "InvokeModel"),
            starts=of("bedrock", "StartAsyncInvoke"),
            executions=of("states", "StartExecution"),
            commits=of("dynamodb", "TransactWriteItems"),
            batches=len(self._durations("IngestionIngest")),
            puts=of("s3vectors", "PutVectors"),
            polls=of("bedrock", "GetAsyncInvoke"),
        )

    def measured(self) -> tuple[int, set[str]]:
        """What there was before: invocations of ingest, executions."""
        return len(self._durations("IngestionIngest")), {one["name"] for one in self._drop.executions()}

    def times(self, before: tuple[int, set[str]]) -> Times:
        """Of each step, in the mean, since then: from the log of ingest and the histories of executions.

        What a step's function asks of others is within its own time.
        """
        spent: dict[str, list[float]] = {}
        between: list[float] = []
        ends = {job["clientRequestToken"]: job["endTime"] for job in self._drop.jobs()}
        arrivals: list[float] = []
        for execution in self._drop.executions():
            if execution["name"] in before[1]:
                continue
            left: datetime | None = None
            for name, entered, exited in states(self._history(execution["executionArn"])):
                spent.setdefault(name, []).append((exited - entered).total_seconds())
                if left:
                    between.append((entered - left).total_seconds())
                if name == "Wait for the result":
                    arrivals.append((exited - ends[execution["name"]]).total_seconds())
                left = exited
        mean = {name: statistics.fmean(values) for name, values in spent.items()}
        jobs = mean["Pass the slot on"]
        nothing = dict.fromkeys(("invoke", "ingest_file", "decode", "embed", "put", "commit", "index_vector"), 0.0)
        return Times(
            **nothing,
            event=max(0.0, statistics.fmean(arrivals) - jobs),
            ingest=statistics.fmean(self._durations("IngestionIngest")[before[0] :]),
            state=statistics.fmean(between) + mean["Done?"],
            ask=mean["Ask Bedrock"],
            jobs=jobs,
            index=mean["Index the result"],
            lag=0.0,
            job=JOB_SECONDS,
            job_text=0.0,
        )

    def _durations(self, function: str) -> list[float]:
        """Seconds of each of its invocations."""
        texts = [log.read_text(errors="replace") for log in self._logs.glob("*.log") if re.search(function, log.name)]
        return [float(duration) / 1000 for text in texts for duration, _, _ in REPORT.findall(text)]

    def _history(self, arn: str) -> list[Mapping[str, Any]]:
        pages = self._drop.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=arn)
        return [event for page in pages for event in page["events"]]


def states(events: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, datetime, datetime]]:
    """Each state of an execution: when it was entered and left."""
    entered: dict[str, datetime] = {}
    for event in events:
        if event["type"].endswith("StateEntered"):
            entered[event["stateEnteredEventDetails"]["name"]] = event["timestamp"]
        elif event["type"].endswith("StateExited"):
            name = event["stateExitedEventDetails"]["name"]
            yield name, entered[name], event["timestamp"]

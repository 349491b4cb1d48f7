"""Many files dropped at once: how busy the slots of jobs are, what is asked of Bedrock, and what searches notice of it.

The laptop runs in a process of its own and everything is seen over the wire. The model is a blank, so that the pipeline
is measured and not the stand-in. The exit code is 0 when every file was indexed and none was refused for want of room;
how fast it was is shown, not judged.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import psutil
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.index_path import Step, progress
from infra import layers

ROOT = Path(__file__).parent.parent
STARTING_SECONDS = 120
LOOK_SECONDS = 1.0
QUIET_SEARCHES = 20
MB = 2**20
TEXT = "The keeper of the lighthouse wrote down wind and weather every hour of the night. " * 60
SETTLED = ("indexed", "partial", "failed", "unsupported")


class DropError(Exception):
    """The laptop did not start, or files never came to an end; one sentence."""


@dataclass
class Searches:
    """Seconds of each, and the codes of those that were refused."""

    seconds: list[float] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)

    @property
    def p95(self) -> float:
        return statistics.quantiles(self.seconds, n=20)[-1] if len(self.seconds) > 1 else sum(self.seconds)


@dataclass(frozen=True)
class Watched:
    """What was seen of a drop."""

    seconds: float
    ends: Counter[str]
    calls: Counter[tuple[str, str]]  # of Bedrock, by operation and outcome
    busy: float  # of the slots' time while files waited
    quiet: Searches
    during: Searches
    memory: Sequence[int]  # of the laptop's process, before and after
    functions: int  # the largest function's memory at the end


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drop", description=__doc__)
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--slots", type=int, default=30)
    parser.add_argument("--job-seconds", type=float, default=9.0)
    given = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="bucketlens-bench-") as folder, progress(5) as step:
            step("starting the stack")
            with laptop(Path(folder), given.slots, given.job_seconds) as drop:
                found = drop.watch(given.files, given.slots, step)
    except DropError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    Console(highlight=False).print(table_of(found, given.files, given.slots, given.job_seconds))
    refused = sum(count for (_, outcome), count in found.calls.items() if outcome != "ok")
    return 0 if found.ends == {"indexed": given.files} and not refused and not found.during.refused else 1


@contextmanager
def laptop(folder: Path, slots: int, job_seconds: float) -> Iterator["Drop"]:
    context = json.dumps({"max_jobs": slots})
    environment = {**os.environ, "CDK_OUTDIR": str(folder / "cdk.out"), "CDK_CONTEXT_JSON": context}
    subprocess.run([sys.executable, "app.py"], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    options = {
        "assembly": folder / "cdk.out",
        "data": folder / "data",
        "layers": layers.BUILT / "host",
        "aws-port": 0,
        "port": 0,
        "max-jobs": slots,
        "job-seconds": job_seconds,
        "requests-per-minute": 1_000_000,
    }
    command = [sys.executable, "-m", "local", "run", *(f"--{name}={value}" for name, value in options.items())]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield Drop(_outputs(folder / "data" / "outputs.json", process), psutil.Process(process.pid))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _outputs(file: Path, process: "subprocess.Popen[bytes]") -> dict[str, str]:
    for _ in range(STARTING_SECONDS * 10):
        if file.exists() and process.poll() is None:
            outputs: dict[str, str] = json.loads(file.read_text())["Bucketlens"]
            return outputs
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise DropError("the laptop did not start")


class Drop:
    """The stack with these outputs, in this process."""

    def __init__(self, outputs: dict[str, str], process: psutil.Process) -> None:
        self._outputs = outputs
        self._process = process

    def watch(self, files: int, slots: int, step: Step) -> Watched:
        step("searching in quiet")
        self._put("first.txt")
        self._ends(1)
        before = self._calls()
        quiet, during = Searches(), Searches()
        for _ in range(QUIET_SEARCHES):
            self._search(quiet)
        memory = self._process.memory_info().rss
        step(f"{files} files dropped")
        over = threading.Event()
        searching = threading.Thread(target=self._keep_searching, args=(during, over))
        searching.start()
        started = time.monotonic()
        try:
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(self._put, (f"{number:05}.txt" for number in range(files))))
            ends = self._ends(files + 1)
        finally:
            over.set()
            searching.join()
        ends["indexed"] -= 1
        return Watched(
            time.monotonic() - started,
            ends,
            self._calls() - before,
            self._busy(slots),
            quiet,
            during,
            (memory, self._process.memory_info().rss),
            max(child.memory_info().rss for child in self._process.children(recursive=True)),
        )

    def _put(self, key: str) -> None:
        body = f"{key}: {TEXT}".encode()
        self._client("s3").put_object(Bucket=self._outputs["MediaBucket"], Key=key, Body=body)

    def _ends(self, files: int) -> Counter[str]:
        """How the files ended; every one that is not there yet is waited for."""
        seen, since = Counter[str](), time.monotonic()
        while sum(seen[status] for status in SETTLED) < files:
            found = Counter(self._statuses())
            since = since if found == seen else time.monotonic()
            seen = found
            if time.monotonic() - since > STARTING_SECONDS:
                raise DropError(f"nothing moves any more: {dict(seen)}")
            time.sleep(LOOK_SECONDS)
        return seen

    def _statuses(self) -> Iterator[str]:
        following = ""
        while True:
            with urllib.request.urlopen(f"{self._outputs['ApiUrl']}/assets?{following}", timeout=60) as answer:
                page = json.load(answer)
            yield from (asset["status"] for asset in page["assets"])
            if "next" not in page:
                return
            following = f"next={page['next']}"

    def _keep_searching(self, searches: Searches, over: threading.Event) -> None:
        while not over.wait(LOOK_SECONDS):
            self._search(searches)

    def _search(self, searches: Searches) -> None:
        body = json.dumps({"query": {"text": "wind and weather"}, "top_k": 10}).encode()
        request = urllib.request.Request(
            f"{self._outputs['ApiUrl']}/search", body, {"Content-Type": "application/json"}
        )
        started = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                answer.read()
        except urllib.error.HTTPError as error:
            searches.refused.append(error.code)
        searches.seconds.append(time.monotonic() - started)

    def _calls(self) -> Counter[tuple[str, str]]:
        with urllib.request.urlopen(f"{self._outputs['AwsEndpointUrl']}/_local/calls?service=bedrock") as answer:
            found = json.load(answer)["calls"]
        counted = Counter[tuple[str, str]]()
        for one in found:
            counted[one["operation"], one["outcome"]] += one["count"]
        return counted

    def _busy(self, slots: int) -> float:
        """Of the slots' time between the first job's start and the last one's: after that none waited."""
        pages = self._client("bedrock-runtime").get_paginator("list_async_invokes").paginate()
        jobs = [job for page in pages for job in page["asyncInvokeSummaries"]]
        starts = sorted(job["submitTime"].timestamp() for job in jobs)[1:]  # the one before the drop apart
        first, last = starts[0], starts[-1]
        spans = ((job["submitTime"].timestamp(), job["endTime"].timestamp()) for job in jobs)
        used = sum(max(0.0, min(end, last) - max(start, first)) for start, end in spans)
        return used / (slots * (last - first)) if last > first else 0.0

    def _client(self, service: str) -> Any:
        return boto3.session.Session().client(
            service,
            endpoint_url=self._outputs["AwsEndpointUrl"],
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )


def table_of(found: Watched, files: int, slots: int, job_seconds: float) -> Table:
    table = Table(
        title=f"{files:,} files at once, {slots} jobs of {job_seconds:g} s at a time",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        show_header=False,
    )
    growth = (found.memory[1] - found.memory[0]) / files / 1024
    rows = {
        "how they ended": ", ".join(f"{count:,} {status}" for status, count in (+found.ends).items()),
        "time": f"{found.seconds:.0f} s; the jobs alone take {files * job_seconds / slots:.0f} s",
        "slots busy while files waited": f"{found.busy:.1%}",
        "of Bedrock": ", ".join(
            f"{name} {count / files:.2f} a file" + ("" if outcome == "ok" else f" {outcome}")
            for (name, outcome), count in sorted(found.calls.items())
        ),
        "searches meanwhile": f"{len(found.during.seconds)}, {len(found.during.refused)} refused",
        "95 of 100 searches within": f"{found.during.p95 * 1000:.0f} ms; in quiet {found.quiet.p95 * 1000:.0f} ms",
        "memory of the laptop": f"{found.memory[0] // MB} → {found.memory[1] // MB} MB, {growth:.0f} KB a file",
        "memory of a function": f"{found.functions // MB} MB at most",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


if __name__ == "__main__":
    sys.exit(main())

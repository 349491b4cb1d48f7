"""Many files dropped at once: how busy the slots of jobs are, what is asked of Bedrock, and what searches notice of it.

The laptop runs in a process of its own and everything is seen over the wire. The texts have a few pieces each, so that
the pipeline is measured and not the stand-in for the model. The exit code is 0 when every file was indexed and none was
refused for want of room; how fast it was is shown, not judged.
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
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
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
QUIET_SEARCHES = 60
MEMORY_SECONDS = 5.0
HISTORIES = 50  # of executions that are read to count their transitions
MB = 2**20
TEXT = "The keeper of the lighthouse wrote down wind and weather every hour of the night. " * 60
OPEN = ("received", "waiting", "embedding")


class DropError(Exception):
    """The laptop did not start, or files never came to an end; one sentence."""


@dataclass
class Searches:
    """Seconds of each, and the codes of those that were refused."""

    seconds: list[float] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)

    @property
    def p95(self) -> float:
        return percentile(self.seconds, 95)


@dataclass
class Memory:
    """Resident bytes of the laptop's process, and of every process of a function, by its name and number, over time."""

    laptop: list[int] = field(default_factory=list)
    functions: dict[tuple[str, int], list[int]] = field(default_factory=lambda: defaultdict(list))

    def look(self, process: psutil.Process) -> None:
        self.laptop.append(process.memory_info().rss)
        for child in process.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if any(word.endswith("functions/bootstrap.py") for word in child.cmdline()):
                    name = child.environ().get("AWS_LAMBDA_FUNCTION_NAME", "")
                    self.functions[name, child.pid].append(child.memory_info().rss)

    @property
    def growth(self) -> dict[str, tuple[int, int, int]]:
        """Of each function: how many processes lived long enough to tell, the most that one grew after the first third
        of its life (bytes), and the largest at its end.
        """
        found: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for (name, _), sizes in self.functions.items():
            if len(sizes) >= 6:
                found[name].append((sizes[-1] - sizes[len(sizes) // 3], sizes[-1]))
        return {
            name: (len(some), max(grown for grown, _ in some), max(last for _, last in some))
            for name, some in sorted(found.items())
        }


def percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1] if len(values) > 1 else sum(values)


@dataclass(frozen=True)
class Watched:
    """What was seen of a drop."""

    seconds: float
    ends: Counter[str]
    calls: Counter[tuple[str, str]]  # of Bedrock, by operation and outcome
    busy: float  # of the slots' time while files waited
    quiet: Searches
    during: Searches
    memory: Memory
    transitions: float  # of the state machine, for a job
    indexing: Sequence[float]  # seconds from the end of each job to that of its execution


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
        self.put("first.txt")
        self.wait(1)
        before = self.calls()
        quiet, during = Searches(), Searches()
        for _ in range(QUIET_SEARCHES):
            self._search(quiet)
        step(f"{files} files dropped")
        over, memory = threading.Event(), Memory()
        beside = [
            threading.Thread(target=_repeat, args=(over, LOOK_SECONDS, lambda: self._search(during))),
            threading.Thread(target=_repeat, args=(over, MEMORY_SECONDS, lambda: memory.look(self._process))),
        ]
        memory.look(self._process)
        for thread in beside:
            thread.start()
        started = time.monotonic()
        try:
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(self.put, (f"{number:05}.txt" for number in range(files))))
            ends = self.wait(files + 1)
            seconds = time.monotonic() - started
        finally:
            over.set()
            for thread in beside:
                thread.join()
        ends["indexed"] -= 1
        memory.look(self._process)
        step("reading what the jobs did")
        calls, executions, jobs = self.calls() - before, self.executions(), self.jobs()
        busy, transitions = _busy(jobs, slots), self.transitions(executions)
        return Watched(seconds, ends, calls, busy, quiet, during, memory, transitions, _indexing(jobs, executions))

    def put(self, key: str, body: bytes | None = None) -> None:
        """A file; a long text if it is not said what."""
        body = f"{key}: {TEXT}".encode() if body is None else body
        self.client("s3").put_object(Bucket=self._outputs["MediaBucket"], Key=key, Body=body)

    def wait(self, files: int) -> Counter[str]:
        """How the files ended; every one that is not there yet is waited for."""
        calls, since = Counter[tuple[str, str]](), time.monotonic()
        while True:
            if not any(self._page(f"status={status}")["assets"] for status in OPEN):
                seen = Counter(self._statuses())
                if seen.total() >= files and not any(seen[status] for status in OPEN):
                    return seen
            now = self.calls()
            calls, since = now, time.monotonic() if now != calls else since
            if time.monotonic() - since > STARTING_SECONDS:
                raise DropError(f"nothing moves any more: {dict(Counter(self._statuses()))}")
            time.sleep(LOOK_SECONDS)

    def _statuses(self) -> Iterator[str]:
        page = self._page("")
        yield from (asset["status"] for asset in page["assets"])
        while "next" in page:
            page = self._page(f"next={page['next']}")
            yield from (asset["status"] for asset in page["assets"])

    def _page(self, query: str) -> Any:
        with urllib.request.urlopen(f"{self._outputs['ApiUrl']}/assets?{query}", timeout=60) as answer:
            return json.load(answer)

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

    def calls(self, service: str = "bedrock") -> Counter[tuple[str, str]]:
        """By operation and outcome."""
        with urllib.request.urlopen(f"{self._outputs['AwsEndpointUrl']}/_local/calls?service={service}") as answer:
            found = json.load(answer)["calls"]
        counted = Counter[tuple[str, str]]()
        for one in found:
            counted[one["operation"], one["outcome"]] += one["count"]
        return counted

    def jobs(self) -> list[dict[str, Any]]:
        pages = self.client("bedrock-runtime").get_paginator("list_async_invokes").paginate()
        return [job for page in pages for job in page["asyncInvokeSummaries"]]

    def executions(self) -> list[dict[str, Any]]:
        client = self.client("stepfunctions")
        machine = client.list_state_machines()["stateMachines"][0]["stateMachineArn"]
        pages = client.get_paginator("list_executions").paginate(stateMachineArn=machine)
        return [execution for page in pages for execution in page["executions"]]

    def transitions(self, executions: Sequence[Mapping[str, Any]]) -> float:
        """States entered, of some of the executions."""
        history = self.client("stepfunctions").get_paginator("get_execution_history")
        some = executions[:: max(1, len(executions) // HISTORIES)]
        entered = 0
        for execution in some:
            pages = history.paginate(executionArn=execution["executionArn"])
            entered += sum(event["type"].endswith("StateEntered") for page in pages for event in page["events"])
        return entered / len(some)

    def client(self, service: str) -> Any:
        return boto3.session.Session().client(
            service,
            endpoint_url=self._outputs["AwsEndpointUrl"],
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )


def _repeat(over: threading.Event, seconds: float, look: Callable[[], None]) -> None:
    while not over.wait(seconds):
        look()


def _busy(jobs: Sequence[Mapping[str, Any]], slots: int) -> float:
    """Of the slots' time between the first job's start and the last one's: after that none waited."""
    starts = sorted(job["submitTime"].timestamp() for job in jobs)[1:]  # the one before the drop apart
    first, last = starts[0], starts[-1]
    spans = ((job["submitTime"].timestamp(), job["endTime"].timestamp()) for job in jobs)
    used = sum(max(0.0, min(end, last) - max(start, first)) for start, end in spans)
    return used / (slots * (last - first)) if last > first else 0.0


def _indexing(jobs: Sequence[Mapping[str, Any]], executions: Sequence[Mapping[str, Any]]) -> list[float]:
    """A job is known by its token, which is the name of its execution; when that has ended, its file is found."""
    ends = {execution["name"]: execution["stopDate"] for execution in executions if "stopDate" in execution}
    return sorted(
        (ends[job["clientRequestToken"]] - job["endTime"]).total_seconds()
        for job in jobs
        if job["clientRequestToken"] in ends
    )


def table_of(found: Watched, files: int, slots: int, job_seconds: float) -> Table:
    table = Table(
        title=f"{files:,} files at once, {slots} jobs of {job_seconds:g} s at a time",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        show_header=False,
    )
    before, after = found.memory.laptop[0], found.memory.laptop[-1]
    growth = (after - before) / files / 1024
    rows = {
        "how they ended": ", ".join(f"{count:,} {status}" for status, count in (+found.ends).items()),
        "time": f"{found.seconds:.0f} s; the jobs alone take {files * job_seconds / slots:.0f} s",
        "slots busy while files waited": f"{found.busy:.1%}",
        "of Bedrock": ", ".join(
            f"{name} {count / files:.2f} a file" + ("" if outcome == "ok" else f" {outcome}")
            for (name, outcome), count in sorted(found.calls.items())
        ),
        "transitions of a job": f"{found.transitions:.1f}",
        "from result to found": f"half within {percentile(found.indexing, 50):.2f} s, "
        f"95 of 100 within {percentile(found.indexing, 95):.2f} s",
        "searches meanwhile": f"{len(found.during.seconds)}, {len(found.during.refused)} refused",
        "95 of 100 searches within": f"{found.during.p95 * 1000:.0f} ms; in quiet {found.quiet.p95 * 1000:.0f} ms",
        "memory of the laptop": f"{before // MB} → {after // MB} MB, {growth:.0f} KB a file",
    }
    for name, (count, grown, last) in found.memory.growth.items():
        rows[f"memory of {name}"] = f"{last // MB} MB at most; {count} processes grew {grown / MB:+.1f} MB at most"
    for name, value in rows.items():
        table.add_row(name, value)
    return table


if __name__ == "__main__":
    sys.exit(main())

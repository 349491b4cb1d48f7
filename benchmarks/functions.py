"""What each function uses on the worst inputs it takes, beside what the template gives it.

The stack runs on a laptop of its own, which ends a function that is over its memory, its time or its /tmp as Lambda
does; the model is a blank. Each input meets fresh processes. The exit code is 0 when every input came to the end it
should and nothing was ended; how near it came is shown, not judged. Memory is much the same on every machine, time is
not.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import psutil
from botocore.config import Config
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import worst
from benchmarks.index_path import Step, progress
from infra import layers
from local.bedrock.service import BedrockSettings
from local.functions.limits import disk_usage
from local.laptop import Laptop, Settings

ROOT = Path(__file__).parent.parent
# What makes results largest, with no quota in the way; no other setting changes what a function needs.
CONTEXT = {
    "dimension": 3072,
    "segment_seconds": 5,
    "embedding_mode": "AUDIO_VIDEO_SEPARATE",
    "requests_per_minute": 1_000_000,
}
FUNCTIONS = ("ingest", "prepare", "pages", "index", "search")
SETTLED = ("indexed", "partial", "failed", "unsupported")
DEADLINE_SECONDS = 1200
LOOK_SECONDS = 0.1
QUERY = "which of all these words is the one that is looked for " * 150
Maker = Callable[[Path], None]
REPORT = re.compile(r"REPORT .*?\tDuration: ([\d.]+) ms.*?\tMax Memory Used: (\d+) MB(.*)")


class StuckError(Exception):
    """A file did not come to an end; one sentence."""


@dataclass(frozen=True)
class Case:
    """Files made by `makers`, dropped at once; `functions` are those that are shown of it."""

    name: str
    functions: tuple[str, ...]
    makers: tuple[tuple[str, Maker], ...]  # the ending of each file, and what writes it
    is_quick: bool = False


CASES = (
    Case("PNG, turned, see-through", ("ingest",), ((".png", worst.png),)),
    Case("WebP, turned, see-through", ("ingest",), ((".webp", worst.webp),)),
    Case("HEIC", ("ingest",), ((".heic", worst.heic),)),
    Case("TIFF of 4 x 16 bits, 200 MB", ("ingest",), ((".tif", worst.tiff),)),
    Case("BMP of 200 MB", ("ingest",), ((".bmp", worst.bmp),)),
    Case("text of 50 MB", ("ingest", "index"), ((".txt", worst.text),), is_quick=True),
    Case("nine such PNG and a text", ("ingest",), ((".txt", worst.text), *((".png", worst.png),) * 9)),
    # Two at once, for they take long: the most of prepare is the sound's, of index the document's.
    Case("two hours of FLAC, 5,000 pages", ("prepare", "index"), ((".mka", worst.flac), (".pdf", worst.pdf))),
    Case("WAV of 1 GB", ("prepare",), ((".wav", worst.wav),)),
    Case("two hours of film, 2 GB", ("prepare", "index"), ((".mp4", worst.film),)),
    Case("docx of 200 MB", ("prepare",), ((".docx", worst.word),)),
    Case("xlsx of 200 MB", ("prepare",), ((".xlsx", worst.excel),)),
    Case("HTML page", ("prepare",), ((".html", worst.html),)),
    Case("e-mail", ("prepare",), ((".eml", worst.mail),)),
    Case("eight pages of 121 megapixels", ("pages",), ((".pdf", worst.scan),)),
)


@dataclass(frozen=True)
class Given:
    """By the template: MB of memory and of /tmp, seconds."""

    memory: int
    tmp: int
    seconds: int


@dataclass(frozen=True)
class Measured:
    """The most that an invocation used; `ended` says what the laptop ended, `status` how the files ended."""

    function: str
    name: str
    given: Given
    memory: int
    tmp: int
    seconds: float
    status: str
    ended: str

    @property
    def is_inside(self) -> bool:
        return not self.ended and self.status == "indexed"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.functions", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one file and a search")
    parser.add_argument("--only", metavar="PATTERN", default="", help="inputs with such names")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    given = parser.parse_args()
    named = [one for one in CASES if re.search(given.only, one.name)]
    cases = [one for one in named if one.is_quick or not given.quick]
    try:
        with tempfile.TemporaryDirectory(prefix="bucketlens-bench-") as folder:
            found = measure(Path(folder), cases)
    except StuckError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    Console(highlight=False).print(result_table(found))
    if given.json:
        given.json.write_text(json.dumps([asdict(one) for one in found], indent=1))
    return 0 if all(one.is_inside for one in found) else 1


# -- measuring ------------------------------------------------------------------------------------------------------


def measure(folder: Path, cases: Sequence[Case]) -> list[Measured]:
    found: list[Measured] = []
    with progress(len(cases) + 2) as step:
        step("starting the stack")
        with running(folder) as bench:
            for case in cases:
                found += bench.drop(case, step)
            step("search")
            found.append(bench.search())
    return sorted(found, key=lambda one: FUNCTIONS.index(one.function))


@contextmanager
def running(folder: Path) -> Iterator["Bench"]:
    environment = {**os.environ, "CDK_OUTDIR": str(folder / "cdk.out"), "CDK_CONTEXT_JSON": json.dumps(CONTEXT)}
    subprocess.run([sys.executable, "app.py"], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    laptop = Laptop(
        Settings(
            assembly=folder / "cdk.out",
            data=folder / "data",
            layers=layers.BUILT / "host",
            aws_port=0,
            port=0,
            bedrock=BedrockSettings(model="benchmarks.blank_model", job_seconds=0, requests_per_minute=1_000_000),
        )
    )
    try:
        yield Bench(folder, laptop.start())
    finally:
        laptop.stop()


class Bench:
    """Drops files on the stack with these outputs, and reads what its functions said of themselves."""

    def __init__(self, folder: Path, outputs: dict[str, Any]) -> None:
        self._folder = folder
        self._aws = folder / "data" / "aws"
        self._outputs = outputs
        self._names: dict[str, str] = {}
        self._given: dict[str, Given] = {}
        for one in self._client("lambda").list_functions()["Functions"]:
            short = one["Handler"].split(".")[1]
            self._names[short] = one["FunctionName"]
            self._given[short] = Given(one["MemorySize"], one["EphemeralStorage"]["Size"], one["Timeout"])

    def drop(self, case: Case, step: Step) -> list[Measured]:
        """Make the files, drop them, wait for their end, delete them: what the functions used."""
        step(f"{case.name}: making it")
        prefix = f"{case.functions[0]}-{CASES.index(case)}/"
        paths: dict[Maker, Path] = {}
        for ending, maker in case.makers:
            if maker not in paths:
                paths[maker] = self._folder / f"input{ending}"
                maker(paths[maker])
        end_idle()
        before = {name: len(self._reports(name)) for name in case.functions}
        step(f"{case.name}: dropped")
        s3 = self._client("s3")
        for number, (_, maker) in enumerate(case.makers):
            with paths[maker].open("rb") as body:
                key = f"{prefix}{number}{paths[maker].suffix}"
                s3.put_object(Bucket=self._outputs["MediaBucket"], Key=key, Body=body)
        status, tmp = self._follow(prefix, len(case.makers))
        for path in paths.values():
            path.unlink()
        return [self._measured(name, case.name, self._reports(name)[before[name] :], tmp, status) for name in before]

    def search(self) -> Measured:
        """One that reads as many neighbours as a search may: most are of a few files, and a hundred files are asked."""
        end_idle()
        before = len(self._reports("search"))
        hits = self._call("POST", "/search", {"query": {"text": QUERY[:8192]}, "top_k": 100})["hits"]
        count = sum(len(hit["segments"]) for hit in hits)
        return self._measured("search", f"{count} neighbours", self._reports("search")[before:], {}, "indexed")

    def _follow(self, prefix: str, count: int) -> tuple[str, dict[str, int]]:
        """How the files ended, and the most that each function was seen to have in /tmp."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        tmp = dict.fromkeys(self._names, 0)
        while time.monotonic() < deadline:
            for name, full in self._names.items():
                for folder in (self._aws / "functions").glob(f"{full}-*/tmp"):
                    tmp[name] = max(tmp[name], disk_usage(folder))
            assets = self._call("GET", f"/assets?prefix={quote(prefix)}")["assets"]
            if len(assets) == count and all(asset["status"] in SETTLED for asset in assets):
                ends = {asset["status"]: asset.get("reason") or asset["status"] for asset in assets}
                return "; ".join(reason for status, reason in sorted(ends.items())), tmp
            time.sleep(LOOK_SECONDS)
        raise StuckError(f"{prefix} did not settle within {DEADLINE_SECONDS} s")

    def _measured(
        self, function: str, name: str, reports: list[tuple[str, str, str]], tmp: dict[str, int], status: str
    ) -> Measured:
        ended = {rest.partition("Status: ")[2].replace("\t", " ") for _, _, rest in reports if "Status: " in rest}
        return Measured(
            function,
            name,
            self._given[function],
            memory=max(int(used) for _, used, _ in reports),
            tmp=round(tmp.get(function, 0) / 2**20),
            seconds=max(float(duration) / 1000 for duration, _, _ in reports),
            status=status,
            ended=", ".join(sorted(ended)),
        )

    def _reports(self, function: str) -> list[tuple[str, str, str]]:
        """Of all its invocations, none of which goes on."""
        log = self._aws / "logs" / f"{self._names[function]}.log"
        while True:
            text = log.read_text(errors="replace") if log.exists() else ""
            reports = REPORT.findall(text)
            if len(reports) == text.count("START RequestId: "):
                return reports
            time.sleep(LOOK_SECONDS)

    def _client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self._outputs["AwsEndpointUrl"],
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
            config=Config(read_timeout=600, retries={"total_max_attempts": 1}, proxies={}),
        )

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._outputs["ApiUrl"] + path, data, headers, method=method)
        with direct.open(request, timeout=60) as answer:
            return json.load(answer)


def end_idle() -> None:
    """End the functions' processes, which are this one's children: what they used is theirs as long as they live."""
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if any(word.endswith("functions/bootstrap.py") for word in child.cmdline()):
                child.kill()
                while child.status() != psutil.STATUS_ZOMBIE:  # until then the laptop takes it for one that is idle
                    time.sleep(0.01)


# -- showing --------------------------------------------------------------------------------------------------------


def result_table(found: Sequence[Measured]) -> Table:
    table = Table(
        title="What functions use on the worst inputs, of what the template gives",
        caption="The most of one invocation, and how much of what is given; MB as Lambda counts them (2²⁰ bytes).\n"
        "✗ was ended by the laptop, as Lambda would, or its file was not indexed.\n"
        f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores; "
        "Lambda runs them on arm64.",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )
    for name in ("function", "input", "memory MB", "seconds", "/tmp MB", ""):
        table.add_column(name, justify="left" if name in ("function", "input", "") else "right")
    before = ""
    for one in found:
        given = one.given
        table.add_row(
            one.function if one.function != before else "",
            one.name,
            f"{one.memory:,} / {given.memory:,}",
            f"{one.seconds:.1f} / {given.seconds}",
            f"{one.tmp} / {given.tmp:,}",
            "✓" if one.is_inside else f"✗ {one.ended or one.status}",
        )
        before = one.function
    return table


if __name__ == "__main__":
    sys.exit(main())

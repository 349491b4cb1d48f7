"""What it costs to bring a job's JSONL into PutVectors calls: our way against the plain one, side by side.

Both send to a server on this machine that throws everything away, so what is measured is our own work, not AWS. The
exit code is 0 when all vectors arrived, alike both ways, and AWS would have taken every body of ours; how fast and how
small it was is shown, not judged: that depends on the machine.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.lines import embedding_texts, write_lines
from benchmarks.sink import Tally, running_sink, tally_of

ROOT = Path(__file__).parent.parent
BODY_LIMIT = 20 * 1024 * 1024  # bytes of a PutVectors request; S3 user guide, "S3 Vectors limitations and restrictions"
LINES = {3072: 720, 1024: 2160, 256: 8640}  # how many, per numbers in an embedding: about 47 MB each
ROUNDS = {"plain": 2, "ours": 3, "floor": 3}
WANTED_RATIO = 15
MEMORY_DIMENSION = 3072
MEMORY_LINES = (760, 7600)  # 50 MB, 500 MB
WANTED_MEMORY_GROWTH = 20_000_000  # bytes

MB, MIB = 1_000_000, 1024 * 1024

Step = Callable[[str], None]


class LostError(Exception):
    """Not everything that was read arrived as it should have; one sentence."""


@dataclass(frozen=True)
class Measured:
    """The best of one way's runs: least seconds of CPU, least on the clock, least peak (bytes); and what arrived."""

    way: str
    dimension: int
    lines: int
    size: int  # bytes of JSONL
    cpu: float
    wall: float
    peak: int
    calls: int
    vectors: int
    largest_body: int  # bytes

    @property
    def is_taken(self) -> bool:
        """Whether AWS would take each of its calls."""
        return self.largest_body <= BODY_LIMIT


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.index_path", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, a tenth of the lines, no file of 500 MB")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    given = parser.parse_args()
    console = Console(highlight=False)
    try:
        with tempfile.TemporaryDirectory(prefix="bucketlens-bench-") as folder:
            speed = measure_speed(Path(folder), quick=given.quick)
            console.print(speed_table(speed, quick=given.quick))
            memory = [] if given.quick else measure_memory(Path(folder))
            if memory:
                console.print("", memory_table(memory))
    except LostError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if given.json:
        given.json.write_text(json.dumps([asdict(one) for one in speed + memory], indent=1))
    return 0 if all(one.is_taken for one in speed + memory if one.way == "ours") else 1


# -- measuring ------------------------------------------------------------------------------------------------------


def measure_speed(folder: Path, *, quick: bool) -> list[Measured]:
    """Every way at every dimension, the rounds interleaved so that a slow moment of the machine meets them all."""
    found: list[Measured] = []
    rounds = {way: 1 if quick else each for way, each in ROUNDS.items()}
    with progress(len(LINES) * (1 + sum(rounds.values()))) as step:
        for dimension, full in LINES.items():
            lines = full // 10 if quick else full
            step(f"{dimension:,} numbers: writing {lines:,} lines")
            path = folder / f"{dimension}.jsonl"
            write_lines(path, embedding_texts(dimension, lines), lines)
            found += interleaved(path, dimension, lines, rounds, step)
            path.unlink()
    return found


def interleaved(path: Path, dimension: int, lines: int, rounds: Mapping[str, int], step: Step) -> list[Measured]:
    """The best of each way. In the first round the sink also reads what it gets: both ways must have sent the same."""
    runs: dict[str, list[Measured]] = {way: [] for way in rounds}
    digests: set[str] = set()
    for number in range(max(rounds.values())):
        for way in (way for way, wanted in rounds.items() if number < wanted):
            step(f"{dimension:,} numbers: {way}, round {number + 1}")
            run, tally = run_way(way, path, dimension, lines, checked=number == 0)
            runs[way].append(run)
            digests |= {tally.digest} - {""}
    if len(digests) != 1:
        raise LostError(f"at {dimension} numbers the two ways did not send the same vectors")
    return [best(each) for each in runs.values()]


def measure_memory(folder: Path) -> list[Measured]:
    """Our way over a small and a big file; nothing when there is no room for the big one."""
    texts = embedding_texts(MEMORY_DIMENSION, min(MEMORY_LINES))
    room = shutil.disk_usage(folder).free
    if room < (needed := 2 * len(texts[0]) * max(MEMORY_LINES)):
        print(
            f"no memory part: {folder} has {room / MB:.0f} MB left, and {needed / MB:.0f} are wanted", file=sys.stderr
        )
        return []
    found: list[Measured] = []
    with progress(2 * len(MEMORY_LINES)) as step:
        for lines in MEMORY_LINES:
            step(f"writing {lines:,} lines")
            path = folder / f"{lines}.jsonl"
            write_lines(path, texts, lines)
            step(f"{lines:,} lines: ours")
            found.append(run_way("ours", path, MEMORY_DIMENSION, lines, checked=False)[0])
            path.unlink()
    return found


def run_way(way: str, path: Path, dimension: int, lines: int, *, checked: bool) -> tuple[Measured, Tally]:
    """One run in a process of its own against a sink of its own; LostError when a line did not become a vector."""
    with running_sink(checked) as url:
        command = [sys.executable, "-m", "benchmarks.ways", way, str(path), str(dimension)]
        done = subprocess.run(command, cwd=ROOT, env=environment(url), stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise LostError(f"the {way} way ended with {done.returncode}")
        tally = tally_of(url)
    if way == "floor":
        calls, vectors = 0, 0
    else:
        calls, vectors = tally.calls - 1, tally.vectors - 1  # the first call was the one that warms up
        if vectors != lines:
            raise LostError(f"of {lines:,} lines, the {way} way brought {vectors:,} into the index")
    size = path.stat().st_size
    cost = json.loads(done.stdout)
    run = Measured(way, dimension, lines, size, **cost, calls=calls, vectors=vectors, largest_body=tally.largest_body)
    return run, tally


def environment(url: str) -> dict[str, str]:
    """Ours without anybody's AWS settings or proxies, and with the sink as AWS."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return kept | {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1",
    }


def best(runs: Sequence[Measured]) -> Measured:
    return replace(
        runs[0],
        cpu=min(run.cpu for run in runs),
        wall=min(run.wall for run in runs),
        peak=min(run.peak for run in runs),
    )


# -- showing --------------------------------------------------------------------------------------------------------


@contextmanager
def progress(steps: int) -> Iterator[Step]:
    """A bar on the terminal, a line for each step elsewhere; both on stderr, and the bar goes when all is done."""
    console = Console(stderr=True, highlight=False)
    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=steps, completed=-1)

        def step(text: str) -> None:
            bar.update(task, advance=1, description=text)
            if not console.is_terminal:
                console.print(text)

        yield step


def speed_table(found: Sequence[Measured], *, quick: bool) -> Table:
    runs = "One run" if quick else f"Best of {ROUNDS['ours']} runs (plain: {ROUNDS['plain']})"
    table = Table(
        title=f"From a job's JSONL to PutVectors on the wire, {found[0].size / MB:.0f} MB each",
        caption="plain: json.loads, then put_vectors for every 500. floor: read and SHA-256.\n"
        f"body: the largest call; ✗ is over the {BODY_LIMIT // MIB} MiB that AWS takes.\n"
        f"plain/ours: of the CPU; wanted {WANTED_RATIO}×. MB are 10⁶ bytes.\n"
        f"{runs}, each in a fresh process.\n"
        f"Python {platform.python_version()}, {platform.system()} {platform.machine()}.",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for name in ("numbers", "way", "CPU s", "wall s", "peak MB", "calls", "vectors", "body MiB", "plain/ours"):
        table.add_column(name, justify="left" if name == "way" else "right", no_wrap=True)
    plain = {one.dimension: one for one in found if one.way == "plain"}
    for one in found:
        sent = (f"{one.calls}", f"{one.vectors:,}", _body(one)) if one.calls else ("", "", "")
        table.add_row(
            f"{one.dimension:,}" if one.way == "plain" else "",
            one.way,
            f"{one.cpu:.3f}",
            f"{one.wall:.3f}",
            f"{one.peak / MB:.0f}",
            *sent,
            _ratio(plain[one.dimension].cpu / one.cpu) if one.way == "ours" else "",
            end_section=one.way == "floor",
        )
    return table


def _body(one: Measured) -> str:
    return f"{one.largest_body / MIB:.1f} {_mark(one.is_taken)}"


def _ratio(ratio: float) -> str:
    return f"{ratio:.1f}× {_mark(ratio >= WANTED_RATIO)}"


def memory_table(found: Sequence[Measured]) -> Table:
    growth = found[-1].peak - found[0].peak
    table = Table(title=f"Peak memory of ours at {MEMORY_DIMENSION:,} numbers", box=box.SIMPLE_HEAD)
    for name in ("input", "lines", "peak MB", "CPU s", "wall s"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in found:
        row = (f"{one.size / MB:.0f} MB", f"{one.lines:,}", f"{one.peak / MB:.1f}", f"{one.cpu:.3f}", f"{one.wall:.3f}")
        table.add_row(*row)
    table.caption = (
        f"{growth / MB:+.1f} MB {_mark(growth < WANTED_MEMORY_GROWTH)} (wanted under {WANTED_MEMORY_GROWTH / MB:.0f})"
    )
    return table


def _mark(is_good: bool) -> str:
    return "✓" if is_good else "✗"


if __name__ == "__main__":
    sys.exit(main())

"""`python -m simulation`: what becomes of 10,000 files dropped at once, of 100,000 hours of sound, of a million files.

A model, not a measurement: its figures are as good as `simulation/model.py`, where each says how sure it is. The limit
that binds is the one that helps most where it is doubled: each that files waited for is, and 20,000 of them at most are
dropped anew.
"""

import argparse
import gc
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

from rich import box
from rich.console import Console
from rich.table import Table

from simulation.model import MIX, PRICES, PRICES_OF, SERVICES, Limits, Maker, Times, files, hour, long_text
from simulation.pipeline import Outcome, simulate

CALLS = (  # as they are told, by their names in an outcome
    "received",
    "ReceiveMessage",
    "SendMessage",
    "InvokeModel",
    "StartAsyncInvoke",
    "GetAsyncInvoke",
    "StartExecution",
    "transitions",
    "PutVectors",
    "TransactWriteItems",
)
LIFTS = {
    "max_jobs": ("jobs at once", "Nova's quota of jobs, and `max_jobs` with it"),
    "requests_per_minute": ("requests a minute", "Nova's quota of requests, and `requests_per_minute` with it"),
    "ingest_concurrency": ("batches read at once", "`ingest_concurrency`"),
    "functions": ("functions at once", "Lambda's quota of concurrent executions"),
    "starts": ("executions started a second", "Step Functions' quota of StartExecution"),
    "put_calls": ("calls of PutVectors a second", "more profiles, for each has an index of its own"),
    "put_vectors": ("vectors put a second", "more profiles, for each has an index of its own"),
    "list_writes": ("writes a second to the lists of assets", "lists of several partitions, which there are not yet"),
}
PART = 20_000  # files are enough to see what a limit does
LIMITS = {one.name for one in fields(Limits)}


@dataclass(frozen=True)
class Scenario:
    """So many files of a mix; jobs of text take the seconds that `times` says."""

    name: str
    count: int
    mix: Mapping[Maker, int]
    times: Times = field(default_factory=Times)


USUAL = ("drop", "audio", "mix")  # a million takes an hour: pages that find no room are tried over and over again
SCENARIOS = {
    "drop": Scenario("10,000 long texts dropped at once, 9 s a job", 10_000, {long_text: 1}, Times(job_text=0)),
    "audio": Scenario("100,000 hours of sound in 100,000 files", 100_000, {hour: 1}),
    "mix": Scenario("100,000 files: pictures, documents, some sound and film", 100_000, MIX),
    "million": Scenario("1 million such files", 1_000_000, MIX),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}; all but the last")
    parser.add_argument("--files", type=int, help="so many instead")
    for name in sorted(LIMITS):
        kind = f"(default: {getattr(Limits(), name):,})"
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=None, help=kind)
    parser.add_argument("--prices", action="store_true", help="show what costs what, and how sure that is")
    given = parser.parse_args()
    if unknown := set(given.scenario) - SCENARIOS.keys():
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    chosen = {name: getattr(given, name) for name in LIMITS if getattr(given, name) is not None}
    console = Console(highlight=False)
    gc.disable()  # what a simulation holds it holds to the end
    if given.prices:
        console.print(price_table())
    try:
        for name in given.scenario or USUAL:
            scenario = SCENARIOS[name]
            show(console, replace(scenario, count=given.files or scenario.count), replace(Limits(), **chosen))
    except KeyboardInterrupt:
        return 130
    return 0


def show(console: Console, scenario: Scenario, limits: Limits) -> None:
    started = time.monotonic()
    found = run(scenario, limits)
    took = time.monotonic() - started
    console.print(outcome_table(scenario, found, took))
    console.print(cost_table(found))
    part = replace(scenario, count=min(scenario.count, PART))
    some = found if part == scenario else run(part, limits)
    raised = {name: run(part, doubled(limits, name)) for name in waited_for(found)}
    for name in sorted(raised, key=lambda name: raised[name].seconds):
        (what, lift), again, waited = LIFTS[name], raised[name], found.waited[name].seconds / 3600
        half, before = middle(again.times, 50), middle(some.times, 50)
        console.print(
            f"{what.capitalize()} ({getattr(limits, name):,}): files waited {waited:,.1f} hours in all. "
            f"With twice as many ({lift}) {part.count:,} files are found within {span(again.seconds)} "
            f"instead of {span(some.seconds)}, half of them within {span(half)} instead of {span(before)}."
        )
    console.print()


def run(scenario: Scenario, limits: Limits) -> Outcome:
    terminal = Console(stderr=True, highlight=False)
    with terminal.status(scenario.name) as status:
        return simulate(
            files(dict(scenario.mix), scenario.count),
            scenario.times,
            limits,
            tell=lambda ended: status.update(f"{scenario.name}: {ended:,} of {scenario.count:,} at their end"),
        )


def doubled(limits: Limits, name: str) -> Limits:
    """Our own limit of jobs goes with Bedrock's."""
    more = {name: 2 * getattr(limits, name)}
    if name == "max_jobs":
        more["bedrock_jobs"] = 2 * limits.bedrock_jobs
    return replace(limits, **more)


def waited_for(found: Outcome) -> list[str]:
    """What files waited for; a hundredth of the longest is not worth a word."""
    most = max(waited.seconds for waited in found.waited.values())
    return [name for name, waited in found.waited.items() if waited.seconds > max(most / 100, 1)]


def middle(values: Sequence[float], percent: int) -> float:
    """Of sorted values, the one that so many of a hundred do not pass."""
    return values[min(len(values) - 1, len(values) * percent // 100)] if values else 0.0


def span(seconds: float) -> str:
    for size, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.1f} s"


def outcome_table(scenario: Scenario, found: Outcome, took: float) -> Table:
    table = Table(
        title=scenario.name,
        caption=f"{scenario.count:,} files simulated in {took:.0f} s",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        show_header=False,
    )
    times, jobs, calls = found.times, found.calls["StartAsyncInvoke"] - found.calls["jobs refused"], found.calls
    table.add_row("found", f"{len(times):,} of {found.files:,}")
    for reason in sorted({piece.ended for piece in found.pieces} - {""}):
        table.add_row("failed", f"{sum(piece.ended == reason for piece in found.pieces):,}: {reason}")
    table.add_row("half within", span(middle(times, 50)))
    table.add_row("95 of 100 within", span(middle(times, 95)))
    table.add_row("all within", span(found.seconds))
    for name in CALLS:
        table.add_row(name, f"{calls[name]:,}, {calls[name] / found.files:.2f} a file")
    if jobs:
        polls = calls["GetAsyncInvoke"] / jobs
        table.add_row(
            "of a job", f"{polls:.2f} calls of GetAsyncInvoke, {calls['job transitions'] / jobs:.1f} transitions"
        )
    if calls["throttled"]:
        table.add_row("asked for room in vain", f"{calls['throttled']:,}")
    return table


def cost_table(found: Outcome) -> Table:
    table = Table(
        title=f"Cost without storage and searches ({PRICES_OF})",
        box=box.SIMPLE_HEAD,
        show_edge=False,
    )
    for name in ("service", "dollars", "for 1,000 files"):
        table.add_column(name, justify="left" if name == "service" else "right")
    costs = {
        service: sum(found.units[name] * PRICES[name].dollars for name in names) for service, names in SERVICES.items()
    }
    for service, cost in [*costs.items(), ("all", sum(costs.values()))]:
        table.add_row(service, f"{cost:,.2f}", f"{cost / found.files * 1000:.3f}")
    return table


def price_table() -> Table:
    table = Table(title=f"Prices ({PRICES_OF})", box=box.SIMPLE_HEAD, show_edge=False)
    for name in ("dollars", "for one", "source"):
        table.add_column(name)
    for price in PRICES.values():
        table.add_row(f"{price.dollars:.9f}".rstrip("0"), price.unit, price.source)
    return table


if __name__ == "__main__":
    sys.exit(main())

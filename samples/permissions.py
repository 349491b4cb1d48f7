"""`make permissions`: walks every road through the system, then shows what each role used of what it is granted."""

import argparse
import fnmatch
import logging
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from infra import layers
from local.bedrock.service import BedrockSettings
from local.iam import Permissions
from local.laptop import Laptop, Settings
from samples import roads, tour

console = Console(highlight=False)


@dataclass(frozen=True)
class Excuse:
    """A right that no road uses: of roles, actions and resources with these patterns, and why it is granted."""

    role: str
    action: str
    resource: str
    reason: str


PLATFORM = (
    Excuse("*", "logs:*", "*", "the platform writes logs with it; the laptop writes files"),
    Excuse("*", "xray:*", "*", "the platform sends traces with it; the laptop sends none"),
)
"""Whole statements that only the platform uses."""

EXCUSES = (
    *PLATFORM,
    Excuse("*EmbeddingJob*", "lambda:InvokeFunction", "*:[*]", "CDK grants the versions of a function along with it"),
    Excuse("*Ingest*", "sqs:ChangeMessageVisibility", "*", "CDK's event source grants it"),
    Excuse("*Ingest*", "sqs:GetQueueUrl", "*", "CDK's event source grants it"),
    Excuse("*Jobs*", "states:SendTaskFailure", "*", "when a job that waited for its turn is not wanted any more"),
    Excuse("*TextSearch*", "s3vectors:UpdateIndexMode", "*", "for vector buckets from before 30 Sep 2026"),
    Excuse("*IndexJob*", "s3vectors:GetVectors", "*", "when a retry of what is live lacks a part that is there"),
    Excuse("*IndexJob*", "s3vectors:DeleteVectors", "*", "when a file changes between the put and the commit"),
    Excuse("*SearchSearch*", "s3:GetObject", "*media*", "for links to files from before the bucket had versions"),
    Excuse("*Ingest*", "s3:GetObjectTagging", "*", "for files from before the bucket had versions"),
)


@dataclass(frozen=True)
class Right:
    """One action on one resource, as a statement grants it."""

    statement: str
    action: str
    resource: str
    used: int

    @property
    def shown(self) -> str:
        """Without what is the same in every ARN of a service."""
        return self.resource.split(":", 5)[-1]

    def excuse(self, role: str) -> str | None:
        for one in EXCUSES:
            patterns = ((role, one.role), (self.action, one.action), (self.resource, one.resource))
            if all(fnmatch.fnmatchcase(text, pattern) for text, pattern in patterns):
                return one.reason
        return None


def main() -> int:
    parser = argparse.ArgumentParser(prog="make permissions", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(".local"), help="where the synthesized stack is kept")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    assembly = tour.synthesize(given.data)
    with tempfile.TemporaryDirectory() as folder:
        permissions, wrong = walked(assembly, Path(folder))
    for road, what in wrong.items():
        console.print(f"[red]{road}: {what}")
    unused = show(permissions)
    if unused:
        console.print(f"[red]{unused} rights are granted, but neither used nor excused")
    return 1 if unused or wrong else 0


def walked(assembly: Path, data: Path) -> tuple[Permissions, Mapping[str, str]]:
    """The laptop's permissions after the tour and all roads, and what went wrong on them."""
    laptop = Laptop(
        Settings(
            assembly=assembly,
            data=data,
            layers=layers.BUILT / "host",
            aws_port=0,
            port=0,
            bedrock=BedrockSettings(job_seconds=roads.JOB_SECONDS, max_concurrent_jobs=roads.MAX_JOBS),
        )
    )
    try:
        outputs = laptop.start()
        well = tour.visit(outputs)
        with console.status("walking every road …"):
            wrong = roads.walk(roads.Walker(outputs, "roads/"))
        return laptop.permissions, wrong if well else {**wrong, "tour": "a sample was not indexed or not found"}
    finally:
        laptop.stop()


def rights(permissions: Permissions, role: str) -> Iterator[Right]:
    used = {
        (use.statement, use.action, use.resource): count
        for use, count in permissions.used().items()
        if use.role_arn == role
    }
    holder = permissions.roles.get(role)
    for statement in holder.statements if holder else ():
        actions, resources = statement.covers
        for action in actions if statement.allows else ():
            for resource in resources:
                yield Right(statement.id, action, resource, used.get((statement.id, action, resource), 0))


def show(permissions: Permissions) -> int:
    """Print a table per role; how many rights are neither used nor excused."""
    unused = 0
    for role in permissions.roles.all():
        name = role.rpartition("/")[2]
        table = Table(title=f"\n{name}", title_justify="left", title_style="bold", box=None, pad_edge=False)
        for heading in ("used", "action", "resource", ""):
            table.add_column(heading, justify="right" if heading == "used" else "left", header_style="dim")
        for right in rights(permissions, role):
            excuse = None if right.used else right.excuse(name)
            unused += not right.used and excuse is None
            style = "" if right.used else "dim" if excuse else "red"
            count = str(right.used) if right.used else "–"
            note = excuse or ("" if right.used else "never used")
            cells = (count, right.action, right.shown, note)
            table.add_row(*(Text(cell, style=style, overflow="fold") for cell in cells))
        console.print(table)
    return unused


if __name__ == "__main__":
    sys.exit(main())

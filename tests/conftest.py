"""What several suites share: our stack, synthesized once, and what a run says at its end."""

import fcntl
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from samples.tour import synthesize


@pytest.fixture(scope="session")
def our_assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made by the first who needs it, also where several processes run the tests."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    with (folder / "assembly.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return synthesize(folder / "assembly")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what tests recorded: each `summary` is a line, each `table row` is counted by kind."""
    recorded = [
        each
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for each in report.user_properties
    ]
    for line in sorted(value for name, value in recorded if name == "summary"):
        terminalreporter.write_line(line)
    if rows := Counter(value for name, value in recorded if name == "table row"):
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(rows.items()))
        terminalreporter.write_line(f"S3 Vectors, rows out of the SDK's model: {rows.total()} ({kinds})")

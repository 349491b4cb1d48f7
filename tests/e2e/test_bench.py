"""The benchmarks with `--quick`: what does not depend on how fast the machine is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_both_ways_bring_every_line_and_ours_within_the_limits(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.index_path", "--quick", "--json", str(figures)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "plain/ours" in done.stdout

    found = {(one["way"], one["dimension"]): one for one in json.loads(figures.read_text())}
    assert found.keys() == {(way, dimension) for way in ("plain", "ours", "floor") for dimension in (3072, 1024, 256)}
    for dimension in (3072, 1024, 256):
        plain, ours = found["plain", dimension], found["ours", dimension]
        assert ours["vectors"] == plain["vectors"] == ours["lines"] > 0
        assert ours["largest_body"] <= 20 * 1024 * 1024
        assert ours["calls"] <= plain["calls"]


@pytest.mark.slow
def test_the_largest_text_and_a_search_are_inside_what_the_functions_are_given(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.functions", "--quick", "--json", str(figures)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {one["function"]: one for one in json.loads(figures.read_text())}
    assert found.keys() == {"ingest", "index", "search"}
    assert all(0 < one["memory"] < one["given"]["memory"] for one in found.values())

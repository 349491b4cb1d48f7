"""`python -m benchmarks.vector_query --quick`: what does not depend on how fast the machine is."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_query_of_the_benchmark_finds_what_it_should(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.vector_query", "--quick", "--json", str(figures)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert "5,000 vectors of 1,024 numbers" in done.stdout
    found = json.loads(figures.read_text())
    assert [found[0]["name"], found[-1]["name"]] == ["one plain pass", "first query of a fresh process"]
    assert len(found) == 8
    assert all(one["least"] > 0 for one in found)

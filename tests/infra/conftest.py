"""The stack, synthesized once by the real `app.py`, as a user's machine would."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def synthesize(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `app.py` into `folder` without credentials."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_"))}
    env = {**kept, "CDK_OUTDIR": str(folder), **environment}
    return subprocess.run([sys.executable, "app.py"], cwd=ROOT, env=env, capture_output=True, text=True)


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cdk") / "cdk.out"
    done = synthesize(folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def template(assembly: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((assembly / "Bucketlens.template.json").read_text())
    return loaded

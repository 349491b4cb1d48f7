"""An AWS for other people's programs, and an environment of theirs to run them in (`make test-more` makes it)."""

import os
import subprocess
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra import layers
from local.auth import Keyring
from local.clients import Clients
from local.laptop import Laptop, Settings
from samples.tour import ROOT
from tests.user import User

MORE = Path(__file__).parents[2] / ".more"
Record = Callable[[str, object], None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these are for `make test-more`."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("slow")


@dataclass(frozen=True)
class Aws:
    """Where it is."""

    clients: Clients

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """All that a program is told: where AWS is, by the SDKs' own variables, and nothing of this machine's."""
        keys = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_DEFAULT_REGION": "us-east-1"}
        where = {"AWS_ENDPOINT_URL": self.clients.endpoint, "HOME": str(home), "PATH": os.defpath}
        return {**where, **keys, **more}


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """A whole laptop with nothing deployed on it."""
    folder = tmp_path_factory.mktemp("aws")
    laptop = Laptop(Settings(None, folder / "data", folder / "layers", aws_port=0, port=0))
    try:
        laptop.start()
        yield Aws(Clients(laptop.aws.url, Keyring(folder)))
    finally:
        laptop.stop()


@pytest.fixture(scope="module")
def user(our_assembly: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """Our stack with its page, on a laptop of its own."""
    data = tmp_path_factory.mktemp("laptop")
    laptop = Laptop(Settings(our_assembly, data, layers.BUILT / "host", aws_port=0, port=0, web=ROOT / "web"))
    try:
        yield User(laptop.start())
    finally:
        laptop.stop()


@pytest.fixture
def run_their_tests(aws: Aws, tmp_path: Path, record_property: Record) -> Callable[..., Counter[str]]:
    """`run(source, path, …)` runs a test file or folder of a source distribution; outcome → how many tests."""

    def run(source: str, path: str, *options: str, **environment: str) -> Counter[str]:
        report = tmp_path / "report.xml"
        command = [MORE / "venv/bin/python", "-m", "pytest", "-p", "no:cacheprovider", *options]
        ended = subprocess.run(
            [*command, "--junitxml", report, "--override-ini", "addopts=", path],
            cwd=MORE / "src" / source,
            env=aws.environment(tmp_path, PYTHONDONTWRITEBYTECODE="1", **environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        print(ended.stdout)  # shown where it fails
        outcomes = Counter(_outcome(case) for case in ElementTree.parse(report).iter("testcase"))
        said = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
        record_property("summary", f"{source}, {path}: {said}")
        return outcomes

    return run


def _outcome(case: ElementTree.Element) -> str:
    return next((each for each in ("failure", "error", "skipped") if case.find(each) is not None), "passed")

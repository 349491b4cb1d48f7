"""Files that nobody here made: those that other projects test themselves with, out of their source distributions.

`foreign_files.txt` says how each ends: `indexed`, `failed`, `unsupported`, and with what in the reason.
"""

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.more.conftest import MORE
from tests.user import SETTLED, User

TABLE = Path(__file__).with_name("foreign_files.txt")
SECONDS = 900
pytestmark = pytest.mark.timeout(SECONDS + 60)
CRASHED = re.compile("within the time and memory of a function|RequestId|Traceback")


def expected() -> dict[str, tuple[str, str]]:
    """`{path: (status, a part of the reason)}`."""
    rows = [line.split("\t") for line in TABLE.read_text().splitlines() if line and not line.startswith("#")]
    return {path: (status, reason) for path, status, reason in rows}


@pytest.fixture(scope="module")
def ended(user: User) -> Iterator[dict[str, dict[str, object]]]:
    """Every file dropped at once, and how it ended."""
    paths = expected()

    def drop(path: str) -> None:
        user.drop(f"foreign/{path}", (MORE / "src" / path).read_bytes())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(drop, paths))
    deadline = time.monotonic() + SECONDS
    while True:
        assets = {asset["key"].removeprefix("foreign/"): asset for asset in user.assets(prefix="foreign/")}
        if len(assets) == len(paths) and all(asset["status"] in SETTLED for asset in assets.values()):
            yield assets
            return
        left = [path for path in paths if path not in assets or assets[path]["status"] not in SETTLED]
        assert time.monotonic() < deadline, f"these are stuck: {left}"
        time.sleep(1)


def test_there_are_many_of_many_kinds() -> None:
    assert len(expected()) >= 200
    assert len({Path(path).suffix.lower() for path in expected()}) >= 20


def test_every_file_ends_as_the_table_says(ended: dict[str, dict[str, object]]) -> None:
    wrong = [
        f"{path}\t{asset['status']}\t{asset.get('reason', '')}"
        for path, (status, reason) in expected().items()
        if (asset := ended[path])["status"] != status or reason not in str(asset.get("reason", ""))
    ]
    assert not wrong, "\n".join(wrong)


def test_none_of_them_kills_a_function(ended: dict[str, dict[str, object]]) -> None:
    assert not [path for path, asset in ended.items() if CRASHED.search(str(asset.get("reason", "")))]

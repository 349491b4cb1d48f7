"""`make chaos` with few files, and that its account finds what is wrong."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.__main__ import ACCOUNT
from samples.tour import ROOT
from tests.user import User


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state that a small storm left, which was well."""
    folder = tmp_path_factory.mktemp("chaos") / "data"
    command = ["make", "chaos", "SEED=6", "FILES=60", f"DATA={folder}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=290)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "vectors expected" in done.stdout and "SEED=6" in done.stdout
    return folder


@pytest.fixture(scope="module")
def user(data: Path) -> Iterator[User]:
    """Of the laptop that opens it again."""
    (data / "outputs.json").unlink()
    command = [sys.executable, "-m", "samples.tour", "--no-samples", "--data", data, "--port", "0", "--aws-port", "0"]
    process = subprocess.Popen(list(map(str, command)), cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not (data / "outputs.json").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        yield User(next(iter(json.loads((data / "outputs.json").read_text()).values())))
    finally:
        process.kill()
        process.wait()


def account(data: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, ACCOUNT, data / "outputs.json"], cwd=data, capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout + done.stderr


def test_the_account_finds_what_is_lost_stale_and_doubled(data: Path, user: User) -> None:
    assert account(data)[0] == 0
    asset = next(one for one in user.assets() if one["status"] == "indexed")
    where = {"vectorBucketName": user.outputs["VectorBucket"], "indexName": user.outputs["IndexName"]}
    (key, *_) = user.vectors(asset["asset_id"])
    asset_id, generation, name, number = key.split("/")
    vectors = user.client("s3vectors")
    got = vectors.get_vectors(**where, keys=[key], returnData=True, returnMetadata=True)["vectors"][0]

    def put(key: str) -> None:
        vectors.put_vectors(**where, vectors=[{**got, "key": key}])

    vectors.delete_vectors(**where, keys=[key])
    code, told = account(data)
    assert code == 1 and f"{asset['key']}: it has {asset['segment_count'] - 1} vectors" in told
    put(key)
    assert account(data)[0] == 0

    for other, what in (
        (f"{asset_id}/{'0' * 16}/{name}/{number}", f"{asset['key']}: it has vectors of 2 generations"),
        (f"{asset_id}/{generation}/{name}/99", f"{asset['key']}: it has {asset['segment_count'] + 1} vectors"),
        (f"{'a' * 20}/{generation}/{name}/{number}", f"{'a' * 20}: 1 vectors of an asset that no list tells of"),
    ):
        put(other)
        code, told = account(data)
        assert code == 1 and what in told
        vectors.delete_vectors(**where, keys=[other])

    vectors.put_vectors(**where, vectors=[{**got, "metadata": {**got["metadata"], "_size": 0}}])
    code, told = account(data)
    assert code == 1 and f"{asset['key']}: 1 of its vectors say other things than the object" in told
    put(key)
    assert account(data)[0] == 0

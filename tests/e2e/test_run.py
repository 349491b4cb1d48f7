"""`make run` as a user types it, and what survives when it is stopped in the middle."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from infra import layers
from samples.tour import MEDIA
from tests.unit.media import encode, tone
from tests.user import User

ROOT = Path(__file__).parents[2]


def free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


def make_run(data: Path, *more: str) -> subprocess.CompletedProcess[str]:
    port, aws_port = free_ports()
    command = ["make", "run", f"PORT={port}", f"AWS_PORT={aws_port}", f"DATA={os.path.relpath(data, ROOT)}", *more]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)


@contextmanager
def laptop(assembly: Path, data: Path, *more: str) -> Iterator[tuple[subprocess.Popen[str], User]]:
    """`python -m local` until the block ends; whoever leaves it running has it killed."""
    (data / "outputs.json").unlink(missing_ok=True)
    port, aws_port = free_ports()
    command = [sys.executable, "-m", "local", "run", "--assembly", assembly]
    command += ["--data", data, "--layers", layers.BUILT / "host"]
    process = subprocess.Popen(
        [*map(str, command), "--port", str(port), "--aws-port", str(aws_port), *more],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not (data / "outputs.json").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        yield process, User(next(iter(json.loads((data / "outputs.json").read_text()).values())))
    finally:
        process.kill()
        process.wait()


def stop(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Signal it; it and everything it started must be gone within five seconds."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    os.kill(process.pid, number)
    _, alive = psutil.wait_procs(family, timeout=5)
    assert not alive, [one.cmdline() for one in alive]


def ingests(data: Path) -> int:
    (log,) = (data / "aws" / "logs").glob("*IngestionIngest*")
    return log.read_text().count("START RequestId")


def test_the_samples_are_found_and_a_second_start_does_nothing_again(tmp_path: Path) -> None:
    data = tmp_path / "data"
    first = make_run(data, "ONCE=1")
    assert first.returncode == 0, first.stdout + first.stderr
    count = len(list(MEDIA.iterdir()))
    assert f"{count} of {count} files searchable" in first.stdout
    outputs = json.loads((data / "outputs.json").read_text())["Bucketlens"]
    wanted = {"ApiUrl", "MediaBucket", "OutputBucket", "VectorBucket", "IndexName", "CatalogTable"}
    wanted |= {"AwsEndpointUrl", "IngestQueueArn", "DeadLettersArn"}
    assert wanted <= set(outputs)
    done, template = ingests(data), (data / "cdk.out" / "manifest.json").stat().st_mtime_ns
    second = make_run(data, "ONCE=1")
    assert second.returncode == 0, second.stdout + second.stderr
    assert ingests(data) == done
    assert (data / "cdk.out" / "manifest.json").stat().st_mtime_ns == template


def test_a_busy_port_is_one_line_that_names_it(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            ["make", "run", f"PORT={port}", f"AWS_PORT={free_ports()[0]}", f"DATA={tmp_path}", "ONCE=1"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert len(lines) == 1 and str(port) in lines[0]


def test_a_folder_that_another_run_works_on_is_refused_in_one_line(our_assembly: Path, tmp_path: Path) -> None:
    with laptop(our_assembly, tmp_path):
        done = make_run(tmp_path, "ONCE=1")
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert len(lines) == 1 and str(tmp_path) in lines[0]


@pytest.mark.slow
def test_ten_recordings_survive_being_stopped_in_the_middle_and_none_is_in_twice(
    our_assembly: Path, tmp_path: Path
) -> None:
    names = [f"recording {number}.mp3" for number in range(10)]
    with laptop(our_assembly, tmp_path, "--job-seconds", "6") as (process, user):
        for number, name in enumerate(names):
            user.drop(name, encode(tone(35, 16_000, 300 + 50 * number), 16_000, "mp3"))
        deadline = time.monotonic() + 30
        while not {asset["status"] for asset in user.assets()} & {"embedding"}:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(1)
        stop(process, signal.SIGINT)
    with laptop(our_assembly, tmp_path) as (process, user):
        assets = [user.settled(name) for name in names]
        assert {asset["status"] for asset in assets} == {"indexed"}
        assert {asset["segment_count"] for asset in assets} == {3}
        assert len(user.vectors()) == 30
        stop(process, signal.SIGTERM)


@pytest.mark.slow
def test_what_was_acknowledged_survives_a_kill(our_assembly: Path, tmp_path: Path) -> None:
    with laptop(our_assembly, tmp_path) as (process, user):
        for number in range(20):
            user.drop(f"note {number}.txt", f"This is note number {number} about otters.".encode())
        stop(process, signal.SIGKILL)
    with laptop(our_assembly, tmp_path) as (process, user):
        assert {user.settled(f"note {number}.txt")["status"] for number in range(20)} == {"indexed"}
        assert len(user.vectors()) == 20
        assert len(user.search("otters", top_k=100)) == 20
        stop(process, signal.SIGTERM)


def event(user: User, key: str, number: int, kind: str = "Object Created") -> dict[str, object]:
    """An event of S3 as EventBridge passes it on, with an id of its own."""
    return {
        "version": "0",
        "id": f"00000000-0000-0000-0000-{number:012}",
        "detail-type": kind,
        "source": "aws.s3",
        "account": "000000000000",
        "time": f"2026-01-01T00:00:{number % 60:02}Z",
        "region": "us-east-1",
        "resources": [f"arn:aws:s3:::{user.bucket}"],
        "detail": {
            "version": "0",
            "bucket": {"name": user.bucket},
            "object": {"key": key, "sequencer": f"{number:016X}"},
            "reason": "PutObject",
        },
    }


@pytest.mark.slow
def test_every_event_again_oldest_last_changes_nothing_before_and_after_a_restart(
    our_assembly: Path, tmp_path: Path
) -> None:
    sounds = {f"sound {number}.mp3": encode(tone(50, 16_000, 400 + 100 * number), 16_000, "mp3") for number in range(3)}
    texts = {f"note {number}.txt": f"Note {number} is about lynxes.".encode() for number in range(5)}

    def replay(user: User) -> None:
        kinds = ("Object Created", "Object Deleted", "Object Created")
        events = [event(user, key, number, kind) for number, kind in enumerate(kinds) for key in [*sounds, *texts]]
        for number, one in enumerate(reversed(events)):
            user.ring(one)
            if number % 8 == 4:  # overwrites come in between
                user.drop("note 0.txt", f"Note 0 is about lynxes, version {number}.".encode())
        user.drop("last.txt", f"The last one, number {len(events)}.".encode())

    def state(user: User) -> tuple[object, object]:
        unchanged = [asset for asset in user.assets() if asset["key"] not in ("note 0.txt", "last.txt")]
        ids = {asset["asset_id"] for asset in unchanged}
        return unchanged, [key for key in user.vectors() if key.split("/")[0] in ids]

    def quiet(user: User) -> None:
        sqs = user.client("sqs")
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        deadline = time.monotonic() + 60
        for url in sqs.list_queues()["QueueUrls"]:
            while any(
                int(n) for n in sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values()
            ):
                assert time.monotonic() < deadline
                time.sleep(0.2)
        assert {asset["status"] for asset in user.assets()} == {"indexed"}

    with laptop(our_assembly, tmp_path) as (process, user):
        for key, content in (sounds | texts).items():
            user.drop(key, content)
        assert {user.settled(key)["status"] for key in [*sounds, *texts]} == {"indexed"}
        before = state(user)
        assert len(before[1]) == 3 * 4 + 4  # type: ignore[arg-type]
        replay(user)
        quiet(user)
        assert state(user) == before
        stop(process, signal.SIGTERM)
    with laptop(our_assembly, tmp_path) as (process, user):
        assert state(user) == before
        replay(user)
        quiet(user)
        assert state(user) == before
        assert len(user.vectors()) == 3 * 4 + 5 + 1
        assert [hit["key"] for hit in user.search("Note 0 about lynxes version 20", top_k=1)] == ["note 0.txt"]
        stop(process, signal.SIGTERM)

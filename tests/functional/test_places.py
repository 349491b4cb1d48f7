"""Found at the right place, by content alone; and dropped with other people's tools."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.unit.media import encode, tone
from tests.user import User

RATE = 16_000
PART = 200  # seconds


def hiss(seconds: float) -> np.ndarray:
    noise = np.random.default_rng(7).standard_normal(int(seconds * RATE))
    return (0.2 * noise).astype(np.float32)


def beeps(seconds: float) -> np.ndarray:
    sound = tone(seconds, RATE, 3000)
    on = (np.arange(len(sound)) // (RATE // 4)) % 2 == 0
    return (sound * 1.8 * on).astype(np.float32)


@pytest.mark.slow
def test_a_long_recording_is_found_at_the_right_part(user: User) -> None:
    sound = np.concatenate([tone(PART, RATE, 90), hiss(PART), beeps(PART)])
    asset = user.dropped("ten minutes.mp3", encode(sound, RATE, "mp3"))
    assert asset["status"] == "indexed" and asset["segment_count"] == 40
    questions = {"a deep low-pitched hum": 0, "noise like rain": 1, "high-pitched beeps of an alarm": 2}
    for question, part in questions.items():
        (hit,) = user.search(question, filter={"asset_id": asset["asset_id"]}, top_k=1)
        best = hit["segments"][0]
        assert PART * part - 15 <= best["start"] and best["end"] <= PART * (part + 1) + 15, (question, best)


def test_a_name_changes_nothing_about_what_is_found(user: User) -> None:
    content = encode(beeps(5), RATE, "mp3")
    for key in ("named/alarm.mp3", "named/lullaby.mp3", "named/zzz.mp3"):
        user.dropped(key, content)
    hits = user.search("an alarm", filter={"prefix": "named/"})
    assert len({hit["score"] for hit in hits}) == 1 and len(hits) == 3


@pytest.mark.skipif(shutil.which("aws") is None, reason="the AWS CLI is not installed")
def test_the_aws_cli_drops_files_under_any_name(user: User, tmp_path: Path) -> None:
    names = ["a b.txt", "a+b.txt", "100%.txt", "no #1.txt", "größe.txt"]
    for name in names:
        (tmp_path / name).write_text(f"The heron called {name} stands in the reeds.")
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": user.outputs["AwsEndpointUrl"],
    }
    target = f"s3://{user.bucket}/cli/"
    subprocess.run(["aws", "s3", "cp", "--recursive", "--quiet", tmp_path, target], env=environment, check=True)
    assert {user.settled(f"cli/{name}")["status"] for name in names} == {"indexed"}
    assert {hit["key"] for hit in user.search("heron in the reeds", filter={"prefix": "cli/"})} == {
        f"cli/{name}" for name in names
    }

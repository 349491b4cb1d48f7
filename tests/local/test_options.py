"""What the command line refuses, each in one sentence."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from local import issuer
from local.__main__ import read_arguments
from samples import tour

ROOT = Path(__file__).parents[2]


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1].partition(" error: ")[2]


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("--max-jobs", "-1", "it is a whole number from 1 on, not -1"),
        ("--max-jobs", "0", "it is a whole number from 1 on, not 0"),
        ("--max-batch-jobs", "0", "it is a whole number from 1 on, not 0"),
        ("--requests-per-minute", "0", "it is a whole number from 1 on, not 0"),
        ("--batch-min-records", "many", "it is a whole number from 1 on, not many"),
        ("--job-seconds", "-5", "seconds are a number from 0 on, not -5"),
        ("--job-seconds", "inf", "seconds are a number from 0 on, not inf"),
        ("--region", "mars", "a region is named like us-east-1, not mars"),
        ("--web", "/nonexist", "there is no folder /nonexist"),
        ("--port", "x", "a port is a number from 0 to 65535, not x"),
        ("--aws-port", "70000", "a port is a number from 0 to 65535, not 70000"),
        ("--auth", "Enforce", "AUTH is open or enforce, not Enforce"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(
    option: str, value: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        read_arguments(["aws", f"{option}={value}"])
    assert said(capsys) == f"argument {option}: {why}"


@pytest.mark.parametrize(("value", "auth"), [("", "open"), ("open", "open"), ("enforce", "enforce")])
def test_auth_comes_from_the_environment_too(monkeypatch: pytest.MonkeyPatch, value: str, auth: str) -> None:
    monkeypatch.setenv("AUTH", value)
    assert read_arguments(["aws"]).auth == auth


@pytest.mark.parametrize("value", ["Enforce", "foo", "1"])
def test_no_other_word_in_the_environment_means_open(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    monkeypatch.setenv("AUTH", value)
    for read in (lambda: read_arguments(["aws"]), tour.read_arguments):
        monkeypatch.setattr(sys, "argv", ["tour"])
        with pytest.raises(SystemExit):
            read()
        assert said(capsys) == f"argument --auth: AUTH is open or enforce, not {value}"


def test_a_claim_has_a_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        issuer.main(["--data", str(tmp_path), "--claim", "tenant"])
    assert said(capsys) == "argument --claim: a claim is NAME=VALUE, not tenant"


@pytest.mark.parametrize(("below", "why"), [("", "it is a file"), ("/folder", "not a directory")])
def test_a_folder_that_is_none_is_refused(tmp_path: Path, below: str, why: str) -> None:
    (tmp_path / "file").touch()
    data = f"{tmp_path / 'file'}{below}"
    command = [sys.executable, "-m", "local", "aws", "--aws-port=0", "--port=0", "--data", data]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (2, f"{data} cannot hold what the laptop keeps: {why}\n")


def test_a_folder_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "aws").mkdir()
    with closing(sqlite3.connect(tmp_path / "aws" / "aws.sqlite")) as db:
        db.execute("CREATE TABLE sqs_messages (id INTEGER)")
    command = [sys.executable, "-m", "local", "aws", "--aws-port=0", "--port=0", "--data", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    words = "was written by another version of the laptop: delete the folder, or choose another"
    assert (ended.returncode, ended.stderr) == (2, f"{tmp_path / 'aws'} {words}\n")


def test_the_help_names_every_mode(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_arguments(["--help"])
    assert "{aws,run,token}" in capsys.readouterr().out

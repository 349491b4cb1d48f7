"""`lens` as somebody types it, against our stack on a laptop."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from lens.__main__ import main
from samples.tour import ROOT
from tests.user import User


class Lens:
    """The command with a stack's outputs, in a folder without any."""

    def __init__(self, outputs: dict[str, str], folder: Path) -> None:
        self.file, self._folder = folder / "stack.json", folder
        self.file.write_text(json.dumps({"Bucketlens": outputs}))

    def __call__(self, *words: str | Path, status: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "lens", *map(str, words)],
            cwd=self._folder,
            env={**clean(), "BUCKETLENS_OUTPUTS": str(self.file), **environment},
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def json(self, *words: str | Path, status: int = 0) -> Any:
        done = self(*words, "--json", status=status)
        return json.loads(done.stdout)


def clean() -> dict[str, str]:
    """Nothing of this machine's but where Python is."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}


@pytest.fixture
def lens(user: User, tmp_path: Path) -> Lens:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return Lens(user.outputs, folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two notes, one deeper, and what is hidden."""
    made = tmp_path / "notes"
    (made / "deeper").mkdir(parents=True)
    (made / "herons.txt").write_text("Herons stand still for an hour before they strike.")
    (made / "deeper" / "größe & maß #1.txt").write_text("Storks clap their beaks when they come home.")
    (made / ".hidden.txt").write_text("nothing")
    return made


def test_the_launcher_that_setup_writes_works_in_any_folder(tmp_path: Path) -> None:
    (tmp_path / "typing.py").write_text("raise RuntimeError")
    launcher = Path(sys.executable).with_name("lens")
    done = subprocess.run([launcher, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "search" in done.stdout, done.stderr


def test_a_folder_is_added_found_shown_and_removed(lens: Lens, user: User, folder: Path) -> None:
    added = lens.json("add", folder, "--wait")
    assert [Path(one["file"]).name for one in added] == ["größe & maß #1.txt", "herons.txt"]
    assert {one["status"] for one in added} == {"indexed"}
    assert all(one["key"].startswith("uploads/") for one in added)
    stork, heron = added
    assert stork["key"].endswith("/notes/deeper/größe & maß #1.txt")

    table = lens("search", "storks clap their beaks", "--prefix", "uploads/").stdout.splitlines()
    assert stork["key"] in table[1] and "characters 0–44" in table[1] and "Storks clap" in table[1]
    answer = lens.json("search", "herons strike", "--top", "1", "--group-by", "segment", "-m", "text")
    assert [hit["asset_id"] for hit in answer["hits"]] == [heron["asset_id"]]

    listed = lens("ls", heron["key"]).stdout
    assert heron["asset_id"] in listed and "indexed" in listed and heron["key"] in listed
    shown = lens.json("show", heron["key"], "--segments")
    assert shown["asset_id"] == heron["asset_id"]
    assert [one["segment_id"] for one in shown["segments"]] == ["TEXT/0"]
    assert "Herons stand still" in lens("show", heron["asset_id"], "-s").stdout

    attempt = shown["attempt"]
    assert "will be tried again" in lens("retry", heron["key"]).stdout
    user.until(lambda: user.call("GET", f"/assets/{heron['asset_id']}").body["attempt"] == attempt + 1)
    lens("rm", heron["asset_id"], stork["key"])
    user.until(lambda: not user.assets(prefix=heron["key"]))


def test_attributes_keep_their_type_beside_the_file_and_a_prefix_says_where(lens: Lens, folder: Path) -> None:
    words = ["add", folder / "herons.txt", "--prefix", "birds/", "-a", "year=2024", "-a", "who=Ann", "-a", "no=007"]
    (added,) = lens.json(*words, "--wait")
    assert (added["key"], added["status"]) == ("birds/herons.txt", "indexed")
    assert lens.json("show", "birds/herons.txt")["attributes"] == {"year": 2024, "who": "Ann", "no": "007"}
    filter = '{"year": {"$gte": 2020}, "who": "Ann"}'
    (hit,) = lens.json("search", "herons", "--filter", filter, "--prefix", "birds/")["hits"]
    assert hit["key"] == "birds/herons.txt"
    (folder / "herons.txt").write_text("The herons have left.")
    (added,) = lens.json("add", folder / "herons.txt", "--key", "birds/herons.txt", "--wait")
    (hit,) = lens.json("search", "herons have left", "--prefix", "birds/")["hits"]
    assert hit["segments"][0]["text"] == "The herons have left."


def test_what_goes_wrong_with_one_file_keeps_no_other_and_fails_the_command(lens: Lens, tmp_path: Path) -> None:
    broken, fine, sidecar = (tmp_path / name for name in ("broken.mp3", "fine.txt", "fine.txt.metadata.json"))
    broken.write_bytes(b"ID3" + b"\0" * 500)
    fine.write_text("This one is fine.")
    sidecar.write_text("{}")
    done = lens("add", broken, fine, sidecar, "--wait", "--json", status=1)
    by_name = {Path(one["file"]).name: one for one in json.loads(done.stdout)}
    assert by_name["fine.txt"]["status"] == "indexed"
    assert by_name["broken.mp3"]["status"] == "failed" and by_name["broken.mp3"]["reason"]
    assert by_name["fine.txt.metadata.json"]["status"] == "not added"
    assert "sidecar" in by_name["fine.txt.metadata.json"]["reason"]


def test_a_large_file_is_read_piece_by_piece(lens: Lens, tmp_path: Path) -> None:
    """A file larger than the memory that the process may have."""
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(700_000_000)
    program = "import resource; resource.setrlimit(resource.RLIMIT_AS, (600_000_000,) * 2); "
    program += "from lens.__main__ import main; main()"
    sink = _Sink()
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", program, "--api-url", sink.url, "add", large],
            env=clean(),
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        sink.stop()
    assert sink.received > large.stat().st_size, done.stdout + done.stderr
    assert done.returncode == 0, done.stdout + done.stderr


class _Sink:
    """An API and a bucket that take uploads, and only count what they are sent."""

    def __init__(self) -> None:
        counts = self
        self.received = 0

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                left = int(self.headers["content-length"])
                while left:
                    piece = self.rfile.read(min(left, 1 << 20))
                    left -= len(piece)
                    counts.received += len(piece)
                form = json.dumps({"key": "uploads/x/large.bin", "url": counts.url, "fields": {"a": "b"}}).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(form)))
                self.end_headers()
                self.wfile.write(form)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield one.getsockname()[1]


@pytest.fixture
def refused(lens: Lens, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The one sentence that is printed, and nothing else. (In this process: a new one takes most of a second.)"""

    def run(*words: str | Path) -> str:
        monkeypatch.setattr(sys, "argv", ["lens", "--outputs", str(lens.file), *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        assert ended.value.code == 1 and printed.out == "" and printed.err.count("\n") == 1, printed
        return printed.err.strip()

    return run


def test_whatever_is_wrong_is_said_in_one_sentence(
    refused: Callable[..., str], lens: Lens, tmp_path: Path, closed_port: int
) -> None:
    nowhere, empty = f"http://127.0.0.1:{closed_port}", tmp_path / "empty"
    empty.mkdir()
    assert refused("--api-url", nowhere, "ls") == f"Nothing answers at {nowhere}: is it running?"
    assert "can't be read" in refused("--outputs", tmp_path / "none.json", "ls")
    assert refused("add", tmp_path / "none.txt") == f"There is no file {tmp_path / 'none.txt'}."
    assert refused("add", empty) == "There is no file in there."
    assert refused("add", lens.file, "-a", "a=b").startswith("Attributes lie beside the file")
    assert refused("add", lens.file, "--prefix", "x/", "-a", "a") == "--attribute a: it is NAME=VALUE."
    assert refused("search") == "Look for what? Give a text, --image, --audio, --video or --like."
    assert refused("search", "a", "--filter", "{").startswith("--filter: this is no JSON")
    assert refused("search", "a", "--filter", '{"a": {"$b": 1}}').startswith("filter.a.$b: $b is no operator")
    assert refused("search", "a", "--image", tmp_path / "none.jpg").endswith("no such file or directory.")
    assert refused("search", "--like", "none.txt@1") == "There is no file 'none.txt'."
    assert refused("show", "none.txt") == "There is no file 'none.txt'."
    assert refused("rm", "a" * 20).startswith("there is no asset 'aaaa")
    assert refused("retry").startswith("prefix: a prefix, a status or a time is wanted")


def test_it_finds_the_stack_of_the_folder_and_never_guesses_between_two(lens: Lens, tmp_path: Path) -> None:
    def run(status: int) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "lens", "ls", "nothing/"],
            cwd=tmp_path,
            env=clean(),
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "outputs.json").write_text(lens.file.read_text())
    run(0)
    (tmp_path / "outputs.json").write_text(lens.file.read_text())
    assert "There are two stacks here: choose one with --outputs outputs.json" in run(1).stderr

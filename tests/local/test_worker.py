"""A worker answers, dies and is collected, whoever dies first."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.worker import Worker, WorkerDiedError, WorkerTimeoutError

ROOT = Path(__file__).parents[2]
CHILD = """
import os, subprocess, sys, time
from local.worker_child import serve

def answer(request):
    word, _, rest = request.partition(b" ")
    if word == b"print":
        print("said", rest.decode())
        os.system("echo said by a child of the child")
    elif word == b"sleep":
        time.sleep(float(rest))
    elif word == b"exit":
        os._exit(int(rest))
    elif word == b"raise":
        raise ValueError(rest.decode())
    elif word == b"segfault":
        import ctypes
        ctypes.string_at(0)
    elif word == b"spawn":
        return str(subprocess.Popen(["sleep", "60"]).pid).encode()
    elif word == b"stdin":
        return sys.stdin.read().encode()
    return request

serve(answer)
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Worker]]:
    made = []

    def make() -> Worker:
        worker = Worker([sys.executable, "-c", CHILD], {"PYTHONPATH": str(ROOT)}, tmp_path / "log", tmp_path)
        made.append(worker)
        return worker

    yield make
    for worker in made:
        worker.kill()


@pytest.fixture
def worker(start: Callable[[], Worker]) -> Worker:
    return start()


def _gone(pid: int, seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.01)
    return False


def _ask_in_vain(worker: Worker) -> None:
    with pytest.raises(WorkerDiedError):
        worker.ask(b"sleep 60", None)


def test_an_answer_is_what_the_child_returned_byte_for_byte(tmp_path: Path) -> None:
    worker = Worker([sys.executable, "-c", CHILD], {"PYTHONPATH": str(ROOT)}, tmp_path / "log", tmp_path)

    @settings(max_examples=50, deadline=None)
    @given(st.binary())
    def echoes(request: bytes) -> None:
        assert worker.ask(b"echo " + request, 10) == b"echo " + request

    echoes()
    large = b"echo " + os.urandom(5_000_000)
    assert worker.ask(large, 20) == large
    worker.stop()


def test_what_the_child_prints_goes_to_the_log_and_breaks_no_frame(worker: Worker, tmp_path: Path) -> None:
    assert worker.ask(b"print hello", 10) == b"print hello"
    assert (tmp_path / "log").read_text() == "said hello\nsaid by a child of the child\n"
    assert worker.ask(b"stdin", 10) == b""


def test_a_child_that_does_not_answer_in_time_is_killed(worker: Worker) -> None:
    worker.ask(b"ready", 10)
    with pytest.raises(WorkerTimeoutError):
        worker.ask(b"sleep 60", 0.1)
    assert not psutil.pid_exists(worker.pid)
    with pytest.raises(WorkerDiedError):
        worker.ask(b"more", 1)


def test_a_child_that_never_reads_does_not_hold_a_large_request_for_ever(tmp_path: Path) -> None:
    worker = Worker(["sleep", "60"], {"PATH": os.environ["PATH"]}, tmp_path / "log", tmp_path)
    with pytest.raises(WorkerTimeoutError):
        worker.ask(bytes(1_000_000), 0.2)


@pytest.mark.parametrize(("request_", "code"), [(b"exit 7", 7), (b"raise no", 1), (b"segfault", -signal.SIGSEGV)])
def test_a_child_that_dies_says_how(worker: Worker, request_: bytes, code: int) -> None:
    with pytest.raises(WorkerDiedError) as caught:
        worker.ask(request_, 10)
    assert caught.value.returncode == code
    assert not psutil.pid_exists(worker.pid)


def test_a_command_that_is_no_worker_is_a_dead_worker(tmp_path: Path) -> None:
    worker = Worker([sys.executable, "-c", "raise SystemExit(3)"], {}, tmp_path / "log", tmp_path)
    with pytest.raises(WorkerDiedError) as caught:
        worker.ask(b"anyone?", 10)
    assert caught.value.returncode == 3


def test_a_request_in_progress_is_told_when_another_thread_kills_the_child(worker: Worker) -> None:
    worker.ask(b"ready", 10)
    threading.Timer(0.1, worker.kill).start()
    with pytest.raises(WorkerDiedError) as caught:
        worker.ask(b"sleep 60", 10)
    assert caught.value.returncode == -signal.SIGKILL


def test_killing_a_child_ends_what_it_started(worker: Worker) -> None:
    grandchild = int(worker.ask(b"spawn", 10))
    assert psutil.pid_exists(grandchild)
    worker.kill()
    assert _gone(grandchild)


@pytest.mark.parametrize("busy", [False, True])
def test_stop_returns_soon_and_leaves_nothing(start: Callable[[], Worker], busy: bool) -> None:
    before = psutil.Process().num_fds()
    worker = start()
    worker.ask(b"ready", 10)
    if busy:
        threading.Thread(target=_ask_in_vain, args=(worker,)).start()
        time.sleep(0.1)
    begun = time.monotonic()
    worker.stop()
    worker.stop()
    worker.kill()
    assert time.monotonic() - begun < 2
    assert not psutil.pid_exists(worker.pid)
    assert psutil.Process().num_fds() == before


def test_many_threads_may_ask_one_child(worker: Worker) -> None:
    answers: dict[bytes, bytes] = {}
    words = [f"echo {number}".encode() for number in range(20)]
    threads = [threading.Thread(target=lambda w=word: answers.update({w: worker.ask(w, 10)})) for word in words]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {word: word for word in words}


def test_the_child_and_what_it_started_end_in_the_middle_of_work_when_the_parent_is_killed(
    tmp_path: Path,
) -> None:
    parent_code = f"""
import sys
from pathlib import Path
from local.worker import Worker
worker = Worker([sys.executable, "-c", {CHILD!r}], {{"PYTHONPATH": {str(ROOT)!r}}}, Path("log"), Path("."))
print(worker.pid, int(worker.ask(b"spawn", 10)), flush=True)
worker.ask(b"sleep 60", None)
"""
    environment = {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", parent_code], stdout=subprocess.PIPE, env=environment, cwd=tmp_path
    ) as parent:
        assert parent.stdout
        family = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
        assert all(_gone(pid) for pid in family)


def test_ctrl_c_in_the_terminal_does_not_reach_the_child(worker: Worker) -> None:
    worker.ask(b"ready", 10)
    assert os.getsid(worker.pid) == worker.pid

"""Lambda on the laptop: real processes, real layers, the API over the wire."""

import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local import clock
from local.auth import Keyring
from local.clients import Clients
from local.functions import (
    AsyncConfig,
    EventSourceMapping,
    Functions,
    FunctionSpec,
    Invocation,
    LambdaService,
    LayerError,
    Poller,
)
from local.functions.spec import read_name
from local.state import State
from local.wire import AwsError, Service

ROLE = "arn:aws:iam::000000000000:role/worker"
Make = Callable[..., FunctionSpec]


@pytest.fixture(scope="session")
def layer_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("layers")


@pytest.fixture
def functions(state: State, keyring: Keyring, layer_cache: Path) -> Iterator[Functions]:
    made = Functions(state, keyring, lambda: "http://127.0.0.1:9", layer_cache, retry_waits=(0.05, 0.1))
    yield made
    made.stop()


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """`make(name, code)` is the spec of a function whose asset holds that code as `app.py`."""

    def spec(name: str, code: str, **changes: Any) -> FunctionSpec:
        text = textwrap.dedent(code)
        asset = tmp_path / f"asset.{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        asset.mkdir(exist_ok=True)
        (asset / "app.py").write_text(text)
        made = FunctionSpec(
            name=name,
            handler="app.handler",
            code=asset,
            layers=(),
            environment={},
            role_arn=ROLE,
            timeout=20,
            memory_mb=256,
            tmp_mb=512,
            concurrency=None,
            runtime="python3.14",
            architecture="arm64",
        )
        return replace(made, **changes)

    return spec


ECHO = "def handler(event, context): return event"


def call(functions: Functions, name: str, event: Any = None) -> Any:
    result = functions.invoke(name, json.dumps(event).encode())
    assert result.error is None, result
    return json.loads(result.payload)


def fail(functions: Functions, name: str, event: Any = None) -> dict[str, Any]:
    result = functions.invoke(name, json.dumps(event).encode())
    assert result.error == "Unhandled"
    error: dict[str, Any] = json.loads(result.payload)
    return error


def log_of(state: State, name: str) -> str:
    """What is in it so far, nothing before the first invocation."""
    file = state.folder / "logs" / f"{name}.log"
    return file.read_text() if file.exists() else ""


def functions_processes(code: Path) -> list[psutil.Process]:
    """Those whose code lies under this folder: this process may have a whole stack running for other tests."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if Path(child.cwd()).is_relative_to(code):
                found.append(child)
    return found


def wait_until(condition: Callable[[], object], seconds: float = 8) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.02)


# The process and what it sees


def test_a_handler_gets_the_event_and_lambdas_context(functions: Functions, make: Make) -> None:
    functions.ensure_function(
        make(
            "ctx",
            """
            def handler(event, c):
                left = c.get_remaining_time_in_millis()
                return [event, c.function_name, c.memory_limit_in_mb, c.invoked_function_arn, c.function_version,
                        c.log_group_name, 18000 < left <= 20000, len(c.aws_request_id)]
            """,
        )
    )
    arn = "arn:aws:lambda:us-east-1:000000000000:function:ctx"
    expected = [{"a": [1, "ü"]}, "ctx", "256", arn, "$LATEST", "/aws/lambda/ctx", True, 36]
    assert call(functions, "ctx", {"a": [1, "ü"]}) == expected


def test_a_function_sees_its_own_variables_and_lambdas_only(
    functions: Functions, make: Make, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_LAPTOP", "x")
    functions.ensure_function(
        make(
            "env",
            "import os, sys, tempfile\ndef handler(e, c): return [dict(os.environ), sys.path, tempfile.gettempdir()]",
            environment={"TABLE": "t"},
        )
    )
    environment, path, tmp = call(functions, "env")
    keys = keyring.issue(ROLE, "env")
    assert "SECRET_OF_THE_LAPTOP" not in environment
    assert environment["TABLE"] == "t"
    assert environment["AWS_ACCESS_KEY_ID"] == keys.access_key
    assert environment["AWS_SESSION_TOKEN"].startswith(keys.session_token)  # each process has a session of its own
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:9"
    assert environment["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.14"
    assert environment["TMPDIR"] == tmp
    assert not any("site-packages" in folder for folder in path)


def test_nothing_of_the_laptop_can_be_imported_but_what_awss_runtime_brings(functions: Functions, make: Make) -> None:
    functions.ensure_function(
        make(
            "imports",
            """
            import importlib
            def handler(event, context):
                found = []
                for name in event:
                    try:
                        importlib.import_module(name)
                        found.append(name)
                    except ImportError:
                        pass
                return found
            """,
        )
    )
    names = ["boto3", "botocore.session", "dateutil.parser", "numpy", "psutil", "local", "local.state", "pytest"]
    assert call(functions, "imports", names) == names[:3]


def test_the_staged_asset_stays_as_it_is(functions: Functions, make: Make) -> None:
    spec = make("clean", "import helper\ndef handler(e, c): return helper.X")
    (spec.code / "helper.py").write_text("X = 1")
    functions.ensure_function(spec)
    assert call(functions, "clean") == 1
    assert sorted(file.name for file in spec.code.iterdir()) == ["app.py", "helper.py"]


# Layers


def write_wheel(folder: Path, name: str, version: str, module: str) -> None:
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": module,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},," + "\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(path, text)


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """As for aarch64: the distribution's module in it cannot be loaded here; a wheel that can is in `wheels`."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    write_wheel(wheels, "pinned", "1.2", "WHERE = 'host'")
    write_wheel(wheels, "pinned", "1.3", "WHERE = 'too new'")
    root = tmp_path / "layer" / "python"
    info = root / "pinned-1.2.dist-info"
    info.mkdir(parents=True)
    (root / "pinned.py").write_text("raise ImportError('built for another processor')")
    (root / "own.py").write_text("OWN = 1")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pinned\nVersion: 1.2\n")
    (info / "RECORD").write_text("pinned.py,,\npinned-1.2.dist-info/METADATA,,\npinned-1.2.dist-info/RECORD,,\n")
    return root.parent


USES_LAYER = "import own, pinned\ndef handler(e, c): return [own.OWN, pinned.WHERE]"


def test_a_layer_is_the_same_versions_for_this_machine_installed_once(
    state: State, keyring: Keyring, make: Make, layer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "wheels"))
    cache = tmp_path / "cache"
    spec = make("layered", USES_LAYER, layers=(layer,))
    for links in (str(tmp_path / "wheels"), str(tmp_path / "nothing")):  # the second start has no index at all
        monkeypatch.setenv("UV_FIND_LINKS", links)
        functions = Functions(state, keyring, lambda: "http://127.0.0.1:9", cache)
        functions.ensure_function(spec)
        assert call(functions, "layered") == [1, "host"]
        functions.stop()
    assert len([folder for folder in cache.iterdir() if folder.name != "bytecode"]) == 1


def test_laptops_that_start_side_by_side_share_one_copy(
    layer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from local.functions.layers import LayerCache

    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "wheels"))
    with ThreadPoolExecutor(4) as threads:
        copies = set(threads.map(lambda _: LayerCache(tmp_path / "cache").host_copy(layer), range(4)))
    assert len(copies) == 1
    assert [folder.name for folder in (tmp_path / "cache").iterdir()] == [copies.pop().name]


def test_a_package_outside_the_layers_cannot_be_imported(functions: Functions, make: Make) -> None:
    functions.ensure_function(make("bare", USES_LAYER))
    error = fail(functions, "bare")
    assert error["errorType"] == "Runtime.ImportModuleError"
    assert error["errorMessage"] == "Unable to import module 'app': No module named 'own'"


def test_a_layer_that_cannot_be_installed_is_one_clear_error(
    functions: Functions, make: Make, layer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    with pytest.raises(LayerError, match=r"could not be installed for this machine[\s\S]*pinned"):
        functions.ensure_function(make("broken", USES_LAYER, layers=(layer,)))


# Limits and errors


def test_a_function_ends_at_its_timeout_and_the_next_call_has_a_new_process(
    functions: Functions, make: Make, state: State
) -> None:
    code = "import os, time\ndef handler(e, c):\n  time.sleep(e)\n  return os.getpid()"
    functions.ensure_function(make("slow", code, timeout=1))
    first = call(functions, "slow", 0)
    error = fail(functions, "slow", 30)
    assert error["errorType"] == "Sandbox.Timedout"
    assert error["errorMessage"].endswith(" Error: Task timed out after 1.00 seconds")
    assert error["errorMessage"].startswith("RequestId: ")
    assert not psutil.pid_exists(first)
    assert call(functions, "slow", 0) != first
    assert "Status: timeout" in log_of(state, "slow")


@pytest.mark.parametrize("held", [2.0, 0.0])
def test_a_function_over_its_memory_is_killed(functions: Functions, make: Make, state: State, held: float) -> None:
    code = "import time\ndef handler(e, c):\n  data = b'x' * (300 << 20)\n  time.sleep(e)\n  return len(data)"
    functions.ensure_function(make("fat", code, memory_mb=128))
    if not held and not sys.platform.startswith("linux"):
        pytest.skip("only Linux remembers a peak between two looks")
    error = fail(functions, "fat", held)
    assert error["errorType"] == "Runtime.ExitError"
    assert error["errorMessage"].endswith("Error: Runtime exited with error: signal: killed")
    assert "Memory Size: 128 MB\tMax Memory Used: 128 MB" in log_of(state, "fat")


def test_memory_of_child_processes_counts(functions: Functions, make: Make) -> None:
    code = """
    import subprocess, sys
    def handler(e, c):
        subprocess.run([sys.executable, "-c", "import time; x = b'x' * (300 << 20); time.sleep(20)"])
    """
    functions.ensure_function(make("parent", code, memory_mb=128))
    assert fail(functions, "parent")["errorType"] == "Runtime.ExitError"


def test_tmp_is_private_kept_while_warm_and_limited(functions: Functions, make: Make) -> None:
    code = """
    import os, tempfile
    def handler(size, c):
        with open(os.path.join(tempfile.gettempdir(), "x"), "ab") as file:
            if size:
                os.posix_fallocate(file.fileno(), 0, size << 20)
            return file.tell(), file.write(b"1")
    """
    functions.ensure_function(make("disk", code))
    assert call(functions, "disk", 0) == [0, 1]
    assert call(functions, "disk", 0) == [1, 1]
    error = fail(functions, "disk", 600)
    assert (error["errorType"], error["errorMessage"]) == ("OSError", "[Errno 28] No space left on device")
    assert call(functions, "disk", 0) == [0, 1]


def test_an_exception_is_told_with_its_type_and_stack(functions: Functions, make: Make, state: State) -> None:
    functions.ensure_function(make("bad", "def inner(): raise KeyError('no')\ndef handler(e, c): return inner()"))
    error = fail(functions, "bad")
    assert error["errorType"] == "KeyError"
    assert error["errorMessage"] == "'no'"
    assert [line.split(", in ")[1].split("\n")[0] for line in error["stackTrace"]] == ["handler", "inner"]
    assert error["requestId"] in log_of(state, "bad")
    assert "[ERROR] KeyError: 'no'" in log_of(state, "bad")


@pytest.mark.parametrize(
    ("code", "handler", "kind", "message"),
    [
        ("x = 1", "app.handler", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'app'"),
        (ECHO, "none.handler", "Runtime.ImportModuleError", "Unable to import module 'none': No module named 'none'"),
        ("def x(:", "app.handler", "Runtime.UserCodeSyntaxError", "Syntax error in module 'app'"),
        ("1 / 0", "app.handler", "ZeroDivisionError", "division by zero"),
        ("def handler(e, c): return {1, 2}", "app.handler", "Runtime.MarshalError", "Unable to marshal response: "),
        ("import sys\nsys.exit(3)", "app.handler", "Runtime.ExitError", "RequestId: "),
        (
            "def handler(e, c): return 'x' * 6291555",
            "app.handler",
            "Function.ResponseSizeTooLarge",
            "Response payload size (6291557 bytes) exceeded maximum allowed payload size (6291556 bytes).",
        ),
    ],
)
def test_what_is_wrong_with_a_function_has_lambdas_name(
    functions: Functions, make: Make, code: str, handler: str, kind: str, message: str
) -> None:
    functions.ensure_function(make("wrong", code, handler=handler))
    error = fail(functions, "wrong")
    assert error["errorType"] == kind
    assert error["errorMessage"].startswith(message)


def test_a_process_that_exits_is_an_exit_error(functions: Functions, make: Make) -> None:
    functions.ensure_function(make("exits", "import os, sys\ndef handler(e, c): sys.exit(e) if e else os.abort()"))
    assert fail(functions, "exits", 3)["errorMessage"].endswith("Runtime exited with error: exit status 3")
    assert fail(functions, "exits", 0)["errorMessage"].endswith("Runtime exited with error: signal: aborted")


def test_prints_and_logging_are_in_the_log_between_start_and_report(
    functions: Functions, make: Make, state: State
) -> None:
    code = """
    import logging, os, sys
    logging.getLogger().setLevel("INFO")
    def handler(e, c):
        print("printed", end=""); print(" out"); os.system("echo from a child"); print("err", file=sys.stderr)
        logging.info("logged")
    """
    functions.ensure_function(make("talks", code))
    result = functions.invoke("talks", b"")
    lines = log_of(state, "talks").splitlines()
    said = [line.split(" RequestId")[0].split("\t")[-1] for line in lines[:-1]]
    assert said == ["START", "printed out", "from a child", "err", "logged", "END"]
    assert lines[-1].startswith("REPORT RequestId: ")
    assert "Init Duration: " in lines[-1]
    assert result.log_tail == log_of(state, "talks")
    assert "Init Duration" not in functions.invoke("talks", b"").log_tail


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    event=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_comes_back_as_it_was(functions: Functions, make: Make, event: Any) -> None:
    functions.ensure_function(make("echo", ECHO))
    assert call(functions, "echo", event) == event


# Warmth and concurrency

WHO = "import os, time\ndef handler(seconds, c):\n  time.sleep(seconds or 0)\n  return os.getpid()"


def test_a_process_is_warm_until_the_code_changes(functions: Functions, make: Make) -> None:
    functions.ensure_function(make("warm", WHO))
    first = call(functions, "warm")
    functions.ensure_function(make("warm", WHO))
    assert call(functions, "warm") == first
    functions.ensure_function(make("warm", "def handler(e, c): return 'new'"))
    assert call(functions, "warm") == "new"
    assert not psutil.pid_exists(first)


def test_a_process_that_died_while_idle_is_replaced(functions: Functions, make: Make) -> None:
    functions.ensure_function(make("idle", WHO))
    first = call(functions, "idle")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: psutil.Process(first).status() == psutil.STATUS_ZOMBIE)
    assert call(functions, "idle") != first


@pytest.mark.parametrize(("reserved", "processes"), [(None, 4), (1, 1)])
def test_concurrent_calls_get_processes_up_to_the_cap_then_wait(
    functions: Functions, make: Make, reserved: int | None, processes: int
) -> None:
    functions.ensure_function(make("many", WHO, concurrency=reserved))
    with ThreadPoolExecutor(6) as threads:
        pids = list(threads.map(lambda _: call(functions, "many", 0.3), range(6)))
    assert len(set(pids)) == processes


def test_idle_processes_end_but_one(functions: Functions, make: Make, tmp_path: Path) -> None:
    functions.ensure_function(make("many", WHO))
    with ThreadPoolExecutor(3) as threads:
        pids = set(threads.map(lambda _: call(functions, "many", 0.3), range(3)))
    assert len(pids) == 3
    functions._pools["many"].trim(clock.now() - 60)
    assert len(functions_processes(tmp_path)) == 3
    functions._pools["many"].trim(clock.now() + 1)
    (left,) = functions_processes(tmp_path)
    assert call(functions, "many") == left.pid


def test_an_import_over_ten_seconds_starts_again_inside_the_timeout(
    functions: Functions, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.functions.sandbox.INIT_SECONDS", 0.2)
    functions.ensure_function(make("init", "import time\ntime.sleep(0.5)\ndef handler(e, c): return 'at last'"))
    assert call(functions, "init") == "at last"
    functions.ensure_function(make("never", "import time\ntime.sleep(50)", timeout=1))
    assert fail(functions, "never")["errorType"] == "Sandbox.Timedout"


def test_no_reserved_concurrency_throttles(functions: Functions, make: Make) -> None:
    functions.ensure_function(make("none", ECHO, concurrency=0))
    with pytest.raises(AwsError, match=r"TooManyRequestsException: Rate Exceeded\."):
        functions.invoke("none", b"1")


def test_stop_ends_every_process_within_two_seconds(
    state: State, keyring: Keyring, layer_cache: Path, make: Make, tmp_path: Path
) -> None:
    functions = Functions(state, keyring, lambda: "http://127.0.0.1:9", layer_cache)
    functions.ensure_function(make("long", WHO, timeout=60))
    errors: list[str] = []

    def run() -> None:
        try:
            functions.invoke("long", b"50")
        except AwsError as error:
            errors.append(error.code)

    threads = [threading.Thread(target=run) for _ in range(5)]  # one of them waits for its turn
    for thread in threads:
        thread.start()
    wait_until(lambda: len(functions_processes(tmp_path)) == 4)
    started = time.monotonic()
    functions.stop()
    for thread in threads:
        thread.join()
    assert time.monotonic() - started < 2
    assert functions_processes(tmp_path) == []
    assert errors == ["ServiceException"] * 5


def test_a_killed_laptop_leaves_no_process_behind(make: Make, tmp_path: Path, layer_cache: Path) -> None:
    spec = make("orphan", "import os, time\ndef handler(e, c):\n  print('pid', os.getpid())\n  time.sleep(60)")
    script = """
    import sys; from pathlib import Path; from local.auth import Keyring
    from local.functions import *; from local.state import State
    folder, cache, code = map(Path, sys.argv[1:])
    state = State(folder)
    functions = Functions(state, Keyring(folder), lambda: "http://127.0.0.1:9", cache)
    functions.ensure_function(FunctionSpec("orphan", "app.handler", code, (), {}, "arn:aws:iam::000000000000:role/r",
                                           60, 256, 512, None, "python3.14", "arm64"))
    functions.invoke("orphan", b"1")
    """
    folder = tmp_path / "other"
    argv = [sys.executable, "-c", textwrap.dedent(script), str(folder), str(layer_cache), str(spec.code)]
    with subprocess.Popen(argv, cwd=Path(__file__).parents[2]) as laptop:
        log = folder / "logs" / "orphan.log"
        wait_until(lambda: log.exists() and "pid " in log.read_text() and log.read_text().endswith("\n"))
        pid = int(log.read_text().split("pid ")[1].split()[0])
        assert psutil.pid_exists(pid)
        laptop.kill()
    wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, 3)


# Events nobody waits for

FAILS = "def handler(e, c):\n  print('try of', c.aws_request_id)\n  raise ValueError('always')"


def test_an_event_is_tried_three_times_and_then_told_to_its_destination(
    functions: Functions, make: Make, state: State
) -> None:
    arn = functions.ensure_function(make("told", "import json\ndef handler(e, c): print('told:', json.dumps(e))"))
    functions.ensure_function(make("fails", FAILS, asynchronous=AsyncConfig(on_failure=arn)))
    request_id = functions.invoke_async("fails", b'{"n": 1}')
    wait_until(lambda: "told: " in log_of(state, "told"))
    record = json.loads(log_of(state, "told").split("told: ")[1].splitlines()[0])
    assert log_of(state, "fails").count(f"try of {request_id}") == 3
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 3
    assert record["requestPayload"] == {"n": 1}
    assert record["responsePayload"]["errorType"] == "ValueError"
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}


class RecordingQueue:
    """An SQS that notes what was sent to it."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def __call__(self, request: Any, caller: Any) -> Any:
        from local.wire import json_response

        body = json.loads(request.get_data())
        self.sent.append({"body": body, "role": caller.role_arn})
        digest = hashlib.md5(body["MessageBody"].encode()).hexdigest()
        return json_response({"MessageId": "m", "MD5OfMessageBody": digest})


def test_a_dead_letter_queue_gets_the_event_with_the_functions_role(
    state: State, keyring: Keyring, layer_cache: Path, make: Make, serve: Callable[[Mapping[str, Service]], Clients]
) -> None:
    queue = RecordingQueue()
    endpoint = serve({"sqs": queue}).endpoint
    functions = Functions(state, keyring, lambda: endpoint, layer_cache)
    config = AsyncConfig(retries=0, dead_letter_queue="arn:aws:sqs:us-east-1:000000000000:dead")
    functions.ensure_function(make("fails", FAILS, asynchronous=config))
    functions.invoke_async("fails", b'{"n":1}')
    wait_until(lambda: queue.sent)
    functions.stop()
    sent = queue.sent[0]
    assert sent["role"] == ROLE
    assert sent["body"]["MessageBody"] == '{"n":1}'
    assert sent["body"]["QueueUrl"].endswith("/000000000000/dead")
    assert sent["body"]["MessageAttributes"]["ErrorMessage"]["StringValue"] == "always"


def test_an_accepted_event_survives_the_laptop(
    state: State, keyring: Keyring, layer_cache: Path, make: Make, tmp_path: Path
) -> None:
    def laptop() -> Functions:
        return Functions(state, keyring, lambda: "http://127.0.0.1:9", layer_cache)

    first = laptop()
    first.ensure_function(make("later", "import time\ndef handler(e, c): time.sleep(60)", timeout=60))
    request_id = first.invoke_async("later", b'{"n": 7}')
    wait_until(lambda: functions_processes(tmp_path))
    first.stop()
    second = laptop()
    second.ensure_function(make("later", "def handler(e, c): print('did', e, c.aws_request_id)"))
    wait_until(lambda: f"did {{'n': 7}} {request_id}" in log_of(state, "later"))
    wait_until(lambda: _count(state) == 0)
    second.stop()


def _count(state: State) -> int:
    with state.transaction() as db:
        (count,) = db.execute("SELECT COUNT(*) FROM lambda_events").fetchone()
    return int(count)


def test_more_events_than_room_all_run_once(functions: Functions, make: Make, state: State) -> None:
    functions.ensure_function(make("busy", "def handler(e, c): print('event', e)", concurrency=2))
    for number in range(12):
        functions.invoke_async("busy", str(number).encode())
    wait_until(lambda: _count(state) == 0)
    seen = sorted(int(line.split()[1]) for line in log_of(state, "busy").splitlines() if line.startswith("event"))
    assert seen == list(range(12))


def test_an_event_of_a_function_whose_code_is_gone_waits_for_it(
    functions: Functions, make: Make, state: State, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.functions.asynchronous._UNREACHABLE_WAIT", 0.5)
    spec = make("gone", "def handler(e, c): print('did', e)")
    functions.ensure_function(spec)
    spec.code.rename(spec.code.with_suffix(".away"))
    functions.invoke_async("gone", b"5")
    wait_until(lambda: caplog.records)
    time.sleep(0.2)
    (failed,) = caplog.records
    assert "an event of gone failed" in failed.message and failed.exc_info
    spec.code.with_suffix(".away").rename(spec.code)
    wait_until(lambda: "did 5" in log_of(state, "gone"))
    wait_until(lambda: _count(state) == 0)


# The API


@pytest.fixture
def client(functions: Functions, serve: Callable[[Mapping[str, Service]], Clients]) -> Any:
    return serve({"lambda": LambdaService(functions, MAPPINGS)}).get("lambda", None)


QUEUE = "arn:aws:sqs:us-east-1:000000000000:work"
MAPPINGS = [EventSourceMapping(QUEUE, "mapped", 10, 0, 3, True)]


def test_invoke_takes_names_and_arns(functions: Functions, make: Make, client: Any) -> None:
    arn = functions.ensure_function(make("echo", ECHO))
    for name in ("echo", "echo:$LATEST", "000000000000:function:echo", arn, f"{arn}:$LATEST"):
        answer = client.invoke(FunctionName=name, Payload=b'{"a": 1}', LogType="Tail")
        assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
        assert "FunctionError" not in answer
        assert json.loads(answer["Payload"].read()) == {"a": 1}
        assert base64.b64decode(answer["LogResult"]).startswith(b"START RequestId: ")


def test_invoke_tells_a_function_error_and_passes_the_client_context(
    functions: Functions, make: Make, client: Any
) -> None:
    functions.ensure_function(make("raises", "def handler(e, c): raise ValueError(c.client_context.custom['k'])"))
    context = base64.b64encode(b'{"custom": {"k": "v"}}').decode()
    answer = client.invoke(FunctionName="raises", ClientContext=context)
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    assert json.loads(answer["Payload"].read())["errorMessage"] == "v"


def test_events_and_dry_runs_answer_without_a_result(
    functions: Functions, make: Make, client: Any, state: State
) -> None:
    functions.ensure_function(make("quiet", "def handler(e, c): print('ran', e)"))
    assert client.invoke(FunctionName="quiet", InvocationType="DryRun")["StatusCode"] == 204
    answer = client.invoke(FunctionName="quiet", InvocationType="Event", Payload=b"5")
    assert (answer["StatusCode"], answer["Payload"].read()) == (202, b"")
    wait_until(lambda: "ran 5" in log_of(state, "quiet"))


def test_what_lambda_refuses_is_refused(functions: Functions, make: Make, client: Any) -> None:
    functions.ensure_function(make("echo", ECHO))
    too_large = ("RequestEntityTooLargeException", 413)
    for arguments, expected in (
        ({"FunctionName": "nope"}, ("ResourceNotFoundException", 404)),
        ({"FunctionName": "echo", "Qualifier": "prod"}, ("ResourceNotFoundException", 404)),
        ({"FunctionName": "echo", "Payload": b"{"}, ("InvalidRequestContentException", 400)),
        ({"FunctionName": "echo", "Payload": b" " * 6291457}, too_large),
        ({"FunctionName": "echo", "Payload": b" " * 1048577, "InvocationType": "Event"}, too_large),
        ({"FunctionName": "echo", "TenantId": "t"}, ("InvalidParameterValueException", 400)),
    ):
        with pytest.raises(ClientError) as refused:
            client.invoke(**arguments)
        answer = refused.value.response
        assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == expected
        assert answer["Error"]["Message"]


def test_functions_and_mappings_can_be_read(functions: Functions, make: Make, client: Any) -> None:
    for number in range(3):
        functions.ensure_function(make(f"f{number}", ECHO, concurrency=number or None))
    functions.ensure_function(make("mapped", ECHO))
    pages = client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2})
    assert [item["FunctionName"] for page in pages for item in page["Functions"]] == ["f0", "f1", "f2", "mapped"]
    assert client.get_function(FunctionName="f1")["Concurrency"]["ReservedConcurrentExecutions"] == 1
    configuration = client.get_function_configuration(FunctionName="f0")
    assert (configuration["MemorySize"], configuration["Timeout"], configuration["Architectures"]) == (
        *(256, 20),
        ["arm64"],
    )
    (mapping,) = client.list_event_source_mappings(FunctionName="mapped")["EventSourceMappings"]
    assert (mapping["EventSourceArn"], mapping["ScalingConfig"]) == (QUEUE, {"MaximumConcurrency": 3})
    assert client.list_event_source_mappings(FunctionName="f0")["EventSourceMappings"] == []


def test_what_the_laptop_does_not_offer_says_so(client: Any) -> None:
    with pytest.raises(ClientError, match=r"UnknownOperationException.*The laptop does not offer ListLayers"):
        client.list_layers()
    with pytest.raises(ClientError, match="does not offer MasterRegion"):
        client.list_functions(MasterRegion="ALL")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"runtime": "nodejs22.x"}, "wants nodejs22.x"),
        ({"environment": {"AWS_REGION": "x"}}, "Reserved keys used in this request: AWS_REGION"),
        ({"name": "../up"}, "functionName"),
        ({"environment": {"A": "x" * 4096}}, "exceeded the 4KB limit"),
        ({"layers": (Path("x"),) * 6}, "more than 5 layers"),
        ({"memory_mb": 64}, "between 128 and 10240"),
        (
            {"asynchronous": AsyncConfig(on_failure="arn:aws:sns:us-east-1:000000000000:t")},
            "queues, functions and buses",
        ),
    ],
)
def test_a_function_that_lambda_would_not_create_is_refused(
    functions: Functions, make: Make, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(AwsError, match=message):
        functions.ensure_function(replace(make("refused", ECHO), **change))


@given(name=st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True))
def test_every_form_of_a_name_is_that_function(name: str) -> None:
    for form in ("{}", "{}:$LATEST", "function:{}", "000000000000:function:{}"):
        assert read_name(form.format(name), "us-east-1") == name
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    assert read_name(arn, "us-east-1") == name
    with pytest.raises(AwsError, match="Function not found"):
        read_name(arn, "eu-west-1")


# Queues that call functions


@dataclass(frozen=True)
class FakeMessage:
    message_id: str
    body: str
    receipt_handle: str = "handle"
    md5_of_body: str = "md5"
    attributes: Mapping[str, str] = field(default_factory=lambda: {"ApproximateReceiveCount": "1"})
    message_attributes: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: {
            "n": {"DataType": "Number", "StringValue": "1"},
            "b": {"DataType": "Binary", "BinaryValue": b"\x00"},
        }
    )


class FakeQueues:
    """Hands every message out once."""

    def __init__(self, bodies: list[str]) -> None:
        self.waiting = [FakeMessage(str(n), body, f"handle-{n}") for n, body in enumerate(bodies)]
        self.deleted: list[str] = []
        self.let_gone: list[str] = []
        self._lock = threading.Lock()

    def receive(
        self, queue_arn: str, max_messages: int, wait_seconds: float, visibility: None, stopped: Any, hold: bool
    ) -> list[FakeMessage]:
        with self._lock:
            taken, self.waiting = self.waiting[:max_messages], self.waiting[max_messages:]
        if not taken:
            stopped.wait(min(wait_seconds, 0.02))
        return taken

    def delete(self, queue_arn: str, receipt_handles: Any) -> None:
        self.deleted += receipt_handles

    def let_go(self, queue_arn: str, receipt_handles: Any) -> None:
        self.let_gone += receipt_handles


class FakeFunction:
    region = "us-east-1"

    def __init__(self, answer: Callable[[list[dict[str, Any]]], Invocation]) -> None:
        self._answer = answer
        self.batches: list[list[dict[str, Any]]] = []

    def invoke(self, name_or_arn: str, payload: bytes) -> Invocation:
        records = json.loads(payload)["Records"]
        self.batches.append(records)
        return self._answer(records)


def returns(result: Any) -> Callable[[list[dict[str, Any]]], Invocation]:
    return lambda records: Invocation(json.dumps(result).encode(), None, "")


def work(mapping: EventSourceMapping, bodies: list[str], function: FakeFunction) -> FakeQueues:
    queues = FakeQueues(bodies)
    poller = Poller(mapping, queues, function)
    poller.start()
    wait_until(lambda: not queues.waiting and (function.batches or queues.deleted))
    time.sleep(0.15)
    poller.stop()
    return queues


def test_a_record_looks_as_lambda_makes_it_and_a_success_is_deleted() -> None:
    function = FakeFunction(returns(None))
    queues = work(MAPPINGS[0], ["hello"], function)
    assert function.batches == [
        [
            {
                "messageId": "0",
                "receiptHandle": "handle-0",
                "body": "hello",
                "attributes": {"ApproximateReceiveCount": "1"},
                "messageAttributes": {
                    "n": {"stringValue": "1", "stringListValues": [], "binaryListValues": [], "dataType": "Number"},
                    "b": {"binaryValue": "AA==", "stringListValues": [], "binaryListValues": [], "dataType": "Binary"},
                },
                "md5OfBody": "md5",
                "eventSource": "aws:sqs",
                "eventSourceARN": QUEUE,
                "awsRegion": "us-east-1",
            }
        ]
    ]
    assert queues.deleted == ["handle-0"]


@pytest.mark.parametrize(
    ("report", "deleted"),
    [
        ({"batchItemFailures": [{"itemIdentifier": "1"}]}, ["handle-0", "handle-2"]),
        ({"batchItemFailures": []}, ["handle-0", "handle-1", "handle-2"]),
        ({}, ["handle-0", "handle-1", "handle-2"]),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, []),
        ({"batchItemFailures": [{"itemIdentifier": "other"}]}, []),
        ({"batchItemFailures": [{"wrong": "1"}]}, []),
        ("text", []),
    ],
)
def test_reported_failures_stay_in_the_queue(report: Any, deleted: list[str]) -> None:
    assert work(MAPPINGS[0], ["a", "b", "c"], FakeFunction(returns(report))).deleted == deleted


def test_reports_count_only_where_the_mapping_asks_for_them() -> None:
    mapping = replace(MAPPINGS[0], report_batch_item_failures=False)
    function = FakeFunction(returns({"batchItemFailures": [{"itemIdentifier": "0"}]}))
    assert work(mapping, ["a"], function).deleted == ["handle-0"]


def test_a_function_error_leaves_all() -> None:
    assert work(MAPPINGS[0], ["a", "b"], FakeFunction(lambda _: Invocation(b"{}", "Unhandled", ""))).deleted == []


def test_a_window_fills_a_batch_beyond_one_receive() -> None:
    mapping = replace(MAPPINGS[0], batch_size=25, window_seconds=1, max_concurrency=None)
    function = FakeFunction(returns(None))
    queues = FakeQueues([str(n) for n in range(25)])
    poller = Poller(mapping, queues, function)
    poller._threads = poller._threads[:1]
    poller.start()
    wait_until(lambda: len(queues.deleted) == 25)
    poller.stop()
    assert [len(batch) for batch in function.batches] == [25]


def test_a_batch_over_six_megabytes_is_more_than_one_event() -> None:
    function = FakeFunction(returns(None))
    queues = work(MAPPINGS[0], ["x" * (1 << 20)] * 10, function)
    assert sorted(len(batch) for batch in function.batches) == [5, 5]
    assert len(queues.deleted) == 10


def test_what_the_filter_drops_is_deleted_unseen() -> None:
    mapping = replace(MAPPINGS[0], filters=lambda record: record["body"] == {"keep": True})
    function = FakeFunction(returns(None))
    queues = work(mapping, ['{"keep": true}', '{"keep": false}', "text"], function)
    assert [record["messageId"] for batch in function.batches for record in batch] == ["0"]
    assert sorted(queues.deleted) == ["handle-0", "handle-1", "handle-2"]


def test_a_body_that_cannot_be_read_as_json_is_text_to_the_filter() -> None:
    mapping = replace(MAPPINGS[0], filters=lambda record: isinstance(record["body"], str))
    function = FakeFunction(returns(None))
    assert work(mapping, ["[" * 100_000], function).deleted == ["handle-0"]
    assert len(function.batches) == 1


def test_nothing_that_a_batch_does_ends_a_poller(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("local.functions.mapping._AFTER_ERROR_SECONDS", 0.01)

    def answer(records: list[dict[str, Any]]) -> Invocation:
        if records[0]["body"] == "bad":
            raise FileNotFoundError("the folder of its code")
        return Invocation(b"{}", None, "")

    mapping = replace(MAPPINGS[0], batch_size=1)
    queues = work(mapping, [*["bad"] * 5, "good"], FakeFunction(answer))
    assert queues.deleted == ["handle-5"]
    assert sorted(queues.let_gone) == [f"handle-{n}" for n in range(6)]
    failed = [record for record in caplog.records if "the folder of its code" in record.message]
    assert len(failed) == 5 and all(record.exc_info for record in failed)


def test_a_mapping_that_lambda_refuses_is_refused() -> None:
    with pytest.raises(AwsError, match="Maximum batch window"):
        replace(MAPPINGS[0], batch_size=11)
    with pytest.raises(AwsError, match="MaximumConcurrency"):
        replace(MAPPINGS[0], max_concurrency=1)

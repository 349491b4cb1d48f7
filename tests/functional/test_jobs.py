"""Jobs within Bedrock's quota: how many run at once, who comes next, and how every end is told."""

import json
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from samples.tour import synthesize
from tests.functional.conftest import laptop_on
from tests.user import User

pytestmark = pytest.mark.slow
SLOTS = 3
JOB_SECONDS = 2.0
LONG = "The tenant keeps three goats in the garden, and the landlord counts them. " * 60


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    assembly = synthesize(tmp_path_factory.mktemp("assembly"), max_jobs=SLOTS)
    laptop = laptop_on(assembly, tmp_path_factory.mktemp("laptop"), job_seconds=JOB_SECONDS, max_concurrent_jobs=SLOTS)
    try:
        yield User(laptop.start())
    finally:
        laptop.stop()


def local(user: User, path: str, body: Any = None, method: str | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{user.outputs['AwsEndpointUrl']}/_local/{path}", data, method=method)
    with urllib.request.urlopen(request) as done:
        return json.loads(done.read() or b"null")


def calls(user: User) -> Counter[tuple[str, str]]:
    """Of Bedrock, by operation and outcome."""
    found = local(user, "calls?service=bedrock")["calls"]
    counted = Counter[tuple[str, str]]()
    for one in found:
        counted[one["operation"], one["outcome"]] += one["count"]
    return counted


def dropped(user: User, *keys: str, seconds: float = 60) -> dict[str, dict[str, Any]]:
    for key in keys:
        user.drop(key, f"{key}: {LONG}".encode())
    return {key: user.settled(key, seconds=seconds) for key in keys}


def running(user: User, key: str) -> str | None:
    """The execution of the file."""
    states, asset = user.client("stepfunctions"), user.asset(key)
    (machine,) = states.list_state_machines()["stateMachines"]
    found = states.list_executions(stateMachineArn=machine["stateMachineArn"], statusFilter="RUNNING")["executions"]
    return next((one["executionArn"] for one in found if asset and asset["asset_id"] in one["name"]), None)


def test_no_more_jobs_run_than_there_are_slots_and_the_slots_are_busy(user: User) -> None:
    before, keys = calls(user), [f"drop/{number:02}.txt" for number in range(24)]
    started = time.monotonic()
    ended = dropped(user, *keys)
    seconds = time.monotonic() - started
    assert {asset["status"] for asset in ended.values()} == {"indexed"}
    made = calls(user) - before
    assert made.pop(("StartAsyncInvoke", "ok")) == len(keys)
    assert made.pop(("GetAsyncInvoke", "ok")) <= 3 * len(keys)
    assert not made, made  # nobody was refused for want of room
    print(f"{len(keys) * JOB_SECONDS / SLOTS / seconds:.0%} busy")


@pytest.mark.parametrize("after_calls", range(1, 16))
def test_a_jobs_function_that_dies_loses_no_file(user: User, after_calls: int) -> None:
    local(user, "faults", {"fault": "crash", "function": "*Jobs*", "after_calls": after_calls, "next": 1})
    keys = [f"crash/{after_calls}/{number}.txt" for number in range(5)]
    assert {asset["status"] for asset in dropped(user, *keys, seconds=200).values()} == {"indexed"}
    local(user, "faults", method="DELETE")


def test_an_arrival_that_is_never_told_is_seen_all_the_same(user: User) -> None:
    local(user, "faults", {"fault": "fail", "service": "stepfunctions", "operation": "SendTaskSuccess", "next": 8})
    assert dropped(user, "lost arrival.txt")["lost arrival.txt"]["status"] == "indexed"


def test_what_is_overwritten_before_its_turn_ends_and_holds_no_slot(user: User) -> None:
    keys = [f"turn/{number}.txt" for number in range(3 * SLOTS)]
    for key in keys:
        user.drop(key, f"{key}: {LONG}".encode())
    for key in keys:
        user.until(lambda key=key: running(user, key) is not None)  # type: ignore[misc]
    before = {key: user.asset(key) for key in keys}
    for key in keys:
        user.drop(key, b"only this")
    for key in keys:
        user.until(lambda key=key: (user.asset(key) or {})["attempt"] == 1)  # type: ignore[misc]
        assert user.settled(key)["segment_count"] == 1, before[key]
        user.until(lambda key=key: running(user, key) is None)  # type: ignore[misc]


def test_an_execution_that_was_stopped_is_told_and_gives_its_slot_back(user: User) -> None:
    keys = [f"stopped/{number}.txt" for number in range(SLOTS + 1)]
    for key in keys:
        user.drop(key, f"{key}: {LONG}".encode())
    states = user.client("stepfunctions")
    for key in keys:
        user.until(lambda key=key: running(user, key) is not None)  # type: ignore[misc]
    for key in keys[:SLOTS]:
        states.stop_execution(executionArn=running(user, key), cause="somebody pulled the plug")
    for key in keys[:SLOTS]:
        asset = user.settled(key)
        assert (asset["status"], asset["reason"]) == ("failed", "its execution ended ABORTED"), asset
    assert user.settled(keys[SLOTS])["status"] == "indexed"
    assert dropped(user, "after.txt")["after.txt"]["status"] == "indexed"


def test_a_drop_leaves_the_model_room_for_searches(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Thirty requests a minute for ingestion, three in six seconds, and none of them is refused by the model."""
    assembly = synthesize(tmp_path_factory.mktemp("assembly"), requests_per_minute=60, ingest_percent=50)
    laptop = laptop_on(assembly, tmp_path_factory.mktemp("laptop"), requests_per_minute=60)
    try:
        user = User(laptop.start())
        keys = [f"{number}.txt" for number in range(9)]
        for key in keys:
            user.drop(key, f"the goats of pen {key}".encode())
        started = time.monotonic()
        for _ in range(8):
            user.search("goats")
        assert {user.settled(key, seconds=120)["status"] for key in keys} == {"indexed"}
        assert time.monotonic() - started > 5
        assert {outcome for _, outcome in calls(user)} == {"ok"}
    finally:
        laptop.stop()

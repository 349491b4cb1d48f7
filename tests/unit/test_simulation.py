"""The model of scale, where its answer can be reckoned by hand."""

import pytest

from infra import waits
from lambdas.ingest import pauses
from simulation.clock import Clock, Rate, Room, Signal
from simulation.model import MIX, Limits, Times, files, hour, long_text, picture, short_text
from simulation.pipeline import calls_of, simulate

QUICK = Times(job_text=0)


def test_every_file_comes_to_an_end_and_is_embedded_once() -> None:
    found = simulate(files(MIX, 500), Times(), Limits())
    assert len(found.times) == found.files == 500
    jobs = found.calls["StartAsyncInvoke"]
    pages = sum(piece.file.extent for piece in found.pieces if piece.kind.family == "pdf")
    others = sum(piece.kind.family != "pdf" for piece in found.pieces) - jobs
    assert found.calls["InvokeModel"] == pages + others
    assert found.calls["TransactWriteItems"] == 2 * 500 + jobs


def test_jobs_take_turns_so_that_none_is_refused_and_each_is_asked_for_twice() -> None:
    found = simulate(files({long_text: 1}, 300), QUICK, Limits())
    assert found.calls["StartAsyncInvoke"] == 300 and not found.calls["jobs refused"]
    assert found.calls["GetAsyncInvoke"] == 600 and found.calls["transitions"] == found.calls["job transitions"] == 3300
    assert 300 / 30 * 9 < found.seconds < 300 / 30 * 9 * 1.25


def test_a_quota_below_the_slots_refuses_some_jobs_which_come_again() -> None:
    found = simulate(files({long_text: 1}, 60), QUICK, Limits(bedrock_jobs=5, max_jobs=10))
    assert len(found.times) == 60 and found.calls["jobs refused"] > 0


def test_what_is_over_the_share_of_requests_waits_for_it() -> None:
    found = simulate(files({picture: 1}, 300), QUICK, Limits(requests_per_minute=125))  # 10 in six seconds
    assert len(found.times) == 300 and found.calls["throttled"] > 0
    assert found.calls["SendMessage"] == found.calls["received"] - 300
    assert found.seconds > 29 * 6


def test_the_limit_that_binds_is_the_one_that_helps_when_it_is_raised() -> None:
    few, more = (simulate(files({long_text: 1}, 300), QUICK, Limits(bedrock_jobs=n, max_jobs=n)) for n in (30, 60))
    assert max(few.waited, key=lambda name: few.waited[name].seconds) == "max_jobs"
    assert more.seconds < 0.6 * few.seconds


def test_a_job_that_has_no_turn_within_its_days_fails_and_says_so() -> None:
    found = simulate(files({hour: 1}, 6), Times(job=4 * 86_400, job_sound=0), Limits(bedrock_jobs=1, max_jobs=1))
    assert [piece.ended for piece in found.pieces].count("it had no turn within 10 days") == 3
    assert len(found.times) == 3


def test_a_model_says_the_same_for_the_same_seed() -> None:
    one, other = (simulate(files(MIX, 200), Times(), Limits()) for _ in range(2))
    assert one.times == other.times and one.calls == other.calls and one.units == other.units


@pytest.mark.parametrize(
    ("vectors", "dimension", "calls"), [(0, 1024, ()), (480, 256, (480,)), (1200, 256, (500, 500, 200))]
)
def test_vectors_go_into_calls_by_the_rule_of_a_batch(vectors: int, dimension: int, calls: tuple[int, ...]) -> None:
    assert calls_of(vectors, dimension) == calls
    assert max(calls_of(5_000, 3072)) < 500  # there the bytes of a call are what binds


def test_short_texts_need_no_job() -> None:
    found = simulate(files({short_text: 1}, 20), QUICK, Limits())
    assert not found.calls["StartExecution"] and found.calls["PutVectors"] == found.calls["Batch"]


def test_waits_grow_to_their_limit() -> None:
    seconds, seen = waits.FIRST_SECONDS, []
    for _ in range(6):
        seen.append(seconds)
        seconds = waits.longer(seconds)
    assert seen == [15, 30, 60, 120, 240, 300]
    assert [waits.TASK.pause(tries) for tries in range(1, 6)] == [5, 10, 20, 40, None]
    assert all(0 <= (waits.BUSY.pause(tries) or 0) <= 300 for tries in range(1, 301)) and waits.BUSY.pause(301) is None
    assert all(450 <= pauses.until_room(waited) <= 900 for waited in (8, 20, 2000))
    assert [pauses.until_retry(receives) for receives in (1, 2, 3, 9)] == [10, 20, 40, 720]


def test_a_clock_runs_what_is_due_in_its_order() -> None:
    clock, seen = Clock(), list[tuple[float, str]]()
    rate, room, signal = Rate(clock, 2), Room(clock, 1), Signal(clock)

    def process(name: str, seconds: float):  # type: ignore[no-untyped-def]
        yield from room.enter()
        yield seconds
        room.leave()
        yield rate.turn()
        seen.append((clock.now, name))
        signal.tell(name)

    def waiting():  # type: ignore[no-untyped-def]
        told = yield signal
        seen.append((clock.now, told))

    for one in (waiting(), process("a", 2), process("b", 1)):
        clock.start(one)
    clock.run()
    assert seen == [(2, "a"), (2, "a"), (3, "b")]
    assert room.waited.seconds == 2 and not signal.tell("again")

"""Whoever dies when: an execution that waits for a job stands in the queue or has a slot whose time ends."""

from collections.abc import Iterator

import pytest

from lambdas.jobs.slots import Slots, Waiting
from lambdas.shared.assets import Work
from lambdas.shared.table import Table
from tests.functional.world import TABLE, Services, services_on

WORK = Work("a" * 20, "0" * 16, 0)
FIRST, SECOND = Waiting(WORK, "1", "first token"), Waiting(WORK, "1", "second token")


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with services_on(tmp_path_factory.mktemp("slots")) as made:
        yield made


@pytest.fixture
def slots(services: Services, request: pytest.FixtureRequest) -> Slots:
    services.dynamodb.ensure_table(request.node.name, TABLE)
    made = Slots(Table(services.outside["dynamodb"], request.node.name), most=2, seconds=60)
    assert made.free() == 2
    return made


def taken(slots: Slots, waiting: Waiting) -> int:
    slots.wait(waiting)
    until = slots.take(waiting)
    assert until is not None
    return until


def test_a_slot_is_had_once(slots: Slots) -> None:
    taken(slots, FIRST)
    assert slots.oldest() is None and slots.free() == 1
    assert slots.take(FIRST) is None


def test_there_are_no_more_than_that(slots: Slots) -> None:
    for number in range(2):
        taken(slots, Waiting(Work("b" * 20, "0" * 16, number), str(number), "token"))
    slots.wait(FIRST)
    assert slots.free() == 0 and slots.take(FIRST) is None
    assert slots.oldest() == FIRST


def test_who_is_followed_by_another_can_do_nothing_to_its_slot(slots: Slots, services: Services) -> None:
    """The first one is slow, not dead: it ends after its execution has asked again."""
    first = taken(slots, FIRST)
    services.clock.ahead += 1
    second = taken(slots, SECOND)
    slots.release(WORK, first)
    slots.keep(WORK, first)
    services.clock.ahead += 31
    assert list(slots.expired()) == [(WORK, second)]


def test_what_was_taken_meanwhile_is_not_given_back(slots: Slots, services: Services) -> None:
    """A sweep saw the end of a slot that has another end by now."""
    first = taken(slots, FIRST)
    services.clock.ahead += 31
    assert list(slots.expired()) == [(WORK, first)]
    second = taken(slots, SECOND)
    slots.give_back(FIRST, first)
    assert slots.oldest() is None and slots.free() == 1
    services.clock.ahead += 31
    slots.give_back(SECOND, second)
    assert slots.oldest() == SECOND and slots.free() == 2


def test_a_job_that_runs_keeps_its_slot_until_it_ends(slots: Slots, services: Services) -> None:
    slots.keep(WORK, taken(slots, FIRST))
    services.clock.ahead += 31
    assert not list(slots.expired())
    slots.release(WORK)
    assert slots.free() == 2

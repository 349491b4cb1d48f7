"""Whatever happens in whatever order, in the end the index holds exactly what lies in the bucket."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from lambdas.index.index import EndedJob
from lambdas.shared.assets import Work, asset_id_of
from tests.functional.world import (
    EMPTY,
    REFUSED,
    Action,
    Doorbell,
    Services,
    Watch,
    World,
    coloured,
    crash,
    long,
    refusal,
    services_on,
    short,
)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with services_on(tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture
def world(services: Services) -> Iterator[World]:
    made = World(services)
    yield made
    made.close()


# Anything in any order

KEYS = st.sampled_from(["a.txt", "b/b.txt"])
CONTENTS = st.one_of(
    st.sampled_from([short("the heron"), short("the stork"), coloured("red"), coloured("green")]),
    st.builds(long, st.sampled_from(["river", "reeds"]), st.text("+-", min_size=1, max_size=4)),
    st.sampled_from([EMPTY, REFUSED]),
)
USER = st.one_of(
    st.tuples(st.just("put"), KEYS, CONTENTS),
    st.tuples(st.sampled_from(["delete", "restore", "put_the_same_again", "retry", "turn"]), KEYS),
    st.tuples(st.sampled_from(["bring_back", "expire", "forget"]), KEYS),
    st.permutations(["a.txt", "b/b.txt"]).map(lambda keys: ("rename", *keys)),
)
OTHERS = st.tuples(st.sampled_from(["answer_all", "finish_all", "settle_key"]), KEYS)
CALLS = st.one_of(st.integers(1, 9), st.integers(1, 26))  # most invocations are short


class Plan(NamedTuple):
    """What others do at a call of one invocation, and whether its process dies at the next."""

    call: int
    moves: Sequence[Any]
    dies: bool


PLANS = st.one_of(
    st.none(),
    st.builds(Plan, CALLS, st.just(()), st.just(True)),
    st.builds(Plan, CALLS, st.lists(st.one_of(USER, OTHERS), min_size=1, max_size=5), st.booleans()),
)


class Turn(NamedTuple):
    """One step: somebody's move, or an invocation with what happens during it; `which` says of what is waiting."""

    name: str
    which: int
    plan: Plan | None


WHICH = st.integers(0, 5)
TURNS = st.one_of(
    USER,
    USER,
    OTHERS,
    st.builds(Turn, st.just("ingest"), WHICH, PLANS),
    st.builds(Turn, st.just("ingest"), WHICH, PLANS),
    st.builds(Turn, st.just("index"), WHICH, PLANS),
    st.builds(Turn, st.just("index"), WHICH, PLANS),
    st.builds(Turn, st.sampled_from(["ingest_a_batch", "an_event_comes_again", "bedrock_is_busy"]), WHICH, st.none()),
)


class AnyOrder(RuleBasedStateMachine):
    """What users, S3, SQS, Step Functions and a dying process can do; the model is the world's.

    It is one rule, for of several Hypothesis would leave some out in each run.
    """

    services: Services

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.services)
        self.at_once = True

    @initialize(at_once=st.booleans())
    def doorbells_come_in_batches_in_the_end(self, at_once: bool) -> None:
        self.at_once = at_once

    @rule(turn=TURNS)
    def turn(self, turn: Any) -> None:
        if isinstance(turn, Turn):
            getattr(self, turn.name)(turn.which, self.actions(turn.plan))
        else:
            self.do(turn)

    def ingest(self, which: int, plan: Mapping[int, Action]) -> None:
        if bells := self.world.bells:
            self.world.answer(bells[which % len(bells)], plan=plan)

    def ingest_a_batch(self, which: int, plan: Mapping[int, Action]) -> None:
        if bells := self.world.bells[which:10]:
            self.world.answer(*bells)

    def index(self, which: int, plan: Mapping[int, Action]) -> None:
        """A job whose index step may still fail without being given up; where there is none, a doorbell."""
        if running := [one for one in self.world.running() if one.tries < 3]:
            self.world.finish(running[which % len(running)], plan=plan)
        else:
            self.ingest(which, plan)

    def an_event_comes_again(self, which: int, plan: Mapping[int, Action]) -> None:
        if events := self.world.events:
            self.world.ring_again(events[which % len(events)])

    def bedrock_is_busy(self, which: int, plan: Mapping[int, Action]) -> None:
        self.world.bedrock.busy = 1

    @invariant()
    def nothing_wrong_can_be_found(self) -> None:
        self.tell()
        self.world.look()

    def teardown(self) -> None:
        self.world.bedrock.busy = 0
        note("all becomes quiet")
        try:
            self.world.settle(self.at_once)
            self.world.check()
        finally:
            self.tell()
            self.world.close()

    def tell(self) -> None:
        """Not at once: the functions' threads cannot."""
        for line in self.world.story:
            note(f"  {line}")
        self.world.story.clear()

    def actions(self, plan: Plan | None) -> dict[int, Action]:
        if plan is None:
            return {}

        def act() -> None:
            for move in plan.moves:
                self.do(move)

        if not plan.moves:
            return {plan.call: crash}
        return {plan.call: act, **({plan.call + 1: crash} if plan.dies else {})}

    def do(self, move: Any) -> None:
        name, key, *more = move
        self.world.story.append(f"    {name} {key} {more or ''}")
        getattr(self.world, name)(key, *more)


@pytest.mark.timeout(900)  # to find the shortest way to a failure takes minutes
def test_in_any_order_the_index_ends_as_the_bucket_is(services: Services) -> None:
    class Here(AnyOrder):
        pass

    Here.services = services
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


# A thousand segments


def test_a_thousand_vectors_go_in_two_calls(world: World) -> None:
    """Neither an overwrite nor a delete looks for what is there: the record says which keys there may be."""
    for key in ("overwritten.txt", "deleted.txt"):
        world.put(key, long(key, "+" * 1000))
    world.settle()
    world.check()
    assert len(world.vectors()) == 2000

    world.put("overwritten.txt", short("the heron"))
    with world.counted() as overwriting:
        world.settle()
    world.check()
    assert overwriting["DeleteVectors"] == 2 and overwriting["PutVectors"] == 1

    world.delete("deleted.txt")
    with world.counted() as deleting:
        world.settle()
    world.check()
    assert deleting["DeleteVectors"] == 2 and deleting["PutVectors"] == 0

    for calls in (overwriting, deleting):
        assert not calls.keys() & {"ListVectors", "QueryVectors", "GetVectors", "Scan"}
        assert sum(calls.values()) < 30, calls


# Old events


def test_every_event_of_the_past_changes_nothing(world: World) -> None:
    """All of them again under new ids, the oldest last; then once more, between overwrites."""
    keys = [f"{n}.txt" for n in range(4)]
    contents = [short("one"), long("two", "+-+"), EMPTY, long("four", "--"), long("five", "++")]
    for turn, content in enumerate(contents):
        for key in keys[turn % 2 :]:
            world.put(key, content)
        world.delete(keys[turn % 4])
        world.settle()
    world.restore(keys[3])
    world.settle()
    world.check()
    vectors, heads = world.vectors(), world.heads()

    past = list(world.events)
    for event in reversed(past):
        world.ring_again(event)
        world.answer(world.bells[-1])
        world.look()
    assert not world.bells and not world.running()
    assert (world.vectors(), world.heads()) == (vectors, heads)
    world.check()

    for turn, event in enumerate(reversed(past)):
        if turn % 3 == 0:
            world.put(keys[turn % 4], contents[turn % 5])
        world.ring_again(event)
        world.answer(world.bells[-1])
        world.look()
    world.settle()
    world.check()
    vectors, heads = world.vectors(), world.heads()
    for event in reversed(world.events):
        world.ring_again(event)
    world.settle()
    assert (world.vectors(), world.heads()) == (vectors, heads)


# A file's life

LIVES: dict[str, Sequence[Any]] = {
    "overwritten": [("put", "a", coloured("red")), ("put", "a", coloured("green")), ("put", "a", short("the heron"))],
    "deleted and made again": [("put", "a", coloured("red")), ("delete", "a"), ("put", "a", coloured("red"))],
    "renamed": [("put", "a", coloured("red")), ("put", "b", long("reeds", "+-+")), ("rename", "a", "b")],
    "renamed and back": [("put", "a", coloured("red")), ("rename", "a", "b"), ("rename", "b", "a")],
    "marked": [("put", "a", coloured("red")), ("delete", "a"), ("restore", "a"), ("delete", "a")],
    "one version back": [("put", "a", coloured("red")), ("put", "a", long("reeds", "++")), ("restore", "a")],
    "an old version again": [("put", "a", coloured("red")), ("put", "a", short("the heron")), ("bring_back", "a")],
    "back from the dead": [("put", "a", coloured("red")), ("delete", "a"), ("forget", "b"), ("bring_back", "a")],
    "without its past": [("put", "a", coloured("red")), ("put", "a", long("reeds", "+-")), ("forget", "a")],
    "expired": [("put", "a", coloured("red")), ("expire", "a")],
    "expired and forgotten": [("put", "a", long("reeds", "+-")), ("expire", "a"), ("forget", "a")],
    "expired and back": [("put", "a", coloured("red")), ("expire", "a"), ("restore", "a"), ("turn", "a")],
}


@pytest.mark.parametrize("steps", LIVES.values(), ids=LIVES)
def test_whatever_becomes_of_a_file_the_index_the_list_and_what_is_derived_follow(
    world: World, steps: Sequence[Any]
) -> None:
    """Step by step; all events at the end, the newest first; all of them twice. Each time under keys of its own."""

    def live(way: str, is_seen: bool = False) -> None:
        for name, *keys in steps:
            getattr(world, name)(*(f"{way}/{key}" if isinstance(key, str) else key for key in keys))
            if is_seen:
                world.settle()
                world.check()

    live("step by step", is_seen=True)
    live("backwards")
    for bell in reversed(list(world.bells)):
        world.answer(bell)
        world.look()
    world.settle()
    world.check()
    live("twice")
    world.settle(at_once=False)
    for event in world.events:
        world.ring_again(event)
    world.settle()
    world.check()


def test_a_picture_that_had_to_wait_leaves_nothing(world: World) -> None:
    """Bedrock had no room after its thumbnail was made: who made it works on it no more."""
    world.put("a", coloured("red"))
    world.bedrock.busy = 1
    world.answer(world.bells[0])
    world.settle()
    world.delete("a")
    world.settle()
    world.check()


def test_a_picture_that_others_overwrote_meanwhile_leaves_nothing(world: World) -> None:
    """At each call of the function that embeds it."""

    def put_another(key: str) -> None:
        world.put(key, coloured("green"))
        world.settle_key(key)

    for call in count(1):
        key = f"{call}.png"
        world.put(key, coloured("red"))
        watch = world.answer(world.bells_of(key)[0], plan={call: partial(put_another, key)})
        world.look()
        if watch.count < call:
            break
    world.settle()
    world.check()


# Each single call

FIRST, SECOND = long("first", "+-+"), long("second", "+++-")
Scene = Callable[[World, str], None]
Step = Callable[[World, str, Mapping[int, Action]], Watch]


def nothing(world: World, key: str) -> None:
    pass


def create(world: World, key: str) -> None:
    world.put(key, FIRST)


def index_first(world: World, key: str) -> None:
    world.put(key, FIRST)
    world.settle_key(key)


def overwrite(world: World, key: str) -> None:
    index_first(world, key)
    world.put(key, SECOND)


def overwrite_by_a_short_one(world: World, key: str) -> None:
    index_first(world, key)
    world.put(key, short("short"))


def delete(world: World, key: str) -> None:
    index_first(world, key)
    world.delete(key)


def retry(world: World, key: str) -> None:
    index_first(world, key)
    world.retry(key)


def turn(world: World, key: str) -> None:
    """It gets the other profile."""
    index_first(world, key)
    world.turn(key)


def put_another(world: World, key: str) -> None:
    world.put(key, SECOND)


def remove(world: World, key: str) -> None:
    world.delete(key)


def undo(world: World, key: str) -> None:
    """What was before the newest version, or before the delete, is current again."""
    world.restore(key)


def remove_and_undo(world: World, key: str) -> None:
    """The delete is seen before it is undone."""
    world.delete(key)
    world.settle_key(key)
    world.restore(key)


def turn_it(world: World, key: str) -> None:
    world.turn(key)


def turn_and_turn_back(world: World, key: str) -> None:
    world.turn(key)
    world.settle_key(key)
    world.turn(key)


def ask_again(world: World, key: str) -> None:
    world.retry(key)


def ingest(world: World, key: str, plan: Mapping[int, Action]) -> Watch:
    return world.answer(world.bells_of(key)[0], plan=plan)


def index(world: World, key: str, plan: Mapping[int, Action]) -> Watch:
    world.answer(world.bells_of(key)[0])
    (execution,) = world.running(key)
    return world.finish(execution, plan=plan)


def named(*cases: tuple[Scene, Step, Scene]) -> list[Any]:
    """Parameters with readable names."""
    return [pytest.param(*case, id="-".join(part.__name__ for part in case)) for case in cases]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scene", "step", "afterwards"),
    named(
        (create, ingest, nothing),
        (create, index, nothing),
        (overwrite, ingest, nothing),
        (overwrite, ingest, undo),
        (overwrite, index, nothing),
        (overwrite_by_a_short_one, ingest, nothing),
        (overwrite_by_a_short_one, ingest, undo),
        (delete, ingest, nothing),
        (delete, ingest, undo),
        (turn, ingest, nothing),
        (turn, index, nothing),
        (turn, index, turn_it),
    ),
)
def test_a_process_that_dies_after_any_call_leaves_nothing_wrong(
    world: World, scene: Scene, step: Step, afterwards: Scene
) -> None:
    """For each call a file of its own, which has its number as a name; all becomes quiet in the end."""
    for call in count(1):
        key = f"{call}.txt"
        scene(world, key)
        watch = step(world, key, {call: crash})
        world.look()
        afterwards(world, key)
        if not watch.is_crashed:
            break
    world.settle()
    world.check()


BETWEEN = (
    (create, index, put_another),
    (create, index, remove),
    (create, index, remove_and_undo),
    (create, index, ask_again),
    (overwrite, index, undo),
    (delete, ingest, undo),
    (create, index, turn_it),
    (create, index, turn_and_turn_back),
    (turn, ingest, turn_it),
    (turn, index, turn_it),
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scene", "step", "meanwhile"),
    named(
        *BETWEEN,
        (overwrite, ingest, undo),
        (overwrite_by_a_short_one, ingest, put_another),
        (overwrite_by_a_short_one, ingest, undo),
        (delete, ingest, put_another),
        (retry, index, put_another),
    ),
)
def test_what_others_do_in_full_at_any_call_ends_well(world: World, scene: Scene, step: Step, meanwhile: Scene) -> None:
    interleave(world, scene, step, meanwhile)


@pytest.mark.slow
@pytest.mark.parametrize(("scene", "step", "meanwhile"), named(*BETWEEN))
def test_what_others_do_in_full_before_a_process_dies_ends_well(
    world: World, scene: Scene, step: Step, meanwhile: Scene
) -> None:
    interleave(world, scene, step, meanwhile, then={1: crash})


def interleave(
    world: World, scene: Scene, step: Step, meanwhile: Scene, then: Mapping[int, Action] | None = None
) -> None:
    """For each call a file of its own, as above; `then` says what happens so many calls later."""
    for call in count(1):
        key = f"{call}.txt"
        scene(world, key)

        def act(key: str = key) -> None:
            meanwhile(world, key)
            world.settle_key(key)

        later = {call + calls: action for calls, action in (then or {}).items()}
        watch = step(world, key, {call: act, **later})
        if watch.count < call:
            break
    world.settle()
    world.check()


# What is left when a message is lost, too


def half_way(world: World, key: str) -> None:
    """Its vectors are put, then the index function dies."""
    world.put(key, FIRST)
    world.answer(world.bells_of(key)[0])
    puts = world.calls["PutVectors"]

    def die() -> None:
        if world.calls["PutVectors"] > puts:
            crash()

    assert world.finish(world.running(key)[0], plan=dict.fromkeys(range(1, 60), die)).is_crashed


def overwrite_half_way(world: World, key: str) -> None:
    half_way(world, key)
    world.put(key, short("short"))


def delete_half_way(world: World, key: str) -> None:
    half_way(world, key)
    world.delete(key)


def retry_half_way(world: World, key: str) -> None:
    half_way(world, key)
    world.retry(key)


@pytest.mark.slow
@pytest.mark.parametrize("scene", [overwrite_half_way, delete_half_way, retry_half_way, delete])
def test_whoever_dies_and_whose_message_is_lost_leaves_no_vectors_that_no_list_tells_of(
    world: World, scene: Scene
) -> None:
    """Here at any call; of the lost message's own work nothing is left to do but what the list of the retired says."""
    for call in count(1):
        key = f"{call}.txt"
        scene(world, key)
        watch = ingest(world, key, {call: crash})
        world.bells.clear()
        world.look()
        retired, following = world.ingest.catalog.retired(None, 100)
        assert following is None
        for found in {found for found, _ in retired}:
            world.bells.append(Doorbell({"key": found}))
            world.answer(world.bells[-1])
        heads = world.heads()
        left = {tuple(vector.split("/")[:2]) for vector in world.vectors()}
        assert all(generation in heads[asset_id].generations for asset_id, generation in left), (call, left)
        if not watch.is_crashed:
            break


# What is looked at once more before it becomes live


def live_content(world: World, key: str) -> str | None:
    live = world.heads()[asset_id_of(world.bucket, key)].live
    return live.content if live else None


def test_a_retry_that_is_given_up_for_other_attributes_does_not_stand_in_their_way(world: World) -> None:
    """Its attempt is the one that may write vectors of what is live, though it never will."""
    create(world, "a.txt")
    world.settle()
    world.retry("a.txt")
    world.answer(world.bells_of("a.txt")[0])
    world.turn("a.txt")
    world.settle()
    world.check()


def test_what_is_overwritten_before_its_job_ends_does_not_become_live(world: World) -> None:
    """The job read whatever lay there; nobody has rung for the new content yet."""
    create(world, "a.txt")
    world.answer(world.bells_of("a.txt")[0])
    world.put("a.txt", SECOND)
    world.finish(world.running("a.txt")[0])
    assert live_content(world, "a.txt") is None and len(world.bells_of("a.txt")) == 2
    world.settle()
    world.check()


def test_what_is_overwritten_while_it_is_indexed_does_not_become_live(world: World) -> None:
    create(world, "a.txt")
    world.answer(world.bells_of("a.txt")[0])

    def act() -> None:
        if len(world.versions["a.txt"]) == 1 and world.calls["PutVectors"]:
            world.put("a.txt", SECOND)

    world.finish(world.running("a.txt")[0], plan=dict.fromkeys(range(1, 60), act))
    assert live_content(world, "a.txt") is None and len(world.bells_of("a.txt")) == 2
    world.settle()
    world.check()


@pytest.mark.parametrize("operation", ["PutVectors", "InvokeModel"])
def test_what_is_overwritten_while_it_is_embedded_does_not_become_live(world: World, operation: str) -> None:
    world.put("a.txt", short("old"))
    (bell,) = world.bells_of("a.txt")

    def act() -> None:
        if len(world.versions["a.txt"]) == 1 and world.calls[operation]:
            world.put("a.txt", short("new"))

    world.answer(bell, plan=dict.fromkeys(range(1, 60), act))
    (passage,) = world.vectors().values()
    assert passage == short("new").body.decode()
    world.settle()
    world.check()


def test_a_job_that_is_given_up_while_it_is_indexed_ends_one_way_or_the_other(world: World) -> None:
    """The state machine records a failure while the function that it gave up still works."""
    for call in count(1):
        key = f"{call}.txt"
        create(world, key)
        world.answer(world.bells_of(key)[0])
        (execution,) = world.running(key)

        def act(work: Work = execution.work) -> None:
            world.index.finish(EndedJob(work, None, "it took too long"))

        watch = world.finish(execution, plan={call: act})
        world.settle_key(key)
        head = world.heads()[asset_id_of(world.bucket, key)]
        there = [name for name in world.vectors() if name.startswith(f"{head.asset_id}/{head.live_generation}/")]
        assert len(there) == head.segment_count == (2 if head.live else 0)
        assert head.status == ("partial" if head.live else "failed")
        if watch.count < call:
            break
    assert {name.split("/")[1] for name in world.vectors()} <= {head.live_generation for head in world.heads().values()}


def test_what_a_retry_has_put_before_it_failed_is_counted(world: World) -> None:
    index_first(world, "a.txt")
    world.retry("a.txt")
    world.answer(*world.bells_of("a.txt"))
    (execution,) = world.running("a.txt")
    (head,) = world.heads().values()
    assert (head.segment_count, head.failed_segments, head.attempt) == (2, 1, 1)
    world.put_vector(f"{head.asset_id}/{head.live_generation}/TEXT/1")  # its last call before it died
    assert world.index.finish(EndedJob(execution.work, None, "it died")) == "failed"
    (head,) = world.heads().values()
    assert (head.segment_count, head.failed_segments, head.status) == (3, 0, "indexed")
    assert head.retry_failure == "it died" and len(world.vectors()) == 3


def test_a_transaction_in_the_way_of_covering_is_no_failure(world: World, services: Services) -> None:
    refused = []

    def refuse(request: Any) -> Any:
        if refused or b"SET highest" not in bytes(request.body or b""):
            return None
        refused.append(request)
        return refusal(request, 400, "TransactionConflictException")

    world.put("a.txt", short("one"))
    world.put("b.txt", short("two"))
    with replaced(services, refuse):
        assert not world.answer(*world.bells).is_crashed
    assert refused and not world.bells
    world.check()


def test_what_the_index_refuses_is_a_failed_file_that_says_so_and_no_other(world: World, services: Services) -> None:
    refused = []

    def refuse(request: Any) -> Any:
        if not request.url.endswith("/PutVectors") or b'"_title":"a.txt"' not in bytes(request.body):
            return None
        refused.append(request)
        return refusal(request, 400, "ValidationException")

    world.put("a.txt", short("one"))
    world.put("b.txt", short("two"))
    with replaced(services, refuse):
        world.answer(*world.bells)
    heads = {head.key: head for head in world.heads().values()}
    assert len(refused) == 2 and not world.bells
    assert heads["a.txt"].status == "failed" and "the test says so" in str(heads["a.txt"].reason)
    assert heads["b.txt"].status == "indexed" and len(world.vectors()) == 1


@contextmanager
def replaced(services: Services, answer: Callable[[Any], Any]) -> Iterator[None]:
    """Some of what AWS would answer is answered by the test."""
    before, services.instead = services.instead, answer
    yield
    services.instead = before

"""The road of many files, event by event.

What decides is imported: the way of a file and its segments, who has a slot and who is next (`Jobs` itself, on a
catalog that is a dictionary), when work that was throttled comes again, what fits into a call. A service that is asked
too often answers later here; on AWS the SDK repeats the call, which comes to the same.
"""

import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from heapq import heappop, heappush
from types import SimpleNamespace
from typing import Any, cast

from botocore.exceptions import ClientError

from infra import waits
from lambdas.ingest import pauses
from lambdas.ingest.ingest import way_of
from lambdas.jobs.jobs import Jobs
from lambdas.jobs.slots import Waiting
from lambdas.pages.pages import AT_ONCE
from lambdas.pages.pages import pauses as page_pauses
from lambdas.prepare.prepare import ranges_of
from lambdas.shared import nova
from lambdas.shared.assets import Work
from lambdas.shared.budget import share_of, window_of
from lambdas.shared.errors import SupersededError
from lambdas.shared.kinds import Kind, kind_of
from lambdas.shared.nova import JobRequest
from lambdas.shared.profiles import Profile
from lambdas.shared.vectors import has_room
from simulation.clock import Clock, Process, Rate, Room, Signal, Waited
from simulation.model import CHARS_A_TOKEN, File, Limits, Times

BYTES_A_NUMBER = 15  # of a vector as JSON
METADATA_BYTES = 700
FLOAT_BYTES = 4
LEAST_PUT_BYTES = 128 * 1024  # that a call is billed as
GB = 2**30
# Write units: a head is in three lists besides, in one of them it changes its place; in a transaction all count twice.
HEAD, HEAD_TRANSACTED, RECORD, RECORD_TRANSACTED = 5, 6, 1, 2
TAKE, LEASE = 6, 2  # the item of the slots has 2 KB

kind_of_head = lru_cache(kind_of)


@dataclass(eq=False, slots=True)
class Piece:
    """One file on its way. `dropped` and `found` in seconds; `ended` says why it was not found."""

    number: int
    file: File
    kind: Kind
    dropped: float
    waited: int = 0
    visible: float = 0.0
    found: float | None = None
    ended: str = ""

    @property
    def work(self) -> Work:
        return Work(str(self.number), "g", 0)


@dataclass
class Outcome:
    """What came of it. `calls` by service and operation, `units` by the names of prices."""

    files: int
    pieces: list[Piece]
    calls: Counter[str] = field(default_factory=Counter)
    units: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    waited: dict[str, Waited] = field(default_factory=dict)

    @property
    def times(self) -> list[float]:
        """From the drop of each file until it was found, in order."""
        return sorted(piece.found - piece.dropped for piece in self.pieces if piece.found is not None)

    @property
    def seconds(self) -> float:
        return max((piece.found for piece in self.pieces if piece.found is not None), default=0.0)


@dataclass(eq=False)
class Job:
    """An invocation of Bedrock, and what the catalog keeps of it."""

    piece: Piece
    seconds: float
    request: JobRequest
    has_ended: bool = False


def simulate(
    files: Iterable[File],
    times: Times,
    limits: Limits,
    seed: int = 7,
    tell: Callable[[int], object] = id,
    gaps: Sequence[float] = (),
) -> Outcome:
    """Drop all files at once, and follow each to its end. `tell` is called with how many have ended, now and then;
    `gaps` are the seconds after each of the first files, where they were not dropped evenly."""
    random.seed(seed)  # the functions' own chance
    pipeline = Pipeline(times, limits, tell)
    pipeline.clock.start(pipeline.drop(files, gaps))
    for _ in range(limits.ingest_concurrency):
        pipeline.clock.start(pipeline.read_queue())
    pipeline.clock.run()
    return pipeline.outcome()


class Pipeline:
    """All that stands between the bucket and the index. The clock runs until nothing is left to do."""

    def __init__(self, times: Times, limits: Limits, tell: Callable[[int], object]) -> None:
        self.clock = clock = Clock()
        self.times, self.limits, self._tell = times, limits, tell
        self.profile = Profile()
        self.model = nova.Nova(cast(Any, None), self.profile)
        self.calls, self.units = Counter[str](), defaultdict[str, float](float)
        self.pieces: list[Piece] = []
        self._ended = 0
        # The queue
        self._messages: deque[Piece] = deque()
        self._readers: deque[Signal] = deque()
        # What lets only so many through
        self._functions = Room(clock, limits.functions)
        self._starts = Rate(clock, limits.starts)
        self._put_calls, self._put_vectors = Rate(clock, limits.put_calls), Rate(clock, limits.put_vectors)
        self._lists = Rate(clock, limits.list_writes)
        self._readers_waited, self._slots_waited, self._requests_waited = Waited(), Waited(), Waited()
        self._share = share_of(limits.requests_per_minute * limits.ingest_percent // 100)
        self._window, self._used = -1, 0
        # Jobs
        self.jobs_of: dict[Work, Job] = {}
        self.tokens: dict[str, Signal] = {}
        self.items: dict[Work, dict[str, Any]] = {}
        self.running = 0
        self.slots = Leases(self, limits.max_jobs)
        self.jobs = Jobs(
            bedrock=cast(Any, JobStarter(self)),
            stepfunctions=cast(Any, Tokens(self)),
            catalog=cast(Any, JobCatalog(self)),
            slots=cast(Any, self.slots),
        )

    def outcome(self) -> Outcome:
        waited = {
            "ingest_concurrency": self._readers_waited,
            "requests_per_minute": self._requests_waited,
            "max_jobs": self._slots_waited,
            "functions": self._functions.waited,
            "starts": self._starts.waited,
            "put_calls": self._put_calls.waited,
            "put_vectors": self._put_vectors.waited,
            "list_writes": self._lists.waited,
        }
        return Outcome(len(self.pieces), self.pieces, self.calls, self.units, waited)

    # -- the queue ----------------------------------------------------------------------------------------------------

    def drop(self, files: Iterable[File], gaps: Sequence[float]) -> Process:
        for number, file in enumerate(files):
            piece = Piece(number, file, kind_of_head(file.key, file.head), self.clock.now)
            self.pieces.append(piece)
            self._count("event", "sqs", calls="PutObject")
            self.clock.later(self.times.event, self._ring, piece)
            yield gaps[number] if number < len(gaps) else self.times.drop

    def _ring(self, piece: Piece) -> None:
        piece.visible = self.clock.now
        self._messages.append(piece)
        self._wake()

    def _wake(self) -> None:
        while self._readers:
            if self._readers.popleft().tell(True):
                return

    def read_queue(self) -> Process:
        """One of the pollers of the event source mapping: a batch, which has a moment to fill."""
        while True:
            batch: list[Piece] = []
            while not batch:
                yield from self._receive(batch, None)
            closes = self.clock.now + waits.BATCH_SECONDS
            while len(batch) < waits.BATCH and (left := closes - self.clock.now) > 1e-9:
                yield from self._receive(batch, left)
            self._count("sqs", calls="Batch")
            yield from self._ingest(batch)

    def _receive(self, batch: list[Piece], seconds: float | None) -> Process:
        """What is there, or comes within that time."""
        if not self._messages:
            place = Signal(self.clock)
            self._readers.append(place)
            if seconds is not None:
                self.clock.later(seconds, place.tell, False)
            if not (yield place):
                return
        before = len(batch)
        while self._messages and len(batch) < waits.BATCH:
            piece = self._messages.popleft()
            self._readers_waited.add(self.clock.now - piece.visible)
            batch.append(piece)
        if len(batch) > before:
            self._count("sqs", calls="ReceiveMessage")
            self.calls["received"] += len(batch) - before

    # -- ingest -------------------------------------------------------------------------------------------------------

    def _ingest(self, batch: Sequence[Piece]) -> Process:
        times = self.times
        yield from self._functions.enter()
        yield times.invoke
        begun = self.clock.now
        pictures = sum(piece.kind.family == "image" for piece in batch)
        yield times.ingest + times.ingest_file * len(batch) + times.decode * pictures
        ready: list[Piece] = []
        for piece in batch:
            self._look(piece)
            match way_of(piece.kind):
                case "text" if not nova.is_short_text(self.profile, int(piece.file.extent)):
                    yield from self._start_execution(piece, self._text_request(piece))
                case "prepare":
                    yield from self._start_execution(piece, None)
                case way:
                    if self._take_requests(1):
                        self._embedded("image" if way == "image" else "text", piece.file.extent)
                        ready.append(piece)
                    else:
                        self._wait(piece)
        if ready:
            yield times.embed
            yield from self._put(len(ready))
            yield times.commit
            for piece in ready:
                yield self._commit(piece)
        self._ran("ingest", self.clock.now - begun)
        self._functions.leave()

    def _look(self, piece: Piece) -> None:
        """What it reads, and `want` and `describe` write; a picture has a thumbnail."""
        self.units["read"] += 4
        self.units["s3_get"] += 3
        self.units["write"] += HEAD
        if not piece.waited:
            self.calls["TransactWriteItems"] += 1
            self.units["write"] += HEAD_TRANSACTED + RECORD_TRANSACTED
            self._lists.turn(1)
        if piece.kind.family == "image":
            self.units["s3_put"] += 1
            self.units["write"] += RECORD

    def _take_requests(self, count: int) -> int:
        """How many of so many there are, in the share of ingestion, as `Budget.take` has it in the catalog."""
        window = window_of(self.clock.now)
        if window != self._window:
            self._window, self._used = window, 0
        taken = min(count, max(0, self._share - self._used))
        self._used += taken
        self.units["write"] += RECORD * count
        self.calls["throttled"] += count - taken
        return taken

    def _embedded(self, modality: str, extent: float) -> None:
        self.calls["InvokeModel"] += 1
        self.units[modality] += extent / CHARS_A_TOKEN if modality == "text" else extent

    def _wait(self, piece: Piece) -> None:
        """The ring's copy comes back later."""
        delay = pauses.until_room(piece.waited)
        piece.waited += 1
        self._requests_waited.add(delay)
        self._count("sqs", calls="SendMessage")
        self.units["write"] += HEAD
        self.clock.later(delay, self._ring, piece)

    def _put(self, vectors: int) -> Process:
        """So many vectors, in as few calls as they fit into."""
        for count in calls_of(vectors, self.profile.dimension):
            self.calls["PutVectors"] += 1
            logical = count * (FLOAT_BYTES * self.profile.dimension + METADATA_BYTES)
            self.units["put_gb"] += max(logical, LEAST_PUT_BYTES) / GB
            self.units["write"] += RECORD
            yield max(self._put_calls.turn(), self._put_vectors.turn(count)) + self.times.put

    def _commit(self, piece: Piece) -> float:
        """Seconds until it is done."""
        self.calls["TransactWriteItems"] += 1
        self.units["write"] += HEAD_TRANSACTED + RECORD_TRANSACTED + RECORD
        self.units["read"] += 3
        self.units["s3_get"] += 1
        seconds = self._lists.turn(1)
        piece.found = self.clock.now + seconds
        self._end()
        return seconds

    def _end(self) -> None:
        self._ended += 1
        if self._ended % 1000 == 0:
            self._tell(self._ended)

    # -- the state machine --------------------------------------------------------------------------------------------

    def _start_execution(self, piece: Piece, request: JobRequest | None) -> Process:
        self.calls["StartExecution"] += 1
        yield self._starts.turn()
        self.clock.start(self._execute(piece, request))

    def _execute(self, piece: Piece, request: JobRequest | None) -> Process:
        """With a request it is prepared; a document has two states more on its way to the same job."""
        yield self._state("Is it prepared?")
        if request is None:
            request = yield from self._prepare(piece)
        if request is not None:
            yield from self._follow(piece, request)

    def _state(self, name: str, job: Job | None = None) -> float:
        if job:
            self.calls["job transitions"] += 1
        self.calls["transitions"] += 1
        self.units["transition"] += 1
        self.calls[f"state {name}"] += 1
        return self.times.state

    def _prepare(self, piece: Piece) -> Any:
        """The job that the file needs; None where it needs none and is indexed by now."""
        times, file = self.times, piece.file
        yield self._state("Prepare the file")
        seconds = times.prepare
        match piece.kind.family, modality_of(piece):
            case "pdf", _:
                yield from self._run("prepare", seconds)
                yield self._state("What was planned?")
                yield from self._pages(piece)
                return None
            case "media", "audio":
                seconds += times.prepare_second * file.extent
                self.units["s3_put"] += 1
            case "media", _:
                frames = file.extent / nova.segment_seconds(self.profile, file.extent)
                seconds += times.prepare_frame * frames
                self.units["s3_put"] += frames
        self.units["write"] += HEAD + 2 * RECORD
        if not is_at_once(piece, self.profile):
            yield from self._run("prepare", seconds)
            yield self._state("What was planned?")
            yield self._state("Adopt its job")
            return self._request(piece)
        tries = 0
        while True:
            yield from self._run("prepare", seconds + times.embed)
            if self._take_requests(1):
                break
            tries += 1
            pause = waits.BUSY.pause(tries)
            if pause is None:
                yield from self._fail(piece, "no room for its request within 300 tries")
                return None
            self._requests_waited.add(pause)
            yield pause
        self._embedded(modality_of(piece), file.extent)
        yield self._state("What was planned?")
        yield from self._index(piece, "Index what is there", 1)
        return None

    def _pages(self, piece: Piece) -> Process:
        """Ranges side by side, so many at once."""
        yield self._state("Each range of pages")
        ranges = ranges_of(int(piece.file.extent))
        room, done, left = Room(self.clock, waits.PAGES_AT_ONCE), Signal(self.clock), [len(ranges)]
        for one in ranges:
            self.clock.start(self._range(one["last"] - one["first"] + 1, room, done, left))
        yield done
        yield from self._index(piece, "Index what is there", int(piece.file.extent))

    def _range(self, pages: int, room: Room, done: Signal, left: list[int]) -> Process:
        """A page that finds no room is tried again for some seconds by the function, then by the state machine."""
        yield from room.enter()
        yield self._state("Embed pages")
        missing, tries = pages, 0
        while missing:
            yield from self._functions.enter()
            begun = self.clock.now
            yield self.times.invoke + self.times.page * missing + self.times.embed
            for pause in (*page_pauses(), None):
                taken = self._take_requests(missing)
                missing -= taken
                self.calls["InvokeModel"] += taken
                self.units["image"] += taken
                self.units["s3_put"] += taken
                if not missing or pause is None:
                    break
                self._requests_waited.add(pause * -(-missing // AT_ONCE))
                yield pause * -(-missing // AT_ONCE)
            self._ran("pages", self.clock.now - begun)
            self._functions.leave()
            if missing:
                tries += 1
                pause = waits.BUSY.pause(tries)
                if pause is None:  # the range is left out, and its pages are told as failed
                    self.calls["pages left out"] += missing
                    break
                self._requests_waited.add(pause)
                yield pause
        room.leave()
        left[0] -= 1
        if not left[0]:
            done.tell(None)

    def _follow(self, piece: Piece, request: JobRequest) -> Process:
        """Wait for a slot, follow the job, pass the slot on, index what came of it."""
        work = piece.work
        self.jobs_of[work] = job = Job(piece, job_seconds(piece, self.times), request)
        self.calls["job transitions"] += 1 if way_of(piece.kind) == "text" else 4  # so far
        tries = 0
        while True:
            yield self._state("Run the job", job)
            token, since = f"{work.name}/{tries}", self.clock.now
            self.tokens[token] = told = Signal(self.clock)
            yield from self._run("jobs", self.times.jobs)
            self.jobs.start(work, request, token)
            self.clock.later(waits.TURN_SECONDS, told.tell, "States.Timeout")
            answer = yield told
            del self.tokens[token]
            self._slots_waited.add(self.clock.now - since - self.times.jobs - self.times.invoke)
            if answer == "ok":
                break
            tries += 1
            pause = waits.BUSY.pause(tries) if answer == "ThrottledError" else None
            if pause is None:
                yield from self._fail(piece, f"it had no turn within {waits.TURN_SECONDS // 86400} days")
                return
            yield pause
        yield self._state("First wait", job)
        yield from self._wait_for_end(job)
        yield self._state("Pass the slot on", job)
        yield from self._run("jobs", self.times.jobs)
        self.jobs.end(work)
        yield self._state("Done?", job)
        yield from self._index(piece, "Index the result", vectors_of(piece, self.profile), job)
        del self.jobs_of[work], self.items[work]

    def _wait_for_end(self, job: Job) -> Process:
        seconds, work = waits.FIRST_SECONDS, job.piece.work
        while True:
            yield self._state("Ask Bedrock", job)
            self.calls["GetAsyncInvoke"] += 1
            yield self.times.ask
            yield self._state("Does it run?", job)
            if job.has_ended:
                return
            yield self._state("Wait for the result", job)
            if self.items[work].get("arrived"):
                yield self._state("A moment", job)
                yield waits.MOMENT_SECONDS
                continue
            self.units["write"] += RECORD
            token = f"{work.name}/waits"
            self.tokens[token] = told = Signal(self.clock)
            self.items[work]["waiter"] = token
            self.clock.later(seconds, told.tell, "States.Timeout")
            if (yield told) == "States.Timeout":
                yield self._state("How long?", job)
                longer = waits.longer(seconds)
                yield self._state("Wait twice as long" if longer == 2 * seconds else "Wait as long again", job)
                seconds = longer

    def _index(self, piece: Piece, state: str, vectors: int, job: Job | None = None) -> Process:
        yield self._state(state, job)
        yield from self._functions.enter()
        begun = self.clock.now
        yield self.times.invoke + self.times.index + self.times.index_vector * vectors
        self.units["s3_get"] += 4
        yield from self._put(vectors)
        yield self.times.commit
        yield self._commit(piece)
        self._ran("index", self.clock.now - begun)
        self._functions.leave()

    def _fail(self, piece: Piece, reason: str) -> Process:
        piece.ended = reason
        self._end()
        yield self._state("Record the failure")
        yield from self._run("index", self.times.index)
        yield self._state("Not indexed")

    def _run(self, function: str, seconds: float) -> Process:
        yield from self._functions.enter()
        yield self.times.invoke + seconds
        self._ran(function, seconds)
        self._functions.leave()

    def _ran(self, function: str, seconds: float) -> None:
        self.calls[f"function {function}"] += 1
        self.units["invocation"] += 1
        self.units["lambda_gb_s"] += seconds * waits.MEMORY_MB[function] / 1024

    def _count(self, *units: str, calls: str) -> None:
        self.calls[calls] += 1
        for unit in units:
            self.units[unit] += 1

    # -- jobs ---------------------------------------------------------------------------------------------------------

    def _text_request(self, piece: Piece) -> JobRequest:
        chars = nova.text_chars(self.profile, int(piece.file.extent))
        self.units["s3_put"] += 1
        return self.model.text_job("s3://staged", chars, f"s3://jobs/{piece.work.name}/")

    def _request(self, piece: Piece) -> JobRequest:
        kind, extent = modality_of(piece), piece.file.extent
        if kind == "text":
            return self._text_request(piece)
        seconds = nova.segment_seconds(self.profile, extent)
        return self.model.media_job(kind, "mp3", "s3://media", seconds, f"s3://jobs/{piece.work.name}/")

    def run_job(self, work: Work) -> Process:
        """Bedrock's part: it works, writes the result, and some time later says so."""
        job = self.jobs_of[work]
        self.running += 1
        yield job.seconds
        modality = modality_of(job.piece)
        self.units[modality] += job.piece.file.extent / (CHARS_A_TOKEN if modality == "text" else 1)
        self._count("event", calls="results")
        self.clock.start(self._arrive(work))
        yield self.times.lag
        self.running -= 1
        job.has_ended = True

    def _arrive(self, work: Work) -> Process:
        yield self.times.event
        yield from self._run("jobs", self.times.jobs)
        self.jobs.arrive(work)


def modality_of(piece: Piece) -> str:
    """By its ending, for nothing decodes it here."""
    if piece.kind.family == "media":
        return "video" if piece.file.key.endswith(".mp4") else "audio"
    return "image" if piece.kind.family in ("image", "pdf") else "text"


def is_at_once(piece: Piece, profile: Profile) -> bool:
    if modality_of(piece) == "text":
        return nova.is_short_text(profile, int(piece.file.extent))
    return nova.is_short_medium(piece.file.extent, piece.file.size)


def job_seconds(piece: Piece, times: Times) -> float:
    each = {"text": times.job_text, "audio": times.job_sound, "video": times.job_film}
    return times.job + each[modality_of(piece)] * piece.file.extent


def vectors_of(piece: Piece, profile: Profile) -> int:
    extent = piece.file.extent
    if modality_of(piece) == "text":
        return int(-(-extent // nova.text_chars(profile, int(extent))))
    return int(-(-extent // nova.segment_seconds(profile, extent)))


@lru_cache(maxsize=10_000)
def calls_of(vectors: int, dimension: int) -> tuple[int, ...]:
    """How many vectors go into each call, by the rule of a batch."""
    each, calls, held = dimension * BYTES_A_NUMBER + METADATA_BYTES, list[int](), 0
    for _ in range(vectors):
        if not has_room(held, (held + 1) * each):
            calls.append(held)
            held = 0
        held += 1
    return (*calls, held) if held else tuple(calls)


# -- what `Jobs` works on ---------------------------------------------------------------------------------------------


class Leases:
    """As `Slots`, without a table."""

    def __init__(self, pipeline: Pipeline, most: int) -> None:
        self._pipeline, self._most = pipeline, most
        self._queue: list[tuple[str, Waiting]] = []
        self._leases: set[Work] = set()

    def _writes(self, units: int) -> None:
        self._pipeline.units["write"] += units

    def wait(self, waiting: Waiting) -> None:
        self._writes(RECORD)
        heappush(self._queue, (waiting.record, waiting))

    def oldest(self) -> Waiting | None:
        self._pipeline.units["read"] += 1
        return self._queue[0][1] if self._queue else None

    def free(self) -> int:
        self._pipeline.units["read"] += 1
        return self._most - len(self._leases)

    def take(self, waiting: Waiting) -> int:
        heappop(self._queue)
        self._pipeline.calls["TransactWriteItems"] += 1
        self._writes(TAKE)
        self._leases.add(waiting.work)
        return 0

    def keep(self, work: Work, until: int) -> None:
        self._writes(LEASE)

    def release(self, work: Work, until: int | None = None) -> None:
        self._writes(LEASE)
        self._leases.discard(work)


class JobCatalog:
    """As `Catalog`, for one attempt of each file."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def head(self, asset_id: str) -> Any:
        self._pipeline.units["read"] += 1
        return SimpleNamespace(work=Work(asset_id, "g", 0))

    def ask_job(self, work: Work, request: str, token: str) -> dict[str, Any]:
        self._pipeline.units["write"] += RECORD
        item = self._pipeline.items.setdefault(work, {"since": f"{self._pipeline.clock.now:017.6f}"})
        item.update(request=request, token=token)
        return item

    def job(self, work: Work) -> dict[str, Any] | None:
        self._pipeline.units["read"] += 1
        return self._pipeline.items.get(work)

    def wait(self, work: Work) -> None:
        self._pipeline.units["write"] += HEAD

    def run(self, work: Work) -> None:
        self._pipeline.units["write"] += HEAD
        if self._pipeline.jobs_of[work].piece.ended:
            raise SupersededError(f"{work.name} is not wanted any more")

    def record_job(self, work: Work, arn: str) -> None:
        self._pipeline.units["write"] += RECORD
        self._pipeline.items[work]["invocation_arn"] = arn

    def record_arrival(self, work: Work) -> dict[str, Any] | None:
        self._pipeline.units["write"] += RECORD
        item = self._pipeline.items.get(work)
        if item is not None:
            item["arrived"] = True
        return item


class Tokens:
    """As Step Functions, for task tokens."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def send_task_success(self, taskToken: str, output: str) -> None:
        self._tell(taskToken, "ok")

    def send_task_failure(self, taskToken: str, error: str, cause: str) -> None:
        self._tell(taskToken, error)

    def _tell(self, token: str, value: str) -> None:
        told = self._pipeline.tokens.get(token)
        if told is None or not told.tell(value):
            raise ClientError({"Error": {"Code": "TaskTimedOut", "Message": token}}, "SendTask")


class JobStarter:
    """As Bedrock, for its jobs."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def start_async_invoke(self, clientRequestToken: str, **request: Any) -> dict[str, str]:
        pipeline, work = self._pipeline, Work.of(clientRequestToken)
        pipeline.calls["StartAsyncInvoke"] += 1
        if pipeline.running >= pipeline.limits.bedrock_jobs:
            pipeline.calls["jobs refused"] += 1
            raise ClientError(
                {"Error": {"Code": "ThrottlingException", "Message": "too many jobs"}}, "StartAsyncInvoke"
            )
        pipeline.clock.start(pipeline.run_job(work))
        return {"invocationArn": clientRequestToken}

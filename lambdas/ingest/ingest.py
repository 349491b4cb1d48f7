"""From a doorbell to vectors, or to a job that will make them.

A ring only names a key. What is true is in the bucket: the head is read first, then the object, and what was seen is
written on the condition that the head is as it was. So a ring may come twice, late, or for something long gone.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import orjson

from lambdas.ingest import pauses, pictures
from lambdas.ingest.labels import read_labels
from lambdas.shared import nova
from lambdas.shared.assets import Segment, StoredObject, Work, asset_id_of, head_object, is_asset
from lambdas.shared.budget import Budget
from lambdas.shared.catalog import Catalog
from lambdas.shared.decoding import decode
from lambdas.shared.errors import (
    BadInputError,
    ConflictError,
    PermanentError,
    RefusedError,
    SupersededError,
    ThrottledError,
)
from lambdas.shared.kinds import HEAD_BYTES, PLAIN_TEXT, Kind, kind_of
from lambdas.shared.metadata import Attributes
from lambdas.shared.nova import Embedding, JobRequest, Nova
from lambdas.shared.profiles import Profile
from lambdas.shared.records import SETTLED, Head
from lambdas.shared.results import text_key
from lambdas.shared.settings import IngestSettings
from lambdas.shared.source import Source
from lambdas.shared.writing import Described, Outcome, Writer

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient

LOOKS = 5  # times a ring is answered anew when somebody else was quicker
TEXT_BYTES = 50_000_000
IMAGE_BYTES = 200_000_000
BIG_TEXT_BYTES = 2_000_000  # ten such at once still fit into the memory of the function
_ONE_AT_A_TIME = Lock()
T = TypeVar("T")


def way_of(kind: Kind) -> Literal["text", "image", "prepare"]:
    """What is embedded here; a decoder must open the others, in a function of its own."""
    if kind == PLAIN_TEXT:
        return "text"
    return "image" if kind.family == "image" else "prepare"


@dataclass(frozen=True)
class Bell:
    """A key to look at; `waited` counts how often it had to wait.

    With `attempt` it asks for a retry: it names the attempt that whoever asks has seen.
    """

    key: str
    waited: int = 0
    attempt: int | None = None


@dataclass(frozen=True)
class Task:
    """What a look found to be done: this work on this object."""

    work: Work
    source: Source
    labels: Attributes
    model: Nova

    @property
    def stored(self) -> StoredObject:
        return self.source.stored


@dataclass(frozen=True)
class Ingest:
    """The clients of one function; `answer` is its step."""

    settings: IngestSettings
    s3: "S3Client"
    sqs: "SQSClient"
    stepfunctions: "SFNClient"
    bedrock: "BedrockRuntimeClient"
    budget: Budget
    writer: Writer

    @property
    def catalog(self) -> Catalog:
        return self.writer.catalog

    def answer(self, bells: Sequence[Bell]) -> dict[Bell, Exception]:
        """Do what the rings ask for; what could not be done, with the error. All vectors go in one put.

        Where somebody else wrote first it is looked at again; who is in the way for longer is waited for.
        """
        pending, failed = list(bells), dict[Bell, Exception]()
        for _ in range(LOOKS):
            errors = self._round(pending)
            pending = [bell for bell, error in errors.items() if isinstance(error, (ConflictError, SupersededError))]
            failed |= {bell: error for bell, error in errors.items() if bell not in pending}
            if not pending:
                return failed
        _, lost = _each(self._wait, pending)
        return failed | lost

    def give_up(self, bells: Sequence[Bell]) -> tuple[dict[Bell, int | None], dict[Bell, Exception]]:
        """Mark as failed what could not be answered time after time, unless its execution goes on; errors as above.

        Of what has failed the attempt, which a ring must name to have another one.
        """
        return _each(self._give_up, bells)

    def _give_up(self, bell: Bell) -> int | None:
        task = self._look(bell) if is_asset(bell.key) else None
        if task and not self._is_running(task.work):
            times = self.settings.max_receives
            self._fail(task.work, task.stored, BadInputError(f"it could not be read: {times} tries ended in an error"))
        head = self.catalog.head(asset_id_of(self.settings.media_bucket, bell.key))
        return head.attempt if head and head.status == "failed" else None

    def _round(self, bells: Sequence[Bell]) -> dict[Bell, Exception]:
        embedded, errors = _each(self._prepare, bells)
        ready = {bell: one for bell, one in embedded.items() if one}
        written, unwritten = self._write(ready)
        unwritten = self._record_refusals(unwritten, ready)
        _, uncommitted = _each(lambda bell: self._commit(ready[bell], written[bell]), list(written))
        errors |= unwritten | uncommitted
        busy = [bell for bell, error in errors.items() if isinstance(error, ThrottledError)]
        _, lost = _each(self._wait, busy)
        return {bell: error for bell, error in errors.items() if bell not in busy} | lost

    def _write(self, ready: dict[Bell, Described]) -> tuple[dict[Bell, Outcome], dict[Bell, Exception]]:
        """One put for all; if it is refused, one for each, so that no file's trouble is another's.

        What may not be written any more is a conflict: its key is looked at again.
        """

        def write(bells: Sequence[Bell]) -> dict[Bell, Outcome]:
            done = self.writer.write_segments([ready[bell] for bell in bells])
            return {bell: done[ready[bell].work] for bell in bells if ready[bell].work in done}

        errors: dict[Bell, Exception] = {}
        try:
            written = write(list(ready))
        except ThrottledError as error:
            return {}, dict.fromkeys(ready, error)
        except Exception:  # whosever it is, it is found alone
            alone, errors = _each(lambda bell: write([bell]), list(ready))
            written = {bell: outcome for done in alone.values() for bell, outcome in done.items()}
        left = ready.keys() - written.keys() - errors.keys()
        return written, errors | {bell: ConflictError(f"{bell.key} may not be written any more") for bell in left}

    def _record_refusals(self, errors: dict[Bell, Exception], ready: dict[Bell, Described]) -> dict[Bell, Exception]:
        """What S3 Vectors refuses it would refuse again: that is how the file ends. The other errors."""
        refused = {bell: error for bell, error in errors.items() if isinstance(error, RefusedError)}

        def record(bell: Bell) -> None:
            one = ready[bell]
            self._fail(one.work, one.stored, BadInputError(f"the index refuses its vector: {refused[bell]}"))

        _, unrecorded = _each(record, list(refused))
        return {bell: error for bell, error in errors.items() if bell not in refused} | unrecorded

    # -- looking --------------------------------------------------------------------------------------------------

    def _prepare(self, bell: Bell) -> Described | None:
        """Look, and embed what can be embedded at once; None when nothing is left to do here."""
        task = self._look(bell) if is_asset(bell.key) else None
        if task is None:
            return None
        try:
            return self._embed(task)
        except PermanentError as error:
            self._fail(task.work, task.stored, error)
            return None
        except Exception:
            self.catalog.release(task.work)
            raise

    def _look(self, bell: Bell) -> Task | None:
        """What is to be done about a key, from the bucket and the catalog alone."""
        bucket, key = self.settings.media_bucket, bell.key
        asset_id = asset_id_of(bucket, key)
        before = self.catalog.head(asset_id)
        stored = head_object(self.s3, bucket, key)
        if stored is None:
            self._forget(key, before)
            return None
        source = Source(self.s3, stored)
        labels = self._labels(stored)
        profile = self._profile(source, labels)
        head = self._want(before, stored, profile, labels, bell.attempt)
        if before and before.labels != labels:
            self._confirm_labels(stored, labels)
        if before:
            self.writer.clear_stale(asset_id)  # also what somebody who died left
        if head.relabelling:
            head = self.writer.relabel(head)
        if head.work is None or head.status in SETTLED:
            return None
        return Task(head.work, source, head.labels, Nova(self.bedrock, profile, self.budget))

    def _labels(self, stored: StoredObject) -> Attributes:
        return read_labels(self.s3, stored, self.settings.owners.attribute)

    def _forget(self, key: str, before: Head | None) -> None:
        """What is gone is not found from here on; what went before anybody looked is listed as deleted, too.

        A look that finds things as they should be writes nothing, so it does not stand in the way of this one, though
        it may have seen the object come back in the meantime: hence the second look.
        """
        asset_id = asset_id_of(self.settings.media_bucket, key)
        known = before is not None and before.status == "deleted"
        if not known:
            self.catalog.delete(asset_id, key, before)
        if before:
            self.writer.clear_stale(asset_id)
        if not known and head_object(self.s3, self.settings.media_bucket, key):
            raise ConflictError(f"{key} came back while it was being forgotten")

    def _profile(self, source: Source, labels: Attributes) -> Profile:
        def kind() -> str | None:
            try:
                return kind_of(source.stored.key, source.read(0, HEAD_BYTES)).modality
            except PermanentError:  # is told when it is to be embedded
                return None

        return self.settings.profiles.choose(source.stored.key, labels.kept, kind)

    def _want(
        self, before: Head | None, stored: StoredObject, profile: Profile, labels: Attributes, attempt: int | None
    ) -> Head:
        """The head as it is to be for this object; with another attempt if it is asked for by the one that was seen."""
        if before is None or before.content != stored.content(profile):
            return self.catalog.want(before, stored, profile, labels)
        if before.labels != labels:
            before = self.catalog.label(before, labels)
        return self.catalog.try_again(before) if before.attempt == attempt else before

    def _confirm_labels(self, stored: StoredObject, labels: Attributes) -> None:
        """As in `_forget`: who found them as they were before, in the meantime, has written nothing."""
        now = head_object(self.s3, stored.bucket, stored.key)
        if now is None or self._labels(now) != labels:
            raise ConflictError(f"the attributes of {stored.key} changed while they were being written")

    def _fail(self, work: Work, stored: StoredObject, error: PermanentError) -> None:
        """Record the failure, if it is one of the content that still lies there."""
        self._confirm(stored)
        self.writer.fail(work, error, Outcome())

    def _commit(self, one: Described, outcome: Outcome) -> None:
        """Confirm that the content is still what was embedded, then make it live."""
        try:
            self._confirm(one.stored)
            head = self.writer.commit(one.work, outcome, one.labels)
        except ConflictError:
            self.catalog.release(one.work)
            raise
        if head.relabelling:
            raise ConflictError(f"the attributes of {head.key} changed while it was being embedded")

    def _confirm(self, stored: StoredObject) -> None:
        if head_object(self.s3, stored.bucket, stored.key) != stored:
            raise ConflictError(f"{stored.key} changed while it was being embedded")

    def _wait(self, bell: Bell) -> None:
        """Somebody is busy: a copy of the ring comes back later, for a receive must not count as a failure."""
        asset_id = asset_id_of(self.settings.media_bucket, bell.key)
        head = self.catalog.head(asset_id)
        if head and head.work:
            with suppress(SupersededError):  # settled or changed meanwhile: the ring will see
                self.catalog.wait(head.work)
        self.sqs.send_message(
            QueueUrl=self.settings.ingest_queue_url,
            MessageBody=orjson.dumps({**asdict(bell), "waited": bell.waited + 1}).decode(),
            DelaySeconds=pauses.until_room(bell.waited),
        )

    # -- embedding ------------------------------------------------------------------------------------------------

    def _embed(self, task: Task) -> Described | None:
        if task.stored.size == 0:
            raise BadInputError("the file is empty")
        kind = kind_of(task.stored.key, task.source.read(0, HEAD_BYTES))
        match way_of(kind):
            case "text":
                return self._embed_text(task)
            case "image":
                return self._embed_image(task, kind)
        self._start_execution(task.work)
        return None

    def _embed_text(self, task: Task) -> Described | None:
        if task.stored.size > TEXT_BYTES:
            raise BadInputError(f"the text has {task.stored.size:,} bytes; {TEXT_BYTES:,} is the most")
        with _ONE_AT_A_TIME if task.stored.size > BIG_TEXT_BYTES else nullcontext():
            return self._embed_decoded(task, decode(task.source.read(0, task.stored.size), task.stored.charset))

    def _embed_decoded(self, task: Task, text: str) -> Described | None:
        self.catalog.describe(task.work, "text")
        if nova.is_short_text(task.model.profile, len(text)):
            embedding = task.model.embed_text(text)
            return self._whole(task, "text", embedding, text)
        chars = nova.text_chars(task.model.profile, len(text))
        key = text_key(task.work)
        self.s3.put_object(Bucket=self.settings.output_bucket, Key=key, Body=text.encode())
        uri = f"s3://{self.settings.output_bucket}/{key}"
        self._start_execution(task.work, task.model.text_job(uri, chars, self._job_uri(task.work)))
        return None

    def _embed_image(self, task: Task, kind: Kind) -> Described:
        size = task.stored.size
        if size > IMAGE_BYTES:
            raise BadInputError(f"the picture has {size:,} bytes; {IMAGE_BYTES:,} is the most")
        self.catalog.describe(task.work, "image", derived={"thumbnail": 1})
        self.catalog.open_derived(task.work)
        raw = task.source.open()
        file = raw.buffered()
        file.read(1)  # the first block, side by side with others
        with _ONE_AT_A_TIME:
            try:
                picture = pictures.look(file, kind.name, size <= nova.IMAGE_BYTES)
            except BadInputError:
                if raw.error:  # S3's failure is not the picture's
                    raise raw.error from None
                raise
        self.writer.derived.put(task.work, "thumbnail", picture.thumbnail, "image/jpeg")
        uri = task.stored.uri
        if picture.converted is not None:
            key = f"{self._job_prefix(task.work)}input.{picture.media_format}"
            self.s3.put_object(Bucket=self.settings.output_bucket, Key=key, Body=picture.converted)
            uri = f"s3://{self.settings.output_bucket}/{key}"
        return self._whole(task, "image", task.model.embed_image(picture.media_format, uri))

    def _whole(
        self,
        task: Task,
        modality: str,
        embedding: Embedding,
        text: str | None = None,
    ) -> Described:
        segment = Segment(
            number=0,
            embedding_type=embedding.embedding_type,
            embedding=embedding.array,
            start_char=None if text is None else 0,
            end_char=None if text is None else len(text),
            text=text,
        )
        return Described(task.work, task.model.profile.name, task.stored, modality, None, task.labels, [segment])

    # -- jobs -----------------------------------------------------------------------------------------------------

    def _start_execution(self, work: Work, request: JobRequest | None = None) -> None:
        """Of the state machine that runs this job, or prepares the file first. Unless it runs already."""
        body: dict[str, Any] = {"asset_id": work.asset_id, "generation": work.generation, "attempt": work.attempt}
        if request:
            body["request"] = request
        try:
            self.stepfunctions.start_execution(
                stateMachineArn=self.settings.job_state_machine_arn,
                name=work.name,
                input=orjson.dumps(body).decode(),
            )
        except self.stepfunctions.exceptions.ExecutionAlreadyExists:
            self._check_execution(work)

    def _check_execution(self, work: Work) -> None:
        """A name that is taken: running is done, a failure is how this attempt ended.

        Succeeded is done too, unless the execution found its work superseded and it is wanted again: then it needs
        another name, so another attempt.
        """
        execution = self.stepfunctions.describe_execution(executionArn=self._execution_arn(work))
        if execution["status"] == "SUCCEEDED":
            head = self.catalog.head(work.asset_id)
            if head and head.work == work and head.status not in SETTLED:
                self.catalog.try_again(head)
                raise ConflictError(f"{work.name} ended without a result")
        elif execution["status"] != "RUNNING":
            raise BadInputError(
                f"the job's execution {execution['status'].lower()}: {execution.get('cause', 'no cause')}"
            )

    def _is_running(self, work: Work) -> bool:
        try:
            execution = self.stepfunctions.describe_execution(executionArn=self._execution_arn(work))
        except self.stepfunctions.exceptions.ExecutionDoesNotExist:
            return False
        return execution["status"] == "RUNNING"

    def _execution_arn(self, work: Work) -> str:
        return self.settings.job_state_machine_arn.replace(":stateMachine:", ":execution:") + f":{work.name}"

    def _job_prefix(self, work: Work) -> str:
        return f"jobs/{work.name}/"

    def _job_uri(self, work: Work) -> str:
        return f"s3://{self.settings.output_bucket}/{self._job_prefix(work)}"


def _each(step: Callable[[Bell], T], bells: Sequence[Bell]) -> tuple[dict[Bell, T], dict[Bell, Exception]]:
    """Run a step for every bell, side by side, for they mostly wait; results and errors apart."""
    done: dict[Bell, T] = {}
    errors: dict[Bell, Exception] = {}

    def one(bell: Bell) -> None:
        try:
            done[bell] = step(bell)
        except Exception as error:  # kept for its message's own answer: no file's trouble is another's
            errors[bell] = error

    with ThreadPoolExecutor(max_workers=max(1, len(bells))) as pool:
        list(pool.map(one, bells))
    return done, errors

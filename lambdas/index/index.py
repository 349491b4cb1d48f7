"""From a job's result files to vectors.

The result is found through `segmented-embedding-result.json`; its `outputFileUri`s are followed, whatever they are
called, and read line by line.
"""

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import orjson
from botocore.exceptions import ClientError

from lambdas.shared.assets import FailedSegment, Segment, StoredObject, Work, head_object
from lambdas.shared.catalog import Catalog
from lambdas.shared.errors import (
    BadInputError,
    ConflictError,
    PermanentError,
    SupersededError,
    ThrottledError,
    UnsupportedError,
)
from lambdas.shared.nova import failure_sentence, read_lines
from lambdas.shared.profiles import Profile
from lambdas.shared.records import SETTLED, Head, Status
from lambdas.shared.results import RESULT, text_key
from lambdas.shared.settings import IndexSettings
from lambdas.shared.writing import Described, Outcome, Writer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

Ending = Status | Literal["superseded"]
TYPE_NAME = re.compile("[A-Z_]{1,40}")


@dataclass(frozen=True)
class EndedJob:
    """`output_uri` is the folder that GetAsyncInvoke names, the job's id in it; or `failure` says why there is none."""

    work: Work
    output_uri: str | None
    failure: str | None
    unsupported: bool = False


@dataclass(frozen=True)
class Index:
    """The clients of one function; `finish` is its step."""

    settings: IndexSettings
    s3: "S3Client"
    sqs: "SQSClient"
    writer: Writer

    @property
    def catalog(self) -> Catalog:
        return self.writer.catalog

    def finish(self, job: EndedJob) -> Ending:
        """Index what a job made, or record that it failed. A job nobody wants any more changes nothing.

        ConflictError when somebody else wrote meanwhile; the state machine tries again.
        """
        failures: list[FailedSegment] = []
        try:
            head = self._wanted(job.work)
            if head.status in SETTLED:  # a repeat
                self.writer.clear_stale(job.work.asset_id)
                self._relabel(job.work)  # whoever was here first may have died before
                return head.status
            try:
                return self._index(job, head, failures)
            except PermanentError as error:
                self._confirmed(head, job.work)
                self.writer.fail(job.work, error, Outcome(failures=failures))
                return "failed"
        except SupersededError:
            self.writer.give_up(job.work)
            return "superseded"
        except (ConflictError, ThrottledError):
            self.catalog.release(job.work)
            raise

    def _wanted(self, work: Work) -> Head:
        head = self.catalog.head(work.asset_id)
        if head is None or head.work != work:
            raise SupersededError(f"{work.name} is not wanted any more")
        return head

    def _index(self, job: EndedJob, head: Head, failures: list[FailedSegment]) -> Ending:
        if job.output_uri is None:
            raise (UnsupportedError if job.unsupported else BadInputError)(
                job.failure or "it failed without saying why"
            )
        stored, profile = self._confirmed(head, job.work)
        segments = _good(self._with_text(job.work, self._parts(job, profile.dimension)), failures)
        described = Described(job.work, profile.name, stored, head.modality or "", head.duration, head.labels, segments)
        outcome = self.writer.write_segments([described]).get(job.work)
        self._confirmed(head, job.work)
        if outcome is None:
            self._wanted(job.work)
            reason = failures[0].reason if failures else "the model found nothing to embed"
            raise BadInputError(f"no part of the file could be embedded: {reason}")
        outcome.failures = failures
        self.writer.commit(job.work, outcome, head.labels)
        self._relabel(job.work)
        return "partial" if outcome.failures else "indexed"

    def _relabel(self, work: Work) -> None:
        """Ring where the user's attributes changed while the vectors were being put: ingest puts them once more."""
        head = self.catalog.head(work.asset_id)
        if head and head.relabelling:
            self._ring(head.key)

    def _ring(self, key: str) -> None:
        body = orjson.dumps({"key": key}).decode()
        self.sqs.send_message(QueueUrl=self.settings.ingest_queue_url, MessageBody=body)

    def _confirmed(self, head: Head, work: Work) -> tuple[StoredObject, Profile]:
        """The object and its profile, if both are still what was wanted: a job reads whatever lies there when it runs.

        The profile of work that was begun before a deployment may be none any more.
        """
        stored = head_object(self.s3, self.settings.media_bucket, head.key)
        profile = self.settings.profiles.of(head.profile)
        if stored is None or profile is None or stored.content(profile) != head.content:
            self._ring(head.key)  # its own event may have been lost
            raise SupersededError(f"{head.key} changed while it was being embedded")
        return stored, profile

    # -- reading --------------------------------------------------------------------------------------------------

    def _parts(self, job: EndedJob, dimension: int) -> Iterator[Segment | FailedSegment]:
        """Every line of every result file; a file that is missing as a whole is one failure, or one of every page.

        A number that comes twice would be written over the first, so it is a failure too.
        """
        seen: set[tuple[str, int]] = set()
        for entry in self._results(job):
            embedding_type = _type_name(entry)
            told: set[int] = set()
            try:
                for part in self._lines(entry, embedding_type, dimension):
                    told.add(part.number)
                    name = (embedding_type, part.number)
                    if isinstance(part, Segment) and name in seen:
                        part = FailedSegment(part.number, embedding_type, "the model answered twice for this part")
                    elif isinstance(part, Segment):
                        seen.add(name)
                    yield part
            except BadInputError as error:
                if "pages" not in entry:
                    yield FailedSegment(0, embedding_type, str(error))
            if "pages" in entry:
                yield from _left_out(entry["pages"], told, embedding_type)

    def _lines(
        self, entry: Mapping[str, Any], embedding_type: str, dimension: int
    ) -> Iterator[Segment | FailedSegment]:
        uri = entry.get("outputFileUri")
        if not isinstance(uri, str):
            raise BadInputError(failure_sentence(entry))
        yield from read_lines(self._open(uri), embedding_type, dimension)

    def _results(self, job: EndedJob) -> list[dict[str, Any]]:
        assert job.output_uri is not None
        try:
            result = orjson.loads(self._open(f"{job.output_uri.rstrip('/')}/{RESULT}").read())
            return [entry for entry in result["embeddingResults"] if isinstance(entry, dict)]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise BadInputError(f"the job's {RESULT} is not what Nova documents") from error

    def _with_text(self, work: Work, parts: Iterator[Segment | FailedSegment]) -> Iterator[Segment | FailedSegment]:
        """Give each piece of a staged text its passage.

        Whether an end position is inclusive is not settled in the documentation, so a piece ends where the next begins.
        """
        text: str | None = None
        before: Segment | FailedSegment | None = None
        for part in parts:
            if part.start_char is not None and text is None and not (isinstance(part, Segment) and part.text):
                text = self._open(f"s3://{self.settings.output_bucket}/{text_key(work)}").read().decode()
            if before:
                yield _passage(before, text, part.start_char)
            before = part
        if before:
            yield _passage(before, text, None)

    def _open(self, uri: str) -> Any:
        parts = urlsplit(uri, allow_fragments=False)
        try:
            return self.s3.get_object(Bucket=parts.netloc, Key=parts.path.lstrip("/"))["Body"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                raise BadInputError(f"the job's result {uri} is missing") from error
            raise


def _left_out(pages: tuple[int, int], told: Container[int], embedding_type: str) -> Iterator[FailedSegment]:
    """The pages of a file of results, the first and the last, of which nothing is said there."""
    for page in range(pages[0], pages[1] + 1):
        if page - 1 not in told:
            reason = "all tries to show and embed the page ended in an error"
            yield FailedSegment(page - 1, embedding_type, reason, page=page)


def _type_name(entry: Mapping[str, Any]) -> str:
    """It becomes part of the vectors' keys."""
    name = str(entry.get("embeddingType"))
    return name if TYPE_NAME.fullmatch(name) else "UNKNOWN"


def _good(parts: Iterable[Segment | FailedSegment], failures: list[FailedSegment]) -> Iterator[Segment]:
    """The parts that can be put; the others are kept aside."""
    for part in parts:
        if isinstance(part, Segment):
            yield part
        else:
            failures.append(part)


def _passage(part: Segment | FailedSegment, text: str | None, following: int | None) -> Segment | FailedSegment:
    if isinstance(part, FailedSegment) or part.start_char is None or text is None:
        return part
    end = following if following is not None else min(len(text), (part.end_char or part.start_char) + 1)
    piece = text[part.start_char : end]
    passage = piece.strip()
    start = part.start_char + len(piece) - len(piece.lstrip())
    return part._replace(start_char=start, end_char=start + len(passage), text=passage)

"""From a job's result files to vectors.

The result is found through `segmented-embedding-result.json`; its `outputFileUri`s are followed, whatever they are
called, and read line by line.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import orjson
from botocore.exceptions import ClientError

from lambdas.shared.assets import FailedSegment, Segment, StoredObject, Work, head_object
from lambdas.shared.catalog import Catalog
from lambdas.shared.errors import BadInputError, PermanentError, SupersededError
from lambdas.shared.nova import failure_sentence, read_line
from lambdas.shared.records import Head
from lambdas.shared.settings import IndexSettings
from lambdas.shared.vectors import VECTORS_A_CALL, VectorStore
from lambdas.shared.writing import Described, Written, clear_stale, commit, discard, fail, write_segments

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

Outcome = Literal["indexed", "partial", "failed", "superseded"]
RESULT = "segmented-embedding-result.json"


@dataclass(frozen=True)
class EndedJob:
    """`output_uri` is the folder that GetAsyncInvoke names, the job's id in it; or `failure` says why there is none."""

    work: Work
    output_uri: str | None
    failure: str | None


@dataclass
class Tally:
    """What has been read so far."""

    written: Written = field(default_factory=Written)
    failures: list[FailedSegment] = field(default_factory=list)


@dataclass(frozen=True)
class Index:
    """The clients of one function; `finish` is its step."""

    settings: IndexSettings
    s3: "S3Client"
    sqs: "SQSClient"
    store: VectorStore
    catalog: Catalog

    def finish(self, job: EndedJob) -> Outcome:
        """Index what a job made, or record that it failed. A job nobody wants any more changes nothing.

        ConflictError when somebody else wrote meanwhile; the state machine tries again.
        """
        tally = Tally()
        try:
            head = self._wanted(job.work)
            try:
                return self._index(job, head, tally)
            except PermanentError as error:
                self._confirmed(head, job.work)
                fail(job.work, error, self.store, self.catalog)
                return "failed"
        except SupersededError:
            discard(job.work, tally.written, self.store)
            clear_stale(job.work.asset_id, self.store, self.catalog)
            return "superseded"

    def _wanted(self, work: Work) -> Head:
        head = self.catalog.head(work.asset_id)
        if head is None or head.work != work:
            raise SupersededError(f"{work.name} is not wanted any more")
        return head

    def _index(self, job: EndedJob, head: Head, tally: Tally) -> Outcome:
        if job.output_uri is None:
            raise BadInputError(job.failure or "the job failed without saying why")
        stored = self._confirmed(head, job.work)
        self._write(job, Described(job.work, stored, head.modality or "", head.duration, []), tally)
        self._confirmed(head, job.work)
        if not tally.written.count:
            reason = tally.failures[0].reason if tally.failures else "the model found nothing to embed"
            raise BadInputError(f"no part of the file could be embedded: {reason}")
        commit(job.work, tally.written, tally.failures, self.store, self.catalog)
        return "partial" if tally.failures else "indexed"

    def _confirmed(self, head: Head, work: Work) -> StoredObject:
        """The object, if it is still what was wanted: a job reads whatever lies under the key when it runs."""
        stored = head_object(self.s3, self.settings.media_bucket, head.key)
        if stored is None or stored.generation(self.settings.profile) != work.generation:
            ring = orjson.dumps({"key": head.key}).decode()  # its own event may have been lost
            self.sqs.send_message(QueueUrl=self.settings.ingest_queue_url, MessageBody=ring)
            raise SupersededError(f"{head.key} changed while it was being embedded")
        return stored

    def _write(self, job: EndedJob, described: Described, tally: Tally) -> None:
        batch: list[Segment] = []
        for part in self._with_text(job, self._parts(job)):
            if isinstance(part, FailedSegment):
                tally.failures.append(part)
                continue
            batch.append(part)
            if len(batch) == VECTORS_A_CALL:
                self._put(replace(described, segments=batch), tally)
                batch = []
        if batch:
            self._put(replace(described, segments=batch), tally)

    def _put(self, described: Described, tally: Tally) -> None:
        tally.written.add(described.segments)
        if not write_segments([described], self.store, self.catalog):
            raise SupersededError(f"{described.work.name} may not write any more")

    # -- reading --------------------------------------------------------------------------------------------------

    def _parts(self, job: EndedJob) -> Iterator[Segment | FailedSegment]:
        """Every line of every result file; a file that is missing as a whole is one failure."""
        assert job.output_uri is not None
        result = orjson.loads(self._open(f"{job.output_uri.rstrip('/')}/{RESULT}").read())
        for entry in result.get("embeddingResults", []):
            embedding_type = entry.get("embeddingType", "UNKNOWN")
            uri = entry.get("outputFileUri")
            if not uri:
                yield FailedSegment(0, embedding_type, failure_sentence(entry))
                continue
            lines = (line for line in self._open(uri).iter_lines(chunk_size=1 << 16) if line.strip())
            for number, line in enumerate(lines):
                yield read_line(line, embedding_type, self.settings.profile.dimension, number)

    def _with_text(self, job: EndedJob, parts: Iterator[Segment | FailedSegment]) -> Iterator[Segment | FailedSegment]:
        """Give each piece of a staged text its passage.

        Whether an end position is inclusive is not settled in the documentation, so a piece ends where the next begins.
        """
        record = self.catalog.job(job.work)
        key = record and record.get("text_key")
        if not key:
            yield from parts
            return
        text = self._open(f"s3://{self.settings.output_bucket}/{key}").read().decode()
        before: Segment | FailedSegment | None = None
        for part in parts:
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


def _passage(part: Segment | FailedSegment, text: str, following: int | None) -> Segment | FailedSegment:
    if isinstance(part, FailedSegment) or part.start_char is None:
        return part
    end = following if following is not None else min(len(text), (part.end_char or part.start_char) + 1)
    piece = text[part.start_char : end]
    passage = piece.strip()
    start = part.start_char + len(piece) - len(piece.lstrip())
    return replace(part, start_char=start, end_char=start + len(passage), text=passage)

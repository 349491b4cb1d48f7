"""What a file needs before it can be embedded: opened by a decoder, converted, cut into pages, its text taken out.

Every way ends in one of three plans: a job that Bedrock runs, a result that is there already, or ranges of pages.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from lambdas.prepare import documents, media
from lambdas.shared import nova, results
from lambdas.shared.assets import StoredObject, Work, head_object
from lambdas.shared.budget import Budget
from lambdas.shared.catalog import Catalog
from lambdas.shared.derived import Derived
from lambdas.shared.errors import BadInputError, SupersededError, ThrottledError
from lambdas.shared.kinds import HEAD_BYTES, Kind, kind_of
from lambdas.shared.lengths import audio_length
from lambdas.shared.nova import Embedding, JobRequest, Nova
from lambdas.shared.pdf import open_pdf
from lambdas.shared.records import SETTLED, Head
from lambdas.shared.results import text_key
from lambdas.shared.settings import PrepareSettings
from lambdas.shared.source import Source

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient
    from mypy_boto3_s3 import S3Client

FILM_BYTES = 2_000_000_000
SOUND_BYTES = 5_000_000_000
PAGES_A_RANGE = 8
MOST_PAGES = 5_000


class Range(TypedDict):
    """Pages from 1, the last one included."""

    first: int
    last: int


class Plan(TypedDict, total=False):
    """A job to run, or a result to index, which is there when the pages of all `ranges` are."""

    request: JobRequest
    output_uri: str
    ranges: list[Range]


@dataclass(frozen=True)
class Task:
    """This work on this content. `head.derived` is filled where an earlier try of this attempt got that far."""

    work: Work
    source: Source
    head: Head
    model: Nova

    @property
    def stored(self) -> StoredObject:
        return self.source.stored

    @property
    def prefix(self) -> str:
        return f"jobs/{self.work.name}/"


@dataclass(frozen=True)
class Prepare:
    """The clients of one function; `plan` is its step."""

    settings: PrepareSettings
    s3: "S3Client"
    bedrock: "BedrockRuntimeClient"
    budget: Budget
    catalog: Catalog
    derived: Derived

    def plan(self, work: Work) -> Plan:
        """What is to be done for the file. PermanentError where nothing can be, SupersededError where it is not wanted.

        Repeating it does the same again: what it stages and derives has fixed names, its job a fixed token.
        """
        task = self._task(work)
        kind = kind_of(task.stored.key, task.source.read(0, HEAD_BYTES))
        self.catalog.open_derived(work)
        try:
            return self._by_kind(task, kind)
        except ThrottledError:
            self.catalog.wait(work)  # the state machine asks again
            raise
        finally:
            self.catalog.release(work)

    def _task(self, work: Work) -> Task:
        head = self.catalog.head(work.asset_id)
        if head is None or head.work != work or head.status in SETTLED:
            raise SupersededError(f"{work.name} is not wanted any more")
        stored = head_object(self.s3, self.settings.media_bucket, head.key)
        profile = self.settings.profiles.of(head.profile)
        if stored is None or profile is None or stored.content(profile) != head.content:
            raise SupersededError(f"{head.key} changed before it was prepared")
        return Task(work, Source(self.s3, stored), head, Nova(self.bedrock, profile, self.budget))

    def _by_kind(self, task: Task, kind: Kind) -> Plan:
        match kind.family:
            case "media":
                return self._medium(task)
            case "pdf":
                return self._pdf(task)
            case "document" | "markup":
                return self._text(task, kind)
        raise AssertionError(f"ingest embeds a {kind.family} itself")

    # -- sounds and films -------------------------------------------------------------------------------------------

    def _medium(self, task: Task) -> Plan:
        medium = media.look(task.source.open().buffered(), task.source.read(0, HEAD_BYTES))
        seconds = task.head.duration if task.head.derived else medium.seconds
        self.catalog.describe(task.work, medium.modality, seconds, task.head.derived)
        if medium.modality == "video":
            return self._film(task, medium)
        return self._sound(task, medium)

    def _sound(self, task: Task, medium: media.Medium) -> Plan:
        size = task.stored.size
        if size > SOUND_BYTES:
            raise BadInputError(f"the sound has {size:,} bytes; {SOUND_BYTES:,} is the most")
        if medium.media_format:
            audio_length(medium.media_format, size, task.source.read)  # tells a file that was cut off
        _check_length(medium.seconds)
        as_it_is = medium.media_format if size <= nova.AUDIO_BYTES else None
        key = f"{task.prefix}input.mp3"
        seconds = task.head.duration if task.head.derived else self._hear(task, None if as_it_is else key)
        assert seconds is not None
        uri = task.stored.uri if as_it_is else f"s3://{self.settings.output_bucket}/{key}"
        short = nova.is_short_medium(seconds, size if as_it_is else 0)  # 30 s of MP3 are never too large
        return self._embed(task, "audio", as_it_is or "mp3", uri, seconds, short)

    def _hear(self, task: Task, staged: str | None) -> float:
        """Its seconds, its peaks derived, and an MP3 staged under that key. Done once for all the times it is asked."""
        with tempfile.TemporaryDirectory() as folder:
            mp3 = Path(folder, "sound.mp3") if staged else None
            heard = media.listen(task.source.open().buffered(), nova.MEDIA_SECONDS, mp3)
            _check_length(heard.seconds)
            if mp3 and staged:
                self.s3.upload_file(str(mp3), self.settings.output_bucket, staged)
        self.derived.put(task.work, "peaks", heard.peaks, "application/octet-stream")
        self.catalog.describe(task.work, "audio", heard.seconds, {"peaks": len(heard.peaks)})
        return heard.seconds

    def _film(self, task: Task, medium: media.Medium) -> Plan:
        size = task.stored.size
        if size > FILM_BYTES:
            raise BadInputError(f"the film has {size:,} bytes; Nova takes {FILM_BYTES:,}")
        _check_length(medium.seconds)
        if medium.seconds <= 0:
            raise BadInputError("the film does not say how long it lasts: it is broken, or was cut off")
        seconds = nova.segment_seconds(task.model.profile, medium.seconds)
        short = nova.is_short_medium(medium.seconds, size)
        starts = [0.0] if short else [float(start) for start in range(0, int(medium.seconds), seconds)]
        if not task.head.derived:
            count = self._derive_frames(task, starts)
            self.catalog.describe(task.work, "video", medium.seconds, {"frames": count} if count else {})
        return self._embed(task, "video", str(medium.media_format), task.stored.uri, medium.seconds, short)

    def _derive_frames(self, task: Task, starts: list[float]) -> int:
        number = 0
        for number, frame in enumerate(media.frames(task.source.open().buffered(), starts), 1):
            self.derived.put(task.work, f"frame-{number - 1}", frame, "image/jpeg")
        return number

    def _embed(self, task: Task, kind: str, media_format: str, uri: str, seconds: float, short: bool) -> Plan:
        """At once where the model takes it so, else by a job."""
        if short:
            place = {"segmentStartSeconds": 0.0, "segmentEndSeconds": round(seconds, 3)}
            return self._result(task, task.model.embed_media(kind, media_format, uri), place)
        each = nova.segment_seconds(task.model.profile, seconds)
        return Plan(request=task.model.media_job(kind, media_format, uri, each, self._job_uri(task)))

    # -- documents --------------------------------------------------------------------------------------------------

    def _pdf(self, task: Task) -> Plan:
        """Its pages are pictures, which the ranges render and embed; the result names their files beforehand."""
        with open_pdf(task.source) as pdf:
            count = len(pdf)
        if count > MOST_PAGES:
            raise BadInputError(f"the document has {count:,} pages; {MOST_PAGES:,} is the most")
        self.catalog.describe(task.work, "document", None, {"pages": count})
        ranges = ranges_of(count)
        return Plan(
            output_uri=self._write_result(task, list(_page_entries(task, self.settings.output_bucket, ranges))),
            ranges=ranges,
        )

    def _text(self, task: Task, kind: Kind) -> Plan:
        self.catalog.describe(task.work, kind.modality)
        text = documents.text_of(task.source, kind)
        key = text_key(task.work)
        chars = nova.text_chars(task.model.profile, len(text))
        self.s3.put_object(Bucket=self.settings.output_bucket, Key=key, Body=text.encode())
        if nova.is_short_text(task.model.profile, len(text)):
            place = {"segmentStartCharPosition": 0, "segmentEndCharPosition": len(text), "text": text}
            return self._result(task, [task.model.embed_text(text)], place)
        uri = f"s3://{self.settings.output_bucket}/{key}"
        return Plan(request=task.model.text_job(uri, chars, self._job_uri(task)))

    # -- plans ------------------------------------------------------------------------------------------------------

    def _job_uri(self, task: Task) -> str:
        return f"s3://{self.settings.output_bucket}/{task.prefix}"

    def _result(self, task: Task, embeddings: list[Embedding], place: dict[str, Any]) -> Plan:
        entries = []
        for one in embeddings:
            key = f"{task.prefix}own/{one.embedding_type.lower()}.jsonl"
            uri = results.write_lines(self.s3, self.settings.output_bucket, key, [results.line(0, one.values, place)])
            entries.append({"embeddingType": one.embedding_type, "outputFileUri": uri})
        return Plan(output_uri=self._write_result(task, entries))

    def _write_result(self, task: Task, entries: list[dict[str, Any]]) -> str:
        return results.write_result(self.s3, self.settings.output_bucket, f"{task.prefix}own/", entries)


def ranges_of(count: int) -> list[Range]:
    """All pages of a document, so many to a function."""
    return [
        Range(first=first, last=min(first + PAGES_A_RANGE - 1, count)) for first in range(1, count + 1, PAGES_A_RANGE)
    ]


def _check_length(seconds: float) -> None:
    if seconds > nova.MEDIA_SECONDS:
        raise BadInputError(f"it lasts {seconds / 3600:.1f} hours; Nova takes 2")


def _page_entries(task: Task, bucket: str, ranges: list[Range]) -> Iterator[dict[str, Any]]:
    for one in ranges:
        uri = f"s3://{bucket}/{results.pages_key(task.work, one['first'])}"
        yield {"embeddingType": "IMAGE", "outputFileUri": uri, "pages": [one["first"], one["last"]]}

"""Amazon Nova Multimodal Embeddings: requests, and what comes back (Amazon Nova user guide, "Complete embeddings
request and response schema")."""

import io
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import orjson
from botocore.exceptions import ClientError

from lambdas.shared.assets import FailedSegment, Segment
from lambdas.shared.budget import Budget
from lambdas.shared.errors import BadInputError, ThrottledError
from lambdas.shared.profiles import Profile
from lambdas.shared.vectors import LARGE, NO_VECTOR, SMALL, problem_of

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient

# Amazon Nova user guide, "Using Amazon Nova Embeddings": limits of calls and jobs.
SYNC_TEXT_CHARS = 8_192
SYNC_MEDIA_SECONDS = 30
SYNC_MEDIA_BYTES = 100_000_000
IMAGE_BYTES = 50_000_000
AUDIO_BYTES = 1_000_000_000
MEDIA_SECONDS = 2 * 3600
MEDIA_SEGMENTS = 1_434
TEXT_SEGMENTS = 1_900
TEXT_SEGMENT_CHARS = 800  # at least
# Beyond these nothing that Nova says of a part can be true.
MAX_SEGMENTS = 100_000
MAX_SECONDS = 1_000_000
MAX_CHARS = 1_000_000_000
NUMBERS = (float, int)

OPENING, SPACED_OPENING = b'{"embedding":[', re.compile(rb'\s*\{\s*"embedding"\s*:\s*\[')
READ_BYTES = 1 << 18
LINE_BYTES = 1 << 20  # 3,072 numbers take 70 KB
MESSAGE_CHARS = 400  # a hundred failures share an item of the catalog

PURPOSES = {
    "text": "TEXT_RETRIEVAL",
    "image": "IMAGE_RETRIEVAL",
    "document": "DOCUMENT_RETRIEVAL",
    "audio": "AUDIO_RETRIEVAL",
    "video": "VIDEO_RETRIEVAL",
}
THROTTLES = ("ThrottlingException", "ServiceQuotaExceededException", "ServiceUnavailableException")
REASONS = {
    "RAI_VIOLATION_INPUT_TEXT_DEFLECTION": "the model declined this text under its content policy",
    "RAI_VIOLATION_INPUT_IMAGE_DEFLECTION": "the model declined this picture under its content policy",
    "INVALID_CONTENT": "the model could not read this part",
    "RATE_LIMIT_EXCEEDED": "the model was too busy for this part",
    "INTERNAL_SERVER_EXCEPTION": "the model failed on this part",
}


@dataclass(frozen=True)
class Embedding:
    """One vector of a synchronous call and what it saw (TEXT, IMAGE, AUDIO, …)."""

    embedding_type: str
    values: list[float]

    @property
    def array(self) -> bytes:
        """As JSON."""
        return orjson.dumps(self.values)


class JobRequest(TypedDict):
    """What StartAsyncInvoke takes, but for its token."""

    modelId: str
    modelInput: dict[str, Any]
    outputDataConfig: dict[str, Any]


def start_job(client: "BedrockRuntimeClient", request: JobRequest, token: str) -> str:
    """The invocation's ARN. The same token again is the same job. ThrottledError, BadInputError."""
    try:
        return client.start_async_invoke(**request, clientRequestToken=token)["invocationArn"]  # type: ignore[arg-type]
    except ClientError as error:
        raise _translated(error) from error


class Nova:
    """One profile's model behind one Bedrock client; with a budget, each request is taken from it."""

    def __init__(self, client: "BedrockRuntimeClient", profile: Profile, budget: Budget | None = None) -> None:
        self._client = client
        self._budget = budget
        self.profile = profile

    def embed_text(self, text: str, purpose: str = "GENERIC_INDEX") -> Embedding:
        return self._embed(purpose, {"text": {"truncationMode": "END", "value": text[:SYNC_TEXT_CHARS]}})

    def embed_query(self, kind: str, media_format: str, source: Mapping[str, Any], purpose: str) -> Embedding:
        """A picture, sound or film to search with: `{"bytes": base64}` or `{"s3Location": {"uri"}}`.

        Of a film one vector, of pictures and sound together, whatever the profile keeps apart.
        """
        more: dict[str, str] = {}
        if kind == "image":
            more = {"detailLevel": "DOCUMENT_IMAGE" if purpose == "DOCUMENT_RETRIEVAL" else self.profile.detail_level}
        if kind == "video":
            more = {"embeddingMode": "AUDIO_VIDEO_COMBINED"}
        return self._embed(purpose, {kind: {"format": media_format, "source": source, **more}})

    def embed_image(self, media_format: str, uri: str) -> Embedding:
        """A whole picture; Bedrock reads it from S3 with our rights."""
        return self._embed_picture(media_format, uri, self.profile.detail_level)

    def embed_page(self, media_format: str, uri: str) -> Embedding:
        """The picture of a page."""
        return self._embed_picture(media_format, uri, "DOCUMENT_IMAGE")

    def embed_media(self, kind: str, media_format: str, uri: str) -> list[Embedding]:
        """A whole sound or film of at most 30 s; two of a film whose sound is to be embedded apart."""
        return self._embed_all("GENERIC_INDEX", {kind: self._medium(kind, media_format, uri)})

    def text_job(self, uri: str, chars: int, output_uri: str) -> JobRequest:
        """A job over staged UTF-8 text, cut into pieces of `chars`."""
        source = {
            "truncationMode": "END",
            "source": _source(uri),
            "segmentationConfig": {"maxLengthChars": chars},
        }
        return self._job({"text": source}, output_uri)

    def media_job(self, kind: str, media_format: str, uri: str, seconds: int, output_uri: str) -> JobRequest:
        """A job over a sound or film, cut into segments of `seconds`."""
        medium = self._medium(kind, media_format, uri) | {"segmentationConfig": {"durationSeconds": seconds}}
        return self._job({kind: medium}, output_uri)

    def _embed_picture(self, media_format: str, uri: str, detail: str) -> Embedding:
        content = {"format": media_format, "source": _source(uri), "detailLevel": detail}
        return self._embed("GENERIC_INDEX", {"image": content})

    def _medium(self, kind: str, media_format: str, uri: str) -> dict[str, Any]:
        mode = {"embeddingMode": self.profile.embedding_mode} if kind == "video" else {}
        return {"format": media_format, "source": _source(uri), **mode}

    def _embed(self, purpose: str, content: dict[str, Any]) -> Embedding:
        return self._embed_all(purpose, content)[0]

    def _embed_all(self, purpose: str, content: dict[str, Any]) -> list[Embedding]:
        params = {"embeddingPurpose": purpose, "embeddingDimension": self.profile.dimension, **content}
        body = {
            "schemaVersion": "nova-multimodal-embed-v1",
            "taskType": "SINGLE_EMBEDDING",
            "singleEmbeddingParams": params,
        }
        if self._budget:
            self._budget.take()
        try:
            answer = self._client.invoke_model(modelId=self.profile.model_id, body=orjson.dumps(body))
        except ClientError as error:
            raise _translated(error) from error
        embeddings = orjson.loads(answer["body"].read())["embeddings"]
        for one in embeddings:
            if problem := problem_of(one["embedding"], self.profile.dimension):
                raise BadInputError(problem)
        return [Embedding(one["embeddingType"], one["embedding"]) for one in embeddings]

    def _job(self, content: dict[str, Any], output_uri: str) -> JobRequest:
        params = {"embeddingPurpose": "GENERIC_INDEX", "embeddingDimension": self.profile.dimension, **content}
        return JobRequest(
            modelId=self.profile.model_id,
            modelInput={
                "schemaVersion": "nova-multimodal-embed-v1",
                "taskType": "SEGMENTED_EMBEDDING",
                "segmentedEmbeddingParams": params,
            },
            outputDataConfig={"s3OutputDataConfig": {"s3Uri": output_uri}},
        )


def is_short_text(profile: Profile, chars: int) -> bool:
    """Whether a text is one piece, which is embedded at once and not by a job."""
    return chars <= profile.text_chars


def is_short_medium(seconds: float, size: int) -> bool:
    """Whether a sound or film of that length and size (bytes) is embedded at once and not by a job."""
    return seconds <= SYNC_MEDIA_SECONDS and size <= SYNC_MEDIA_BYTES


def segment_seconds(profile: Profile, duration: float | None) -> int:
    """The profile's segment length, raised where a file of that length would pass the cap of 1,434 segments."""
    if duration is None:
        return profile.segment_seconds
    return max(profile.segment_seconds, -int(-duration // MEDIA_SEGMENTS))


def text_chars(profile: Profile, length: int) -> int:
    """The profile's piece length, raised where a text of that length would pass the cap of 1,900 pieces.

    Pieces end at word boundaries, so they come out shorter than asked for: an eighth more is left as room.
    """
    return max(profile.text_chars, TEXT_SEGMENT_CHARS, -(-length * 9 // (TEXT_SEGMENTS * 8)))


def read_lines(stream: Any, embedding_type: str, dimension: int) -> Iterator[Segment | FailedSegment]:
    """Every line of a job's JSONL, read from a binary stream no further ahead than a line.

    One that is longer than any answer is taken in pieces, which are no JSON.
    """
    number = 0
    with io.BufferedReader(stream, READ_BYTES) as reader:
        while line := reader.readline(LINE_BYTES):
            if not line.isspace():
                yield read_line(line, embedding_type, dimension, number)
                number += 1


def read_line(line: bytes, embedding_type: str, dimension: int, position: int) -> Segment | FailedSegment:
    """One line of a job's JSONL; anything that is no usable vector becomes a failed segment with its reason.

    The place is in `segmentMetadata`; some articles show `startTime`/`endTime` beside the embedding instead, so they
    are used where it is missing. A line that does not say its number has that of its position.
    """
    try:
        record = _decoded(line)
        return _usual_segment(record, line, embedding_type, dimension) or _read_record(
            record, line, embedding_type, dimension, position
        )
    except (ValueError, RecursionError):
        return FailedSegment(position, embedding_type, "the model's answer for this part is not JSON")


def _usual_segment(record: Any, line: bytes, embedding_type: str, dimension: int) -> Segment | None:
    """The segment of a line that is as Nova writes those of sounds and films; None where anything is otherwise.

    It checks what `_read_record` does, in the least steps: this is where an index function spends its time.
    """
    try:
        numbers = record["embedding"]
        place = record["segmentMetadata"]
        number, start, end = place["segmentIndex"], place["segmentStartSeconds"], place["segmentEndSeconds"]
        if (
            record["status"] == "SUCCESS"
            and len(place) == 3
            and type(number) is int
            and 0 <= number < MAX_SEGMENTS
            and type(start) is type(end) is float
            and 0 <= start < MAX_SECONDS
            and 0 <= end < MAX_SECONDS
            and type(numbers) is list
            and len(numbers) == dimension
            and SMALL < math.hypot(*numbers) < LARGE
            and (array := _cut_array(line))
        ):
            return Segment(number, embedding_type, array, start, end)
    except (KeyError, TypeError, OverflowError):
        pass
    return None


def _read_record(
    record: Any, line: bytes, embedding_type: str, dimension: int, position: int
) -> Segment | FailedSegment:
    if not isinstance(record, dict):
        return FailedSegment(position, embedding_type, "the model's answer for this part is not an object")
    number, start, end, start_char, end_char = _place(record, position)
    page, text = _ours(record)
    if problem := _place_problem(number, start, end, start_char, end_char):  # the number may be what is wrong
        return FailedSegment(position, embedding_type, problem)

    def failed(reason: str) -> FailedSegment:
        return FailedSegment(number, embedding_type, reason, start, end, start_char, end_char, page)

    if record.get("status", "SUCCESS") != "SUCCESS":
        return failed(failure_sentence(record))
    numbers: Any = record.get("embedding")
    if problem := problem_of(numbers, dimension):
        return failed(problem)
    array = _array(line, numbers)
    if array is None:
        return failed(NO_VECTOR)
    return Segment(number, embedding_type, array, start, end, start_char, end_char, page, text)


def _decoded(line: bytes) -> Any:
    """ValueError or RecursionError where it is no JSON. NaN and the like are none, but get a reason of their own."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return json.loads(line)


def _array(line: bytes, numbers: list[float]) -> bytes | memoryview | None:
    """The line's numbers as JSON; None where some are `true` or `false`, which are numbers to Python."""
    if bool in set(map(type, numbers)):
        return None
    return _cut_array(line) or orjson.dumps([float(number) for number in numbers])


def _cut_array(line: bytes) -> memoryview | None:
    """The text of a line's numbers, where the embedding comes first, as Nova writes it.

    The first `]` ends an array that holds nothing but numbers; None where `true` or `false` may be among them. Should
    the name come twice, the last one counts, so there is nothing to cut.
    """
    if line.startswith(OPENING):
        start = len(OPENING) - 1
    elif spaced := SPACED_OPENING.match(line):
        start = spaced.end() - 1
    else:
        return None
    end = line.index(b"]") + 1
    if line.find(b'"embedding"', end) >= 0 or line.find(b"\\", end) >= 0:
        return None
    return None if line.find(b"t", start, end) >= 0 or line.find(b"f", start, end) >= 0 else memoryview(line)[start:end]


def failure_sentence(record: Mapping[str, Any]) -> str:
    """A failure of Nova's as a person would say it."""
    reason = str(record.get("failureReason") or "no reason given")
    sentence = REASONS.get(reason, f"the model gave no vector ({reason[:100]})")
    message = record.get("message")
    whole = f"{sentence}: {str(message)[:MESSAGE_CHARS]}" if message else sentence
    return whole.encode(errors="replace").decode()  # JSON can hold half a character, which nothing else takes


def _place(record: Mapping[str, Any], position: int) -> tuple[Any, Any, Any, Any, Any]:
    """Number, seconds and characters as the line says them."""
    meta = record.get("segmentMetadata")
    if not isinstance(meta, dict):
        return position, record.get("startTime"), record.get("endTime"), None, None
    get = meta.get
    return (
        get("segmentIndex", position),
        get("segmentStartSeconds"),
        get("segmentEndSeconds"),
        get("segmentStartCharPosition"),
        get("segmentEndCharPosition"),
    )


def _ours(record: Mapping[str, Any]) -> tuple[int | None, str | None]:
    """Page and text, which only results of our own say."""
    meta = record.get("segmentMetadata")
    page, text = (meta.get("page"), meta.get("text")) if isinstance(meta, dict) else (None, None)
    return page if type(page) is int else None, text if isinstance(text, str) else None


def _place_problem(number: Any, start: Any, end: Any, start_char: Any, end_char: Any) -> str | None:
    if type(number) is not int or not 0 <= number < MAX_SEGMENTS:
        return f"the model gave this part the number {str(number)[:40]}, which is none"
    for seconds in (start, end):
        if seconds is not None and not (type(seconds) in NUMBERS and 0 <= seconds < MAX_SECONDS):
            return f"the model says this part is at second {str(seconds)[:40]}, which is no time"
    if start_char is None and end_char is None:
        return None
    for character in (start_char, end_char):
        if character is not None and not (type(character) is int and 0 <= character < MAX_CHARS):
            return f"the model says this part is at character {str(character)[:40]}, which is no place"
    return None


def _source(uri: str) -> dict[str, Any]:
    return {"s3Location": {"uri": uri}}


def _translated(error: ClientError) -> Exception:
    code = error.response["Error"]["Code"]
    if code in THROTTLES:
        return ThrottledError(str(error))
    if code == "ValidationException":
        return BadInputError(error.response["Error"]["Message"])
    return error

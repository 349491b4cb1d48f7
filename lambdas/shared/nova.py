"""Amazon Nova Multimodal Embeddings: requests, and what comes back (Amazon Nova user guide, "Complete embeddings
request and response schema")."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from botocore.exceptions import ClientError

from lambdas.shared.assets import FailedSegment, Segment, Work
from lambdas.shared.errors import BadInputError, ThrottledError
from lambdas.shared.settings import Profile

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
    values: Sequence[float]


class Nova:
    """One profile's model behind one Bedrock client."""

    def __init__(self, client: "BedrockRuntimeClient", profile: Profile) -> None:
        self._client = client
        self._profile = profile

    def embed_text(self, text: str, purpose: str = "GENERIC_INDEX") -> Embedding:
        return self._embed(purpose, {"text": {"truncationMode": "END", "value": text[:SYNC_TEXT_CHARS]}})

    def embed_media(self, kind: str, media_format: str, uri: str) -> Embedding:
        """A whole image, or a sound of at most 30 s; Bedrock reads it from S3 with our rights."""
        return self._embed("GENERIC_INDEX", {kind: {"format": media_format, "source": _source(uri)}})

    def start_text(self, work: Work, uri: str, chars: int, output_uri: str) -> str:
        """Start a job over staged UTF-8 text, cut into pieces of `chars`; the invocation's ARN."""
        source = {
            "truncationMode": "END",
            "source": _source(uri),
            "segmentationConfig": {"maxLengthChars": chars},
        }
        return self._start(work, {"text": source}, output_uri)

    def start_media(self, work: Work, kind: str, media_format: str, uri: str, seconds: int, output_uri: str) -> str:
        """Start a job over a sound or film, cut into segments of `seconds`; the invocation's ARN."""
        source = {
            "format": media_format,
            "source": _source(uri),
            "segmentationConfig": {"durationSeconds": seconds},
        }
        return self._start(work, {kind: source}, output_uri)

    def _embed(self, purpose: str, content: dict[str, Any]) -> Embedding:
        params = {"embeddingPurpose": purpose, "embeddingDimension": self._profile.dimension, **content}
        body = {
            "schemaVersion": "nova-multimodal-embed-v1",
            "taskType": "SINGLE_EMBEDDING",
            "singleEmbeddingParams": params,
        }
        try:
            answer = self._client.invoke_model(modelId=self._profile.model_id, body=orjson.dumps(body))
        except ClientError as error:
            raise _translated(error) from error
        first = orjson.loads(answer["body"].read())["embeddings"][0]
        if problem := _problem(first["embedding"], self._profile.dimension):
            raise BadInputError(problem)
        return Embedding(first["embeddingType"], first["embedding"])

    def _start(self, work: Work, content: dict[str, Any], output_uri: str) -> str:
        params = {"embeddingPurpose": "GENERIC_INDEX", "embeddingDimension": self._profile.dimension, **content}
        body = {
            "schemaVersion": "nova-multimodal-embed-v1",
            "taskType": "SEGMENTED_EMBEDDING",
            "segmentedEmbeddingParams": params,
        }
        try:
            answer = self._client.start_async_invoke(
                modelId=self._profile.model_id,
                modelInput=body,
                clientRequestToken=work.name,
                outputDataConfig={"s3OutputDataConfig": {"s3Uri": output_uri}},
            )
        except ClientError as error:
            raise _translated(error) from error
        return answer["invocationArn"]


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


def read_line(line: bytes, embedding_type: str, dimension: int, fallback_number: int) -> Segment | FailedSegment:
    """One line of a job's JSONL; anything that is no usable vector becomes a failed segment with its reason.

    The place is in `segmentMetadata`; some articles show `startTime`/`endTime` beside the embedding instead, so they
    are used where it is missing.
    """
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return FailedSegment(fallback_number, embedding_type, "the model's answer for this part is not JSON")
    if not isinstance(record, dict):
        return FailedSegment(fallback_number, embedding_type, "the model's answer for this part is not an object")
    number, place = _place(record, fallback_number)
    if record.get("status", "SUCCESS") != "SUCCESS":
        return FailedSegment(number, embedding_type, failure_sentence(record), **place)
    problem = _problem(record.get("embedding"), dimension)
    if problem:
        return FailedSegment(number, embedding_type, problem, **place)
    return Segment(number, embedding_type, record["embedding"], **place)


def failure_sentence(record: Mapping[str, Any]) -> str:
    """A failure of Nova's as a person would say it."""
    reason = str(record.get("failureReason") or "no reason given")
    sentence = REASONS.get(reason, f"the model gave no vector ({reason})")
    message = record.get("message")
    return f"{sentence}: {message}" if message else sentence


def _place(record: Mapping[str, Any], fallback_number: int) -> tuple[int, dict[str, Any]]:
    meta = record.get("segmentMetadata")
    if not isinstance(meta, dict):
        return fallback_number, {"start": record.get("startTime"), "end": record.get("endTime")}
    return meta.get("segmentIndex", fallback_number), {
        "start": meta.get("segmentStartSeconds"),
        "end": meta.get("segmentEndSeconds"),
        "start_char": meta.get("segmentStartCharPosition"),
        "end_char": meta.get("segmentEndCharPosition"),
    }


def _problem(embedding: Any, dimension: int) -> str | None:
    if not isinstance(embedding, list) or not all(type(number) in (float, int) for number in embedding):
        return "the model's answer for this part holds no vector"
    if len(embedding) != dimension:
        return f"the model answered with {len(embedding)} numbers instead of {dimension}"
    if not any(embedding):
        return "the model answered with a vector of zeros, which has no direction"
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

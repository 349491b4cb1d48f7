"""What Amazon Nova Multimodal Embeddings takes: its request schema and limits.

Source: Amazon Nova User Guide, "Complete embeddings request and response schema". A megabyte here is 1,000,000 bytes,
the smaller reading of the guide: what fits on the laptop fits on AWS. Where the guide's table and its list of limits
differ (input of an asynchronous call inline or from S3 only), the laptop refuses what either excludes.
"""

import base64
import binascii
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from local.bedrock.text import TruncationMode
from local.bedrock.violations import integer, json_type, malformed

MODEL = "amazon.nova-2-multimodal-embeddings-v1:0"
MB = 1_000_000
MAX_INLINE_BASE64 = 25 * MB
MAX_INLINE_CHARS = 8_192  # of `value`, beyond which NONE refuses and START and END cut
MAX_TEXT_CHARS = 50_000
MAX_SYNC_BYTES = {"text": 1 * MB, "image": 50 * MB, "audio": 100 * MB, "video": 100 * MB}
MAX_ASYNC_BYTES = {"text": 634 * MB, "image": 50 * MB, "audio": 1_000 * MB, "video": 2_000 * MB}

Kind = Literal["text", "image", "audio", "video"]


def _decode(value: object) -> bytes:
    if not isinstance(value, str):
        raise ValueError(f"expected type: String, found: {json_type(value)}")
    if len(value) > MAX_INLINE_BASE64:
        raise ValueError(f"expected maxLength: {MAX_INLINE_BASE64}, actual: {len(value)}")
    try:
        content = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("is not base64") from error
    if not content:
        raise ValueError("is empty")
    return content


def _not_null(value: object) -> object:
    if value is None:
        raise ValueError("expected a value, found: Null")
    return value


_T = TypeVar("_T")
_Optional = Annotated[_T | None, BeforeValidator(_not_null)]
"""What may be left out, but not be null."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, alias_generator=to_camel)


class S3Location(_Strict):
    uri: Annotated[str, Field(pattern=r"^s3://[a-z0-9][.\-a-z0-9]{1,61}[a-z0-9]/(?s:.+)$")]
    bucket_owner: _Optional[Annotated[str, Field(pattern=r"^[0-9]{12}$")]] = None


class Source(_Strict):
    content: _Optional[Annotated[bytes, BeforeValidator(_decode)]] = Field(default=None, alias="bytes")
    s3_location: _Optional[S3Location] = None

    @model_validator(mode="after")
    def _one(self) -> "Source":
        if (self.content is None) == (self.s3_location is None):
            raise ValueError("exactly one of [bytes, s3Location] is required")
        return self


class _Medium(_Strict):
    kind: ClassVar[Kind]


class _Text(_Medium):
    kind = "text"
    truncation_mode: TruncationMode

    @model_validator(mode="after")
    def _no_bytes(self) -> "_Text":
        source: Source | None = getattr(self, "source", None)
        if source and source.content is not None:
            raise ValueError("a text's source takes s3Location only, not bytes")
        return self


class SingleText(_Text):
    value: _Optional[Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARS)]] = None
    source: _Optional[Source] = None

    @model_validator(mode="after")
    def _one(self) -> "SingleText":
        if (self.value is None) == (self.source is None):
            raise ValueError("exactly one of [value, source] is required")
        if self.value and self.truncation_mode == "NONE" and len(self.value) > MAX_INLINE_CHARS:
            raise ValueError(f"value: expected maxLength: {MAX_INLINE_CHARS}, actual: {len(self.value)}")
        return self


class _TextSegmentation(_Strict):
    max_length_chars: Annotated[int, Field(ge=800, le=50_000)] = 32_000


class SegmentedText(_Text):
    source: Source
    segmentation_config: _TextSegmentation


class Image(_Medium):
    kind = "image"
    format: Literal["png", "jpeg", "gif", "webp"]
    source: Source
    detail_level: Literal["STANDARD_IMAGE", "DOCUMENT_IMAGE"] = "STANDARD_IMAGE"


class Audio(_Medium):
    kind = "audio"
    format: Literal["mp3", "wav", "ogg"]
    source: Source


class Video(_Medium):
    kind = "video"
    format: Literal["mp4", "mov", "mkv", "webm", "flv", "mpeg", "mpg", "wmv", "3gp"]
    source: Source
    embedding_mode: Literal["AUDIO_VIDEO_COMBINED", "AUDIO_VIDEO_SEPARATE"]


Medium = SingleText | SegmentedText | Image | Audio | Video


class _TimeSegmentation(_Strict):
    duration_seconds: Annotated[int, Field(ge=1, le=30)] = 5


class SegmentedAudio(Audio):
    segmentation_config: _TimeSegmentation


class SegmentedVideo(Video):
    segmentation_config: _TimeSegmentation


class _Params(_Strict):
    embedding_purpose: Literal[
        "GENERIC_INDEX",
        "GENERIC_RETRIEVAL",
        "TEXT_RETRIEVAL",
        "IMAGE_RETRIEVAL",
        "VIDEO_RETRIEVAL",
        "DOCUMENT_RETRIEVAL",
        "AUDIO_RETRIEVAL",
        "CLASSIFICATION",
        "CLUSTERING",
    ]
    embedding_dimension: Annotated[Literal[256, 384, 1024, 3072], BeforeValidator(integer)] = 3072
    image: _Optional[Image] = None

    @model_validator(mode="after")
    def _one_medium(self) -> "_Params":
        given = [name for name in ("text", "image", "audio", "video") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"exactly one of [text, image, audio, video] is required, found: [{', '.join(given)}]")
        return self


class SingleParams(_Params):
    text: _Optional[SingleText] = None
    audio: _Optional[Audio] = None
    video: _Optional[Video] = None

    @property
    def medium(self) -> SingleText | Image | Audio | Video:
        found = self.text or self.image or self.audio or self.video
        assert found
        return found


class SegmentedParams(_Params):
    text: _Optional[SegmentedText] = None
    audio: _Optional[SegmentedAudio] = None
    video: _Optional[SegmentedVideo] = None

    @property
    def medium(self) -> SegmentedText | Image | SegmentedAudio | SegmentedVideo:
        found = self.text or self.image or self.audio or self.video
        assert found
        return found

    @property
    def location(self) -> S3Location:
        found = self.medium.source.s3_location
        assert found
        return found

    @model_validator(mode="after")
    def _in_s3(self) -> "SegmentedParams":
        if self.medium.source.s3_location is None:
            raise ValueError(f"{self.medium.kind}/source: asynchronous input is read from S3, s3Location is required")
        return self


class _Request(_Strict):
    schema_version: Literal["nova-multimodal-embed-v1"] = "nova-multimodal-embed-v1"


class _SingleRequest(_Request):
    task_type: Literal["SINGLE_EMBEDDING"]
    single_embedding_params: SingleParams


class _SegmentedRequest(_Request):
    task_type: Literal["SEGMENTED_EMBEDDING"]
    segmented_embedding_params: SegmentedParams


def read_single(body: Any) -> SingleParams:
    """The parameters of an InvokeModel body, or `ValidationException`."""
    try:
        return _SingleRequest.model_validate(body).single_embedding_params
    except ValidationError as error:
        raise malformed(error) from error


def read_segmented(model_input: Any) -> SegmentedParams:
    """The parameters of a StartAsyncInvoke's `modelInput`, or `ValidationException`."""
    try:
        return _SegmentedRequest.model_validate(model_input).segmented_embedding_params
    except ValidationError as error:
        raise malformed(error) from error

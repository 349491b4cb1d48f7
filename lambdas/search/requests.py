"""What the routes take. What is not named here is refused by its name."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Modality = Literal["text", "image", "document", "audio", "video"]
Mode = Literal["vector", "text", "hybrid"]
Part = Literal["text", "image", "audio", "video", "asset", "vector"]
Purpose = Literal[
    "GENERIC_RETRIEVAL",
    "TEXT_RETRIEVAL",
    "IMAGE_RETRIEVAL",
    "DOCUMENT_RETRIEVAL",
    "AUDIO_RETRIEVAL",
    "VIDEO_RETRIEVAL",
]
QUERY_CHARS = 8_192
MAX_DIMENSION = 4_096
Number = Annotated[float, Field(allow_inf_nan=False)]


class Request(BaseModel):
    """Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")


class Medium(Request):
    """A picture, sound or film: its bytes, or the `key` that `POST /uploads` gave with the purpose `query`.

    Its format is read from its bytes.
    """

    base64: str | None = Field(default=None, min_length=1, description="at most 4 MB of content")
    upload: str | None = Field(default=None, min_length=1, max_length=1024)


class AssetPart(Request):
    """What is indexed already: the part at a second or page, or with neither the mean of the whole."""

    asset_id: str
    start: float | None = Field(default=None, ge=0, allow_inf_nan=False, description="a second within the part")
    page: int | None = Field(default=None, ge=1)


class QueryVector(Request):
    """A vector of a profile's model."""

    profile: str
    values: list[Number] = Field(min_length=1, max_length=MAX_DIMENSION)


class Query(Request):
    """What to look for; several together are one question, each as heavy as its weight says (1 if it has none)."""

    text: str | None = Field(default=None, min_length=1, max_length=QUERY_CHARS, description="a sentence")
    image: Medium | None = None
    audio: Medium | None = None
    video: Medium | None = None
    asset: AssetPart | None = None
    vector: QueryVector | None = None
    weights: dict[Part, Annotated[float, Field(ge=0, le=1000)]] | None = None

    @property
    def parts(self) -> list[Part]:
        """The names of what is given."""
        names: tuple[Part, ...] = ("text", "image", "audio", "video", "asset", "vector")
        return [name for name in names if getattr(self, name) is not None]


class Sort(Request):
    """`by` is `relevance`, `created`, `duration`, `size` or an attribute; hits without it come last."""

    by: str = Field(min_length=1)
    order: Literal["asc", "desc"] = "desc"


class Recency(Request):
    """A hit loses half of its score with every `half_life_days` of its age."""

    half_life_days: float = Field(gt=0, le=1_000_000)


class SearchRequest(Request):
    """The body of `POST /search`."""

    query: Query
    mode: Mode = Field(default="vector", description="by meaning, by the words of passages and titles, or by both")
    purpose: Purpose | None = Field(default=None, description="what the query is for; chosen from `modalities`")
    modalities: list[Modality] | None = Field(default=None, min_length=1)
    filter: dict[str, Any] | None = None
    group_by: str = Field(default="asset", min_length=1, description="`asset`, `segment` or an attribute")
    top_k: int = Field(default=10, ge=1, le=100, description="groups")
    min_score: Number | None = Field(default=None, description="the least score")
    context: int = Field(default=0, ge=0, le=10, description="neighbours on each side of a hit's best segment")
    rerank: int | None = Field(default=None, ge=1, le=100, description="as many are scored by their full vectors")
    sort: Sort | Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="`relevance`, `created`, `duration` or an attribute"
    )
    recency: Recency | None = None
    profiles: list[str] | None = Field(default=None, min_length=1, description="where to look; all, if not given")
    next: str | None = Field(default=None, min_length=1, description="of the former answer to the same request")


class HeatRequest(Request):
    """The body of `POST /assets/{asset_id}/heat`."""

    query: Query
    purpose: Purpose | None = None


class ReprocessRequest(Request):
    """The body of `POST /assets/reprocess`."""

    prefix: str = Field(default="", description="of the whole key")
    status: Literal["indexed", "partial", "failed", "unsupported"] | None = None
    since: datetime | None = Field(default=None, description="when they last came to an end; alone: of what failed")


class UploadRequest(Request):
    """The body of `POST /uploads`. A medium that is only asked with (`query`) needs no name."""

    name: str | None = Field(default=None, description="of the file; it ends the key")
    purpose: Literal["media", "query"] = "media"

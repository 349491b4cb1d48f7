"""What a function is told by its environment: written by `infra` with `to_env`, read by the handler with `from_env`."""

import hashlib
import os
from typing import Any, ClassVar, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field

NOVA = "amazon.nova-2-multimodal-embeddings-v1:0"


class Profile(BaseModel):
    """How content becomes vectors. Vectors of two profiles never mix, so its name is the name of its index."""

    model_config = ConfigDict(frozen=True)

    model_id: str = NOVA
    dimension: int = 1024
    segment_seconds: int = Field(default=15, ge=1, le=30)
    text_chars: int = Field(default=1500, ge=800, le=4000)
    embedding_mode: Literal["AUDIO_VIDEO_COMBINED", "AUDIO_VIDEO_SEPARATE"] = "AUDIO_VIDEO_COMBINED"
    page_dpi: int = Field(default=200, ge=72, le=600)
    page_pixels: int = Field(default=2400, ge=400, le=8000)
    metric: Literal["cosine"] = "cosine"

    @property
    def name(self) -> str:
        """`profile-` and 10 hex digits that change with any setting."""
        text = orjson.dumps(self.model_dump(), option=orjson.OPT_SORT_KEYS)
        return f"profile-{hashlib.sha256(text).hexdigest()[:10]}"


class Settings(BaseModel):
    """The base: a field is the environment variable of the same name in capitals; other models travel as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    service: ClassVar[str]

    def to_env(self) -> dict[str, str]:
        """The environment for the function; CDK tokens pass through as they are."""
        env = {"POWERTOOLS_SERVICE_NAME": self.service}
        for name in type(self).model_fields:
            value = getattr(self, name)
            env[name.upper()] = value.model_dump_json() if isinstance(value, BaseModel) else str(value)
        return env

    @classmethod
    def from_env(cls) -> Self:
        """Read what `to_env` wrote; a variable that is missing or malformed raises pydantic's ValidationError."""
        values: dict[str, Any] = {}
        for name, field in cls.model_fields.items():
            if name.upper() in os.environ:
                text = os.environ[name.upper()]
                nested = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
                values[name] = orjson.loads(text) if nested else text
        return cls.model_validate(values)


class IngestSettings(Settings):
    """`output_bucket` takes staged text and job results under `jobs/`."""

    service = "ingest"

    media_bucket: str
    output_bucket: str
    catalog_table: str
    index_arn: str
    ingest_queue_url: str
    job_state_machine_arn: str
    profile: Profile


class PrepareSettings(Settings):
    service = "prepare"

    media_bucket: str
    output_bucket: str
    catalog_table: str
    profile: Profile


class PagesSettings(PrepareSettings):
    service = "pages"


class IndexSettings(Settings):
    service = "index"

    media_bucket: str
    output_bucket: str
    catalog_table: str
    index_arn: str
    ingest_queue_url: str
    profile: Profile


class SearchSettings(Settings):
    service = "search"

    media_bucket: str
    output_bucket: str
    catalog_table: str
    index_arn: str
    ingest_queue_url: str
    profile: Profile


class TextSearchSettings(Settings):
    """The custom resource that CloudFormation needs until it can set these itself."""

    service = "text-search"

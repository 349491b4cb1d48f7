"""Profiles: how content becomes vectors, and which one is whose."""

import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

NOVA = "amazon.nova-2-multimodal-embeddings-v1:0"
DEFAULT = "default"


class Profile(BaseModel):
    """How content becomes vectors. Vectors of two profiles never mix, so its name is the name of its index."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_id: str = NOVA
    dimension: int = 1024
    segment_seconds: int = Field(default=15, ge=1, le=30)
    text_chars: int = Field(default=1500, ge=800, le=4000)
    embedding_mode: Literal["AUDIO_VIDEO_COMBINED", "AUDIO_VIDEO_SEPARATE"] = "AUDIO_VIDEO_COMBINED"
    detail_level: Literal["STANDARD_IMAGE", "DOCUMENT_IMAGE"] = "STANDARD_IMAGE"
    page_dpi: int = Field(default=200, ge=72, le=600)
    page_pixels: int = Field(default=2400, ge=400, le=8000)
    metric: Literal["cosine"] = "cosine"

    @property
    def name(self) -> str:
        """`profile-` and 10 hex digits that change with any setting."""
        text = orjson.dumps(self.model_dump(), option=orjson.OPT_SORT_KEYS)
        return f"profile-{hashlib.sha256(text).hexdigest()[:10]}"


class Rule(BaseModel):
    """Gives a profile, by its short name, to the files of which all is true that the rule says.

    Whether a file is a sound or a film is seen only when it is opened, after its profile is chosen: both are `media`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: str
    prefix: str = ""
    kind: Literal["text", "image", "document", "media"] | None = None
    attribute: Mapping[str, str | bool | int | float] = Field(default_factory=dict)

    def fits(self, key: str, attributes: Mapping[str, Any], kind: Callable[[], str | None]) -> bool:
        """`kind` is asked last, for the file must be read to tell."""
        return (
            key.startswith(self.prefix)
            and all(attributes.get(name) == value for name, value in self.attribute.items())
            and (self.kind is None or self.kind == kind())
        )


class Profiles(BaseModel):
    """The profiles of a deployment by their short names, `default` first, and the rules: the first that fits counts.

    Records name a profile by its index, which stays what it is when short names and rules change.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    named: Mapping[str, Profile] = Field(default_factory=lambda: {DEFAULT: Profile()})
    rules: tuple[Rule, ...] = ()

    @property
    def default(self) -> Profile:
        return self.named[DEFAULT]

    def of(self, index: str | None) -> Profile | None:
        """The profile of that index; None where the deployment has it no more."""
        return next((profile for profile in self.named.values() if profile.name == index), None)

    def choose(self, key: str, attributes: Mapping[str, Any], kind: Callable[[], str | None]) -> Profile:
        """The profile of a file; its kind is asked for at most once, and only where a rule depends on it."""
        kind = cache(kind)
        fitting = (self.named[rule.profile] for rule in self.rules if rule.fits(key, attributes, kind))
        return next(fitting, self.default)

"""What a deployment may choose, and what AWS refuses whatever one chooses."""

from dataclasses import dataclass, field
from typing import Any

from aws_cdk import App
from pydantic import ValidationError

from lambdas.shared.settings import NOVA, Profile

REGIONS = {NOVA: ("us-east-1", "us-gov-west-1")}  # Bedrock user guide, "Supported regions"
LANGUAGES = ("en", "fr", "es", "pt", "it", "de", "nl", "zh", "ja", "ko")


class ConfigError(Exception):
    """The deployment cannot be as it is configured; one sentence says why."""


@dataclass(frozen=True)
class Config:
    """One deployment. Anything but `dev` keeps its data when the stack is deleted."""

    region: str
    stage: str = "prod"
    text_language: str = "en"
    profile: Profile = field(default_factory=Profile)

    @property
    def keeps_data(self) -> bool:
        return self.stage != "dev"

    @classmethod
    def from_context(cls, app: App, default_region: str) -> "Config":
        """From `cdk.json` and `-c name=value`: `region`, `stage`, `text_language`, `dimension`, `segment_seconds`, …"""
        context: dict[str, Any] = {name: app.node.try_get_context(name) for name in _CONTEXT}
        given = {name: value for name, value in context.items() if value is not None}
        profile = {name: given.pop(name) for name in list(given) if name in Profile.model_fields}
        config = cls(**{"region": default_region, **given}, profile=_profile(profile))
        config.check()
        return config

    def check(self) -> None:
        """Refuse at synth what would fail on deploy or, worse, at the first file."""
        regions = REGIONS.get(self.profile.model_id)
        if regions is None:
            raise ConfigError(f"The model {self.profile.model_id} is not known; known are {', '.join(REGIONS)}.")
        if self.region not in regions:
            raise ConfigError(
                f"{self.profile.model_id} is offered in {' and '.join(regions)}, not in {self.region}: "
                f"choose another with -c region={regions[0]}."
            )
        if self.text_language not in LANGUAGES:
            raise ConfigError(f"S3 Vectors has no full text in {self.text_language}; it has {', '.join(LANGUAGES)}.")
        if self.profile.dimension not in (256, 384, 1024, 3072):
            raise ConfigError(f"Nova makes 256, 384, 1024 or 3072 numbers, not {self.profile.dimension}.")


_CONTEXT = ("region", "stage", "text_language", *Profile.model_fields)


def _profile(given: dict[str, Any]) -> Profile:
    try:
        return Profile.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"-c {first['loc'][0]}={first['input']}: {first['msg']}.") from error

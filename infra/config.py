"""What a deployment may choose, and what AWS refuses whatever one chooses."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aws_cdk import App
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lambdas.shared.metadata import NAME_CHARS, TAKEN
from lambdas.shared.owners import Owners
from lambdas.shared.profiles import DEFAULT, NOVA, Profile, Profiles, Rule

REGIONS = {NOVA: ("us-east-1", "us-gov-west-1")}  # Bedrock user guide, "Supported regions"
DIMENSIONS = (256, 384, 1024, 3072)  # Amazon Nova user guide, "Using Amazon Nova Embeddings"
PROFILES_BYTES = 3_000  # all variables of a function may take 4 KB (AWS Lambda developer guide, "Quotas")
COUNTS = {
    "max_jobs": range(1, 501),  # their leases share an item of the catalog, which every one writes anew
    "ingest_concurrency": range(2, 1001),  # AWS Lambda developer guide, "Using Lambda with Amazon SQS"
    "requests_per_minute": range(20, 1_000_001),
    "ingest_percent": range(1, 101),
    "reconcile_hours": range(8761),
}
SHORT_NAME = re.compile("[a-z][a-z0-9-]{0,31}")
ATTRIBUTE = re.compile(f"[a-z][a-z0-9_-]{{0,{NAME_CHARS - 1}}}")
LANGUAGES = ("en", "fr", "es", "pt", "it", "de", "nl", "zh", "ja", "ko")


class ConfigError(Exception):
    """The deployment cannot be as it is configured; one sentence says why."""


class Jwt(BaseModel):
    """The door for pages and agents, which takes tokens of `issuer` that are meant for one of `audience`.

    With a `claim`, a token sees the files alone whose `attribute` (the same name, if none is given) is its value.
    Pages of these `origins` may call it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str = Field(pattern="^https://.+$")
    audience: tuple[str, ...] = Field(min_length=1)
    claim: str = Field(default="", max_length=128)
    attribute: str = Field(default="", max_length=NAME_CHARS)
    origins: tuple[str, ...] = ()

    @property
    def owners(self) -> Owners:
        return Owners(claim=self.claim, attribute=self.attribute or self.claim)


@dataclass(frozen=True)
class Config:
    """One deployment. Anything but `dev` keeps its data when the stack is deleted."""

    region: str
    stage: str = "prod"
    text_language: str = "en"
    max_jobs: int = 30
    ingest_concurrency: int = 10
    requests_per_minute: int = 2000
    ingest_percent: int = 80
    reconcile_hours: int = 0
    profiles: Profiles = field(default_factory=Profiles)
    jwt: Jwt | None = None

    @property
    def owners(self) -> Owners:
        return self.jwt.owners if self.jwt else Owners()

    @property
    def ingest_requests(self) -> int:
        """A minute; the others are for searches."""
        return self.requests_per_minute * self.ingest_percent // 100

    @property
    def keeps_data(self) -> bool:
        return self.stage != "dev"

    @classmethod
    def from_context(cls, app: App, default_region: str) -> "Config":
        """From `cdk.json` and `-c name=value`: `region`, `stage`, `text_language`; of the default profile `dimension`,
        `segment_seconds` and so on; `profiles`, `rules` and `jwt`, with `-c` as JSON."""
        context: dict[str, Any] = {name: app.node.try_get_context(name) for name in _CONTEXT}
        given = {name: value for name, value in context.items() if value is not None}
        default = {name: given.pop(name) for name in list(given) if name in Profile.model_fields}
        others, rules = _read("profiles", given.pop("profiles", {})), _read("rules", given.pop("rules", []))
        for name, counts in COUNTS.items():
            if name in given:
                given[name] = _count(name, given[name], counts)
        if "jwt" in given:
            given["jwt"] = _jwt(_read("jwt", given["jwt"]))
        config = cls(**{"region": default_region, **given}, profiles=_profiles(default, others, rules))
        config.check()
        return config

    def check(self) -> None:
        """Refuse at synth what would fail on deploy or, worse, at the first file."""
        for profile in self.profiles.named.values():
            self._check_profile(profile)
        size = len(self.profiles.model_dump_json(exclude_defaults=True).encode())
        if size > PROFILES_BYTES:
            raise ConfigError(
                f"Profiles and rules take {size:,} bytes of a function's environment; {PROFILES_BYTES:,} is the most."
            )
        if self.text_language not in LANGUAGES:
            raise ConfigError(f"S3 Vectors has no full text in {self.text_language}; it has {', '.join(LANGUAGES)}.")

    def _check_profile(self, profile: Profile) -> None:
        regions = REGIONS.get(profile.model_id)
        if regions is None:
            raise ConfigError(f"The model {profile.model_id} is not known; known are {', '.join(REGIONS)}.")
        if self.region not in regions:
            raise ConfigError(
                f"{profile.model_id} is offered in {' and '.join(regions)}, not in {self.region}: "
                f"choose another with -c region={regions[0]}."
            )
        if profile.dimension not in DIMENSIONS:
            raise ConfigError(f"Nova makes 256, 384, 1024 or 3072 numbers, not {profile.dimension}.")


_CONTEXT = ("region", "stage", "text_language", *COUNTS, "profiles", "rules", "jwt", *Profile.model_fields)
T = TypeVar("T", bound=BaseModel)


def _profiles(default: Mapping[str, Any], others: Any, rules: Any) -> Profiles:
    """The default profile, others by what differs from it, and the rules that choose them."""
    if not isinstance(others, Mapping) or not all(isinstance(values, Mapping) for values in others.values()):
        raise ConfigError('"profiles" is an object such as {"documents": {"dimension": 3072}}.')
    if not isinstance(rules, list) or not all(isinstance(rule, Mapping) for rule in rules):
        raise ConfigError('"rules" is a list such as [{"prefix": "contracts/", "profile": "documents"}].')
    named = {DEFAULT: _made(Profile, default, "-c ")}
    for name, values in others.items():
        if name == DEFAULT or not SHORT_NAME.fullmatch(name):
            raise ConfigError(
                f"{name!r} names no profile: a name is of a-z, 0-9 and -, begins with a letter, and is not "
                f'{DEFAULT!r}, whose choices stand beside "profiles".'
            )
        named[name] = _made(Profile, {**named[DEFAULT].model_dump(), **values}, f"profiles.{name}.")
    seen: dict[str, str] = {}
    for name, profile in named.items():
        if other := seen.get(profile.name):
            raise ConfigError(f"The profiles {other} and {name} are the same: one is enough.")
        seen[profile.name] = name
    return Profiles(named=named, rules=tuple(_rule(values, number, named) for number, values in enumerate(rules)))


def _rule(values: Mapping[str, Any], number: int, named: Mapping[str, Profile]) -> Rule:
    rule = _made(Rule, values, f"rules[{number}].")
    if rule.profile not in named:
        raise ConfigError(f"rules[{number}] names the profile {rule.profile!r}; there is {', '.join(named)}.")
    if not (rule.prefix or rule.kind or rule.attribute):
        raise ConfigError(f"rules[{number}] fits every file: it needs a prefix, a kind or an attribute.")
    return rule


def _jwt(values: Any) -> Jwt:
    if not isinstance(values, Mapping):
        raise ConfigError('"jwt" is an object such as {"issuer": "https://…", "audience": ["…"], "claim": "tenant"}.')
    audience = values.get("audience")
    jwt = _made(Jwt, {**values, **({"audience": [audience]} if isinstance(audience, str) else {})}, "jwt.")
    if jwt.attribute and not jwt.claim:
        raise ConfigError("jwt.attribute is compared with a claim: jwt.claim is missing.")
    if jwt.claim and (not ATTRIBUTE.fullmatch(jwt.owners.attribute) or jwt.owners.attribute in TAKEN):
        raise ConfigError(
            f"jwt.attribute={jwt.owners.attribute}: uploads carry it as x-amz-meta-…, so it is of a-z, 0-9, _ and -, "
            f"begins with a letter, and is none of {', '.join(TAKEN)}."
        )
    return jwt


def _count(name: str, value: Any, counts: range) -> int:
    """What `-c` gives as text is a number."""
    try:
        count = int(str(value))
    except ValueError:
        count = -1
    if count not in counts:
        raise ConfigError(f"{name}={value}: it is a number from {counts[0]} to {counts[-1]:,}.")
    return count


def _read(name: str, value: Any) -> Any:
    """What `-c` gives as text is JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ConfigError(f"-c {name}={value}: this is no JSON.") from error


def _made(kind: type[T], values: Mapping[str, Any], place: str) -> T:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = f"{place}{first['loc'][0]}"
        if first["type"] in ("extra_forbidden", "missing"):
            known = ", ".join(kind.model_fields)
            raise ConfigError(f"{name} is {_WRONG[first['type']]}; the choices are {known}.") from error
        raise ConfigError(f"{name}={first['input']}: {first['msg']}.") from error


_WRONG = {"extra_forbidden": "no choice", "missing": "missing"}

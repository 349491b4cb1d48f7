"""What a function is told by its environment: written by `infra` with `to_env`, read by the handler with `from_env`."""

import os
from typing import Any, ClassVar, Self

import orjson
from pydantic import BaseModel, ConfigDict

from lambdas.shared.owners import Owners
from lambdas.shared.profiles import Profiles


class Settings(BaseModel):
    """The base: a field is the environment variable of the same name in capitals; other models travel as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    service: ClassVar[str]

    def to_env(self) -> dict[str, str]:
        """The environment for the function; CDK tokens pass through as they are."""
        env = {"POWERTOOLS_SERVICE_NAME": self.service}
        for name in type(self).model_fields:
            value = getattr(self, name)
            is_model = isinstance(value, BaseModel)  # without defaults: all variables together may take 4 KB
            env[name.upper()] = value.model_dump_json(exclude_defaults=True) if is_model else str(value)
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
    """`output_bucket` takes staged text and job results under `jobs/`. A ring that was received `max_receives` times
    comes from the queue of the unanswered, and ends among the dead letters.
    """

    service = "ingest"

    media_bucket: str
    output_bucket: str
    catalog_table: str
    vector_bucket_arn: str
    ingest_queue_url: str
    dead_letters_url: str
    unanswered_queue_arn: str
    max_receives: int
    requests_per_minute: int
    job_state_machine_arn: str
    profiles: Profiles
    owners: Owners = Owners()


class PrepareSettings(Settings):
    service = "prepare"

    media_bucket: str
    output_bucket: str
    catalog_table: str
    requests_per_minute: int
    profiles: Profiles


class PagesSettings(PrepareSettings):
    service = "pages"


class JobsSettings(Settings):
    """`max_jobs` run at once; one that takes longer than `job_seconds` has lost its slot."""

    service = "jobs"

    catalog_table: str
    max_jobs: int
    job_seconds: int


class IndexSettings(Settings):
    service = "index"

    media_bucket: str
    output_bucket: str
    catalog_table: str
    vector_bucket_arn: str
    ingest_queue_url: str
    profiles: Profiles


class SearchSettings(Settings):
    service = "search"

    media_bucket: str
    output_bucket: str
    catalog_table: str
    vector_bucket_arn: str
    ingest_queue_url: str
    profiles: Profiles
    owners: Owners = Owners()


class AgentsSettings(Settings):
    """`search_function` answers what agents ask, too."""

    service = "agents"

    search_function: str


class TextSearchSettings(Settings):
    """The custom resource that CloudFormation needs until it can set these itself."""

    service = "text-search"

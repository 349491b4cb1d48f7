"""The jobs function: a job that is wanted, has its result or has ended in; nothing out, for tokens are told."""

from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.jobs.jobs import Jobs
from lambdas.jobs.slots import Slots
from lambdas.shared import clients
from lambdas.shared.assets import Work
from lambdas.shared.catalog import Catalog
from lambdas.shared.settings import JobsSettings
from lambdas.shared.table import Table

logger = Logger()


@cache
def jobs() -> Jobs:
    settings = JobsSettings.from_env()
    return Jobs(
        bedrock=clients.bedrock_for_ingest(),
        stepfunctions=clients.stepfunctions(),
        catalog=Catalog(clients.dynamodb(), settings.catalog_table),
        slots=Slots(Table(clients.dynamodb(), settings.catalog_table), settings.max_jobs, settings.job_seconds),
    )


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """`step` says what it is about: `start` (with `asset_id`, `generation`, `attempt`, `request` and `token`, from the
    state machine), `end` (with the `name` of an execution), `arrive` (with the `key` of a result), `sweep`."""
    match event["step"]:
        case "start":
            work = Work(event["asset_id"], event["generation"], int(event["attempt"]))
            jobs().start(work, event["request"], event["token"])
        case "end":
            jobs().end(Work.of(event["name"]))
        case "arrive":
            _, name, job, _ = event["key"].split("/")
            if job != OWN:
                jobs().arrive(Work.of(name))
        case "sweep":
            jobs().sweep()
        case unknown:
            raise ValueError(f"there is no step {unknown!r}")


OWN = "own"  # the folder of results that no job made

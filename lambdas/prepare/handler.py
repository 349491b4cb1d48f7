"""The prepare function: a file that must be decoded first in, what is to be done for it out."""

from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.prepare.prepare import Plan, Prepare
from lambdas.shared import clients
from lambdas.shared.assets import Work
from lambdas.shared.budget import Budget
from lambdas.shared.catalog import Catalog
from lambdas.shared.derived import Derived
from lambdas.shared.settings import PrepareSettings
from lambdas.shared.table import Table

logger = Logger()


@cache
def prepare() -> Prepare:
    settings = PrepareSettings.from_env()
    return Prepare(
        settings=settings,
        s3=clients.s3(),
        bedrock=clients.bedrock_for_ingest(),
        budget=Budget(Table(clients.dynamodb(), settings.catalog_table), settings.requests_per_minute),
        catalog=Catalog(clients.dynamodb(), settings.catalog_table),
        derived=Derived(clients.s3(), settings.output_bucket),
    )


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> Plan:
    """`{"asset_id", "generation", "attempt"}`. Errors keep their class names: the state machine tells them apart."""
    work = Work(event["asset_id"], event["generation"], int(event["attempt"]))
    plan = prepare().plan(work)
    logger.info("prepared", job=work.name, plan={name: value for name, value in plan.items() if name != "ranges"})
    return plan

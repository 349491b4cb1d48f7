"""The pages function: a range of a PDF's pages in, how many were embedded out."""

from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.pages.pages import Pages
from lambdas.shared import clients
from lambdas.shared.assets import Work
from lambdas.shared.budget import Budget
from lambdas.shared.catalog import Catalog
from lambdas.shared.derived import Derived
from lambdas.shared.settings import PagesSettings
from lambdas.shared.table import Table

logger = Logger()


@cache
def pages() -> Pages:
    settings = PagesSettings.from_env()
    return Pages(
        settings=settings,
        s3=clients.s3(),
        bedrock=clients.bedrock_for_ingest(),
        budget=Budget(Table(clients.dynamodb(), settings.catalog_table), settings.requests_per_minute),
        catalog=Catalog(clients.dynamodb(), settings.catalog_table),
        derived=Derived(clients.s3(), settings.output_bucket),
    )


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """`{"asset_id", "generation", "attempt", "first", "last"}`, pages from 1, the last one included."""
    work = Work(event["asset_id"], event["generation"], int(event["attempt"]))
    return {"embedded": pages().embed(work, int(event["first"]), int(event["last"]))}

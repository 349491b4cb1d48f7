"""The index function: a job that ended, as its state machine tells it, in; what became of the asset out."""

from functools import cache
from typing import Any

import orjson
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.index.index import EndedJob, Index
from lambdas.shared import clients
from lambdas.shared.assets import Work
from lambdas.shared.catalog import Catalog
from lambdas.shared.derived import Derived
from lambdas.shared.errors import CRASHES, UnsupportedError
from lambdas.shared.settings import IndexSettings
from lambdas.shared.vectors import stores_of
from lambdas.shared.writing import Writer

logger = Logger()


@cache
def index() -> Index:
    settings = IndexSettings.from_env()
    return Index(
        settings=settings,
        s3=clients.s3(),
        sqs=clients.sqs(),
        writer=Writer(
            stores_of(clients.s3vectors(), settings.vector_bucket_arn, settings.profiles),
            Catalog(clients.dynamodb(), settings.catalog_table),
            Derived(clients.s3(), settings.output_bucket),
        ),
    )


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """`{"asset_id", "generation", "attempt", "output_uri"}` of a result that is there, or of what came to nothing
    `"failure"` instead of a URI, and `"error"`, the name of what a function raised. `"name"`, of an execution that did
    not succeed, may stand for the first three.

    Errors keep their class names: the state machine retries `ThrottledError` by name.
    """
    if "name" in event:
        work = Work.of(event["name"])
    else:
        work = Work(event["asset_id"], event["generation"], int(event["attempt"]))
    failure, error = sentence_of(event.get("failure")), event.get("error", "")
    if error in CRASHES:
        failure = f"the file could not be opened within the time and memory of a function ({failure})"
    job = EndedJob(work, event.get("output_uri"), failure, unsupported=error == UnsupportedError.__name__)
    outcome = index().finish(job)
    logger.info("job ended", job=work.name, outcome=outcome)
    return {"outcome": outcome}


def sentence_of(failure: str | None) -> str | None:
    """What Step Functions gives as the cause of a failed function is JSON with a stack trace: its message alone."""
    if failure is None or not failure.startswith("{"):
        return failure
    try:
        return str(orjson.loads(failure).get("errorMessage", failure))
    except orjson.JSONDecodeError:
        return failure

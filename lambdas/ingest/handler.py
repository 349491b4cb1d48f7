"""The ingest function: rings from the queue in, what failed to be done out."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import Any

import orjson
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import ClientError

from lambdas.ingest import pauses
from lambdas.ingest.ingest import Bell, Ingest
from lambdas.ingest.reconcile import Reconcile
from lambdas.ingest.repair import Retry, read_retry, ring_page
from lambdas.shared import clients
from lambdas.shared.assets import SIDECAR
from lambdas.shared.budget import Budget
from lambdas.shared.catalog import Catalog
from lambdas.shared.derived import Derived
from lambdas.shared.reports import Reports
from lambdas.shared.settings import IngestSettings
from lambdas.shared.table import Table
from lambdas.shared.vectors import stores_of
from lambdas.shared.writing import Writer

logger = Logger()
KEY_BYTES = 1024


@cache
def ingest() -> Ingest:
    settings = IngestSettings.from_env()
    return Ingest(
        settings=settings,
        s3=clients.s3(),
        sqs=clients.sqs(),
        stepfunctions=clients.stepfunctions(),
        bedrock=clients.bedrock_for_ingest(),
        budget=Budget(Table(clients.dynamodb(), settings.catalog_table), settings.requests_per_minute),
        writer=Writer(
            stores_of(clients.s3vectors(), settings.vector_bucket_arn, settings.profiles),
            Catalog(clients.dynamodb(), settings.catalog_table),
            Derived(clients.s3(), settings.output_bucket),
        ),
    )


@cache
def reconcile() -> Reconcile:
    settings = ingest().settings
    reports = Reports(Table(clients.dynamodb(), settings.catalog_table))
    return Reconcile(
        clients.s3(), clients.sqs(), ingest().writer, reports, settings.media_bucket, settings.ingest_queue_url
    )


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """An SQS batch of doorbells; the messages that must come again are reported one by one.

    A message that is no doorbell comes again too, until it lands among the dead letters, where somebody sees it.
    """
    bells: dict[str, Bell] = {}
    messages: dict[str, list[dict[str, Any]]] = defaultdict(list)
    again: list[dict[str, Any]] = []
    for record in event["Records"]:
        try:
            body = orjson.loads(record["body"])
            if "retry" in body:
                ring_all(read_retry(body["retry"]))
                continue
            if "reconcile" in body:
                reconcile().answer(body["reconcile"])
                continue
            bell = read_bell(body)
        except Exception:  # told with the message, which comes again: no other message's trouble
            logger.exception("this message cannot be answered", message_id=record["messageId"])
            again.append(record)
            continue
        bells[bell.key] = merge(bell, bells[bell.key]) if bell.key in bells else bell
        messages[bell.key].append(record)
    is_last = event["Records"][0]["eventSourceARN"] == ingest().settings.unanswered_queue_arn
    looked = list(bells.values())
    given_up, errors = ingest().give_up(looked) if is_last else ({}, ingest().answer(looked))
    for bell, error in errors.items():
        logger.error("not ingested, the message comes again", key=bell.key, error=repr(error), exc_info=error)
        again += messages.pop(bell.key)
    for bell, attempt in given_up.items():
        bury(messages[bell.key], attempt)
    if not is_last:
        postpone(again)
    return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in again]}


def ring_all(retry: Retry) -> None:
    settings = ingest().settings
    count = ring_page(ingest().catalog, clients.sqs(), settings.ingest_queue_url, retry)
    logger.info("rang for another attempt", count=count, prefix=retry.prefix, status=retry.status)


def postpone(records: Sequence[Mapping[str, Any]]) -> None:
    """Let a message come again sooner than after the visibility timeout, which is for a function that died."""
    for record in records:
        seconds = pauses.until_retry(int(record["attributes"]["ApproximateReceiveCount"]))
        with suppress(ClientError):  # then it comes when its time is over
            clients.sqs().change_message_visibility(
                QueueUrl=ingest().settings.ingest_queue_url,
                ReceiptHandle=record["receiptHandle"],
                VisibilityTimeout=seconds,
            )


def bury(records: Sequence[Mapping[str, Any]], attempt: int | None) -> None:
    """Among the dead letters, from where it can be sent back: a ring for another attempt then, if this one failed."""
    for record in records:
        body = orjson.loads(record["body"]) | ({} if attempt is None else {"attempt": attempt})
        clients.sqs().send_message(QueueUrl=ingest().settings.dead_letters_url, MessageBody=orjson.dumps(body).decode())


def read_bell(body: dict[str, Any]) -> Bell:
    """S3's event through EventBridge (its key is raw), or a ring of our own: `{"key", "waited"?, "attempt"?}`.

    An event that is sent back from the dead letters may have an `attempt` too.

    ValueError, KeyError or TypeError where it is neither.
    """
    if "detail" in body:
        bell = Bell(key=body["detail"]["object"]["key"], attempt=body.get("attempt"))
    else:
        bell = Bell(key=body["key"], waited=body.get("waited", 0), attempt=body.get("attempt"))
    if type(bell.key) is str and bell.key.endswith(SIDECAR) and bell.key != SIDECAR:  # it speaks of the file beside it
        bell = replace(bell, key=bell.key.removesuffix(SIDECAR))
    if type(bell.key) is not str or not 0 < len(bell.key.encode()) <= KEY_BYTES:
        raise ValueError("the key is none of S3's")
    if type(bell.waited) is not int or bell.waited < 0 or type(bell.attempt) not in (int, type(None)):
        raise ValueError("`waited` and `attempt` are counts")
    return bell


def merge(one: Bell, other: Bell) -> Bell:
    """Two rings for one key are one look; of two retries the later one counts, for it has seen what the other did."""
    attempts = [bell.attempt for bell in (one, other) if bell.attempt is not None]
    return Bell(one.key, max(one.waited, other.waited), max(attempts, default=None))

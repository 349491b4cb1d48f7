"""Retries of many assets: a page of the list at a time, so that no call takes long however many there are."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from lambdas.shared.catalog import Catalog
from lambdas.shared.errors import BucketlensError
from lambdas.shared.records import SETTLED

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

PAGE = 100
RINGS_A_CALL = 10  # SQS's limit


@dataclass(frozen=True)
class Retry:
    """All settled assets under a prefix, with a status, settled since a time (epoch seconds); `start` of a page."""

    prefix: str = ""
    status: str | None = None
    since: float = 0
    start: dict[str, Any] | None = None


def read_retry(order: Any) -> Retry:
    """ValueError, KeyError or TypeError where it is none."""
    retry = Retry(**order)
    if type(retry.prefix) is not str or type(retry.since) not in (int, float):
        raise ValueError("a retry has a prefix, a status and a time")
    return retry


def ring_page(catalog: Catalog, sqs: "SQSClient", queue_url: str, retry: Retry) -> int:
    """Ring for another attempt at each asset of a page, and send the order for the next one; how many were rung for."""
    heads, following = catalog.page(
        status=retry.status, modality=None, prefix=retry.prefix, start=retry.start, limit=PAGE
    )
    rings = [
        {"key": head.key, "attempt": head.attempt}
        for head in heads
        if head.status in SETTLED and head.settled >= retry.since
    ]
    send_rings(sqs, queue_url, rings)
    if following:
        body = orjson.dumps({"retry": asdict(replace(retry, start=following))}).decode()
        sqs.send_message(QueueUrl=queue_url, MessageBody=body)
    return len(rings)


def send_rings(sqs: "SQSClient", queue_url: str, rings: Sequence[Mapping[str, Any]]) -> None:
    for start in range(0, len(rings), RINGS_A_CALL):
        entries: list[SendMessageBatchRequestEntryTypeDef] = [
            {"Id": str(number), "MessageBody": orjson.dumps(ring).decode()}
            for number, ring in enumerate(rings[start : start + RINGS_A_CALL])
        ]
        answer = sqs.send_message_batch(QueueUrl=queue_url, Entries=entries)
        if answer.get("Failed"):
            raise BucketlensError(f"SQS took only a part of the rings: {answer['Failed'][0]}")

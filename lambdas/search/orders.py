"""What a caller may have done about an asset. The catalog and the index are not touched here: the rest follows from the
ring or the event."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson

from lambdas.search.answers import Asked, Asset, Reconciled
from lambdas.search.caller import Caller
from lambdas.search.errors import RequestError
from lambdas.search.listing import describe, known
from lambdas.search.requests import ReprocessRequest
from lambdas.shared.catalog import Catalog
from lambdas.shared.reports import Report, Reports

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient


@dataclass(frozen=True)
class Orders:
    """Those about one answer with the asset as it was seen, RequestError 404 where there is none."""

    catalog: Catalog
    s3: "S3Client"
    sqs: "SQSClient"
    media_bucket: str
    ingest_queue_url: str
    reports: Reports

    def reprocess(self, caller: Caller, asset_id: str) -> Asset:
        """Ring for another attempt, if no other has begun by then: asking twice at once is one retry.

        The ring is for the bucket's sake too: a deleted file that was restored there, which sends no event, comes back.
        """
        head = known(self.catalog, caller, asset_id)
        ring = orjson.dumps({"key": head.key, "attempt": head.attempt}).decode()
        self.sqs.send_message(QueueUrl=self.ingest_queue_url, MessageBody=ring)
        return describe(head)

    def reprocess_all(self, caller: Caller, request: ReprocessRequest) -> Asked:
        """Have all of these rung for, a page at a time."""
        caller.check_may_order_for_all()
        if not (request.prefix or request.status or request.since):
            raise RequestError("a prefix, a status or a time is wanted; all would be paid for again", "prefix")
        since = request.since.replace(tzinfo=request.since.tzinfo or UTC).timestamp() if request.since else 0
        status = request.status or (None if request.prefix else "failed")
        order = {"retry": {"prefix": request.prefix, "status": status, "since": since}}
        self.sqs.send_message(QueueUrl=self.ingest_queue_url, MessageBody=orjson.dumps(order).decode())
        return Asked(prefix=request.prefix, status=status, since=request.since)

    def reconcile(self, caller: Caller) -> Reconciled:
        """Have a pass begun; where one is under way the order joins it."""
        caller.check_may_order_for_all()
        report = self.reports.last()
        order = str(uuid.uuid4())
        body = orjson.dumps({"reconcile": {"id": order}}).decode()
        self.sqs.send_message(QueueUrl=self.ingest_queue_url, MessageBody=body)
        if report and not report.ended:
            return _told(report)
        return Reconciled(id=order, state="waiting", read={}, differences={}, rung=0, deleted=0)

    def reconciled(self, caller: Caller) -> Reconciled:
        """The last pass that has begun; RequestError 404 before the first."""
        caller.check_may_order_for_all()
        report = self.reports.last()
        if report is None:
            raise RequestError("nothing has been reconciled yet", code="not_found", status=404)
        return _told(report)

    def delete(self, caller: Caller, asset_id: str) -> Asset:
        """Delete the object (in a versioned bucket: put a delete marker on it), unless it is known to be gone."""
        head = known(self.catalog, caller, asset_id)
        if head.status != "deleted":
            self.s3.delete_object(Bucket=self.media_bucket, Key=head.key)
        return describe(head)


def _told(report: Report) -> Reconciled:
    return Reconciled(
        id=report.id,
        state="ended" if report.ended else "running",
        started=_iso(report.started),
        moved=_iso(report.moved),
        ended=_iso(report.ended) if report.ended else None,
        read=dict(report.read),
        differences=dict(report.differences),
        rung=report.rung,
        deleted=report.deleted,
    )


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()

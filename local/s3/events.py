"""S3's events in EventBridge's envelope (S3 user guide, "EventBridge event message structure")."""

import sqlite3
import uuid
from dataclasses import dataclass
from typing import Any

from local import clock
from local.wire import ACCOUNT

PERMANENTLY_DELETED = "Permanently Deleted"
MARKER_CREATED = "Delete Marker Created"


@dataclass(frozen=True)
class Origin:
    """Who or what brought a change about. `source_ip` is None for the lifecycle, which no request started."""

    request_id: str
    requester: str
    source_ip: str | None
    reason: str


def next_sequence(db: sqlite3.Connection) -> int:
    """A number greater than all before it."""
    number: int = db.execute("UPDATE s3_sequence SET last = last + 1 RETURNING last").fetchone()[0]
    return number


def sequencer(number: int) -> str:
    return f"{number:018X}"


def event(
    detail_type: str, bucket: str, region: str, changed: dict[str, Any], origin: Origin, **detail: str
) -> dict[str, Any]:
    """`changed` is the detail's `object`; what is None in it is left out."""
    content: dict[str, Any] = {
        "version": "0",
        "bucket": {"name": bucket},
        "object": {name: value for name, value in changed.items() if value is not None},
        "request-id": origin.request_id,
        "requester": origin.requester,
    }
    if origin.source_ip is not None:
        content["source-ip-address"] = origin.source_ip
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": detail_type,
        "source": "aws.s3",
        "account": ACCOUNT,
        "time": clock.iso(clock.now()),
        "region": region,
        "resources": [f"arn:aws:s3:::{bucket}"],
        "detail": content | detail,
    }

"""Buckets and their settings, from a template's properties or over the wire."""

import json
import logging
import re
import sqlite3
from dataclasses import dataclass
from typing import Any

from local import clock
from local.clients import REGION
from local.s3.errors import no_such_bucket
from local.state import State
from local.wire import AwsError

log = logging.getLogger(__name__)

_NAME = re.compile(r"(?!xn--|sthree-|\d+\.\d+\.\d+\.\d+$)[a-z0-9](?!.*\.\.)[a-z0-9.-]{1,61}[a-z0-9]")
# Settings that change nothing an application sees on a laptop, where one user owns everything.
_ACCEPTED = {
    "BucketName", "BucketEncryption", "OwnershipControls", "PublicAccessBlockConfiguration", "Tags",
    "VersioningConfiguration", "NotificationConfiguration", "LifecycleConfiguration", "CorsConfiguration",
}  # fmt: skip
_WITHOUT_EFFECT = {
    "LoggingConfiguration", "AccessControl", "InventoryConfigurations", "AnalyticsConfigurations",
    "MetricsConfigurations", "IntelligentTieringConfigurations",
}  # fmt: skip
_RULE = {
    "Id", "Status", "Prefix", "TagFilters", "ObjectSizeGreaterThan", "ObjectSizeLessThan", "ExpirationInDays",
    "ExpirationDate", "ExpiredObjectDeleteMarker", "NoncurrentVersionExpiration", "NoncurrentVersionExpirationInDays",
    "AbortIncompleteMultipartUpload",
}  # fmt: skip
_TRANSITIONS = {"Transition", "Transitions", "NoncurrentVersionTransition", "NoncurrentVersionTransitions"}


@dataclass(frozen=True)
class Bucket:
    """`versioning` is "", "Enabled" or "Suspended"; `cors` and `lifecycle` are CloudFormation's rules."""

    name: str
    created: float
    region: str
    versioning: str
    event_bridge: bool
    cors: list[dict[str, Any]]
    lifecycle: list[dict[str, Any]]


class Buckets:
    def __init__(self, state: State) -> None:
        self._state = state

    def get(self, name: str) -> Bucket:
        with self._state.transaction() as db:
            row = db.execute("SELECT * FROM s3_buckets WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise no_such_bucket(name)
        return _bucket(row)

    def all(self) -> list[Bucket]:
        with self._state.transaction() as db:
            return [_bucket(row) for row in db.execute("SELECT * FROM s3_buckets ORDER BY name").fetchall()]

    def create(self, name: str, region: str = REGION) -> None:
        """Creating one's own bucket again changes nothing, as in us-east-1."""
        if not _NAME.fullmatch(name):
            raise AwsError("InvalidBucketName", "The specified bucket is not valid.", BucketName=name)
        with self._state.transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO s3_buckets (name, created, region) VALUES (?, ?, ?)", (name, clock.now(), region)
            )

    def delete(self, name: str) -> None:
        with self._state.transaction() as db:
            self.get(name)
            for table in ("s3_versions", "s3_uploads"):
                if db.execute(f"SELECT 1 FROM {table} WHERE bucket = ? LIMIT 1", (name,)).fetchone():
                    message = "The bucket you tried to delete is not empty"
                    raise AwsError("BucketNotEmpty", message, 409, BucketName=name)
            db.execute("DELETE FROM s3_buckets WHERE name = ?", (name,))

    def set_versioning(self, name: str, status: str) -> None:
        self._set(name, "versioning", status)

    def set_event_bridge(self, name: str, on: bool) -> None:
        self._set(name, "event_bridge", on)

    def ensure(self, name: str, properties: dict[str, Any]) -> None:
        """Make the bucket what its CloudFormation properties say; its content stays."""
        _check_properties(name, properties)
        template = json.dumps(properties, sort_keys=True)
        with self._state.transaction() as db:
            self.create(name)
            row = db.execute("SELECT template FROM s3_buckets WHERE name = ?", (name,)).fetchone()
            if row["template"] == template:
                return  # CloudFormation touches nothing an unchanged template describes, however it has drifted
            self._set(name, "template", template)
            self._apply(name, properties)

    def _apply(self, name: str, properties: dict[str, Any]) -> None:
        if status := properties.get("VersioningConfiguration", {}).get("Status"):
            self.set_versioning(name, status)
        elif self.get(name).versioning:
            self.set_versioning(name, "Suspended")
        self.set_event_bridge(name, _event_bridge(name, properties.get("NotificationConfiguration", {})))
        self._set(name, "cors", json.dumps(properties.get("CorsConfiguration", {}).get("CorsRules", [])))
        self._set(name, "lifecycle", json.dumps(properties.get("LifecycleConfiguration", {}).get("Rules", [])))

    def _set(self, name: str, column: str, value: str | bool) -> None:
        with self._state.transaction() as db:
            if not db.execute(f"UPDATE s3_buckets SET {column} = ? WHERE name = ?", (value, name)).rowcount:
                raise no_such_bucket(name)


def _bucket(row: sqlite3.Row) -> Bucket:
    return Bucket(
        name=row["name"],
        created=row["created"],
        region=row["region"],
        versioning=row["versioning"],
        event_bridge=bool(row["event_bridge"]),
        cors=json.loads(row["cors"]),
        lifecycle=json.loads(row["lifecycle"]),
    )


def _check_properties(name: str, properties: dict[str, Any]) -> None:
    for unknown in sorted(properties.keys() - _ACCEPTED - _WITHOUT_EFFECT):
        raise ValueError(f"bucket {name}: the laptop's S3 does not offer {unknown}")
    for idle in sorted(properties.keys() & _WITHOUT_EFFECT):
        log.warning("bucket %s: %s has no effect on the laptop", name, idle)
    for rule in properties.get("LifecycleConfiguration", {}).get("Rules", []):
        for unknown in sorted(rule.keys() - _RULE - _TRANSITIONS):
            raise ValueError(f"bucket {name}: the laptop's S3 does not offer {unknown} in a lifecycle rule")
        for idle in sorted(rule.keys() & _TRANSITIONS):
            log.warning("bucket %s: %s of a lifecycle rule has no effect on the laptop", name, idle)


def _event_bridge(name: str, notifications: dict[str, Any]) -> bool:
    for other in sorted(notifications.keys() - {"EventBridgeConfiguration"}):
        raise ValueError(f"bucket {name}: the laptop's S3 sends events to EventBridge, not by {other}")
    configuration = notifications.get("EventBridgeConfiguration")
    return configuration is not None and str(configuration.get("EventBridgeEnabled", True)).lower() == "true"

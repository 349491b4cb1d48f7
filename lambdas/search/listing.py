"""Lists of assets, and one asset with what failed in it."""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import orjson
from botocore.exceptions import ClientError

from lambdas.search.answers import Asset, AssetDetails, AssetPage, Failure
from lambdas.search.links import Links
from lambdas.search.requests import RequestError
from lambdas.shared.catalog import Catalog
from lambdas.shared.records import Head

PAGE = 100
SHOWN_FAILURES = 100


@dataclass(frozen=True)
class Listing:
    """The clients behind `GET /assets`."""

    catalog: Catalog
    links: Links

    def page(self, status: str | None, modality: str | None, prefix: str, token: str | None) -> AssetPage:
        """Up to 100 assets in the order of their keys."""
        start = _read_token(token) if token else None
        try:
            heads, following = self.catalog.page(
                status=status, modality=modality, prefix=prefix, start=start, limit=PAGE
            )
        except ClientError as error:
            if token and error.response["Error"]["Code"] == "ValidationException":
                raise RequestError("this `next` belongs to another list", "next") from error
            raise
        return AssetPage(assets=[_asset(head) for head in heads], next=_token(following) if following else None)

    def details(self, asset_id: str) -> AssetDetails:
        """One asset with its first hundred failed parts; RequestError 404 where there is none."""
        head = self.catalog.head(asset_id) if asset_id.isascii() and 0 < len(asset_id) <= 64 else None
        if head is None:
            raise RequestError(f"there is no asset {asset_id!r}", code="not_found", status=404)
        failures = self.catalog.failures(head.work) if head.work and head.failed_segments else iter(())
        return AssetDetails(
            **_asset(head).model_dump(),
            uri=f"s3://{self.links.bucket}/{head.key}",
            url=self.links.to(head) if head.live else None,
            duration=head.duration,
            failed_segments=head.failed_segments,
            failures=[
                Failure(
                    segment_id=f"{failure.embedding_type}/{failure.number}",
                    reason=failure.reason,
                    start=failure.start,
                    end=failure.end,
                    start_char=failure.start_char,
                    end_char=failure.end_char,
                )
                for failure in islice(failures, SHOWN_FAILURES)
            ],
        )


def _asset(head: Head) -> Asset:
    return Asset(
        asset_id=head.asset_id,
        key=head.key,
        modality=head.modality,
        status=head.status,
        reason=head.reason,
        segment_count=head.segment_count,
        size=head.size,
        created=datetime.fromtimestamp(head.created, UTC).isoformat(),
        attributes={},
    )


def _token(key: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(key)).decode()


def _read_token(token: str) -> dict[str, Any]:
    try:
        key = orjson.loads(base64.urlsafe_b64decode(token))
    except ValueError as error:
        raise RequestError("this is no `next` of ours", "next") from error
    if not isinstance(key, dict) or not all(isinstance(value, str) for value in key.values()):
        raise RequestError("this is no `next` of ours", "next")
    return key

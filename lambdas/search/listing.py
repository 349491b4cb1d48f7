"""Lists of assets, one asset, and its segments."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import orjson
from botocore.exceptions import ClientError

from lambdas.search.answers import Asset, AssetDetails, AssetPage, Segment, SegmentPage
from lambdas.search.caller import Caller
from lambdas.search.errors import RequestError
from lambdas.search.links import Links
from lambdas.shared.assets import FailedSegment, Work, vector_key
from lambdas.shared.catalog import Catalog, Hundred
from lambdas.shared.records import Head
from lambdas.shared.vectors import Stores

PAGE = 100
SHOWN_FAILURES = 100


class SegmentDetails(Segment):
    """One segment and whose it is. `url` opens at its place; `thumbnail` is its page, the frame that it begins with, or
    the whole made small."""

    asset_id: str
    key: str
    modality: str | None = None
    url: str | None = None
    thumbnail: str | None = None


@dataclass(frozen=True)
class Listing:
    """The clients behind `GET /assets`."""

    catalog: Catalog
    stores: Stores
    links: Links

    def page(
        self, caller: Caller, status: str | None, modality: str | None, prefix: str, token: str | None
    ) -> AssetPage:
        """Up to 100 assets in the order of their keys."""
        start = _read_token(token) if token else None
        try:
            heads, following = self.catalog.page(
                status=status, modality=modality, prefix=prefix, start=start, limit=PAGE, owner=caller.owner
            )
        except ClientError as error:
            if token and error.response["Error"]["Code"] == "ValidationException":
                raise RequestError("this `next` belongs to another list", "next") from error
            raise
        seen = filter(None, map(caller.view, heads))
        return AssetPage(assets=[describe(head) for head in seen], next=_token(following) if following else None)

    def details(self, caller: Caller, asset_id: str) -> AssetDetails:
        """One asset with its first hundred failed parts; RequestError 404 where there is none."""
        head = known(self.catalog, caller, asset_id)
        failures = self.catalog.failures(head.told) if head.told and head.failed_segments else iter(())
        return AssetDetails(
            **describe(head).model_dump(),
            uri=f"s3://{self.links.bucket}/{head.key}",
            url=self.links.to(head) if head.live else None,
            thumbnail=self.links.thumbnail(head),
            peaks=self.links.peaks(head),
            duration=head.duration,
            retry_failure=head.retry_failure,
            failed_segments=head.failed_segments,
            failures=[_failed(failure) for failure in islice(failures, SHOWN_FAILURES)],
        )

    def segments(self, caller: Caller, asset_id: str, token: str | None) -> SegmentPage:
        """The segments of a hundred numbers, those that failed among them; nothing where there are none."""
        head = known(self.catalog, caller, asset_id)
        hundreds = _hundreds(head)
        position = _read_position(token, head, hundreds) if token else 0
        if head.told is None or not hundreds:
            return SegmentPage(segments=[])
        hundred = hundreds[position]
        failed = [(failure.number, _failed(failure)) for failure in self.catalog.failures(head.told, hundred)]
        segments = sorted([*self._indexed(head, hundred), *failed], key=lambda pair: pair[0])
        following = _segment_token(head.told, position + 1) if position + 1 < len(hundreds) else None
        return SegmentPage(segments=[segment for _, segment in segments], next=following)

    def segment(self, caller: Caller, asset_id: str, embedding_type: str, number: str) -> SegmentDetails:
        """One segment, indexed or failed; RequestError 404 where there is none of that name."""
        head = known(self.catalog, caller, asset_id)
        found = self._segment(head, embedding_type, int(number)) if _is_number(number) else None
        if found is None:
            raise RequestError(
                f"{asset_id} has no segment {f'{embedding_type}/{number}'[:64]!r}", code="not_found", status=404
            )
        is_there = found.status == "indexed"
        return SegmentDetails(
            **found.model_dump(),
            asset_id=asset_id,
            key=head.key,
            modality=head.modality,
            url=self.links.to(head, found.start, found.end, found.page) if is_there else None,
            thumbnail=self.links.thumbnail(head, int(number), found.page) if is_there else None,
        )

    def _segment(self, head: Head, embedding_type: str, number: int) -> Segment | None:
        store = self.stores.get(head.live.profile) if head.live else None
        if head.live and store and number <= head.extent.get(embedding_type, -1):
            key = vector_key(head.asset_id, head.live.generation, embedding_type, number)
            if there := store.existing([key]):
                return indexed_segment(f"{embedding_type}/{number}", there[key])
        hundred = Hundred(embedding_type, number // 100)
        failures = self.catalog.failures(head.told, hundred) if head.told else iter(())
        return next((_failed(failure) for failure in failures if failure.number == number), None)

    def _indexed(self, head: Head, hundred: Hundred) -> list[tuple[int, Segment]]:
        """Their keys are known: the index is not searched for them."""
        store = self.stores.get(head.live.profile) if head.live else None
        if head.live is None or store is None:
            return []
        name, last = hundred.embedding_type, head.extent[hundred.embedding_type]
        keys = {
            vector_key(head.asset_id, head.live.generation, name, number): number
            for number in hundred.numbers
            if number <= last
        }
        there = store.existing(list(keys))
        return [(keys[key], indexed_segment(f"{name}/{keys[key]}", metadata)) for key, metadata in there.items()]


def known(catalog: Catalog, caller: Caller, asset_id: str) -> Head:
    """The head of an asset; RequestError 404 where the caller has none, whatever the name looks like."""
    head = caller.view(catalog.head(asset_id)) if asset_id.isascii() and 0 < len(asset_id) <= 64 else None
    if head is None:
        raise RequestError(f"there is no asset {asset_id[:64]!r}", code="not_found", status=404)
    return head


def describe(head: Head) -> Asset:
    """An asset as lists show it."""
    return Asset(
        asset_id=head.asset_id,
        key=head.key,
        modality=head.modality,
        status=head.status,
        reason=head.reason,
        segment_count=head.segment_count,
        size=head.size,
        created=datetime.fromtimestamp(head.created, UTC).isoformat(),
        attempt=head.attempt,
        attributes=dict(head.attributes),
        attributes_dropped=list(head.attributes_dropped) or None,
        attributes_problem=head.attributes_problem,
    )


def indexed_segment(segment_id: str, metadata: Mapping[str, Any]) -> Segment:
    """A segment as its vector tells of it."""
    return Segment(
        segment_id=segment_id,
        status="indexed",
        start=metadata.get("_start"),
        end=metadata.get("_end"),
        page=metadata.get("_page"),
        start_char=metadata.get("_start_char"),
        end_char=metadata.get("_end_char"),
        text=metadata.get("_text"),
    )


def _failed(failure: FailedSegment) -> Segment:
    return Segment(
        segment_id=f"{failure.embedding_type}/{failure.number}",
        status="failed",
        reason=failure.reason,
        start=failure.start,
        end=failure.end,
        page=failure.page,
        start_char=failure.start_char,
        end_char=failure.end_char,
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 9


def _hundreds(head: Head) -> list[Hundred]:
    return [Hundred(name, number) for name, last in sorted(head.extent.items()) for number in range(last // 100 + 1)]


def _segment_token(told: Work, position: int) -> str:
    return _token({"of": told.name, "at": str(position)})


def _read_position(token: str, head: Head, hundreds: list[Hundred]) -> int:
    values = _read_token(token)
    at = values.get("at", "")
    if head.told is None or values.get("of") != head.told.name:
        raise RequestError("this `next` is of content that has been replaced: begin again", "next")
    if not _is_number(at) or int(at) >= len(hundreds):
        raise RequestError("this is no `next` of ours", "next")
    return int(at)


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

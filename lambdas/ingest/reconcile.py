"""Bucket, catalog and index held against each other, a page at a time; whatever differs is rung for.

S3 and the catalog list keys in the same order (of their UTF-8 bytes), so a page is a merge of two lists. Of the index
one vector of each asset is asked for by its key, the last one, for they are put in order: nothing is scanned. A vector
without a generation's record cannot be, for the record is written before; so none is looked for.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from lambdas.ingest.repair import send_rings
from lambdas.shared.assets import asset_id_of, is_asset, vector_key
from lambdas.shared.records import OPEN, SETTLED, Head
from lambdas.shared.reports import Report, Reports
from lambdas.shared.writing import Writer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

PAGE = 1000  # S3's own limit
STUCK_SECONDS = 3600  # that an attempt may be open until somebody looks whether its job still runs
QUIET_SECONDS = 3600  # after which a pass that does not get on is taken up by the next order
Ring = dict[str, Any]


@dataclass(frozen=True)
class Listed:
    """An object as the bucket's list shows it."""

    etag: str
    size: int
    created: int


@dataclass
class Page:
    """What one page came to; after it comes `part` from `after` on, or nothing (None)."""

    part: str | None
    after: Any
    read: Counter[str] = field(default_factory=Counter)
    differences: Counter[str] = field(default_factory=Counter)
    rings: list[Ring] = field(default_factory=list)
    deleted: int = 0

    def ring(self, kind: str, key: str, **more: Any) -> None:
        self.differences[kind] += 1
        self.rings.append({"key": key, **more})


@dataclass(frozen=True)
class Reconcile:
    s3: "S3Client"
    sqs: "SQSClient"
    writer: Writer
    reports: Reports
    media_bucket: str
    queue_url: str

    def answer(self, order: Mapping[str, Any]) -> None:
        """`{"id"}` begins a pass, unless one is under way, which it joins; `{"id", "step"}` works its next page.

        A page that comes again is rung for again, which is harmless, but counted once.
        """
        identity, step = str(order["id"]), order.get("step")
        report = self.reports.last()
        if step is None:
            self._begin(identity, report)
        elif report and report.id == identity and report.step == step and not report.ended:
            self._work(report)
        elif report and report.id == identity and report.step == step + 1 and not report.ended:
            self._send(report)  # who counted the page may have died before this

    def _begin(self, identity: str, former: Report | None) -> None:
        now = int(time.time())
        if former and (former.id == identity or not former.ended):
            if not former.ended and (former.id == identity or now - former.moved > QUIET_SECONDS):
                self._send(former)
            return
        report = Report(identity, started=now, moved=now)
        self.reports.begin(report, former)
        self._send(report)

    def _work(self, report: Report) -> None:
        page: Page = {"bucket": self._bucket, "retired": self._retired, "derived": self._derived}[report.part](report)
        send_rings(self.sqs, self.queue_url, page.rings)
        now = int(time.time())
        self.reports.advance(
            report,
            moved=now,
            ended=0 if page.part else now,
            part=page.part or report.part,
            after=page.after,
            read=dict(Counter(report.read) + page.read),
            differences=dict(Counter(report.differences) + page.differences),
            rung=report.rung + len(page.rings),
            deleted=report.deleted + page.deleted,
        )
        if page.part and (following := self.reports.last()):
            self._send(following)

    def _send(self, report: Report) -> None:
        body = orjson.dumps({"reconcile": {"id": report.id, "step": report.step}}).decode()
        self.sqs.send_message(QueueUrl=self.queue_url, MessageBody=body)

    # -- bucket, catalog, index -------------------------------------------------------------------------------------

    def _bucket(self, report: Report) -> Page:
        """Keys up to where both lists are known."""
        after: str = report.after
        start: Any = {"StartAfter": after} if after else {}
        answer = self.s3.list_objects_v2(Bucket=self.media_bucket, MaxKeys=PAGE, **start)
        objects = {
            one["Key"]: Listed(one["ETag"].strip('"'), one["Size"], int(one["LastModified"].timestamp()))
            for one in answer.get("Contents", [])
        }
        heads, more = self.writer.catalog.keys_after(after, PAGE)
        ends = [max(objects)] if answer.get("IsTruncated") else []
        ends += [heads[-1].key] if more else []
        end = min(ends, default=None)
        there = {key: one for key, one in objects.items() if is_asset(key) and (end is None or key <= end)}
        known = {head.key: head for head in heads if end is None or head.key <= end}
        page = Page("bucket" if end else "derived", end or "", read=Counter(objects=len(there), assets=len(known)))
        odd = {key for key in there.keys() | known.keys() if self._problem(known.get(key), there.get(key), report)}
        now = self.writer.catalog.heads([asset_id_of(self.media_bucket, key) for key in sorted(odd)])
        for key in sorted(odd):  # lists of the catalog lag behind: looked at once more
            head = now.get(asset_id_of(self.media_bucket, key))
            if kind := self._problem(head, there.get(key), report):
                page.ring(kind, key)
        self._index(page, [head for key, head in known.items() if key not in odd])
        return page

    def _problem(self, head: Head | None, listed: Listed | None, report: Report) -> str | None:
        """What is wrong; what changed since the pass began has events of its own."""
        if head is None or head.status == "deleted":
            return "missing" if listed and listed.created <= report.started else None
        if listed is None:
            return "gone" if head.created <= report.started else None
        if (head.etag, head.size, head.created) != (listed.etag, listed.size, listed.created):
            return "changed" if listed.created <= report.started else None
        if head.status in OPEN:
            return "stuck" if head.begun < report.started - STUCK_SECONDS else None
        return "unlabelled" if head.relabelling and head.live and head.live.profile in self.writer.stores else None

    def _index(self, page: Page, heads: Iterable[Head]) -> None:
        """Whether the last vector of each asset is there; only where it is not, all of the asset's."""
        last: dict[str, dict[str, Head]] = {}
        for head in heads:
            if head.live and head.status in SETTLED and head.live.profile in self.writer.stores:
                of_profile = last.setdefault(head.live.profile, {})
                generation = head.live.generation
                of_profile |= {vector_key(head.asset_id, generation, *one): head for one in head.extent.items()}
        missed: dict[str, Head] = {}
        for profile, keys in last.items():
            page.read["vectors"] += len(keys)
            found = self.writer.stores[profile].present(list(keys))
            missed |= {keys[key].asset_id: keys[key] for key in keys.keys() - found}
        now = self.writer.catalog.heads(list(missed))
        for asset_id, head in missed.items():
            if asset_id in now and now[asset_id].rev == head.rev and not self._is_whole(page, head):
                page.ring("unindexed", head.key, attempt=head.attempt)

    def _is_whole(self, page: Page, head: Head) -> bool:
        """A part that failed, or a number that never was, leaves a gap."""
        assert head.live
        keys = [
            vector_key(head.asset_id, head.live.generation, name, number)
            for name, last in head.extent.items()
            for number in range(last + 1)
        ]
        page.read["vectors"] += len(keys)
        return len(self.writer.stores[head.live.profile].present(keys)) >= head.segment_count

    # -- what is left of what was ---------------------------------------------------------------------------------

    def _retired(self, report: Report) -> Page:
        """Generations that are over, whose vectors nobody is clearing any more."""
        found, following = self.writer.catalog.retired(report.after or None, PAGE)
        page = Page("retired" if following else "bucket", following or "", read=Counter(generations=len(found)))
        for key, record in found:
            if all(until < report.started for until in record.busy.values()):
                page.ring("uncleared", key)
        return page

    def _derived(self, report: Report) -> Page:
        """Files derived from a generation that is neither live nor at work, and has no record any more.

        The files are listed before the catalog is asked, and a record is there before the first file; so none of these
        is new.
        """
        files, following = self.writer.derived.page(report.after, PAGE)
        page = Page("derived" if following else None, following, read=Counter(derived=sum(map(len, files.values()))))
        heads = self.writer.catalog.heads(sorted({asset_id for asset_id, _ in files}))
        left: list[str] = []
        for (asset_id, generation), keys in files.items():
            head = heads.get(asset_id)
            if head and generation == head.live_generation:
                continue
            if self.writer.catalog.generation(asset_id, generation) is None:
                page.differences["leftover"] += 1
                left += keys
        self.writer.derived.drop(left)
        page.deleted = len(left)
        return page

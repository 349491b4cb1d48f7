"""The catalog: what is known of every asset, in one DynamoDB table.

Items of an asset share the partition key `asset_id`; `record` tells them apart:

    head                one, small: what search and lists read
    gen#<generation>    one per generation: `writing` → `live` → `retired`; its highest segment number per type
    of#<generation>#job#<attempt>                          one per attempt that wants an async job
    of#<generation>#fail#<attempt>#<type>#<hundred>#<n>    failed segments of these hundred numbers, at most 100 an item

Every status write carries, as a condition, the generation and attempt that it speaks for. `rev` grows with every
change of what is wanted or live. Lists have an index each: by key, by status, by modality; nothing is scanned.
Beside the assets lie the slots of jobs and the queue for them (`lambdas/jobs/slots.py`).
"""

import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from lambdas.shared.assets import FailedSegment, StoredObject, Work, generation_of
from lambdas.shared.errors import ConflictError, SupersededError
from lambdas.shared.metadata import Attributes
from lambdas.shared.profiles import Profile
from lambdas.shared.records import (
    KEPT_SECONDS,
    OPEN,
    SETTLED,
    GenerationRecord,
    Head,
    Live,
    Status,
    decimal,
    generation_item,
    head_item,
    plain,
    read_failed_segment,
    read_generation,
    read_head,
)
from lambdas.shared.table import ConditionError, Item, Table, Write

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

REASON_CHARS = 500  # a head stays small
FAILURES_AN_ITEM = 100
LOOKS = 10  # times a record is read anew that somebody else writes
BUSY_SECONDS = 900  # no function runs longer (AWS Lambda developer guide, "Quotas")


class Hundred(NamedTuple):
    """Segment numbers `100 * hundred` to `100 * hundred + 99` of one embedding type: what a page shows."""

    embedding_type: str
    hundred: int

    @classmethod
    def of(cls, failure: FailedSegment) -> "Hundred":
        return cls(failure.embedding_type, failure.number // 100)

    @property
    def name(self) -> str:
        return f"{self.embedding_type}#{self.hundred:05d}#"

    @property
    def numbers(self) -> range:
        return range(100 * self.hundred, 100 * self.hundred + 100)


class Catalog:
    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._table = Table(client, table)
        self._me = f"writer_{uuid.uuid4().hex}"  # a process works for one invocation at a time

    # -- reading ------------------------------------------------------------------------------------------------

    def head(self, asset_id: str) -> Head | None:
        """Strongly consistent."""
        item = self._table.get(asset_id, "head")
        return read_head(item) if item else None

    def heads(self, asset_ids: Sequence[str]) -> dict[str, Head]:
        """Strongly consistent; assets without a head are left out."""
        items = self._table.get_many(asset_ids, "head")
        return {str(item["asset_id"]): read_head(item) for item in items}

    def generation(self, asset_id: str, generation: str) -> GenerationRecord | None:
        item = self._table.get(asset_id, f"gen#{generation}")
        return read_generation(item) if item else None

    def job(self, work: Work) -> Item | None:
        """What is kept of this attempt's job: `request`, `token`, `since`, `invocation_arn`, `arrived`, `waiter`."""
        return self._table.get(work.asset_id, _job_record(work))

    def failures(self, work: Work, among: Hundred | None = None) -> Iterator[FailedSegment]:
        """The failed segments of one attempt, in order; all, or those of a hundred numbers."""
        for item in self._table.records(work.asset_id, _failure_prefix(work) + (among.name if among else "")):
            yield from (read_failed_segment(entry) for entry in item["failures"])

    # -- what is wanted -----------------------------------------------------------------------------------------

    def want(self, before: Head | None, stored: StoredObject, profile: Profile, labels: Attributes) -> Head:
        """Make this content, under this profile, the wanted one, as long as the head is still as `before`.

        ConflictError otherwise. The attempt grows with every change of mind, so no name of earlier work is ever used
        again.
        """
        content = stored.content(profile)
        known = before or Head(stored.asset_id, stored.key, rev=0, status="received", attempt=-1, size=0, created=0)
        attempt = known.attempt + 1
        head = replace(
            replace(known, live=_left_by_its_owner(known)) if known.live else _without_live(known),
            rev=known.rev + 1,
            status="received",
            reason=None,
            retry_failure=None,
            attempt=attempt,
            size=stored.size,
            created=stored.created,
            etag=stored.etag,
            begun=int(time.time()),
            wanted=generation_of(content, attempt),
            content=content,
            profile=profile.name,
            version_id=stored.version_id,
            modality=None,
            duration=None,
            derived={},
        )
        head = _labelled(head, labels)
        live = known.live
        if live and live.content == content:  # changed and changed back before the change was in
            head = replace(head, wanted=live.generation, status=head.live_status, reason=head.live_reason)
            head = replace(head, modality=live.modality, duration=live.duration, derived=live.derived)
        self._table.transact(*self._change(head, before), self._open_record(head))
        return head

    def label(self, before: Head, labels: Attributes) -> Head:
        """The same content with other attributes of the user's; what is live is to be relabelled."""
        head = replace(_labelled(before, labels), rev=before.rev + 1)
        self._table.transact(*self._change(head, before))
        return head

    def end_relabelling(self, before: Head) -> Head:
        """Say that all vectors have the attributes of this head; ConflictError if it has others by now: look again."""
        head = replace(before, rev=before.rev + 1, relabelling=False)
        self._table.transact(*self._change(head, before))
        return head

    def delete(self, asset_id: str, key: str, before: Head | None) -> Head:
        """The file is gone: nothing is wanted and nothing is live, at once. Of one that nobody saw, the size is 0."""
        known = before or Head(asset_id, key, rev=0, status="deleted", attempt=0, size=0, created=int(time.time()))
        gone = replace(_without_live(known), wanted=None, content=None)
        head = replace(gone, rev=known.rev + 1, status="deleted", reason=None)
        self._table.transact(*self._change(head, before))
        return head

    def try_again(self, before: Head) -> Head:
        """Another attempt at the content that is wanted; ConflictError when the head moved meanwhile.

        What is live is written over, for its segments have the same names; anything else begins anew.
        """
        assert before.wanted and before.content
        attempt = before.attempt + 1
        wanted = before.wanted if before.wanted == before.live_generation else generation_of(before.content, attempt)
        base = before if before.live else _without_live(before)
        head = replace(base, wanted=wanted, rev=before.rev + 1, attempt=attempt, status="received", reason=None)
        head = replace(head, retry_failure=None, derived={}, begun=int(time.time()))
        self._table.transact(*self._change(head, before), self._open_record(head))
        return head

    def retired_of(self, asset_id: str) -> list[tuple[str, GenerationRecord]]:
        """Retired generations of an asset that are not cleared yet."""
        return [
            (item["record"].partition("#")[2], read_generation(item))
            for item in self._table.records(asset_id, "gen#")
            if item["state"] == "retired"
        ]

    def describe(
        self, work: Work, modality: str, duration: float | None = None, derived: Mapping[str, int] | None = None
    ) -> None:
        """Say that content of this kind is being embedded; SupersededError when that is over or not wanted."""
        expression = "SET #status = :status, modality = :modality, #duration = :duration, derived = :derived"
        values = {"duration": decimal(duration), "derived": dict(derived or {})}
        self._update_head(work, expression, status="embedding", modality=modality, **values)

    def wait(self, work: Work) -> None:
        """Say that the work waits for Bedrock to have room."""
        self._update_head(work, "SET #status = :status", status="waiting")

    def run(self, work: Work) -> None:
        """Say that its job runs."""
        self._update_head(work, "SET #status = :status", status="embedding")

    # -- what becomes of it -------------------------------------------------------------------------------------

    def ask_job(self, work: Work, request: str, token: str) -> Item:
        """Keep what job this attempt wants, when it first did, and the token of whoever waits for it; all there is."""
        return self._table.update(
            work.asset_id,
            _job_record(work),
            "SET #request = :request, #token = :token, since = if_not_exists(since, :now), expires = :expires",
            request=request,
            token=token,
            now=f"{time.time():017.6f}",
            expires=int(time.time()) + KEPT_SECONDS,
        )

    def record_job(self, work: Work, invocation_arn: str) -> None:
        expression = "SET invocation_arn = :arn"
        self._table.update(work.asset_id, _job_record(work), expression, arn=invocation_arn)

    def record_arrival(self, work: Work) -> Item | None:
        """Say that the result is there: nobody begins to wait for it any more. The job, None if there is none."""
        try:
            expression, condition = "SET arrived = :yes", "attribute_exists(asset_id)"
            return self._table.update(work.asset_id, _job_record(work), expression, condition, yes=True)
        except ConditionError:
            return None

    def raise_highest(self, work: Work, highest: Mapping[str, int]) -> None:
        """Cover the vectors about to be put, and say that we are about to put them.

        SupersededError when this attempt may not write any more, ConflictError when others do not let us.
        """
        for _ in range(LOOKS):
            record = self.generation(work.asset_id, work.generation)
            if record is None or record.state == "retired" or record.attempt != work.attempt:
                raise SupersededError(f"{work.name} is not wanted any more")
            new = {name: max(number, record.highest.get(name, 0)) for name, number in highest.items()}
            with suppress(ConditionError, ConflictError):  # another writer, or it was retired: look again
                self._table.update(
                    work.asset_id,
                    f"gen#{work.generation}",
                    f"SET highest = :new, busy.#{self._me} = :until",
                    "highest = :old AND attempt = :attempt AND #state <> :retired",
                    new={**record.highest, **new},
                    old=dict(record.highest),
                    attempt=work.attempt,
                    until=int(time.time()) + BUSY_SECONDS,
                    retired="retired",
                )
                return
        raise ConflictError(f"others keep writing {work.name}")

    def is_alone(self, work: Work) -> bool:
        """Whether nobody else has said to be putting vectors of the generation."""
        record = self.generation(work.asset_id, work.generation)
        others = [until for name, until in (record.busy if record else {}).items() if name != self._me]
        return not any(until > time.time() for until in others)

    def open_derived(self, work: Work) -> None:
        """Say that files are about to be derived for this work, by us; errors as with `raise_highest`."""
        try:
            self._table.update(
                work.asset_id,
                f"gen#{work.generation}",
                f"SET derived = :yes, busy.#{self._me} = :until",
                "attempt = :attempt AND #state <> :retired",
                yes=True,
                attempt=work.attempt,
                until=int(time.time()) + BUSY_SECONDS,
                retired="retired",
            )
        except ConditionError as error:
            raise SupersededError(f"{work.name} is not wanted any more") from error

    def record_failures(self, work: Work, failures: Sequence[FailedSegment], expires: bool = False) -> None:
        """Keep failed segments in items of at most 100; a repeat overwrites with the same.

        Those of a failed asset expire in time; those of a live generation go with it.
        """
        hundreds: dict[Hundred, list[FailedSegment]] = defaultdict(list)
        for failure in failures:
            hundreds[Hundred.of(failure)].append(failure)
        end = {"expires": int(time.time()) + KEPT_SECONDS} if expires else {}
        for hundred, some in hundreds.items():
            for start in range(0, len(some), FAILURES_AN_ITEM):
                item = {
                    "asset_id": work.asset_id,
                    "record": f"{_failure_prefix(work)}{hundred.name}{start // FAILURES_AN_ITEM:05d}",
                    "failures": [plain(failure._asdict()) for failure in some[start : start + FAILURES_AN_ITEM]],
                    **end,
                }
                self._table.put(item)

    def commit(
        self,
        work: Work,
        segment_count: int,
        failed_segments: int,
        extent: Mapping[str, int],
        labels: Attributes | None = None,
        retry_failure: str | None = None,
    ) -> Head | None:
        """In one transaction make this generation live and retire the former.

        The head from then on, None if another generation or attempt is wanted. `labels` are what its vectors were put
        with (None if none were): where there are others by now it is to be relabelled. ConflictError when the head
        moved meanwhile: look again.
        """
        head = self._wanted_head(work)
        if head is None:
            return None
        is_new = head.live_generation != work.generation
        after = replace(
            head,
            rev=head.rev + 1,
            live=Live(
                generation=work.generation,
                content=head.content or "",
                attempt=work.attempt,
                profile=head.profile or "",
                version_id=head.version_id,
                modality=head.modality,
                duration=head.duration,
                derived=head.live.derived if retry_failure and head.live else head.derived,
            ),
            segment_count=segment_count,
            failed_segments=failed_segments,
            extent=extent,
            retry_failure=retry_failure and retry_failure[:REASON_CHARS],
            settled=int(time.time()),
            relabelling=(head.relabelling and not is_new) or (labels is not None and labels != head.labels),
        )
        after = replace(after, status=after.live_status, reason=after.live_reason)
        self._table.transact(*self._change(after, head), self._set_live(work))
        return after

    def fail(
        self, work: Work, status: Status, reason: str, failed_segments: int, extent: Mapping[str, int]
    ) -> Head | None:
        """End an attempt badly; the head as with `commit`.

        The former generation goes too: it no longer is what lies in the bucket.
        """
        head = self._wanted_head(work)
        if head is None or head.status in SETTLED:  # the latter is a repeat
            return head
        after = replace(
            _without_live(head),
            rev=head.rev + 1,
            status=status,
            reason=reason[:REASON_CHARS],
            settled=int(time.time()),
            failed_segments=failed_segments,
            extent=extent,
        )
        self._table.transact(*self._change(after, head))
        return after

    def release(self, work: Work) -> None:
        """Say that we put nothing more for this work. Nobody can say it for another, who may not have died."""
        with suppress(ConditionError):
            self._table.update(
                work.asset_id,
                f"gen#{work.generation}",
                f"REMOVE busy.#{self._me}",
                f"attribute_exists(busy.#{self._me})",
            )

    def forget_generation(self, asset_id: str, generation: str, record: GenerationRecord) -> None:
        """Drop the record of a retired generation whose vectors are gone, if it is still as it was read.

        It stays as long as somebody may be about to put more of them, for they must be found again: whoever covered
        vectors is busy until he says otherwise, or his time is up.
        """
        if all(until < time.time() for until in record.busy.values()):
            with suppress(ConditionError):
                condition = "#state = :retired AND busy = :seen"
                self._table.delete(asset_id, f"gen#{generation}", condition, retired="retired", seen=dict(record.busy))

    def forget_details(self, asset_id: str, generation: str) -> None:
        """Drop what is recorded of the jobs and failures of a generation."""
        for item in list(self._table.records(asset_id, f"of#{generation}#", "record")):
            self._table.delete(asset_id, item["record"])

    # -- lists --------------------------------------------------------------------------------------------------

    def page(
        self,
        *,
        status: str | None,
        modality: str | None,
        prefix: str,
        start: Item | None,
        limit: int,
        owner: str | None = None,
    ) -> tuple[list[Head], Item | None]:
        """Assets in the order of their keys, and where the next page starts (None at the end); an owner's own alone.

        Deleted assets are listed only under their own status. An item read and filtered away counts, so a page can be
        shorter than `limit`, even empty, with more to come.
        """
        if owner is not None:
            return self._page_of(owner, status, modality, prefix, start, limit)
        if status:
            index, condition, filter = "by_status", "#status = :status", "modality = :modality" if modality else ""
            values = {"status": status} | ({"modality": modality} if modality else {})
        elif modality:
            index, condition, filter = "by_modality", "modality = :modality", "listed = :listed"
            values = {"modality": modality, "listed": "assets"}
        else:
            index, condition, filter = "by_key", "listed = :listed", ""
            values = {"listed": "assets"}
        return self._heads(index, condition, filter, prefix, start, limit, values)

    def _page_of(
        self, owner: str, status: str | None, modality: str | None, prefix: str, start: Item | None, limit: int
    ) -> tuple[list[Head], Item | None]:
        """From an index of their own, so that neither the work nor where a page ends tells of others' assets."""
        wanted = {"status": status} if status else {"listed": "assets"}
        wanted |= {"modality": modality} if modality else {}
        filter = " AND ".join(f"{'#status' if name == 'status' else name} = :{name}" for name in wanted)
        return self._heads("by_owner", "owned_by = :owner", filter, prefix, start, limit, {"owner": owner, **wanted})

    def _heads(
        self,
        index: str,
        condition: str,
        filter: str,
        prefix: str,
        start: Item | None,
        limit: int,
        values: Mapping[str, Any],
    ) -> tuple[list[Head], Item | None]:
        if prefix:
            condition += " AND begins_with(#key, :prefix)"
            values = {**values, "prefix": prefix}
        items, following = self._table.page(index, condition, filter, start, limit, **values)
        return [read_head(item) for item in items], following

    def keys_after(self, key: str, limit: int) -> tuple[list[Head], bool]:
        """Assets behind a key, in the order of their keys, and whether there are more."""
        condition = "listed = :listed" + (" AND #key > :key" if key else "")
        values = {"listed": "assets"} | ({"key": key} if key else {})
        items, following = self._table.page("by_key", condition, "", None, limit, **values)
        return [read_head(item) for item in items], following is not None

    def retired(self, start: Item | None, limit: int) -> tuple[list[tuple[str, GenerationRecord]], Item | None]:
        """Retired generations whose records are still there, with the keys of their assets; and the next page."""
        items, following = self._table.page("by_key", "listed = :listed", "", start, limit, listed="retired")
        return [(str(item["key"]), read_generation(item)) for item in items], following

    # -- inside -------------------------------------------------------------------------------------------------

    def _change(self, head: Head, before: Head | None) -> list[Write]:
        """Put the head in place of the former one, and retire what it has no more: so whoever dies leaves no other."""
        if before is None:
            return [self._table.putting(head_item(head), "attribute_not_exists(asset_id)")]
        over = sorted(before.generations - head.generations)
        retired = [self._retire(head, generation) for generation in over]
        return [self._table.putting(head_item(head), "rev = :rev", rev=before.rev), *retired]

    def _open_record(self, head: Head) -> Write:
        """Let the head's attempt write its wanted generation, which is a new one or the live one."""
        record = f"gen#{head.wanted}"
        if head.wanted == head.live_generation:
            return self._table.updating(
                head.asset_id, record, "SET attempt = :attempt", "#state = :live", attempt=head.attempt, live="live"
            )
        opened = GenerationRecord("writing", head.attempt, {}, {}, head.profile or "")
        item = generation_item(head.asset_id, head.wanted or "", opened)
        return self._table.putting(item, "attribute_not_exists(asset_id)")

    def _set_live(self, work: Work) -> Write:
        """Its writer has done. What was retired meanwhile is being cleared, so it cannot come to life."""
        return self._table.updating(
            work.asset_id,
            f"gen#{work.generation}",
            f"SET #state = :live REMOVE busy.#{self._me}",
            "attribute_exists(asset_id) AND #state <> :retired",
            live="live",
            retired="retired",
        )

    def _retire(self, head: Head, generation: str) -> Write:
        """Its writer may be busy still: others cannot know. From then on it is listed, under the key of its asset."""
        return self._table.updating(
            head.asset_id,
            f"gen#{generation}",
            "SET #state = :retired, listed = :retired, #key = :key, expires = :expires",
            "attribute_exists(asset_id)",
            retired="retired",
            key=head.key,
            expires=int(time.time()) + KEPT_SECONDS,
        )

    def _wanted_head(self, work: Work) -> Head | None:
        head = self.head(work.asset_id)
        return head if head and (head.wanted, head.attempt) == (work.generation, work.attempt) else None

    def _update_head(self, work: Work, expression: str, **values: Any) -> None:
        names = [f"open{number}" for number in range(len(OPEN))]
        among = ", ".join(f":{name}" for name in names)
        condition = f"wanted = :wanted AND attempt = :attempt AND #status IN ({among})"
        values |= {"wanted": work.generation, "attempt": work.attempt, **dict(zip(names, OPEN, strict=True))}
        try:
            self._table.update(work.asset_id, "head", expression, condition, **values)
        except ConditionError as error:
            raise SupersededError(f"{work.name} is not wanted any more") from error


def _labelled(head: Head, labels: Attributes) -> Head:
    return replace(
        head,
        attributes=labels.kept,
        attribute_dates=labels.dates,
        attributes_dropped=labels.dropped,
        attributes_problem=labels.problem,
        owned_by=labels.owner,
        relabelling=head.live is not None and (head.relabelling or labels != head.labels),
    )


def _left_by_its_owner(head: Head) -> Live | None:
    """What is live, when other content is wanted from now on: it keeps whose it was."""
    is_wanted = head.live is not None and head.live_generation == head.wanted
    return replace(head.live, owner=head.owned_by) if head.live and is_wanted else head.live


def _without_live(head: Head) -> Head:
    return replace(
        head,
        live=None,
        relabelling=False,
        segment_count=0,
        failed_segments=0,
        extent={},
        retry_failure=None,
    )


def _job_record(work: Work) -> str:
    return f"of#{work.generation}#job#{work.attempt}"


def _failure_prefix(work: Work) -> str:
    return f"of#{work.generation}#fail#{work.attempt}#"

"""The catalog: what is known of every asset, in one DynamoDB table.

Items of an asset share the partition key `asset_id`; `record` tells them apart:

    head                one, small: what search and lists read
    gen#<generation>    one per generation: `writing` → `live` → `retired`; its highest segment number per type
    of#<generation>#job#<attempt>                          one per attempt that became an async job
    of#<generation>#fail#<attempt>#<type>#<hundred>#<n>    failed segments of these hundred numbers, at most 100 an item

Every status write carries, as a condition, the generation and attempt that it speaks for. `rev` grows with every
change of what is wanted or live. Lists have an index each: by key, by status, by modality; nothing is scanned.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import ClientError

from lambdas.shared.assets import FailedSegment, StoredObject, Work
from lambdas.shared.errors import ConflictError, SupersededError
from lambdas.shared.metadata import attributes_of
from lambdas.shared.records import (
    KEPT_SECONDS,
    OPEN,
    SETTLED,
    GenerationRecord,
    Head,
    Status,
    decimal,
    head_item,
    plain,
    read_failed_segment,
    read_head,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

REASON_CHARS = 500  # a head stays small
FAILURES_AN_ITEM = 100
BUSY_SECONDS = 900  # no function runs longer (AWS Lambda developer guide, "Quotas")
KEYS_A_BATCH = 100  # BatchGetItem's limit


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
        self._db: Any = client  # the stubs describe the low-level form; this client takes Python values
        self._table = table

    # -- reading ------------------------------------------------------------------------------------------------

    def head(self, asset_id: str) -> Head | None:
        """Strongly consistent."""
        item = self._get(asset_id, "head")
        return read_head(item) if item else None

    def heads(self, asset_ids: Sequence[str]) -> dict[str, Head]:
        """Strongly consistent; assets without a head are left out."""
        found: dict[str, Head] = {}
        for start in range(0, len(asset_ids), KEYS_A_BATCH):
            some = asset_ids[start : start + KEYS_A_BATCH]
            keys = [{"asset_id": asset_id, "record": "head"} for asset_id in some]
            while keys:
                answer = self._db.batch_get_item(RequestItems={self._table: {"Keys": keys, "ConsistentRead": True}})
                found |= {str(item["asset_id"]): read_head(item) for item in answer["Responses"].get(self._table, [])}
                keys = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
        return found

    def generation(self, asset_id: str, generation: str) -> GenerationRecord | None:
        item = self._get(asset_id, f"gen#{generation}")
        if item is None:
            return None
        highest = {name: int(number) for name, number in item["highest"].items()}
        return GenerationRecord(state=item["state"], highest=highest)

    def job(self, work: Work) -> dict[str, Any] | None:
        """What `record_job` wrote for this attempt."""
        return self._get(work.asset_id, _job_record(work))

    def failures(self, work: Work, among: Hundred | None = None) -> Iterator[FailedSegment]:
        """The failed segments of one attempt, in order; all, or those of a hundred numbers."""
        for item in self._query(work.asset_id, _failure_prefix(work) + (among.name if among else "")):
            yield from (read_failed_segment(entry) for entry in item["failures"])

    # -- what is wanted -----------------------------------------------------------------------------------------

    def want(self, before: Head | None, stored: StoredObject, generation: str) -> Head:
        """Make `generation` the wanted one, as long as the head is still as `before`; else ConflictError.

        The attempt grows with every change of mind, so no name of earlier work is ever used again.
        """
        attributes = attributes_of(stored)
        seen = Head(
            asset_id=stored.asset_id,
            key=stored.key,
            rev=1,
            status="received",
            attempt=0,
            size=stored.size,
            created=stored.created,
            wanted=generation,
            version_id=stored.version_id,
            attributes=attributes.kept,
            attributes_dropped=attributes.dropped,
        )
        if before is None:
            self._transact([self._put_head(seen, None), self._open_record(seen)])
            return seen
        head = replace(
            seen,
            rev=before.rev + 1,
            attempt=before.attempt + 1,
            live=before.live,
            live_version=before.live_version,
            live_attempt=before.live_attempt,
            live_modality=before.live_modality,
            live_duration=before.live_duration,
            modality=before.live_modality,
            duration=before.live_duration,
            segment_count=before.segment_count,
            failed_segments=before.failed_segments,
            extent=before.extent,
        )
        if before.live == generation:  # changed and changed back before the change was in
            head = replace(head, status=head.live_status, reason=head.live_reason)
        self._transact([self._put_head(head, before), self._open_record(head)])
        return head

    def delete(self, before: Head) -> Head:
        """The file is gone: nothing is wanted and nothing is live, at once."""
        head = replace(_without_live(before), rev=before.rev + 1, status="deleted", wanted=None, reason=None)
        self._transact([self._put_head(head, before)])
        return head

    def try_again(self, before: Head) -> Head:
        """Raise the attempt at the generation that is wanted; ConflictError when the head moved meanwhile."""
        head = replace(
            before,
            rev=before.rev + 1,
            attempt=before.attempt + 1,
            status="received",
            reason=None,
            retry_failure=None,
        )
        self._transact([self._put_head(head, before), self._open_record(head)])
        return head

    def retire_stale(self, asset_id: str) -> list[tuple[str, bool]]:
        """Mark every generation retired that the head neither wants nor has live.

        All retired ones of the asset, each with whether it is the wanted one, which then has failed. Whoever died
        between two writes left a record; this is how it is found again, at the next look. ConflictError when the head
        moves meanwhile.
        """
        states = {item["record"].partition("#")[2]: item["state"] for item in self._query(asset_id, "gen#")}
        head = self.head(asset_id)
        if head is None:
            return []
        unchanged = {
            "ConditionCheck": {
                "TableName": self._table,
                "Key": {"asset_id": asset_id, "record": "head"},
                "ConditionExpression": "rev = :rev",
                "ExpressionAttributeValues": {":rev": head.rev},
            }
        }
        retired = [generation for generation, state in states.items() if state == "retired"]
        for generation in states.keys() - {head.wanted, head.live, *retired}:
            self._transact([unchanged, self._retire(asset_id, generation)])
            retired.append(generation)
        return [(generation, generation == head.wanted) for generation in retired]

    def describe(self, work: Work, modality: str, duration: float | None) -> None:
        """Say that content of this kind is being embedded; SupersededError when that is over or not wanted."""
        values: dict[str, Any] = {":status": "embedding", ":modality": modality, ":duration": decimal(duration)}
        names = {"#duration": "duration"}
        self._update_head(work, "SET #status = :status, modality = :modality, #duration = :duration", values, names)

    def wait(self, work: Work) -> None:
        """Say that the work waits for Bedrock to have room."""
        self._update_head(work, "SET #status = :status", {":status": "waiting"}, {})

    # -- what becomes of it -------------------------------------------------------------------------------------

    def record_job(self, work: Work, invocation_arn: str, text_key: str | None) -> str:
        """Write the job's ARN unless this attempt has one; the ARN that counts is returned."""
        values = {":arn": invocation_arn, ":text": text_key, ":expires": int(time.time()) + KEPT_SECONDS}
        answer = self._db.update_item(
            TableName=self._table,
            Key={"asset_id": work.asset_id, "record": _job_record(work)},
            UpdateExpression=(
                "SET invocation_arn = if_not_exists(invocation_arn, :arn), text_key = if_not_exists(text_key, :text), "
                "expires = :expires"
            ),
            ExpressionAttributeValues=values,
            ReturnValues="ALL_NEW",
        )
        return str(answer["Attributes"]["invocation_arn"])

    def raise_highest(self, work: Work, highest: Mapping[str, int]) -> None:
        """Cover the vectors about to be put, and say that somebody is about to put them.

        SupersededError when this attempt may not write any more.
        """
        item = self._get(work.asset_id, f"gen#{work.generation}")
        if item is None or item["state"] == "retired" or item["attempt"] != work.attempt:
            raise SupersededError(f"{work.name} is not wanted any more")
        merged = dict(item["highest"])
        for name, number in highest.items():
            merged[name] = max(number, merged.get(name, -1))
        try:
            self._db.update_item(
                TableName=self._table,
                Key={"asset_id": work.asset_id, "record": f"gen#{work.generation}"},
                UpdateExpression="SET highest = :new, busy_until = :until",
                ConditionExpression="highest = :old AND attempt = :attempt AND #state <> :retired",
                ExpressionAttributeNames={"#state": "state"},
                ExpressionAttributeValues={
                    ":new": merged,
                    ":old": item["highest"],
                    ":attempt": work.attempt,
                    ":until": int(time.time()) + BUSY_SECONDS,
                    ":retired": "retired",
                },
            )
        except ClientError as error:
            if not _is_condition(error):
                raise
            self.raise_highest(work, highest)  # another writer of the same generation, or it was retired: look again

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
                self._db.put_item(TableName=self._table, Item=item)

    def commit(self, work: Work, segment_count: int, failed_segments: int, extent: Mapping[str, int]) -> bool:
        """In one transaction make this generation live and retire the former.

        False if another generation or attempt is wanted. ConflictError when the head moved meanwhile: look again.
        """
        head = self._wanted_head(work)
        if head is None:
            return False
        after = replace(
            head,
            rev=head.rev + 1,
            live=work.generation,
            live_version=head.version_id,
            live_attempt=work.attempt,
            live_modality=head.modality,
            live_duration=head.duration,
            segment_count=segment_count,
            failed_segments=failed_segments,
            extent=extent,
        )
        after = replace(after, status=after.live_status, reason=after.live_reason)
        writes = [self._put_head(after, head), self._set_live(work)]
        if head.live and head.live != work.generation:
            writes.append(self._retire(work.asset_id, head.live))
        self._transact(writes)
        return True

    def fail(
        self, work: Work, status: Status, reason: str, failed_segments: int = 0, extent: Mapping[str, int] | None = None
    ) -> bool:
        """End an attempt badly; False as with `commit`.

        The former generation goes too: it no longer is what lies in the bucket. A failed retry of the live generation
        leaves it live, and its status as it was.
        """
        head = self._wanted_head(work)
        if head is None:
            return False
        if head.status in SETTLED:  # a repeat
            return True
        reason = reason[:REASON_CHARS]
        if head.live == work.generation:
            after = replace(head, rev=head.rev + 1, status=head.live_status, reason=head.live_reason)
            self._transact(
                [
                    self._put_head(replace(after, retry_failure=reason), head),
                    self._set_live(work),
                ]
            )
            return True
        after = replace(
            _without_live(head),
            rev=head.rev + 1,
            status=status,
            reason=reason,
            failed_segments=failed_segments,
            extent=extent or {},
        )
        retired = [work.generation, *([head.live] if head.live else [])]
        writes = [self._retire(work.asset_id, generation) for generation in retired]
        self._transact([self._put_head(after, head), *writes])
        return True

    def forget_generation(self, asset_id: str, generation: str, finished: Work | None) -> None:
        """Drop the record of a retired generation whose vectors are gone.

        It stays as long as somebody may be about to put more of them, for they must be found again: whoever covered
        vectors is busy until his time is up. `finished` is work that will put no more, being our own.
        """
        own = finished.attempt if finished and finished.generation == generation else -1
        try:
            self._db.delete_item(
                TableName=self._table,
                Key={"asset_id": asset_id, "record": f"gen#{generation}"},
                ConditionExpression=(
                    "#state = :retired AND (attribute_not_exists(busy_until) OR busy_until < :now OR attempt = :own)"
                ),
                ExpressionAttributeNames={"#state": "state"},
                ExpressionAttributeValues={":retired": "retired", ":now": int(time.time()), ":own": own},
            )
        except ClientError as error:
            if not _is_condition(error):
                raise

    def forget_details(self, asset_id: str, generation: str) -> None:
        """Drop what is recorded of the jobs and failures of a generation."""
        for item in list(self._query(asset_id, f"of#{generation}#", "record")):
            self._db.delete_item(TableName=self._table, Key={"asset_id": asset_id, "record": item["record"]})

    # -- lists --------------------------------------------------------------------------------------------------

    def page(
        self, *, status: str | None, modality: str | None, prefix: str, start: dict[str, Any] | None, limit: int
    ) -> tuple[list[Head], dict[str, Any] | None]:
        """Assets in the order of their keys, and where the next page starts (None at the end).

        Deleted assets are listed only under their own status. An item read and filtered away counts, so a page can be
        shorter than `limit`, even empty, with more to come.
        """
        index, name, value = _list_index(status, modality)
        values: dict[str, Any] = {":value": value}
        condition, filters = f"{name} = :value", []
        names = {}
        if name == "#status":
            names["#status"] = "status"
        if prefix:
            names["#key"] = "key"
            condition += " AND begins_with(#key, :prefix)"
            values[":prefix"] = prefix
        if index == "by_status" and modality:
            filters.append("modality = :modality")
            values[":modality"] = modality
        if index == "by_modality":
            filters.append("listed = :listed")
            values[":listed"] = "assets"
        request: dict[str, Any] = {
            "TableName": self._table,
            "IndexName": index,
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": values,
            "Limit": limit,
        }
        if names:
            request["ExpressionAttributeNames"] = names
        if filters:
            request["FilterExpression"] = " AND ".join(filters)
        if start:
            request["ExclusiveStartKey"] = start
        answer = self._db.query(**request)
        return [read_head(item) for item in answer["Items"]], answer.get("LastEvaluatedKey")

    # -- inside -------------------------------------------------------------------------------------------------

    def _get(self, asset_id: str, record: str) -> dict[str, Any] | None:
        key = {"asset_id": asset_id, "record": record}
        item: dict[str, Any] | None = self._db.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")
        return item

    def _query(self, asset_id: str, prefix: str, only: str = "") -> Iterator[dict[str, Any]]:
        """The asset's records that start so, strongly consistent, in order; whole, or one attribute of each."""
        request: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "asset_id = :id AND begins_with(#record, :prefix)",
            "ExpressionAttributeNames": {"#record": "record"},
            "ExpressionAttributeValues": {":id": asset_id, ":prefix": prefix},
            "ConsistentRead": True,
        }
        if only:
            request |= {"ProjectionExpression": "#only"}
            request["ExpressionAttributeNames"]["#only"] = only
        while True:
            answer = self._db.query(**request)
            yield from answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _put_head(self, head: Head, before: Head | None) -> dict[str, Any]:
        put: dict[str, Any] = {"TableName": self._table, "Item": head_item(head)}
        if before:
            put["ConditionExpression"] = "rev = :rev"
            put["ExpressionAttributeValues"] = {":rev": before.rev}
        else:
            put["ConditionExpression"] = "attribute_not_exists(asset_id)"
        return {"Put": put}

    def _set_live(self, work: Work) -> dict[str, Any]:
        """Its writer has done. What was retired meanwhile is being cleared, so it cannot come to life."""
        condition = "attribute_exists(asset_id) AND #state <> :retired"
        expression = "SET #state = :live REMOVE busy_until"
        return self._update_generation(work.asset_id, work.generation, expression, condition, live="live")

    def _retire(self, asset_id: str, generation: str) -> dict[str, Any]:
        """Its writer may be busy still: whoever retires it cannot know."""
        return self._update_generation(asset_id, generation, "SET #state = :retired", "attribute_exists(asset_id)")

    def _open_record(self, head: Head) -> dict[str, Any]:
        """Let the head's attempt write its wanted generation; a retired record of it must be gone first.

        What an abandoned attempt may have written stays covered, and what is live stays live.
        """
        assert head.wanted is not None
        return self._update_generation(
            head.asset_id,
            head.wanted,
            "SET #state = if_not_exists(#state, :writing), highest = if_not_exists(highest, :none), attempt = :attempt",
            "attribute_not_exists(asset_id) OR #state <> :retired",
            writing="writing",
            none={},
            attempt=head.attempt,
        )

    def _update_generation(
        self, asset_id: str, generation: str, expression: str, condition: str, **values: Any
    ) -> dict[str, Any]:
        """A write of a transaction; `:retired` is among the values."""
        return {
            "Update": {
                "TableName": self._table,
                "Key": {"asset_id": asset_id, "record": f"gen#{generation}"},
                "UpdateExpression": expression,
                "ConditionExpression": condition,
                "ExpressionAttributeNames": {"#state": "state"},
                "ExpressionAttributeValues": {
                    f":{name}": value for name, value in ({"retired": "retired"} | values).items()
                },
            }
        }

    def _wanted_head(self, work: Work) -> Head | None:
        head = self.head(work.asset_id)
        return head if head and (head.wanted, head.attempt) == (work.generation, work.attempt) else None

    def _update_head(self, work: Work, expression: str, values: dict[str, Any], names: dict[str, str]) -> None:
        try:
            self._db.update_item(
                TableName=self._table,
                Key={"asset_id": work.asset_id, "record": "head"},
                UpdateExpression=expression,
                ConditionExpression="wanted = :wanted AND attempt = :attempt AND #status IN (:r, :w, :e)",
                ExpressionAttributeValues={
                    **values,
                    ":wanted": work.generation,
                    ":attempt": work.attempt,
                    **{f":{status[0]}": status for status in OPEN},
                },
                ExpressionAttributeNames={**names, "#status": "status"},
            )
        except ClientError as error:
            if _is_condition(error):
                raise SupersededError(f"{work.name} is not wanted any more") from error
            if error.response["Error"]["Code"] == "TransactionConflictException":
                raise ConflictError(str(error)) from error
            raise

    def _transact(self, writes: list[dict[str, Any]]) -> None:
        """All or nothing; ConflictError when a condition failed or another transaction was in the way."""
        try:
            self._db.transact_write_items(TransactItems=writes)
        except ClientError as error:
            reasons = {reason.get("Code") for reason in error.response.get("CancellationReasons", [])}
            if reasons and reasons <= {"None", "ConditionalCheckFailed", "TransactionConflict"}:
                raise ConflictError(str(error)) from error
            raise


def _list_index(status: str | None, modality: str | None) -> tuple[str, str, str]:
    if status:
        return "by_status", "#status", status
    if modality:
        return "by_modality", "modality", modality
    return "by_key", "listed", "assets"


def _without_live(head: Head) -> Head:
    return replace(
        head,
        live=None,
        live_version=None,
        live_attempt=0,
        live_modality=None,
        live_duration=None,
        segment_count=0,
        failed_segments=0,
        extent={},
        retry_failure=None,
    )


def _is_condition(error: ClientError) -> bool:
    return error.response["Error"]["Code"] == "ConditionalCheckFailedException"


def _job_record(work: Work) -> str:
    return f"of#{work.generation}#job#{work.attempt}"


def _failure_prefix(work: Work) -> str:
    return f"of#{work.generation}#fail#{work.attempt}#"

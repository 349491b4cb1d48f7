"""The catalog: what is known of every asset, in one DynamoDB table.

Items of an asset share the partition key `asset_id`; `record` tells them apart:

    head                      one, small: what search and lists read
    gen#<generation>          one per generation: `writing` → `live` → `retired`; its highest segment number per type
    job#<generation>#<attempt>   one per attempt that became an async job
    fail#<generation>#<attempt>#<n>   failed segments, at most 100 an item

Every status write carries, as a condition, the generation and attempt that it speaks for. `rev` grows with every
change of what is wanted or live. Lists have an index each: by key, by status, by modality; nothing is scanned.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from lambdas.shared.assets import FailedSegment, StoredObject, Work
from lambdas.shared.errors import ConflictError, SupersededError
from lambdas.shared.records import (
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
KEYS_A_BATCH = 100  # BatchGetItem's limit


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
        return self._get(work.asset_id, f"job#{work.generation}#{work.attempt}")

    def failures(self, work: Work) -> Iterator[FailedSegment]:
        """The failed segments of one attempt, in order."""
        for item in self._query(work.asset_id, _failure_prefix(work)):
            yield from (read_failed_segment(entry) for entry in item["failures"])

    # -- what is wanted -----------------------------------------------------------------------------------------

    def want(self, before: Head | None, stored: StoredObject, generation: str) -> Head:
        """Make `generation` the wanted one, as long as the head is still as `before`; else ConflictError.

        The attempt grows with every change of mind, so no name of earlier work is ever used again.
        """
        head = Head(
            asset_id=stored.asset_id,
            key=stored.key,
            rev=before.rev + 1 if before else 1,
            status="received",
            attempt=before.attempt + 1 if before else 0,
            size=stored.size,
            created=stored.created,
            wanted=generation,
            live=before.live if before else None,
            version_id=stored.version_id,
            live_version=before.live_version if before else None,
            modality=before.modality if before else None,
            segment_count=before.segment_count if before else 0,
            failed_segments=before.failed_segments if before else 0,
        )
        if before and before.live == generation:  # changed and changed back before the change was in
            head = replace(head, status="partial" if before.failed_segments else "indexed")
            self._transact([self._put_head(head, before)])
            return head
        self._transact([self._put_head(head, before), self._open_record(head.asset_id, generation)])
        return head

    def delete(self, before: Head) -> Head:
        """The file is gone: nothing is wanted and nothing is live, at once."""
        head = replace(
            before,
            rev=before.rev + 1,
            status="deleted",
            wanted=None,
            live=None,
            live_version=None,
            segment_count=0,
            failed_segments=0,
            reason=None,
        )
        self._transact([self._put_head(head, before)])
        return head

    def try_again(self, before: Head) -> None:
        """Raise the attempt at the generation that is wanted; ConflictError when the head moved meanwhile."""
        head = replace(before, rev=before.rev + 1, attempt=before.attempt + 1, status="received", reason=None)
        self._transact([self._put_head(head, before)])

    def retire_stale(self, asset_id: str) -> list[str]:
        """Mark every generation retired that the head neither wants nor has live; all retired ones of the asset.

        Whoever died between two writes left a record; this is how it is found again, at the next look. ConflictError
        when the head moves meanwhile.
        """
        records = list(self._query(asset_id, "gen#"))
        head = self.head(asset_id)
        if head is None:
            return []
        generations = [item["record"].partition("#")[2] for item in records]
        stale = [generation for generation in generations if generation not in (head.wanted, head.live)]
        unchanged = {
            "ConditionCheck": {
                "TableName": self._table,
                "Key": {"asset_id": asset_id, "record": "head"},
                "ConditionExpression": "rev = :rev",
                "ExpressionAttributeValues": {":rev": head.rev},
            }
        }
        for generation in stale:
            self._transact([unchanged, self._set_state(asset_id, generation, "retired")])
        return stale

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
        values = {":arn": invocation_arn, ":text": text_key}
        answer = self._db.update_item(
            TableName=self._table,
            Key={"asset_id": work.asset_id, "record": f"job#{work.generation}#{work.attempt}"},
            UpdateExpression=(
                "SET invocation_arn = if_not_exists(invocation_arn, :arn), text_key = if_not_exists(text_key, :text)"
            ),
            ExpressionAttributeValues=values,
            ReturnValues="ALL_NEW",
        )
        return str(answer["Attributes"]["invocation_arn"])

    def raise_highest(self, work: Work, highest: Mapping[str, int]) -> None:
        """Cover the vectors about to be put; SupersededError when this generation may not write any more."""
        record = self.generation(work.asset_id, work.generation)
        if record is None or record.state == "retired":
            raise SupersededError(f"{work.name} is not wanted any more")
        merged = dict(record.highest)
        for name, number in highest.items():
            merged[name] = max(number, merged.get(name, -1))
        if merged == record.highest:
            return
        try:
            self._db.update_item(
                TableName=self._table,
                Key={"asset_id": work.asset_id, "record": f"gen#{work.generation}"},
                UpdateExpression="SET highest = :new",
                ConditionExpression="highest = :old AND #state <> :retired",
                ExpressionAttributeNames={"#state": "state"},
                ExpressionAttributeValues={":new": merged, ":old": dict(record.highest), ":retired": "retired"},
            )
        except ClientError as error:
            if not _is_condition(error):
                raise
            self.raise_highest(work, highest)  # another writer of the same generation, or it was retired: look again

    def record_failures(self, work: Work, failures: Sequence[FailedSegment]) -> None:
        """Keep failed segments in items of at most 100; a repeat overwrites with the same."""
        entries = iter(failures)
        number = 0
        while batch := list(islice(entries, FAILURES_AN_ITEM)):
            item = {
                "asset_id": work.asset_id,
                "record": f"{_failure_prefix(work)}{number:05d}",
                "failures": [plain(asdict(failure)) for failure in batch],
            }
            self._db.put_item(TableName=self._table, Item=item)
            number += 1

    def commit(self, work: Work, segment_count: int, failed_segments: int) -> list[str] | None:
        """In one transaction make this generation live and retire the former; the retired generations.

        None if another generation or attempt is wanted. ConflictError when the head moved meanwhile: look again.
        """
        head = self._wanted_head(work)
        if head is None:
            return None
        reason = f"{failed_segments} of {segment_count + failed_segments} segments failed" if failed_segments else None
        after = replace(
            head,
            rev=head.rev + 1,
            status="partial" if failed_segments else "indexed",
            live=work.generation,
            live_version=head.version_id,
            segment_count=segment_count,
            failed_segments=failed_segments,
            reason=reason,
        )
        writes = [self._put_head(after, head), self._set_state(work.asset_id, work.generation, "live")]
        retired = [head.live] if head.live and head.live != work.generation else []
        writes += [self._set_state(work.asset_id, generation, "retired") for generation in retired]
        self._transact(writes)
        return retired

    def fail(self, work: Work, status: Status, reason: str) -> list[str] | None:
        """End an attempt badly; the retired generations, None as with `commit`.

        The former generation goes too: it no longer is what lies in the bucket. A failed retry of the live generation
        leaves it live, and the failure in its job's record.
        """
        head = self._wanted_head(work)
        if head is None:
            return None
        if head.live == work.generation:
            self._record_retry_failure(work, reason)
            return []
        if head.status in SETTLED:  # a repeat
            return [work.generation]
        after = replace(
            head,
            rev=head.rev + 1,
            status=status,
            live=None,
            live_version=None,
            segment_count=0,
            failed_segments=0,
            reason=reason[:REASON_CHARS],
        )
        retired = [work.generation, *([head.live] if head.live else [])]
        writes = [self._set_state(work.asset_id, generation, "retired") for generation in retired]
        self._transact([self._put_head(after, head), *writes])
        return retired

    def forget_generation(self, asset_id: str, generation: str) -> None:
        """Drop the record of a retired generation whose vectors are gone."""
        try:
            self._db.delete_item(
                TableName=self._table,
                Key={"asset_id": asset_id, "record": f"gen#{generation}"},
                ConditionExpression="attribute_not_exists(asset_id) OR #state = :retired",
                ExpressionAttributeNames={"#state": "state"},
                ExpressionAttributeValues={":retired": "retired"},
            )
        except ClientError as error:
            if not _is_condition(error):
                raise

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

    def _query(self, asset_id: str, prefix: str) -> Iterator[dict[str, Any]]:
        """The asset's records that start so, strongly consistent, in order."""
        request: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "asset_id = :id AND begins_with(#record, :prefix)",
            "ExpressionAttributeNames": {"#record": "record"},
            "ExpressionAttributeValues": {":id": asset_id, ":prefix": prefix},
            "ConsistentRead": True,
        }
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

    def _set_state(self, asset_id: str, generation: str, state: str) -> dict[str, Any]:
        return {
            "Update": {
                "TableName": self._table,
                "Key": {"asset_id": asset_id, "record": f"gen#{generation}"},
                "UpdateExpression": "SET #state = :state",
                "ConditionExpression": "attribute_exists(asset_id)",
                "ExpressionAttributeNames": {"#state": "state"},
                "ExpressionAttributeValues": {":state": state},
            }
        }

    def _wanted_head(self, work: Work) -> Head | None:
        head = self.head(work.asset_id)
        return head if head and (head.wanted, head.attempt) == (work.generation, work.attempt) else None

    def _record_retry_failure(self, work: Work, reason: str) -> None:
        self._db.update_item(
            TableName=self._table,
            Key={"asset_id": work.asset_id, "record": f"job#{work.generation}#{work.attempt}"},
            UpdateExpression="SET reason = :reason",
            ExpressionAttributeValues={":reason": reason},
        )

    def _open_record(self, asset_id: str, generation: str) -> dict[str, Any]:
        """A `writing` record; what an abandoned attempt at the same generation may have written stays covered."""
        return {
            "Update": {
                "TableName": self._table,
                "Key": {"asset_id": asset_id, "record": f"gen#{generation}"},
                "UpdateExpression": "SET #state = :writing, highest = if_not_exists(highest, :none)",
                "ConditionExpression": "attribute_not_exists(asset_id) OR #state = :writing",
                "ExpressionAttributeNames": {"#state": "state"},
                "ExpressionAttributeValues": {":writing": "writing", ":none": {}},
            }
        }

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


def _is_condition(error: ClientError) -> bool:
    return error.response["Error"]["Code"] == "ConditionalCheckFailedException"


def _failure_prefix(work: Work) -> str:
    return f"fail#{work.generation}#{work.attempt:05d}#"

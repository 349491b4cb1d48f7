"""The operations on vector buckets and indexes themselves: making, describing, listing, tagging, deleting."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import orjson

from local import clock
from local.s3vectors import catalog, texts
from local.s3vectors.building import Builder
from local.s3vectors.catalog import Bucket, Index, Names, find_bucket, find_index
from local.s3vectors.errors import conflict, invalid, over_quota
from local.s3vectors.tokens import make_token, read_token
from local.state import State
from local.wire import AwsError, SetPolicy

MAX_TEXT_KEYS = 10
MAX_PAGE = 500
_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9-]*[a-z0-9]")
_INDEX_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*[a-z0-9]")

Json = dict[str, Any]


@dataclass(frozen=True)
class Quotas:
    """What an account may have: S3 user guide, "Limitations and restrictions" of S3 Vectors."""

    buckets: int = 10_000
    indexes_per_bucket: int = 10_000
    vectors_per_index: int = 2_000_000_000


class Control:
    """`older_buckets` (names, `*` for any part) are taken as made before 30 Sep 2026: only those may be CLASSIC, and
    are at first.
    """

    def __init__(
        self,
        state: State,
        names: Names,
        builder: Builder,
        older_buckets: Collection[str],
        quotas: Quotas,
        enforce: SetPolicy,
    ) -> None:
        self._state = state
        self._builder = builder
        self._names = names
        self._older_buckets = tuple(older_buckets)
        self.quotas = quotas
        self._enforce = enforce
        state.create(catalog.SCHEMA)
        state.create(texts.SCHEMA)
        with state.transaction() as db:
            for name, policy in db.execute("SELECT name, policy FROM s3vectors_buckets WHERE policy IS NOT NULL"):
                enforce(names.bucket_arn(name), policy)

    def create_vector_bucket(self, request: Json) -> Json:
        name, tags = request["vectorBucketName"], request.get("tags") or {}
        if not _BUCKET_NAME.fullmatch(name):
            raise invalid("Invalid vector bucket name", "vectorBucketName")
        catalog.check_tags(tags)
        encryption = _encryption(request) or {"sseType": "AES256"}
        mode = "CLASSIC" if self._is_older(name) else "ENHANCED"
        with self._state.transaction() as db:
            if db.execute("SELECT 1 FROM s3vectors_buckets WHERE name = ?", (name,)).fetchone():
                raise conflict("A vector bucket with the specified name already exists")
            if db.execute("SELECT COUNT(*) FROM s3vectors_buckets").fetchone()[0] >= self.quotas.buckets:
                raise over_quota(f"You may have at most {self.quotas.buckets} vector buckets")
            catalog.insert_bucket(db, Bucket(name, clock.now(), encryption, mode, None, tags))
        return {"vectorBucketArn": self._names.bucket_arn(name)}

    def get_vector_bucket(self, request: Json) -> Json:
        with self._state.transaction() as db:
            bucket = find_bucket(db, self._names.bucket_in(request))
        details = {"encryptionConfiguration": bucket.encryption, "defaultIndexMode": bucket.mode}
        return {"vectorBucket": {**self._bucket_summary(bucket.name, bucket.created), **details}}

    def list_vector_buckets(self, request: Json) -> Json:
        sql = "SELECT name, created FROM s3vectors_buckets WHERE 1"
        rows, page = self._page(sql, (), request)
        return {"vectorBuckets": [self._bucket_summary(*row) for row in rows], **page}

    def delete_vector_bucket(self, request: Json) -> Json:
        with self._state.transaction() as db:
            name = find_bucket(db, self._names.bucket_in(request)).name
            if db.execute("SELECT 1 FROM s3vectors_indexes WHERE bucket = ?", (name,)).fetchone():
                raise conflict("The specified vector bucket is not empty")
            db.execute("DELETE FROM s3vectors_buckets WHERE name = ?", (name,))
            self._enforce(self._names.bucket_arn(name), None)
        return {}

    def put_vector_bucket_default_index_mode(self, request: Json) -> Json:
        with self._state.transaction() as db:
            name = find_bucket(db, self._names.bucket_in(request)).name
            self._check_mode(name, request["defaultIndexMode"], "defaultIndexMode")
            db.execute("UPDATE s3vectors_buckets SET mode = ? WHERE name = ?", (request["defaultIndexMode"], name))
        return {}

    def put_vector_bucket_policy(self, request: Json) -> Json:
        if not _is_json_object(request["policy"]):
            raise invalid("The policy is not valid JSON", "policy")
        self._set_policy(request, request["policy"])
        return {}

    def get_vector_bucket_policy(self, request: Json) -> Json:
        with self._state.transaction() as db:
            bucket = find_bucket(db, self._names.bucket_in(request))
        if bucket.policy is None:
            raise AwsError("NotFoundException", "The specified vector bucket policy could not be found", 404)
        return {"policy": bucket.policy}

    def delete_vector_bucket_policy(self, request: Json) -> Json:
        self._set_policy(request, None)
        return {}

    def create_index(self, request: Json) -> Json:
        name, tags = request["indexName"], request.get("tags") or {}
        if not _INDEX_NAME.fullmatch(name):
            raise invalid("Invalid index name", "indexName")
        catalog.check_tags(tags)
        metadata = request.get("metadataConfiguration") or {}
        non_filterable = metadata.get("nonFilterableMetadataKeys") or []
        text_search = _text_configurations(metadata)
        with self._state.transaction() as db:
            bucket = find_bucket(db, self._names.bucket_in(request))
            sql = "SELECT COUNT(*), TOTAL(name = ?) FROM s3vectors_indexes WHERE bucket = ?"
            count, same = db.execute(sql, (name, bucket.name)).fetchone()
            if same:
                raise conflict("An index with the specified name already exists")
            if count >= (most := self.quotas.indexes_per_bucket):
                raise over_quota(f"A vector bucket may have at most {most} indexes")
            if text_search and bucket.mode != "ENHANCED":
                raise _needs_enhanced("metadataConfiguration.textSearchConfigurations")
            catalog.insert_index(
                db,
                Index(
                    id=0,
                    bucket=bucket.name,
                    name=name,
                    created=clock.now(),
                    dimension=request["dimension"],
                    metric=request["distanceMetric"],
                    non_filterable=list(dict.fromkeys(non_filterable)),
                    text_search=text_search,
                    encryption=_encryption(request) or bucket.encryption,
                    mode=bucket.mode,
                    tags=tags,
                ),
            )
        return {"indexArn": self._names.index_arn(bucket.name, name)}

    def get_index(self, request: Json) -> Json:
        with self._state.transaction() as db:
            index = find_index(db, *self._names.index_in(request))
            statuses = {each.key: each.status for each in texts.text_indexes(db, index.id)}
        details: Json = {
            "dataType": "float32",
            "dimension": index.dimension,
            "distanceMetric": index.metric,
            "encryptionConfiguration": index.encryption,
            "indexMode": index.mode,
        }
        metadata: Json = {}
        if index.non_filterable:
            metadata["nonFilterableMetadataKeys"] = index.non_filterable
        if index.text_search:
            metadata["textSearchConfigurations"] = [
                {**each, "status": statuses[each["metadataKey"]]} for each in index.text_search
            ]
        if metadata:
            details["metadataConfiguration"] = metadata
        return {"index": {**self._index_summary(index.bucket, index.name, index.created), **details}}

    def list_indexes(self, request: Json) -> Json:
        bucket = self._names.bucket_in(request)
        with self._state.transaction() as db:
            find_bucket(db, bucket)
        rows, page = self._page("SELECT name, created FROM s3vectors_indexes WHERE bucket = ?", (bucket,), request)
        return {"indexes": [self._index_summary(bucket, *row) for row in rows], **page}

    def update_index_mode(self, request: Json) -> Json:
        mode = request["indexMode"]
        with self._state.transaction() as db:
            index = find_index(db, *self._names.index_in(request))
            self._check_mode(index.bucket, mode, "indexMode")
            if mode == "CLASSIC" and index.text_search:
                raise invalid("An index with text search configurations cannot be CLASSIC", "indexMode")
            db.execute("UPDATE s3vectors_indexes SET mode = ? WHERE id = ?", (mode, index.id))
        return {}

    def update_metadata_configuration(self, request: Json) -> Json:
        add, delete = request.get("add"), request.get("delete")
        if (add is None) == (delete is None):
            raise invalid("Specify either add or delete, but not both", "add")
        with self._state.transaction() as db:
            index = find_index(db, *self._names.index_in(request))
            if index.mode != "ENHANCED":
                raise _needs_enhanced("indexArn")
            changed = _with_added(index, add) if add is not None else _with_deleted(index, delete or {})
            catalog.set_text_search(db, index.id, changed)
        self._builder.wake()
        return {"indexArn": self._names.index_arn(index.bucket, index.name)}

    def tag_resource(self, request: Json) -> Json:
        resource = self._names.resource_in(request["resourceArn"])
        with self._state.transaction() as db:
            tags = {**catalog.read_tags(db, resource), **request["tags"]}
            catalog.check_tags(tags)
            catalog.write_tags(db, resource, tags)
        return {}

    def untag_resource(self, request: Json) -> Json:
        resource = self._names.resource_in(request["resourceArn"])
        with self._state.transaction() as db:
            tags = catalog.read_tags(db, resource)
            kept = {key: value for key, value in tags.items() if key not in request["tagKeys"]}
            catalog.write_tags(db, resource, kept)
        return {}

    def list_tags_for_resource(self, request: Json) -> Json:
        resource = self._names.resource_in(request["resourceArn"])
        with self._state.transaction() as db:
            return {"tags": catalog.read_tags(db, resource)}

    def find_index(self, request: Mapping[str, Any]) -> Index:
        with self._state.transaction() as db:
            return find_index(db, *self._names.index_in(request))

    def _set_policy(self, request: Json, policy: str | None) -> None:
        with self._state.transaction() as db:
            name = find_bucket(db, self._names.bucket_in(request)).name
            try:
                self._enforce(self._names.bucket_arn(name), policy)
            except ValueError as error:
                raise invalid(str(error), "policy") from error
            db.execute("UPDATE s3vectors_buckets SET policy = ? WHERE name = ?", (policy, name))

    def _is_older(self, bucket: str) -> bool:
        return any(fnmatchcase(bucket, each) for each in self._older_buckets)

    def _check_mode(self, bucket: str, mode: str, path: str) -> None:
        if mode == "CLASSIC" and not self._is_older(bucket):
            message = "CLASSIC can be set only for vector buckets created before September 30, 2026"
            raise invalid(message, path)

    def _page(self, sql: str, values: tuple[str, ...], request: Json) -> tuple[list[tuple[str, float]], Json]:
        """One page of `(name, created)` by name, and the token of the next where there is one."""
        prefix, size = request.get("prefix", ""), request.get("maxResults", MAX_PAGE)
        token = request.get("nextToken")
        after = read_token(token, sql, values, prefix).decode() if token else ""
        sql_page = f"{sql} AND name > ? AND substr(name, 1, ?) = ? ORDER BY name LIMIT ?"
        with self._state.transaction() as db:
            found = db.execute(sql_page, (*values, after, len(prefix), prefix, size + 1)).fetchall()
        rows = [(row["name"], row["created"]) for row in found[:size]]
        more = {"nextToken": make_token(rows[-1][0].encode(), sql, values, prefix)} if len(found) > size else {}
        return rows, more

    def _bucket_summary(self, name: str, created: float) -> Json:
        return {"vectorBucketName": name, "vectorBucketArn": self._names.bucket_arn(name), "creationTime": created}

    def _index_summary(self, bucket: str, name: str, created: float) -> Json:
        arn = self._names.index_arn(bucket, name)
        return {"vectorBucketName": bucket, "indexName": name, "indexArn": arn, "creationTime": created}


def _encryption(request: Json) -> dict[str, str] | None:
    """The encryption a request asks for; there is no KMS here, so a key's ARN is kept and not looked up."""
    configuration = request.get("encryptionConfiguration")
    if configuration is None:
        return None
    sse_type, key = configuration.get("sseType", "AES256"), configuration.get("kmsKeyArn")
    if sse_type == "AES256" and key is not None:
        raise invalid("kmsKeyArn must not be specified when sseType is AES256.", "EncryptionConfiguration")
    if sse_type == "aws:kms" and key is None:
        raise invalid("kmsKeyArn must be specified when sseType is set to aws:kms", "EncryptionConfiguration")
    return {"sseType": sse_type, **({"kmsKeyArn": key} if key else {})}


def _text_configurations(holder: Mapping[str, Any]) -> list[dict[str, str]]:
    """`{"metadataKey", "language"?}` of each; the status is the service's to say."""
    found = holder.get("textSearchConfigurations") or []
    if len({each["metadataKey"] for each in found}) < len(found):
        raise invalid("Each text search configuration must have a distinct metadataKey", "textSearchConfigurations")
    return [{name: each[name] for name in ("metadataKey", "language") if each.get(name)} for each in found]


def _with_added(index: Index, add: Mapping[str, Any]) -> list[dict[str, str]]:
    new = _text_configurations(add)
    known = {each["metadataKey"] for each in index.text_search}
    if already := sorted(known & {each["metadataKey"] for each in new}):
        raise conflict(f"A text search configuration for '{already[0]}' already exists")
    if len(known) + len(new) > MAX_TEXT_KEYS:
        message = f"An index may have at most {MAX_TEXT_KEYS} text search configurations"
        raise invalid(message, "add.textSearchConfigurations")
    return index.text_search + new


def _with_deleted(index: Index, delete: Mapping[str, Any]) -> list[dict[str, str]]:
    keys = [each["metadataKey"] for each in delete.get("textSearchConfigurations") or []]
    known = {each["metadataKey"] for each in index.text_search}
    if missing := [key for key in keys if key not in known]:
        message = f"The text search configuration for '{missing[0]}' could not be found"
        raise AwsError("NotFoundException", message, 404)
    return [each for each in index.text_search if each["metadataKey"] not in keys]


def _needs_enhanced(path: str) -> AwsError:
    return invalid("Full-text search requires a vector index in ENHANCED mode", path)


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except ValueError:
        return False

"""Vector buckets and indexes as CloudFormation describes them, made where they are missing."""

from collections.abc import Mapping
from typing import Any

from local.s3vectors.catalog import Names
from local.s3vectors.control import Control, Json
from local.s3vectors.shapes import check_request
from local.wire import AwsError

_BUCKET_PROPERTIES = {"VectorBucketName", "EncryptionConfiguration", "Tags"}
_INDEX_PROPERTIES = {
    "VectorBucketName",
    "VectorBucketArn",
    "IndexName",
    "DataType",
    "Dimension",
    "DistanceMetric",
    "MetadataConfiguration",
    "EncryptionConfiguration",
    "Tags",
}


class ImmutablePropertyError(Exception):
    """A template changes what cannot change under the same name: AWS would refuse it or replace the resource."""


class TemplateResources:
    """Makes what a template asks for, once; what is there already must be the same, apart from its tags."""

    def __init__(self, control: Control, names: Names) -> None:
        self._control = control
        self._names = names

    def ensure_vector_bucket(self, name: str, properties: Mapping[str, Any]) -> str:
        _check_known(properties, _BUCKET_PROPERTIES)
        wanted = {"vectorBucketName": name, **_encryption(properties), **_tags(properties)}
        check_request("CreateVectorBucket", wanted)
        arn = self._names.bucket_arn(name)
        try:
            self._control.create_vector_bucket(wanted)
        except AwsError as error:
            _only_conflict(error)
            found = self._control.get_vector_bucket({"vectorBucketName": name})["vectorBucket"]
            _check_same(arn, {"EncryptionConfiguration": _encryption_pair(wanted, found, {"sseType": "AES256"})})
            self._set_tags(arn, wanted.get("tags", {}))
        return arn

    def ensure_index(self, properties: Mapping[str, Any]) -> str:
        _check_known(properties, _INDEX_PROPERTIES)
        wanted = _index_request(properties)
        check_request("CreateIndex", wanted)
        bucket = self._names.bucket_in(wanted)
        arn = self._names.index_arn(bucket, wanted["indexName"])
        try:
            self._control.create_index(wanted)
        except AwsError as error:
            _only_conflict(error)
            self._check_index(arn, bucket, wanted)
            self._set_tags(arn, wanted.get("tags", {}))
        return arn

    def _check_index(self, arn: str, bucket: str, wanted: Json) -> None:
        found = self._control.get_index({"indexArn": arn})["index"]
        default = self._control.get_vector_bucket({"vectorBucketName": bucket})["vectorBucket"]
        pairs = {name: (wanted[name], found[name]) for name in ("dataType", "dimension", "distanceMetric")}
        pairs["nonFilterableMetadataKeys"] = (_non_filterable(wanted), _non_filterable(found))
        pairs["encryptionConfiguration"] = _encryption_pair(wanted, found, default["encryptionConfiguration"])
        _check_same(arn, pairs)

    def _set_tags(self, arn: str, tags: Mapping[str, str]) -> None:
        old = self._control.list_tags_for_resource({"resourceArn": arn})["tags"]
        self._control.untag_resource({"resourceArn": arn, "tagKeys": [key for key in old if key not in tags]})
        self._control.tag_resource({"resourceArn": arn, "tags": dict(tags)})


def _index_request(properties: Mapping[str, Any]) -> Json:
    """The CreateIndex request that says the same; names as they are in the API."""
    request: Json = {
        name[0].lower() + name[1:]: properties[name]
        for name in ("VectorBucketName", "VectorBucketArn", "IndexName", "DataType", "DistanceMetric")
        if name in properties
    }
    if "Dimension" in properties:
        request["dimension"] = int(properties["Dimension"])  # a template may write it as text
    keys = (properties.get("MetadataConfiguration") or {}).get("NonFilterableMetadataKeys")
    if keys:
        request["metadataConfiguration"] = {"nonFilterableMetadataKeys": list(keys)}
    return {**request, **_encryption(properties), **_tags(properties)}


def _encryption(properties: Mapping[str, Any]) -> Json:
    given = properties.get("EncryptionConfiguration")
    if not given:
        return {}
    renamed = {"SseType": "sseType", "KmsKeyArn": "kmsKeyArn"}
    _check_known(given, set(renamed))
    return {"encryptionConfiguration": {renamed[name]: value for name, value in given.items()}}


def _tags(properties: Mapping[str, Any]) -> Json:
    given = properties.get("Tags")
    return {"tags": {each["Key"]: each["Value"] for each in given}} if given else {}


def _non_filterable(described: Json) -> list[str]:
    return sorted(set(described.get("metadataConfiguration", {}).get("nonFilterableMetadataKeys", [])))


def _encryption_pair(wanted: Json, found: Json, default: Json) -> tuple[Json, Json]:
    asked = wanted.get("encryptionConfiguration")
    return ({"sseType": "AES256", **asked} if asked else default), found["encryptionConfiguration"]


def _check_known(properties: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(set(properties) - known):
        raise AwsError("ValidationException", f"The laptop does not know the properties {', '.join(unknown)}")


def _check_same(arn: str, pairs: Mapping[str, tuple[Any, Any]]) -> None:
    changed = [
        f"{name} is {found}, the template says {wanted}" for name, (wanted, found) in pairs.items() if wanted != found
    ]
    if changed:
        raise ImmutablePropertyError(f"{arn}: {'; '.join(changed)}")


def _only_conflict(error: AwsError) -> None:
    if error.code != "ConflictException":
        raise error

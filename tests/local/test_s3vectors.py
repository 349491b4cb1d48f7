"""S3 Vectors over the wire, through boto3; laws against brute force."""

import contextlib
import itertools
import json
import math
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.auth import Keyring
from local.clients import Clients
from local.front import Front
from local.http import HttpServer
from local.s3vectors import ImmutablePropertyError, S3Vectors
from local.state import State
from local.wire import AwsError, Service

BUCKET = "films"
BUCKET_ARN = f"arn:aws:s3vectors:us-east-1:000000000000:bucket/{BUCKET}"
INDEX = {"vectorBucketName": BUCKET, "indexName": "scenes"}
INDEX_ARN = f"{BUCKET_ARN}/index/scenes"
ASKING = {**INDEX, "queryVector": {"float32": [1.0, 0.0]}, "topK": 10}
LAWS = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Laptop:
    """S3 Vectors on a port, on a folder that can be closed and opened again under the same port."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.options = options
        self.state = State(folder)
        self.services: dict[str, Service] = {"s3vectors": S3Vectors(self.state, **options)}
        keyring = Keyring(folder)
        self.server = HttpServer(Front(self.services, keyring, lambda name, *_: pytest.fail(name)), 0)
        self.server.start()
        self.client = Clients(self.server.url, keyring).get("s3vectors", None)

    @property
    def service(self) -> S3Vectors:
        service = self.services["s3vectors"]
        assert isinstance(service, S3Vectors)
        return service

    def reopen(self) -> None:
        self.service.stop()
        self.state.close()
        self.state = State(self.folder)
        self.services["s3vectors"] = S3Vectors(self.state, **self.options)

    def close(self) -> None:
        self.server.stop()
        self.service.stop()
        self.state.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    made = Laptop(tmp_path_factory.mktemp("laptop"))
    yield made
    made.close()


@pytest.fixture
def laptop(shared: Laptop) -> Laptop:
    """A laptop without a bucket; stopping a server takes half a second, so that all tests share one."""
    for bucket in shared.client.list_vector_buckets()["vectorBuckets"]:
        name = bucket["vectorBucketName"]
        for index in shared.client.list_indexes(vectorBucketName=name)["indexes"]:
            shared.client.delete_index(indexArn=index["indexArn"])
        shared.client.delete_vector_bucket(vectorBucketName=name)
    return shared


@pytest.fixture
def client(laptop: Laptop) -> Any:
    laptop.client.create_vector_bucket(vectorBucketName=BUCKET)
    return laptop.client


def make_index(client: Any, dimension: int = 2, metric: str = "cosine", **more: Any) -> str:
    request = {**INDEX, "dataType": "float32", "dimension": dimension, "distanceMetric": metric, **more}
    answer = client.create_index(**request)
    return str(answer["indexArn"])


def vector(key: str, *numbers: float, **metadata: Any) -> dict[str, Any]:
    return {"key": key, "data": {"float32": list(numbers)}, "metadata": metadata}


def refusal(call: Callable[..., Any], **arguments: Any) -> tuple[int, str, str]:
    """Status, code and message of a call that must fail."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response: Any = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"], response["Error"]["Message"]


def invalid(call: Callable[..., Any], **arguments: Any) -> tuple[str, list[str]]:
    """Message and paths of a ValidationException."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response: Any = caught.value.response
    assert (response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]) == (400, "ValidationException")
    return response["Error"]["Message"], [each["path"] for each in response["fieldList"]]


def keys_of(answer: Mapping[str, Any]) -> list[str]:
    return [each["key"] for each in answer["vectors"]]


def query(client: Any, *numbers: float, **more: Any) -> Any:
    return client.query_vectors(**{**INDEX, "queryVector": {"float32": list(numbers)}, "topK": 100, **more})


# Buckets and indexes


def test_a_bucket_is_made_described_listed_and_deleted(client: Any) -> None:
    bucket = client.get_vector_bucket(vectorBucketArn=BUCKET_ARN)["vectorBucket"]
    assert bucket["vectorBucketName"] == BUCKET
    assert bucket["encryptionConfiguration"] == {"sseType": "AES256"}
    assert bucket["defaultIndexMode"] == "ENHANCED"
    assert [each["vectorBucketArn"] for each in client.list_vector_buckets()["vectorBuckets"]] == [BUCKET_ARN]
    client.delete_vector_bucket(vectorBucketName=BUCKET)
    missing = (404, "NotFoundException", "The specified vector bucket could not be found")
    assert refusal(client.get_vector_bucket, vectorBucketName=BUCKET) == missing
    assert refusal(client.delete_vector_bucket, vectorBucketName=BUCKET) == missing


def test_a_name_can_be_taken_once(client: Any) -> None:
    make_index(client)
    taken = refusal(client.create_vector_bucket, vectorBucketName=BUCKET)
    assert taken == (409, "ConflictException", "A vector bucket with the specified name already exists")
    with pytest.raises(client.exceptions.ConflictException, match="An index with the specified name already exists"):
        make_index(client)


def test_a_bucket_with_an_index_is_not_deleted(client: Any) -> None:
    make_index(client)
    full = refusal(client.delete_vector_bucket, vectorBucketName=BUCKET)
    assert full == (409, "ConflictException", "The specified vector bucket is not empty")
    client.delete_index(indexArn=INDEX_ARN)
    client.delete_vector_bucket(vectorBucketName=BUCKET)


def test_an_index_is_described_by_names_and_by_arn(client: Any) -> None:
    arn = make_index(client, 3, "euclidean", metadataConfiguration={"nonFilterableMetadataKeys": ["text"]})
    assert arn == INDEX_ARN
    index = client.get_index(**INDEX)["index"]
    assert index == client.get_index(indexArn=arn)["index"]
    assert (index["dimension"], index["distanceMetric"], index["dataType"]) == (3, "euclidean", "float32")
    assert index["metadataConfiguration"] == {"nonFilterableMetadataKeys": ["text"]}
    assert (index["indexMode"], index["encryptionConfiguration"]) == ("ENHANCED", {"sseType": "AES256"})


def test_an_index_has_the_encryption_of_its_bucket_unless_it_says_its_own(client: Any) -> None:
    key = {"sseType": "aws:kms", "kmsKeyArn": "arn:aws:kms:us-east-1:000000000000:key/k"}
    client.create_vector_bucket(vectorBucketName="sealed", encryptionConfiguration=key)
    cases: list[tuple[str, dict[str, Any]]] = [
        ("without", {}),
        ("with", {"encryptionConfiguration": {"sseType": "AES256"}}),
    ]
    for name, own in cases:
        make_index(client, vectorBucketName="sealed", indexName=name, **own)
        index = client.get_index(vectorBucketName="sealed", indexName=name)["index"]
        assert index["encryptionConfiguration"] == own.get("encryptionConfiguration", key)


def test_a_resource_is_named_in_one_way_only(client: Any) -> None:
    wanted = "Must specify either indexArn or both vectorBucketName and indexName"
    assert invalid(client.get_index, **INDEX, indexArn=INDEX_ARN)[0] == wanted
    assert invalid(client.get_index, vectorBucketName=BUCKET)[0] == wanted
    assert invalid(client.get_index)[0] == wanted
    wanted = "Must specify either vectorBucketName or vectorBucketArn but not both"
    assert invalid(client.list_indexes, vectorBucketName=BUCKET, vectorBucketArn=BUCKET_ARN)[0] == wanted


def test_what_is_elsewhere_is_not_found(client: Any) -> None:
    missing = (404, "NotFoundException", "The specified index could not be found")
    assert refusal(client.get_index, **INDEX) == missing
    assert refusal(client.delete_index, **INDEX) == missing
    assert refusal(client.get_vectors, **INDEX, keys=["a"]) == missing
    assert refusal(client.put_vectors, **INDEX, vectors=[vector("a", 1, 0)]) == missing
    assert refusal(client.get_index, indexArn=INDEX_ARN.replace("us-east-1", "eu-west-1")) == missing
    assert refusal(client.get_index, indexArn=INDEX_ARN.replace("000000000000", "123456789012")) == missing


def test_lists_come_in_pages_by_name_and_prefix(client: Any) -> None:
    for name in ("b.2", "a-1", "b.1", "b.3"):
        make_index(client, indexName=name)
        client.create_vector_bucket(vectorBucketName=f"list-{name[0]}{name[2]}")
    pages = client.get_paginator("list_indexes").paginate(
        vectorBucketArn=BUCKET_ARN, PaginationConfig={"PageSize": 2}, prefix="b."
    )
    assert [[each["indexName"] for each in page["indexes"]] for page in pages] == [["b.1", "b.2"], ["b.3"]]
    first = client.list_vector_buckets(maxResults=2, prefix="list-")
    assert [each["vectorBucketName"] for each in first["vectorBuckets"]] == ["list-a1", "list-b1"]
    message, paths = invalid(client.list_vector_buckets, maxResults=2, prefix="x", nextToken=first["nextToken"])
    assert (message, paths) == ("Invalid nextToken", ["nextToken"])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"dimension": 4097}, "Value at '/dimension' failed to satisfy constraint: Member must be between 1 and 4096"),
        ({"dataType": "int8"}, "Member must satisfy enum value set: [float32]"),
        ({"distanceMetric": "dot"}, "Member must satisfy enum value set: [euclidean, cosine]"),
        ({"indexName": "x" * 64}, "Value with length 64 at '/indexName' failed to satisfy constraint"),
        ({"indexName": "Upper"}, "Invalid index name"),
        ({"metadataConfiguration": {"nonFilterableMetadataKeys": [str(n) for n in range(11)]}}, "between 0 and 10"),
        ({"tags": {"a": "no#"}}, "Value at '/tags/a' failed to satisfy constraint"),
        ({"tags": {str(n): "x" for n in range(51)}}, "Too many tags specified"),
        ({"tags": {"aws:x": "x"}}, "System tags cannot be added/updated by requester"),
        ({"encryptionConfiguration": {"sseType": "aws:kms"}}, "kmsKeyArn must be specified when sseType is set"),
    ],
)
def test_an_index_outside_the_model_is_refused(client: Any, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(client.exceptions.ValidationException) as caught:
        make_index(client, **changed)
    assert message in str(caught.value)


def test_a_bucket_name_keeps_the_rules(client: Any) -> None:
    for name in ("with_under_score", "Upper", "dot.ted"):
        assert invalid(client.create_vector_bucket, vectorBucketName=name)[0] == "Invalid vector bucket name"


def test_tags_and_a_policy_come_back_as_they_went(client: Any) -> None:
    make_index(client, tags={"env": "test"})
    for arn in (BUCKET_ARN, INDEX_ARN):
        client.tag_resource(resourceArn=arn, tags={"a": "1", "ü /x": "b:=+-@"})
        client.untag_resource(resourceArn=arn, tagKeys=["a", "absent"])
    assert client.list_tags_for_resource(resourceArn=BUCKET_ARN)["tags"] == {"ü /x": "b:=+-@"}
    assert client.list_tags_for_resource(resourceArn=INDEX_ARN)["tags"] == {"env": "test", "ü /x": "b:=+-@"}
    assert refusal(client.list_tags_for_resource, resourceArn=f"{BUCKET_ARN}x")[:2] == (404, "NotFoundException")

    missing = (404, "NotFoundException", "The specified vector bucket policy could not be found")
    assert refusal(client.get_vector_bucket_policy, vectorBucketName=BUCKET) == missing
    policy = json.dumps({"Version": "2012-10-17", "Statement": []})
    client.put_vector_bucket_policy(vectorBucketArn=BUCKET_ARN, policy=policy)
    assert client.get_vector_bucket_policy(vectorBucketName=BUCKET)["policy"] == policy
    client.delete_vector_bucket_policy(vectorBucketName=BUCKET)
    assert refusal(client.get_vector_bucket_policy, vectorBucketName=BUCKET) == missing
    assert invalid(client.put_vector_bucket_policy, vectorBucketName=BUCKET, policy="no")[1] == ["policy"]


def test_text_search_is_configured_by_adding_or_deleting(client: Any) -> None:
    make_index(client, metadataConfiguration={"textSearchConfigurations": [{"metadataKey": "title"}]})
    add = {"textSearchConfigurations": [{"metadataKey": "text", "language": "de"}]}
    delete = {"textSearchConfigurations": [{"metadataKey": "title"}]}
    assert client.update_metadata_configuration(**INDEX, add=add)["indexArn"] == INDEX_ARN
    assert refusal(client.update_metadata_configuration, **INDEX, add=add)[:2] == (409, "ConflictException")
    assert "but not both" in invalid(client.update_metadata_configuration, **INDEX, add=add, delete=delete)[0]
    client.update_metadata_configuration(**INDEX, delete=delete)
    configurations = client.get_index(**INDEX)["index"]["metadataConfiguration"]["textSearchConfigurations"]
    assert configurations == [{"metadataKey": "text", "language": "de", "status": "ACTIVE"}]
    assert refusal(client.update_metadata_configuration, **INDEX, delete=delete)[:2] == (404, "NotFoundException")


def test_an_index_has_at_most_ten_texts_to_search(client: Any) -> None:
    keys = [{"metadataKey": str(number)} for number in range(11)]
    make_index(client, metadataConfiguration={"textSearchConfigurations": keys[:9]})
    client.update_metadata_configuration(**INDEX, add={"textSearchConfigurations": keys[9:10]})
    add = {"textSearchConfigurations": keys[10:]}
    message, paths = invalid(client.update_metadata_configuration, **INDEX, add=add)
    assert (paths, "at most 10" in message) == (["add.textSearchConfigurations"], True)


def test_only_an_older_bucket_can_be_classic(tmp_path: Path) -> None:
    laptop = Laptop(tmp_path / "older", older_buckets=["f*s"])
    client = laptop.client
    client.create_vector_bucket(vectorBucketName=BUCKET)
    client.create_vector_bucket(vectorBucketName="newer")
    make_index(client)
    client.put_vectors(**INDEX, vectors=[vector("a", 1, 0, p="x/y")])
    assert client.get_index(**INDEX)["index"]["indexMode"] == "CLASSIC"
    starts = {"p": {"$startsWith": "x/"}}
    message, paths = invalid(client.query_vectors, **ASKING, filter=starts, queryMode="CLASSIC")
    assert (message, paths) == ("Invalid query filter", ["filter.p.$startsWith"])
    assert keys_of(query(client, 1, 0, filter=starts, queryMode="ENHANCED")) == ["a"]
    assert keys_of(query(client, 1, 0, filter={"$or": [{"p": str(n)} for n in range(101)]})) == []
    add = {"textSearchConfigurations": [{"metadataKey": "text"}]}
    assert "ENHANCED mode" in invalid(client.update_metadata_configuration, **INDEX, add=add)[0]
    client.update_index_mode(**INDEX, indexMode="ENHANCED")
    assert invalid(client.query_vectors, **ASKING | {"queryMode": "CLASSIC"})[1] == ["queryMode"]
    client.update_metadata_configuration(**INDEX, add=add)
    assert "text search" in invalid(client.update_index_mode, **INDEX, indexMode="CLASSIC")[0]
    client.update_metadata_configuration(**INDEX, delete=add)
    client.update_index_mode(**INDEX, indexMode="CLASSIC")
    client.put_vector_bucket_default_index_mode(vectorBucketName=BUCKET, defaultIndexMode="ENHANCED")
    assert client.get_vector_bucket(vectorBucketName=BUCKET)["vectorBucket"]["defaultIndexMode"] == "ENHANCED"
    newer = {"vectorBucketName": "newer", "defaultIndexMode": "CLASSIC"}
    assert invalid(client.put_vector_bucket_default_index_mode, **newer)[1] == ["defaultIndexMode"]
    laptop.close()


# Vectors


@pytest.mark.parametrize("metadata", [{"text": "long"}, {"text": "long", "s": "x"}, {"s": "x"}, {}])
def test_metadata_comes_back_whichever_of_it_is_filterable(client: Any, metadata: dict[str, str]) -> None:
    make_index(client, metadataConfiguration={"nonFilterableMetadataKeys": ["text"]})
    client.put_vectors(**INDEX, vectors=[vector("a", 1, 0, **metadata)])
    (found,) = client.get_vectors(**INDEX, keys=["a"], returnMetadata=True)["vectors"]
    assert found["metadata"] == metadata


def test_a_vector_comes_back_as_the_float32_it_is(client: Any) -> None:
    make_index(client, metadataConfiguration={"nonFilterableMetadataKeys": ["text"]})
    metadata = {"s": "ä", "i": 3, "f": 0.1, "b": True, "l": ["x", "y"], "n": [1, 2.5], "text": "long", "": "", "$eq": 1}
    client.put_vectors(**INDEX, vectors=[vector("kö/y", 0.1, 1e-45, **metadata), vector("b", 1, 2), vector("a", 1, 2)])
    found = client.get_vectors(indexArn=INDEX_ARN, keys=["kö/y", "absent"], returnData=True, returnMetadata=True)
    assert found["vectors"] == [
        {"key": "kö/y", "data": {"float32": [float(np.float32(0.1)), 1.401298464324817e-45]}, "metadata": metadata}
    ]
    assert client.get_vectors(**INDEX, keys=["b", "a", "b"])["vectors"] == [{"key": "a"}, {"key": "b"}]
    assert client.get_vectors(**INDEX, keys=["a"], returnMetadata=True)["vectors"] == [{"key": "a", "metadata": {}}]


def test_a_put_replaces_the_vector_and_all_its_metadata(client: Any) -> None:
    make_index(client)
    client.put_vectors(**INDEX, vectors=[vector("a", 1, 0, old=1), vector("a", 2, 0, first=1), vector("a", 3, 0)])
    client.put_vectors(**INDEX, vectors=[vector("a", 0, 5, new=1)])
    [found] = client.list_vectors(**INDEX, returnData=True, returnMetadata=True)["vectors"]
    assert found == {"key": "a", "data": {"float32": [0.0, 5.0]}, "metadata": {"new": 1}}
    assert keys_of(query(client, 1, 1, filter={"old": {"$exists": True}})) == []
    client.delete_vectors(**INDEX, keys=["a", "absent"])
    assert client.list_vectors(**INDEX)["vectors"] == []


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (vector("x", 1), "vector must have length 2, but has length 1"),
        (vector("x", 1, math.nan), "vector contains NaNs or Infs"),
        (vector("x", 1, -math.inf), "vector contains NaNs or Infs"),
        (vector("x", 1, 1e39), "vector contains NaNs or Infs"),
        (vector("x", 0, 0), "cosine distance does not support vectors with zero norm"),
        (vector("x", 1e-46, 0), "cosine distance does not support vectors with zero norm"),
        (vector("x", 1, 0, a=None), "Metadata values must be strings, numbers, booleans, or arrays"),
        (vector("x", 1, 0, a={"b": 1}), "Metadata values must be strings, numbers, booleans, or arrays"),
        (vector("x", 1, 0, big={"b": 1}), "Metadata values must be strings, numbers, booleans, or arrays"),
        (vector("x", 1, 0, a=[]), "Empty arrays are not allowed in metadata"),
        (vector("x", 1, 0, a=[1, "a"]), "Metadata array values must be strings or numbers"),
        (vector("x", 1, 0, a=[[1]]), "Metadata array values must be strings or numbers"),
        (vector("x", 1, 0, **{f"k{n}": 1 for n in range(51)}), "Metadata object must have at most 50 keys"),
        (vector("x", 1, 0, f="é" * 1018), "Filterable metadata must have at most 2048 bytes"),
        (vector("x", 1, 0, big="x" * 40946), "Metadata object must have at most 40960 bytes"),
    ],
)
def test_one_bad_vector_refuses_the_whole_put(client: Any, bad: dict[str, Any], problem: str) -> None:
    make_index(client, metadataConfiguration={"nonFilterableMetadataKeys": ["big"]})
    message, [path] = invalid(client.put_vectors, **INDEX, vectors=[vector("good", 1, 0), bad])
    assert message == f"Invalid record for key 'x': {problem}"
    assert path.startswith("vectors[1]")
    assert client.list_vectors(**INDEX)["vectors"] == []


def test_what_just_fits_is_taken(client: Any) -> None:
    make_index(client, 2, "euclidean", metadataConfiguration={"nonFilterableMetadataKeys": ["bulk"]})
    fitting = [
        vector("k" * 1024, 0, 0, f="x" * 2035),
        vector("中" * 340 + "abcd", 3.4028235e38, 0, ffffffffff="x" * 2026),
        vector("c", 1, 0, bulk="x" * 40944),
        vector("d", 1, 0, f="x" * 1626, a=[1.5] * 50),
        vector("e", 1, 0, **{f"k{n}": n for n in range(50)}),
    ]
    client.put_vectors(**INDEX, vectors=fitting)
    assert len(client.list_vectors(**INDEX)["vectors"]) == 5


def test_counts_and_keys_out_of_bounds_are_refused(client: Any) -> None:
    make_index(client)
    many = [vector(str(n), 1, 0) for n in range(501)]
    assert "between 1 and 500, inclusive" in invalid(client.put_vectors, **INDEX, vectors=many)[0]
    assert invalid(client.put_vectors, **INDEX, vectors=[vector("k" * 1025, 1, 0)])[1] == ["/vectors/0/key"]
    long = "中" * 342
    for call, arguments in (
        (client.put_vectors, {"vectors": [vector(long, 1, 0)]}),
        (client.get_vectors, {"keys": [long]}),
        (client.delete_vectors, {"keys": [long]}),
    ):
        assert invalid(call, **INDEX, **arguments)[0] == "Record key length exceeds the maximum allowed"
    keys = [str(n) for n in range(501)]
    assert "between 1 and 100, inclusive" in invalid(client.get_vectors, **INDEX, keys=keys[:101])[0]
    assert "between 1 and 500, inclusive" in invalid(client.delete_vectors, **INDEX, keys=keys)[0]
    assert "between 1 and 1000, inclusive" in invalid(client.list_vectors, **INDEX, maxResults=1001)[0]


def test_a_body_over_20_mib_is_refused(client: Any) -> None:
    make_index(client)
    vectors = [vector(str(n), 1, 0, bulk="x" * 42_000) for n in range(500)]
    assert invalid(client.put_vectors, **INDEX, vectors=vectors)[0] == "Request body exceeds max allowed size"


def test_lists_of_vectors_come_in_pages_and_segments(client: Any) -> None:
    make_index(client)
    names = sorted(f"k{n}" for n in range(23))
    client.put_vectors(**INDEX, vectors=[vector(name, 1, 0) for name in names])
    paginator = client.get_paginator("list_vectors")
    pages = [keys_of(page) for page in paginator.paginate(**INDEX, PaginationConfig={"PageSize": 10})]
    assert [len(page) for page in pages] == [10, 10, 3]
    assert sorted(itertools.chain(*pages)) == names
    segments = [
        [
            key
            for page in paginator.paginate(**INDEX, maxResults=4, segmentCount=3, segmentIndex=n)
            for key in keys_of(page)
        ]
        for n in range(3)
    ]
    assert all(segments)
    assert sorted(itertools.chain(*segments)) == names
    assert invalid(client.list_vectors, **INDEX, segmentCount=2)[1] == ["segmentIndex"]
    assert invalid(client.list_vectors, **INDEX, segmentCount=2, segmentIndex=2)[1] == ["segmentIndex"]


def test_a_page_of_vectors_stops_at_a_megabyte(client: Any) -> None:
    make_index(client, 3072, "euclidean")
    numbers = np.random.default_rng(1).random(3072).tolist()
    client.put_vectors(**INDEX, vectors=[vector(f"{n:02}", *numbers) for n in range(40)])
    page = client.list_vectors(**INDEX, returnData=True)
    assert 15 <= len(page["vectors"]) <= 20
    assert "nextToken" in page
    assert len(client.list_vectors(**INDEX)["vectors"]) == 40


# Queries


def test_distances_are_those_of_the_service(client: Any) -> None:
    make_index(client, 3)
    make_index(client, 3, "euclidean", indexName="straight")
    vectors = [vector("1", 1, 1, 1), vector("2", -1, -1, -1), vector("3", 1, 1, 2)]
    client.put_vectors(**INDEX, vectors=vectors)
    client.put_vectors(**INDEX | {"indexName": "straight"}, vectors=[*vectors[::2], vector("2", 2, 2, 2)])
    cosine = query(client, 5, 5, 5, returnDistance=True)
    assert cosine["distanceMetric"] == "cosine"
    assert [(each["key"], each["distance"]) for each in cosine["vectors"]] == [
        ("1", 0.0),
        ("3", pytest.approx(0.05719095841050148, abs=1e-8)),
        ("2", 2.0),
    ]
    straight = query(client, 1, 1, 1, indexName="straight", returnDistance=True, returnMetadata=True)["vectors"]
    assert [each["distance"] for each in straight] == [0.0, 1.0, float(np.float32(math.sqrt(3)))]
    assert straight[0] == {"key": "1", "distance": 0.0, "metadata": {}}
    assert query(client, 1, 1, 1, topK=1)["vectors"] == [{"key": "1"}]


def test_a_query_vector_must_suit_the_index(client: Any) -> None:
    make_index(client)
    for numbers in ([1.0], [0.0, 0.0], [math.nan, 1.0], [1e39, 1.0]):
        message, paths = invalid(client.query_vectors, **INDEX, topK=1, queryVector={"float32": numbers})
        assert message == "Query vector contains invalid values or is invalid for this index"
        assert paths == ["vector"]
    assert "queryVector, queryTexts, or both" in invalid(client.query_vectors, **INDEX, topK=1)[0]
    assert invalid(client.query_vectors, **ASKING | {"topK": 10_001})[1] == ["topK"]


def test_results_beyond_a_hundred_come_in_pages_without_gap_or_repeat(client: Any) -> None:
    make_index(client)
    vectors = [vector(f"{n:03}", 1, n // 7) for n in range(400)]  # seven of each distance
    client.put_vectors(**INDEX, vectors=vectors)
    paginator = client.get_paginator("query_vectors")
    request = {**INDEX, "queryVector": {"float32": [1.0, 0.0]}, "filter": {"x": {"$exists": False}}}
    pages = [keys_of(page) for page in paginator.paginate(**request, topK=250)]
    assert [len(page) for page in pages] == [100, 100, 50]
    assert list(itertools.chain(*pages)) == [each["key"] for each in vectors[:250]]
    assert [len(keys_of(page)) for page in paginator.paginate(**request, topK=400)] == [100, 100, 100, 100]
    token = client.query_vectors(**request, topK=250)["nextToken"]
    assert invalid(client.query_vectors, **request, topK=251, nextToken=token)[0] == "Invalid nextToken"


@pytest.mark.parametrize(
    ("condition", "path"),
    [
        ({}, "filter"),
        ({"a": 1, "b": 2}, "filter"),
        ({"$and": [{"a": 1}], "b": 2}, "filter"),
        ({"$and": [{"a": 1}, {"b": {"$eg": 1}}]}, "filter.$and[1].b.$eg"),
        ({"a": {"$not": {"$eq": 1}}}, "filter.a.$not"),
        ({"$nor": [{"a": 1}]}, "filter.$nor"),
        ({"a": {}}, "filter.a"),
        ({"a": {"x": 1}}, "filter.a.x"),
        ({"a": {"$and": [{"a": 1}]}}, "filter.a.$and"),
        ({"a": None}, "filter.a"),
        ({"a": ["x"]}, "filter.a"),
        ({"a": {"$eq": ["x"]}}, "filter.a.$eq"),
        ({"a": {"$gt": "1"}}, "filter.a.$gt"),
        ({"a": {"$lte": True}}, "filter.a.$lte"),
        ({"a": {"$in": []}}, "filter.a.$in"),
        ({"a": {"$in": "x"}}, "filter.a.$in"),
        ({"a": {"$nin": [None]}}, "filter.a.$nin"),
        ({"a": {"$exists": 1}}, "filter.a.$exists"),
        ({"a": {"$startsWith": 1}}, "filter.a.$startsWith"),
        ({"$or": []}, "filter.$or"),
        ({"$and": [{}]}, "filter.$and[0]"),
        ({"$and": ["x"]}, "filter.$and[0]"),
        ({"a": {"$in": list(range(101))}}, "filter"),
        ({"$or": [{"a": {"$in": list(range(99))}}, {"a": {"$gt": 1, "$lt": 2}}]}, "filter"),
        ("x", "filter"),
    ],
)
def test_a_filter_the_service_refuses_is_refused_by_path(client: Any, condition: Any, path: str) -> None:
    make_index(client)
    message, paths = invalid(client.query_vectors, **ASKING | {"filter": condition})
    assert paths == [path]
    assert message == "Invalid query filter"


def test_a_hundred_constraints_are_taken(client: Any) -> None:
    make_index(client)
    client.put_vectors(**INDEX, vectors=[vector("a", 1, 0, n=98)])
    condition = {"$or": [{"n": {"$in": list(range(99))}}, {"m": 1}]}
    assert keys_of(query(client, 1, 0, filter=condition)) == ["a"]


def test_a_non_filterable_key_cannot_be_filtered_by(client: Any) -> None:
    make_index(client, metadataConfiguration={"nonFilterableMetadataKeys": ["text"]})
    message, paths = invalid(
        client.query_vectors, **ASKING | {"filter": {"$or": [{"a": 1}, {"text": {"$exists": True}}]}}
    )
    assert (message, paths) == ("Invalid use of non-filterable metadata in filter", ["filter.$or[1].text"])


def test_a_request_that_is_not_json_is_a_serialization_error(client: Any) -> None:
    make_index(client)

    def break_body(params: dict[str, Any], **_: Any) -> None:
        params["body"] = b'{"key": "\\ud800"}'

    client.meta.events.register("before-call.s3vectors.GetIndex", break_body)
    assert refusal(client.get_index, **INDEX)[:2] == (400, "SerializationException")
    client.meta.events.unregister("before-call.s3vectors.GetIndex", break_body)


def test_a_value_of_another_type_is_named_with_its_article(client: Any) -> None:
    def break_body(params: dict[str, Any], **_: Any) -> None:
        params["body"] = b'{"vectorBucketName": "films", "indexName": "films", "dimension": "two"}'

    client.meta.events.register("before-call.s3vectors.CreateIndex", break_body)
    create = {**INDEX, "dataType": "float32", "dimension": 2, "distanceMetric": "cosine"}
    message = refusal(client.create_index, **create)[2]
    client.meta.events.unregister("before-call.s3vectors.CreateIndex", break_body)
    assert message == "The value at '/dimension' is not an integer"


# Laws

VALUES: list[Any] = ["a", "ab", "b", "", 0, 1, 2.5, -3, True, False, "1", "true"]
METADATA = st.dictionaries(
    st.sampled_from(["p", "q", "a.b"]),
    st.sampled_from([*VALUES, ["a", "b"], ["ab"], [1, 2.5], [0]]),
    max_size=3,
)
SCALARS = st.sampled_from(VALUES)
NUMBERS = st.sampled_from([-3, 0, 1, 2.5, 2])
OPERATORS = st.one_of(
    st.tuples(st.sampled_from(["$eq", "$ne"]), SCALARS),
    st.tuples(st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), NUMBERS),
    st.tuples(st.sampled_from(["$in", "$nin"]), st.lists(SCALARS, min_size=1, max_size=4)),
    st.tuples(st.just("$exists"), st.booleans()),
    st.tuples(st.just("$startsWith"), st.sampled_from(["", "a", "ab", "abc", "1"])),
)
FIELDS = st.sampled_from(["p", "q", "a.b", "absent"])
CONDITIONS = st.recursive(
    st.one_of(
        st.builds(lambda key, value: {key: value}, FIELDS, SCALARS),
        st.builds(lambda key, tests: {key: dict(tests)}, FIELDS, st.lists(OPERATORS, min_size=1, max_size=2)),
    ),
    lambda inner: st.builds(
        lambda operator, parts: {operator: parts},
        st.sampled_from(["$and", "$or"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=6,
)


def holds(condition: dict[str, Any], metadata: dict[str, Any]) -> bool:
    """The filter language, one vector at a time."""
    [(name, operand)] = condition.items()
    if name in ("$and", "$or"):
        return (all if name == "$and" else any)(holds(each, metadata) for each in operand)
    tests = operand if isinstance(operand, dict) else {"$eq": operand}
    stored = metadata.get(name, [])
    elements = stored if isinstance(stored, list) else [stored]
    return all(_test(operator, value, elements, name in metadata) for operator, value in tests.items())


def _test(operator: str, operand: Any, elements: list[Any], present: bool) -> bool:
    numbers = [each for each in elements if not isinstance(each, str | bool)]
    tests: dict[str, Callable[[], bool]] = {
        "$eq": lambda: any(_same(each, operand) for each in elements),
        "$ne": lambda: not any(_same(each, operand) for each in elements),
        "$in": lambda: any(_same(each, one) for each in elements for one in operand),
        "$nin": lambda: not any(_same(each, one) for each in elements for one in operand),
        "$exists": lambda: present is operand,
        "$startsWith": lambda: any(isinstance(each, str) and each.startswith(operand) for each in elements),
        "$gt": lambda: any(each > operand for each in numbers),
        "$gte": lambda: any(each >= operand for each in numbers),
        "$lt": lambda: any(each < operand for each in numbers),
        "$lte": lambda: any(each <= operand for each in numbers),
    }
    return tests[operator]()


def _same(left: Any, right: Any) -> bool:
    """Equal and of one JSON type."""
    kinds = [float if type(each) is int else type(each) for each in (left, right)]
    return kinds[0] is kinds[1] and bool(left == right)


@LAWS
@given(data=st.data())
def test_a_random_filter_finds_what_brute_force_finds(client: Any, data: st.DataObject) -> None:
    with_index(client)
    rows = data.draw(st.lists(METADATA, min_size=1, max_size=12))
    vectors = [vector(f"{n:02}", 1, n, **metadata) for n, metadata in enumerate(rows)]
    client.put_vectors(**INDEX, vectors=vectors)
    for condition in data.draw(st.lists(CONDITIONS, min_size=1, max_size=6)):
        wanted = [each["key"] for each in vectors if holds(condition, each["metadata"])]
        assert keys_of(query(client, 1, 0, filter=condition)) == wanted, condition


def with_index(client: Any, dimension: int = 2, metric: str = "cosine") -> None:
    """A fresh index, whatever the last example left."""
    with contextlib.suppress(client.exceptions.NotFoundException):
        client.delete_index(**INDEX)
    make_index(client, dimension, metric)


def distance(metric: str, left: list[float], right: list[float]) -> float:
    a, b = np.array(left), np.array(right)
    if metric == "euclidean":
        return float(np.float32(math.sqrt(((a - b) ** 2).sum())))
    exact = 1 - float(a @ b) / (math.sqrt(a @ a) * math.sqrt(b @ b))
    return float(np.float32(0 if exact < 1e-12 else min(exact, 2.0)))


@LAWS
@given(
    metric=st.sampled_from(["cosine", "euclidean"]),
    rows=st.lists(st.lists(st.integers(-2, 2), min_size=3, max_size=3).filter(any), min_size=1, max_size=60),
    asked=st.lists(st.integers(-2, 2), min_size=3, max_size=3).filter(any),
    top_k=st.integers(1, 70),
)
def test_the_nearest_are_those_of_brute_force_ties_by_key(
    client: Any, metric: str, rows: list[list[float]], asked: list[float], top_k: int
) -> None:
    with_index(client, 3, metric)
    client.put_vectors(**INDEX, vectors=[vector(f"k{n}", *row) for n, row in enumerate(rows)])
    wanted = sorted((distance(metric, row, asked), f"k{n}") for n, row in enumerate(rows))[:top_k]
    found = query(client, *asked, topK=top_k, returnDistance=True)["vectors"]
    assert [(each["distance"], each["key"]) for each in found] == wanted


KEYS = st.sampled_from([f"k{n}" for n in range(8)])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.dictionaries(KEYS, st.tuples(st.integers(1, 9), METADATA), min_size=1)),
        st.tuples(st.just("delete"), st.lists(KEYS, min_size=1)),
        st.tuples(st.just("filter"), CONDITIONS),
        st.tuples(st.just("reopen"), st.none()),
    ),
    max_size=14,
)


@LAWS
@given(steps=STEPS)
def test_puts_and_deletes_leave_what_a_dict_would_hold(laptop: Laptop, steps: list[tuple[str, Any]]) -> None:
    client = laptop.client
    with contextlib.suppress(client.exceptions.ConflictException):
        client.create_vector_bucket(vectorBucketName=BUCKET)
    with_index(client, 2, "euclidean")
    model: dict[str, tuple[int, dict[str, Any]]] = {}
    for name, what in steps:
        if name == "put":
            client.put_vectors(**INDEX, vectors=[vector(key, n, 0, **metadata) for key, (n, metadata) in what.items()])
            model.update(what)
        elif name == "delete":
            client.delete_vectors(**INDEX, keys=what)
            model = {key: value for key, value in model.items() if key not in what}
        elif name == "reopen":
            laptop.reopen()
        kept = what if name == "filter" else {"absent": {"$exists": False}}
        wanted = sorted((float(n), key) for key, (n, metadata) in model.items() if holds(kept, metadata))
        found = query(client, 0, 0, returnDistance=True, returnMetadata=True, filter=kept)["vectors"]
        assert [(each["distance"], each["key"]) for each in found] == wanted
        assert all(each["metadata"] == model[each["key"]][1] for each in found)
    listed = client.list_vectors(**INDEX, returnData=True)["vectors"]
    assert {each["key"]: each["data"]["float32"][0] for each in listed} == {key: n for key, (n, _) in model.items()}


def test_a_large_index_agrees_with_brute_force_in_high_dimension(client: Any) -> None:
    make_index(client, 64)
    random = np.random.default_rng(7)
    rows = random.standard_normal((3000, 64)).astype(np.float32)
    rows[1000:1500] = rows[:500]  # ties
    for start in range(0, 3000, 500):
        batch = [vector(f"{n:04}", *rows[n].tolist(), n=n) for n in range(start, start + 500)]
        client.put_vectors(**INDEX, vectors=batch)
    asked = rows[3].astype(np.float64)
    wide = rows.astype(np.float64)
    exact = 1 - wide @ asked / (np.linalg.norm(wide, axis=1) * np.linalg.norm(asked))
    exact = np.where(exact < 1e-12, 0, exact)
    exact[1000:1500] = exact[:500]
    for among in (range(3000), range(100, 220), range(900, 2900)):
        condition = {"n": {"$gte": among.start, "$lt": among.stop}}
        wanted = sorted(among, key=lambda n: (np.float32(exact[n]), n))[:100]
        assert keys_of(query(client, *asked.tolist(), filter=condition)) == [f"{n:04}" for n in wanted]


# Safety


def test_queries_during_writes_see_one_moment(client: Any) -> None:
    make_index(client, 2, "euclidean")
    keys = [f"{n:02}" for n in range(50)]

    def put(round_: int) -> None:
        client.put_vectors(**INDEX, vectors=[vector(key, round_, 0, round=round_) for key in keys])

    put(1)
    done = threading.Event()
    problems: list[Any] = []

    def read() -> None:
        while not done.is_set():
            found = query(client, 0, 0, returnDistance=True, returnMetadata=True, filter={"round": {"$gt": 0}})
            seen = {(each["distance"], float(each["metadata"]["round"])) for each in found["vectors"]}
            if len(found["vectors"]) != 50 or len(seen) != 1 or {a == b for a, b in seen} != {True}:
                problems.append(seen)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for round_ in range(2, 60):
        put(round_)
    done.set()
    for reader in readers:
        reader.join()
    assert problems == []


CHILD = """
import sys
from pathlib import Path
from local.s3vectors import S3Vectors
from local.s3vectors.records import read_records
from local.state import State
service = S3Vectors(State(Path(sys.argv[1])))
service.ensure_vector_bucket("films", {})
service.ensure_index({"VectorBucketName": "films", "IndexName": "scenes", "DataType": "float32", "Dimension": 256,
    "DistanceMetric": "euclidean"})
for n in range(1, 100000):
    vectors = [{"key": f"{k}", "data": {"float32": [float(n)] * 256}, "metadata": {"n": n}} for k in range(40)]
    service._data.put_vectors({"vectorBucketName": "films", "indexName": "scenes", "vectors": vectors})
    print(n, flush=True)
"""


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    arguments = [sys.executable, "-c", CHILD, str(folder)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as child:
        assert child.stdout is not None
        acknowledged = 0
        for line in child.stdout:
            acknowledged = int(line)
            if acknowledged == 50:
                child.send_signal(signal.SIGKILL)
    laptop = Laptop(folder)
    found = laptop.client.list_vectors(**INDEX, returnData=True, returnMetadata=True)["vectors"]
    rounds = {each["metadata"]["n"] for each in found}
    assert len(found) == 40
    assert len(rounds) == 1
    assert rounds <= {acknowledged, acknowledged + 1}
    assert all(set(each["data"]["float32"]) == {each["metadata"]["n"]} for each in found)
    laptop.client.put_vectors(**INDEX, vectors=[vector("after", *[0.0] * 256)])
    nearest = query(laptop.client, *[0.0] * 256, topK=1, returnDistance=True)["vectors"]
    assert nearest == [{"key": "after", "distance": 0.0}]
    laptop.close()


def test_an_index_made_again_is_empty_and_a_deletion_is_finished_at_the_next_start(laptop: Laptop, client: Any) -> None:
    make_index(client)
    client.put_vectors(**INDEX, vectors=[vector("a", 1, 0)])
    client.delete_index(**INDEX)
    make_index(client)
    assert client.list_vectors(**INDEX)["vectors"] == []
    client.put_vectors(**INDEX, vectors=[vector("b", 1, 0)])
    with laptop.state.transaction() as db:  # as if killed in the middle of DeleteIndex
        db.execute("DELETE FROM s3vectors_indexes")
    laptop.reopen()
    assert list((laptop.folder / "s3vectors").iterdir()) == []
    with laptop.state.transaction() as db:
        assert db.execute("SELECT COUNT(*) FROM s3vectors_vectors").fetchone()[0] == 0


# The template's side

BUCKET_PROPERTIES = {"VectorBucketName": BUCKET, "Tags": [{"Key": "a", "Value": "b"}]}
INDEX_PROPERTIES = {
    "VectorBucketArn": BUCKET_ARN,
    "IndexName": "scenes",
    "DataType": "float32",
    "Dimension": 2,
    "DistanceMetric": "cosine",
    "MetadataConfiguration": {"NonFilterableMetadataKeys": ["text", "title"]},
}


def test_a_template_makes_its_resources_once_and_keeps_their_vectors(laptop: Laptop) -> None:
    for _ in range(2):
        assert laptop.service.ensure_vector_bucket(BUCKET, BUCKET_PROPERTIES) == BUCKET_ARN
        assert laptop.service.ensure_index(INDEX_PROPERTIES) == INDEX_ARN
        laptop.client.put_vectors(**INDEX, vectors=[vector("a", 1, 0)])
        laptop.reopen()
    assert laptop.service.ensure_index(INDEX_PROPERTIES) == INDEX_ARN
    assert keys_of(laptop.client.list_vectors(**INDEX)) == ["a"]
    laptop.service.ensure_vector_bucket(BUCKET, {"Tags": [{"Key": "c", "Value": "d"}]})
    assert laptop.client.list_tags_for_resource(resourceArn=BUCKET_ARN)["tags"] == {"c": "d"}


@pytest.mark.parametrize(
    "changed",
    [
        {"Dimension": 3},
        {"DistanceMetric": "euclidean"},
        {"MetadataConfiguration": {"NonFilterableMetadataKeys": ["text"]}},
        {"EncryptionConfiguration": {"SseType": "aws:kms", "KmsKeyArn": "arn:aws:kms:us-east-1:000000000000:key/k"}},
    ],
)
def test_a_changed_property_that_cannot_change_is_an_error(laptop: Laptop, changed: dict[str, Any]) -> None:
    laptop.service.ensure_vector_bucket(BUCKET, BUCKET_PROPERTIES)
    laptop.service.ensure_index(INDEX_PROPERTIES)
    with pytest.raises(ImmutablePropertyError, match="the template says"):
        laptop.service.ensure_index(INDEX_PROPERTIES | changed)
    with pytest.raises(AwsError, match="Colour"):
        laptop.service.ensure_index(INDEX_PROPERTIES | {"Colour": "red"})

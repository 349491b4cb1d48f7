"""Whatever differs between bucket, catalog and index is found and mended, and what is well is hardly looked at."""

import json
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from lambdas.ingest.reconcile import STUCK_SECONDS
from samples.roads import Walker
from tests.functional.conftest import laptop_on
from tests.unit.media import picture
from tests.user import User

pytestmark = pytest.mark.slow
Report = dict[str, Any]


@pytest.fixture(scope="module")
def user(our_assembly: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """A laptop of its own, for a pass looks at everything."""
    laptop = laptop_on(our_assembly, tmp_path_factory.mktemp("reconciled"))
    try:
        yield User(laptop.start())
    finally:
        laptop.stop()


def local(user: User, path: str, method: str | None = None) -> Any:
    request = urllib.request.Request(f"{user.outputs['AwsEndpointUrl']}/_local/{path}", method=method)
    with urllib.request.urlopen(request) as done:
        return json.loads(done.read() or b"null")


def reconciled(user: User) -> Report:
    """The report of a pass from its beginning to its end."""
    answer = user.call("POST", "/assets/reconcile")
    assert answer.status == 202, answer.body
    found: list[Report] = []

    def ended() -> bool:
        found[:] = [user.call("GET", "/assets/reconcile").body]
        return bool(found[0].get("id") == answer.body["id"] and found[0]["state"] == "ended")

    user.until(ended)
    return found[0]


def quiet(user: User) -> None:
    sqs, names = user.client("sqs"), ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    url = user.queue("IngestionQueue")

    def empty() -> bool:
        counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return not any(map(int, counts.values()))

    user.until(empty)


def mends(user: User, kind: str, count: int = 1) -> Report:
    """A pass that finds just this, after which another one finds nothing."""
    report = reconciled(user)
    assert report["differences"] == {kind: count}, report
    quiet(user)
    assert reconciled(user)["differences"] == {}
    return report


def lost(user: User) -> Any:
    """Events that never come."""
    return Walker(user.outputs, "").lost_events()


def table(user: User) -> Any:
    resource: Any = boto3.resource(
        "dynamodb",
        endpoint_url=user.outputs["AwsEndpointUrl"],
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    return resource.Table(user.outputs["CatalogTable"])


def test_before_the_first_pass_there_is_no_report(user: User) -> None:
    assert user.call("GET", "/assets/reconcile").status == 404


def test_files_that_came_unnoticed_are_indexed(user: User) -> None:
    with lost(user):
        user.drop("unnoticed/ä 1.txt", b"herons came unnoticed")
        user.drop("unnoticed/2.txt", b"storks came unnoticed")
    assert user.assets(prefix="unnoticed/") == []
    assert mends(user, "missing", 2)["rung"] == 2
    assert {asset["status"] for asset in user.assets(prefix="unnoticed/")} == {"indexed"}
    assert user.search("herons came unnoticed", top_k=1)[0]["key"] == "unnoticed/ä 1.txt"


def test_files_that_went_unnoticed_are_forgotten_and_come_back_unnoticed(user: User) -> None:
    asset = user.dropped("went.txt", b"the stork went away")
    with lost(user):
        user.remove("went.txt")
    mends(user, "gone")
    assert user.asset("went.txt") is None and user.vectors(asset["asset_id"]) == []
    versions = user.client("s3").list_object_versions(Bucket=user.bucket, Prefix="went.txt")
    (marker,) = versions["DeleteMarkers"]
    with lost(user):
        user.client("s3").delete_object(Bucket=user.bucket, Key="went.txt", VersionId=marker["VersionId"])
    mends(user, "missing")
    assert (user.asset("went.txt") or {})["status"] == "indexed" and len(user.vectors(asset["asset_id"])) == 1


def test_files_that_changed_unnoticed_are_embedded_anew(user: User) -> None:
    asset = user.dropped("changed.txt", b"about geese")
    with lost(user):
        user.drop("changed.txt", b"about ducks")
    mends(user, "changed")
    (hit,) = user.search("about", filter={"asset_id": asset["asset_id"]})
    assert hit["segments"][0]["text"] == "about ducks"


def test_an_attempt_that_nobody_works_on_any_more_is_taken_up(user: User) -> None:
    asset = user.dropped("stuck.txt", b"half way")
    head = table(user).get_item(Key={"asset_id": asset["asset_id"], "record": "head"})["Item"]
    now = int(time.time())
    stuck = {**head, "status": "embedding", "begun": now, "rev": head["rev"] + 1}
    table(user).put_item(Item=stuck)
    assert reconciled(user)["differences"] == {}  # somebody may be at work
    table(user).put_item(Item={**stuck, "begun": now - STUCK_SECONDS - 60})
    mends(user, "stuck")
    assert (user.asset("stuck.txt") or {})["status"] == asset["status"] == "indexed"


def test_attributes_that_never_reached_the_vectors_do(user: User) -> None:
    asset = user.dropped("labelled.txt", b"a text with a speaker", Metadata={"speaker": "Ann"})
    head = table(user).get_item(Key={"asset_id": asset["asset_id"], "record": "head"})["Item"]
    table(user).put_item(Item={**head, "relabelling": True, "rev": head["rev"] + 1})
    before = user.embeddings()
    mends(user, "unlabelled")
    assert user.embeddings() == before


def test_vectors_that_are_missing_from_the_index_are_put_again(user: User) -> None:
    asset = user.dropped("unindexed.txt", b"the index lost this passage")
    keys = user.vectors(asset["asset_id"])
    place = {"vectorBucketName": user.outputs["VectorBucket"], "indexName": user.outputs["IndexName"]}
    user.client("s3vectors").delete_vectors(**place, keys=keys)
    mends(user, "unindexed")
    assert user.vectors(asset["asset_id"]) == keys


def test_generations_that_nobody_cleared_go_with_their_vectors(user: User) -> None:
    asset = user.dropped("uncleared.txt", b"what is live now")
    (key,) = user.vectors(asset["asset_id"])
    old = f"{asset['asset_id']}/0123456789abcdef/TEXT/0"
    place = {"vectorBucketName": user.outputs["VectorBucket"], "indexName": user.outputs["IndexName"]}
    vectors = [{"key": old, "data": {"float32": [0.5] * 1024}, "metadata": {}}]
    user.client("s3vectors").put_vectors(**place, vectors=vectors)
    record = {"asset_id": asset["asset_id"], "record": "gen#0123456789abcdef", "state": "retired", "attempt": 0}
    listed = {"listed": "retired", "key": "uncleared.txt", "profile": user.outputs["IndexName"]}
    table(user).put_item(Item={**record, **listed, "highest": {"TEXT": 0}, "busy": {}, "derived": False})
    mends(user, "uncleared")
    assert user.vectors(asset["asset_id"]) == [key]


def test_derived_files_that_nothing_owns_go_and_the_others_stay(user: User) -> None:
    asset = user.dropped("shown.png", picture("png"))
    s3, bucket = user.client("s3"), user.outputs["OutputBucket"]
    for name in ("page-1", "page-2"):
        s3.put_object(Bucket=bucket, Key=f"derived/{asset['asset_id']}/0123456789abcdef/{name}", Body=b"left")
    assert mends(user, "leftover")["deleted"] == 2
    (thumbnail,) = s3.list_objects_v2(Bucket=bucket, Prefix=f"derived/{asset['asset_id']}/")["Contents"]
    assert thumbnail["Key"].endswith("/thumbnail")


def test_what_is_well_is_hardly_looked_at(user: User) -> None:
    for number in range(105):
        user.drop(f"well/{number:03}.txt", f"note {number} is well".encode())
    user.until(lambda: len(user.assets(status="indexed", prefix="well/")) == 105)
    quiet(user)
    local(user, "calls", "DELETE")
    report = reconciled(user)
    assert report["differences"] == {} and report["rung"] == report["deleted"] == 0
    count = report["read"]["objects"]
    assert count == report["read"]["assets"] >= 110
    made = Counter[str]()
    for one in local(user, "calls")["calls"]:
        if "Ingest" in one["caller"]:
            made[one["operation"]] += one["count"]
    assert made["ListObjectsV2"] == 2 and made["Query"] <= 3 and made["GetVectors"] == -(-count // 100), made
    read = {"ListObjectsV2", "Query", "GetVectors", "GetItem", "BatchGetItem"}
    assert not made.keys() - read - {"TransactWriteItems", "SendMessage", "SendMessageBatch"}, made
    assert made["GetItem"] + made["BatchGetItem"] < 20, made


def test_a_page_that_comes_again_is_counted_once(user: User) -> None:
    before = reconciled(user)
    for step in range(4):
        user.ring({"reconcile": {"id": before["id"], "step": step}})
    user.ring({"reconcile": {"id": before["id"]}})
    quiet(user)
    assert user.call("GET", "/assets/reconcile").body == before


def test_a_function_that_dies_in_the_middle_is_followed_by_another(user: User) -> None:
    """Here by hand: a pass of which the first page was counted, and whose next message was never sent."""
    item = table(user).get_item(Key={"asset_id": "reconcile", "record": "report"})["Item"]
    counts = {"ended": 0, "step": 1, "part": "derived", "after": "", "id": "half", "read": {"objects": 7}}
    table(user).put_item(Item={**item, **counts})
    joined = user.call("POST", "/assets/reconcile").body
    assert (joined["id"], joined["state"]) == ("half", "running")
    quiet(user)
    assert user.call("GET", "/assets/reconcile").body["state"] == "running"
    user.ring({"reconcile": {"id": "half", "step": 0}})  # the queue delivers it again
    user.until(lambda: user.call("GET", "/assets/reconcile").body["state"] == "ended")
    assert user.call("GET", "/assets/reconcile").body["read"]["objects"] == 7

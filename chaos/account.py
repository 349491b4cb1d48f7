"""The account of a bucket, taken from outside: is everything that was put in it told, and found as it is now?

`python chaos/account.py OUTPUTS.json [--faults FAULTS.json]`. It is somebody with the outputs of the stack: it lists
the bucket, `GET /assets` and the vectors, and knows nothing of how they are made. So it imports nothing of ours. The
exit code is 0 when nothing is lost, stale, doubled or stuck, else 1.

An object may say in `x-amz-meta-expected` how it ends where nothing goes wrong: `indexed`, `failed`, `unsupported`.
"""

import argparse
import json
import re
import sys
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import boto3

SIDECAR = ".metadata.json"
ENDS = ("indexed", "partial", "failed", "unsupported", "deleted")
TROUBLES = ("lost", "stale", "doubled", "stuck")
# What a failure may say of itself that is none of the file: what ended it, so that it can be sent back.
FAULT = re.compile(
    r"tries (to show and embed the page )?ended in an error|execution (failed|timed_out|aborted)"
    r"|fault was asked for|segments? failed|within the time and memory of a function|its execution ended"
)


@dataclass(frozen=True)
class Stored:
    """What lies under a key now; `said` are the attributes as filters should see them, `told` as lists show them."""

    size: int
    created: int
    expected: str
    told: dict[str, Any]
    said: dict[str, Any]


@dataclass(frozen=True)
class Vector:
    asset_id: str
    generation: str
    place: str  # embedding type and number
    metadata: dict[str, Any]


@dataclass
class Account:
    """`found` has the troubles: keys, and what is the matter with each."""

    files: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    expected: int = 0
    vectors: int = 0
    found: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in TROUBLES})

    def note(self, trouble: str, key: str, what: str) -> None:
        self.found[trouble].append(f"{key}: {what}")

    @property
    def is_clean(self) -> bool:
        return not any(self.found.values())


# -- what is there --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outside:
    """Somebody with the outputs of the stack."""

    outputs: dict[str, str]

    def client(self, service: str) -> Any:
        keys: dict[str, Any] = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
        return boto3.client(service, endpoint_url=self.outputs["AwsEndpointUrl"], region_name="us-east-1", **keys)

    def keys(self) -> set[str]:
        """All that were ever put and are files of their own."""
        pages = self.client("s3").get_paginator("list_object_versions").paginate(Bucket=self.outputs["MediaBucket"])
        entries = (one for page in pages for name in ("Versions", "DeleteMarkers") for one in page.get(name, []))
        return {one["Key"] for one in entries if is_file(one["Key"])}

    def stored(self) -> dict[str, Stored]:
        """What lies in the bucket now, by its key."""
        s3, bucket = self.client("s3"), self.outputs["MediaBucket"]
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        sidecars = {key for key in keys if key.endswith(SIDECAR)}
        return {key: self._stored(s3, bucket, key, key + SIDECAR in sidecars) for key in keys if is_file(key)}

    def _stored(self, s3: Any, bucket: str, key: str, has_sidecar: bool) -> Stored:
        head = s3.head_object(Bucket=bucket, Key=key)
        tags = s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
        texts = {**head["Metadata"], **{tag["Key"]: tag["Value"] for tag in tags}}
        typed: dict[str, Any] = {}
        if has_sidecar:
            typed = json.load(s3.get_object(Bucket=bucket, Key=key + SIDECAR)["Body"])["metadataAttributes"]
        told = {**texts, **typed}
        dates = {name: epoch_of(value) for name, value in typed.items() if is_date(value)}
        created = int(head["LastModified"].timestamp())
        return Stored(head["ContentLength"], created, head["Metadata"].get("expected", ""), told, {**told, **dates})

    def assets(self) -> Iterator[dict[str, Any]]:
        """Of all lists: an asset that is on two of them comes twice."""
        for which in ({}, {"status": "deleted"}):
            token: dict[str, str] = {}
            while True:
                query = urlencode({**which, **token}, quote_via=quote)
                with urllib.request.urlopen(f"{self.outputs['ApiUrl']}/assets?{query}", timeout=60) as answer:
                    page = json.load(answer)
                yield from page["assets"]
                if "next" not in page:
                    break
                token = {"next": page["next"]}

    def vectors(self) -> Iterator[Vector]:
        """Of all indexes."""
        client, bucket = self.client("s3vectors"), self.outputs["VectorBucket"]
        for page in client.get_paginator("list_indexes").paginate(vectorBucketName=bucket):
            for index in page["indexes"]:
                where = {"vectorBucketName": bucket, "indexName": index["indexName"], "returnMetadata": True}
                for some in client.get_paginator("list_vectors").paginate(**where):
                    for vector in some["vectors"]:
                        asset_id, generation, place = vector["key"].split("/", 2)
                        yield Vector(asset_id, generation, place, vector["metadata"])


def is_file(key: str) -> bool:
    return not key.endswith((SIDECAR, "/")) and key.rpartition("/")[2] != ".DS_Store"


def is_date(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"\d{4}-\d\d-\d\d", value))


def epoch_of(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


# -- the account ----------------------------------------------------------------------------------------------------


def take(outside: Outside) -> Account:
    keys, stored, assets = outside.keys(), outside.stored(), list(outside.assets())
    account = Account(files=len(keys))
    by_asset: dict[str, list[Vector]] = defaultdict(list)
    for vector in outside.vectors():
        by_asset[vector.asset_id].append(vector)
        account.vectors += 1
    listed = Counter(asset["key"] for asset in assets)
    for key in sorted(keys - listed.keys()):
        account.note("lost", key, "it was put, and no list tells of it")
    for key in sorted(key for key, times in listed.items() if times > 1):
        account.note("doubled", key, f"it is listed {listed[key]} times")
    for asset in assets:
        account.ends[asset["status"]] += 1
        judge_asset(account, asset, stored.get(asset["key"]))
        judge_vectors(account, asset, stored.get(asset["key"]), by_asset.pop(asset["asset_id"], []))
    for asset_id, vectors in sorted(by_asset.items()):
        account.note("stale", asset_id, f"{len(vectors)} vectors of an asset that no list tells of")
    return account


def judge_asset(account: Account, asset: dict[str, Any], stored: Stored | None) -> None:
    """Its status, and whether it speaks for what lies in the bucket now."""
    key, status = asset["key"], asset["status"]
    if status not in ENDS:
        account.note("stuck", key, f"it is {status}")
    elif stored is None:
        if status != "deleted":
            account.note("stale", key, f"it is {status}, and its object is gone")
    elif status == "deleted":
        account.note("lost", key, "it lies in the bucket, and is told to be deleted")
    else:
        judge_end(account, asset, stored)
        created = int(datetime.fromisoformat(asset["created"]).timestamp())
        if (asset["size"], created) != (stored.size, stored.created):
            account.note("stale", key, f"it tells of {asset['size']} bytes of {created}, there are {stored}")
        if asset["attributes"] != stored.told:
            account.note("stale", key, f"its attributes are {asset['attributes']}, it says {stored.told}")


def judge_end(account: Account, asset: dict[str, Any], stored: Stored) -> None:
    """Whether it ended as a file of its kind does, or tells what kept it from that."""
    status, reason = asset["status"], asset.get("reason") or ""
    if status in ("failed", "unsupported", "partial") and not reason:
        account.note("lost", asset["key"], f"it is {status} without a reason")
    elif stored.expected and status != stored.expected and not FAULT.search(reason):
        account.note("lost", asset["key"], f"it should be {stored.expected} and is {status}: {reason}")


def judge_vectors(account: Account, asset: dict[str, Any], stored: Stored | None, vectors: list[Vector]) -> None:
    """As many as the asset says, of one generation, each with what the object says now."""
    key, wanted = asset["key"], asset["segment_count"] if asset["status"] in ("indexed", "partial") else 0
    account.expected += wanted
    places = Counter(vector.place for vector in vectors)
    generations = {vector.generation for vector in vectors}
    if not wanted and vectors:
        account.note("stale", key, f"it is {asset['status']} and has {len(vectors)} vectors")
    elif len(generations) > 1:
        account.note("stale", key, f"it has vectors of {len(generations)} generations")
    elif len(vectors) > wanted:
        account.note("doubled", key, f"it has {len(vectors)} vectors for {wanted} segments")
    for place, times in sorted(places.items()):
        if times > 1:
            account.note("doubled", key, f"{place} has {times} vectors")
    if len(places) < wanted:
        account.note("lost", key, f"it has {len(places)} vectors for {wanted} segments")
    if asset["status"] in ("indexed", "partial") and not wanted:
        account.note("lost", key, f"it is {asset['status']} without a segment")
    if stored:
        wrong = [vector.place for vector in vectors if not agrees(vector.metadata, stored)]
        if wrong:
            account.note("stale", key, f"{len(wrong)} of its vectors say other things than the object, as {wrong[0]}")


def agrees(metadata: dict[str, Any], stored: Stored) -> bool:
    said = {name: value for name, value in metadata.items() if not name.startswith("_")}
    return (metadata["_size"], metadata["_created"], said) == (stored.size, stored.created, stored.said)


# -- what is shown --------------------------------------------------------------------------------------------------


def show(account: Account, faults: dict[str, dict[str, int]]) -> None:
    if faults:
        print("\nfaults injected")
        for name, kinds in sorted(faults.items()):
            print(f"  {name:<36} {sum(kinds.values()):>6}   " + ", ".join(f"{k} {n}" for k, n in sorted(kinds.items())))
        print(f"  {'all':<36} {sum(sum(kinds.values()) for kinds in faults.values()):>6}")
    print("\nthe account")
    print(f"  {'files in':<36} {account.files:>6}")
    for status, count in sorted(account.ends.items()):
        print(f"    {status:<34} {count:>6}")
    print(f"  {'vectors expected':<36} {account.expected:>6}")
    print(f"  {'vectors found':<36} {account.vectors:>6}")
    for trouble, lines in account.found.items():
        print(f"  {trouble:<36} {len(lines):>6}")
        for line in lines:
            print(f"    {line}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "outputs", type=Path, help="outputs.json, as `make run` or `cdk deploy --outputs-file` write it"
    )
    parser.add_argument("--faults", type=Path, help="JSON: how often what struck, by operation")
    given = parser.parse_args()
    (outputs,) = json.loads(given.outputs.read_text()).values()
    account = take(Outside(outputs))
    show(account, json.loads(given.faults.read_text()) if given.faults else {})
    return 0 if account.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())

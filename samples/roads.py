"""Every road through the system, walked as a user and an operator would: for `make permissions` and its tests."""

import io
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import av
import boto3
import urllib3
from PIL import Image

from samples.tour import MEDIA, SETTLED, TourError, call, list_assets

DEADLINE_SECONDS = 60.0
GRACE_SECONDS = 2.0
LOOK_SECONDS = 0.1
ATTEMPTS = 5
NOTE = b"Otters hold hands while they sleep, and this note says so."
LONG = (MEDIA / "lighthouse-log.txt").read_bytes()

Asset = dict[str, Any]


class RoadError(Exception):
    """A road does not lead where it should; what was seen instead."""


class TooLateError(RoadError):
    """What was to happen to a job did not happen before it ended."""


@dataclass
class Walker:
    """Somebody with the outputs of the stack. `trouble` is a text once something refused to work.

    Who sees trouble waits on for a few seconds, then gives up: a message that failed comes back after minutes only.
    """

    outputs: Mapping[str, str]
    prefix: str
    trouble: Callable[[], str | None] = lambda: None
    deadline_seconds: float = DEADLINE_SECONDS

    def client(self, service: str) -> Any:
        return _client(service, self.outputs["AwsEndpointUrl"])

    def until(self, what: str, look: Callable[[], Any]) -> Any:
        """What `look` sees, once it is something."""
        deadline = time.monotonic() + self.deadline_seconds
        while not (seen := look()):
            now = time.monotonic()
            if now < deadline and (trouble := self.trouble()):
                deadline = min(deadline, now + GRACE_SECONDS)
                what = f"{what} ({trouble})" if trouble not in what else what
            if now > deadline:
                raise RoadError(f"not in time: {what}")
            time.sleep(LOOK_SECONDS)
        return seen

    def put(self, name: str, content: bytes) -> str:
        """The key."""
        key = self.prefix + name
        self.client("s3").put_object(Bucket=self.outputs["MediaBucket"], Key=key, Body=content)
        return key

    def remove(self, key: str) -> None:
        self.client("s3").delete_object(Bucket=self.outputs["MediaBucket"], Key=key)

    def api(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return call(method, self.outputs["ApiUrl"] + path, body)

    def open(self, url: str) -> None:
        """A link of a hit."""
        try:
            with urllib.request.urlopen(url.partition("#")[0], timeout=30) as response:
                response.read()
        except urllib.error.HTTPError as error:
            raise RoadError(f"a link answered {error.code}: {error.read().decode(errors='replace')}") from error

    def asset(self, key: str) -> Asset | None:
        found = [one for one in list_assets(self.outputs["ApiUrl"], key) if one["key"] == key]
        return found[0] if found else None

    def reaches(self, key: str, *statuses: str, attempt: int = 0) -> Asset:
        """The asset once it has one of these statuses, in an attempt of at least that number."""

        def look() -> Asset | None:
            asset = self.asset(key)
            if asset is None or asset["attempt"] < attempt:
                return None
            if asset["status"] in SETTLED and asset["status"] not in statuses:
                raise RoadError(f"{key} is {asset['status']}: {asset.get('reason', 'no reason given')}")
            return asset if asset["status"] in statuses else None

        found: Asset = self.until(f"{key} is {' or '.join(statuses)}", look)
        return found

    def execution(self, asset: Asset) -> str:
        """The ARN of the execution that follows the asset's job."""
        client = self.client("stepfunctions")
        (machine,) = client.list_state_machines()["stateMachines"]

        def look() -> str | None:
            running = client.list_executions(stateMachineArn=machine["stateMachineArn"])["executions"]
            arns = [str(one["executionArn"]) for one in running if one["name"].startswith(asset["asset_id"])]
            return arns[0] if arns else None

        return str(self.until(f"the job of {asset['key']} is followed", look))

    def derived(self, asset: Asset) -> set[str]:
        """The generations that something is derived from."""
        prefix = f"derived/{asset['asset_id']}/"
        listed = self.client("s3").list_objects_v2(Bucket=self.outputs["OutputBucket"], Prefix=prefix)
        return {one["Key"].split("/")[2] for one in listed.get("Contents", [])}

    def ring(self, key: str, queue: str = "IngestionQueue") -> None:
        """S3's event once more: it may come twice."""
        url = self.queue(queue)
        self.client("sqs").send_message(QueueUrl=url, MessageBody=json.dumps({"detail": {"object": {"key": key}}}))

    def queue(self, name: str) -> str:
        """Its URL, by a part of its name."""
        (url,) = (url for url in self.client("sqs").list_queues()["QueueUrls"] if name in url)
        return str(url)

    @contextmanager
    def lost_events(self) -> Iterator[None]:
        """What happens to the bucket meanwhile sends no event."""
        events = self.client("events")
        names = [rule["Name"] for rule in events.list_rules()["Rules"] if "MediaChanged" in rule["Name"]]
        for name in names:
            events.disable_rule(Name=name)
        try:
            yield
        finally:
            for name in names:
                events.enable_rule(Name=name)


_making = threading.Lock()


def _client(service: str, endpoint: str) -> Any:
    with _making:
        return _made(service, endpoint)


@cache
def _made(service: str, endpoint: str) -> Any:
    return boto3.session.Session().client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )


Road = Callable[[Walker], None]


def note(walker: Walker) -> None:
    """A short text: found by a filtered search, opened by its link, listed, embedded again, deleted."""
    key = walker.put("note.txt", NOTE)
    asset = walker.reaches(key, "indexed")
    body = {
        "query": {"text": "otters"},
        "filter": {"prefix": walker.prefix, "size": {"$gt": 1}},
        "modalities": ["text"],
    }
    hits = walker.api("POST", "/search", body)["hits"]
    if key not in [hit["key"] for hit in hits]:
        raise RoadError(f"{key} is not found")
    walker.open(hits[0]["url"])
    path = f"/assets/{asset['asset_id']}"
    walker.api("GET", path)
    walker.api("GET", f"{path}/segments")
    walker.api("GET", f"{path}/segments/TEXT/0")
    walker.api("POST", f"{path}/heat", {"query": {"asset": {"asset_id": asset["asset_id"]}}})
    words = {"query": {"text": "otters"}, "mode": "hybrid", "filter": {"prefix": walker.prefix}, "rerank": 1}
    if not walker.api("POST", "/search", words)["hits"]:
        raise RoadError(f"{key} is not found by its words")
    walker.api("GET", "/assets?status=indexed")
    walker.api("GET", "/assets?modality=text")
    walker.api("POST", f"{path}/reprocess")
    walker.reaches(key, "indexed", attempt=asset["attempt"] + 1)
    walker.api("DELETE", path)
    walker.until(f"{key} is gone", lambda: walker.asset(key) is None)


def picture(walker: Walker) -> None:
    """Bedrock reads it from the bucket with the function's rights, or what was converted from it."""
    content = (MEDIA / "sunset.jpg").read_bytes()
    walker.reaches(walker.put("sunset.jpg", content), "indexed")
    converted = io.BytesIO()
    Image.open(io.BytesIO(content)).save(converted, "TIFF")
    walker.reaches(walker.put("sunset.tif", converted.getvalue()), "indexed")


def film(walker: Walker) -> None:
    """A job of a file that had to be opened first; its frames are shown."""
    key = walker.put("three-scenes.mp4", (MEDIA / "three-scenes.mp4").read_bytes())
    asset = walker.reaches(key, "indexed")
    walker.open(walker.api("GET", f"/assets/{asset['asset_id']}")["thumbnail"])


def pages(walker: Walker) -> None:
    """Pages of a document, then of another in its place: what was derived from the first goes."""
    key = walker.put("scan.pdf", (MEDIA / "harvest-scan.pdf").read_bytes())
    asset = walker.reaches(key, "indexed")
    walker.put("scan.pdf", (MEDIA / "lease.pdf").read_bytes())
    walker.reaches(key, "indexed", attempt=asset["attempt"] + 1)
    walker.until("the first one's pages are gone", lambda: len(walker.derived(asset)) == 1)
    walker.remove(key)
    walker.until(f"{key} is gone", lambda: walker.asset(key) is None)
    walker.until("its pages are gone", lambda: not walker.derived(asset))


def document(walker: Walker) -> None:
    """Its text is taken out and staged: a short one, and one for a job."""
    walker.reaches(walker.put("slides.pptx", (MEDIA / "bicycle-workshop.pptx").read_bytes()), "indexed")
    walker.reaches(walker.put("log.html", b"<p>" + LONG), "indexed")


def labels(walker: Walker) -> None:
    """Tags, and a sidecar that comes later."""
    key = walker.put("labelled.txt", NOTE)
    walker.reaches(key, "indexed")
    tags = {"TagSet": [{"Key": "animal", "Value": "otter"}]}
    walker.client("s3").put_object_tagging(Bucket=walker.outputs["MediaBucket"], Key=key, Tagging=tags)
    walker.put("labelled.txt.metadata.json", b'{"metadataAttributes": {"year": 2020}}')

    def look() -> bool:
        asset = walker.asset(key)
        return bool(asset and asset["attributes"] == {"animal": "otter", "year": 2020})

    walker.until(f"{key} has its attributes", look)
    body = {"query": {"text": "otters"}, "filter": {"$and": [{"prefix": walker.prefix}, {"year": 2020}]}}
    walker.until(f"{key} is found by its attributes", lambda: walker.api("POST", "/search", body)["hits"])


def upload(walker: Walker) -> None:
    """A form that the search function signed."""
    form = walker.api("POST", "/uploads", {"name": "note.txt"})
    fields = {**form["fields"], "file": ("note.txt", NOTE)}
    answer = urllib3.request("POST", form["url"], fields=fields)
    if answer.status != 204:
        raise RoadError(f"an upload was answered with {answer.status}: {answer.data.decode(errors='replace')}")
    walker.reaches(form["key"], "indexed")


def agent(walker: Walker) -> None:
    """Somebody's agent asks."""
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_assets", "arguments": {}}}
    accepted = {"accept": "application/json, text/event-stream"}
    answer = urllib3.request("POST", f"{walker.outputs['ApiUrl']}/mcp", json=message, headers=accepted, timeout=60)
    said = answer.data.decode(errors="replace")
    if answer.status != 200 or answer.json().get("result", {}).get("isError", True):
        raise RoadError(f"an agent was answered with {answer.status}: {said}")


def asked(walker: Walker) -> None:
    """A picture that is uploaded to search with: Bedrock reads it with the search function's rights."""
    form = walker.api("POST", "/uploads", {"purpose": "query"})
    fields = {**form["fields"], "file": ("picture", (MEDIA / "sunset.jpg").read_bytes())}
    answer = urllib3.request("POST", form["url"], fields=fields)
    if answer.status != 204:
        raise RoadError(f"a query's upload was answered with {answer.status}: {answer.data.decode(errors='replace')}")
    walker.api("POST", "/search", {"query": {"image": {"upload": form["key"]}}})


def sound(walker: Walker) -> None:
    """A long one: a job, whose result the index function reads; a short one that must be converted."""
    walker.reaches(walker.put("evening.mp3", (MEDIA / "evening.mp3").read_bytes()), "indexed")
    flac = io.BytesIO()
    with av.open(MEDIA / "empty-room.wav") as heard, av.open(flac, "w", "flac") as made:
        stream = made.add_stream("flac", heard.streams.audio[0].rate)
        for frame in heard.decode(audio=0):
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
    walker.reaches(walker.put("empty-room.flac", flac.getvalue()), "indexed")


def long_text(walker: Walker) -> None:
    """Staged for its job, embedded again, then overwritten by a short one."""
    key = walker.put("log.txt", LONG)
    asset = walker.reaches(key, "indexed")
    walker.api("POST", f"/assets/{asset['asset_id']}/reprocess")
    again = walker.reaches(key, "indexed", attempt=asset["attempt"] + 1)
    walker.put("log.txt", NOTE)
    walker.reaches(key, "indexed", attempt=again["attempt"] + 1)


def broken(walker: Walker) -> None:
    """What cannot be read fails with a reason."""
    walker.reaches(walker.put("broken.mp3", b"ID3" + b"\0" * 500), "failed")


def crowd(walker: Walker) -> None:
    """More long texts at once than there may be jobs: some wait, all are found, and none is given up meanwhile."""
    keys = [walker.put(f"crowd {number}.txt", LONG + str(number).encode()) for number in range(4)]
    for key in keys:
        walker.execution(walker.reaches(key, "waiting", "embedding", "indexed"))
        walker.ring(key, "Unanswered")
    for key in keys:
        walker.reaches(key, "indexed")


def busy(walker: Walker) -> None:
    """Bedrock has no room for a moment: the ring comes back."""
    rule = {"fault": "throttle", "service": "bedrock-runtime", "resource": "herons are busy", "next": 2}
    urllib3.request("POST", f"{walker.outputs['AwsEndpointUrl']}/_local/faults", json=rule)
    walker.reaches(walker.put("busy.txt", b"The herons are busy."), "indexed")


def stopped(walker: Walker) -> None:
    """An operator stops what follows a job."""

    def attempt(number: int) -> None:
        key = walker.put(f"stopped {number}.txt", LONG)
        arn = walker.execution(walker.reaches(key, "embedding", "indexed"))
        client = walker.client("stepfunctions")
        if client.describe_execution(executionArn=arn)["status"] == "RUNNING":
            client.stop_execution(executionArn=arn)
        if client.describe_execution(executionArn=arn)["status"] != "ABORTED":
            raise TooLateError(key)
        walker.reaches(key, "failed")

    in_time(attempt)


def unanswered(walker: Walker) -> None:
    """A message that nobody could answer ends among the dead letters."""
    sqs, url = walker.client("sqs"), walker.queue("DeadLetters")
    key = walker.put("unanswered.txt", NOTE)
    walker.reaches(key, "indexed")
    walker.ring(key, "Unanswered")

    def look() -> bool:
        return any(key in one["Body"] for one in sqs.receive_message(QueueUrl=url).get("Messages", []))

    walker.until(f"{key} is told among the dead letters", look)


def mended(walker: Walker) -> None:
    """All that failed under a prefix, once more."""
    key = walker.put("mended/torn.pdf", b"%PDF-1.7 torn")
    asset = walker.reaches(key, "failed")
    walker.api("POST", "/assets/reprocess", {"prefix": f"{walker.prefix}mended/", "status": "failed"})
    walker.reaches(key, "failed", attempt=asset["attempt"] + 1)


def lost_result(walker: Walker) -> None:
    """The result of a job goes before it is read."""

    def attempt(number: int) -> None:
        key = walker.put(f"lost {number}.txt", LONG + str(number).encode())
        asset = walker.reaches(key, "embedding", "indexed")
        s3, bucket = walker.client("s3"), walker.outputs["OutputBucket"]

        def look() -> list[str]:
            listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"jobs/{asset['asset_id']}").get("Contents", [])
            return [one["Key"] for one in listed if one["Key"].endswith("result.json")]

        for result in walker.until(f"the job of {key} has a result", look):
            s3.delete_object(Bucket=bucket, Key=result)
        if walker.reaches(key, "failed", "indexed")["status"] == "indexed":
            raise TooLateError(key)

    in_time(attempt)


def missed_events(walker: Walker) -> None:
    """What changes unnoticed while it is embedded is noticed when its job ends."""
    client = walker.client("stepfunctions")

    def runs(arn: str) -> bool:
        return bool(client.describe_execution(executionArn=arn)["status"] == "RUNNING")

    def attempt(number: int) -> None:
        changed, removed = (walker.put(f"{what} {number}.txt", LONG) for what in ("changed", "removed"))
        assets = [walker.reaches(key, "embedding", "indexed") for key in (changed, removed)]
        arns = [walker.execution(asset) for asset in assets]
        with walker.lost_events():
            walker.put(f"changed {number}.txt", NOTE)
            walker.remove(removed)
            if not all(map(runs, arns)):
                raise TooLateError(changed)
            walker.until("both jobs have ended", lambda: not any(map(runs, arns)))
        walker.reaches(changed, "indexed", attempt=assets[0]["attempt"] + 1)
        walker.until(f"{removed} is gone", lambda: walker.asset(removed) is None)

    in_time(attempt)


def reconciled(walker: Walker) -> None:
    """A file that came unnoticed is found by whoever holds bucket and catalog against each other."""
    with walker.lost_events():
        key = walker.put("unnoticed.txt", NOTE)
    order = walker.api("POST", "/assets/reconcile")["id"]

    def ended() -> bool:
        with suppress(TourError):  # there is no report before the first pass has begun
            report = walker.api("GET", "/assets/reconcile")
            return bool(report["id"] == order and report["state"] == "ended")
        return False

    walker.until("bucket and catalog are held against each other", ended)
    walker.reaches(key, "indexed")


def in_time(attempt: Callable[[int], None]) -> None:
    """On a slow machine a job may be over before anything could be done to it: then with another."""
    for number in range(ATTEMPTS - 1):
        try:
            return attempt(number)
        except TooLateError:
            continue
    attempt(ATTEMPTS - 1)


# Those that can be walked side by side, and those that others must not be walked beside.
AT_ONCE: tuple[Road, ...] = (
    note,
    picture,
    upload,
    agent,
    asked,
    sound,
    film,
    pages,
    document,
    labels,
    long_text,
    broken,
    crowd,
    busy,
    stopped,
    unanswered,
    mended,
    lost_result,
)
ALONE: tuple[Road, ...] = (missed_events, reconciled)
MAX_JOBS = 2  # fewer than some roads start at once
JOB_SECONDS = 2.5  # longer than the first wait for a job, so that there is time to do something meanwhile
FAILURES = (RoadError, TourError, OSError)
"""How a road fails: it leads elsewhere, the API refuses, or a link does not open."""


def walk(walker: Walker) -> dict[str, str]:
    """What went wrong, by the name of the road."""
    wrong: dict[str, str] = {}
    lock = threading.Lock()

    def one(road: Road) -> None:
        try:
            road(walker)
        except FAILURES as error:
            with lock:
                wrong[road.__name__] = str(error)

    with ThreadPoolExecutor(len(AT_ONCE)) as pool:
        list(pool.map(one, AT_ONCE))
    for road in ALONE if not wrong else ():
        one(road)
    return wrong

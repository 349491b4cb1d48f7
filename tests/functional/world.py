"""The road of a file in one process, where a test decides what happens when.

The functions are the real ones, on the laptop's own S3, DynamoDB, S3 Vectors and SQS; Bedrock and Step Functions are
stand-ins that do nothing by themselves. S3's events lie in a list until the test delivers them, jobs run when the test
says so, and at any call to AWS a function can die or something else can happen. Beside it a model keeps what the user
did, and says what the index must hold.
"""

import hashlib
import io
import json
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
import orjson
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError

from lambdas.index.index import EndedJob, Index
from lambdas.ingest.handler import merge, read_bell
from lambdas.ingest.ingest import Bell, Ingest
from lambdas.search.caller import Caller
from lambdas.search.links import Links
from lambdas.search.listing import Listing
from lambdas.shared.assets import StoredObject, Work, asset_id_of, generation_of, vector_key
from lambdas.shared.budget import Budget
from lambdas.shared.catalog import Catalog
from lambdas.shared.derived import Derived
from lambdas.shared.profiles import Profile, Profiles, Rule
from lambdas.shared.records import Head, read_head
from lambdas.shared.settings import IndexSettings, IngestSettings
from lambdas.shared.table import Table
from lambdas.shared.vectors import stores_of
from lambdas.shared.writing import Writer
from local.auth import Keyring
from local.clients import Clients
from local.dynamodb import DynamoDb
from local.front import Front
from local.s3 import S3
from local.s3vectors import S3Vectors
from local.sqs import Sqs
from local.state import State
from tests.unit.media import picture

ENDPOINT = "http://localhost"
MACHINE = "arn:aws:states:us-east-1:000000000000:stateMachine:Jobs"
PROFILES = Profiles(
    named={"default": Profile(dimension=8, text_chars=800), "fine": Profile(dimension=4, text_chars=800)},
    rules=(Rule(profile="fine", attribute={"quality": "fine"}),),
)
TAG = {"TagSet": [{"Key": "quality", "Value": "fine"}]}
VERSIONED = {
    "VersioningConfiguration": {"Status": "Enabled"},
    "NotificationConfiguration": {"EventBridgeConfiguration": {"EventBridgeEnabled": True}},
}
TABLE: dict[str, Any] = {
    "AttributeDefinitions": [
        {"AttributeName": name, "AttributeType": "S"}
        for name in ("asset_id", "record", "listed", "status", "modality", "key")
    ],
    "KeySchema": [
        {"AttributeName": "asset_id", "KeyType": "HASH"},
        {"AttributeName": "record", "KeyType": "RANGE"},
    ],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": index,
            "KeySchema": [
                {"AttributeName": partition, "KeyType": "HASH"},
                {"AttributeName": "key", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "ALL"},
        }
        for index, partition in (("by_key", "listed"), ("by_status", "status"), ("by_modality", "modality"))
    ],
    "BillingMode": "PAY_PER_REQUEST",
}
TRIES = 5  # of the index step: once, and the four retries of the state machine
ATTEMPTS = 100  # more than there are at one key
ROUNDS = 60  # until everything is quiet; a wait for somebody who died takes about ten

Action = Callable[[], None]


class Crash(BaseException):
    """The process died, right after a call to AWS that took effect."""


def crash() -> None:
    raise Crash


def refusal(request: Any, status: int, code: str) -> AWSResponse:
    """An error as AWS answers it."""
    body = json.dumps({"__type": code, "message": "the test says so"}).encode()
    headers = HTTPHeaders.from_pairs([("content-type", "application/json"), ("x-amzn-errortype", code)])
    return AWSResponse(request.url, status, headers, _Raw(body))


class Short:
    """Shows itself as `repr` does, also where Hypothesis prints it."""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))


# What a user stores


@dataclass(frozen=True)
class Content(Short):
    """A file, and what must be found of it: the passage by its number, and the numbers that fail."""

    name: str
    body: bytes
    passages: Mapping[int, str | None] = field(default_factory=dict)
    failed: Sequence[int] = ()
    embedding_type: str = "TEXT"

    @property
    def status(self) -> str:
        if not self.passages:
            return "failed"
        return "partial" if self.failed else "indexed"

    def __repr__(self) -> str:
        return self.name


EMPTY = Content("empty", b"")
REFUSED = Content("refused", b"the whole job fails\n" * 60)


def short(text: str) -> Content:
    """One vector, made at once."""
    return Content(f"short({text!r})", text.encode(), {0: text})


def coloured(colour: str) -> Content:
    """A picture: one vector without a passage, and a thumbnail under `derived/`."""
    return Content(f"coloured({colour!r})", picture("png", colour=colour), {0: None}, embedding_type="IMAGE")


def long(text: str, parts: str) -> Content:
    """A job with a segment for each letter of `parts`: `+` is a good one, `-` one that fails."""
    width = 900 // len(parts)
    lines = {n: f"{text} {n} is {'good' if part == '+' else 'bad'} ".ljust(width, ".") for n, part in enumerate(parts)}
    return Content(
        f"long({text!r}, {parts if len(parts) < 9 else len(parts)})",
        "\n".join(lines.values()).encode(),
        {n: line.strip() for n, line in lines.items() if parts[n] == "+"},
        [n for n in lines if parts[n] != "+"],
    )


# The stand-ins


@dataclass
class Job:
    """An asynchronous invocation. `output_uri` or `failure` is there once it has run."""

    request: dict[str, Any]
    output_uri: str | None = None
    failure: str | None = None

    @property
    def is_done(self) -> bool:
        return bool(self.output_uri or self.failure)


class Bedrock:
    """Bedrock's runtime: vectors made of a hash; jobs that run when they are told to."""

    def __init__(self, called: Callable[[str], None], s3: Any) -> None:
        self._called = called
        self._s3 = s3
        self.jobs: dict[str, Job] = {}
        self.busy = 0  # the calls to come that it has no room for

    def invoke_model(self, *, modelId: str, body: bytes) -> dict[str, Any]:
        self._throttle("InvokeModel")
        parameters = orjson.loads(body)["singleEmbeddingParams"]
        kind = "image" if "image" in parameters else "text"
        vector = vector_of(json.dumps(parameters[kind]), parameters["embeddingDimension"])
        answer = {"embeddings": [{"embeddingType": kind.upper(), "embedding": vector}]}
        self._called("InvokeModel")
        return {"body": io.BytesIO(orjson.dumps(answer))}

    def run(self, token: str, request: dict[str, Any]) -> Job:
        """Let the job come to its end, unless it has: result files in Nova's layout, a segment for each line."""
        job = self.jobs.setdefault(token, Job(request))
        assert job.request == request, "one token for two requests"
        if job.is_done:
            return job
        parameters = job.request["modelInput"]["segmentedEmbeddingParams"]
        dimension = parameters["embeddingDimension"]
        source = urlsplit(parameters["text"]["source"]["s3Location"]["uri"])
        text = self._s3.get_object(Bucket=source.netloc, Key=source.path[1:])["Body"].read().decode()
        if text == REFUSED.body.decode():
            job.failure = "The text is not to the model's taste"
            return job
        folder = f"{job.request['outputDataConfig']['s3OutputDataConfig']['s3Uri']}abc123def456"
        self._write(f"{folder}/embedding-text.jsonl", "\n".join(map(json.dumps, segments_of(text, dimension))))
        entry = {"embeddingType": "TEXT", "status": "SUCCESS", "outputFileUri": f"{folder}/embedding-text.jsonl"}
        result = {"sourceFileUri": source.geturl(), "embeddingDimension": dimension, "embeddingResults": [entry]}
        self._write(f"{folder}/segmented-embedding-result.json", json.dumps(result))
        job.output_uri = folder
        return job

    def _write(self, uri: str, text: str) -> None:
        place = urlsplit(uri)
        self._s3.put_object(Bucket=place.netloc, Key=place.path[1:], Body=text.encode())

    def _throttle(self, operation: str) -> None:
        if self.busy:
            self.busy -= 1
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "Too many requests"}}, operation)


def vector_of(text: str, dimension: int) -> list[float]:
    return [byte / 128 - 0.999 for byte in hashlib.sha256(text.encode()).digest()[:dimension]]


def segments_of(text: str, dimension: int) -> Iterator[dict[str, Any]]:
    """Nova's answer for a text of `long`."""
    start = 0
    for number, line in enumerate(text.split("\n")):
        place = {
            "segmentIndex": number,
            "segmentStartCharPosition": start,
            "segmentEndCharPosition": start + len(line) - 1,
        }
        start += len(line) + 1
        if "is good" in line:
            yield {"embedding": vector_of(line, dimension), "status": "SUCCESS", "segmentMetadata": place}
        else:
            yield {"status": "FAILURE", "failureReason": "INVALID_CONTENT", "segmentMetadata": place}


@dataclass
class Execution(Short):
    """One run of the state machine. `tries` counts the calls of the index function that came to nothing."""

    name: str
    input: str
    status: str = "RUNNING"
    tries: int = 0
    cause: str = ""
    is_busy: bool = False  # the index function works on it just now

    def __repr__(self) -> str:
        return f"execution({self.name})"

    @property
    def work(self) -> Work:
        job = json.loads(self.input)
        return Work(job["asset_id"], job["generation"], job["attempt"])


class StepFunctions:
    """Step Functions as its callers see it; the world does the work of the executions."""

    class exceptions:
        class ExecutionAlreadyExists(Exception):
            pass

    def __init__(self, called: Callable[[str], None]) -> None:
        self._called = called
        self.executions: dict[str, Execution] = {}

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> dict[str, Any]:
        known = self.executions.setdefault(name, Execution(name, input))
        is_taken = known.status != "RUNNING" or known.input != input
        self._called("StartExecution")
        if is_taken:
            raise self.exceptions.ExecutionAlreadyExists
        return {"executionArn": f"{stateMachineArn.replace(':stateMachine:', ':execution:')}:{name}"}

    def describe_execution(self, *, executionArn: str) -> dict[str, Any]:
        execution = self.executions[executionArn.rpartition(":")[2]]
        self._called("DescribeExecution")
        return {"status": execution.status, **({"cause": execution.cause} if execution.cause else {})}


# The services


class Clock:
    """The functions' clock, in place of their module `time`; it can be put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def time(self) -> float:
        return time.time() + self.ahead


class Services:
    """The laptop's S3, DynamoDB, S3 Vectors and SQS behind one door, for one world after the other.

    Requests come as on the wire, signed and all, but without a socket, which would take most of the time.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.state = State(folder)
        self.clock = clock
        self.made = 0
        self.world: World | None = None
        self.instead: Callable[[Any], AWSResponse | None] = lambda request: None
        keyring = Keyring(folder)
        self.s3 = S3(self.state, keyring, self._emit)
        self.dynamodb = DynamoDb(self.state)
        self.s3vectors = S3Vectors(self.state)
        self.sqs = Sqs(self.state, ENDPOINT)
        services = {"s3": self.s3, "dynamodb": self.dynamodb, "s3vectors": self.s3vectors, "sqs": self.sqs}
        self._front = Front(services, keyring, lambda name, *_: pytest.fail(f"no service {name}"))
        self.outside = self._clients(keyring)  # the user's and the test's own, which nobody counts
        self.inside = self._clients(keyring)
        for client in self.inside.values():
            client.meta.events.register("after-call", self._after_call)
        self.inside["sqs"].meta.events.register("provide-client-params.sqs.SendMessage", _without_delay)

    def close(self) -> None:
        self.sqs.stop()
        self.state.close()

    def _clients(self, keyring: Keyring) -> dict[str, Any]:
        plain = Clients(ENDPOINT, keyring)
        clients = {name: plain.get(name, None) for name in ("s3", "s3vectors", "sqs")}
        resource = boto3.session.Session().resource(
            "dynamodb",
            endpoint_url=ENDPOINT,
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )
        clients["dynamodb"] = resource.meta.client
        for client in clients.values():
            client.meta.events.register("before-send", self._serve)
        return clients

    def _emit(self, event: dict[str, Any]) -> None:
        if self.world and event["detail"]["bucket"]["name"] == self.world.bucket:
            self.world.events.append(event)
            self.world.bells.append(Doorbell(event))

    def _after_call(self, model: Any, **_: Any) -> None:
        assert self.world
        self.world.called(model.name)

    def _serve(self, request: Any, **_: Any) -> AWSResponse:
        """Botocore's request to the WSGI application that would get it, or what the test answers instead."""
        if instead := self.instead(request):
            return instead
        url = urlsplit(request.url)
        body = request.body or b""
        body = body.read() if hasattr(body, "read") else body.encode() if isinstance(body, str) else body
        named = ((name, value) for name, value in request.headers.items() if name.lower() != "content-length")
        headers = [(name, value.decode() if isinstance(value, bytes) else value) for name, value in named]
        headers += [("Host", url.netloc), ("Content-Length", str(len(body)))]
        environ = {
            "REQUEST_METHOD": request.method,
            "PATH_INFO": unquote(url.path).encode().decode("latin-1"),
            "QUERY_STRING": url.query,
            "REQUEST_URI": f"{url.path}?{url.query}" if url.query else url.path,
            "SCRIPT_NAME": "",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.input": io.BytesIO(body),
            "wsgi.url_scheme": "http",
            "laptop.headers": headers,
        }
        for name, value in headers:
            variable = name.upper().replace("-", "_")
            environ[variable if variable in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{variable}"] = value
        answered: list[Any] = []
        content = b"".join(self._front(environ, lambda *answer: answered.extend(answer)))
        fields = HTTPHeaders()
        for name, value in answered[1]:
            fields.add_header(name, value)
        return AWSResponse(request.url, int(answered[0].split()[0]), fields, _Raw(content))


class _Raw(io.BytesIO):
    """A body as urllib3 gives it."""

    def stream(self, amt: int = 1 << 16, decode_content: bool | None = None) -> Iterator[bytes]:
        while chunk := self.read(amt):
            yield chunk


def _without_delay(params: dict[str, Any], **_: Any) -> dict[str, Any]:
    """The message comes at once, and says by how long it should have been later."""
    delay = {"DataType": "Number", "StringValue": str(params.get("DelaySeconds", 0))}
    return {**params, "DelaySeconds": 0, "MessageAttributes": {"delay": delay}}


@contextmanager
def services_on(folder: Path) -> Iterator[Services]:
    """The services, and the functions' modules on a clock that can be put forward."""
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        for name, module in list(sys.modules.items()):
            if name.startswith("lambdas.") and getattr(module, "time", None) is time:
                patch.setattr(module, "time", clock)
        services = Services(folder, clock)
        yield services
        services.close()


# The world


@dataclass(frozen=True, eq=False)
class Version:
    """A version of a key; without content it is a delete marker."""

    id: str
    content: Content | None


@dataclass(frozen=True, eq=False)
class Doorbell(Short):
    """A message for the ingest function; `delay` is what it was sent with."""

    body: dict[str, Any]
    delay: int = 0

    @property
    def key(self) -> str:
        return read_bell(self.body).key

    def __repr__(self) -> str:
        more = "" if "detail" in self.body else f" {self.body}"
        return f"ring({self.key}{more})"


@dataclass
class Watch:
    """One invocation: how many calls it has made, and what happens at which."""

    plan: Mapping[int, Action]
    count: int = 0
    is_crashed: bool = False


class World:
    """A bucket, a table, an index and a queue of its own; the functions on them; and the model of what must hold."""

    def __init__(self, services: Services) -> None:
        services.made += 1
        services.world = self
        self._services = services
        self.bucket, self._outputs, self._table, queue = (
            f"{name}-{services.made}" for name in ("media", "outputs", "catalog", "queue")
        )
        services.s3.ensure_bucket(self.bucket, VERSIONED)
        services.s3.ensure_bucket(self._outputs, {})
        services.dynamodb.ensure_table(self._table, TABLE)
        services.sqs.ensure_queue(queue, {})
        self._queue = services.sqs.queue_url(queue)
        self._out = services.outside
        self._vectors = f"vectors-{services.made}"
        services.s3vectors.ensure_vector_bucket(self._vectors, {})
        self._indexes = {profile.name: self._make_index(profile) for profile in PROFILES.named.values()}
        # what goes on
        self.events: list[dict[str, Any]] = []  # all that S3 ever sent
        self.bells: list[Doorbell] = []  # the messages that are still to be answered
        self.calls: Counter[str] = Counter()
        self._watches: list[Watch] = []
        self._has_sent = False
        self.story: list[str] = []  # what happened, for a person to read
        # the model
        self.versions: dict[str, list[Version]] = {}
        self.fine: set[str] = set()  # the ids of versions that are to have the other profile
        self.had: dict[str, dict[str, Version]] = {}  # by key and generation, all there can ever have been
        self._current_since_look: dict[str, set[Version | None]] = {}
        self._live: dict[str, str | None] = {}
        self._gone: set[str] = set()  # keys whose delete has been answered
        self._moves: Counter[str] = Counter()
        self._died_at: set[str] = set()  # the assets that somebody was at work on when he died
        self._make_functions()

    def _make_index(self, profile: Profile) -> str:
        answer = self._out["s3vectors"].create_index(
            vectorBucketName=self._vectors,
            indexName=profile.name,
            dataType="float32",
            dimension=profile.dimension,
            distanceMetric="cosine",
            metadataConfiguration={"nonFilterableMetadataKeys": ["_uri", "_text", "_title"]},
        )
        return str(answer["indexArn"])

    def _make_functions(self) -> None:
        clients: Any = self._services.inside
        self.bedrock = Bedrock(self.called, self._out["s3"])
        self.states = StepFunctions(self.called)
        bedrock: Any = self.bedrock
        states: Any = self.states
        bucket_arn = self._indexes[PROFILES.default.name].partition("/index/")[0]
        places: Any = {
            "media_bucket": self.bucket,
            "output_bucket": self._outputs,
            "catalog_table": self._table,
            "vector_bucket_arn": bucket_arn,
            "ingest_queue_url": self._queue,
            "profiles": PROFILES,
        }
        self._catalog = partial(Catalog, clients["dynamodb"], self._table)
        stores = stores_of(clients["s3vectors"], bucket_arn, PROFILES)
        writer = Writer(stores, self._catalog(), Derived(clients["s3"], self._outputs))
        self._ingest = Ingest(
            IngestSettings(
                **places,
                dead_letters_url="",
                unanswered_queue_arn="",
                max_receives=5,
                requests_per_minute=1_000_000,
                job_state_machine_arn=MACHINE,
            ),
            clients["s3"],
            clients["sqs"],
            states,
            bedrock=bedrock,
            budget=Budget(Table(clients["dynamodb"], self._table), 1_000_000),
            writer=writer,
        )
        links = Links(self._out["s3"], self.bucket, self._outputs)
        self._listing = Listing(Catalog(self._out["dynamodb"], self._table), stores, links)
        self._index_function = Index(IndexSettings(**places), clients["s3"], clients["sqs"], writer)

    @property
    def ingest(self) -> Ingest:
        """In a process of its own, as each invocation is here."""
        return replace(self._ingest, writer=replace(self._ingest.writer, catalog=self._catalog()))

    @property
    def index(self) -> Index:
        """In a process of its own."""
        return replace(self._index_function, writer=replace(self._ingest.writer, catalog=self._catalog()))

    def close(self) -> None:
        for arn in self._indexes.values():
            self._out["s3vectors"].delete_index(indexArn=arn)

    # -- the user -------------------------------------------------------------------------------------------------

    def put(self, key: str, content: Content) -> None:
        answer = self._out["s3"].put_object(Bucket=self.bucket, Key=key, Body=content.body)
        self._has_put(key, answer["VersionId"], content)

    def _has_put(self, key: str, version: str, content: Content | None) -> None:
        made = Version(version, content)
        self.versions.setdefault(key, []).append(made)
        for profile in PROFILES.named.values():
            name = StoredObject(self.bucket, key, version, "", 0, 0).content(profile)
            self.had.setdefault(key, {}).update({generation_of(name, attempt): made for attempt in range(ATTEMPTS)})
        self._moved(key)

    def delete(self, key: str) -> None:
        """A delete marker, if there is something to delete."""
        if self.current(key):
            marker = self._out["s3"].delete_object(Bucket=self.bucket, Key=key)["VersionId"]
            self.versions[key].append(Version(marker, None))
            self._moved(key)

    def restore(self, key: str) -> None:
        """Delete the newest version or marker, if there is one: what was before it is current again."""
        if self.versions.get(key):
            newest = self.versions[key].pop()
            self._out["s3"].delete_object(Bucket=self.bucket, Key=key, VersionId=newest.id)
            self._moved(key)

    def rename(self, key: str, to: str) -> None:
        """As every tool does it: a copy, with its tags, and a delete."""
        if current := self.current(key):
            self._copy(key, current, to)
            self.delete(key)

    def bring_back(self, key: str) -> None:
        """Copy the oldest version there is over the newest, which S3 refuses where they are the same."""
        old = next((version for version in self.versions.get(key, []) if version.content), None)
        if old and old != self.current(key):
            self._copy(key, old, key)

    def _copy(self, key: str, version: Version, to: str) -> None:
        source = {"Bucket": self.bucket, "Key": key, "VersionId": version.id}
        copied = self._out["s3"].copy_object(Bucket=self.bucket, Key=to, CopySource=source)["VersionId"]
        if version.id in self.fine:
            self.fine.add(copied)
        self._has_put(to, copied, version.content)

    def expire(self, key: str) -> None:
        """The bucket's lifecycle rules end what is current: a delete marker that nobody asked for."""
        if self.current(key):
            self._age({"Prefix": key, "ExpirationInDays": 1})
            listed = self._out["s3"].list_object_versions(Bucket=self.bucket, Prefix=key)["DeleteMarkers"]
            self.versions[key] += [Version(one["VersionId"], None) for one in listed if one["IsLatest"]]
            self._moved(key)

    def forget(self, key: str) -> None:
        """They end what is not current any more, and a marker with nothing under it."""
        old = {"NoncurrentVersionExpiration": {"NoncurrentDays": 1}, "ExpiredObjectDeleteMarker": True}
        self._age({"Prefix": key, **old})
        self.versions[key] = [version for version in self.versions.get(key, [])[-1:] if version.content]
        self._moved(key)

    def _age(self, rule: Mapping[str, Any]) -> None:
        """Days go by for the bucket, while it has that rule."""
        rules = {"Rules": [{"Status": "Enabled", **rule}]}
        self._services.s3.ensure_bucket(self.bucket, {**VERSIONED, "LifecycleConfiguration": rules})
        self._services.s3.expire(time.time() + 3 * 86_400)
        self._services.s3.ensure_bucket(self.bucket, VERSIONED)

    def turn(self, key: str) -> None:
        """Tag what is there so that it gets the other profile, or take the tag away."""
        if current := self.current(key):
            place = {"Bucket": self.bucket, "Key": key, "VersionId": current.id}
            if current.id in self.fine:
                self.fine.remove(current.id)
                self._out["s3"].delete_object_tagging(**place)
            else:
                self.fine.add(current.id)
                self._out["s3"].put_object_tagging(**place, Tagging=TAG)

    def retry(self, key: str) -> None:
        """Ask for another attempt at what the head says, as the API does."""
        head = self.heads().get(asset_id_of(self.bucket, key))
        if head:
            self.bells.append(Doorbell({"key": key, "attempt": head.attempt}))

    def put_the_same_again(self, key: str) -> None:
        """Delete what is there and store its bytes once more."""
        if (current := self.current(key)) and current.content:
            self.delete(key)
            self.put(key, current.content)

    def current(self, key: str) -> Version | None:
        newest = self.versions[key][-1] if self.versions.get(key) else None
        return newest if newest and newest.content else None

    def _moved(self, key: str) -> None:
        self._gone.discard(key)
        self._moves[key] += 1
        current = self.current(key)
        self._current_since_look.setdefault(key, set()).add(current)

    # -- the functions --------------------------------------------------------------------------------------------

    def answer(self, *bells: Doorbell, plan: Mapping[int, Action] | None = None) -> Watch:
        """The ingest function gets the messages in one batch; those that it could not answer come again."""
        asked: dict[str, Bell] = {}
        for bell in bells:
            self._pass(bell.delay)
            self.bells.remove(bell)  # nobody else gets it meanwhile
            asked[bell.key] = (
                merge(read_bell(bell.body), asked[bell.key]) if bell.key in asked else read_bell(bell.body)
            )
        moves, again = dict(self._moves), set(asked)
        with self._invocation(plan, [asset_id_of(self.bucket, key) for key in asked]) as watch:
            errors = self.ingest.answer(list(asked.values()))
            again = {bell.key for bell in errors}
            for key in asked.keys() - again:
                if not self.current(key) and moves.get(key) == self._moves[key]:
                    self._gone.add(key)
            for bell, error in errors.items():
                self.story.append(f"{bell} comes again: {error!r}")
        self.bells += [bell for bell in bells if bell.key in again]
        return watch

    def finish(self, execution: Execution, plan: Mapping[int, Action] | None = None) -> Watch:
        """The job runs to its end, and the index function is told of it: one call of the state machine's."""
        job = self.bedrock.run(execution.name, json.loads(execution.input)["request"])
        has_failed = execution.tries >= TRIES
        cause = execution.cause if has_failed else job.failure
        ended = EndedJob(execution.work, None if cause else job.output_uri, cause)
        execution.is_busy = True
        execution.tries += 1
        try:
            with self._invocation(plan, [execution.work.asset_id]) as watch:
                ending = self.index.finish(ended)
                execution.status = "FAILED" if has_failed else "SUCCEEDED"
                self.story.append(f"{execution.name} ended: {ending}")
        except Exception as error:
            execution.cause = repr(error)
            self.story.append(f"{execution.name} is tried again: {error!r}")
        finally:
            execution.is_busy = False
        return watch

    def bells_of(self, key: str) -> list[Doorbell]:
        return [bell for bell in self.bells if bell.key == key]

    def running(self, key: str | None = None) -> list[Execution]:
        """Executions that have not ended and are not being worked on, the oldest first."""
        asset = asset_id_of(self.bucket, key) if key else ""
        executions = self.states.executions.values()
        return [one for one in executions if one.status == "RUNNING" and not one.is_busy and one.name.startswith(asset)]

    def called(self, operation: str) -> None:
        """A call to AWS took effect; here the process may die, or others may act."""
        self.calls[operation] += 1
        self._has_sent |= operation == "SendMessage"
        if self._watches:
            watch = self._watches[-1]
            watch.count += 1
            if action := watch.plan.get(watch.count):
                self.story.append(f"  at call {watch.count}, {operation}:")
                action()

    @contextmanager
    def counted(self) -> Iterator[Counter[str]]:
        """The calls of the functions in a block, by operation."""
        before, counted = self.calls.copy(), Counter[str]()
        yield counted
        counted.update(self.calls - before)

    @contextmanager
    def _invocation(self, plan: Mapping[int, Action] | None, assets: Sequence[str]) -> Iterator[Watch]:
        """Calls are counted from 1; a crash ends it, and is no error of the test's."""
        watch = Watch(plan or {})
        self._watches.append(watch)
        try:
            yield watch
        except Crash:
            self.story.append("  died")
            watch.is_crashed = True
            self._died_at.update(assets)
        finally:
            self._watches.pop()
            self._receive()

    def _receive(self) -> None:
        """What the functions sent to the queue."""
        while self._has_sent:
            answer = self._out["sqs"].receive_message(
                QueueUrl=self._queue, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
            )
            self._has_sent = bool(answer.get("Messages"))
            for message in answer.get("Messages", []):
                self._out["sqs"].delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
                delay = int(message["MessageAttributes"]["delay"]["StringValue"])
                self.bells.append(Doorbell(json.loads(message["Body"]), delay))

    def _pass(self, seconds: int) -> None:
        """Time goes by, but not while a function works, which has only so much of it."""
        if not self._watches:
            self._services.clock.ahead += seconds

    # -- quiet ----------------------------------------------------------------------------------------------------

    def settle(self, at_once: bool = True) -> None:
        """Answer every doorbell, many in a batch or each for itself, and end every job, until there is none."""
        for _ in range(ROUNDS):
            if not self.bells and not self.running():
                return
            for batch in batched(list(self.bells), 10 if at_once else 1):
                self.answer(*batch)
            for execution in self.running():
                self.finish(execution)
        raise AssertionError(f"never quiet: {self.bells}, {self.running()}, {self.items()}")

    def settle_key(self, key: str) -> None:
        """Answer the doorbells of one key and end its jobs, those apart that somebody works on."""
        for _ in range(ROUNDS):
            bells, running = self.bells_of(key), self.running(key)
            if not bells and not running:
                return
            for bell in bells:
                self.answer(bell)
            for execution in running:
                self.finish(execution)
            waiting = self.bells_of(key)
            if waiting and all("waited" in bell.body for bell in waiting) and not self.running(key) and self._watches:
                return  # for somebody who is at work, while time does not go by
        raise AssertionError(f"{key} is never quiet: {self.bells}, {self.running()}, {self.items()}")

    def answer_all(self, key: str) -> None:
        for bell in self.bells_of(key):
            self.answer(bell)

    def finish_all(self, key: str) -> None:
        for execution in self.running(key):
            self.finish(execution)

    def ring_again(self, event: Mapping[str, Any]) -> None:
        """The event comes once more, under another id."""
        self.bells.append(Doorbell({**event, "id": str(uuid.uuid4())}))

    # -- what there is ----------------------------------------------------------------------------------------------

    def vectors(self, profile: str | None = None) -> dict[str, str | None]:
        """The passage of every vector, by its key; of all profiles or of one, which is named by its index."""
        pages = self._out["s3vectors"].get_paginator("list_vectors")
        arns = [self._indexes[profile]] if profile else self._indexes.values()
        found = (page for arn in arns for page in pages.paginate(indexArn=arn, returnMetadata=True))
        return {vector["key"]: vector["metadata"].get("_text") for page in found for vector in page["vectors"]}

    def put_vector(self, key: str) -> None:
        """Into the index of the default profile."""
        data = {"float32": [1.0] * PROFILES.default.dimension}
        vectors = [{"key": key, "data": data, "metadata": {"_text": "put by hand"}}]
        self._out["s3vectors"].put_vectors(indexArn=self._indexes[PROFILES.default.name], vectors=vectors)

    def derived(self) -> dict[str, set[str]]:
        """The generations that have files under `derived/`, by asset."""
        pages = self._out["s3"].get_paginator("list_objects_v2").paginate(Bucket=self._outputs, Prefix="derived/")
        found: dict[str, set[str]] = {}
        for _, asset_id, generation, _ in (one["Key"].split("/") for page in pages for one in page.get("Contents", [])):
            found.setdefault(asset_id, set()).add(generation)
        return found

    def listed(self) -> list[str]:
        """What `GET /assets` answers."""
        return [asset.key for asset in self._listing.page(Caller(), None, None, "", None).assets]

    def items(self) -> list[dict[str, Any]]:
        pages = self._out["dynamodb"].get_paginator("scan").paginate(TableName=self._table)
        return [item for page in pages for item in page["Items"]]

    def heads(self, items: Sequence[Mapping[str, Any]] | None = None) -> dict[str, Head]:
        """By asset."""
        found = self.items() if items is None else items
        return {str(item["asset_id"]): read_head(item) for item in found if item["record"] == "head"}

    # -- the law ----------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """What must hold at any moment: a search shows nothing that is deleted, and nothing that never was current."""
        items = self.items()
        heads = self.heads(items)
        self._look_at_records(items, heads)
        for key in self.versions:
            head = heads.get(asset_id_of(self.bucket, key))
            live = head.live_generation if head else None
            if key in self._gone:
                assert live is None, f"{key} is deleted, and that was answered, but {live} is live"
            if live != self._live.get(key):
                allowed = self._current_since_look[key]
                version = self.had[key].get(live) if live else None
                assert not live or version in allowed, f"{version} became live for {key}, current was {allowed}"
            self._live[key] = live
            self._current_since_look[key] = {self.current(key)}
        by_asset = {asset_id_of(self.bucket, key): key for key in self.versions}
        for vector, passage in self.vectors().items():
            asset_id, generation, _, number = vector.split("/")
            if heads[asset_id].live_generation == generation:
                content = self.had[by_asset[asset_id]][generation].content
                assert content and content.passages.get(int(number)) == passage, f"{vector} shows {passage!r}"

    def _look_at_records(self, items: Sequence[Mapping[str, Any]], heads: Mapping[str, Head]) -> None:
        """Whoever dies whenever: what is over is listed as such, or nobody would ever find it."""
        for asset_id, head in heads.items():
            records = [item for item in items if item["asset_id"] == asset_id and item["record"].startswith("gen#")]
            there = {item["record"].removeprefix("gen#"): item.get("listed") for item in records}
            for generation in head.generations:
                assert there.pop(generation, "nothing") is None, f"{generation} of {head.key} is not over: {records}"
            assert set(there.values()) <= {"retired"}, f"{there} of {head.key} is over"

    def check(self) -> None:
        """What must hold once everything is quiet."""
        assert not self.bells and not self.running()
        self.look()
        items = self.items()
        vectors = {name: self.vectors(name) for name in self._indexes}
        heads = self.heads(items)
        derived = self.derived()
        assert self.listed() == sorted(key for key in self.versions if self.current(key))
        wrong = []
        for key in self.versions:
            asset_id, current = asset_id_of(self.bucket, key), self.current(key)
            content, head = current.content if current else None, heads.get(asset_id)
            live = head.live_generation or "" if head else ""
            records = {
                item["record"].removeprefix("gen#"): item["state"]
                for item in items
                if item["asset_id"] == asset_id and item["record"].startswith("gen#")
            }
            profile = PROFILES.named["fine" if current and current.id in self.fine else "default"].name
            wrong += [
                f"{key}, {content} as {live}: {problem}"
                for problem in (
                    *self._head_problems(key, head, current),
                    *(
                        f"{problem} in {name}"
                        for name, there in vectors.items()
                        for problem in _vector_problems(there, asset_id, live, content if name == profile else None)
                    ),
                    *self._record_problems(records, asset_id, live, content),
                    *_derived_problems(derived.get(asset_id, set()), records, live, content),
                )
            ]
        assert not wrong, "\n".join(wrong)

    def _head_problems(self, key: str, head: Head | None, current: Version | None) -> Iterator[str]:
        content = current.content if current else None
        if head is None:
            if self.had.get(key):
                yield "no head"
            return
        if content is None:
            true: Any = ("deleted", None, None, 0, 0)
        else:
            live = head.wanted if content.passages else None
            true = (content.status, head.wanted, live, len(content.passages), len(content.failed))
            if self.had[key].get(head.wanted or "") != current:
                yield f"{head.wanted} is wanted, which is not of {current}"
        told = (head.status, head.wanted, head.live_generation, head.segment_count, head.failed_segments)
        if told != true:
            yield f"the head says {told}, true is {true}"
        elif content and head.told:
            failures = [one.number for one in Catalog(self._out["dynamodb"], self._table).failures(head.told)]
            if failures != list(content.failed):
                yield f"{failures} are recorded as failures, true is {content.failed}"

    def _record_problems(
        self, records: Mapping[str, str], asset_id: str, generation: str, content: Content | None
    ) -> Iterator[str]:
        """A writer that died may leave the record of what was retired; else only what is live has one."""
        is_live = bool(content and content.passages)
        if is_live and records.get(generation) != "live":
            yield f"its record must be live: {records}"
        left = {one: state for one, state in records.items() if not (is_live and one == generation)}
        if set(left.values()) - ({"retired"} if asset_id in self._died_at else set()):
            yield f"records are left: {left}"


def _derived_problems(
    there: set[str], records: Mapping[str, str], generation: str, content: Content | None
) -> Iterator[str]:
    """Files of what is live, or of what a record still tells of."""
    if content and content.embedding_type == "IMAGE" and generation not in there:
        yield "it has no thumbnail"
    if odd := there - {generation} - records.keys():
        yield f"derived files are left: {odd}"


def _vector_problems(
    vectors: Mapping[str, str | None], asset_id: str, generation: str, content: Content | None
) -> Iterator[str]:
    there = {name: passage for name, passage in vectors.items() if name.startswith(f"{asset_id}/")}
    passages = content.passages if content else {}
    embedding_type = content.embedding_type if content else ""
    true = {vector_key(asset_id, generation, embedding_type, number): passage for number, passage in passages.items()}
    if missing := true.keys() - there.keys():
        yield f"vectors are missing: {sorted(missing)}"
    if odd := there.keys() - true.keys():
        yield f"vectors are left: {sorted(odd)}"
    if changed := {name for name in true.keys() & there.keys() if true[name] != there[name]}:
        yield f"vectors show another text: {[(name, there[name]) for name in sorted(changed)]}"


def batched(bells: Sequence[Doorbell], size: int) -> Iterator[Sequence[Doorbell]]:
    for start in range(0, len(bells), size):
        yield bells[start : start + size]

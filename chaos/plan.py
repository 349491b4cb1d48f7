"""What is done to the bucket, and what goes wrong meanwhile: both follow from the seed alone, not from the time."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from chaos.files import KINDS, File, any_file, file_of, name_of

SIDECAR = ".metadata.json"
CHANGES_A_FILE = 0.6
COPIED = 0.05  # of the keys come about by a copy, half of them by a rename

Verb = Literal["put", "delete", "restore", "copy", "tag", "write_sidecar", "delete_sidecar"]
Rule = dict[str, Any]

# Everything that the functions, their state machine and Bedrock on their behalf ask of AWS while they ingest.
OPERATIONS = {
    "s3": ["HeadObject", "GetObject", "GetObjectTagging", "PutObject", "DeleteObject", "ListObjectsV2"],
    "dynamodb": ["GetItem", "Query", "PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"],
    "sqs": ["SendMessage", "ChangeMessageVisibility"],
    "s3vectors": ["PutVectors", "GetVectors", "DeleteVectors"],
    "bedrock-runtime": ["InvokeModel", "StartAsyncInvoke", "GetAsyncInvoke"],
    "stepfunctions": ["StartExecution", "DescribeExecution", "SendTaskSuccess"],
    "lambda": ["Invoke"],
}
FUNCTIONS = "Ingest", "IndexJob", "Prepare", "Pages", "Jobs"
LATEST = 60.0  # seconds of the laptop's clock that a message is held back


@dataclass(frozen=True)
class Action:
    """One call of a user. `content` is an object's or a sidecar's; `source` the key that is copied from."""

    verb: Verb
    key: str
    content: bytes = b""
    said: dict[str, str] = field(default_factory=dict)  # x-amz-meta-*, or tags
    source: str = ""


@dataclass(frozen=True)
class Plan:
    """In the order in which it is done: an action, or more rules, after that many seconds."""

    steps: list[tuple[float, Action | list[Rule]]]

    @property
    def actions(self) -> list[Action]:
        return [step for _, step in self.steps if isinstance(step, Action)]


def plan_of(seed: int, files: int, stack: str) -> Plan:
    """The same for the same seed. `files` is the count of distinct keys; `stack` begins the names of its callers."""
    chance = random.Random(seed)
    actions = list(_Bucket(chance, files).actions())
    steps: list[tuple[float, Action | list[Rule]]] = [(0.0, list(standing_rules(chance, stack)))]
    for action in actions:
        if chance.random() < 0.08:
            steps.append((0.0, [outage(chance, stack)]))
        steps.append((chance.expovariate(1 / 0.06), action))
    return Plan(steps)


# -- the bucket -----------------------------------------------------------------------------------------------------


class _Bucket:
    """What lies in the bucket as the actions go on."""

    def __init__(self, chance: random.Random, files: int) -> None:
        self._chance = chance
        self._files = files
        self._there: dict[str, File] = {}
        self._gone: dict[str, File] = {}
        self._sidecars: set[str] = set()

    def actions(self) -> Iterator[Action]:
        chance = self._chance
        for number in range(self._files):
            yield from self._copy(number) if self._there and chance.random() < COPIED else self._create(number)
            if chance.random() < CHANGES_A_FILE:
                yield from self._change()

    def _create(self, number: int) -> Iterator[Action]:
        file = any_file(self._chance)
        key = name_of(number, file, self._chance)
        if self._chance.random() < 0.1:
            yield self._sidecar(key)  # before its file
        yield self._put(key, file)

    def _copy(self, number: int) -> Iterator[Action]:
        source = self._chance.choice(sorted(self._there))
        key = name_of(number, self._there[source], self._chance)
        self._there[key] = self._there[source]
        yield Action("copy", key, source=source)
        if self._chance.random() < 0.5:
            yield self._delete(source)

    def _change(self) -> Iterator[Action]:
        chance = self._chance
        what = chance.choices(["overwrite", "delete", "recreate", "restore", "tag", "sidecar"], [6, 6, 2, 2, 4, 5])[0]
        key = chance.choice(sorted(self._there))
        match what:
            case "overwrite":
                yield self._overwrite(key)
            case "delete" if len(self._there) > 1:
                yield self._delete(key)
            case "recreate" if len(self._there) > 1:
                yield self._delete(key)
                yield self._overwrite(key)
            case "restore" if self._gone:
                key = chance.choice(sorted(self._gone))
                self._there[key] = self._gone.pop(key)
                yield Action("restore", key)
            case "tag":
                yield Action("tag", key, said=self._tags())
            case "sidecar" if key in self._sidecars and chance.random() < 0.4:
                self._sidecars.remove(key)
                yield Action("delete_sidecar", key)
            case "sidecar":
                yield self._sidecar(key)

    def _put(self, key: str, file: File) -> Action:
        said: dict[str, str] = {"expected": file.end}
        if self._chance.random() < 0.3:
            said["speaker"] = self._chance.choice(["Ann", "Bob", "Eve"])
        self._there[key] = file
        self._gone.pop(key, None)
        return Action("put", key, file.content, said)

    def _overwrite(self, key: str) -> Action:
        """With anything that goes by this ending."""
        kinds = [kind for kind in KINDS if key.endswith(kind.extension)]
        return self._put(key, file_of(self._chance.choice(kinds), self._chance))

    def _delete(self, key: str) -> Action:
        self._gone[key] = self._there.pop(key)
        return Action("delete", key)

    def _tags(self) -> dict[str, str]:
        names = self._chance.sample(["place", "season", "speaker"], self._chance.randint(0, 2))
        return {name: self._chance.choice(["north", "south", "winter", "Zoë"]) for name in names}

    def _sidecar(self, key: str) -> Action:
        chance = self._chance
        values: dict[str, Any] = {
            "year": chance.randint(1990, 2026),
            "topics": ["bees", chance.choice(["ice", "fire"])],
        }
        if chance.random() < 0.5:
            values |= {"recorded": f"2024-0{chance.randint(1, 9)}-01", "public": chance.random() < 0.5}
        self._sidecars.add(key)
        return Action("write_sidecar", key, json.dumps({"metadataAttributes": values}).encode())


# -- the weather ----------------------------------------------------------------------------------------------------


def standing_rules(chance: random.Random, stack: str) -> Iterator[Rule]:
    """Every operation throttles, fails, times out (done or not) and is late now and then; every function crashes."""
    for service, operations in OPERATIONS.items():
        for operation in operations:
            where = {"service": service, "operation": operation, "caller": f"{stack}-*"}
            yield {"fault": "throttle", **where, **_at(chance, 0.08)}
            yield {"fault": "fail", **where, **_at(chance, 0.05)}
            yield {"fault": "timeout", **where, **_at(chance, 0.02), "seconds": 20.0, "done": chance.random() < 0.5}
            yield {"fault": "late", **where, **_at(chance, 0.06), "seconds": chance.uniform(1, 20)}
    for function in FUNCTIONS:
        for _ in range(3):
            crash = {"fault": "crash", "function": f"{stack}-Ingestion{function}*", **_at(chance, 0.1)}
            yield {**crash, "after_calls": chance.randint(1, 30)}
    for channel in ("events", "sqs"):
        yield {"fault": "duplicate", "service": channel, **_at(chance, 0.3), "seconds": chance.uniform(0, LATEST)}
        yield {"fault": "reorder", "service": channel, **_at(chance, 0.3), "seconds": chance.uniform(1, LATEST)}
    yield {"fault": "fail_job", **_at(chance, 0.2)}
    yield {"fault": "fail_segment", **_at(chance, 0.05)}


def outage(chance: random.Random, stack: str) -> Rule:
    """An operation does not work at all for some calls."""
    service = chance.choice(sorted(OPERATIONS))
    where = {"service": service, "operation": chance.choice(OPERATIONS[service]), "caller": f"{stack}-*"}
    return {"fault": chance.choice(["throttle", "fail"]), **where, "next": chance.randint(3, 20)}


def _at(chance: random.Random, most: float) -> Rule:
    return {"rate": chance.uniform(most / 10, most), "seed": chance.getrandbits(32)}

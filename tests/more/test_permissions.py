"""Without any one statement of any one role the system does not work, and says which right is missing."""

import html
import json
import logging
import re
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from infra import layers
from local.bedrock.service import BedrockSettings
from local.iam.roles import Holder
from local.iam.statements import Statement
from local.laptop import Laptop, Settings
from local.stack.template import TemplateError
from samples import roads
from samples.permissions import PLATFORM

DENIAL = re.compile(
    r".{0,200}assumed-role/(?P<role>[^/]+)/\S+ is not authorized to perform: (?P<action>\S+)"
    r" on resource: [\\\"]*(?P<resource>[^\\\"]+?)[\\\"]* because no identity-based policy allows.{0,200}",
    re.DOTALL,
)
LAPTOP_LOG = "the laptop's log"
LOG_ALONE_SECONDS = 20.0  # longer than any road takes that gets through
SECONDS = 150.0  # a follower of a job may wait for a minute


def laptop_of(assembly: Path, data: Path) -> Laptop:
    bedrock = BedrockSettings(job_seconds=roads.JOB_SECONDS, max_concurrent_jobs=roads.MAX_JOBS)
    return Laptop(Settings(assembly, data, layers.BUILT / "host", aws_port=0, port=0, bedrock=bedrock))


def only_the_platforms(statement: Statement) -> bool:
    return all(any(fnmatchcase(action, one.action) for one in PLATFORM) for action in statement.actions)


class Heard(logging.Handler):
    """What the laptop logs."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@dataclass
class Watch:
    """Looks where a user would for the refusal of a right that a statement gave."""

    data: Path
    heard: Heard
    role: str
    statement: Statement
    outputs: dict[str, str]
    found: dict[str, str] = field(default_factory=dict)
    _first: float = float("inf")
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Watch":
        self._heard_before = len(self.heard.lines)
        self._sizes = {path: path.stat().st_size for path in self._logs()}
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.look()

    def trouble(self) -> str | None:
        """A refusal. What the laptop's log alone names may have harmed nobody: that takes longer to tell."""
        told = next((text for place, text in self.found.items() if place != LAPTOP_LOG), None)
        if told is None and LAPTOP_LOG in self.found and time.monotonic() > self._first + LOG_ALONE_SECONDS:
            return self.found[LAPTOP_LOG]
        return told

    def look(self) -> None:
        for place, text in self._places():
            self.consider(place, text)
        if LAPTOP_LOG in self.found and "HeadObject" in (text := dict(self._places())["a function's log"]):
            self._note_head(text)

    def consider(self, place: str, text: str) -> None:
        for denial in DENIAL.finditer(html.unescape(text)):
            if self._is_meant(denial):
                self._first = min(self._first, time.monotonic())
                self.found.setdefault(place, " ".join(denial[0].split())[:400])

    def _note_head(self, text: str) -> None:
        """An answer to HEAD has no body: the function hears of a 403 only, and the laptop's log says the rest."""
        if refused := re.search(r"An error occurred \(403\) when calling the HeadObject operation: \w+", text):
            self.found.setdefault("a function's log (HEAD)", refused[0])

    def _is_meant(self, denial: re.Match[str]) -> bool:
        actions = {action.lower() for action in self.statement.actions}
        return (
            "AccessDenied" in denial[0]  # before it or, in an execution, behind
            and denial["role"] == self.role.rpartition("/")[2]
            and denial["action"].lower() in actions
            and self.statement.resource(denial["resource"], {}) is not None
        )

    def _logs(self) -> list[Path]:
        return list((self.data / "aws" / "logs").glob("*.log"))

    def _places(self) -> Iterator[tuple[str, str]]:
        news = []
        for path in self._logs():
            with path.open("rb") as file:
                file.seek(self._sizes.get(path, 0))
                news.append(file.read().decode(errors="replace"))
        yield "a function's log", "\n".join(news)
        yield "an execution", "\n".join(self._executions())
        # with the code that the service's error has: the log names it first
        yield LAPTOP_LOG, "\n".join(self.heard.lines[self._heard_before :])

    def _executions(self) -> Iterator[str]:
        client = roads.Walker(self.outputs, "").client("stepfunctions")
        for machine in client.list_state_machines()["stateMachines"]:
            for one in client.list_executions(stateMachineArn=machine["stateMachineArn"], statusFilter="RUNNING")[
                "executions"
            ]:
                history = client.get_execution_history(executionArn=one["executionArn"], includeExecutionData=False)
                yield json.dumps(history["events"], default=str)

    def _run(self) -> None:
        while not self._stop.wait(0.5):
            self.look()


@pytest.fixture(scope="module")
def heard() -> Iterator[Heard]:
    handler = Heard()
    logger = logging.getLogger("local")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.mark.timeout(1500)
def test_each_statement_is_needed_and_missed_by_its_name(our_assembly: Path, tmp_path: Path, heard: Heard) -> None:
    """Statements are taken from the roles of a running laptop, one after the other; handlers and events are real.

    Without a statement the roads that used it are walked, the quickest first, until one does not get through.
    """
    laptop = laptop_of(our_assembly, tmp_path)
    survived, killed = [], 0
    try:
        outputs = laptop.start()
        used_by = roads_by_statement(laptop, outputs)
        for role, holder, source, statement in list(statements(laptop)):
            if only_the_platforms(statement) or at_start_only(role):
                continue
            assert statement.id in used_by, f"no road uses {statement.text}"
            began, wrong = time.monotonic(), "nothing"
            with without(holder, source, statement), Watch(tmp_path, heard, role, statement, outputs) as watch:
                try:
                    for road in used_by[statement.id]:
                        walker = roads.Walker(outputs, f"{statement.id}/{road.__name__}/", watch.trouble, SECONDS)
                        road(walker)
                except roads.FAILURES as error:
                    wrong = str(error)
                    if "answered" in wrong:
                        watch.consider("an HTTP answer", wrong)
            tidy_up(outputs)
            missed = wrong != "nothing" and bool(watch.found)
            killed += missed
            row = f"{role.rpartition('/')[2].split('-')[1]} {','.join(statement.actions)} ({road.__name__}): {wrong}"
            print(f"{time.monotonic() - began:5.1f} s {row[:300]} seen in {sorted(watch.found)}", flush=True)
            if not missed:
                survived.append(row)
    finally:
        laptop.stop()
    assert survived == []
    print(f"{killed} statements removed, {killed} missed", flush=True)
    assert killed >= 20


def roads_by_statement(laptop: Laptop, outputs: dict[str, str]) -> dict[str, list[roads.Road]]:
    """The roads that use each statement, the quickest first; what the long sound uses, others use too.

    What one has left behind may be done while the next is walked, so a road can seem to use what it does not.
    """
    found: dict[str, list[tuple[float, roads.Road]]] = {}
    for road in {*roads.AT_ONCE, *roads.ALONE} - {roads.sound}:
        before, began = laptop.permissions.used(), time.monotonic()
        road(roads.Walker(outputs, f"{road.__name__}/"))
        took = time.monotonic() - began
        print(f"{took:5.1f} s {road.__name__}", flush=True)
        used = laptop.permissions.used().items()
        for statement in {use.statement for use, count in used if count > before.get(use, 0)}:
            found.setdefault(statement, []).append((took, road))
    quickest = {statement: sorted(some, key=lambda one: one[0]) for statement, some in found.items()}
    return {statement: [road for _, road in some] for statement, some in quickest.items()}


def tidy_up(outputs: dict[str, str]) -> None:
    """What failed would be tried again and again."""
    client = roads.Walker(outputs, "").client("stepfunctions")
    for machine in client.list_state_machines()["stateMachines"]:
        arn = machine["stateMachineArn"]
        for one in client.list_executions(stateMachineArn=arn, statusFilter="RUNNING")["executions"]:
            client.stop_execution(executionArn=one["executionArn"])


def statements(laptop: Laptop) -> Iterator[tuple[str, Holder, str, Statement]]:
    for role, holder in laptop.permissions.roles.all().items():
        for source, some in holder.sources.items():
            for statement in some:
                yield role, holder, source, statement


def at_start_only(role: str) -> bool:
    """The custom resource's: its function is called when the stack is made, and then no more."""
    return "TextSearch" in role


class without:
    """The role lacks the statement inside the block."""

    def __init__(self, holder: Holder, source: str, statement: Statement) -> None:
        self._holder, self._source, self._statement = holder, source, statement

    def __enter__(self) -> None:
        self._before = self._holder.sources[self._source]
        self._holder.put(self._source, [one for one in self._before if one is not self._statement])

    def __exit__(self, *_: object) -> None:
        self._holder.put(self._source, self._before)


def mutated(assembly: Path, folder: Path, role: str, action: str) -> Path:
    """The assembly, but the role's statement with this action is gone."""
    shutil.copytree(assembly, folder, symlinks=True)
    (path,) = folder.glob("*.template.json")
    template: dict[str, Any] = json.loads(path.read_text())
    removed = 0
    for logical_id, resource in template["Resources"].items():
        if resource["Type"] == "AWS::IAM::Policy" and role in logical_id:
            document = resource["Properties"]["PolicyDocument"]
            kept = [one for one in document["Statement"] if action not in one["Action"]]
            removed += len(document["Statement"]) - len(kept)
            document["Statement"] = kept
    assert removed  # of a queue, there is one for each
    path.write_text(json.dumps(template))
    return folder


@pytest.mark.parametrize(
    ("role", "action", "error"),
    [
        (
            "TextSearch",
            "s3vectors:GetIndex",
            r"AccessDeniedException.* is not authorized to perform: s3vectors:GetIndex on resource: "
            r"arn:aws:s3vectors:\S+/index/\S+ because no identity-based policy allows",
        ),
        (
            "IngestionIngest",
            "sqs:ReceiveMessage",
            "The function execution role does not have permissions to call ReceiveMessage on SQS",
        ),
    ],
)
def test_what_is_needed_to_make_the_stack_is_missed_when_it_is_made(
    our_assembly: Path, tmp_path: Path, role: str, action: str, error: str
) -> None:
    laptop = laptop_of(mutated(our_assembly, tmp_path / "assembly", role, action), tmp_path / "data")
    try:
        with pytest.raises(TemplateError, match=error):
            laptop.start()
    finally:
        laptop.stop()

"""Every service of the laptop on one port, without a template, for tests of what concerns them all."""

import hashlib
import json
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.auth import Keyring
from local.bedrock.service import Bedrock, BedrockSettings
from local.clients import Clients
from local.dynamodb import DynamoDb
from local.events import EventBus
from local.faults import Control, Faults
from local.front import Front
from local.functions import EventSourceMapping, Functions, FunctionSpec, LambdaService, Poller
from local.http import HttpServer
from local.others import answer_other
from local.s3 import S3
from local.s3vectors import S3Vectors
from local.sqs import Sqs
from local.state import State
from local.stepfunctions import StepFunctions
from local.wire import Service

ROLE = "arn:aws:iam::000000000000:role/worker"


@dataclass
class SmallLaptop:
    """`client(service)` retries nothing. `close` ends everything."""

    folder: Path
    settings: BedrockSettings = field(
        default_factory=lambda: BedrockSettings(job_seconds=0.0, model="tests.local.tiny_model", batch_min_records=3)
    )

    def __post_init__(self) -> None:
        state = self.state = State(self.folder / "state")
        keyring, faults = Keyring(state.folder), Faults()
        services: dict[str, Service] = {}
        self.server = HttpServer(Front(services, keyring, answer_other, faults), 0)
        self.url = self.server.url
        self.clients = Clients(self.url, keyring)
        self.functions = Functions(state, keyring, lambda: self.url, self.folder / "layers", faults=faults)
        self.sqs = Sqs(state, self.url, faults=faults)
        targets: dict[str, Callable[[str, str], None]] = {
            "sqs": self.sqs.send,
            "lambda": lambda arn, event: str(self.functions.invoke_async(arn, event.encode())) and None,
        }
        self.events = EventBus(state, targets, send=self.sqs.send, faults=faults)
        self.stepfunctions = StepFunctions(state, self.clients, self.events.put, "us-east-1")
        self.s3vectors = S3Vectors(state)
        services |= {
            "s3": S3(state, keyring, self.events.put),
            "sqs": self.sqs,
            "dynamodb": DynamoDb(state),
            "events": self.events,
            "states": self.stepfunctions,
            "s3vectors": self.s3vectors,
            "lambda": LambdaService(self.functions),
            "_local": Control(faults, {}),
        }
        self.server.start()
        self.bedrock = services["bedrock"] = Bedrock(state, self.clients, self.events.put, self.settings, faults=faults)
        self.events.start()
        self._faults = faults
        self._pollers: list[Poller] = []

    def client(self, service: str) -> Any:
        return self.clients.get(service, None)

    def function(self, name: str, code: str, **changes: Any) -> None:
        """A function whose asset holds that code as `app.py`."""
        text = textwrap.dedent(code)
        asset = self.folder / f"asset.{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        asset.mkdir(exist_ok=True)
        (asset / "app.py").write_text(text)
        made: dict[str, Any] = {
            "handler": "app.handler",
            "layers": (),
            "environment": {},
            "role_arn": ROLE,
            "timeout": 60,
            "memory_mb": 256,
            "tmp_mb": 512,
            "concurrency": None,
            "runtime": "python3.14",
            "architecture": "arm64",
        }
        self.functions.ensure_function(FunctionSpec(name=name, code=asset, **{**made, **changes}))

    def call(self, function: str, event: Any = None) -> Any:
        """What the function returns, or its error."""
        result = self.functions.invoke(function, json.dumps(event).encode())
        return json.loads(result.payload)

    def poll(self, queue: str, function: str, **changes: Any) -> None:
        """Let the function work on the queue."""
        arn = f"arn:aws:sqs:us-east-1:000000000000:{queue}"
        made = {"batch_size": 1, "window_seconds": 0, "max_concurrency": None, "report_batch_item_failures": False}
        poller = Poller(EventSourceMapping(arn, function, **{**made, **changes}), self.sqs, self.functions)
        poller.start()
        self._pollers.append(poller)

    def local(self, method: str, path: str, body: Any = None) -> Any:
        """One of the laptop's own routes; the message of its error where it refuses."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_local/{path}", data, method=method)
        try:
            with urllib.request.urlopen(request) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return json.load(error)["error"]["message"]

    def fault(self, kind: str, **rule: Any) -> str:
        """Add a rule; its id."""
        added = self.local("POST", "faults", {"fault": kind, **rule})
        assert isinstance(added, dict), added
        return str(added["rules"][0]["id"])

    def forget(self) -> None:
        self.local("DELETE", "faults")
        self.local("DELETE", "calls")

    def close(self) -> None:
        self._faults.stop()
        for poller in self._pollers:
            poller.stop()
        self.bedrock.stop()
        self.stepfunctions.stop()
        self.events.stop()
        self.sqs.stop()
        self.functions.stop()
        for poller in self._pollers:
            poller.join(2)
        self.s3vectors.stop()
        self.server.stop()
        self.state.close()


def eventually(look: Callable[[], Any], seconds: float = 30) -> Any:
    """What `look` sees, once it is not nothing."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return seen

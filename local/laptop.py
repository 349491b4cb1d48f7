"""The AWS on the laptop: its services wired to each other, two ports, one folder."""

import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local import clock
from local.auth import Keyring
from local.bedrock.service import Bedrock, BedrockSettings
from local.clients import Clients
from local.dynamodb import DynamoDb
from local.events import EventBus
from local.front import Front
from local.functions import Functions, LambdaService, Poller
from local.gateway import Gateway
from local.http import HttpServer
from local.others import moto_service
from local.s3 import S3
from local.s3vectors import S3Vectors
from local.sqs import Sqs
from local.stack.custom import CustomResources
from local.stack.loader import load
from local.stack.resources import Services
from local.stack.template import Assembly
from local.state import State
from local.stepfunctions import StepFunctions
from local.wire import Service

HOUSEKEEPING_SECONDS = 60


@dataclass(frozen=True)
class Settings:
    """`data` holds all state; `layers` the host copies of layers, shared by every laptop of this checkout."""

    assembly: Path
    data: Path
    layers: Path
    stack: str | None = None
    aws_port: int = 4566
    port: int = 8080
    web: Path | None = None
    bedrock: BedrockSettings = BedrockSettings()


class Laptop:
    """Both ports are taken when it is made; `start` makes the stack and serves it; `stop` ends every process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._assembly = Assembly(settings.assembly, settings.stack)
        self._late: list[Callable[[], None]] = []
        self._stopped = threading.Event()
        self.front = LateApplication()
        self.door = LateApplication()
        self.aws = HttpServer(self.front, settings.aws_port)
        self.app = HttpServer(self.door, settings.port)

    def start(self) -> dict[str, Any]:
        """Make the stack; its outputs, which are also in `outputs.json` once both ports answer."""
        settings, region = self._settings, self._assembly.region
        self._state = state = State(settings.data / "aws")
        keyring = Keyring(state.folder)
        clients = Clients(self.aws.url, keyring, region)
        functions = Functions(state, keyring, lambda: self.aws.url, settings.layers, region)
        sqs = Sqs(state, self.aws.url, region)
        events = EventBus(
            state,
            {
                "sqs": sqs.send,
                "lambda": lambda arn, event: _ignore(functions.invoke_async(arn, event.encode())),
                "states": lambda arn, event: _ignore(
                    clients.get("stepfunctions", None).start_execution(stateMachineArn=arn, input=event)
                ),
            },
        )
        stepfunctions = StepFunctions(state, clients, events.put, region)
        s3 = S3(state, keyring, events.put)
        dynamodb = DynamoDb(state, region)
        s3vectors = S3Vectors(state, region)
        gateway = Gateway(functions, keyring, region, settings.web)
        custom = CustomResources(state, functions, self.aws.url)
        doors: dict[str, Service] = {
            "s3": s3,
            "sqs": sqs,
            "events": events,
            "dynamodb": dynamodb,
            "states": stepfunctions,
            "s3vectors": s3vectors,
            "_local": custom,
        }
        self.front.application = Front(doors, keyring, moto_service)
        self.aws.start()
        bedrock = doors["bedrock"] = Bedrock(state, clients, settings.bedrock, region)  # its open jobs need S3 at once
        self._late = [bedrock.stop, stepfunctions.stop, events.stop, functions.stop]
        services = Services(s3, sqs, dynamodb, events, stepfunctions, s3vectors, functions, gateway, self.app.url, state.folder)
        workshop, outputs = load(self._assembly, services, custom)
        doors["lambda"] = LambdaService(functions, workshop.mappings)
        self.door.application = gateway
        self.app.start()
        pollers = [Poller(mapping, sqs, functions) for mapping in workshop.mappings]
        self._late = [poller.stop for poller in pollers] + self._late
        for start in (stepfunctions.resume, events.start, *(poller.start for poller in pollers)):
            start()
        threading.Thread(target=self._keep_house, args=(s3, dynamodb), daemon=True, name="housekeeping").start()
        outputs["AwsEndpointUrl"] = self.aws.url
        self._write_outputs(outputs)
        return outputs

    def stop(self) -> None:
        """End the pollers first, then what they call, then the ports."""
        self._stopped.set()
        for stop in self._late:
            stop()
        self.app.stop()
        self.aws.stop()
        self._state.close()

    def _keep_house(self, s3: S3, dynamodb: DynamoDb) -> None:
        """What AWS does now and then by itself: lifecycle rules and time to live."""
        while not clock.wait(HOUSEKEEPING_SECONDS, self._stopped):
            s3.expire(clock.now())
            dynamodb.expire(clock.now())

    def _write_outputs(self, outputs: dict[str, Any]) -> None:
        """As `cdk deploy --outputs-file` writes them; in one move, for somebody may wait for the file."""
        path = self._settings.data / "outputs.json"
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps({self._assembly.name: outputs}, indent=2) + "\n")
        os.replace(temporary, path)


class LateApplication:
    """A door that is built before the house: until it has its application it answers 503."""

    application: Any = None

    def __call__(self, environ: Any, start_response: Any) -> Any:
        if self.application is None:
            start_response("503 Service Unavailable", [("Content-Length", "0"), ("Retry-After", "1")])
            return [b""]
        return self.application(environ, start_response)


def _ignore(_: object) -> None:
    return None

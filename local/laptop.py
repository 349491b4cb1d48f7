"""The AWS on the laptop: its services wired to each other, two ports, one folder."""

import fcntl
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from local import clock
from local.auth import Keyring
from local.bedrock.service import Bedrock, BedrockSettings
from local.clients import Clients
from local.cloudformation import CloudFormation
from local.dynamodb import DynamoDb
from local.events import EventBus
from local.faults import Control, Faults
from local.front import Front
from local.functions import Functions, LambdaService
from local.gateway import Gateway
from local.http import HttpServer, PortBusyError
from local.iam import OnBehalf, Permissions
from local.issuer import PATH, Issuer
from local.others import answer_other
from local.s3 import S3
from local.s3vectors import S3Vectors
from local.sqs import Sqs
from local.stack import custom as custom_resources
from local.stack.assembly import DEFAULT_REGION, Assembly
from local.stack.assets import Assets
from local.stack.custom import CustomResources
from local.stack.pollers import Pollers
from local.stack.records import Records
from local.stack.stacks import Stacks
from local.stack.workshop import Services
from local.state import FormError, State
from local.stepfunctions import StepFunctions
from local.wire import ACCOUNT, Service

HOUSEKEEPING_SECONDS = 60


@dataclass(frozen=True)
class Settings:
    """`data` holds all state; `layers` the host copies of layers, shared by every laptop of this checkout.

    With `enforce` the HTTP APIs refuse who is not signed in, as on AWS; else that is the local user.
    Without an `assembly` no stack is made; `region` is then where the laptop says it is.
    """

    assembly: Path | None
    data: Path
    layers: Path
    stack: str | None = None
    aws_port: int = 4566
    port: int = 8080
    web: Path | None = None
    older_vector_buckets: tuple[str, ...] = ()
    time_scale: float = 1.0  # how many of the laptop's seconds pass in one of the host's
    bedrock: BedrockSettings = field(default_factory=BedrockSettings)
    enforce: bool = False
    region: str = DEFAULT_REGION


class DataError(Exception):
    """The folder cannot be used: another laptop works on it, another version wrote it, or it is none."""


@contextmanager
def only_one(data: Path) -> Iterator[None]:
    """Hold the folder, for two on one would write over each other. It is let go even when the process is killed."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        file = (data / "lock").open("w")
    except OSError as error:
        why = "it is a file" if data.is_file() else str(error.strerror).lower()
        raise DataError(f"{data} cannot hold what the laptop keeps: {why}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(f"{data} is in use by another run") from error
        yield


class Laptop:
    """Both ports answer from the moment it is made: 503, until `start` has read and made the stack.

    Stacks that were deployed to it earlier come back too.

    `stop` ends every process.
    """

    def __init__(self, settings: Settings) -> None:
        # Functions work in folders of their own: a relative path would lead them astray.
        self._settings = settings = replace(
            settings,
            assembly=settings.assembly and settings.assembly.resolve(),
            data=settings.data.resolve(),
            layers=settings.layers.resolve(),
        )
        self._running, self._held = ExitStack(), ExitStack()
        self._pollers: Pollers | None = None
        self._front, self._door = LateApplication(), LateApplication()
        self._stopped = threading.Event()
        self._ready = threading.Event()
        self._faults = Faults()
        self._servers: list[HttpServer] = []
        self._state: State | None = None
        self.permissions = Permissions()
        if settings.port and settings.port == settings.aws_port:
            self.stop()
            raise PortBusyError(f"both ports are {settings.port}: they must differ")
        self.aws = self._serve(self._front, settings.aws_port)
        self.app = self._serve(self._door, settings.port)
        try:
            self._held.enter_context(only_one(settings.data))
            self._held.enter_context(clock.running(settings.time_scale, settings.data / "clock"))
        except DataError:
            self.stop()
            raise

    def start(self) -> dict[str, Any]:
        """Make the stack; its outputs, which are in `outputs.json` from then on. TemplateError if it cannot be made."""
        assembly = Assembly(self._settings.assembly, self._settings.stack) if self._settings.assembly else None
        region = assembly.region if assembly else self._settings.region
        (self._settings.data / "outputs.json").unlink(missing_ok=True)
        try:
            state = self._state = State(self._settings.data / "aws")
        except FormError as error:
            raise DataError(f"{error}: delete the folder, or choose another") from error
        keyring = self.keyring = Keyring(state.folder)
        clients = Clients(self.aws.url, keyring, region)
        permissions = self.permissions = Permissions(region)
        services = self._make_services(state, keyring, clients, permissions, region)
        permissions.machine_of_token = services.stepfunctions.machine_of_token
        custom = CustomResources(services.functions, self.aws.url)
        stacks = Stacks(Records(state, region), services, custom, partial(self._write_authorizers, services))
        front = self._doors(services, custom)
        front["cloudformation"] = CloudFormation(state, stacks, clients, region)
        self._front.application = Front(front, keyring, answer_other, self._faults, permissions)
        bedrock = front["bedrock"] = Bedrock(
            state,
            clients,
            services.events.put,
            self._settings.bedrock,
            region,
            self._faults,
            self._ready,
            services.behalf.take,
        )
        self._running.callback(bedrock.stop)
        bedrock.warm()
        services.s3.ensure_bucket(f"cdk-hnb659fds-assets-{ACCOUNT}-{region}", {})
        stacks.restore(but=assembly.name if assembly else None)
        outputs: dict[str, Any] = dict(stacks.run(assembly)) if assembly else {}
        self._door.application = services.gateway
        self._set_going(services, stacks)
        outputs["AwsEndpointUrl"] = self.aws.url
        if assembly:
            self._write("outputs.json", {assembly.name: outputs})
        return outputs

    def stop(self) -> None:
        """End what starts work by itself, then what it calls, then the ports."""
        self._stopped.set()
        self._faults.stop()
        self._running.close()
        if self._pollers:
            self._pollers.join()
        for server in self._servers:
            server.stop()
        if self._state:
            self._state.close()
        self._held.close()

    def _serve(self, application: "LateApplication", port: int) -> HttpServer:
        try:
            server = HttpServer(application, port)
        except PortBusyError:
            self.stop()
            raise
        server.start()
        self._servers.append(server)
        return server

    def _make_services(
        self, state: State, keyring: Keyring, clients: Clients, permissions: Permissions, region: str
    ) -> Services:
        behalf, faults, layers = OnBehalf(permissions), self._faults, self._settings.layers
        functions = Functions(
            state, keyring, lambda: self.aws.url, layers, region, faults=faults, may_send=behalf.send_outcome
        )
        self._running.callback(functions.stop)
        sqs = Sqs(state, self.aws.url, region, self._faults, permissions.set_policy)
        self._running.callback(sqs.stop)
        targets = self._targets(sqs, functions, clients)
        events = EventBus(state, targets, region=region, send=sqs.send, faults=faults, allow=behalf.deliver)
        self._running.callback(events.stop)
        stepfunctions = StepFunctions(state, clients, events.put, region, behalf.take)
        self._running.callback(stepfunctions.stop)
        older = self._settings.older_vector_buckets
        s3vectors = S3Vectors(state, region, older_buckets=older, enforce=permissions.set_policy)
        self._running.callback(s3vectors.stop)
        pollers = self._pollers = Pollers(sqs, functions, behalf)
        self._running.callback(pollers.stop)
        return Services(
            s3=S3(state, keyring, events.put, behalf.s3_refusal),
            sqs=sqs,
            dynamodb=DynamoDb(state, region),
            events=events,
            stepfunctions=stepfunctions,
            s3vectors=s3vectors,
            functions=functions,
            gateway=Gateway(
                functions,
                keyring,
                region,
                self._settings.web,
                behalf=behalf,
                issuer=Issuer(state.folder, self.app.url + PATH),
                enforce=self._settings.enforce,
            ),
            permissions=permissions,
            behalf=behalf,
            pollers=pollers,
            clients=clients,
            assets=Assets(state, clients),
            app_url=self.app.url,
            scratch=state.folder,
            region=region,
        )

    def _doors(self, services: Services, custom: CustomResources) -> dict[str, Service]:
        """They open before the stack is made: what makes a custom resource is a function like any other."""
        return {
            "s3": services.s3,
            "sqs": services.sqs,
            "events": services.events,
            "dynamodb": services.dynamodb,
            "states": services.stepfunctions,
            "s3vectors": services.s3vectors,
            "lambda": LambdaService(services.functions, services.pollers.mappings),
            "_local": Control(self._faults, {custom_resources.PATH: custom}),
        }

    def _set_going(self, services: Services, stacks: Stacks) -> None:
        self._ready.set()  # the jobs that a former run left need the roles, which are there now
        services.stepfunctions.resume()
        services.events.start()
        services.pollers.start()
        stacks.resume()
        self._running.callback(stacks.stop)
        housekeeping = threading.Thread(target=self._keep_house, args=(services,), daemon=True, name="housekeeping")
        housekeeping.start()
        self._running.callback(housekeeping.join, 1)

    def _keep_house(self, services: Services) -> None:
        """What AWS does now and then by itself: lifecycle rules and time to live."""
        while not clock.wait(HOUSEKEEPING_SECONDS, self._stopped):
            services.s3.expire(clock.now())
            services.dynamodb.expire(clock.now())

    @staticmethod
    def _targets(sqs: Sqs, functions: Functions, clients: Clients) -> dict[str, Callable[[str, str], None]]:
        """How a rule reaches what its target's ARN names."""

        def invoke(arn: str, event: str) -> None:
            functions.invoke_async(arn, event.encode())

        def start_execution(arn: str, event: str) -> None:
            clients.get("stepfunctions", None).start_execution(stateMachineArn=arn, input=event)

        return {"sqs": sqs.send, "lambda": invoke, "states": start_execution}

    def _write_authorizers(self, services: Services) -> None:
        """For who wants a token: what the stacks' authorizers ask for, and at last the laptop's own issuer."""
        rules = list(services.authorizers.values())
        named = [{"issuer": rule.issuer, "audiences": list(rule.audiences)} for rule in rules]
        self._write("authorizers.json", [*named, {"issuer": self.app.url + PATH, "audiences": ["local"]}])

    def _write(self, name: str, content: Any) -> None:
        """The outputs as `cdk deploy --outputs-file` writes them; in one move, for somebody may wait for the file."""
        path = self._settings.data / name
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(content, indent=2) + "\n")
        temporary.replace(path)


class LateApplication:
    """A door that is built before the house: until it has its application it answers 503."""

    application: Any = None

    def __call__(self, environ: Any, start_response: Any) -> Any:
        if self.application is None:
            start_response("503 Service Unavailable", [("Content-Length", "0"), ("Retry-After", "1")])
            return [b""]
        return self.application(environ, start_response)

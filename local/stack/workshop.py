"""What it takes to make a resource: the services, the stack as far as it is made, and what a type's properties mean."""

import hashlib
import shutil
import uuid
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.dynamodb import DynamoDb
from local.events import EventBus
from local.functions import EventSourceMapping, Functions
from local.gateway import Gateway
from local.gateway_routes import JwtRule
from local.iam import OnBehalf, Permissions
from local.iam.statements import Statement
from local.s3 import S3
from local.s3vectors import S3Vectors
from local.sqs import Sqs
from local.stack.template import Assembly, Made, Resource, TemplateError
from local.stepfunctions import StepFunctions
from local.wire import ACCOUNT

Properties = dict[str, Any]


@dataclass
class Services:
    """What resources are made in."""

    s3: S3
    sqs: Sqs
    dynamodb: DynamoDb
    events: EventBus
    stepfunctions: StepFunctions
    s3vectors: S3Vectors
    functions: Functions
    gateway: Gateway
    permissions: Permissions
    behalf: OnBehalf
    app_url: str
    scratch: Path


@dataclass(frozen=True)
class Integration:
    """An HTTP API's way to a function."""

    function: str
    payload_version: str


@dataclass
class Workshop:
    """One stack being made: the services, and what later resources need to know of earlier ones.

    `roles` are ARNs by name, `policies` the managed ones of the template.
    """

    services: Services
    assembly: Assembly
    layers: dict[str, Path] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    policies: dict[str, tuple[Statement, ...]] = field(default_factory=dict)
    visibility: dict[str, int] = field(default_factory=dict)
    mappings: list[EventSourceMapping] = field(default_factory=list)
    integrations: dict[str, Integration] = field(default_factory=dict)
    apis: dict[str, Properties] = field(default_factory=dict)
    authorizers: dict[str, JwtRule] = field(default_factory=dict)
    routes: dict[str, list[tuple[str, str, str, JwtRule | None]]] = field(default_factory=dict)

    def name(self, resource: Resource, properties: Properties, key: str, longest: int) -> str:
        """The physical name: as given, else made of the stack's and the logical id, the same at every start."""
        if properties.get(key):
            return str(properties[key])
        digest = hashlib.sha256(f"{self.assembly.name}/{resource.logical_id}".encode()).hexdigest()[:12]
        return f"{f'{self.assembly.name}-{resource.logical_id}'[: longest - 13]}-{digest}"

    def arn(self, service: str, rest: str) -> str:
        return f"arn:aws:{service}:{self.assembly.region}:{ACCOUNT}:{rest}"

    def asset(self, object_key: str) -> Path:
        """The folder of a file asset; one that is an archive is unpacked, once."""
        source = self.assembly.asset(object_key)
        if source.is_dir():
            return source
        folder = self.services.scratch / "assets" / source.stem
        if not folder.is_dir():
            unpacking = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}")
            with zipfile.ZipFile(source) as archive:
                archive.extractall(unpacking)
            shutil.move(unpacking, folder)
        return folder


@dataclass(frozen=True)
class Kind:
    """A type of resource: `knows` are the properties acted upon, `ignores` those that cannot matter on a laptop.

    Without `knows` it is the service that refuses properties it does not know.
    """

    make: Callable[[Workshop, Resource, Properties], Made]
    knows: str | None = None
    ignores: str = ""

    def check(self, properties: Properties) -> None:
        if self.knows is None:
            return
        unknown = properties.keys() - set(self.knows.split()) - set(self.ignores.split()) - {"Tags"}
        if unknown:
            raise TemplateError(f"the laptop does not know its property {', '.join(sorted(unknown))}")


def is_true(value: Any) -> bool:
    """A boolean property, which templates also write as a string."""
    return str(value).lower() == "true"

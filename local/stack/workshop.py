"""What it takes to make a resource: the services, the stack it is part of, and what a type's properties mean."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.clients import Clients
from local.dynamodb import DynamoDb
from local.events import EventBus
from local.functions import Functions
from local.gateway import Gateway
from local.gateway_routes import JwtRule
from local.iam import OnBehalf, Permissions
from local.iam.statements import Statement
from local.s3 import S3
from local.s3vectors import S3Vectors
from local.sqs import Sqs
from local.stack.assets import Assets
from local.stack.pollers import Pollers
from local.stack.template import Made, Resource, TemplateError
from local.stepfunctions import StepFunctions
from local.wire import ACCOUNT

Properties = dict[str, Any]


@dataclass
class Services:
    """What resources are made in. `layers` are folders of layer versions by ARN, `authorizers` those of all APIs."""

    s3: S3
    sqs: Sqs
    dynamodb: DynamoDb
    events: EventBus
    stepfunctions: StepFunctions
    s3vectors: S3Vectors
    functions: Functions
    pollers: Pollers
    gateway: Gateway
    permissions: Permissions
    behalf: OnBehalf
    clients: Clients
    assets: Assets
    app_url: str
    scratch: Path
    region: str
    layers: dict[str, Path] = field(default_factory=dict)
    authorizers: dict[str, JwtRule] = field(default_factory=dict)


@dataclass(frozen=True)
class Integration:
    """An HTTP API's way to a function."""

    function: str
    payload_version: str


@dataclass(frozen=True)
class Way:
    """A route of an HTTP API: `target` names its integration, `authorizer` is the id of the one for `scopes`."""

    api_id: str
    key: str
    target: str
    authorization: str
    authorizer: str | None
    scopes: tuple[str, ...]


@dataclass
class Workshop:
    """One stack at work: the services, and what is known of its HTTP APIs, by physical id.

    `turns` counts how often a resource was replaced by another one, which needs another name; `roles` are ARNs by
    name, `policies` the managed ones of the template, `queue_policies` the ids of those that queues have, by name.
    """

    services: Services
    seed: str
    stack: str
    turns: dict[str, int] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    policies: dict[str, tuple[Statement, ...]] = field(default_factory=dict)
    queue_policies: dict[str, str] = field(default_factory=dict)
    apis: dict[str, Properties] = field(default_factory=dict)
    integrations: dict[str, Integration] = field(default_factory=dict)
    routes: dict[str, Way] = field(default_factory=dict)

    @property
    def region(self) -> str:
        return self.services.region

    def name(self, resource: Resource, properties: Properties, key: str, longest: int) -> str:
        """The physical name: as given, else made of the stack's and the logical id, the same as long as it lives."""
        if properties.get(key):
            return str(properties[key])
        return f"{f'{self.stack}-{resource.logical_id}'[: longest - 13]}-{self.digest(resource)[:12]}"

    def digest(self, resource: Resource) -> str:
        """What tells this resource from others of its logical id: in other stacks, or replaced by it."""
        turn = self.turns.get(resource.logical_id, 0)
        return hashlib.sha256(f"{self.seed}/{resource.logical_id}{f'/{turn}' if turn else ''}".encode()).hexdigest()

    def arn(self, service: str, rest: str) -> str:
        return f"arn:aws:{service}:{self.region}:{ACCOUNT}:{rest}"


@dataclass(frozen=True)
class Kind:
    """A type of resource.

    `knows` are the properties acted upon, `ignores` those that cannot matter on a laptop; without `knows` it is the
    service that refuses properties it does not know. `delete` gets the physical id (what `Ref` gives) and the
    properties; without it nothing is there to delete. A change of a property in `create_only` ("*" is all but tags)
    needs another resource; `named` is the property that fixes the name of one, `exists` says whether something of the
    name is there already. `make` is also called at a start, for what is there: it changes nothing then.
    """

    make: Callable[[Workshop, Resource, Properties], Made]
    knows: str | None = None
    ignores: str = ""
    delete: Callable[[Workshop, str, Properties], None] | None = None
    create_only: str = ""
    named: str | None = None
    exists: Callable[[Workshop, Properties], bool] | None = None

    def check(self, properties: Properties) -> None:
        if self.knows is None:
            return
        unknown = properties.keys() - set(self.knows.split()) - set(self.ignores.split()) - {"Tags"}
        if unknown:
            raise TemplateError(f"the laptop does not know its property {', '.join(sorted(unknown))}")

    def replaces(self, name: str) -> bool:
        """Whether a change of this property takes another resource."""
        return name in self.create_only.split() or (self.create_only == "*" and name != "Tags")


def is_true(value: Any) -> bool:
    """A boolean property, which templates also write as a string."""
    return str(value).lower() == "true"

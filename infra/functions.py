"""How a function of ours is made: one code asset for all, layers, a log group, a role that may log and no more."""

from pathlib import Path

from aws_cdk import (
    Acknowledgment,
    CfnElement,
    Duration,
    IgnoreMode,
    IResource,
    RemovalPolicy,
    Size,
    Stack,
    Validations,
)
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct, IConstruct

from infra import layers as built_layers
from infra.config import Config
from lambdas.shared.settings import Settings

ROOT = Path(__file__).parent.parent
RUNTIME = lambda_.Runtime.PYTHON_3_14
ARCHITECTURE = lambda_.Architecture.ARM_64


class Runtime(Construct):
    """The code and the layers, shared by all functions of the stack."""

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        # `__pycache__` is excluded last: IgnoreMode.GIT would take it in again, and every test run change the hash.
        self.code = lambda_.Code.from_asset(
            str(ROOT), ignore_mode=IgnoreMode.GIT, exclude=["*", "!lambdas", "!lambdas/**", "**/__pycache__"]
        )
        self.layers = {
            name: lambda_.LayerVersion(
                self,
                name.title(),
                code=lambda_.Code.from_asset(str(built_layers.built(name))),
                compatible_runtimes=[RUNTIME],
                compatible_architectures=[ARCHITECTURE],
                description=f"lambdas/requirements-{name}.txt",
            )
            for name in built_layers.NAMES
        }


class Function(lambda_.Function):
    """A function in `lambdas/<folder>/handler.py` with its settings as environment."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        runtime: Runtime,
        folder: str,
        settings: Settings,
        timeout: Duration,
        memory_mb: int,
        description: str,
        layers: tuple[str, ...] = ("core",),
        storage_mb: int | None = None,
    ) -> None:
        log_group = logs.LogGroup(
            scope, f"{construct_id}Log", retention=logs.RetentionDays.ONE_MONTH, removal_policy=RemovalPolicy.DESTROY
        )
        role = iam.Role(scope, f"{construct_id}Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group.grant_write(role)
        super().__init__(
            scope,
            construct_id,
            runtime=RUNTIME,
            architecture=ARCHITECTURE,
            code=runtime.code,
            layers=[runtime.layers[name] for name in layers],
            handler=f"lambdas.{folder}.handler.handler",
            environment=settings.to_env(),
            timeout=timeout,
            memory_size=memory_mb,
            ephemeral_storage_size=Size.mebibytes(storage_mb) if storage_mb else None,
            log_group=log_group,
            role=role,
            description=description,
        )


def model_arns(scope: Construct, config: Config) -> list[str]:
    """The models of all profiles."""
    stack = Stack.of(scope)
    models = sorted({profile.model_id for profile in config.profiles.named.values()})
    return [f"arn:{stack.partition}:bedrock:{stack.region}::foundation-model/{model}" for model in models]


def waive(construct: IConstruct, rule: str, reason: str) -> None:
    """Acknowledge a finding of cdk-nag on this construct and what is in it, with the reason a reviewer reads."""
    Validations.of(construct).acknowledge(Acknowledgment(id=f"AwsSolutions::AwsSolutions-{rule}", reason=reason))


def waive_wildcard(construct: IConstruct, resource: str, reason: str) -> None:
    """Acknowledge one wildcard in a policy: the resource as cdk-nag writes it."""
    waive(construct, f"IAM5[Resource::{resource}]", reason)


def arn_of(resource: IResource) -> str:
    """The ARN of a resource of this stack, as cdk-nag writes it."""
    child = resource.node.default_child
    assert isinstance(child, CfnElement)
    return f"<{Stack.of(resource).get_logical_id(child)}.Arn>"

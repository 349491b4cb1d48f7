"""The way out for agents: the Model Context Protocol at `/mcp` of the API, behind its authorization."""

from aws_cdk import Duration
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.functions import Function, Runtime
from infra.search import Search
from lambdas.shared.settings import AgentsSettings


class Agents(Construct):
    """A function of its own, because the protocol's SDK takes a second to import; all it may do is ask `search`."""

    def __init__(self, scope: Construct, construct_id: str, *, runtime: Runtime, search: Search) -> None:
        super().__init__(scope, construct_id)
        self.function = Function(
            self,
            "Agents",
            runtime=runtime,
            folder="agents",
            settings=AgentsSettings(search_function=search.function.function_name),
            timeout=Duration.seconds(29),
            memory_mb=1769,  # a whole processor, for the import
            description="Answers the Model Context Protocol by asking the search function for the same caller",
            layers=("core", "agents"),
        )
        # Its current version alone: grant_invoke would grant all versions along with it.
        self.function.add_to_role_policy(
            iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[search.function.function_arn])
        )
        for name, door in search.doors.items():
            door.add_routes(
                path="/mcp",
                methods=[apigateway.HttpMethod.ANY],
                integration=integrations.HttpLambdaIntegration(f"{name}Function", self.function),
            )

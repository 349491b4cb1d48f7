"""The way out: HTTP APIs in front of the search function, one authorized by IAM and, if asked for, one by tokens."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_apigatewayv2_authorizers as authorizers
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.config import Config, Jwt
from infra.functions import Function, Runtime, arn_of, model_arns, waive_wildcard
from infra.storage import Storage
from lambdas.shared.settings import SearchSettings

ACCESS_LOG = (
    '{"requestId":"$context.requestId","ip":"$context.identity.sourceIp","caller":"%s",'
    '"time":"$context.requestTime","route":"$context.httpMethod $context.path","status":"$context.status",'
    '"ms":"$context.responseLatency"}'
)


class Search(Construct):
    """`url` answers the routes of the search function, and `web_url`, if there is one, the same to who has a token.

    `doors` are the APIs of both, by what the names of their parts begin with.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: Config,
        runtime: Runtime,
        storage: Storage,
        queue: sqs.IQueue,
    ) -> None:
        super().__init__(scope, construct_id)
        self.function = Function(
            self,
            "Search",
            runtime=runtime,
            folder="search",
            settings=SearchSettings(
                media_bucket=storage.media_bucket.bucket_name,
                output_bucket=storage.output_bucket.bucket_name,
                catalog_table=storage.catalog.table_name,
                vector_bucket_arn=storage.vector_bucket.attr_vector_bucket_arn,
                ingest_queue_url=queue.queue_url,
                profiles=config.profiles,
                owners=config.owners,
            ),
            timeout=Duration.seconds(29),
            memory_mb=1024,
            description="Answers searches and lists, signs uploads, rings for a retry, deletes an object",
        )
        self._allow(config, storage, queue)
        self._log_group = logs.LogGroup(
            self, "AccessLog", retention=logs.RetentionDays.ONE_MONTH, removal_policy=RemovalPolicy.DESTROY
        )
        self.doors = {"": self._door("", authorizers.HttpIamAuthorizer(), "$context.identity.caller")}
        if config.jwt:
            self.doors["Web"] = self._web_door(config.jwt)
        self.url = self.doors[""].api_endpoint
        self.web_url = self.doors["Web"].api_endpoint if config.jwt else None

    def _web_door(self, jwt: Jwt) -> apigateway.HttpApi:
        authorizer = authorizers.HttpJwtAuthorizer("Jwt", jwt.issuer, jwt_audience=list(jwt.audience))
        methods = [apigateway.CorsHttpMethod.GET, apigateway.CorsHttpMethod.POST, apigateway.CorsHttpMethod.DELETE]
        cors = apigateway.CorsPreflightOptions(
            allow_origins=list(jwt.origins), allow_methods=methods, allow_headers=["authorization", "content-type"]
        )
        return self._door("Web", authorizer, "$context.authorizer.claims.sub", cors if jwt.origins else None)

    def _door(
        self,
        name: str,
        authorizer: apigateway.IHttpRouteAuthorizer,
        caller: str,
        cors: apigateway.CorsPreflightOptions | None = None,
    ) -> apigateway.HttpApi:
        """An API with its stage; the access log has `caller`."""
        api = apigateway.HttpApi(
            self,
            f"{name}Api",
            description="Search inside the files of a bucket",
            # Every path goes to the function, so that an unknown one gets the same shape of error as the rest.
            default_integration=integrations.HttpLambdaIntegration(f"{name}Function", self.function),
            default_authorizer=authorizer,
            cors_preflight=cors,
            create_default_stage=False,
        )
        stage = apigateway.HttpStage(
            self,
            f"{name}Stage",
            http_api=api,
            auto_deploy=True,
            throttle=apigateway.ThrottleSettings(rate_limit=50, burst_limit=100),
        )
        resource = stage.node.default_child
        assert isinstance(resource, apigateway.CfnStage)
        resource.access_log_settings = apigateway.CfnStage.AccessLogSettingsProperty(
            destination_arn=self._log_group.log_group_arn, format=ACCESS_LOG % caller
        )
        return api

    def _allow(self, config: Config, storage: Storage, queue: sqs.IQueue) -> None:
        grants = [
            (["bedrock:InvokeModel"], model_arns(self, config)),
            # A query with a filter or with metadata needs GetVectors too (S3 user guide, "Access management").
            (["s3vectors:QueryVectors", "s3vectors:GetVectors"], storage.index_arns),
            (["dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query"], [storage.catalog.table_arn]),
            (["dynamodb:Query"], [f"{storage.catalog.table_arn}/index/*"]),
            (["sqs:SendMessage"], [queue.queue_arn]),
            (
                ["s3:GetObject", "s3:GetObjectVersion", "s3:DeleteObject"],
                [storage.media_bucket.arn_for_objects("*")],
            ),
            (["s3:PutObject"], [storage.media_bucket.arn_for_objects("uploads/*")]),
            (["s3:GetObject"], [storage.output_bucket.arn_for_objects("derived/*")]),
            # What is only searched with: a caller puts it there, Bedrock reads it with this role.
            (["s3:PutObject", "s3:GetObject"], [storage.output_bucket.arn_for_objects("query/*")]),
        ]
        for actions, resources in grants:
            self.function.add_to_role_policy(iam.PolicyStatement(actions=actions, resources=resources))
        assert self.function.role is not None
        media, catalog = arn_of(storage.media_bucket), arn_of(storage.catalog)
        waive_wildcard(self.function.role, f"{media}/*", "Any key of the media bucket may be shown or deleted")
        waive_wildcard(self.function.role, f"{media}/uploads/*", "Each upload gets a key of its own there")
        derived = f"{arn_of(storage.output_bucket)}/derived/*"
        waive_wildcard(self.function.role, derived, "Whatever was derived from a file may be shown")
        asked = f"{arn_of(storage.output_bucket)}/query/*"
        waive_wildcard(self.function.role, asked, "Each medium to search with gets a key of its own there")
        waive_wildcard(self.function.role, f"{catalog}/index/*", "Lists read each of the table's own indexes")

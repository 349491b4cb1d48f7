"""Where things lie: the user's bucket, ours, the catalog and the index."""

from aws_cdk import CustomResource, Duration, Fn, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3vectors as s3vectors
from constructs import Construct

from infra.config import Config
from infra.functions import Function, Runtime, waive
from lambdas.shared.profiles import DEFAULT, Profile
from lambdas.shared.settings import TextSearchSettings

NONFILTERABLE = ["_uri", "_text", "_title"]
TEXT_KEYS = ["_text", "_title"]
CORS_SECONDS = 3600


def _pages_may(*methods: s3.HttpMethods) -> list[s3.CorsRule]:
    """A page of any origin may use what it was handed a signed URL for: the signature is what protects."""
    return [s3.CorsRule(allowed_methods=list(methods), allowed_origins=["*"], max_age=CORS_SECONDS)]


class Storage(Construct):
    """Two buckets, a table, a vector bucket with an index for each profile."""

    def __init__(self, scope: Construct, construct_id: str, *, config: Config, runtime: Runtime) -> None:
        super().__init__(scope, construct_id)
        self._removal = RemovalPolicy.RETAIN if config.keeps_data else RemovalPolicy.DESTROY
        self.media_bucket = self._media_bucket()
        self.output_bucket = self._output_bucket()
        self.catalog = self._catalog(config)
        self.vector_bucket = s3vectors.CfnVectorBucket(self, "Vectors")
        self.vector_bucket.apply_removal_policy(self._removal)
        indexes = {name: self._index(name, profile) for name, profile in config.profiles.named.items()}
        self.index_arns = [index.attr_index_arn for index in indexes.values()]
        self._text_search(config, runtime, indexes)

    def _index(self, name: str, profile: Profile) -> s3vectors.CfnIndex:
        index = s3vectors.CfnIndex(
            self,
            _id("Index", name),
            vector_bucket_arn=self.vector_bucket.attr_vector_bucket_arn,
            index_name=profile.name,  # a changed profile makes another index beside this one
            data_type="float32",
            dimension=profile.dimension,
            distance_metric=profile.metric,
            metadata_configuration=s3vectors.CfnIndex.MetadataConfigurationProperty(
                non_filterable_metadata_keys=NONFILTERABLE
            ),
        )
        index.apply_removal_policy(self._removal)
        return index

    @property
    def vector_bucket_name(self) -> str:
        """`Ref` of a vector bucket is its ARN: arn:aws:s3vectors:REGION:ACCOUNT:bucket/NAME."""
        return Fn.select(1, Fn.split("/", self.vector_bucket.attr_vector_bucket_arn))

    def _media_bucket(self) -> s3.Bucket:
        bucket = s3.Bucket(
            self,
            "Media",
            versioned=True,
            enforce_ssl=True,
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            minimum_tls_version=1.2,
            removal_policy=self._removal,
            cors=_pages_may(s3.HttpMethods.GET, s3.HttpMethods.HEAD, s3.HttpMethods.POST),
            lifecycle_rules=[
                s3.LifecycleRule(
                    noncurrent_version_expiration=Duration.days(30),
                    abort_incomplete_multipart_upload_after=Duration.days(7),
                )
            ],
        )
        _send_events(bucket)
        waive(
            bucket,
            "S1",
            "Access logs of the media bucket are the owner's choice: CloudTrail data events serve",
        )
        return bucket

    def _output_bucket(self) -> s3.Bucket:
        bucket = s3.Bucket(
            self,
            "Output",
            enforce_ssl=True,
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            minimum_tls_version=1.2,
            removal_policy=self._removal,
            cors=_pages_may(s3.HttpMethods.GET, s3.HttpMethods.POST),
            lifecycle_rules=[
                s3.LifecycleRule(prefix="jobs/", expiration=Duration.days(14)),
                s3.LifecycleRule(prefix="query/", expiration=Duration.days(1)),
                s3.LifecycleRule(abort_incomplete_multipart_upload_after=Duration.days(1)),
            ],
        )
        _send_events(bucket)  # that the result of a job is there
        waive(bucket, "S1", "Holds only what the pipeline makes of the media bucket and expires by itself")
        return bucket

    def _catalog(self, config: Config) -> dynamodb.TableV2:
        def text(name: str) -> dynamodb.Attribute:
            return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)

        lists = {"by_key": "listed", "by_status": "status", "by_modality": "modality"}
        lists |= {"by_owner": "owned_by"} if config.owners.claim else {}
        return dynamodb.TableV2(
            self,
            "Catalog",
            partition_key=text("asset_id"),
            sort_key=text("record"),
            billing=dynamodb.Billing.on_demand(),
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            time_to_live_attribute="expires",
            removal_policy=self._removal,
            # One index per list that the API offers. Heads are in them; in `by_key` retired generations, too, apart.
            global_secondary_indexes=[
                dynamodb.GlobalSecondaryIndexPropsV2(
                    index_name=name, partition_key=text(partition), sort_key=text("key")
                )
                for name, partition in lists.items()
            ],
        )

    def _text_search(self, config: Config, runtime: Runtime, indexes: dict[str, s3vectors.CfnIndex]) -> None:
        """What CloudFormation cannot set on an index yet."""
        function = Function(
            self,
            "TextSearch",
            runtime=runtime,
            folder="text_search",
            settings=TextSearchSettings(),
            timeout=Duration.seconds(60),
            memory_mb=256,
            description="Custom resource: the mode and the full-text keys of the index",
        )
        function.add_to_role_policy(
            iam.PolicyStatement(
                actions=["s3vectors:GetIndex", "s3vectors:UpdateIndexMode", "s3vectors:UpdateMetadataConfiguration"],
                resources=self.index_arns,
            )
        )
        for name, index in indexes.items():
            resource = CustomResource(
                self,
                _id("TextSearchOfIndex", name),
                service_token=function.function_arn,
                resource_type="Custom::IndexTextSearch",
                properties={
                    "IndexArn": index.attr_index_arn,
                    "TextKeys": TEXT_KEYS,
                    "Language": config.text_language,
                },
            )
            resource.node.add_dependency(function)


def _send_events(bucket: s3.Bucket) -> None:
    """To EventBridge, by the L1 property: `event_bridge_enabled` brings a function of its own."""
    resource = bucket.node.default_child
    assert isinstance(resource, s3.CfnBucket)
    resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
        event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
    )


def _id(what: str, profile: str) -> str:
    """What is the default profile's has no name of its own."""
    return what if profile == DEFAULT else f"{what}-{profile}"

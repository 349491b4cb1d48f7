"""The road in: bucket events to the queue, and the functions that prepare, embed and index."""

from typing import Any

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda_event_sources as event_sources
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra import waits
from infra.config import Config
from infra.embedding_job import EmbeddingJob, waive_job_ids
from infra.functions import Function, Runtime, arn_of, model_arns, waive_wildcard
from infra.storage import Storage
from lambdas.shared.settings import IndexSettings, IngestSettings, JobsSettings, PagesSettings, PrepareSettings

INGEST_TIMEOUT = Duration.seconds(120)
INDEX_TIMEOUT = Duration.minutes(15)
PREPARE_TIMEOUT = Duration.minutes(15)
PAGES_TIMEOUT = Duration.minutes(5)
RETENTION = Duration.days(14)
MAX_RECEIVES = 5
JOBS_TIMEOUT = Duration.seconds(60)
JOB_SECONDS = 12 * 3600  # Bedrock says nowhere how long one may take


class Ingestion(Construct):
    """Everything between a file and its vectors."""

    def __init__(
        self, scope: Construct, construct_id: str, *, config: Config, runtime: Runtime, storage: Storage
    ) -> None:
        super().__init__(scope, construct_id)
        self._config = config
        self._runtime = runtime
        self._storage = storage
        self.dead_letters = sqs.Queue(
            self,
            "DeadLetters",
            retention_period=RETENTION,
            enforce_ssl=True,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
        )
        # What could not be answered is told in the catalog on its way to the dead letters.
        self.unanswered = sqs.Queue(
            self,
            "Unanswered",
            visibility_timeout=Duration.seconds(6 * INGEST_TIMEOUT.to_seconds()),
            retention_period=RETENTION,
            enforce_ssl=True,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead_letters, max_receive_count=MAX_RECEIVES),
        )
        self.queue = sqs.Queue(
            self,
            "Queue",
            visibility_timeout=Duration.seconds(6 * INGEST_TIMEOUT.to_seconds()),
            retention_period=RETENTION,
            enforce_ssl=True,
            encryption=sqs.QueueEncryption.SQS_MANAGED,  # EventBridge cannot use the AWS-managed key
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.unanswered, max_receive_count=MAX_RECEIVES),
        )
        self.index = self._index_function()
        self.prepare = self._prepare_function()
        self.pages = self._pages_function()
        self.jobs = self._jobs_function()
        self.embedding_job = EmbeddingJob(
            self,
            "EmbeddingJob",
            storage=storage,
            job_arns=self._jobs_arn,
            job_seconds=JOB_SECONDS,
            prepare=self.prepare,
            pages=self.pages,
            jobs=self.jobs,
            index=self.index,
            dead_letters=self.dead_letters,
        ).machine
        self.ingest = self._ingest_function()
        self._rule()
        self._reconcile_rule()
        self._alarm()

    def _ingest_function(self) -> Function:
        storage = self._storage
        function = Function(
            self,
            "Ingest",
            runtime=self._runtime,
            folder="ingest",
            settings=IngestSettings(
                media_bucket=storage.media_bucket.bucket_name,
                output_bucket=storage.output_bucket.bucket_name,
                catalog_table=storage.catalog.table_name,
                vector_bucket_arn=storage.vector_bucket.attr_vector_bucket_arn,
                ingest_queue_url=self.queue.queue_url,
                dead_letters_url=self.dead_letters.queue_url,
                unanswered_queue_arn=self.unanswered.queue_arn,
                max_receives=MAX_RECEIVES,
                requests_per_minute=self._config.ingest_requests,
                job_state_machine_arn=self.embedding_job.state_machine_arn,
                profiles=self._config.profiles,
                owners=self._config.owners,
            ),
            timeout=INGEST_TIMEOUT,
            memory_mb=waits.MEMORY_MB["ingest"],
            layers=("core", "pictures"),
            description="Looks at a key that changed, embeds it or starts the job that will",
        )
        for queue, most in ((self.queue, self._config.ingest_concurrency), (self.unanswered, 2)):
            function.add_event_source(
                event_sources.SqsEventSource(
                    queue,
                    batch_size=waits.BATCH,
                    max_batching_window=Duration.seconds(waits.BATCH_SECONDS),
                    max_concurrency=most,  # never reserved concurrency: it burns receives
                    report_batch_item_failures=True,
                )
            )
        tagging = ["s3:GetObjectTagging", "s3:GetObjectVersionTagging"]
        self._allow_looking(function)
        self._allow_media(function, ["s3:GetObject", "s3:GetObjectVersion", *tagging])
        self._allow_writing(function)
        _allow(function, ["sqs:SendMessage"], [self.queue.queue_arn, self.dead_letters.queue_arn])
        _allow(function, ["dynamodb:Query"], [f"{storage.catalog.table_arn}/index/*"])  # retries of many, reconciling
        _allow(function, ["dynamodb:BatchGetItem"], [storage.catalog.table_arn])
        self.embedding_job.grant_start_execution(function)
        stack = Stack.of(self)
        executions = f"arn:{stack.partition}:states:{stack.region}:{stack.account}:execution:*"
        _allow(function, ["states:DescribeExecution"], [executions])
        self._allow_embedding(function)
        _allow(function, ["s3:PutObject"], [storage.output_bucket.arn_for_objects("derived/*")])
        assert function.role is not None
        named = executions.replace(stack.partition, "<AWS::Partition>").replace(stack.account, "<AWS::AccountId>")
        lists = f"{arn_of(storage.catalog)}/index/*"
        waive_wildcard(function.role, lists, "The table has an index for each list")
        waive_wildcard(function.role, named, "Only described, and named by an ARN that is built from the machine's own")
        return function

    def _prepare_function(self) -> Function:
        function = Function(
            self,
            "Prepare",
            runtime=self._runtime,
            folder="prepare",
            settings=PrepareSettings(**self._of_preparing()),
            timeout=PREPARE_TIMEOUT,
            memory_mb=waits.MEMORY_MB["prepare"],
            layers=("core", "pictures", "media"),
            storage_mb=1024,
            description="Opens sounds, films and documents, and starts what embeds them",
        )
        self._allow_media(function, ["s3:GetObject", "s3:GetObjectVersion"])
        self._allow_deriving(function)
        self._allow_embedding(function)
        return function

    def _pages_function(self) -> Function:
        storage = self._storage
        function = Function(
            self,
            "Pages",
            runtime=self._runtime,
            folder="pages",
            settings=PagesSettings(**self._of_preparing()),
            timeout=PAGES_TIMEOUT,
            memory_mb=waits.MEMORY_MB["pages"],
            layers=("core", "pictures", "media"),
            description="Renders and embeds a range of a document's pages",
        )
        self._allow_media(function, ["s3:GetObject", "s3:GetObjectVersion"])
        self._allow_deriving(function)
        output = storage.output_bucket
        _allow(function, ["bedrock:InvokeModel"], model_arns(self, self._config))
        _allow(function, ["s3:GetObject"], [output.arn_for_objects("derived/*")])  # Bedrock reads the pictures
        _allow(function, ["s3:GetObject", "s3:PutObject"], [output.arn_for_objects("jobs/*")])
        _allow(function, ["s3:ListBucket"], [output.bucket_arn])  # what was written before may be nothing
        return function

    def _of_preparing(self) -> dict[str, Any]:
        storage = self._storage
        return {
            "media_bucket": storage.media_bucket.bucket_name,
            "output_bucket": storage.output_bucket.bucket_name,
            "catalog_table": storage.catalog.table_name,
            "requests_per_minute": self._config.ingest_requests,
            "profiles": self._config.profiles,
        }

    def _allow_deriving(self, function: Function) -> None:
        storage = self._storage
        _allow(function, ["s3:PutObject"], [storage.output_bucket.arn_for_objects("derived/*")])
        _allow(function, ["dynamodb:GetItem", "dynamodb:UpdateItem"], [storage.catalog.table_arn])

    def _allow_embedding(self, function: Function) -> None:
        """Bedrock reads what is staged with the rights of whoever calls it."""
        _allow(function, ["bedrock:InvokeModel"], model_arns(self, self._config))
        jobs = self._storage.output_bucket.arn_for_objects("jobs/*")
        _allow(function, ["s3:GetObject", "s3:PutObject"], [jobs])

    def _jobs_function(self) -> Function:
        """Bedrock reads a job's input and writes its output with the rights of whoever starts it."""
        storage = self._storage
        function = Function(
            self,
            "Jobs",
            runtime=self._runtime,
            folder="jobs",
            settings=JobsSettings(
                catalog_table=storage.catalog.table_name, max_jobs=self._config.max_jobs, job_seconds=JOB_SECONDS
            ),
            timeout=JOBS_TIMEOUT,
            memory_mb=waits.MEMORY_MB["jobs"],
            description="Starts jobs, as many as run at once, and tells their executions",
        )
        self._allow_media(function, ["s3:GetObject"])
        _allow(function, ["bedrock:InvokeModel"], [*model_arns(self, self._config), self._jobs_arn])
        _allow(function, ["s3:GetObject", "s3:PutObject"], [storage.output_bucket.arn_for_objects("jobs/*")])
        _allow(
            function,
            ["dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"],
            [storage.catalog.table_arn],
        )
        assert function.role is not None
        waive_job_ids(function.role)
        return function

    def _index_function(self) -> Function:
        storage = self._storage
        function = Function(
            self,
            "IndexJob",
            runtime=self._runtime,
            folder="index",
            settings=IndexSettings(
                media_bucket=storage.media_bucket.bucket_name,
                output_bucket=storage.output_bucket.bucket_name,
                catalog_table=storage.catalog.table_name,
                vector_bucket_arn=storage.vector_bucket.attr_vector_bucket_arn,
                ingest_queue_url=self.queue.queue_url,
                profiles=self._config.profiles,
            ),
            timeout=INDEX_TIMEOUT,
            memory_mb=waits.MEMORY_MB["index"],
            description="Reads the result of an embedding job and writes its vectors",
        )
        self._allow_looking(function)
        self._allow_media(function, ["s3:GetObject"])
        self._allow_writing(function)
        _allow(function, ["sqs:SendMessage"], [self.queue.queue_arn])
        _allow(function, ["s3:GetObject"], [storage.output_bucket.arn_for_objects("jobs/*")])
        return function

    def _allow_looking(self, function: Function) -> None:
        """Without s3:ListBucket a missing key answers 403, not 404.

        The functions that decode have no need of it: they fail then, and the index function sees what is gone.
        """
        _allow(function, ["s3:ListBucket"], [self._storage.media_bucket.bucket_arn])

    def _allow_media(self, function: Function, actions: list[str]) -> None:
        bucket = self._storage.media_bucket
        _allow(function, actions, [bucket.arn_for_objects("*")])
        assert function.role is not None
        waive_wildcard(function.role, f"{arn_of(bucket)}/*", "What is dropped in the media bucket may have any key")
        output = arn_of(self._storage.output_bucket)
        waive_wildcard(function.role, f"{output}/jobs/*", "Staged text and results lie under the names of their jobs")
        waive_wildcard(function.role, f"{output}/derived/*", "What is derived lies under the names of its generations")

    def _allow_writing(self, function: Function) -> None:
        """The two functions that call `write_segments`; no other may put or delete."""
        storage = self._storage
        _allow(
            function,
            ["s3vectors:PutVectors", "s3vectors:GetVectors", "s3vectors:DeleteVectors"],
            storage.index_arns,
        )
        _allow(
            function,
            [
                "dynamodb:GetItem",
                "dynamodb:Query",
                "dynamodb:PutItem",
                "dynamodb:UpdateItem",
                "dynamodb:DeleteItem",
            ],
            [storage.catalog.table_arn],
        )
        _allow(function, ["s3:ListBucket"], [storage.output_bucket.bucket_arn])
        _allow(function, ["s3:DeleteObject"], [storage.output_bucket.arn_for_objects("derived/*")])

    @property
    def _jobs_arn(self) -> str:
        stack = Stack.of(self)
        return f"arn:{stack.partition}:bedrock:{stack.region}:{stack.account}:async-invoke/*"

    # -- what rings the bell ----------------------------------------------------------------------------------------

    def _rule(self) -> None:
        rule = events.Rule(
            self,
            "MediaChanged",
            event_pattern=events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created", "Object Deleted", "Object Tags Added", "Object Tags Deleted"],
                detail={"bucket": {"name": [self._storage.media_bucket.bucket_name]}},
            ),
        )
        rule.add_target(targets.SqsQueue(self.queue, dead_letter_queue=self.dead_letters))

    def _reconcile_rule(self) -> None:
        """Off unless hours are given. Whoever comes while a pass is under way joins it."""
        if not self._config.reconcile_hours:
            return
        schedule = events.Schedule.rate(Duration.hours(self._config.reconcile_hours))
        rule = events.Rule(self, "Reconcile", schedule=schedule)
        order = events.RuleTargetInput.from_object({"reconcile": {"id": events.EventField.event_id}})
        rule.add_target(targets.SqsQueue(self.queue, message=order, dead_letter_queue=self.dead_letters))

    def _alarm(self) -> None:
        cloudwatch.Alarm(
            self,
            "DeadLettersArrived",
            metric=self.dead_letters.metric_approximate_number_of_messages_visible(),
            threshold=1,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            alarm_description="A file could not be ingested after five tries",
        )


def _allow(function: Function, actions: list[str], resources: list[str]) -> None:
    function.add_to_role_policy(iam.PolicyStatement(actions=actions, resources=resources))

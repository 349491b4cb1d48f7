"""The road in: bucket events to the queue, the functions that embed and index, and the loop that follows a job."""

from typing import Any

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda_event_sources as event_sources
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct, IConstruct

from infra.config import Config
from infra.functions import Function, Runtime, arn_of, model_arns, waive_wildcard
from infra.storage import Storage
from lambdas.shared.errors import CRASHES
from lambdas.shared.settings import IndexSettings, IngestSettings, PagesSettings, PrepareSettings

INGEST_TIMEOUT = Duration.seconds(120)
INDEX_TIMEOUT = Duration.minutes(15)
PREPARE_TIMEOUT = Duration.minutes(15)
PAGES_TIMEOUT = Duration.minutes(5)
PAGES_AT_ONCE = 8
PERMANENT = ["BadInputError", "UnsupportedError", "SupersededError"]
RETENTION = Duration.days(14)
MAX_RECEIVES = 5
FIRST_WAIT_SECONDS = 2
LONGEST_WAIT_SECONDS = 60
JOB_DEADLINE = Duration.hours(12)


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
        self.queue = sqs.Queue(
            self,
            "Queue",
            visibility_timeout=Duration.seconds(6 * INGEST_TIMEOUT.to_seconds()),
            retention_period=RETENTION,
            enforce_ssl=True,
            encryption=sqs.QueueEncryption.SQS_MANAGED,  # EventBridge cannot use the AWS-managed key
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead_letters, max_receive_count=MAX_RECEIVES),
        )
        self.index = self._index_function()
        self.prepare = self._prepare_function()
        self.pages = self._pages_function()
        self.embedding_job = self._state_machine()
        self.ingest = self._ingest_function()
        self._rule()
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
                job_state_machine_arn=self.embedding_job.state_machine_arn,
                profiles=self._config.profiles,
            ),
            timeout=INGEST_TIMEOUT,
            memory_mb=2048,
            layers=("core", "pictures"),
            description="Looks at a key that changed, embeds it or starts the job that will",
        )
        function.add_event_source(
            event_sources.SqsEventSource(
                self.queue,
                batch_size=10,
                max_batching_window=Duration.seconds(1),
                max_concurrency=10,  # never reserved concurrency: it burns receives
                report_batch_item_failures=True,
            )
        )
        tagging = ["s3:GetObjectTagging", "s3:GetObjectVersionTagging"]
        self._allow_looking(function)
        self._allow_media(function, ["s3:GetObject", "s3:GetObjectVersion", *tagging])
        self._allow_writing(function)
        _allow(function, ["sqs:SendMessage"], [self.queue.queue_arn])
        self.embedding_job.grant_start_execution(function)
        stack = Stack.of(self)
        executions = f"arn:{stack.partition}:states:{stack.region}:{stack.account}:execution:*"
        _allow(function, ["states:DescribeExecution"], [executions])
        self._allow_jobs(function)
        _allow(function, ["s3:PutObject"], [storage.output_bucket.arn_for_objects("derived/*")])
        assert function.role is not None
        named = executions.replace(stack.partition, "<AWS::Partition>").replace(stack.account, "<AWS::AccountId>")
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
            memory_mb=3008,
            layers=("core", "pictures", "media"),
            storage_mb=1024,
            description="Opens sounds, films and documents, and starts what embeds them",
        )
        self._allow_media(function, ["s3:GetObject", "s3:GetObjectVersion"])
        self._allow_deriving(function)
        self._allow_jobs(function)
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
            memory_mb=1769,
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
            "profiles": self._config.profiles,
        }

    def _allow_deriving(self, function: Function) -> None:
        storage = self._storage
        _allow(function, ["s3:PutObject"], [storage.output_bucket.arn_for_objects("derived/*")])
        _allow(function, ["dynamodb:GetItem", "dynamodb:UpdateItem"], [storage.catalog.table_arn])

    def _allow_jobs(self, function: Function) -> None:
        """Bedrock reads its input and writes its output with the rights of whoever calls it."""
        _allow(function, ["bedrock:InvokeModel"], [*model_arns(self, self._config), self._jobs_arn])
        jobs = self._storage.output_bucket.arn_for_objects("jobs/*")
        _allow(function, ["s3:GetObject", "s3:PutObject"], [jobs])
        assert function.role is not None
        self._waive_jobs(function.role)

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
            memory_mb=1024,
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
                "dynamodb:ConditionCheckItem",
            ],
            [storage.catalog.table_arn],
        )
        _allow(function, ["s3:ListBucket"], [storage.output_bucket.bucket_arn])
        _allow(function, ["s3:DeleteObject"], [storage.output_bucket.arn_for_objects("derived/*")])

    def _waive_jobs(self, construct: IConstruct) -> None:
        jobs = f"arn:<AWS::Partition>:bedrock:{self._config.region}:<AWS::AccountId>:async-invoke/*"
        waive_wildcard(construct, jobs, "The ids of jobs are Bedrock's to give")

    @property
    def _jobs_arn(self) -> str:
        stack = Stack.of(self)
        return f"arn:{stack.partition}:bedrock:{stack.region}:{stack.account}:async-invoke/*"

    # -- the loop that follows a job --------------------------------------------------------------------------------

    def _state_machine(self) -> sfn.StateMachine:
        """Prepare what has no job yet; then wait, GetAsyncInvoke, choose; waits double from 2 s to a minute.

        Every end reaches the index function.
        """
        failed = self._index_task(
            "Record the failure",
            {"failure.$": "$.error.Cause", "error.$": "$.error.Error"},
            result_path=sfn.JsonPath.DISCARD,
        )
        failed.next(sfn.Fail(self, "Not indexed", cause_path="$.error.Cause", error_path="$.error.Error"))
        start = sfn.Pass(
            self, "First wait", result=sfn.Result.from_object({"seconds": FIRST_WAIT_SECONDS}), result_path="$.wait"
        )
        wait = sfn.Wait(self, "Wait", time=sfn.WaitTime.seconds_path("$.wait.seconds"))
        get = self._get_job(failed)
        index = self._index_task(
            "Index the result", {"output_uri.$": "$.job.OutputDataConfig.S3OutputDataConfig.S3Uri"}
        )
        index.add_catch(failed, errors=["States.ALL"], result_path="$.error")
        refused = self._index_task("Record what Bedrock says", {"failure.$": "$.job.FailureMessage"})
        unsaid = self._index_task("Record an unexplained failure", {"failure": "Bedrock failed without a message"})
        status = sfn.Condition.string_equals
        choose = (
            sfn.Choice(self, "Done?")
            .when(status("$.job.Status", "Completed"), index)
            .when(
                sfn.Condition.and_(status("$.job.Status", "Failed"), sfn.Condition.is_present("$.job.FailureMessage")),
                refused,
            )
            .when(status("$.job.Status", "Failed"), unsaid)
            .otherwise(self._longer_wait(wait))
        )
        start.next(wait).next(get).next(choose)
        return self._machine(
            sfn.Chain.start(
                sfn.Choice(self, "Has it a job?")
                .when(sfn.Condition.is_present("$.invocation_arn"), start)
                .otherwise(self._prepare_task(start, failed))
            )
        )

    def _prepare_task(self, follow: sfn.IChainable, failed: sfn.IChainable) -> sfn.IChainable:
        """Open the file; then follow the job that was started, or index the result, after all ranges of pages."""
        prepare = self._task("Prepare the file", self.prepare, {}, "$.plan")
        prepare.add_catch(failed, errors=["States.ALL"], result_path="$.error")
        ready = self._index_task("Index what is there", {"output_uri.$": "$.plan.output_uri"})
        ready.add_catch(failed, errors=["States.ALL"], result_path="$.error")
        pages = sfn.Map(
            self,
            "Each range of pages",
            items_path="$.plan.ranges",
            item_selector={
                "asset_id.$": "$.asset_id",
                "generation.$": "$.generation",
                "attempt.$": "$.attempt",
                "first.$": "$$.Map.Item.Value.first",
                "last.$": "$$.Map.Item.Value.last",
            },
            max_concurrency=PAGES_AT_ONCE,
            result_path=sfn.JsonPath.DISCARD,
        )
        embed = self._task("Embed pages", self.pages, {"first.$": "$.first", "last.$": "$.last"}, sfn.JsonPath.DISCARD)
        # A range that cannot be embedded is told by the file that is missing then.
        left_out = sfn.Pass(self, "Leave them out")
        embed.add_catch(left_out, errors=["States.ALL"], result_path=sfn.JsonPath.DISCARD)
        pages.item_processor(embed)
        pages.add_catch(failed, errors=["States.ALL"], result_path="$.error")
        adopt = sfn.Pass(self, "Adopt its job", input_path="$.plan.invocation_arn", result_path="$.invocation_arn")
        adopt.next(follow)
        return prepare.next(
            sfn.Choice(self, "What was planned?")
            .when(sfn.Condition.is_present("$.plan.invocation_arn"), adopt)
            .when(sfn.Condition.is_present("$.plan.ranges"), pages.next(ready))
            .otherwise(ready)
        )

    def _longer_wait(self, wait: sfn.Wait) -> sfn.Choice:
        """Twice as long as before, a minute at most."""
        longer = sfn.Pass(
            self,
            "Wait twice as long",
            parameters={"seconds.$": "States.MathAdd($.wait.seconds, $.wait.seconds)"},
            result_path="$.wait",
        )
        longest = sfn.Pass(
            self,
            "Wait a minute",
            result=sfn.Result.from_object({"seconds": LONGEST_WAIT_SECONDS}),
            result_path="$.wait",
        )
        return (
            sfn.Choice(self, "How long?")
            .when(sfn.Condition.number_greater_than("$.wait.seconds", LONGEST_WAIT_SECONDS // 2), longest.next(wait))
            .otherwise(longer.next(wait))
        )

    def _machine(self, chain: sfn.Chain) -> sfn.StateMachine:
        log_group = logs.LogGroup(
            self, "JobLog", retention=logs.RetentionDays.ONE_MONTH, removal_policy=RemovalPolicy.DESTROY
        )
        machine = sfn.StateMachine(
            self,
            "EmbeddingJob",
            definition_body=sfn.DefinitionBody.from_chainable(chain),
            timeout=JOB_DEADLINE,
            tracing_enabled=True,
            logs=sfn.LogOptions(destination=log_group, level=sfn.LogLevel.ALL),
            comment="Follows one asynchronous embedding job to its end",
        )
        self._waive_jobs(machine)
        for function in (self.index, self.prepare, self.pages):
            waive_wildcard(machine, f"{arn_of(function)}:*", "CDK grants the versions of a function along with it")
        waive_wildcard(machine, "*", "Log delivery and X-Ray know no resources to name")
        return machine

    def _get_job(self, on_failure: sfn.IChainable) -> tasks.CallAwsService:
        get = tasks.CallAwsService(
            self,
            "Ask Bedrock",
            service="bedrockruntime",
            action="getAsyncInvoke",
            parameters={"InvocationArn": sfn.JsonPath.string_at("$.invocation_arn")},
            iam_action="bedrock:GetAsyncInvoke",  # CDK would write `bedrockruntime:getAsyncInvoke`, which is none
            iam_resources=[self._jobs_arn],
            result_path="$.job",
        )
        get.add_retry(
            errors=["States.ALL"],
            interval=Duration.seconds(5),
            backoff_rate=2,
            max_attempts=8,
            max_delay=Duration.minutes(2),
            jitter_strategy=sfn.JitterType.FULL,
        )
        get.add_catch(on_failure, errors=["States.ALL"], result_path="$.error")
        return get

    def _index_task(self, name: str, payload: dict[str, str], result_path: str | None = None) -> tasks.LambdaInvoke:
        return self._task(name, self.index, payload, result_path)

    def _task(
        self, name: str, function: Function, payload: dict[str, str], result_path: str | None
    ) -> tasks.LambdaInvoke:
        task = tasks.LambdaInvoke(
            self,
            name,
            lambda_function=function,
            payload=sfn.TaskInput.from_object(
                {
                    "asset_id.$": "$.asset_id",
                    "generation.$": "$.generation",
                    "attempt.$": "$.attempt",
                    **payload,
                }
            ),
            payload_response_only=True,
            result_path=result_path,
            retry_on_service_exceptions=False,
        )
        task.add_retry(errors=PERMANENT, max_attempts=0)
        task.add_retry(
            errors=["ThrottledError", "Lambda.TooManyRequestsException", "Lambda.ServiceException"],
            interval=Duration.seconds(5),
            backoff_rate=2,
            max_attempts=1000,  # what waits for room has not failed: the deadline of the whole ends it
            max_delay=Duration.minutes(5),
            jitter_strategy=sfn.JitterType.FULL,
        )
        task.add_retry(errors=list(CRASHES), interval=Duration.seconds(5), max_attempts=1)
        task.add_retry(errors=["States.ALL"], interval=Duration.seconds(5), backoff_rate=2, max_attempts=4)
        return task

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

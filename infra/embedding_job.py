"""The state machine that takes one file from its preparation to its vectors, and follows the job in between."""

from typing import Any

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct, IConstruct

from infra import waits
from infra.functions import Function, arn_of, waive_wildcard
from infra.storage import Storage
from lambdas.shared.errors import CRASHES

PERMANENT = ["BadInputError", "UnsupportedError", "SupersededError"]
BUSY = ["ThrottledError", "Lambda.TooManyRequestsException", "Lambda.ServiceException"]
NET = Duration.days(30)


class EmbeddingJob(Construct):
    """Prepare what must be; wait for a slot; GetAsyncInvoke, wait for the result's arrival, ask again; index.

    Every end reaches the index function, and gives the slot to the next.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        storage: Storage,
        job_arns: str,
        job_seconds: int,
        prepare: Function,
        pages: Function,
        jobs: Function,
        index: Function,
        dead_letters: sqs.Queue,
    ) -> None:
        super().__init__(scope, construct_id)
        self._storage = storage
        self._job_arns = job_arns
        self._job_seconds = job_seconds
        self._dead_letters = dead_letters
        self._prepare, self._pages, self._jobs, self._index = prepare, pages, jobs, index
        self.machine = self._machine(self._states())
        self._answer_tokens()
        self._arrivals()
        self._ends()
        self._sweeps()

    # -- states -------------------------------------------------------------------------------------------------------

    def _states(self) -> sfn.Chain:
        failed = self._index_task(
            "Record the failure",
            {"failure.$": "$.error.Cause", "error.$": "$.error.Error"},
            result_path=sfn.JsonPath.DISCARD,
        )
        failed.next(sfn.Fail(self, "Not indexed", cause_path="$.error.Cause", error_path="$.error.Error"))
        job = self._job(failed)
        return sfn.Chain.start(
            sfn.Choice(self, "Is it prepared?")
            .when(sfn.Condition.is_present("$.request"), job)
            .otherwise(self._prepare_task(job, failed))
        )

    def _prepare_task(self, job: sfn.IChainable, failed: sfn.IChainable) -> sfn.IChainable:
        """Open the file; then run the job it needs, or index the result, after all ranges of pages."""
        prepare = self._task("Prepare the file", self._prepare, {}, "$.plan")
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
            max_concurrency=waits.PAGES_AT_ONCE,
            result_path=sfn.JsonPath.DISCARD,
        )
        embed = self._task("Embed pages", self._pages, {"first.$": "$.first", "last.$": "$.last"}, sfn.JsonPath.DISCARD)
        # A range that cannot be embedded is told by the file that is missing then.
        left_out = sfn.Pass(self, "Leave them out")
        embed.add_catch(left_out, errors=["States.ALL"], result_path=sfn.JsonPath.DISCARD)
        pages.item_processor(embed)
        pages.add_catch(failed, errors=["States.ALL"], result_path="$.error")
        adopt = sfn.Pass(self, "Adopt its job", input_path="$.plan.request", result_path="$.request")
        adopt.next(job)
        return prepare.next(
            sfn.Choice(self, "What was planned?")
            .when(sfn.Condition.is_present("$.plan.request"), adopt)
            .when(sfn.Condition.is_present("$.plan.ranges"), pages.next(ready))
            .otherwise(ready)
        )

    def _job(self, failed: sfn.IChainable) -> sfn.IChainable:
        """Wait for a slot, follow the job to its end, pass the slot on, index what came of it."""
        start = self._start_task(failed)
        get = self._get_job(failed)
        wait = self._wait_for_result(failed)
        moment = sfn.Wait(self, "A moment", time=_wait(waits.MOMENT_SECONDS))
        longer = sfn.Pass(
            self,
            "Wait twice as long",
            parameters={
                "seconds.$": "States.MathAdd($.wait.seconds, $.wait.seconds)",
                "waited.$": "States.MathAdd($.wait.waited, $.wait.seconds)",
            },
            result_path="$.wait",
        )
        longest = sfn.Pass(
            self,
            "Wait as long again",
            parameters={
                "seconds": waits.LONGEST_SECONDS,
                "waited.$": "States.MathAdd($.wait.waited, $.wait.seconds)",
            },
            result_path="$.wait",
        )
        how_long = (
            sfn.Choice(self, "How long?")
            .when(sfn.Condition.number_greater_than("$.wait.seconds", waits.LONGEST_SECONDS // 2), longest.next(get))
            .otherwise(longer.next(get))
        )
        ended = ["States.Timeout", "DynamoDb.ConditionalCheckFailedException"]
        wait.add_retry(errors=ended, max_attempts=0)
        wait.add_retry(errors=["States.ALL"], **_retry(waits.ASKING))
        wait.add_catch(how_long, errors=["States.Timeout"], result_path=sfn.JsonPath.DISCARD)
        wait.add_catch(
            moment, errors=["DynamoDb.ConditionalCheckFailedException"], result_path=sfn.JsonPath.DISCARD
        )  # the result is there, the status lags behind
        wait.add_catch(failed, errors=["States.ALL"], result_path="$.error")
        wait.next(get)
        moment.next(get)
        late = sfn.Pass(
            self,
            "Late",
            result=sfn.Result.from_object(
                {"Error": "BadInputError", "Cause": f"the job did not end within {self._job_seconds // 3600} hours"}
            ),
            result_path="$.error",
        )
        late.next(failed)
        running = sfn.Choice(self, "Does it run?")
        running.when(sfn.Condition.not_(_status("InProgress")), self._pass_on(failed))
        running.when(sfn.Condition.number_greater_than("$.wait.waited", self._job_seconds), late)
        running.otherwise(wait)
        get.next(running)
        first = sfn.Pass(
            self,
            "First wait",
            result=sfn.Result.from_object({"seconds": waits.FIRST_SECONDS, "waited": 0}),
            result_path="$.wait",
        )
        return start.next(first).next(get)

    def _pass_on(self, failed: sfn.IChainable) -> sfn.IChainable:
        """The slot is for the next one, before the result is read."""
        index = self._index_task(
            "Index the result", {"output_uri.$": "$.job.OutputDataConfig.S3OutputDataConfig.S3Uri"}
        )
        index.add_catch(failed, errors=["States.ALL"], result_path="$.error")
        refused = self._index_task("Record what Bedrock says", {"failure.$": "$.job.FailureMessage"})
        unsaid = self._index_task("Record an unexplained failure", {"failure": "Bedrock failed without a message"})
        done = (
            sfn.Choice(self, "Done?")
            .when(_status("Completed"), index)
            .when(sfn.Condition.is_present("$.job.FailureMessage"), refused)
            .otherwise(unsaid)
        )
        pass_on = tasks.LambdaInvoke(
            self,
            "Pass the slot on",
            lambda_function=self._jobs,
            payload=sfn.TaskInput.from_object({"step": "end", "name": sfn.JsonPath.execution_name}),
            result_path=sfn.JsonPath.DISCARD,
            retry_on_service_exceptions=False,
        )
        pass_on.add_retry(errors=["States.ALL"], **_retry(waits.PASSING_ON))
        pass_on.add_catch(done, errors=["States.ALL"], result_path=sfn.JsonPath.DISCARD)  # a schedule finds it
        return pass_on.next(done)

    def _start_task(self, failed: sfn.IChainable) -> tasks.LambdaInvoke:
        """Told the job's ARN once it runs."""
        task = tasks.LambdaInvoke(
            self,
            "Run the job",
            lambda_function=self._jobs,
            integration_pattern=sfn.IntegrationPattern.WAIT_FOR_TASK_TOKEN,
            payload=sfn.TaskInput.from_object(
                {
                    "step": "start",
                    "asset_id.$": "$.asset_id",
                    "generation.$": "$.generation",
                    "attempt.$": "$.attempt",
                    "request.$": "$.request",
                    "token": sfn.JsonPath.task_token,
                }
            ),
            task_timeout=sfn.Timeout.duration(Duration.seconds(waits.TURN_SECONDS)),
            result_path="$.started",
            retry_on_service_exceptions=False,
        )
        task.add_retry(errors=[*PERMANENT, "States.Timeout"], max_attempts=0)
        task.add_retry(errors=BUSY, **_retry(waits.BUSY))
        task.add_retry(errors=["States.ALL"], **_retry(waits.STARTING))
        task.add_catch(failed, errors=["States.ALL"], result_path="$.error")
        return task

    def _get_job(self, failed: sfn.IChainable) -> tasks.CallAwsService:
        get = tasks.CallAwsService(
            self,
            "Ask Bedrock",
            service="bedrockruntime",
            action="getAsyncInvoke",
            parameters={"InvocationArn": sfn.JsonPath.string_at("$.started.arn")},
            iam_action="bedrock:GetAsyncInvoke",  # CDK would write `bedrockruntime:getAsyncInvoke`, which is none
            iam_resources=[self._job_arns],
            result_path="$.job",
        )
        get.add_retry(errors=["States.ALL"], **_retry(waits.ASKING))
        get.add_catch(failed, errors=["States.ALL"], result_path="$.error")
        return get

    def _wait_for_result(self, failed: sfn.IChainable) -> tasks.CallAwsService:
        """The token lies with the job; whoever sees the result arrive sends it. Refused where it has arrived."""
        table = self._storage.catalog
        return tasks.CallAwsService(
            self,
            "Wait for the result",
            service="dynamodb",
            action="updateItem",
            integration_pattern=sfn.IntegrationPattern.WAIT_FOR_TASK_TOKEN,
            parameters={
                "TableName": table.table_name,
                "Key": {
                    "asset_id": {"S": sfn.JsonPath.string_at("$.asset_id")},
                    "record": {
                        "S": sfn.JsonPath.format(
                            "of#{}#job#{}",
                            sfn.JsonPath.string_at("$.generation"),
                            sfn.JsonPath.string_at("$.attempt"),
                        )
                    },
                },
                "UpdateExpression": "SET waiter = :token",
                "ConditionExpression": "attribute_not_exists(arrived)",
                "ExpressionAttributeValues": {":token": {"S": sfn.JsonPath.task_token}},
            },
            iam_resources=[table.table_arn],
            task_timeout=sfn.Timeout.at("$.wait.seconds"),
            result_path=sfn.JsonPath.DISCARD,
        )

    def _index_task(self, name: str, payload: dict[str, str], result_path: str | None = None) -> tasks.LambdaInvoke:
        return self._task(name, self._index, payload, result_path)

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
        task.add_retry(errors=BUSY, **_retry(waits.BUSY))
        task.add_retry(errors=list(CRASHES), **_retry(waits.CRASHED))
        task.add_retry(errors=["States.ALL"], **_retry(waits.TASK))
        return task

    # -- the machine --------------------------------------------------------------------------------------------------

    def _machine(self, chain: sfn.Chain) -> sfn.StateMachine:
        log_group = logs.LogGroup(
            self, "Log", retention=logs.RetentionDays.ONE_MONTH, removal_policy=RemovalPolicy.DESTROY
        )
        machine = sfn.StateMachine(
            self,
            "Machine",
            definition_body=sfn.DefinitionBody.from_chainable(chain),
            timeout=NET,
            tracing_enabled=True,
            logs=sfn.LogOptions(destination=log_group, level=sfn.LogLevel.ALL),
            comment="Takes one file from its preparation to its vectors",
        )
        waive_job_ids(machine)
        for function in (self._prepare, self._pages, self._jobs, self._index):
            waive_wildcard(machine, f"{arn_of(function)}:*", "CDK grants the versions of a function along with it")
        waive_wildcard(machine, "*", "Log delivery and X-Ray know no resources to name")
        return machine

    def _answer_tokens(self) -> None:
        """In a policy of its own: in the function's own, function and machine would wait for each other."""
        assert self._jobs.role is not None
        iam.Policy(
            self,
            "AnswerTokens",
            roles=[self._jobs.role],
            statements=[
                iam.PolicyStatement(
                    actions=["states:SendTaskSuccess", "states:SendTaskFailure"],
                    resources=[self.machine.state_machine_arn],
                )
            ],
        )

    # -- what the jobs function is told beside ------------------------------------------------------------------------

    def _arrivals(self) -> None:
        self._rule(
            "ResultArrived",
            events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created"],
                detail={
                    "bucket": {"name": [self._storage.output_bucket.bucket_name]},
                    "object": {"key": [{"suffix": "/segmented-embedding-result.json"}]},
                },
            ),
            {self._jobs: {"step": "arrive", "key": events.EventField.from_path("$.detail.object.key")}},
        )

    def _ends(self) -> None:
        """An execution that failed, was stopped or ran out of time had its slot too, and may have told nobody."""
        name = events.EventField.from_path("$.detail.name")
        status = events.EventField.from_path("$.detail.status")
        self._rule(
            "NotIndexed",
            events.EventPattern(
                source=["aws.states"],
                detail_type=["Step Functions Execution Status Change"],
                detail={
                    "stateMachineArn": [self.machine.state_machine_arn],
                    "status": ["FAILED", "TIMED_OUT", "ABORTED"],
                },
            ),
            {
                self._jobs: {"step": "end", "name": name},
                self._index: {"name": name, "failure": f"its execution ended {status}"},
            },
        )

    def _rule(self, name: str, pattern: events.EventPattern, messages: dict[Function, dict[str, str]]) -> None:
        rule = events.Rule(self, name, event_pattern=pattern)
        for function, message in messages.items():
            event = events.RuleTargetInput.from_object(message)
            rule.add_target(targets.LambdaFunction(function, event=event, dead_letter_queue=self._dead_letters))

    def _sweeps(self) -> None:
        rule = events.Rule(self, "EveryMinute", schedule=events.Schedule.rate(Duration.seconds(waits.SWEEP_SECONDS)))
        sweep = events.RuleTargetInput.from_object({"step": "sweep"})
        rule.add_target(targets.LambdaFunction(self._jobs, event=sweep))


def waive_job_ids(construct: IConstruct) -> None:
    jobs = f"arn:<AWS::Partition>:bedrock:{Stack.of(construct).region}:<AWS::AccountId>:async-invoke/*"
    waive_wildcard(construct, jobs, "The ids of jobs are Bedrock's to give")


def _wait(seconds: int) -> sfn.WaitTime:
    return sfn.WaitTime.duration(Duration.seconds(seconds))


def _retry(retries: waits.Retries) -> dict[str, Any]:
    return {
        "interval": Duration.seconds(retries.interval),
        "backoff_rate": retries.rate,
        "max_attempts": retries.most,
        **({"max_delay": Duration.seconds(retries.longest)} if retries.longest else {}),
        **({"jitter_strategy": sfn.JitterType.FULL} if retries.jitter else {}),
    }


def _status(name: str) -> sfn.Condition:
    return sfn.Condition.string_equals("$.job.Status", name)

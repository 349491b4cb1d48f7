"""Which actions on which resources a request needs (Service Authorization Reference), told from the request alone."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any
from urllib.parse import unquote, urlsplit

from werkzeug.wrappers import Request

from local.operations import Asked
from local.s3vectors.service import read_body
from local.wire import ACCOUNT, read_json

Json = dict[str, Any]


@dataclass(frozen=True)
class Need:
    """`values` gives the condition keys of the request beyond those that every request has; most are never asked."""

    action: str
    resource: str
    values: Callable[[], Mapping[str, str | None]] = dict


@dataclass(frozen=True)
class Question:
    """A request, with what its needs are told from."""

    asked: Asked
    request: Request
    region: str
    machine_of_token: Callable[[str], str | None]

    @cached_property
    def body(self) -> Json:
        """Read only where a need cannot be told without it. AwsError where it is no JSON object."""
        return read_body(self.request) if self.asked.service == "s3vectors" else read_json(self.request)

    def arn(self, rest: str, service: str | None = None) -> str:
        return f"arn:aws:{service or self.asked.service}:{self.region}:{ACCOUNT}:{rest}"

    def need(self, resource: str, action: str | None = None) -> Need:
        """On the resource, by default the action called as the operation."""
        name = action or self.asked.operation
        return Need(f"{self.asked.service}:{name}", resource)

    def text(self, *names: str) -> str:
        """The first of these members that the path (or without any in it the body) has, empty without one."""
        source = self.asked.labels or self.body
        return next((str(source[name]) for name in names if source.get(name)), "")

    def pass_role(self, role_arn: Any, to: str) -> list[Need]:
        return [Need("iam:PassRole", str(role_arn), lambda: {"iam:PassedToService": to})] if role_arn else []


Needs = Callable[[Question], Iterable[Need]]

# -- SQS ------------------------------------------------------------------------------------------------------------


def sqs_needs(question: Question) -> Iterable[Need]:
    action = question.asked.operation.removesuffix("Batch")
    url = question.text("QueueUrl")
    name = urlsplit(url).path.rpartition("/")[2] if url else question.text("QueueName")
    if action == "ListQueues":
        return [question.need("*")]
    if action == "StartMessageMoveTask":
        return _move_needs(question)
    arn = question.arn(name or "*")
    tags = [question.need(arn, "TagQueue")] if action == "CreateQueue" and question.body.get("tags") else []
    return [question.need(question.text("SourceArn") or arn, action), *tags]


def _move_needs(question: Question) -> Iterable[Need]:
    source, destination = question.text("SourceArn"), question.text("DestinationArn")
    for action in ("StartMessageMoveTask", "ReceiveMessage", "DeleteMessage", "GetQueueAttributes"):
        yield question.need(source, action)
    yield question.need(destination or question.arn("*"), "SendMessage")


# -- DynamoDB -------------------------------------------------------------------------------------------------------

_PARTS = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "Get": "GetItem"} | {
    "ConditionCheck": "ConditionCheckItem"
}


def dynamodb_needs(question: Question) -> Iterable[Need]:
    operation = question.asked.operation
    if operation.startswith("Transact"):
        return _transaction_needs(question)
    if operation in ("BatchGetItem", "BatchWriteItem"):
        return [question.need(_table(question, name)) for name in _members(question.body.get("RequestItems"))]
    if operation == "ListTables":
        return [question.need("*")]
    table = _table(question, question.text("TableName", "ResourceArn"))
    index = question.text("IndexName")
    return [question.need(f"{table}/index/{index}" if index else table)]


def _transaction_needs(question: Question) -> Iterable[Need]:
    """Of each part; of two on the same table one is enough."""
    found: dict[tuple[str, str], Need] = {}
    for item in question.body.get("TransactItems") or ():
        for kind, part in _members(item).items():
            table = _table(question, str(_members(part).get("TableName", "")))
            found[kind, table] = question.need(table, _PARTS.get(kind, kind))
    return found.values()


def _table(question: Question, name: str) -> str:
    return name if name.startswith("arn:") else question.arn(f"table/{name or '*'}")


def _members(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


# -- S3 Vectors -----------------------------------------------------------------------------------------------------


def s3vectors_needs(question: Question) -> Iterable[Need]:
    """A query with a filter, metadata or texts reads vectors too (QueryVectors in the S3 API reference)."""
    operation, body = question.asked.operation, question.body
    resource = _vector_resource(question)
    yield question.need(resource)
    reads_more = {
        "QueryVectors": ("filter", "returnMetadata", "queryTexts"),
        "ListVectors": ("returnData", "returnMetadata"),
    }
    if any(body.get(name) for name in reads_more.get(operation, ())):
        yield question.need(resource, "GetVectors")
    if operation.startswith("Create") and body.get("tags"):
        yield question.need(resource, "TagResource")


def _vector_resource(question: Question) -> str:
    if arn := question.text("indexArn", "resourceArn"):
        return unquote(arn)
    name = question.text("vectorBucketName")
    bucket = question.text("vectorBucketArn") or (question.arn(f"bucket/{name}") if name else "*")
    index = question.text("indexName")
    return f"{bucket}/index/{index}" if index else bucket


# -- Lambda, Step Functions, EventBridge ----------------------------------------------------------------------------


def lambda_needs(question: Question) -> Iterable[Need]:
    action = "InvokeFunction" if question.asked.operation in ("Invoke", "InvokeAsync") else question.asked.operation
    name = question.text("FunctionName")
    if not name:
        return [question.need("*", action)]
    qualifier = question.request.args.get("Qualifier")
    arn = name if name.startswith("arn:") else question.arn(f"function:{name.rpartition('function:')[2]}")
    whole = f"{arn}:{qualifier}" if qualifier and arn.count(":") == 6 else arn
    return [question.need(whole, action)]


def states_needs(question: Question) -> Iterable[Need]:
    operation = question.asked.operation
    if operation in ("ListStateMachines", "ValidateStateMachineDefinition"):
        return [question.need("*")]
    if operation.startswith("SendTask"):
        return [question.need(question.machine_of_token(question.text("taskToken")) or "*")]
    if operation == "CreateStateMachine":
        machine = question.arn(f"stateMachine:{question.text('name')}")
        return [question.need(machine), *question.pass_role(question.text("roleArn"), "states.amazonaws.com")]
    resource = question.text("stateMachineArn", "executionArn", "resourceArn", "mapRunArn") or "*"
    return [question.need(resource), *question.pass_role(question.text("roleArn"), "states.amazonaws.com")]


def events_needs(question: Question) -> Iterable[Need]:
    operation = question.asked.operation
    if operation == "PutEvents":
        return _put_events_needs(question)
    if operation == "ListRuleNamesByTarget" or operation == "TestEventPattern":
        return [question.need("*")]
    if operation == "ListRules":
        return [question.need(question.arn(f"rule/{question.text('NamePrefix')}*"))]
    targets = [target for target in question.body.get("Targets") or () if isinstance(target, dict)]
    passed = [need for target in targets for need in question.pass_role(target.get("RoleArn"), "events.amazonaws.com")]
    return [question.need(question.arn(f"rule/{question.text('Name', 'Rule') or '*'}")), *passed]


def _put_events_needs(question: Question) -> Iterable[Need]:
    for entry in question.body.get("Entries") or ():
        bus = str(_members(entry).get("EventBusName") or "default")
        arn = bus if bus.startswith("arn:") else question.arn(f"event-bus/{bus}")
        yield Need("events:PutEvents", arn, partial(_entry_values, _members(entry)))


def _entry_values(entry: Json) -> Mapping[str, str | None]:
    return {"events:source": str(entry.get("Source")), "events:detail-type": str(entry.get("DetailType"))}


# -- Bedrock --------------------------------------------------------------------------------------------------------


def bedrock_needs(question: Question) -> Iterable[Need]:
    """StartAsyncInvoke has no action of its own (Bedrock API reference): the model's, on the model and on its jobs."""
    operation = question.asked.operation
    model = _model(question, question.text("modelId"))
    match operation:
        case "InvokeModel" | "InvokeModelWithResponseStream":
            return [question.need(model)]
        case "StartAsyncInvoke":
            jobs = question.arn("async-invoke/*")
            invoke = [question.need(model, "InvokeModel"), question.need(jobs, "InvokeModel")]
            return [*invoke, *_tag_needs(question, jobs)]
        case "CreateModelInvocationJob":
            role = question.pass_role(question.text("roleArn"), "bedrock.amazonaws.com")
            jobs = question.arn("model-invocation-job/*")
            return [question.need(model), question.need(jobs), *role, *_tag_needs(question, jobs)]
    if identifier := question.text("modelIdentifier"):
        return [question.need(_model(question, identifier))]
    named = question.text("invocationArn", "jobIdentifier", "resourceARN")
    if named and not named.startswith("arn:"):
        named = question.arn(f"model-invocation-job/{named}")
    return [question.need(named or "*")]


def _tag_needs(question: Question, resource: str) -> list[Need]:
    return [question.need(resource, "TagResource")] if question.body.get("tags") else []


def _model(question: Question, model: str) -> str:
    if model.startswith("arn:"):
        return model
    return f"arn:aws:bedrock:{question.region}::foundation-model/{model}"


# -- what the laptop leaves to others -------------------------------------------------------------------------------


def sts_needs(question: Question) -> Iterable[Need]:
    """GetCallerIdentity needs nothing."""
    if question.asked.operation == "GetCallerIdentity":
        return []
    return [question.need(question.request.form.get("RoleArn") or question.request.args.get("RoleArn") or "*")]


def logs_needs(question: Question) -> Iterable[Need]:
    group, stream = question.text("logGroupName"), question.text("logStreamName")
    if not group:
        return [question.need(question.text("logGroupIdentifier", "resourceArn") or "*")]
    where = f"log-group:{group}:log-stream:{stream}" if stream else f"log-group:{group}"
    if question.asked.operation == "CreateLogStream":
        where = f"log-group:{group}"
    return [question.need(question.arn(where))]


def _named_needs(member: str, kind: str, question: Question) -> Iterable[Need]:
    """Of services whose requests name one resource."""
    name = question.text(member)
    if not name:
        return [question.need("*")]
    return [question.need(name if name.startswith("arn:") else question.arn(f"{kind}{name.removeprefix('/')}"))]


def unknown_needs(question: Question) -> Iterable[Need]:
    """Where it is not known which resource a request names, only a right to all of them will do."""
    return [question.need("*")]


BY_SERVICE: Mapping[str, Needs] = {
    "sqs": sqs_needs,
    "dynamodb": dynamodb_needs,
    "s3vectors": s3vectors_needs,
    "lambda": lambda_needs,
    "states": states_needs,
    "events": events_needs,
    "bedrock": bedrock_needs,
    "sts": sts_needs,
    "logs": logs_needs,
    "ssm": partial(_named_needs, "Name", "parameter/"),
    "secretsmanager": partial(_named_needs, "SecretId", "secret:"),
}

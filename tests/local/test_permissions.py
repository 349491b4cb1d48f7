"""A role may do what its policies say: asked over the wire, service by service, with the services' own errors."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
import urllib3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials as BotoCredentials
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.clients import Clients
from local.iam.patterns import action_matcher, resource_matcher, text_matcher
from local.iam.statements import PolicyError, read_policy
from local.laptop import Laptop, Settings
from local.stack.template import TemplateError

ACCOUNT = "000000000000"
HERE = f"us-east-1:{ACCOUNT}"
MODEL = "amazon.nova-2-multimodal-embeddings-v1:0"
CODE = "def handler(event, context):\n    return event\n"

Json = dict[str, Any]


def allow(actions: str | list[str], resources: str | list[str], **more: Any) -> Json:
    return {"Effect": "Allow", "Action": actions, "Resource": resources, **more}


def deny(actions: str | list[str], resources: str | list[str], **more: Any) -> Json:
    return {**allow(actions, resources, **more), "Effect": "Deny"}


SERVICES = [f"{name}.amazonaws.com" for name in ("lambda", "states", "events")]
TRUST = {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": SERVICES}}]}


def role(*statements: Json, managed: tuple[str, ...] = ()) -> Json:
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    policies = [{"PolicyName": "own", "PolicyDocument": document}] if statements else []
    properties = {"AssumeRolePolicyDocument": TRUST, "Policies": policies, "ManagedPolicyArns": list(managed)}
    return {"Type": "AWS::IAM::Role", "Properties": properties}


def resource(kind: str, **properties: Any) -> Json:
    return {"Type": f"AWS::{kind}", "Properties": properties}


def table(name: str) -> Json:
    keys = [{"AttributeName": "id", "KeyType": "HASH"}]
    return resource(
        "DynamoDB::Table",
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=keys,
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("id", "by")],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-whom",
                "KeySchema": [{"AttributeName": "by", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )


def function(name: str, role: str) -> Json:
    return resource(
        "Lambda::Function",
        FunctionName=name,
        Handler="index.handler",
        Runtime="python3.13",
        Role={"Fn::GetAtt": [role, "Arn"]},
        Code={"ZipFile": CODE},
    )


def machine(name: str, role: str) -> Json:
    return resource(
        "StepFunctions::StateMachine",
        StateMachineName=name,
        RoleArn={"Fn::GetAtt": [role, "Arn"]},
        Definition={
            "StartAt": "Call",
            "States": {
                "Call": {
                    "Type": "Task",
                    "Resource": "arn:aws:states:::lambda:invoke",
                    "Parameters": {"FunctionName": "told", "Payload": {}},
                    "End": True,
                }
            },
        },
    )


def rule(name: str, detail_type: str, target: Json) -> Json:
    pattern = {"source": ["test"], "detail-type": [detail_type]}
    return resource("Events::Rule", Name=name, EventPattern=pattern, Targets=[{"Id": "1", **target}])


def queue_policy(queue: str, *statements: Json) -> Json:
    return resource(
        "SQS::QueuePolicy",
        Queues=[{"Ref": queue}],
        PolicyDocument={"Version": "2012-10-17", "Statement": list(statements)},
    )


EVENTS = {"Principal": {"Service": "events.amazonaws.com"}}
NOT_PLAIN = {"Principal": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
RESOURCES: Json = {
    "Reader": role(
        allow(["s3:GetObject", "s3:GetObjectVersion"], "arn:aws:s3:::films/open/*"),
        allow("s3:GetObject", "arn:aws:s3:::films/hidden/*"),
        deny("s3:*", "arn:aws:s3:::films/hidden/*"),
        allow("s3:ListBucket", "arn:aws:s3:::films", Condition={"StringLike": {"s3:prefix": ["open/*", "open"]}}),
        allow(["s3:PutObject", "s3:DeleteObject"], "arn:aws:s3:::films/open/*"),
        allow("sqs:SendMessage", f"arn:aws:sqs:{HERE}:in"),
        allow(["dynamodb:PutItem", "dynamodb:BatchGetItem"], f"arn:aws:dynamodb:{HERE}:table/rows"),
        allow("dynamodb:Query", f"arn:aws:dynamodb:{HERE}:table/rows/index/*"),
        allow("lambda:InvokeFunction", f"arn:aws:lambda:{HERE}:function:told"),
        allow("states:StartExecution", f"arn:aws:states:{HERE}:stateMachine:works"),
        allow("states:DescribeExecution", f"arn:aws:states:{HERE}:execution:works:*"),
        allow("events:PutEvents", "*", Condition={"StringEquals": {"events:source": "test"}}),
        allow("s3vectors:QueryVectors", f"arn:aws:s3vectors:{HERE}:bucket/shelf/index/films"),
        allow("bedrock:InvokeModel", f"arn:aws:bedrock:us-east-1::foundation-model/{MODEL}"),
        allow("bedrock:ListAsyncInvokes", "*"),
    ),
    "Lister": role(allow("s3:ListBucket", "*"), allow("s3:GetObject", "arn:aws:s3:::films/open/a")),
    "Named": role(allow("s3:GetObject", "arn:aws:s3:::films/${aws:PrincipalAccount}/*")),
    "Nobody": role(),
    "Basic": role(managed=("arn:aws:iam::aws:policy/service-role/AWSLambdaSQSQueueExecutionRole",)),
    "Teller": role(allow("lambda:InvokeFunction", {"Fn::GetAtt": ["Told", "Arn"]})),  # type: ignore[arg-type]
    "Starter": role(allow("states:StartExecution", f"arn:aws:states:{HERE}:stateMachine:works")),
    "Films": resource("S3::Bucket", BucketName="films", VersioningConfiguration={"Status": "Enabled"}),
    "FilmsPolicy": resource(
        "S3::BucketPolicy",
        Bucket={"Ref": "Films"},
        PolicyDocument={
            "Statement": [
                deny("s3:*", ["arn:aws:s3:::films", "arn:aws:s3:::films/*"], **NOT_PLAIN),
                deny("s3:PutObject", "arn:aws:s3:::films/frozen/*", Principal="*"),
                allow(
                    "s3:GetObject",
                    "arn:aws:s3:::films/shared/*",
                    Principal={"AWS": {"Fn::GetAtt": ["Nobody", "Arn"]}},
                ),
            ]
        },
    ),
    "In": resource("SQS::Queue", QueueName="in"),
    "Out": resource("SQS::Queue", QueueName="out"),
    "Letters": resource("SQS::Queue", QueueName="letters"),
    "Shut": resource("SQS::Queue", QueueName="shut"),
    "OutPolicy": queue_policy(
        "Out",
        allow(
            "sqs:SendMessage",
            f"arn:aws:sqs:{HERE}:out",
            **EVENTS,
            Condition={"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": ["Open", "Arn"]}}},
        ),
    ),
    "LettersPolicy": queue_policy("Letters", allow("sqs:SendMessage", f"arn:aws:sqs:{HERE}:letters", **EVENTS)),
    "Open": rule("open", "open", {"Arn": {"Fn::GetAtt": ["Out", "Arn"]}}),
    "Closed": rule(
        "closed",
        "closed",
        {
            "Arn": {"Fn::GetAtt": ["Shut", "Arn"]},
            "DeadLetterConfig": {"Arn": {"Fn::GetAtt": ["Letters", "Arn"]}},
        },
    ),
    "Unasked": rule(
        "unasked",
        "unasked",
        {
            "Arn": {"Fn::GetAtt": ["Told", "Arn"]},
            "DeadLetterConfig": {"Arn": {"Fn::GetAtt": ["Letters", "Arn"]}},
        },
    ),
    "Starts": rule(
        "starts",
        "starts",
        {"Arn": {"Ref": "Works"}, "RoleArn": {"Fn::GetAtt": ["Starter", "Arn"]}},
    ),
    "StartsNot": rule(
        "starts-not",
        "starts-not",
        {
            "Arn": {"Ref": "Works"},
            "RoleArn": {"Fn::GetAtt": ["Nobody", "Arn"]},
            "DeadLetterConfig": {"Arn": {"Fn::GetAtt": ["Letters", "Arn"]}},
        },
    ),
    "Rows": table("rows"),
    "Told": function("told", "Nobody"),
    "Secret": function("secret", "Nobody"),
    "Works": machine("works", "Teller"),
    "Fails": machine("fails", "Nobody"),
    "Shelf": resource("S3Vectors::VectorBucket", VectorBucketName="shelf"),
    "Index": resource(
        "S3Vectors::Index",
        VectorBucketArn={"Ref": "Shelf"},
        IndexName="films",
        DataType="float32",
        Dimension=2,
        DistanceMetric="cosine",
    ),
}


def assembly(folder: Path, resources: Json) -> Path:
    folder.mkdir(parents=True)
    artifact = {
        "type": "aws:cloudformation:stack",
        "environment": "aws://unknown-account/us-east-1",
        "properties": {"templateFile": "T.json", "stackName": "T"},
    }
    (folder / "manifest.json").write_text(json.dumps({"artifacts": {"T": artifact}}))
    (folder / "T.json").write_text(json.dumps({"Resources": resources}))
    return folder


@contextmanager
def running(folder: Path, resources: Json) -> Iterator[Laptop]:
    laptop = Laptop(Settings(assembly(folder / "asm", resources), folder / "data", folder / "layers", None, 0, 0))
    try:
        laptop.start()
        yield laptop
    finally:
        laptop.stop()


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    with running(tmp_path_factory.mktemp("laptop"), RESOURCES) as made:
        s3 = clients(made).get("s3", None)
        for key in ("open/a", "hidden/a", "other/a", "shared/a", f"{ACCOUNT}/a"):
            s3.put_object(Bucket="films", Key=key, Body=b"x")
        yield made


@cache
def clients(laptop: Laptop) -> Clients:
    return Clients(laptop.aws.url, laptop.keyring)


def arn_of(laptop: Laptop, role: str) -> str:
    (found,) = (arn for arn in laptop.permissions.roles.all() if f"role/T-{role}-" in arn)
    return found


@pytest.fixture
def client(laptop: Laptop) -> Callable[..., Any]:
    """`client("s3")` signs as the role Reader."""
    return lambda service, role="Reader": clients(laptop).get(service, arn_of(laptop, role), "session")


@pytest.fixture
def local(laptop: Laptop) -> Callable[[str], Any]:
    return lambda service: clients(laptop).get(service, None)


def refused(call: Callable[..., Any], **arguments: Any) -> tuple[str, int, str]:
    """Code, status and message."""
    with pytest.raises(ClientError) as raised:
        call(**arguments)
    answer = raised.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"]


def message(laptop: Laptop, role: str, action: str, resource: str, why: str = "") -> str:
    name = arn_of(laptop, role).rpartition("/")[2]
    user = f"User: arn:aws:sts::{ACCOUNT}:assumed-role/{name}/session is not authorized to perform: {action}"
    return f"{user} on resource: {resource} {why or f'because no identity-based policy allows the {action} action'}"


# One allowed and one denied call of each service


QUERY = {"vectorBucketName": "shelf", "indexName": "films", "topK": 1, "queryVector": {"float32": [1.0, 0.0]}}
FILMS = f"arn:aws:s3vectors:{HERE}:bucket/shelf/index/films"
WORKS, FAILS = (f"arn:aws:states:{HERE}:stateMachine:{name}" for name in ("works", "fails"))
NEW = {"Bucket": "films", "Key": "open/b"}
ROW = {"id": {"S": "1"}}
PUT = {"Put": {"TableName": "rows", "Item": ROW}}
TABLE = f"arn:aws:dynamodb:{HERE}:table/rows"
BY = {
    "KeyConditionExpression": "#by = :by",
    "ExpressionAttributeNames": {"#by": "by"},
    "ExpressionAttributeValues": {":by": {"S": "x"}},
}
MODEL_INPUT = {
    "taskType": "SEGMENTED_EMBEDDING",
    "segmentedEmbeddingParams": {"embeddingPurpose": "GENERIC_INDEX"},
}
START = {
    "modelId": MODEL,
    "modelInput": MODEL_INPUT,
    "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://films/open/"}},
}


@pytest.mark.parametrize(
    ("service", "operation", "allowed", "denied", "error", "action", "resource"),
    [
        (
            *("s3", "get_object", {"Bucket": "films", "Key": "open/a"}, {"Bucket": "films", "Key": "other/a"}),
            *(("AccessDenied", 403), "s3:GetObject", '"arn:aws:s3:::films/other/a"'),
        ),
        (
            *(
                "s3",
                "put_object",
                {"Bucket": "films", "Key": "open/b"},
                {"Bucket": "films", "Key": "open/b", "Tagging": "a=b"},
            ),
            *(("AccessDenied", 403), "s3:PutObjectTagging", '"arn:aws:s3:::films/open/b"'),
        ),
        (
            *("s3", "list_objects_v2", {"Bucket": "films", "Prefix": "open/x"}, {"Bucket": "films"}),
            *(("AccessDenied", 403), "s3:ListBucket", '"arn:aws:s3:::films"'),
        ),
        (
            "s3",
            "copy_object",
            {"Bucket": "films", "Key": "open/c", "CopySource": {"Bucket": "films", "Key": "open/a"}},
            {"Bucket": "films", "Key": "open/c", "CopySource": {"Bucket": "films", "Key": "other/a"}},
            *(("AccessDenied", 403), "s3:GetObject", '"arn:aws:s3:::films/other/a"'),
        ),
        (
            "sqs",
            "send_message",
            {"QueueUrl": f"http://x/{ACCOUNT}/in", "MessageBody": "x"},
            {"QueueUrl": f"http://x/{ACCOUNT}/shut", "MessageBody": "x"},
            *(("AccessDenied", 403), "sqs:sendmessage", f"arn:aws:sqs:{HERE}:shut"),
        ),
        (
            *("dynamodb", "put_item", {"TableName": "rows", "Item": ROW}, {"TableName": "none", "Item": ROW}),
            *(("AccessDeniedException", 400), "dynamodb:PutItem", f"arn:aws:dynamodb:{HERE}:table/none"),
        ),
        (
            "dynamodb",
            "query",
            {"TableName": "rows", "IndexName": "by-whom", **BY},
            {"TableName": "rows", **BY},
            *(("AccessDeniedException", 400), "dynamodb:Query", TABLE),
        ),
        (
            "dynamodb",
            "transact_write_items",
            {"TransactItems": [PUT]},
            {
                "TransactItems": [
                    {"Delete": {"TableName": "rows", "Key": ROW}},
                    {"Put": {"TableName": "rows", "Item": {"id": {"S": "2"}}}},
                ]
            },
            *(("AccessDeniedException", 400), "dynamodb:DeleteItem", TABLE),
        ),
        (
            "dynamodb",
            "batch_get_item",
            {"RequestItems": {"rows": {"Keys": [ROW]}}},
            {"RequestItems": {"rows": {"Keys": [ROW]}, "other": {"Keys": [ROW]}}},
            *(("AccessDeniedException", 400), "dynamodb:BatchGetItem", f"arn:aws:dynamodb:{HERE}:table/other"),
        ),
        (
            *("lambda", "invoke", {"FunctionName": "told"}, {"FunctionName": "secret"}),
            *(("AccessDeniedException", 403), "lambda:InvokeFunction", f"arn:aws:lambda:{HERE}:function:secret"),
        ),
        (
            *("stepfunctions", "start_execution", {"stateMachineArn": WORKS}, {"stateMachineArn": FAILS}),
            *(("AccessDeniedException", 400), "states:StartExecution", FAILS),
        ),
        (
            "events",
            "put_events",
            {"Entries": [{"Source": "test", "DetailType": "none", "Detail": "{}"}]},
            {"Entries": [{"Source": "other", "DetailType": "none", "Detail": "{}"}]},
            *(("AccessDeniedException", 400), "events:PutEvents", f"arn:aws:events:{HERE}:event-bus/default"),
        ),
        (
            *("s3vectors", "query_vectors", QUERY, {**QUERY, "returnMetadata": True}),
            *(("AccessDeniedException", 403), "s3vectors:GetVectors", FILMS),
        ),
        (
            *("bedrock-runtime", "list_async_invokes", {}, None),
            *(("", 0), "", ""),
        ),
    ],
)
def test_what_a_policy_names_is_allowed_and_the_rest_is_the_services_own_error(
    laptop: Laptop,
    client: Callable[..., Any],
    service: str,
    operation: str,
    allowed: Json,
    denied: Json | None,
    error: tuple[str, int],
    action: str,
    resource: str,
) -> None:
    call = getattr(client(service), operation)
    call(**allowed)
    if denied is not None:
        assert refused(call, **denied) == (*error, message(laptop, "Reader", action, resource))


@pytest.mark.parametrize(
    ("service", "operation", "arguments", "code", "action", "resource"),
    [
        ("bedrock-runtime", "start_async_invoke", START, 403, "bedrock:InvokeModel", f"bedrock:{HERE}:async-invoke/*"),
        (
            *("bedrock-runtime", "get_async_invoke"),
            {"invocationArn": f"arn:aws:bedrock:{HERE}:async-invoke/abcdefghijkl"},
            *(403, "bedrock:GetAsyncInvoke", f"bedrock:{HERE}:async-invoke/abcdefghijkl"),
        ),
        ("logs", "create_log_group", {"logGroupName": "a"}, 400, "logs:CreateLogGroup", f"logs:{HERE}:log-group:a"),
        ("ssm", "get_parameter", {"Name": "/a/b"}, 400, "ssm:GetParameter", f"ssm:{HERE}:parameter/a/b"),
    ],
)
def test_a_right_that_is_missing_is_named_with_its_resource(
    laptop: Laptop,
    client: Callable[..., Any],
    service: str,
    operation: str,
    arguments: Json,
    code: int,
    action: str,
    resource: str,
) -> None:
    expected = message(laptop, "Reader", action, f"arn:aws:{resource}")
    assert refused(getattr(client(service), operation), **arguments) == ("AccessDeniedException", code, expected)


BATCH = {
    "inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://films/in/"}},
    "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://films/out/"}},
}


def test_a_batch_job_passes_its_role(laptop: Laptop, client: Callable[..., Any]) -> None:
    arguments = {
        "jobName": "a",
        "roleArn": arn_of(laptop, "Nobody"),
        "modelId": MODEL,
        **BATCH,
    }
    code, status, text = refused(client("bedrock").create_model_invocation_job, **arguments)
    assert (code, status) == ("AccessDeniedException", 403)
    assert "bedrock:CreateModelInvocationJob" in text


# S3's own ways


def test_a_missing_key_is_told_only_to_who_may_list(laptop: Laptop, client: Callable[..., Any], local: Any) -> None:
    s3 = client("s3")
    text = message(laptop, "Reader", "s3:ListBucket", '"arn:aws:s3:::films"')
    assert refused(s3.get_object, Bucket="films", Key="open/none") == ("AccessDenied", 403, text)
    assert refused(s3.head_object, Bucket="films", Key="open/none")[:2] == ("403", 403)
    assert refused(local("s3").get_object, Bucket="films", Key="open/none")[:2] == ("NoSuchKey", 404)


def test_an_explicit_deny_wins(laptop: Laptop, client: Callable[..., Any]) -> None:
    text = message(
        laptop,
        "Reader",
        "s3:GetObject",
        '"arn:aws:s3:::films/hidden/a"',
        "with an explicit deny in an identity-based policy",
    )
    assert refused(client("s3").get_object, Bucket="films", Key="hidden/a") == ("AccessDenied", 403, text)


def test_of_many_objects_each_is_deleted_or_denied(client: Callable[..., Any]) -> None:
    keys = [{"Key": "open/gone"}, {"Key": "other/a"}]
    answer = client("s3").delete_objects(Bucket="films", Delete={"Objects": keys})
    assert [one["Key"] for one in answer["Deleted"]] == ["open/gone"]
    assert [(one["Key"], one["Code"]) for one in answer["Errors"]] == [("other/a", "AccessDenied")]


@pytest.mark.parametrize(("key", "status"), [("open/form", 204), ("other/form", 403)])
def test_a_form_puts_with_the_rights_of_its_signer(laptop: Laptop, key: str, status: int) -> None:
    form = signer(laptop, laptop.aws.url, "path").generate_presigned_post("films", key)
    fields = [*form["fields"].items(), ("file", ("name", b"x"))]
    assert urllib3.request("POST", form["url"], fields=fields).status == status


def signer(laptop: Laptop, endpoint: str, style: str, version: str = "s3v4") -> Any:
    keys = laptop.keyring.issue(arn_of(laptop, "Reader"), "session")
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        aws_session_token=keys.session_token,
        config=Config(signature_version=version, s3={"addressing_style": style}),
    )


def link(laptop: Laptop, key: str, endpoint: str, style: str, version: str) -> str:
    params = {"Bucket": "films", "Key": key}
    return str(signer(laptop, endpoint, style, version).generate_presigned_url("get_object", Params=params))


@pytest.mark.parametrize("version", ["s3v4", "s3"])
@pytest.mark.parametrize(("key", "status"), [("open/a", 200), ("other/a", 403)])
def test_a_link_lives_on_the_rights_of_its_signer(laptop: Laptop, key: str, status: int, version: str) -> None:
    assert urllib3.request("GET", link(laptop, key, laptop.aws.url, "path", version)).status == status


@pytest.mark.parametrize("version", ["s3v4", "s3"])
@pytest.mark.parametrize(("key", "status"), [("open/a", 200), ("other/a", 403)])
def test_a_bucket_in_the_hosts_name_is_the_same_bucket(laptop: Laptop, key: str, status: int, version: str) -> None:
    host = f"s3.localhost:{laptop.aws.port}"
    url = link(laptop, key, f"http://{host}", "virtual", version)
    assert url.startswith(f"http://films.{host}/{key}")
    there = url.replace(f"films.{host}", f"127.0.0.1:{laptop.aws.port}")
    assert urllib3.request("GET", there, headers={"Host": f"films.{host}"}).status == status


@pytest.mark.parametrize(
    "path",
    ["/films%2Fother%2Fa", "/films%2Fother/a", "/films/open/a?tagging=1", "/films?versions=1", "/films?notification=1"],
)
def test_however_a_request_is_written_it_needs_the_same_right(laptop: Laptop, path: str) -> None:
    for allowed in ("/films/open/a", "/films%2Fopen%2Fa", "/films", "/films%2F"):
        assert status_of(laptop, "Lister", allowed) == 200
    assert status_of(laptop, "Lister", path) == 403


@pytest.mark.parametrize(("keys", "status"), [("5", 200), ("50", 403), ("abc", 403)])
def test_what_is_no_number_is_not_less_than_one(tmp_path: Path, keys: str, status: int) -> None:
    few = {"NumericLessThanEquals": {"s3:max-keys": "10"}}
    made = {"Reader": role(allow("s3:*", "*", Condition=few)), "Films": resource("S3::Bucket", BucketName="films")}
    with running(tmp_path, made) as laptop:
        assert status_of(laptop, "Reader", f"/films?max-keys={keys}") == status


def status_of(laptop: Laptop, role: str, url: str) -> int:
    """What the role is answered."""
    keys = laptop.keyring.issue(arn_of(laptop, role), "session")
    credentials = BotoCredentials(keys.access_key, keys.secret_key, keys.session_token)
    request = AWSRequest("GET", laptop.aws.url + url)
    S3SigV4Auth(credentials, "s3", "us-east-1").add_auth(request)
    return urllib3.request("GET", laptop.aws.url + url, headers=dict(request.headers)).status


# Policies of resources


def test_a_bucket_policy_gives_and_takes(laptop: Laptop, client: Callable[..., Any], local: Any) -> None:
    client("s3", "Nobody").get_object(Bucket="films", Key="shared/a")
    assert refused(client("s3").get_object, Bucket="films", Key="shared/a")[0] == "AccessDenied"
    code, status, text = refused(local("s3").put_object, Bucket="films", Key="frozen/a", Body=b"x")
    assert (code, status) == ("AccessDenied", 403)
    assert text.endswith("with an explicit deny in a resource-based policy")


def test_policies_put_over_the_wire_bite_and_outlive_a_restart(tmp_path: Path) -> None:
    shelf = {"vectorBucketName": "own"}
    index = {**shelf, "indexName": "own", "dataType": "float32", "dimension": 2, "distanceMetric": "cosine"}
    with running(tmp_path / "first", {"Nobody": RESOURCES["Nobody"]}) as laptop:
        vectors, sqs = clients(laptop).get("s3vectors", None), clients(laptop).get("sqs", None)
        sender = clients(laptop).get("sqs", arn_of(laptop, "Nobody"))
        vectors.create_vector_bucket(**shelf)
        queue = sqs.create_queue(QueueName="own")["QueueUrl"]
        for nonsense in ("{}", '{"Statement": [{"Effect": "Deny"}]}', json.dumps({"Statement": [allow("sqs:*", "*")]})):
            code, _, text = refused(vectors.put_vector_bucket_policy, **shelf, policy=nonsense)
            assert code == "ValidationException" and f"arn:aws:s3vectors:{HERE}:bucket/own" in text
            text = refused(sqs.set_queue_attributes, QueueUrl=queue, Attributes={"Policy": nonsense})[2]
            assert "for parameter Policy is invalid" in text
        assert "no identity-based policy" in refused(sender.send_message, QueueUrl=queue, MessageBody="x")[2]
        frozen = json.dumps({"Statement": [deny("s3vectors:CreateIndex", "*", Principal="*")]})
        vectors.put_vector_bucket_policy(**shelf, policy=frozen)
        shared = json.dumps({"Statement": [allow("sqs:SendMessage", "*", Principal="*")]})
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": shared})
        sender.send_message(QueueUrl=queue, MessageBody="x")
    (tmp_path / "first" / "data").rename(tmp_path / "data")
    with running(tmp_path, {"Nobody": RESOURCES["Nobody"]}) as laptop:
        vectors, sqs = clients(laptop).get("s3vectors", None), clients(laptop).get("sqs", None)
        sender = clients(laptop).get("sqs", arn_of(laptop, "Nobody"))
        queue = sqs.get_queue_url(QueueName="own")["QueueUrl"]
        sender.send_message(QueueUrl=queue, MessageBody="x")
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": ""})
        assert "no identity-based policy" in refused(sender.send_message, QueueUrl=queue, MessageBody="x")[2]
        assert "explicit deny in a resource-based policy" in refused(vectors.create_index, **index)[2]
        vectors.delete_vector_bucket_policy(**shelf)
        vectors.create_index(**index)


def test_the_local_user_is_never_locked_out_for_ever(local: Any) -> None:
    vectors, sqs = local("s3vectors"), local("sqs")
    shelf = {"vectorBucketName": "locked"}
    vectors.create_vector_bucket(**shelf)
    vectors.put_vector_bucket_policy(**shelf, policy=document(deny("s3vectors:*", "*", Principal="*")))
    assert refused(vectors.list_indexes, **shelf)[0] == "AccessDeniedException"
    assert "Deny" in vectors.get_vector_bucket_policy(**shelf)["policy"]
    vectors.put_vector_bucket_policy(**shelf, policy=document(deny("s3vectors:*", "*", Principal="*")))
    vectors.delete_vector_bucket_policy(**shelf)
    vectors.list_indexes(**shelf)
    queue = sqs.create_queue(QueueName="locked")["QueueUrl"]
    closed = document(deny("sqs:*", "*", Principal="*"))
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": closed})
    assert refused(sqs.send_message, QueueUrl=queue, MessageBody="x")[0].endswith("AccessDenied")
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": ""})
    sqs.send_message(QueueUrl=queue, MessageBody="x")


def test_variables_stand_for_what_is_known_of_the_caller(client: Callable[..., Any]) -> None:
    client("s3", "Named").get_object(Bucket="films", Key=f"{ACCOUNT}/a")
    assert refused(client("s3", "Named").get_object, Bucket="films", Key="open/a")[0] == "AccessDenied"


def sent(local: Any, kind: str) -> None:
    local("events").put_events(Entries=[{"Source": "test", "DetailType": kind, "Detail": "{}"}])


def received(local: Any, queue: str) -> Json:
    url = f"http://x/{ACCOUNT}/{queue}"
    answer = local("sqs").receive_message(QueueUrl=url, WaitTimeSeconds=10, MessageAttributeNames=["All"])
    (found,) = answer["Messages"]
    local("sqs").delete_message(QueueUrl=url, ReceiptHandle=found["ReceiptHandle"])
    return dict(found)


@pytest.mark.parametrize(
    ("kind", "action"),
    [("closed", "sqs:sendmessage"), ("unasked", "lambda:InvokeFunction"), ("starts-not", "states:StartExecution")],
)
def test_a_rule_that_may_not_deliver_leaves_a_dead_letter_that_says_why(local: Any, kind: str, action: str) -> None:
    sent(local, kind)
    attributes = received(local, "letters")["MessageAttributes"]
    assert attributes["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"
    assert f"is not authorized to perform: {action}" in attributes["ERROR_MESSAGE"]["StringValue"]


def test_a_rule_delivers_where_a_policy_lets_it_and_starts_as_its_targets_role(local: Any) -> None:
    sent(local, "open")
    assert json.loads(received(local, "out")["Body"])["detail-type"] == "open"
    before = len(local("stepfunctions").list_executions(stateMachineArn=WORKS)["executions"])
    sent(local, "starts")
    for _ in range(100):
        if len(local("stepfunctions").list_executions(stateMachineArn=WORKS)["executions"]) > before:
            return
        time.sleep(0.1)
    raise AssertionError("the rule started nothing")


def test_a_state_machine_calls_with_its_role(local: Any) -> None:
    client = local("stepfunctions")
    arn = client.start_execution(stateMachineArn=FAILS)["executionArn"]
    while (found := client.describe_execution(executionArn=arn))["status"] == "RUNNING":
        time.sleep(0.05)
    assert (found["status"], found["error"]) == ("FAILED", "Lambda.AWSLambdaException")
    assert "is not authorized to perform: lambda:InvokeFunction on resource: arn:aws:lambda" in found["cause"]
    assert "Error Code: AccessDeniedException" in found["cause"]


# Roles that a client made


def document(*statements: Json) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def trusting(service: str) -> str:
    principal = {"Service": f"{service}.amazonaws.com"}
    return document({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal})


def ended(local: Any, role_arn: str, key: str) -> Json:
    """How a state machine of that role ends that reads an object."""
    client = local("stepfunctions")
    read = {"Bucket": "films", "Key": key}
    task = {"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:s3:headObject", "Parameters": read, "End": True}
    made = client.create_state_machine(
        name=f"reads-{time.monotonic_ns()}",
        definition=json.dumps({"StartAt": "Read", "States": {"Read": task}}),
        roleArn=role_arn,
    )
    arn = client.start_execution(stateMachineArn=made["stateMachineArn"])["executionArn"]
    while (found := client.describe_execution(executionArn=arn))["status"] == "RUNNING":
        time.sleep(0.05)
    return dict(found)


def test_a_role_of_the_iam_api_may_what_its_policies_say_now(local: Any) -> None:
    iam = local("iam")
    trust = trusting("states")
    made = iam.create_role(RoleName="made", Path="/by/hand/", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    assert ended(local, made, "open/a")["status"] == "FAILED"
    iam.put_role_policy(
        RoleName="made", PolicyName="reads", PolicyDocument=document(allow("s3:GetObject", "arn:aws:s3:::films/open/*"))
    )
    assert ended(local, made, "open/a")["status"] == "SUCCEEDED"
    assert ended(local, made, "other/a")["status"] == "FAILED"
    policy = iam.create_policy(PolicyName="all", PolicyDocument=document(allow("s3:*", "*")))["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="made", PolicyArn=policy)
    assert ended(local, made, "other/a")["status"] == "SUCCEEDED"
    iam.create_policy_version(PolicyArn=policy, PolicyDocument=document(deny("s3:*", "*")), SetAsDefault=True)
    assert ended(local, made, "open/a")["status"] == "FAILED"
    iam.detach_role_policy(RoleName="made", PolicyArn=policy)
    assert ended(local, made, "open/a")["status"] == "SUCCEEDED"
    iam.attach_role_policy(RoleName="made", PolicyArn="arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")
    assert ended(local, made, "other/a")["status"] == "SUCCEEDED"


def test_what_a_role_of_the_iam_api_says_and_nobody_here_knows_is_named(laptop: Laptop, local: Any) -> None:
    iam = local("iam")
    arn = iam.create_role(RoleName="odd", AssumeRolePolicyDocument=trusting("states"))["Role"]["Arn"]
    statement = allow("s3:*", "*", Condition={"StringEquals": {"s3:Moon": "full"}})
    iam.put_role_policy(RoleName="odd", PolicyName="moon", PolicyDocument=document(statement))
    text = refused(clients(laptop).get("s3", arn).get_object, Bucket="films", Key="open/a")[2]
    assert "is not authorized to perform: s3:GetObject" in text
    assert text.endswith("the policy moon cannot be read: the laptop does not know the condition key s3:Moon")
    bounded = {"RoleName": "bound", "PermissionsBoundary": "arn:aws:iam::aws:policy/AmazonS3FullAccess"}
    arn = iam.create_role(AssumeRolePolicyDocument=trusting("states"), **bounded)["Role"]["Arn"]
    text = refused(clients(laptop).get("s3", arn).get_object, Bucket="films", Key="open/a")[2]
    assert text.endswith("the laptop does not know permissions boundaries")


@pytest.mark.parametrize("exists", [False, True])
def test_a_role_that_does_not_exist_or_does_not_trust_is_not_taken(local: Any, exists: bool) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:role/{'distrusts' if exists else 'none'}"
    if exists:
        local("iam").create_role(RoleName="distrusts", AssumeRolePolicyDocument=trusting("ec2"))
    machine = {"name": "n", "definition": json.dumps({"StartAt": "E", "States": {"E": {"Type": "Succeed"}}})}
    answer = refused(local("stepfunctions").create_state_machine, **machine, roleArn=arn)
    assert answer[0] == "AccessDeniedException" and answer[2].startswith("Neither the global service principal")
    answer = refused(local("stepfunctions").update_state_machine, stateMachineArn=WORKS, roleArn=arn)
    assert answer[0] == "AccessDeniedException"
    job = {"jobName": "a", "modelId": MODEL, "roleArn": arn, **BATCH}
    answer = refused(local("bedrock").create_model_invocation_job, **job)
    assert answer == ("ValidationException", 400, "Could not assume provided IAM role.")


def test_a_batch_job_works_with_a_role_of_the_iam_api(laptop: Laptop, local: Any) -> None:
    iam, bedrock = local("iam"), local("bedrock")
    arn = iam.create_role(RoleName="batch", AssumeRolePolicyDocument=trusting("bedrock"))["Role"]["Arn"]
    iam.put_role_policy(RoleName="batch", PolicyName="p", PolicyDocument=document(allow("s3:*", "*")))
    local("s3").put_object(Bucket="films", Key="in/a.jsonl", Body=b'{"modelInput": {}}\n')
    made = bedrock.create_model_invocation_job(jobName="made", modelId=MODEL, roleArn=arn, **BATCH)["jobArn"]
    while (found := bedrock.get_model_invocation_job(jobIdentifier=made))["status"] != "Failed":
        time.sleep(0.05)
    assert "less records" in found["message"]  # it may read and write: there is only too little


# What stops the start


def mapping(role_name: str) -> Json:
    return {
        "Q": resource("SQS::Queue", QueueName="q"),
        "R": RESOURCES[role_name],
        "F": function("f", "R"),
        "M": resource(
            "Lambda::EventSourceMapping",
            EventSourceArn={"Fn::GetAtt": ["Q", "Arn"]},
            FunctionName={"Ref": "F"},
        ),
    }


def test_a_function_that_may_not_poll_gets_no_event_source_mapping(tmp_path: Path) -> None:
    with (
        pytest.raises(TemplateError, match="execution role does not have permissions to call ReceiveMessage on SQS"),
        running(tmp_path, mapping("Nobody")),
    ):
        pass


@pytest.mark.parametrize(
    ("made", "error"),
    [
        (function("f", "R"), "The role defined for the function cannot be assumed by Lambda"),
        (machine("m", "R"), "nor the regional one is authorized to assume the provided role"),
    ],
)
def test_a_role_that_does_not_trust_a_service_is_not_taken_by_it(tmp_path: Path, made: Json, error: str) -> None:
    stranger = role()
    stranger["Properties"]["AssumeRolePolicyDocument"] = json.loads(json.dumps(TRUST).replace("amazonaws", "example"))
    with pytest.raises(TemplateError, match=error), running(tmp_path, {"R": stranger, "X": made}):
        pass


def test_a_policy_of_awss_own_is_known_by_its_name(tmp_path: Path) -> None:
    with running(tmp_path, mapping("Basic")) as laptop:
        (role_arn,) = laptop.permissions.roles.all()
        clients(laptop).get("sqs", role_arn).get_queue_attributes(QueueUrl=f"http://x/{ACCOUNT}/q")


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        (allow("s3:*", "*", Condition={"StringSounds": {"aws:SourceArn": "x"}}), "condition operator StringSounds"),
        (allow("s3:*", "*", Condition={"StringEquals": {"aws:Moon": "full"}}), "condition key aws:Moon"),
        (allow("s3:*", "*", NotPrincipal="x"), "NotPrincipal"),
        (allow("everything", "*"), "no service prefix"),
        (allow([], "*"), "names actions and resources"),
        ({**allow("s3:*", "*"), "Effect": "Maybe"}, "Effect is 'Maybe'"),
    ],
)
def test_what_cannot_be_decided_is_refused_when_it_is_read(statement: Json, complaint: str) -> None:
    with pytest.raises(PolicyError, match=complaint):
        read_policy("p", {"Statement": [statement]})


# The language


@pytest.mark.parametrize(
    ("condition", "facts", "holds"),
    [
        ({"StringEquals": {"s3:prefix": ["a", "b"]}}, {"s3:prefix": ["b"]}, True),
        ({"StringEquals": {"s3:prefix": "a*"}}, {"s3:prefix": ["ab"]}, False),
        ({"StringEquals": {"s3:prefix": "a"}}, {}, False),
        ({"StringEqualsIfExists": {"s3:prefix": "a"}}, {}, True),
        ({"StringNotEquals": {"s3:prefix": ["a", "b"]}}, {"s3:prefix": ["b"]}, False),
        ({"StringNotEquals": {"s3:prefix": "a"}}, {}, True),
        ({"StringLike": {"s3:prefix": "a/*"}}, {"s3:prefix": ["a/b/c"]}, True),
        ({"StringLike": {"s3:prefix": "${aws:username}/*"}}, {"s3:prefix": ["ann/x"], "aws:username": ["ann"]}, True),
        ({"StringLike": {"s3:prefix": "${aws:username}/*"}}, {"s3:prefix": ["ann/x"], "aws:username": ["*"]}, False),
        ({"StringEquals": {"s3:prefix": "${aws:username}"}}, {"s3:prefix": ["ann"], "aws:username": ["ann"]}, True),
        ({"StringEqualsIgnoreCase": {"s3:prefix": "A"}}, {"s3:prefix": ["a"]}, True),
        ({"Bool": {"aws:SecureTransport": False}}, {"aws:securetransport": ["false"]}, True),
        ({"NumericLessThan": {"s3:TlsVersion": 1.2}}, {"s3:tlsversion": ["1.3"]}, False),
        ({"NumericLessThanEquals": {"s3:max-keys": "10"}}, {"s3:max-keys": ["10"]}, True),
        (
            {"DateGreaterThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"}},
            {"aws:currenttime": ["2026-01-02T00:00:00Z"]},
            True,
        ),
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, {"aws:sourceip": ["10.1.2.3"]}, True),
        ({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, {"aws:sourceip": ["10.1.2.3"]}, False),
        ({"ArnLike": {"aws:SourceArn": "arn:aws:sns:*:1:a*"}}, {"aws:sourcearn": ["arn:aws:sns:x:1:ab:c"]}, True),
        ({"ArnLike": {"aws:SourceArn": "arn:aws:*:b"}}, {"aws:sourcearn": ["arn:aws:sns:x:1:b"]}, False),
        ({"Null": {"s3:prefix": "true"}}, {}, True),
        ({"Null": {"s3:prefix": "false"}}, {}, False),
        ({"ForAllValues:StringEquals": {"aws:CalledVia": ["a", "b"]}}, {"aws:calledvia": ["a", "c"]}, False),
        ({"ForAllValues:StringEquals": {"aws:CalledVia": ["a", "b"]}}, {}, True),
        ({"ForAnyValue:StringEquals": {"aws:CalledVia": ["a", "b"]}}, {"aws:calledvia": ["a", "c"]}, True),
        ({"ForAnyValue:StringEquals": {"aws:CalledVia": ["a", "b"]}}, {}, False),
        ({"StringEquals": {"s3:prefix": "a", "s3:delimiter": "/"}}, {"s3:prefix": ["a"]}, False),
    ],
)
def test_conditions(condition: Json, facts: dict[str, list[str]], holds: bool) -> None:
    (statement,) = read_policy("p", {"Statement": [allow("s3:*", "*", Condition=condition)]})
    assert (statement.resource("arn:aws:s3:::b", facts) is not None) is holds


def test_not_action_and_not_resource_mean_all_others() -> None:
    text = {"Effect": "Allow", "NotAction": ["iam:*", "sts:*"], "NotResource": "arn:aws:s3:::secret/*"}
    (statement,) = read_policy("p", {"Statement": [text]})
    assert [statement.action(one) is not None for one in ("IAM:GetRole", "s3:GetObject")] == [False, True]
    found = [statement.resource(one, {}) is not None for one in ("arn:aws:s3:::secret/a", "arn:aws:s3:::open/a")]
    assert found == [False, True]


def plainly(pattern: str, text: str) -> bool:
    """Wildcards as one would explain them."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(plainly(pattern[1:], text[at:]) for at in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and plainly(pattern[1:], text[1:])


unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
LETTERS = st.text("ab.\n?*", max_size=7)


@unhurried
@given(pattern=LETTERS, text=LETTERS)
def test_wildcards_match_what_a_plain_reading_matches(pattern: str, text: str) -> None:
    assert text_matcher(pattern)(text, {}) is plainly(pattern, text)
    assert action_matcher(pattern.upper())(text, {}) is plainly(pattern, text)


SEGMENTS = st.lists(st.text("ab*?", max_size=3), min_size=6, max_size=6)
WORDS = st.lists(st.text("ab", max_size=3), min_size=6, max_size=7)


@unhurried
@given(pattern=SEGMENTS, text=WORDS)
def test_a_wildcard_inside_a_segment_of_an_arn_stays_in_it(pattern: list[str], text: list[str]) -> None:
    """One at the end of a segment may go beyond, and the last segment takes all that is left."""

    def fits(patterns: list[str], rest: str) -> bool:
        if len(patterns) == 1:
            return plainly(patterns[0], rest)
        first, others = patterns[0], patterns[1:]
        cuts = [at for at, character in enumerate(rest) if character == ":"]
        for cut in cuts:
            inner, beyond = first, rest[:cut]
            whole = plainly(inner, beyond) and ":" not in beyond
            if first.endswith("*") and not whole:
                starts = (beyond[:at] for at in range(len(beyond) + 1))
                whole = any(":" not in start and plainly(first[:-1], start) for start in starts)
            if whole and fits(others, rest[cut + 1 :]):
                return True
        return False

    assert resource_matcher(":".join(pattern))(":".join(text), {}) is fits(pattern, ":".join(text))


def test_who_was_refused_what_is_in_the_log(
    client: Callable[..., Any], laptop: Laptop, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        refused(client("s3").head_object, Bucket="films", Key="other/a")
    text = message(laptop, "Reader", "s3:GetObject", '"arn:aws:s3:::films/other/a"')
    assert f"AccessDenied: {text}" in caplog.messages

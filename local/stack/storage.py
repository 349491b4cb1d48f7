"""Buckets, tables, vector indexes, queues and rules."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from local.stack.template import Made, Resource
from local.stack.workshop import Kind, Properties, Workshop

_GONE = {
    "404",
    "NoSuchBucket",
    "NotFoundException",
    "ResourceNotFoundException",
    "StateMachineDoesNotExist",
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
}


def _bucket(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    name = workshop.name(resource, properties, "BucketName", 63).lower()
    workshop.services.s3.ensure_bucket(name, properties)
    domain = f"{name}.s3.amazonaws.com"
    regional = f"{name}.s3.{workshop.region}.amazonaws.com"
    return Made(name, {"Arn": f"arn:aws:s3:::{name}", "DomainName": domain, "RegionalDomainName": regional})


def _table(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    name = workshop.name(resource, properties, "TableName", 255)
    return Made(name, {"Arn": workshop.services.dynamodb.ensure_table(name, properties)})


def _vector_bucket(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    name = workshop.name(resource, properties, "VectorBucketName", 63).lower()
    arn = workshop.services.s3vectors.ensure_vector_bucket(name, properties)
    return Made(arn, {"VectorBucketArn": arn})


def _vector_index(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    name = workshop.name(resource, properties, "IndexName", 63).lower()
    arn = workshop.services.s3vectors.ensure_index({**properties, "IndexName": name})
    return Made(arn, {"IndexArn": arn})


def _queue(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    name = workshop.name(resource, properties, "QueueName", 80)
    workshop.services.sqs.ensure_queue(name, properties)
    url, arn = workshop.services.sqs.queue_url(name), workshop.arn("sqs", name)
    return Made(url, {"Arn": arn, "QueueName": name, "QueueUrl": url})


def _rule(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    name = workshop.name(resource, properties, "Name", 64)
    workshop.services.events.ensure_rule(name, properties)
    return Made(name, {"Arn": workshop.arn("events", f"rule/{name}")})


def _delete_rule(workshop: Workshop, physical_id: str, properties: Properties) -> None:
    events = workshop.services.clients.get("events", None)
    with unless_gone():
        targets = events.list_targets_by_rule(Rule=physical_id)["Targets"]
        if targets:
            events.remove_targets(Rule=physical_id, Ids=[target["Id"] for target in targets])
        events.delete_rule(Name=physical_id)


def deleting(service: str, operation: str, parameter: str) -> Callable[[Workshop, str, Properties], None]:
    """Deletes by one call of the service's own API; what is gone already is no error."""

    def delete(workshop: Workshop, physical_id: str, properties: Properties) -> None:
        with unless_gone():
            getattr(workshop.services.clients.get(service, None), operation)(**{parameter: physical_id})

    return delete


def existing(service: str, operation: str, **parameters: str) -> Callable[[Workshop, Properties], bool]:
    """Asks by one call of the service's own API; `parameters` say which property each of its parameters is."""

    def exists(workshop: Workshop, properties: Properties) -> bool:
        given: dict[str, Any] = {name: properties[key] for name, key in parameters.items() if key in properties}
        with unless_gone():
            getattr(workshop.services.clients.get(service, None), operation)(**given)
            return True
        return False

    return exists


@contextmanager
def unless_gone() -> Iterator[None]:
    """Pass over a service's error that says that something is not there."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] not in _GONE:
            raise


def _index_exists(workshop: Workshop, properties: Properties) -> bool:
    bucket = properties.get("VectorBucketName") or properties["VectorBucketArn"].rpartition("/")[2]
    with unless_gone():
        client = workshop.services.clients.get("s3vectors", None)
        client.get_index(vectorBucketName=bucket, indexName=properties["IndexName"])
        return True
    return False


KINDS = {
    "AWS::S3::Bucket": Kind(
        _bucket,
        delete=deleting("s3", "delete_bucket", "Bucket"),
        create_only="BucketName",
        named="BucketName",
        exists=existing("s3", "head_bucket", Bucket="BucketName"),
    ),
    **dict.fromkeys(
        ("AWS::DynamoDB::Table", "AWS::DynamoDB::GlobalTable"),
        Kind(
            _table,
            delete=deleting("dynamodb", "delete_table", "TableName"),
            create_only="TableName KeySchema LocalSecondaryIndexes",
            named="TableName",
            exists=existing("dynamodb", "describe_table", TableName="TableName"),
        ),
    ),
    "AWS::S3Vectors::VectorBucket": Kind(
        _vector_bucket,
        delete=deleting("s3vectors", "delete_vector_bucket", "vectorBucketArn"),
        create_only="VectorBucketName EncryptionConfiguration",
        named="VectorBucketName",
        exists=existing("s3vectors", "get_vector_bucket", vectorBucketName="VectorBucketName"),
    ),
    "AWS::S3Vectors::Index": Kind(
        _vector_index,
        delete=deleting("s3vectors", "delete_index", "indexArn"),
        create_only="*",
        named="IndexName",
        exists=_index_exists,
    ),
    "AWS::SQS::Queue": Kind(
        _queue,
        delete=deleting("sqs", "delete_queue", "QueueUrl"),
        create_only="QueueName FifoQueue",
        named="QueueName",
        exists=existing("sqs", "get_queue_url", QueueName="QueueName"),
    ),
    "AWS::Events::Rule": Kind(
        _rule,
        delete=_delete_rule,
        create_only="Name EventBusName",
        named="Name",
        exists=existing("events", "describe_rule", Name="Name"),
    ),
}

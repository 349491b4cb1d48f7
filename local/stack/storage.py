"""Buckets, tables, vector indexes, queues and rules."""

from local.stack.template import Made, Resource
from local.stack.workshop import Kind, Properties, Workshop


def _bucket(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    name = workshop.name(resource, properties, "BucketName", 63).lower()
    workshop.services.s3.ensure_bucket(name, properties)
    domain = f"{name}.s3.amazonaws.com"
    regional = f"{name}.s3.{workshop.assembly.region}.amazonaws.com"
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
    workshop.visibility[arn] = int(properties.get("VisibilityTimeout", 30))
    return Made(url, {"Arn": arn, "QueueName": name, "QueueUrl": url})


def _rule(workshop: Workshop, resource: Resource, properties: Properties) -> Made:
    name = workshop.name(resource, properties, "Name", 64)
    workshop.services.events.ensure_rule(name, properties)
    return Made(name, {"Arn": workshop.arn("events", f"rule/{name}")})


KINDS = {
    "AWS::S3::Bucket": Kind(_bucket),
    "AWS::DynamoDB::Table": Kind(_table),
    "AWS::DynamoDB::GlobalTable": Kind(_table),
    "AWS::S3Vectors::VectorBucket": Kind(_vector_bucket),
    "AWS::S3Vectors::Index": Kind(_vector_index),
    "AWS::SQS::Queue": Kind(_queue),
    "AWS::Events::Rule": Kind(_rule),
}

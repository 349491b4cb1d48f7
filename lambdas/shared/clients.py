"""Every boto3 client of the functions: explicit timeouts, standard retries, in one place.

Made once per process, at first use; a client may be used from several threads.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3vectors import S3VectorsClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient


def _config(*, read: float = 30, attempts: int = 3, **more: Any) -> Config:
    return Config(
        connect_timeout=3,
        read_timeout=read,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=20,
        **more,
    )


@cache
def s3() -> "S3Client":
    """Signs URLs with SigV4 (boto3's default for a presigned URL is still SigV2)."""
    client: S3Client = boto3.client("s3", config=_config(signature_version="s3v4"))
    return client


@cache
def dynamodb() -> "DynamoDBClient":
    """The client under boto3's table resource: it takes and gives Python values, and is safe across threads."""
    client: DynamoDBClient = boto3.resource("dynamodb", config=_config(read=10)).meta.client
    return client


@cache
def s3vectors() -> "S3VectorsClient":
    client: S3VectorsClient = boto3.client("s3vectors", config=_config(read=60))
    return client


@cache
def s3vectors_for_search() -> "S3VectorsClient":
    """Two attempts within the time that API Gateway waits."""
    client: S3VectorsClient = boto3.client("s3vectors", config=_config(read=8, attempts=2))
    return client


@cache
def sqs() -> "SQSClient":
    client: SQSClient = boto3.client("sqs", config=_config())
    return client


@cache
def stepfunctions() -> "SFNClient":
    client: SFNClient = boto3.client("stepfunctions", config=_config())
    return client


@cache
def bedrock_for_ingest() -> "BedrockRuntimeClient":
    """One attempt: when Bedrock is busy the queue waits, not the paid function."""
    client: BedrockRuntimeClient = boto3.client("bedrock-runtime", config=_config(read=60, attempts=1))
    return client


@cache
def bedrock_for_search() -> "BedrockRuntimeClient":
    """Two attempts within ten seconds: a person waits."""
    client: BedrockRuntimeClient = boto3.client("bedrock-runtime", config=_config(read=4, attempts=2))
    return client


@cache
def functions() -> "LambdaClient":
    """One attempt, for as long as the search function may take."""
    client: LambdaClient = boto3.client("lambda", config=_config(read=29, attempts=1))
    return client

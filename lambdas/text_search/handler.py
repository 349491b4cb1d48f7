"""A custom resource: the mode and the full-text keys of an index, which CloudFormation cannot set yet.

It reads the index, does only what is missing, and does not wait for the text search to become ACTIVE. Its physical id
is the ARN of the index. Any Delete succeeds: what it set goes with the index.
"""

import logging
from typing import Any
from urllib.request import Request, urlopen

import orjson
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from lambdas.shared import clients

logger = Logger(level=logging.INFO)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """CloudFormation's event with `IndexArn`, `TextKeys` and `Language`; the answer goes to its `ResponseURL`."""
    index_arn = event["ResourceProperties"]["IndexArn"]
    status, reason = "SUCCESS", ""
    if event["RequestType"] != "Delete":
        try:
            configure(index_arn, event["ResourceProperties"]["TextKeys"], event["ResourceProperties"]["Language"])
        except Exception as error:  # unanswered, CloudFormation would wait an hour
            logger.exception("the index could not be configured")
            status, reason = "FAILED", str(error)
    answer(event, index_arn, status, reason)


def configure(index_arn: str, keys: list[str], language: str) -> None:
    """ENHANCED mode, then full text in this language for the keys that lack it."""
    client: Any = clients.s3vectors_for_search()  # the stubs do not know these operations yet
    index = client.get_index(indexArn=index_arn)["index"]
    if index.get("indexMode") != "ENHANCED":
        client.update_index_mode(indexArn=index_arn, indexMode="ENHANCED")
    texts = index.get("metadataConfiguration", {}).get("textSearchConfigurations", [])
    known = {text["metadataKey"]: text.get("language") for text in texts}
    if other := [{"metadataKey": key} for key in keys if key in known and known[key] != language]:
        client.update_metadata_configuration(indexArn=index_arn, delete={"textSearchConfigurations": other})
    if missing := [{"metadataKey": key, "language": language} for key in keys if known.get(key) != language]:
        client.update_metadata_configuration(indexArn=index_arn, add={"textSearchConfigurations": missing})


def answer(event: dict[str, Any], physical_id: str, status: str, reason: str) -> None:
    """PUT the outcome to CloudFormation (AWS CloudFormation user guide, "Custom resource response objects")."""
    body = {
        "Status": status,
        "Reason": reason or "done",
        "PhysicalResourceId": physical_id,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
    }
    request = Request(event["ResponseURL"], data=orjson.dumps(body), method="PUT", headers={"Content-Type": ""})
    with urlopen(request, timeout=30) as response:
        logger.info("answered CloudFormation", status=response.status)

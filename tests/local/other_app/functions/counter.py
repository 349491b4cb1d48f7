"""The HTTP API: place an order, look one up."""

import json
import os
from typing import Any

import boto3
from ledger import table

queue = boto3.client("sqs")


def serve(event: dict[str, Any], context: Any) -> dict[str, Any]:
    if event["routeKey"] == "POST /orders":
        queue.send_message(QueueUrl=os.environ["ORDERS_URL"], MessageBody=event["body"])
        return {"statusCode": 202, "body": json.dumps({"currency": os.environ["CURRENCY"]})}
    row = table.get_item(Key={"order": event["pathParameters"]["order"]}, ConsistentRead=True).get("Item")
    if row is None:
        return {"statusCode": 404, "body": json.dumps({"live": "ONLY_LIVE" in os.environ})}
    return {"customer": row["customer"], "said": row["said"]}

"""The ledger, through the boto3 that Lambda's runtime brings."""

import os
from typing import Any

import boto3

table = boto3.resource("dynamodb").Table(os.environ["LEDGER"])


def count(order: str, **values: Any) -> int:
    """Raise the row's counter and set values; the counter afterwards."""
    names = {f"#{name}": name for name in values}
    sets = "".join(f", #{name} = :{name}" for name in values)
    answer = table.update_item(
        Key={"order": order},
        UpdateExpression=f"SET times = if_not_exists(times, :zero) + :one{sets}",
        ExpressionAttributeValues={":zero": 0, ":one": 1, **{f":{name}": value for name, value in values.items()}},
        **({"ExpressionAttributeNames": names} if names else {}),
        ReturnValues="ALL_NEW",
    )
    return int(answer["Attributes"]["times"])

"""DynamoDB's errors, worded as it words them."""

from typing import Any

from local.wire import AwsError

_OF_EVERY_SERVICE = {
    "ValidationException": "com.amazon.coral.validate",
    "AccessDeniedException": "com.amazon.coral.service",
    "InternalServerException": "com.amazon.coral.service",
    "SerializationException": "com.amazon.coral.service",
    "UnknownOperationException": "com.amazon.coral.service",
}


def type_of(code: str) -> str:
    """The `__type` on the wire."""
    return f"{_OF_EVERY_SERVICE.get(code, 'com.amazonaws.dynamodb.v20120810')}#{code}"


def invalid(message: str) -> AwsError:
    return AwsError("ValidationException", message)


class UnfitItem(AwsError):
    """A key or an item the table cannot hold: in a transaction a reason to cancel, elsewhere a validation error."""

    def __init__(self, message: str) -> None:
        super().__init__("ValidationException", message)


def malformed(message: str) -> AwsError:
    return AwsError("SerializationException", message)


def no_table(name: str | None = None) -> AwsError:
    """Operations on tables name the table, operations on items do not."""
    which = f": Table: {name} not found" if name else ""
    return AwsError("ResourceNotFoundException", f"Requested resource not found{which}")


def condition_failed(item: dict[str, Any] | None) -> AwsError:
    """`item` is what was there, for a caller that asked for it."""
    members: dict[str, Any] = {"Item": item} if item else {}
    return AwsError("ConditionalCheckFailedException", "The conditional request failed", **members)


def transaction_cancelled(reasons: list[dict[str, Any]]) -> AwsError:
    """One reason per operation of the transaction, `{"Code": "None"}` for those that were fine."""
    codes = ", ".join(reason["Code"] for reason in reasons)
    message = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]"
    return AwsError("TransactionCanceledException", message, CancellationReasons=reasons)

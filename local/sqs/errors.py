"""The errors of SQS. Each has a name in the JSON protocol and a code from the older query protocol.

Clients show the latter, which comes in a header: `QueueDoesNotExist` reaches a user of boto3 as
`AWS.SimpleQueueService.NonExistentQueue`.
"""

from local.wire import AwsError

_PREFIX = "AWS.SimpleQueueService."
_PREFIXED = (
    "BatchEntryIdsNotDistinct",
    "BatchRequestTooLong",
    "EmptyBatchRequest",
    "InvalidBatchEntryId",
    "MessageNotInflight",
    "PurgeQueueInProgress",
    "QueueDeletedRecently",
    "TooManyEntriesInBatchRequest",
    "UnsupportedOperation",
)
_RENAMED = {
    "InvalidParameterValueException": "InvalidParameterValue",
    "MissingRequiredParameterException": "MissingParameter",
    "QueueDoesNotExist": _PREFIX + "NonExistentQueue",
    "QueueNameExists": "QueueAlreadyExists",
}
_COMMON = (
    "InternalServerException",
    "InvalidParameterValueException",
    "MissingRequiredParameterException",
    "SerializationException",
    "UnknownOperationException",
)


def query_code(name: str) -> str:
    """The code that clients show, and that stands in the failed entries of a batch."""
    return _PREFIX + name if name in _PREFIXED else _RENAMED.get(name, name)


def type_of(name: str) -> str:
    """The `__type` of the JSON protocol."""
    return f"{'com.amazon.coral.service' if name in _COMMON else 'com.amazonaws.sqs'}#{name}"


def invalid(message: str) -> AwsError:
    return AwsError("InvalidParameterValueException", message)


def invalid_value(value: object, parameter: str, reason: str) -> AwsError:
    return invalid(f"Value {value} for parameter {parameter} is invalid. Reason: {reason}")


def missing(parameter: str) -> AwsError:
    message = f"The request must contain the parameter {parameter}."
    return AwsError("MissingRequiredParameterException", message)


def unsupported(message: str) -> AwsError:
    return AwsError("UnsupportedOperation", message)


def no_queue() -> AwsError:
    return AwsError("QueueDoesNotExist", "The specified queue does not exist.")


def no_resource(parameter: str) -> AwsError:
    message = f"The resource that you specified for the {parameter} parameter doesn't exist."
    return AwsError("ResourceNotFoundException", message)


def bad_receipt_handle(handle: str) -> AwsError:
    return AwsError("ReceiptHandleIsInvalid", f'The input receipt handle "{handle}" is not a valid receipt handle.')

"""Amazon SQS: standard queues in SQLite."""

from local.sqs.messages import Message
from local.sqs.service import Sqs

__all__ = ["Message", "Sqs"]

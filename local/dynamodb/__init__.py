"""Amazon DynamoDB on the laptop: tables and items in SQLite, on the wire in AWS JSON 1.0."""

from local.dynamodb.service import DynamoDb

__all__ = ["DynamoDb"]

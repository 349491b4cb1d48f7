"""Amazon S3: objects as plain files, what is known about them in SQLite, every change an event."""

from local.s3.service import S3

__all__ = ["S3"]

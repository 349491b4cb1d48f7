"""Amazon S3 Vectors, with queries: buckets and indexes in SQLite, vectors in one mapped file an index."""

from local.s3vectors.service import S3Vectors
from local.s3vectors.template import ImmutablePropertyError

__all__ = ["ImmutablePropertyError", "S3Vectors"]

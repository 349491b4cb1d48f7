"""What can go wrong, told apart by what is to be done about it.

BucketlensError
├── PermanentError         the file's own fault: recorded in the catalog, the message is acknowledged
│   ├── BadInputError      the asset becomes `failed`
│   └── UnsupportedError   the asset becomes `unsupported`
├── SupersededError        the work is no longer wanted: nothing to do, nothing to record
├── ConflictError          somebody else wrote first: look again
├── RefusedError           S3 Vectors finds the request itself wrong
├── OverloadedError        S3 Vectors was asked for too much at once: half of it may pass
└── ThrottledError         a quota is full: the work waits, it has not failed

Anything else is retried by whoever called.
"""

from typing import Literal

# How Step Functions names the end of a function that raised nothing (Lambda developer guide, "Lambda runtime errors").
CRASHES = ("Lambda.Unknown", "Runtime.ExitError", "Runtime.OutOfMemory", "Sandbox.Timedout", "States.Timeout")


class BucketlensError(Exception):
    """The root of ours."""


class PermanentError(BucketlensError):
    """Trying again would end the same way; the message is the reason a user reads."""

    status: Literal["failed", "unsupported"] = "failed"


class BadInputError(PermanentError):
    """The content is empty, broken, or over a limit."""


class UnsupportedError(PermanentError):
    """The content is fine, but of a kind that cannot be embedded."""

    status = "unsupported"


class SupersededError(BucketlensError):
    """Another generation or attempt of the asset is wanted now."""


class ConflictError(BucketlensError):
    """A conditional write lost to another writer."""


class ThrottledError(BucketlensError):
    """Bedrock or S3 Vectors asks to slow down."""


class OverloadedError(BucketlensError):
    """S3 Vectors is unable to handle the request, which may be for its size."""


class RefusedError(BucketlensError):
    """S3 Vectors does not take the request as it is."""

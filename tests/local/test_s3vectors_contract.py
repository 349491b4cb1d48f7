"""Every rule and every declared exception of botocore's model of S3 Vectors, over the wire: the contract as a table."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.clients import Clients
from local.s3vectors import S3Vectors
from local.s3vectors.control import Quotas
from local.state import State
from tests.local import contract
from tests.local.contract import BUCKET, INDEX, Answer, Declared, Json, Row, Wire, valid_request

Record = Callable[[str, object], None]
ABSENT = {"vectorBucketName": "absent", "resourceArn": f"{contract.BUCKET_ARN}-absent"}
TEXT_SEARCH = {"textSearchConfigurations": [{"metadataKey": "text"}]}
# A fault inside AWS is what raises these; here they come when they are asked for, below `/_local/`.
BY_FAULT_CONTROL = {
    "InternalServerException",
    "KmsDisabledException",
    "KmsInvalidKeyUsageException",
    "KmsInvalidStateException",
    "KmsNotFoundException",
    "RequestTimeoutException",
    "ServiceUnavailableException",
    "TooManyRequestsException",
}

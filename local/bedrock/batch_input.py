"""The input of a batch inference job: its files, their records, and what both must be.

Source: Bedrock user guide, "Format and upload your batch inference data" and "Quotas for Amazon Bedrock".
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from botocore.exceptions import ClientError

from local.bedrock import objects

MAX_RECORDS = 50_000  # of a file and of a job
MAX_FILE_BYTES = 1_000_000_000
MAX_JOB_BYTES = 5_000_000_000


class InputRefusedError(Exception):
    """The input is not what a job takes; the message is a sentence for who made the job."""


@dataclass(frozen=True)
class Record:
    """`id` is None where the line has none."""

    id: str | None
    model_input: dict[str, Any]


def folder_of(uri: str) -> str | None:
    """The folder, with a slash at the end, that the input's URI names; None if it names one file."""
    return None if uri.endswith(".jsonl") else uri.removesuffix("/") + "/"


def find_files(s3: Any, uri: str) -> list[str]:
    """The URIs of the JSONL files. Raises `InputRefusedError`, `ObjectRefusedError`."""
    folder = folder_of(uri)
    if folder is None:
        return [uri]
    bucket, prefix = objects.split_uri(folder)
    try:
        pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix))
    except ClientError as error:
        raise objects.refused(error, "list", folder) from error
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    files = [f"s3://{bucket}/{key}" for key in keys if key.endswith(".jsonl")]
    if not files:
        raise InputRefusedError(f"There is no .jsonl file in {folder}")
    return files


def check_records(path: Path, name: str) -> int:
    """How many records the file holds. Their form is checked, but not what `modelInput` says, as on AWS."""
    count = 0
    for count, _ in enumerate(read_records(path, name), 1):
        if count > MAX_RECORDS:
            raise InputRefusedError(f"{name} contains more records than the allowed maximum of: {MAX_RECORDS}")
    return count


def read_records(path: Path, name: str) -> Iterator[Record]:
    """Raises `InputRefusedError`, which says the line."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield _record(line)
            except ValueError as error:
                raise InputRefusedError(f"{name}, line {number}: {error}") from error


def _record(line: bytes) -> Record:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError("the record is not JSON") from error
    if not isinstance(found, dict):
        raise ValueError("the record is not a JSON object")
    if not isinstance(found.get("modelInput"), dict):
        raise ValueError("the record has no object modelInput")
    if not isinstance(found.get("recordId"), str | None):
        raise ValueError("recordId is not a string")
    try:
        orjson.dumps(found)
    except orjson.JSONEncodeError as error:  # read it can: a line of the output that repeats it could not be written
        raise ValueError("the record is nested too deeply") from error
    return Record(found.get("recordId"), found["modelInput"])


def misplaced(model_input: Mapping[str, Any], folder: str | None) -> str | None:
    """The first S3 URI in a record that does not lie in the job's input folder.

    All that records refer to lies in the folder that the job names; a job that names one file has none.
    """
    return next((uri for uri in _locations(model_input) if folder is None or not uri.startswith(folder)), None)


def _locations(value: Any) -> Iterator[str]:
    if not isinstance(value, Mapping):
        return
    for name, inner in value.items():
        if name == "s3Location" and isinstance(inner, Mapping) and isinstance(inner.get("uri"), str):
            yield inner["uri"]
        yield from _locations(inner)

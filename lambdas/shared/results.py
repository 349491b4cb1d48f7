"""Results of our own in the layout of Nova's jobs, so that the index function reads one kind of thing.

`segmented-embedding-result.json` names JSONL files; a line is a part of the file: `embedding`, `segmentMetadata`,
`status` (Amazon Nova user guide, "Complete embeddings request and response schema"). Ours may also say `page` and
`text` in `segmentMetadata`, and in an entry `pages`, the first and the last of its file.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import orjson
from botocore.exceptions import ClientError

from lambdas.shared.assets import Work

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

RESULT = "segmented-embedding-result.json"


def line(number: int, numbers: list[float], place: Mapping[str, Any]) -> bytes:
    """`place` is the rest of `segmentMetadata`."""
    record = {"embedding": numbers, "segmentMetadata": {"segmentIndex": number, **place}, "status": "SUCCESS"}
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


def failed_line(number: int, reason: str, place: Mapping[str, Any]) -> bytes:
    record = {"segmentMetadata": {"segmentIndex": number, **place}, "status": "FAILURE", "message": reason}
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


def write_lines(s3: "S3Client", bucket: str, key: str, lines: Iterable[bytes]) -> str:
    """Its URI."""
    s3.put_object(Bucket=bucket, Key=key, Body=b"".join(lines), ContentType="application/jsonl")
    return f"s3://{bucket}/{key}"


def read_numbered(s3: "S3Client", bucket: str, key: str) -> dict[int, bytes]:
    """The lines of such a file by their numbers; none where it is not there yet."""
    try:
        body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchKey":
            return {}
        raise
    lines = body.splitlines(keepends=True)
    return {orjson.loads(line)["segmentMetadata"]["segmentIndex"]: line for line in lines}


def write_result(s3: "S3Client", bucket: str, prefix: str, entries: list[dict[str, Any]]) -> str:
    """The URI of the folder, which is what `GetAsyncInvoke` would tell."""
    body = orjson.dumps({"embeddingResults": entries})
    s3.put_object(Bucket=bucket, Key=f"{prefix}{RESULT}", Body=body, ContentType="application/json")
    return f"s3://{bucket}/{prefix}"


def text_key(work: Work) -> str:
    """Where text that a job cuts into pieces is staged."""
    return f"jobs/{work.name}/input.txt"


def pages_key(work: Work, first: int) -> str:
    """Where the embeddings of the range of pages that begins there lie."""
    return f"jobs/{work.name}/own/pages-{first:05d}.jsonl"

"""Where a caller may put a file: a form that S3 takes once it is filled in, and nothing else."""

import mimetypes
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from lambdas.search.answers import Upload
from lambdas.search.caller import Caller
from lambdas.search.embeddings import QUERY_PREFIX
from lambdas.search.errors import RequestError
from lambdas.search.requests import UploadRequest
from lambdas.shared.assets import SIDECAR, is_asset
from lambdas.shared.nova import SYNC_MEDIA_BYTES

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PREFIX = "uploads/"
KEY_BYTES = 1024  # S3's limit
MAX_BYTES = 5 * 1024**3  # S3's own limit for one POST
QUERY_BYTES = SYNC_MEDIA_BYTES  # what the model reads at once
UPLOAD_SECONDS = 3600  # until the upload begins, as S3 checks it
_TYPES = mimetypes.MimeTypes()  # without what this machine has installed
_SHOWN = ("audio/", "image/", "video/", "application/pdf", "text/plain")


@dataclass(frozen=True)
class Uploads:
    """Presigned POSTs, with the function's own right to put there: files into the media bucket, what is only searched
    with into ours, where it is gone in a day."""

    s3: "S3Client"
    bucket: str
    query_bucket: str

    def allow(self, caller: Caller, request: UploadRequest) -> Upload:
        """Each under a key of its own, that nobody can guess: an upload never overwrites another's.

        A caller who sees only an owner's files uploads for that owner: the form is good with that attribute alone.
        """
        if request.purpose == "query":
            return self._form(self.query_bucket, f"{QUERY_PREFIX}{secrets.token_hex(20)}", {}, QUERY_BYTES)
        name = _checked(request.name)
        key = f"{PREFIX}{secrets.token_hex(8)}/{name}"
        if len(key.encode()) > KEY_BYTES:
            most = KEY_BYTES - len(key.encode()) + len(name.encode())
            raise RequestError(f"the name is too long: {most} bytes of UTF-8 are the most", "name")
        return self._form(self.bucket, key, _content_type(name) | _owned(caller), MAX_BYTES)

    def _form(self, bucket: str, key: str, fields: dict[str, str], most: int) -> Upload:
        expires = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=UPLOAD_SECONDS)
        form = self.s3.generate_presigned_post(
            bucket,
            key,
            Fields=fields,
            Conditions=[*({name: value} for name, value in fields.items()), ["content-length-range", 0, most]],
            ExpiresIn=UPLOAD_SECONDS,
        )
        return Upload(key=key, url=form["url"], fields=form["fields"], max_bytes=most, expires=expires.isoformat())


def _checked(name: str | None) -> str:
    """RequestError for what could be put but not be found, or not under this name."""
    if name is None:
        raise RequestError("a file has a name, such as talk.mp4", "name")
    if name.endswith(SIDECAR):
        raise RequestError(
            "a sidecar goes beside its file in the bucket (aws s3 cp …); every upload here gets a folder of its own",
            "name",
        )
    if not name or not is_asset(name):
        raise RequestError("this is no name of a file that is looked into, such as talk.mp4", "name")
    if {".", ".."} & set(name.split("/")):  # browsers take them out of a link, which breaks its signature
        raise RequestError("a name has no parts `.` and `..`", "name")
    if "\n" in name or "\r" in name:  # forms have their own ideas of what ends a line
        raise RequestError("a name has no line breaks", "name")
    if "${filename}" in name:
        raise RequestError("S3 would put another name in the place of ${filename}", "name")
    return name


def _owned(caller: Caller) -> dict[str, str]:
    return {} if caller.owner is None else {f"x-amz-meta-{caller.attribute}": caller.owner}


def _content_type(name: str) -> dict[str, str]:
    """What a browser shows by itself gets its type; all else, pages with scripts among it, is S3's octet-stream."""
    guess = _TYPES.guess_type(f"x{PurePosixPath(name).suffix}")[0] or ""
    return {"Content-Type": guess} if guess.startswith(_SHOWN) and guess != "image/svg+xml" else {}

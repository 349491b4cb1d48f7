"""Where a caller may put a file: a form that S3 takes once it is filled in, and nothing else."""

import mimetypes
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from lambdas.search.answers import Upload
from lambdas.search.caller import Caller
from lambdas.search.requests import RequestError, UploadRequest
from lambdas.shared.assets import SIDECAR, is_asset

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PREFIX = "uploads/"
KEY_BYTES = 1024  # S3's limit
MAX_BYTES = 5 * 1024**3  # S3's own limit for one POST
UPLOAD_SECONDS = 3600  # until the upload begins, as S3 checks it
_TYPES = mimetypes.MimeTypes()  # without what this machine has installed
_SHOWN = ("audio/", "image/", "video/", "application/pdf", "text/plain")


@dataclass(frozen=True)
class Uploads:
    """Presigned POSTs to the media bucket, with the function's own right to put there."""

    s3: "S3Client"
    bucket: str

    def allow(self, caller: Caller, request: UploadRequest) -> Upload:
        """Each under a key of its own, that nobody can guess: an upload never overwrites another's.

        A caller with an owner's rights uploads for that owner: the form is good with that attribute alone.
        """
        key = f"{PREFIX}{secrets.token_hex(8)}/{_checked(request.name)}"
        if len(key.encode()) > KEY_BYTES:
            most = KEY_BYTES - len(key.encode()) + len(request.name.encode())
            raise RequestError(f"the name is too long: {most} bytes of UTF-8 are the most", "name")
        fields = _content_type(request.name) | _owned(caller)
        expires = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=UPLOAD_SECONDS)
        form = self.s3.generate_presigned_post(
            self.bucket,
            key,
            Fields=fields,
            Conditions=[*({name: value} for name, value in fields.items()), ["content-length-range", 0, MAX_BYTES]],
            ExpiresIn=UPLOAD_SECONDS,
        )
        return Upload(key=key, url=form["url"], fields=form["fields"], max_bytes=MAX_BYTES, expires=expires.isoformat())


def _checked(name: str) -> str:
    """RequestError for what could be put but not be found, or not under this name."""
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

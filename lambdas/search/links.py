"""Links that play or show a file at the right place."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lambdas.shared.records import Head

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LINK_SECONDS = 3600  # a link dies with the session of the role that signed it anyway


@dataclass
class Links:
    """Presigned URLs of the media bucket."""

    s3: "S3Client"
    bucket: str

    def to(self, head: Head, start: float | None = None, end: float | None = None) -> str:
        """A URL of the live version that can be seeked, opening at those seconds (Media Fragments, W3C)."""
        params: dict[str, Any] = {"Bucket": self.bucket, "Key": head.key}
        if head.live and head.live.version_id:
            params["VersionId"] = head.live.version_id
        url = self.s3.generate_presigned_url("get_object", Params=params, ExpiresIn=LINK_SECONDS)
        if start is None:
            return url
        return f"{url}#t={_seconds(start)}" + (f",{_seconds(end)}" if end is not None else "")


def _seconds(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")

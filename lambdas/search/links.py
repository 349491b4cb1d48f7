"""Links that play or show a file at the right place."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lambdas.shared.derived import derived_key
from lambdas.shared.records import Head

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LINK_SECONDS = 3600  # a link dies with the session of the role that signed it anyway


@dataclass
class Links:
    """Presigned URLs of the media bucket, and of what was derived from it into ours."""

    s3: "S3Client"
    bucket: str
    derived_bucket: str

    def to(self, head: Head, start: float | None = None, end: float | None = None, page: int | None = None) -> str:
        """A URL of the live version that can be seeked, opening at those seconds (Media Fragments, W3C) or that page
        (PDF open parameters, Adobe)."""
        params: dict[str, Any] = {"Bucket": self.bucket, "Key": head.key}
        if head.live and head.live.version_id:
            params["VersionId"] = head.live.version_id
        if page is not None:
            params["ResponseContentType"] = "application/pdf"  # else a browser saves it, where nobody said what it is
        url = self.s3.generate_presigned_url("get_object", Params=params, ExpiresIn=LINK_SECONDS)
        if page is not None:
            return f"{url}#page={page}"
        if start is None:
            return url
        return f"{url}#t={_seconds(start)}" + (f",{_seconds(end)}" if end is not None else "")

    def thumbnail(self, head: Head, number: int = 0, page: int | None = None) -> str | None:
        """A picture of a segment, if there is one: the page, the frame it begins with, or the whole made small."""
        derived = head.live.derived if head.live else {}
        if "thumbnail" in derived:
            return self._derived(head, "thumbnail")
        if "pages" in derived:
            return self._derived(head, f"page-{page or 1}")
        if "frames" in derived:
            return self._derived(head, f"frame-{min(number, derived['frames'] - 1)}")
        return None

    def peaks(self, head: Head) -> str | None:
        """The loudest moments of a sound, equally long, from the first to the last: a byte each."""
        return self._derived(head, "peaks") if head.live and "peaks" in head.live.derived else None

    def _derived(self, head: Head, name: str) -> str:
        key = derived_key(head.asset_id, head.live_generation or "", name)
        params = {"Bucket": self.derived_bucket, "Key": key}
        return self.s3.generate_presigned_url("get_object", Params=params, ExpiresIn=LINK_SECONDS)


def _seconds(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")

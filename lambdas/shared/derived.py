"""What is made of a file for showing (page pictures, thumbnails, frames, peaks); it goes with its generation."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lambdas.shared.assets import Work

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True)
class Derived:
    """`derived/asset_id/generation/…` in our bucket. Names have no ending: the content type tells what they are.

    Before the first put `Catalog.open_derived` says in the generation's record that something will be there.
    """

    s3: "S3Client"
    bucket: str

    def put(self, work: Work, name: str, content: bytes, content_type: str) -> str:
        """Its URI."""
        key = derived_key(work.asset_id, work.generation, name)
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=content, ContentType=content_type)
        return f"s3://{self.bucket}/{key}"

    def delete(self, asset_id: str, generation: str) -> None:
        """All of a generation's; whoever still puts some is known by the busy mark of its record, which stays then."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=derived_key(asset_id, generation, "")
        )
        for page in pages:
            self.drop([one["Key"] for one in page.get("Contents", [])])

    def page(self, after: str, limit: int) -> tuple[dict[tuple[str, str], list[str]], str]:
        """All files behind a key, by asset and generation, and the last key if there are more."""
        start: Any = {"StartAfter": after} if after else {}
        answer = self.s3.list_objects_v2(Bucket=self.bucket, Prefix="derived/", MaxKeys=limit, **start)
        keys = [one["Key"] for one in answer.get("Contents", [])]
        files: dict[tuple[str, str], list[str]] = {}
        for key in keys:
            names = key.split("/", 3)
            if len(names) == 4:  # else somebody else's
                files.setdefault((names[1], names[2]), []).append(key)
        return files, keys[-1] if answer.get("IsTruncated") else ""

    def drop(self, keys: list[str]) -> None:
        """At most a thousand."""
        if not keys:
            return
        objects: Any = [{"Key": key} for key in keys]
        answer = self.s3.delete_objects(Bucket=self.bucket, Delete={"Objects": objects, "Quiet": True})
        if errors := answer.get("Errors"):
            raise RuntimeError(f"{len(errors)} derived files were not deleted: {errors[0].get('Message')}")


def derived_key(asset_id: str, generation: str, name: str) -> str:
    return f"derived/{asset_id}/{generation}/{name}"

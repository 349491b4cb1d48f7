"""The file a request is about: from its own bytes or from S3, checked for size and format."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.bedrock import nova, objects
from local.bedrock.formats import SIGNATURE_BYTES, formats_of
from local.bedrock.model import UnreadableInputError


def store(medium: nova.Medium, source: nova.Source, s3: Any, limits: Mapping[str, int], target: Path) -> None:
    """Raises `ObjectRefusedError`, `UnreadableInputError`. `limits` are bytes in S3, by the kind of medium."""
    if source.content is not None:
        target.write_bytes(source.content)
    elif source.s3_location is not None:
        location = source.s3_location
        objects.check_owner(location.bucket_owner, location.uri)
        objects.download(s3, location.uri, target, limits[medium.kind])
    if isinstance(medium, nova.Image | nova.Audio | nova.Video):
        _check_format(medium, target)


def _check_format(medium: nova.Image | nova.Audio | nova.Video, path: Path) -> None:
    with path.open("rb") as file:
        found = formats_of(file.read(SIGNATURE_BYTES))
    if medium.format not in found:
        content = " or ".join(sorted(found)) or "unknown"
        raise UnreadableInputError(f"{medium.kind}/format: the content is {content}, not {medium.format}")

"""Files into the bucket, and the wait until they can be found."""

import io
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from lens.api import Api, Json
from lens.errors import LensError
from lens.stack import Stack

SIDECAR = ".metadata.json"
SETTLED = ("indexed", "partial", "failed", "unsupported", "deleted")
AT_ONCE = 4
LOOK_SECONDS = (0.25, 5.0)  # the first pause between two looks, and the longest
Sent = Callable[[int], None]  # so many bytes more


@dataclass
class Addition:
    """A file and what has become of it; `name` is what it is called in the bucket, `size` is in bytes."""

    file: Path
    name: str
    size: int
    key: str | None = None
    asset: Json = field(default_factory=dict)
    before: int = -1  # the attempt that its key had before
    problem: str | None = None

    @property
    def status(self) -> str:
        return "not added" if self.problem else str(self.asset.get("status", "added"))

    @property
    def is_well(self) -> bool:
        return self.problem is None and self.status not in ("failed", "unsupported", "deleted")

    def shown(self) -> Json:
        """For scripts."""
        shown = {"file": str(self.file), "key": self.key, "status": self.status, "reason": self.problem}
        shown |= {name: self.asset[name] for name in ("asset_id", "segment_count", "reason") if name in self.asset}
        return {name: value for name, value in shown.items() if value is not None}


def collect(paths: Iterable[Path]) -> list[Addition]:
    """Files as they are, and all in folders, but for what is hidden there; LensError where there is nothing."""
    found = [addition for path in paths for addition in _collected(path)]
    if not found:
        raise LensError("There is no file in there.")
    return found


def _collected(path: Path) -> Iterator[Addition]:
    if path.is_file():
        yield Addition(path, path.name, path.stat().st_size)
    elif path.is_dir():
        folder = path.resolve()
        for file in sorted(folder.rglob("*")):
            inner = file.relative_to(folder)
            if file.is_file() and not any(part.startswith(".") for part in inner.parts):
                yield Addition(path / inner, f"{folder.name}/{inner.as_posix()}", file.stat().st_size)
    else:
        raise LensError(f"There is no file {path}.")


def through_forms(api: Api, sent: Sent) -> Callable[[Addition], None]:
    """By forms that the API signs: no rights to S3 are needed, and no key of another's is written over."""

    def put(addition: Addition) -> None:
        with Counted(addition.file, sent) as content:
            addition.key = api.upload(addition.name, content)

    return put


def into_bucket(api: Api, stack: Stack, attributes: Mapping[str, Any], sent: Sent) -> Callable[[Addition], None]:
    """Under the names that were asked for, with the caller's own rights to S3; attributes in a sidecar, which comes
    first, so that the file is read with it."""
    import boto3  # more than half a second, which no other command needs
    from boto3.exceptions import S3UploadFailedError

    credentials = stack.credentials().get_frozen_credentials()
    s3 = boto3.session.Session().client(
        "s3",
        endpoint_url=stack.outputs.get("AwsEndpointUrl"),
        region_name=stack.region,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        aws_session_token=credentials.token,
    )

    def put(addition: Addition) -> None:
        addition.key = addition.name
        known = None if addition.name.endswith(SIDECAR) else api.by_key(addition.name)
        addition.before = known["attempt"] if known else -1
        try:
            if attributes and not addition.name.endswith(SIDECAR):
                sidecar = json.dumps({"metadataAttributes": attributes}, ensure_ascii=False).encode()
                s3.put_object(Bucket=stack.bucket, Key=addition.name + SIDECAR, Body=sidecar)
            s3.upload_file(str(addition.file), stack.bucket, addition.name, Callback=sent)
        except (ClientError, BotoCoreError, S3UploadFailedError) as error:
            raise LensError(f"{addition.file} was not taken: {error}") from error

    return put


def put_all(additions: Sequence[Addition], put: Callable[[Addition], None]) -> None:
    """Several at once; what goes wrong with one keeps no other."""

    def one(addition: Addition) -> None:
        try:
            put(addition)
        except LensError as error:
            addition.problem = str(error)
        except OSError as error:
            addition.problem = f"{addition.file} can't be read: {str(error.strerror).lower()}."

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one, additions))


def wait_for(additions: Sequence[Addition], api: Api) -> None:
    """Look at those that were put until each has come to an end."""
    pause, longest = LOOK_SECONDS
    waiting = [one for one in additions if one.problem is None and not one.name.endswith(SIDECAR)]
    while waiting:
        for one in waiting:
            asset = api.by_key(one.key or "")
            if asset and asset["attempt"] > one.before:
                one.asset = asset
        waiting = [one for one in waiting if one.asset.get("status") not in SETTLED]
        if waiting:
            time.sleep(pause)
            pause = min(pause * 1.5, longest)


class Counted(io.FileIO):
    """A file that tells how much of it is read."""

    def __init__(self, file: Path, sent: Sent) -> None:
        super().__init__(file)
        self._sent = sent

    def read(self, size: int | None = -1) -> bytes:
        piece = super().read(-1 if size is None else size)
        self._sent(len(piece))
        return piece

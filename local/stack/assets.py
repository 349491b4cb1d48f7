"""File assets: what a template names by bucket and key, as a folder on this machine."""

import hashlib
import shutil
import uuid
import zipfile
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from local.clients import Clients
from local.stack.template import TemplateError
from local.state import State

_SCHEMA = "CREATE TABLE IF NOT EXISTS stack_assets (source TEXT PRIMARY KEY, folder TEXT) WITHOUT ROWID"


class Assets:
    """An archive is unpacked once per content, into `<state.folder>/assets`."""

    def __init__(self, state: State, clients: Clients) -> None:
        self._state, self._clients = state, clients
        self._folder = state.folder / "assets"
        state.create(_SCHEMA)

    def put(self, key: str, path: Path) -> None:
        """What an assembly on this machine has for a key of whichever bucket, if it is a folder or an archive."""
        if path.is_dir():
            self._remember(key, path)
        elif zipfile.is_zipfile(path):
            self._remember(key, self._unpacked(path.stem, path))

    def folder(self, bucket: str, key: str, version: str | None = None) -> Path:
        """From the laptop's S3; where it is not there (any more), what an assembly had or what was unpacked before."""
        source = f"s3://{bucket}/{key}?{version or ''}"
        place = {"Bucket": bucket, "Key": key, **({"VersionId": version} if version else {})}
        s3 = self._clients.get("s3", None)
        try:
            etag = s3.head_object(**place)["ETag"].strip('"')
        except ClientError as error:
            kept = self._remembered(source) or self._remembered(key)
            if kept is None:
                raise TemplateError(_not_there(error)) from error
            return kept
        name = hashlib.sha256(f"{source} {etag}".encode()).hexdigest()[:32]
        folder = self._folder / name
        if not folder.is_dir():
            folder = self._download(s3, place, name)
        self._remember(source, folder)
        return folder

    def _download(self, s3: Any, place: dict[str, str], name: str) -> Path:
        self._folder.mkdir(exist_ok=True)
        archive = self._folder / f"{name}.{uuid.uuid4().hex}.zip"
        try:
            with archive.open("wb") as file:
                shutil.copyfileobj(s3.get_object(**place)["Body"], file)
            return self._unpacked(name, archive)
        finally:
            archive.unlink(missing_ok=True)

    def _unpacked(self, name: str, archive: Path) -> Path:
        folder = self._folder / name
        if not folder.is_dir():
            unpacking = self._folder / f"{name}.{uuid.uuid4().hex}"
            try:
                with zipfile.ZipFile(archive) as content:
                    content.extractall(unpacking)
            except zipfile.BadZipFile as error:
                raise TemplateError("Could not unzip uploaded file. Please check your file, then try again.") from error
            unpacking.rename(folder)
        return folder

    def _remember(self, source: str, folder: Path) -> None:
        with self._state.transaction() as db:
            db.execute("REPLACE INTO stack_assets VALUES (?, ?)", (source, str(folder)))

    def _remembered(self, source: str) -> Path | None:
        with self._state.transaction() as db:
            row = db.execute("SELECT folder FROM stack_assets WHERE source = ?", (source,)).fetchone()
        folder = Path(row["folder"]) if row else None
        return folder if folder and folder.is_dir() else None


def _not_there(error: ClientError) -> str:
    """In Lambda's words."""
    missing = {"404": "NoSuchKey", "NoSuchBucket": "NoSuchBucket"}
    code = missing.get(error.response["Error"]["Code"], error.response["Error"]["Code"])
    message = {"NoSuchKey": "The specified key does not exist.", "NoSuchBucket": "The specified bucket does not exist"}
    told = message.get(code, error.response["Error"]["Message"])
    return f"Error occurred while GetObject. S3 Error Code: {code}. S3 Error Message: {told}"

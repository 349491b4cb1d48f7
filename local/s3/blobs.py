"""The contents: one immutable file each, under a name of ours, so that no key ever becomes a path."""

import contextlib
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from local.state import State

BLOCK = 1 << 18


class Blobs:
    """Files live in `objects/<first two letters>/<name>`; a row of `s3_versions` or `s3_parts` owns each."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._folder = state.folder / "objects"
        self._incoming = self._folder / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def incoming(self) -> Iterator["Incoming"]:
        """A new file. It stays when the block ends well (having committed a row that owns it), else it goes."""
        name = secrets.token_hex(16)
        blob = Incoming(name, self._incoming / name, self.path(name))
        try:
            yield blob
        except BaseException:
            blob.discard()
            raise

    def path(self, name: str) -> Path:
        return self._folder / name[:2] / name

    def open(self, name: str) -> BinaryIO:
        """Ask inside the transaction that read the row: an open file outlives its deletion."""
        return self.path(name).open("rb")

    def delete_after_commit(self, name: str | None) -> None:
        if name:
            path = self.path(name)
            self._state.after_commit(lambda: path.unlink(missing_ok=True))

    def sweep(self) -> None:
        """Remove what a kill left: files no row owns. Only at start, when nothing is being received."""
        for file in self._incoming.iterdir():
            file.unlink()
        for folder in self._folder.iterdir():
            if folder != self._incoming:
                self._sweep_folder(folder)

    def _sweep_folder(self, folder: Path) -> None:
        with self._state.transaction() as db:
            owned = _owned(db, folder.name)
        for file in folder.iterdir():
            if file.name not in owned:
                file.unlink()


class Incoming:
    """A file being written; `keep` gives it its place."""

    def __init__(self, name: str, temporary: Path, final: Path) -> None:
        self.name = name
        self._temporary = temporary
        self._final = final
        self._file = temporary.open("wb")
        self.size = 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self.size += len(data)

    def keep(self) -> None:
        self._file.close()
        self._final.parent.mkdir(exist_ok=True)
        self._temporary.rename(self._final)

    def discard(self) -> None:
        self._file.close()
        self._temporary.unlink(missing_ok=True)
        self._final.unlink(missing_ok=True)


def _owned(db: sqlite3.Connection, start: str) -> set[str]:
    rows = db.execute(
        "SELECT file FROM s3_versions WHERE file >= :start AND file < :start || 'g'"
        " UNION ALL SELECT file FROM s3_parts WHERE file >= :start AND file < :start || 'g'",
        {"start": start},
    )
    return {row["file"] for row in rows}


class Blocks:
    """Bytes `start` to `start + length` of an open file, block by block; closes the file at the end or early."""

    def __init__(self, file: BinaryIO, start: int, length: int) -> None:
        file.seek(start)
        self._file = file
        self._left = length

    def __iter__(self) -> "Blocks":
        return self

    def __next__(self) -> bytes:
        data = self._file.read(min(BLOCK, self._left)) if self._left else b""
        if not data:
            self.close()
            raise StopIteration
        self._left -= len(data)
        return data

    def close(self) -> None:
        self._file.close()


def pour(blocks: Iterator[bytes], *sinks: Callable[[bytes], None]) -> None:
    for block in blocks:
        for sink in sinks:
            sink(block)

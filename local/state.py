"""Everything the laptop must not lose, in one folder: one SQLite database and plain files beside it."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

FORM = 1
"""Of the tables, all services' together: raised when one of them changes, for none is carried over."""


class FormError(Exception):
    """The folder was written by another version of the laptop."""


class State:
    """The folder; FormError where its tables are of another form.

    A commit is on disk before the caller is answered, so what was acknowledged survives a kill.

    All threads share one connection behind one lock: SQLite has one writer anyway, and a request that stores an
    object, matches a rule and fills a queue is one transaction.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._db = sqlite3.connect(folder / "aws.sqlite", check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        form = self._db.execute("PRAGMA user_version").fetchone()[0]
        if form != FORM:
            if self._db.execute("SELECT 1 FROM sqlite_master").fetchone():
                self._db.close()
                raise FormError(f"{folder} was written by another version of the laptop")
            self._db.execute(f"PRAGMA user_version={FORM}")
        self._lock = threading.RLock()
        self._depth = 0
        self._after_commit: list[Callable[[], None]] = []

    def create(self, schema: str) -> None:
        """Run `CREATE TABLE IF NOT EXISTS …` statements."""
        with self._lock:
            self._db.executescript(schema)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; nested uses join the outer one, an inner one that raises undoes only its own part."""
        with self._lock:
            name = f"level{self._depth}"
            hooks = len(self._after_commit)
            self._db.execute("BEGIN IMMEDIATE" if self._depth == 0 else f"SAVEPOINT {name}")
            self._depth += 1
            try:
                yield self._db
            except BaseException:
                del self._after_commit[hooks:]
                self._db.execute("ROLLBACK" if self._depth == 1 else f"ROLLBACK TO {name}")
                raise
            else:
                self._db.execute("COMMIT" if self._depth == 1 else f"RELEASE {name}")
            finally:
                self._depth -= 1
            due: list[Callable[[], None]] = []
            if self._depth == 0:
                due, self._after_commit = self._after_commit, []
        for hook in due:
            hook()

    def after_commit(self, hook: Callable[[], None]) -> None:
        """Call `hook` once the outermost transaction is on disk (never if it is undone)."""
        with self._lock:
            if self._depth:
                self._after_commit.append(hook)
                return
        hook()

    def close(self) -> None:
        with self._lock:
            self._db.close()

"""Full-text indexes of keys that vectors already have: built in the background, some vectors at a time."""

import logging
import threading

from local.s3vectors import texts
from local.state import State

log = logging.getLogger(__name__)


class Builder:
    """One thread. How far it came is in SQLite, so that after a restart it goes on."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._work = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="s3vectors-texts", daemon=True)

    def start(self) -> None:
        self._work.set()
        self._thread.start()

    def wake(self) -> None:
        """There is something to build."""
        self._work.set()

    def stop(self) -> None:
        self._stopped = True
        self._work.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped:
            self._work.wait()
            self._work.clear()
            try:
                self._build()
            except Exception:
                log.exception("A full-text index could not be built; the next start tries again")

    def _build(self) -> None:
        more = True
        while more and not self._stopped:
            more = texts.build_some(self._state)

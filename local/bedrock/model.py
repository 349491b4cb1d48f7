"""The model as the service sees it: processes that answer, one of them kept free of jobs."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import orjson

import local
from local.worker import Worker, WorkerDiedError, WorkerTimeoutError

_ROOT = Path(local.__file__).parents[1]


class UnreadableInputError(Exception):
    """The input is at fault; the message is a sentence for the caller."""


class ModelFailedError(Exception):
    """The model's process died or took too long; the next request gets a new one."""

    def __init__(self, message: str, slow: bool = False) -> None:
        super().__init__(message)
        self.slow = slow


class Asks(Protocol):
    """What answers an order of `model_process.Orders`. Raises `UnreadableInputError`, `ModelFailedError`."""

    def ask(self, order: dict[str, Any], timeout: float | None) -> dict[str, Any]: ...


class Model:
    """`processes` stand-in models of the module `name`. Jobs use all but the first, so a search never waits for one."""

    def __init__(self, name: str, processes: int, log: Path) -> None:
        self._argv = [sys.executable, "-m", "local.bedrock.model_process", name]
        self._log = log
        self._workers: list[Worker | None] = [None] * processes
        self._free = set(range(processes))
        self._changed = threading.Condition()
        self._stopped = False

    def ask(self, order: dict[str, Any], timeout: float | None, for_job: bool = False) -> dict[str, Any]:
        """The answer to an order of `model_process.Orders`.

        Raises `UnreadableInputError`, `ModelFailedError`.
        """
        with self._slot(for_job) as slot:
            try:
                answer: dict[str, Any] = orjson.loads(self._worker(slot).ask(orjson.dumps(order), timeout))
            except WorkerDiedError as error:
                self._workers[slot] = None
                raise ModelFailedError(f"The model failed: {error}") from error
            except WorkerTimeoutError as error:
                self._workers[slot] = None
                raise ModelFailedError("The model took too long", slow=True) from error
        if "error" in answer:
            raise UnreadableInputError(answer["error"])
        return answer

    def load(self) -> None:
        """Have the process for searches ready. Who asks the next time is told what failed, if anything does."""
        with suppress(ModelFailedError):
            self.ask({"do": "load"}, timeout=None)

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for worker in self._workers:
            if worker:
                worker.stop()

    @contextmanager
    def _slot(self, for_job: bool) -> Iterator[int]:
        reserved = 1 if for_job and len(self._workers) > 1 else 0
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or any(slot >= reserved for slot in self._free))
            if self._stopped:
                raise ModelFailedError("The laptop is stopping")
            slot = min(slot for slot in self._free if slot >= reserved)
            self._free.remove(slot)
        try:
            yield slot
        finally:
            with self._changed:
                self._free.add(slot)
                self._changed.notify_all()

    def _worker(self, slot: int) -> Worker:
        with self._changed:
            if self._stopped:
                raise ModelFailedError("The laptop is stopping")
            worker = self._workers[slot]
            if worker is None:
                # One thread each: the processes share two cores with everything else.
                env = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(_ROOT), "OPENBLAS_NUM_THREADS": "1"}
                worker = self._workers[slot] = Worker(self._argv, env, self._log, _ROOT)
            return worker


class BackgroundModel:
    """The model for work that nobody waits for."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def ask(self, order: dict[str, Any], timeout: float | None) -> dict[str, Any]:
        return self._model.ask(order, timeout, for_job=True)

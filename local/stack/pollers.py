"""The event source mappings of all stacks, each with the pollers that work it."""

import threading

from local.functions import EventSourceMapping, Functions, Poller
from local.iam import OnBehalf, Principal
from local.iam.behalf import assumed
from local.sqs import Sqs

STOP_SECONDS = 2


class Pollers:
    """Mappings that are put before `start` begin to poll then. `mappings` is read by Lambda's API."""

    def __init__(self, sqs: Sqs, functions: Functions, behalf: OnBehalf) -> None:
        self.mappings: list[EventSourceMapping] = []
        self._sqs, self._functions, self._behalf = sqs, functions, behalf
        self._polling: dict[str, Poller] = {}
        self._lock = threading.Lock()
        self._started = False

    def put(self, mapping: EventSourceMapping) -> None:
        """Add the mapping, or change it."""
        self.remove(mapping.uuid)
        with self._lock:
            self.mappings.append(mapping)
            if self._started:
                self._poll(mapping)

    def remove(self, uuid: str) -> None:
        """What is being worked on is finished."""
        with self._lock:
            self.mappings[:] = [mapping for mapping in self.mappings if mapping.uuid != uuid]
            poller = self._polling.pop(uuid, None)
        if poller:
            poller.stop()

    def start(self) -> None:
        with self._lock:
            self._started = True
            for mapping in self.mappings:
                self._poll(mapping)

    def stop(self) -> None:
        with self._lock:
            for poller in self._polling.values():
                poller.stop()

    def join(self) -> None:
        """Wait for what was in progress, for a moment each."""
        for poller in self._polling.values():
            poller.join(STOP_SECONDS)

    def _poll(self, mapping: EventSourceMapping) -> None:
        queues = self._behalf.polling(self._sqs, lambda: self._role_of(mapping))
        poller = self._polling[mapping.uuid] = Poller(mapping, queues, self._functions)
        poller.start()

    def _role_of(self, mapping: EventSourceMapping) -> Principal:
        """Asked at each call, for a function may be given another role."""
        spec = self._functions.spec(mapping.function)
        return assumed(spec.role_arn, spec.name)

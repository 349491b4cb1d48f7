"""As many jobs as Bedrock runs at once, and the queue of those that wait.

A slot is a lease: a name and its end (epoch seconds) in one item of the catalog, so that counting and taking are one
write. Whatever wants one stands in the queue first, each as an item of its own, in the order of when it was wanted; so
whoever finds a slot free knows whose turn it is, and nobody must be woken.
"""

import random
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from lambdas.shared.assets import Work
from lambdas.shared.errors import ConflictError
from lambdas.shared.table import ConditionError, Table

QUEUE, SLOTS, LEASES = "queue", "slots", "leases"  # no asset has such an id
TRIES = 50
TAKING_SECONDS = 30  # to start a job in; if that is over, somebody else does it, with the same token


@dataclass(frozen=True)
class Waiting:
    """A place in the queue, and the token of the execution that waits there."""

    work: Work
    since: str
    token: str

    @property
    def record(self) -> str:
        return f"{self.since}#{self.work.name}"


@dataclass(frozen=True)
class Slots:
    """`most` of them; a job that has begun keeps its own for `seconds` at most."""

    table: Table
    most: int
    seconds: int

    def wait(self, waiting: Waiting) -> None:
        """Stand in the queue; a second time changes the token alone."""
        self.table.put({"asset_id": QUEUE, "record": waiting.record, "token": waiting.token})

    def oldest(self) -> Waiting | None:
        item = self.table.first(QUEUE)
        if item is None:
            return None
        since, _, name = str(item["record"]).partition("#")
        return Waiting(Work.of(name), since, str(item["token"]))

    def free(self) -> int:
        return self.most - len(self._leases())

    def take(self, waiting: Waiting) -> bool:
        """Out of the queue into a slot; False when somebody else was quicker, or no slot is left."""
        lease = _lease(waiting.work)
        try:
            self.table.transact(
                self.table.updating(
                    SLOTS,
                    LEASES,
                    f"SET leases.#{lease} = :until",
                    f"size(leases) < :most AND attribute_not_exists(leases.#{lease})",
                    until=int(time.time()) + TAKING_SECONDS,
                    most=self.most,
                ),
                self.table.deleting(QUEUE, waiting.record, "attribute_exists(asset_id)"),
            )
        except ConflictError:
            return lease in self._leases() and self._stands_again(waiting)
        return True

    def _stands_again(self, waiting: Waiting) -> bool:
        """Whether who has a slot is in the queue besides (not any more): whoever took its slot has died since."""
        try:
            self.table.delete(QUEUE, waiting.record, "attribute_exists(asset_id)")
        except ConditionError:
            return False
        return True

    def keep(self, work: Work) -> None:
        """Its job runs."""
        self._change("SET {} = :until", work, until=int(time.time()) + self.seconds)

    def release(self, work: Work) -> None:
        self._change("REMOVE {}", work)

    def _change(self, expression: str, work: Work, **values: int) -> None:
        """Of its lease, if it has one."""
        lease = f"leases.#{_lease(work)}"
        for _ in range(TRIES):
            with suppress(ConflictError):  # somebody takes a slot just now
                with suppress(ConditionError):
                    self.table.update(SLOTS, LEASES, expression.format(lease), f"attribute_exists({lease})", **values)
                return
            time.sleep(random.uniform(0, 0.05))
        raise ConflictError(f"others keep taking slots while {work.name} changes its own")

    def expired(self) -> Iterator[Work]:
        """Whose time is over."""
        for lease, until in self._leases().items():
            if until < time.time():
                yield Work.of(lease.replace("_", "-"))

    def _leases(self) -> dict[str, int]:
        item = self.table.get(SLOTS, LEASES)
        if item is None:
            item = self.table.update(SLOTS, LEASES, "SET leases = if_not_exists(leases, :none)", none={})
        return {lease: int(until) for lease, until in item["leases"].items()}


def _lease(work: Work) -> str:
    """Its name, as an expression of DynamoDB takes it."""
    return work.name.replace("-", "_")

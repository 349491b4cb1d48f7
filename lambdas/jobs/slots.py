"""As many jobs as Bedrock runs at once, and the queue of those that wait.

A slot is a lease: a name and its end (epoch milliseconds) in one item of the catalog, so that counting and taking are
one write. The end tells, too, whose lease it is: whoever takes it over sets another, and the former can do nothing to
it. Whatever wants a slot stands in the queue first, each as an item of its own, in the order of when it was wanted; so
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

    def take(self, waiting: Waiting) -> int | None:
        """Out of the queue into a slot; the end of the lease, None when somebody was quicker, or no slot is left.

        Who has a slot and stands in the queue besides asked again: whoever took the slot may have died. It is taken
        over, for the token in the queue is the newer one.
        """
        lease = f"leases.#{_lease(waiting.work)}"
        until = _in(TAKING_SECONDS)
        for condition, values in (
            (f"size(leases) < :most AND attribute_not_exists({lease})", {"most": self.most}),
            (f"attribute_exists({lease})", {}),
        ):
            with suppress(ConflictError):
                self.table.transact(
                    self.table.updating(SLOTS, LEASES, f"SET {lease} = :until", condition, until=until, **values),
                    self.table.deleting(QUEUE, waiting.record, "attribute_exists(asset_id)"),
                )
                return until
        return None

    def give_back(self, waiting: Waiting, until: int) -> None:
        """Out of a slot into the queue, in one write, unless the lease has another end by now."""
        lease = f"leases.#{_lease(waiting.work)}"
        with suppress(ConflictError):
            self.table.transact(
                self.table.updating(SLOTS, LEASES, f"REMOVE {lease}", f"{lease} = :seen", seen=until),
                self.table.putting({"asset_id": QUEUE, "record": waiting.record, "token": waiting.token}, ""),
            )

    def keep(self, work: Work, until: int) -> None:
        """Its job runs. Nothing where the lease has another end by now."""
        self._change(work, "SET {} = :until", "{} = :seen", until=_in(self.seconds), seen=until)

    def release(self, work: Work, until: int | None = None) -> None:
        """Whatever the end of its lease, or if it is this one."""
        if until is None:
            self._change(work, "REMOVE {}", "attribute_exists({})")
        else:
            self._change(work, "REMOVE {}", "{} = :seen", seen=until)

    def _change(self, work: Work, expression: str, condition: str, **values: int) -> None:
        """Of its lease, if the condition holds."""
        lease = f"leases.#{_lease(work)}"
        for _ in range(TRIES):
            with suppress(ConflictError):  # somebody takes a slot just now
                with suppress(ConditionError):
                    self.table.update(SLOTS, LEASES, expression.format(lease), condition.format(lease), **values)
                return
            time.sleep(random.uniform(0, 0.05))
        raise ConflictError(f"others keep taking slots while {work.name} changes its own")

    def expired(self) -> Iterator[tuple[Work, int]]:
        """Whose time is over, and since when."""
        for lease, until in self._leases().items():
            if until < _in(0):
                yield Work.of(lease.replace("_", "-")), until

    def _leases(self) -> dict[str, int]:
        item = self.table.get(SLOTS, LEASES)
        if item is None:
            item = self.table.update(SLOTS, LEASES, "SET leases = if_not_exists(leases, :none)", none={})
        return {lease: int(until) for lease, until in item["leases"].items()}


def _in(seconds: int) -> int:
    """Epoch milliseconds, so many seconds from now."""
    return int(1000 * (time.time() + seconds))


def _lease(work: Work) -> str:
    """Its name, as an expression of DynamoDB takes it."""
    return work.name.replace("-", "_")

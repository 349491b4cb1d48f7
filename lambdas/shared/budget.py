"""Ingestion's share of the model's requests a minute: what is left of the quota is for searches."""

import time
from dataclasses import dataclass

from lambdas.shared.errors import ThrottledError
from lambdas.shared.table import ConditionError, Table

BUDGET = "budget"  # no asset has such an id
WINDOW_SECONDS = 6
KEPT_SECONDS = 3600


def window_of(now: float) -> int:
    """The number of the seconds that this moment (epoch seconds) belongs to."""
    return int(now // WINDOW_SECONDS)


def share_of(per_minute: int) -> int:
    """Requests that may be taken in each of these windows."""
    return max(1, per_minute * WINDOW_SECONDS // 60)


@dataclass(frozen=True)
class Budget:
    """Counted in the catalog, a few seconds at a time, by all functions together."""

    table: Table
    per_minute: int

    def take(self) -> None:
        """One request. ThrottledError if these seconds' are used up: the work waits, as where Bedrock says so."""
        now = time.time()
        try:
            self.table.update(
                BUDGET,
                str(window_of(now)),
                "SET used = if_not_exists(used, :none) + :one, expires = :expires",
                "attribute_not_exists(used) OR used < :most",
                none=0,
                one=1,
                most=share_of(self.per_minute),
                expires=int(now) + KEPT_SECONDS,
            )
        except ConditionError as error:
            raise ThrottledError("ingestion has used up its share of the model's requests for the moment") from error

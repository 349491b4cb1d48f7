"""How often, how long, how much: what the queue's reader and the state machine wait, and what functions are given.

The template is written from these, and the model of scale (`simulation/`) goes by the same.
"""

import random
from dataclasses import dataclass

BATCH = 10  # messages to a function
BATCH_SECONDS = 1  # to fill a batch in
PAGES_AT_ONCE = 8  # ranges of a document
FIRST_SECONDS, LONGEST_SECONDS = 15, 300  # of waiting for a result that nobody told of
MOMENT_SECONDS = 2  # the result is there, the job's status lags behind
TURN_SECONDS = 10 * 24 * 3600  # for a slot; staged input lies for 14 days
SWEEP_SECONDS = 60
MEMORY_MB = {"ingest": 2048, "prepare": 3008, "pages": 1769, "jobs": 512, "index": 1024}  # 1,769 is one processor


def longer(seconds: int) -> int:
    """The next wait after one of so many seconds, as the state machine's choice `How long?` has it."""
    return LONGEST_SECONDS if seconds > LONGEST_SECONDS // 2 else 2 * seconds


@dataclass(frozen=True)
class Retries:
    """A state's tries after the first: `most` of them, `interval` seconds before the first, each wait `rate` times
    the one before, up to `longest`; with `jitter` a random part of it.
    """

    interval: int
    most: int
    rate: float = 2
    longest: int | None = None
    jitter: bool = False

    def pause(self, tries: int) -> float | None:
        """Seconds before the next one, when so many were made; None when it was the last."""
        if tries > self.most:
            return None
        seconds = self.interval * self.rate ** min(tries - 1, 64)
        seconds = min(seconds, self.longest or seconds)
        return random.uniform(0, seconds) if self.jitter else seconds


BUSY = Retries(5, 300, longest=300, jitter=True)  # what waits for room has not failed: about 12 hours
ASKING = Retries(5, 8, longest=120, jitter=True)
STARTING = Retries(5, 8)
TASK = Retries(5, 4)
CRASHED = Retries(5, 3)
PASSING_ON = Retries(1, 4)

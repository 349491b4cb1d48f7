"""How long it is until a message comes again."""

import random

FIRST_DELAY, LONGEST_DELAY = 5, 900  # seconds; more is not SQS's to give
FIRST_PAUSE, LONGEST_PAUSE = 10, 720  # seconds; the last is the queue's own


def until_room(waited: int) -> int:
    """Seconds until the copy of a ring that has waited so often for somebody busy; at random, so that not all come."""
    delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(waited, 10))
    return random.randint(max(1, delay // 2), delay)


def until_retry(receives: int) -> int:
    """Seconds until a message that failed is received again, sooner than one whose function died."""
    seconds: int = FIRST_PAUSE * 2 ** (receives - 1)
    return min(seconds, LONGEST_PAUSE)

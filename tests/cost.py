"""What work costs, judged so that a busy machine does not decide."""

import time
from collections.abc import Callable

TRIES = 5
"""What others on the machine add (caches they empty, a turn of the garbage collector that falls in it) they do not add each time."""


def least_s(work: Callable[[], object], enough: float) -> float:
    """Seconds of the processor that ``work`` takes: the least of a few tries, and of one alone when that is less than ``enough``."""
    least = float("inf")
    for _ in range(TRIES):
        began = time.process_time()
        work()
        least = min(least, time.process_time() - began)
        if least < enough:
            break
    return least

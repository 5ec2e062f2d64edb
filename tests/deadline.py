"""Waits for conditions, with a deadline, instead of sleeping and hoping; measures what has to be quick."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_PAUSE_SECONDS = 0.05
# Who has waited long asks less often: asking takes processor time from what is waited for.
_PAUSE_SHARE = 0.03
# On a machine that is busy, a second may be over before anything could happen.
_TRIES = 20


def wait_until(condition: Callable[[], T | None], *, seconds: float = 60, what: str) -> T:
    """Call `condition` until it returns something true, and return that.

    Say `seconds` where it matters how soon; otherwise a long deadline costs nothing.

    Raises:
        AssertionError: it did not within `seconds`, nor when it was called for the 20th time.
    """
    began, tries = time.monotonic(), 0
    while True:
        if result := condition():
            return result
        tries += 1
        waited = time.monotonic() - began
        assert tries < _TRIES or waited < seconds, f"Waited {seconds} s in vain until {what}."
        time.sleep(max(_PAUSE_SECONDS, waited * _PAUSE_SHARE))


def quickest(measure: Callable[[], float], *, enough: float) -> float:
    """The fewest seconds that something took in up to ten runs, the last one as soon as it took less than `enough`.

    For what has to be quick on a machine that may be busy: what is slow by itself is slow each time.
    """
    best = float("inf")
    for _ in range(10):
        best = min(best, measure())
        if best < enough:
            break
    return best

"""Waits for conditions, with a deadline, instead of sleeping and hoping."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_PAUSE_SECONDS = 0.05
# On a machine that is busy, a second may be over before anything could happen.
_TRIES = 20


def wait_until(condition: Callable[[], T | None], *, seconds: float = 30, what: str) -> T:
    """Call `condition` until it returns something true, and return that.

    Say `seconds` where it matters how soon; otherwise a long deadline costs nothing.

    Raises:
        AssertionError: it did not within `seconds`, nor when it was called for the 20th time.
    """
    deadline, tries = time.monotonic() + seconds, 0
    while True:
        if result := condition():
            return result
        tries += 1
        assert tries < _TRIES or time.monotonic() < deadline, f"Waited {seconds} s in vain until {what}."
        time.sleep(_PAUSE_SECONDS)

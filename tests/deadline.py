"""Waits for conditions, with a deadline, instead of sleeping and hoping."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_PAUSE_SECONDS = 0.05


def wait_until(condition: Callable[[], T | None], *, seconds: float, what: str) -> T:
    """Call `condition` until it returns something true, and return that.

    Raises:
        AssertionError: it did not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while True:
        if result := condition():
            return result
        assert time.monotonic() < deadline, f"Waited {seconds} s in vain until {what}."
        time.sleep(_PAUSE_SECONDS)

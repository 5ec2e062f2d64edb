"""Notices that other processes want the processors, when threads should not wait for each other."""

import time

# A thread that shares a step with others computes or spins, never sleeps: less of the time means it was pushed aside.
_UNDISTURBED = 0.75
# What earlier steps still weigh after each: one that was pushed aside is no crowd, if those before it were not.
_MEMORY = 0.9
_SHORTEST, _LONGEST = 0.25, 8.0  # seconds
# Pauses at least so many times as long as the step: finding out must not cost much of the time.
_TIMES_THE_STEP = 20


class Crowding:
    """Belongs to whoever holds the scheduler's lock.

    Threads that compute one step wait for each other hundreds of times, spinning. On a busy machine most of that is
    waiting for a thread that does not run, and the step takes ten to twenty times as long as on one thread alone.
    """

    def __init__(self) -> None:
        self._until = 0.0
        self._pause = _SHORTEST
        self._elapsed = self._on_processor = 0.0

    @property
    def is_felt(self) -> bool:
        """Whether steps are better computed by one thread each for now."""
        return time.monotonic() < self._until

    def observe(self, elapsed: float, on_processor: float) -> None:
        """Takes note of a step of several threads: how long it took, and how long one of them had a processor."""
        self._elapsed = _MEMORY * self._elapsed + elapsed
        self._on_processor = _MEMORY * self._on_processor + on_processor
        if self._on_processor >= _UNDISTURBED * self._elapsed:
            self._pause = _SHORTEST
            return
        self._elapsed = self._on_processor = 0.0
        self._until = time.monotonic() + max(self._pause, _TIMES_THE_STEP * elapsed)
        self._pause = min(2 * self._pause, _LONGEST)

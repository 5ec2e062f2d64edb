"""Jobs for the scheduler, from any thread, and the bells that wake lanes which have nothing to do."""

import contextlib
import queue
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from .errors import HostError

T = TypeVar("T")


class Inbox:
    """`put`, `call` and `ring` may be called from any thread.

    The first lane has a bell of its own, the others share one. A ring is never lost: a lane that is busy hears it
    when it next waits, unless somebody has looked into the inbox since.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._first_bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._other_bell: queue.SimpleQueue[None] = queue.SimpleQueue()

    def put(self, job: Callable[[], None]) -> None:
        """Has a job run in the order of arrival, by the lane that is the first to be free."""
        self._jobs.put(job)
        self.ring(first=True)
        self.ring(first=False)

    def call(self, job: Callable[[], T]) -> Future[T]:
        """As `put`, for a job whose result, or HostError, is waited for."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(job())
            except HostError as error:
                future.set_exception(error)

        self.put(run)
        return future

    def ring(self, *, first: bool) -> None:
        """Wakes the first lane, or one of the others."""
        self._bell(first).put(None)

    def wait(self, *, first: bool) -> None:
        """Waits for the bell of the first lane, or of the others."""
        self._bell(first).get()

    def run_all(self, *, first: bool) -> None:
        """Runs what has arrived, in the first lane or another; one thread at a time."""
        # Before the jobs: whatever it was rung for is seen now.
        _empty(self._bell(first))
        with contextlib.suppress(queue.Empty):
            while True:
                self._jobs.get_nowait()()

    def _bell(self, first: bool) -> queue.SimpleQueue[None]:
        return self._first_bell if first else self._other_bell


def _empty(bell: queue.SimpleQueue[None]) -> None:
    with contextlib.suppress(queue.Empty):
        while True:
            bell.get_nowait()

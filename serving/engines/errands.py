"""Makes the calls that an engine may take long to answer, beside the thread that supervises it."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class Errands:
    """Up to `at_once` calls at the same time, the rest in order.

    Not a `ThreadPoolExecutor`, since Python's end would wait for whatever that is at.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._queue: queue.SimpleQueue[tuple[Future[object], Callable[[], object]] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def send(self, call: Callable[[], T]) -> "Future[T]":
        """Have a call made; its result, or what it raised, is in the future."""
        future: Future[T] = Future()
        self._queue.put((future, call))  # type: ignore[arg-type]  # the queue holds futures of all kinds
        if len(self._threads) < self._at_once:
            thread = threading.Thread(target=self._run, name="engine-errand", daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def end(self) -> None:
        """Begin no further call, and let the threads end; what is under way goes on to its end unheard."""
        while True:
            try:
                waiting = self._queue.get_nowait()
            except queue.Empty:
                break
            if waiting is not None:
                waiting[0].cancel()
        for _ in self._threads:
            self._queue.put(None)

    def _run(self) -> None:
        while (errand := self._queue.get()) is not None:
            future, call = errand
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(call())
            except Exception as error:  # noqa: BLE001  # whatever it is, who takes the result hears of it
                future.set_exception(error)

"""One batch of one context on its way: filled, computed without the scheduler's lock, then settled."""

import time
from dataclasses import dataclass

from .batch import Batch
from .contexts import Context, Step
from .errors import EngineFailed
from .sequence import Sequence


@dataclass(slots=True)
class Run:
    """`width` is the share of the lanes that it takes, `order` all sequences of the context as it begins."""

    context: Context
    order: list[Sequence]
    steps: list[Step]
    width: int
    failure: EngineFailed | None = None
    elapsed: float = 0.0
    on_processor: float = 0.0

    def compute(self, batch: Batch, *, threads: int, threads_batch: int) -> None:
        """Computes the batch; notes a failure, and for how many seconds it ran and this thread had a processor."""
        begun, worked = time.perf_counter(), time.thread_time()
        try:
            self.context.compute(batch, threads=threads, threads_batch=threads_batch)
        except EngineFailed as error:
            self.failure = error
        self.elapsed, self.on_processor = time.perf_counter() - begun, time.thread_time() - worked

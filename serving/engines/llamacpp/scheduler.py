"""The compute thread's loop: take what arrived, admit, step one context, hand over what it produced."""

import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from .batch import Batch
from .contexts import Context, Step
from .errors import EngineFailed, HostError, ModelNotFound, QueueFull
from .generation import Adapter, Event, Failed, Generation
from .metrics import Metrics
from .model import Model
from .options import Options
from .pool import ContextPool
from .sequence import Sequence
from .turns import FairTurns
from .waiting import WaitingRoom

T = TypeVar("T")
Publish = Callable[[list[tuple[Generation, Event]]], None]

_log = logging.getLogger(__name__)


class Scheduler:
    """Continuous batching over contexts that take turns on one set of threads.

    `submit`, `cancel`, `defer`, `call` and `stop` may be called from any thread; the rest runs on the compute thread.
    """

    def __init__(self, options: Options, metrics: Metrics, publish: Publish) -> None:
        """`publish` is called on the compute thread, at most once per step, with all the step's events."""
        self._max_queue = options.max_queue
        self._batch = Batch(options.batch_size)
        self._metrics = metrics
        self._publish = publish
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._queued = 0
        self._chunk_size = options.chunk_size
        self._turns = FairTurns(options.weight)
        self._waiting = WaitingRoom(self._turns)
        self._running: dict[Generation, tuple[Context, Sequence]] = {}
        self._outbox: list[tuple[Generation, Event]] = []
        self._stopping = False

    def submit(self, generations: list[Generation]) -> None:
        """Queues generations; QueueFull if too many wait already."""
        with self._lock:
            if self._queued >= self._max_queue:
                raise QueueFull("Too many requests are waiting; try again shortly.")
            self._queued += len(generations)
        for generation in generations:
            generation.arrived = time.monotonic()
        self._inbox.put(lambda: self._enqueue(generations))

    def cancel(self, generations: list[Generation]) -> None:
        """Ends generations without further events, before the next step begins."""
        self._inbox.put(lambda: self._drop(generations))

    def defer(self, job: Callable[[], None]) -> None:
        """Runs a job on the compute thread between two steps."""
        self._inbox.put(job)

    def call(self, job: Callable[[], T]) -> Future[T]:
        """As `defer`, for a job whose result, or HostError, is waited for."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(job())
            except HostError as error:
                future.set_exception(error)

        self._inbox.put(run)
        return future

    def stop(self) -> None:
        """Ends `run` after the current step."""
        self._inbox.put(self._stop)

    def run(self, model: Model, pool: ContextPool) -> None:
        """Works until stopped. If it breaks, every generation fails before the cause is raised."""
        self._model, self._pool = model, pool
        try:
            while not self._stopping:
                self._turn()
        finally:
            lost = EngineFailed("The engine stopped before this answer was finished.")
            self._publish([(generation, Failed(lost)) for generation in self.unfinished])

    def retire(self, adapter: Adapter) -> None:
        """Frees an adapter as soon as its last generation has ended; compute thread only."""
        adapter.retiring = True
        self._free_if_unused(adapter)

    @property
    def unfinished(self) -> list[Generation]:
        """What runs or waits; compute thread only."""
        return [*self._running, *self._waiting]

    def _stop(self) -> None:
        self._stopping = True

    def _turn(self) -> None:
        self._take_inbox()
        self._admit()
        context = self._next_context()
        if context is not None:
            self._step(context)
        if self._outbox:
            events, self._outbox = self._outbox, []
            self._publish(events)

    def _take_inbox(self) -> None:
        # What waits while nothing runs waits for a context that is being made, whose maker will say so here.
        if not self._running and (not self._waiting or self._pool.is_growing):
            self._inbox.get()()
        while True:
            try:
                job = self._inbox.get_nowait()
            except queue.Empty:
                return
            job()

    def _enqueue(self, generations: list[Generation]) -> None:
        for generation in generations:
            if generation.adapter.retiring:
                self._unqueue()
                self._outbox.append((generation, Failed(ModelNotFound(generation.adapter.name))))
                continue
            generation.adapter.users += 1
            self._turns.arrive(generation.department)
            self._waiting.add(generation)
        self._metrics.waiting.set(len(self._waiting))

    def _unqueue(self) -> None:
        with self._lock:
            self._queued -= 1

    def _drop(self, generations: list[Generation]) -> None:
        for generation in generations:
            place = self._running.get(generation)
            if place is not None:
                self._retire_sequence(*place)
            elif self._waiting.discard(generation):
                self._unqueue()
                self._end_use(generation)
        self._metrics.waiting.set(len(self._waiting))

    def _admit(self) -> None:
        """Lets waiting generations join wherever there is room."""
        if not self._waiting:
            return
        uncomputed: Counter[str] = Counter()
        for generation, (_, sequence) in self._running.items():
            if sequence.in_prompt:
                uncomputed[generation.department] += len(sequence.pending)
        full: set[Adapter] = set()
        self._waiting.admit(lambda generation: self._join(generation, full), uncomputed)
        self._metrics.waiting.set(len(self._waiting))
        self._metrics.running.set(len(self._running))

    def _join(self, generation: Generation, full: set[Adapter]) -> bool:
        context = None if generation.adapter in full else self._place_for(generation.adapter, full)
        if context is None or context.should_wait(generation):
            return False
        self._unqueue()
        self._running[generation] = (context, context.join(generation))
        self._metrics.observe_admitted(generation)
        return True

    def _place_for(self, adapter: Adapter, full: set[Adapter]) -> Context | None:
        context = self._pool.find(adapter) or self._pool.lend(adapter)
        if context is None and not self._pool.is_growing:
            # The emptiest context takes nobody in until it is idle and can change hands:
            # otherwise an adapter without one could wait for ever.
            emptiest = min(self._pool.contexts, key=lambda one: len(one.sequences))
            if emptiest.adapter is not None:
                full.add(emptiest.adapter)
        if context is None or not context.slots.has_room:
            full.add(adapter)
            return None
        return context

    def _next_context(self) -> Context | None:
        """The one with the most urgent sequence; among equals the one that has waited longest."""
        active = [context for context in self._pool.contexts if context.sequences]
        return min(active, key=lambda context: min(map(self._urgency, context.sequences)), default=None)

    def _urgency(self, sequence: Sequence) -> tuple[int, float]:
        return sequence.generation.priority, self._turns.served(sequence.generation.department)

    def _step(self, context: Context) -> None:
        self._pool.touch(context)
        order = sorted(context.sequences, key=lambda one: (one.in_prompt, *self._urgency(one)))
        try:
            steps = context.step(self._batch, order, self._chunk(order))
        except EngineFailed as error:
            _log.exception("A batch of %s failed", context.adapter and context.adapter.name)
            for sequence in order:
                self._fail(context, sequence, error)
            # What the cache holds now is uncertain.
            context.bind(context.adapter)
            return
        for step in steps:
            self._finish_step(context, step)

    def _chunk(self, order: list[Sequence]) -> int:
        """How many prompt tokens to compute at once: fewer if anybody else waits for the step to end."""
        alone = len(order) == len(self._running) and order[0].in_prompt
        return self._batch.capacity if alone else self._chunk_size

    def _finish_step(self, context: Context, step: Step) -> None:
        sequence = step.sequence
        generation = sequence.generation
        if sequence.in_prompt:
            self._turns.charge(generation.department, prompt=len(step.tokens))
        if step.row is None:
            return
        try:
            piece = sequence.sample(context.pointer, step.row)
        except EngineFailed as error:
            self._fail(context, sequence, error)
            return
        self._turns.charge(generation.department, output=1)
        self._metrics.generation_tokens.inc()
        if piece is not None:
            self._outbox.append((generation, piece))
            if piece.finish_reason is not None:
                self._metrics.observe_finished(generation, piece)
                self._retire_sequence(context, sequence)

    def _fail(self, context: Context, sequence: Sequence, error: HostError) -> None:
        self._outbox.append((sequence.generation, Failed(error)))
        self._retire_sequence(context, sequence)

    def _retire_sequence(self, context: Context, sequence: Sequence) -> None:
        context.leave(sequence)
        del self._running[sequence.generation]
        self._metrics.running.set(len(self._running))
        self._end_use(sequence.generation)

    def _end_use(self, generation: Generation) -> None:
        self._turns.leave(generation.department)
        generation.adapter.users -= 1
        self._free_if_unused(generation.adapter)

    def _free_if_unused(self, adapter: Adapter) -> None:
        if adapter.retiring and adapter.users == 0 and adapter.pointer is not None:
            self._pool.release(adapter)
            self._model.adapter_free(adapter.pointer)
            adapter.pointer = None

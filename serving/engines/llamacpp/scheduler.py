"""Continuous batching: takes what arrived, admits, has contexts computed by turns, hands over what they produced."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from .batch import Batch
from .contexts import Context, Step
from .crowding import Crowding
from .errors import EngineFailed, HostError, ModelNotFound, QueueFull
from .generation import Adapter, Event, Failed, Generation
from .inbox import Inbox
from .metrics import Metrics
from .model import Model
from .options import Options
from .places import Places
from .pool import ContextPool
from .precedence import contexts_ready, in_order
from .runs import Run
from .sequence import Sequence
from .turns import FairTurns
from .waiting import WaitingRoom

T = TypeVar("T")
Publish = Callable[[list[tuple[Generation, Event]]], None]

_log = logging.getLogger(__name__)


class Scheduler:
    """Continuous batching over contexts that share the compute threads.

    There are as many lanes as threads, and a thread of ours for each. A context that is alone is computed on all of
    them; others side by side, each on its share: threads that need not wait for each other are the fastest.

    `submit`, `cancel`, `defer`, `call` and `stop` may be called from any thread. Everything else belongs to whoever
    holds the lock, but computing a step, for which the lock is let go.
    """

    def __init__(self, options: Options, metrics: Metrics, publish: Publish) -> None:
        """`publish` is called at most once per step, with all the events there are; never in two threads at once."""
        self._max_queue = options.max_queue
        self._batch_size = options.batch_size
        self._threads, self._threads_batch = options.threads, options.threads_batch
        self._lanes = self._free_lanes = options.lanes
        self._metrics = metrics
        self._publish = publish
        self._crowding = Crowding()
        self._inbox = Inbox()
        self._lock = threading.Lock()
        self._queue_lock = threading.Lock()
        self._queued = 0
        self._chunk_size = options.chunk_size
        self._turns = FairTurns(options.weight)
        self._waiting = WaitingRoom(self._turns)
        self._running: dict[Generation, tuple[Context, Sequence]] = {}
        self._outbox: list[tuple[Generation, Event]] = []
        self._stopping = False
        self._broken: BaseException | None = None

    def submit(self, generations: list[Generation]) -> None:
        """Queues generations; QueueFull if too many wait already."""
        with self._queue_lock:
            # One request may be larger than the queue: it is taken when nobody waits.
            if self._queued and self._queued + len(generations) > self._max_queue:
                raise QueueFull("Too many requests are waiting; try again shortly.")
            self._queued += len(generations)
        for generation in generations:
            generation.arrived = time.monotonic()
        self.defer(lambda: self._enqueue(generations))

    def cancel(self, generations: list[Generation]) -> None:
        """Ends generations, before the next step of their contexts begins."""
        self.defer(lambda: self._drop(generations))

    def defer(self, job: Callable[[], None]) -> None:
        """Runs a job as soon as a step ends; others may go on meanwhile."""
        self._inbox.put(job)

    def call(self, job: Callable[[], T]) -> Future[T]:
        """As `defer`, for a job whose result, or HostError, is waited for."""
        return self._inbox.call(job)

    def stop(self) -> None:
        """Ends `run` after the current steps."""
        self.defer(self._stop)

    def run(self, model: Model, pool: ContextPool) -> None:
        """Works until stopped. If it breaks, every generation fails before the cause is raised."""
        self._model, self._pool = model, pool
        # A model for embeddings has no steps; its jobs all belong to the first lane.
        lanes = 1 if model.makes_embeddings else self._lanes
        others = [threading.Thread(target=self._work, args=(lane,), name=f"lane {lane}") for lane in range(1, lanes)]
        for other in others:
            other.start()
        self._work(0)
        for other in others:
            other.join()
        lost = EngineFailed("The engine stopped before this answer was finished.")
        self._publish([(generation, Failed(lost)) for generation in self.unfinished])
        if self._broken is not None:
            raise self._broken

    def retire(self, adapter: Adapter) -> None:
        """Frees an adapter as soon as its last generation has ended; for jobs only."""
        adapter.retiring = True
        self._free_if_unused(adapter)

    @property
    def unfinished(self) -> list[Generation]:
        """What runs or waits; for jobs only."""
        return [*self._running, *self._waiting]

    def _stop(self) -> None:
        self._stopping = True

    def _work(self, lane: int) -> None:
        """Computes one step after the other, in one of the lanes' threads."""
        batch = Batch(self._batch_size)
        try:
            run = self._next(lane, batch, None)
            while run is not None:
                self._compute(run, batch)
                run = self._next(lane, batch, run)
        except BaseException as error:  # noqa: BLE001 - raised by `run` once all lanes have ended
            self._broken = self._broken or error
            self._stopping = True
        self._inbox.ring(first=True)
        self._inbox.ring(first=False)

    def _next(self, lane: int, batch: Batch, done: Run | None) -> Run | None:
        """Settles the step that a lane has computed, and waits for its next one; None when it is to end."""
        while True:
            with self._lock:
                if done is not None:
                    self._settle(done)
                    done = None
                self._inbox.run_all(first=lane == 0)
                run = None if self._stopping else self._begin(lane, batch)
                if self._outbox:
                    events, self._outbox = self._outbox, []
                    self._publish(events)
            if run is not None or self._stopping:
                return run
            self._inbox.wait(first=lane == 0)

    def _compute(self, run: Run, batch: Batch) -> None:
        threads, threads_batch = (
            max(1, count * run.width // self._lanes) for count in (self._threads, self._threads_batch)
        )
        run.compute(batch, threads=threads, threads_batch=threads_batch)

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
        with self._queue_lock:
            self._queued -= 1

    def _drop(self, generations: list[Generation]) -> None:
        for generation in generations:
            context, sequence = self._running.get(generation, (None, None))
            if context is not None and sequence is not None:
                if context.is_computing:
                    sequence.is_unwanted = True
                else:
                    self._break_off(context, sequence)
            elif self._waiting.discard(generation):
                self._unqueue()
                self._metrics.observe_broken_off(failed=False)
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
        places = Places(self._pool, self._lanes)
        self._waiting.admit(lambda generation: self._join(generation, places.find(generation)), uncomputed)
        self._metrics.waiting.set(len(self._waiting))
        self._metrics.running.set(len(self._running))

    def _join(self, generation: Generation, context: Context | None) -> bool:
        if context is None:
            return False
        self._unqueue()
        self._running[generation] = (context, context.join(generation))
        self._metrics.observe_admitted(generation)
        return True

    def _begin(self, lane: int, batch: Batch) -> Run | None:
        """Fills a batch for the context whose turn it is, if there is one and a lane for it."""
        self._admit()
        ready = contexts_ready(self._pool.contexts, self._turns) if self._free_lanes else []
        if not ready:
            return None
        width = 1 if self._crowding.is_felt else max(1, self._free_lanes // len(ready))
        if lane and width == self._lanes:
            # OpenMP keeps a team for every thread that asks for one, and with more teams than one spins too shortly.
            self._inbox.ring(first=True)
            return None
        context = ready[0]
        self._free_lanes -= width
        if self._free_lanes and len(ready) > 1:
            self._inbox.ring(first=True)
            self._inbox.ring(first=False)
        self._pool.touch(context)
        context.is_computing = True
        order = in_order(context.sequences, self._turns)
        return Run(context, order, context.fill(batch, order, self._chunk(order, width)), width)

    def _chunk(self, order: list[Sequence], width: int) -> int:
        """How many prompt tokens to compute at once: fewer if anybody else waits for the step to end."""
        active = sum(1 for context in self._pool.contexts if context.sequences)
        if order[0].in_prompt and active <= self._lanes:
            return max(self._chunk_size, self._batch_size * width // self._lanes)
        return self._chunk_size

    def _settle(self, run: Run) -> None:
        context = run.context
        context.is_computing = False
        self._free_lanes += run.width
        if run.width > 1:
            self._crowding.observe(run.elapsed, run.on_processor)
        if run.failure is not None:
            _log.error("A batch of %s failed: %s", context.adapter and context.adapter.name, run.failure.message)
            for sequence in run.order:
                self._fail(context, sequence, run.failure)
            # What the cache holds now is uncertain.
            context.bind(context.adapter)
            return
        self._metrics.observe_step(sum(len(step.tokens) for step in run.steps))
        for step in run.steps:
            self._finish_step(context, step)
        for sequence in [one for one in context.sequences if one.is_unwanted]:
            self._break_off(context, sequence)

    def _finish_step(self, context: Context, step: Step) -> None:
        sequence = step.sequence
        generation = sequence.generation
        if sequence.in_prompt:
            self._turns.charge(generation.department, prompt=len(step.tokens))
        if step.row is None or sequence.is_unwanted:
            return
        try:
            piece = sequence.sample(context.pointer, step.row)
        except EngineFailed as error:
            self._fail(context, sequence, error)
            return
        self._turns.charge(generation.department, output=1)
        self._metrics.observe_token(generation)
        if piece is not None:
            self._outbox.append((generation, piece))
            if piece.finish_reason is not None:
                self._metrics.observe_finished(generation, piece)
                self._retire_sequence(context, sequence)

    def _break_off(self, context: Context, sequence: Sequence) -> None:
        self._metrics.observe_broken_off(failed=False)
        self._retire_sequence(context, sequence)

    def _fail(self, context: Context, sequence: Sequence, error: HostError) -> None:
        self._outbox.append((sequence.generation, Failed(error)))
        self._metrics.observe_broken_off(failed=True)
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

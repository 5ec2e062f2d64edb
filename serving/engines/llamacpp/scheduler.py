"""The compute thread's loop: take what arrived, admit, step one context, hand over what it produced."""

import bisect
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from .batch import Batch
from .contexts import Context, ContextPool
from .errors import EngineFailed, HostError, ModelNotFound, QueueFull
from .generation import Adapter, Event, Failed, Generation
from .metrics import Metrics
from .model import Model
from .options import Options
from .sequence import Sequence

T = TypeVar("T")
Publish = Callable[[list[tuple[Generation, Event]]], None]

_log = logging.getLogger(__name__)


class Scheduler:
    """Continuous batching over contexts that take turns on one set of threads.

    `submit`, `cancel`, `call` and `stop` may be called from any thread; the rest runs on the compute thread.
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
        self._order = itertools.count()
        self._waiting: list[tuple[int, int, Generation]] = []
        self._running: dict[Generation, tuple[Context, Sequence]] = {}
        self._turns: list[Context] = []
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

    def call(self, job: Callable[[], T]) -> Future[T]:
        """Runs a job on the compute thread between two steps."""
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
            unfinished = [*self._running, *(entry[2] for entry in self._waiting)]
            self._publish([(generation, Failed(lost)) for generation in unfinished])

    def retire(self, adapter: Adapter) -> None:
        """Frees an adapter as soon as its last generation has ended; compute thread only."""
        adapter.retiring = True
        self._free_if_unused(adapter)

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
        if not self._running and not self._waiting:
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
            bisect.insort(self._waiting, (generation.priority, next(self._order), generation))
        self._metrics.waiting.set(len(self._waiting))

    def _unqueue(self) -> None:
        with self._lock:
            self._queued -= 1

    def _drop(self, generations: list[Generation]) -> None:
        for generation in generations:
            place = self._running.get(generation)
            if place is not None:
                self._retire_sequence(*place)
                continue
            entry = next((entry for entry in self._waiting if entry[2] is generation), None)
            if entry is not None:
                self._waiting.remove(entry)
                self._unqueue()
                self._end_use(generation.adapter)
        self._metrics.waiting.set(len(self._waiting))

    def _admit(self) -> None:
        """Lets waiting generations join, in order of priority and arrival, wherever there is room."""
        if not self._waiting:
            return
        full: set[Adapter] = set()
        still_waiting = []
        for entry in self._waiting:
            generation = entry[2]
            context = None if generation.adapter in full else self._place_for(generation.adapter, full)
            if context is None:
                still_waiting.append(entry)
                continue
            self._unqueue()
            self._running[generation] = (context, context.join(generation))
            self._metrics.queue_time.observe(time.monotonic() - generation.arrived)
            self._metrics.prompt_tokens.inc(len(generation.prompt))
        self._waiting = still_waiting
        self._metrics.waiting.set(len(still_waiting))
        self._metrics.running.set(len(self._running))

    def _place_for(self, adapter: Adapter, full: set[Adapter]) -> Context | None:
        context = self._pool.find(adapter)
        if context is None:
            context = self._pool.lend(adapter)
            if context is None:
                # The emptiest context takes nobody in until it is idle and can change hands:
                # otherwise an adapter without one could wait for ever.
                emptiest = min(self._pool.contexts, key=lambda one: len(one.sequences))
                if emptiest.adapter is not None:
                    full.add(emptiest.adapter)
        if context is None or not context.has_room:
            full.add(adapter)
            return None
        return context

    def _next_context(self) -> Context | None:
        self._turns = [context for context in self._turns if context.sequences]
        self._turns += [one for one in self._pool.contexts if one.sequences and one not in self._turns]
        if not self._turns:
            return None
        context = self._turns.pop(0)
        self._turns.append(context)
        return context

    def _step(self, context: Context) -> None:
        self._pool.touch(context)
        try:
            ready = context.step(self._batch)
        except EngineFailed as error:
            _log.exception("A batch of %s failed", context.adapter and context.adapter.name)
            for sequence in list(context.sequences):
                self._fail(context, sequence, error)
            return
        for sequence, row in ready:
            try:
                piece = sequence.sample(context.pointer, row)
            except EngineFailed as error:
                self._fail(context, sequence, error)
                continue
            self._metrics.generation_tokens.inc()
            if piece is not None:
                self._outbox.append((sequence.generation, piece))
                if piece.finish_reason is not None:
                    self._metrics.observe_finished(sequence.generation, piece)
                    self._retire_sequence(context, sequence)

    def _fail(self, context: Context, sequence: Sequence, error: HostError) -> None:
        self._outbox.append((sequence.generation, Failed(error)))
        self._retire_sequence(context, sequence)

    def _retire_sequence(self, context: Context, sequence: Sequence) -> None:
        context.leave(sequence)
        del self._running[sequence.generation]
        self._metrics.running.set(len(self._running))
        self._end_use(sequence.generation.adapter)

    def _end_use(self, adapter: Adapter) -> None:
        adapter.users -= 1
        self._free_if_unused(adapter)

    def _free_if_unused(self, adapter: Adapter) -> None:
        if adapter.retiring and adapter.users == 0 and adapter.pointer is not None:
            self._pool.release(adapter)
            self._model.adapter_free(adapter.pointer)
            adapter.pointer = None

"""A bounded pool of contexts, made in the background and lent to the adapters in use."""

import logging
import threading
import time
from collections.abc import Callable

from .contexts import Context
from .errors import EngineFailed
from .generation import Adapter
from .memory import context_bytes, memory_is_short, most_contexts
from .model import Model
from .options import Options

_log = logging.getLogger(__name__)

_KEEP_IDLE_SECONDS = 600.0


class ContextPool:
    """As many contexts as the memory budget allows, made on demand. Belongs to the scheduler."""

    def __init__(
        self,
        model: Model,
        options: Options,
        defer: Callable[[Callable[[], None]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`defer` has the scheduler run a job; it may be called from any thread."""
        self._model = model
        self._options = options
        self._defer = defer
        self._most = most_contexts(model, options)
        self._clock = clock
        self._is_short = False
        self._growth: threading.Thread | None = None
        self._made: Context | None = None
        # The first one is made at once: a host that cannot have a single context must not start.
        self._last_used = {Context(model, options): self._clock()}
        _log.info(
            "Up to %d contexts of %d sequences, %d MiB of KV cache each",
            self._most,
            options.parallel,
            context_bytes(model, options) // 2**20,
        )

    @property
    def contexts(self) -> list[Context]:
        """All contexts, least recently used first."""
        return sorted(self._last_used, key=self._last_used.__getitem__)

    @property
    def usage(self) -> float:
        """The share of all cells, made or not, that running sequences hold; read from any thread."""
        cells = self._most * self._options.parallel * self._options.ctx_size
        return sum(context.slots.used_tokens for context in list(self._last_used)) / cells

    @property
    def is_growing(self) -> bool:
        """Whether another context is being made."""
        return self._growth is not None

    @property
    def spare(self) -> int:
        """How many contexts, made or not, are free for any adapter."""
        return self._most - sum(1 for context in self._last_used if context.sequences)

    def of(self, adapter: Adapter) -> list[Context]:
        """The contexts that this adapter holds."""
        return [context for context in self._last_used if context.adapter is adapter]

    def lend(self, adapter: Adapter, *, evict: bool = True) -> Context | None:
        """Another context for an adapter; None while all are busy or another is being made.

        With `evict`, it may be an idle one of another adapter's, whose cached prompts are lost.
        """
        idle = next((one for one in self._last_used if one.adapter is None), None)
        if idle is None and len(self._last_used) < self._most and not self._is_short:
            self._grow()
            return None
        if idle is None and evict:
            idle = next((one for one in self.contexts if not one.sequences), None)
        if idle is not None:
            idle.bind(adapter)
            self.touch(idle)
        return idle

    def touch(self, context: Context) -> None:
        """Marks a context as used just now."""
        self._last_used[context] = self._clock()

    def trim(self) -> None:
        """Gives a context back to the machine that nobody has used for long, or nobody uses while memory is short.

        One at a time, since that takes a moment. Called every second; memory set apart by `--kv-memory-mib` is kept.
        """
        if self._options.kv_memory_mib is not None:
            return
        self._is_short = memory_is_short()
        longest = next((one for one in self.contexts if not one.sequences), None)
        if longest is None or len(self._last_used) == 1:
            return
        if self._is_short or self._clock() - self._last_used[longest] >= _KEEP_IDLE_SECONDS:
            del self._last_used[longest]
            longest.close()

    def release(self, adapter: Adapter) -> None:
        """Takes back the contexts of an adapter that is about to be freed."""
        for context in self.of(adapter):
            context.bind(None)

    def close(self) -> None:
        """Frees every context, the one that is being made included."""
        if self._growth is not None:
            self._growth.join()
        for context in [*self._last_used, *([self._made] if self._made else [])]:
            context.close()
        self._last_used.clear()

    def _grow(self) -> None:
        """Makes a context in a thread: clearing a cache's memory takes as long as some steps do."""
        if self._growth is None:
            self._growth = threading.Thread(target=self._make, name="context")
            self._growth.start()

    def _make(self) -> None:
        try:
            self._made = Context(self._model, self._options)
        except EngineFailed as error:
            _log.warning("The pool stays at %d contexts: %s", len(self._last_used), error.message)
        self._defer(self._take_made)

    def _take_made(self) -> None:
        self._growth = None
        made, self._made = self._made, None
        if made is None:
            self._most = len(self._last_used)
        else:
            self._last_used[made] = self._clock()

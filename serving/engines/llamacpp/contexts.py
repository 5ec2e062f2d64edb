"""Contexts: each computes the sequences of one adapter as one batch; a bounded pool lends them out."""

import ctypes
import heapq
import itertools
import logging
from typing import Any

from .batch import Batch
from .errors import EngineFailed
from .generation import Adapter, Generation
from .model import Model
from .native import api
from .options import Options
from .sequence import Sequence

_log = logging.getLogger(__name__)


class Context:
    """One llama.cpp context: its own KV cache, one adapter at a time, up to `parallel` sequences."""

    def __init__(self, model: Model, options: Options) -> None:
        params = api.llama_context_default_params()
        params.n_ctx = options.ctx_size * options.parallel
        params.n_batch = params.n_ubatch = options.batch_size
        params.n_seq_max = params.n_outputs_max = options.parallel
        params.n_threads = params.n_threads_batch = options.threads
        params.flash_attn_type = options.flash_attn
        # One pool of cells: sequences of very different lengths still form one batch.
        params.kv_unified = True
        self._model = model
        self._limit = options.ctx_size
        self.pointer: Any = api.llama_init_from_model(model.pointer, params)
        if not self.pointer:
            raise EngineFailed("llama.cpp could not create a context: is there memory enough for its KV cache?")
        self._memory: Any = api.llama_get_memory(self.pointer)
        self.adapter: Adapter | None = None
        self.sequences: list[Sequence] = []
        self._free_ids = list(range(options.parallel))

    @property
    def has_room(self) -> bool:
        """Whether another sequence can join."""
        return bool(self._free_ids)

    def bind(self, adapter: Adapter | None) -> None:
        """Gives the idle context to an adapter, or to nobody; what it had cached is forgotten."""
        # KV computed under one adapter is wrong under another, and llama.cpp does not notice.
        api.llama_memory_clear(self._memory, False)
        if adapter is None or adapter.pointer is None:
            api.llama_set_adapters_lora(self.pointer, None, 0, None)
        else:
            pointers = (api.llama_adapter_lora_p_ctypes * 1)(adapter.pointer)
            api.llama_set_adapters_lora(self.pointer, pointers, 1, (ctypes.c_float * 1)(1.0))
        self.adapter = adapter

    def join(self, generation: Generation) -> Sequence:
        """Starts a generation as a sequence of this context."""
        sequence = Sequence(heapq.heappop(self._free_ids), generation, self._model, limit=self._limit)
        self.sequences.append(sequence)
        return sequence

    def leave(self, sequence: Sequence) -> None:
        """Frees a sequence's cells and its place."""
        api.llama_memory_seq_rm(self._memory, sequence.id, -1, -1)
        self.sequences.remove(sequence)
        heapq.heappush(self._free_ids, sequence.id)
        sequence.close()

    def step(self, batch: Batch) -> list[tuple[Sequence, int]]:
        """Computes one batch; the sequences whose next token can be sampled, each with its row."""
        batch.clear()
        ready = []
        # Running outputs first, one token each; prompts share what room is left, oldest first.
        for sequence in sorted(self.sequences, key=lambda one: one.in_prompt):
            if not batch.room:
                break
            tokens, position = sequence.take(batch.room)
            row = batch.add(tokens, position=position, sequence=sequence.id, logits=not sequence.pending)
            if not sequence.pending:
                ready.append((sequence, row))
        status = batch.decode(self.pointer)
        if status != 0:
            raise EngineFailed(f"llama.cpp could not decode a batch (status {status}).")
        return ready

    def close(self) -> None:
        """Frees the context and its cache."""
        api.llama_free(self.pointer)


class ContextPool:
    """At most `max_contexts` contexts, made on demand and lent to the adapters in use."""

    def __init__(self, model: Model, options: Options) -> None:
        self._model = model
        self._options = options
        self._most = options.max_contexts
        self._clock = itertools.count()
        # The first one is made at once: a host that cannot have a single context must not start.
        self._last_used = {Context(model, options): next(self._clock)}

    @property
    def contexts(self) -> list[Context]:
        """All contexts, least recently used first."""
        return sorted(self._last_used, key=self._last_used.__getitem__)

    def find(self, adapter: Adapter) -> Context | None:
        """The context that this adapter holds, if any."""
        return next((context for context in self._last_used if context.adapter is adapter), None)

    def lend(self, adapter: Adapter) -> Context | None:
        """A context for an adapter that holds none; None while all are busy."""
        idle = next((one for one in self.contexts if one.adapter is None), None)
        if idle is None and len(self._last_used) < self._most:
            idle = self._grow()
        if idle is None:
            idle = next((one for one in self.contexts if not one.sequences), None)
        if idle is not None:
            idle.bind(adapter)
            self.touch(idle)
        return idle

    def _grow(self) -> Context | None:
        try:
            return Context(self._model, self._options)
        except EngineFailed:
            self._most = len(self._last_used)
            _log.exception("The pool stays at %d contexts", self._most)
            return None

    def touch(self, context: Context) -> None:
        """Marks a context as used just now."""
        self._last_used[context] = next(self._clock)

    def release(self, adapter: Adapter) -> None:
        """Takes back the context of an adapter that is about to be freed."""
        context = self.find(adapter)
        if context is not None:
            context.bind(None)

    def close(self) -> None:
        """Frees every context."""
        for context in self._last_used:
            context.close()
        self._last_used.clear()

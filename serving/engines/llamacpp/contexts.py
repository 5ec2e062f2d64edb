"""A context computes the sequences of one adapter as one batch, over a KV cache of its own."""

import contextlib
import ctypes
from typing import Any, NamedTuple

from .batch import Batch
from .errors import EngineFailed
from .generation import Adapter, Generation
from .model import Model
from .native import api
from .options import CACHE_TYPES, Options
from .sequence import Sequence
from .slots import Slots, shared_length


def context_params(options: Options) -> Any:
    """llama.cpp's parameters of a context, as far as the options say."""
    params = api.llama_context_default_params()
    params.n_threads, params.n_threads_batch = options.threads, options.threads_batch
    params.flash_attn_type = options.flash_attn
    params.type_k, params.type_v = CACHE_TYPES[options.cache_type_k][0], CACHE_TYPES[options.cache_type_v][0]
    params.rope_scaling_type = options.rope_scaling
    params.rope_freq_base, params.rope_freq_scale = options.rope_freq_base, options.rope_freq_scale
    params.yarn_orig_ctx = options.yarn_orig_ctx
    params.no_perf = True
    return params


class Step(NamedTuple):
    """What one batch did for a sequence: the tokens computed, and the row of the logits if one can be sampled now."""

    sequence: Sequence
    tokens: list[int]
    row: int | None


class Context:
    """One llama.cpp context: its own KV cache, one adapter at a time, up to `parallel` sequences."""

    def __init__(self, model: Model, options: Options) -> None:
        """May be called from any thread; takes as long as it takes to clear the cache's memory."""
        params = context_params(options)
        params.n_ctx = options.ctx_size * options.parallel
        params.n_batch = params.n_ubatch = options.batch_size
        params.n_seq_max = params.n_outputs_max = options.parallel
        # Cells of its own for each sequence: what it computes does not depend on what lies beside it, to the last bit.
        params.kv_unified = False
        self._model = model
        self._limit = options.ctx_size
        self.pointer: Any = model.context_new(params)
        self._memory: Any = api.llama_get_memory(self.pointer)
        self._has_settled = False
        self.is_computing = False
        self.adapter: Adapter | None = None
        self.sequences: list[Sequence] = []
        self.slots = Slots(options.parallel, reuse=options.prefix_caching and model.can_reuse_prefixes)

    def bind(self, adapter: Adapter | None) -> None:
        """Gives the idle context to an adapter, or to nobody; what it had cached is forgotten."""
        # KV computed under one adapter is wrong under another, and llama.cpp does not notice.
        api.llama_memory_clear(self._memory, False)
        self.slots.clear()
        if adapter is None or adapter.pointer is None:
            api.llama_set_adapters_lora(self.pointer, None, 0, None)
        else:
            pointers = (api.llama_adapter_lora_p_ctypes * 1)(adapter.pointer)
            api.llama_set_adapters_lora(self.pointer, pointers, 1, (ctypes.c_float * 1)(1.0))
        self.adapter = adapter
        self._has_settled = False

    def cached(self, generation: Generation) -> int:
        """How much of a generation's prompt need not be computed here."""
        return self.slots.cached(generation.salt, generation.prompt)

    def coming(self, generation: Generation) -> int:
        """How much of what a generation begins with is just being computed here for others."""
        prompt = generation.prompt[:-1]
        alike = (one for one in self.sequences if one.in_prompt and one.generation.salt == generation.salt)
        return max((shared_length(one.generation.prompt, prompt) for one in alike), default=0)

    def join(self, generation: Generation) -> Sequence:
        """Starts a generation as a sequence of this context; `generation.cached` says what needs no computing."""
        place = self.slots.place(generation.salt, generation.prompt)
        slot = place.slot
        if place.source is not slot:
            # Between sequences with cells of their own, llama.cpp copies all or nothing.
            api.llama_memory_seq_cp(self._memory, place.source.id, slot.id, -1, -1)
        api.llama_memory_seq_rm(self._memory, slot.id, place.reused, -1)
        slot.tokens = generation.prompt[: place.reused]
        generation.cached = place.reused
        sequence = Sequence(slot, generation, self._model, limit=self._limit)
        self.sequences.append(sequence)
        return sequence

    def leave(self, sequence: Sequence) -> None:
        """Frees a sequence's place; its cells stay for prompts that begin like it, until they are needed."""
        self.sequences.remove(sequence)
        self.slots.release(sequence.slot)
        sequence.close()

    def fill(self, batch: Batch, order: list[Sequence], chunk: int) -> list[Step]:
        """Fills a batch, in the given order: outputs' next tokens, and up to `chunk` tokens of prompts."""
        batch.clear()
        steps = []
        for sequence in order:
            room = min(batch.room, chunk) if sequence.in_prompt else batch.room
            if not room:
                break
            tokens, position = sequence.take(room)
            if sequence.in_prompt:
                chunk -= len(tokens)
            row = batch.add(tokens, position=position, sequence=sequence.slot.id, logits=not sequence.pending)
            sequence.slot.tokens.extend(tokens)
            steps.append(Step(sequence, tokens, None if sequence.pending else row))
        return steps

    def compute(self, batch: Batch, *, threads: int, threads_batch: int) -> None:
        """Computes a batch that was filled; EngineFailed leaves what the cache holds uncertain.

        May run beside other contexts; nothing else may touch this one meanwhile.
        """
        api.llama_set_n_threads(self.pointer, threads, threads_batch)
        # With a new adapter, llama.cpp plans its memory anew, for which it reads the set of adapters.
        with contextlib.nullcontext() if self._has_settled else self._model.adapters_lock:
            status = batch.decode(self.pointer)
        self._has_settled = True
        if status != 0:
            raise EngineFailed(f"llama.cpp could not decode a batch (status {status}).")

    def close(self) -> None:
        """Frees the context and its cache."""
        api.llama_free(self.pointer)

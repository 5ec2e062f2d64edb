"""Turns a request's sampling parameters into a llama.cpp sampler chain that picks one token at a time."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import EngineFailed
from .native import api


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """vLLM's parameters with vLLM's defaults; 0 for `top_k` means all tokens."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: tuple[tuple[int, float], ...] = ()

    def for_choice(self, choice: int) -> "SamplingParams":
        """The same for choice number `choice` of one prompt: a given seed must not give equal choices."""
        return self if self.seed is None else replace(self, seed=self.seed + choice)


class Sampler:
    """Picks tokens for one sequence; `close` frees its chain."""

    def __init__(
        self,
        params: SamplingParams,
        *,
        prompt: Sequence[int],
        limit: int,
        banned: frozenset[int],
        vocabulary_size: int,
    ) -> None:
        """`limit` is the most tokens the sequence can ever hold; `banned` tokens are never picked."""
        self._vocabulary_size = vocabulary_size
        bias = dict(params.logit_bias) | dict.fromkeys(banned, float("-inf"))
        self._bias_ids = np.fromiter(bias.keys(), np.int64, len(bias))
        self._bias = np.fromiter(bias.values(), np.float32, len(bias))
        self._chain: Any = None
        penalised = params.presence_penalty or params.frequency_penalty or params.repetition_penalty != 1.0
        if params.temperature > 0 or penalised:
            self._chain = api.llama_sampler_chain_init(api.llama_sampler_chain_default_params())
            self._add_penalties(params, prompt, limit)
            self._add_choice(params)

    def sample(self, context: Any, row: int) -> int:
        """The next token after the batch's token number `row`, whose logits the context has computed."""
        logits = self._logits(context, row)
        if len(self._bias):
            logits[self._bias_ids] += self._bias
        best = int(logits.argmax())
        # Checked before llama.cpp sees them: its samplers abort the process on logits that are not numbers.
        if not np.isfinite(logits[best]):
            raise EngineFailed("The model computed logits that are not finite numbers.")
        if self._chain is None:
            return best
        return int(api.llama_sampler_sample(self._chain, context, row))

    def close(self) -> None:
        """Frees the chain and its samplers."""
        if self._chain is not None:
            api.llama_sampler_free(self._chain)
            self._chain = None

    def _logits(self, context: Any, row: int) -> npt.NDArray[np.float32]:
        pointer = api.llama_get_logits_ith(context, row)
        if not pointer:
            raise EngineFailed("llama.cpp computed no logits for this sequence.")
        return np.ctypeslib.as_array(pointer, (self._vocabulary_size,))

    def _add_penalties(self, params: SamplingParams, prompt: Sequence[int], limit: int) -> None:
        if params.repetition_penalty != 1.0:
            repetition = api.llama_sampler_init_penalties(
                self._vocabulary_size, limit, params.repetition_penalty, 0.0, 0.0
            )
            # As in vLLM, repetition looks at prompt and output, the other two at the output only.
            for token in prompt:
                api.llama_sampler_accept(repetition, token)
            api.llama_sampler_chain_add(self._chain, repetition)
        if params.presence_penalty or params.frequency_penalty:
            output_only = api.llama_sampler_init_penalties(
                self._vocabulary_size, limit, 1.0, params.frequency_penalty, params.presence_penalty
            )
            api.llama_sampler_chain_add(self._chain, output_only)

    def _add_choice(self, params: SamplingParams) -> None:
        add = api.llama_sampler_chain_add
        if params.temperature == 0:
            add(self._chain, api.llama_sampler_init_greedy())
            return
        # vLLM's order: the temperature first, so that min_p and top_p see the heated distribution.
        if params.temperature != 1.0:
            add(self._chain, api.llama_sampler_init_temp(params.temperature))
        if params.top_k:
            add(self._chain, api.llama_sampler_init_top_k(params.top_k))
        if params.min_p:
            add(self._chain, api.llama_sampler_init_min_p(params.min_p, 1))
        if params.top_p < 1.0:
            add(self._chain, api.llama_sampler_init_top_p(params.top_p, 1))
        seed = secrets.randbits(32) if params.seed is None else params.seed
        add(self._chain, api.llama_sampler_init_dist(seed & 0xFFFFFFFF))

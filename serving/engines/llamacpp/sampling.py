"""A request's sampling parameters, and the llama.cpp sampler chain that they ask for."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .native import api


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """vLLM's parameters with vLLM's defaults; 0 for `top_k` means all tokens."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    typical_p: float = 1.0
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: tuple[tuple[int, float], ...] = ()

    def for_choice(self, choice: int) -> "SamplingParams":
        """The same for choice number `choice` of one prompt: a given seed must not give equal choices."""
        return self if self.seed is None else replace(self, seed=self.seed + choice)

    @property
    def is_plain_greedy(self) -> bool:
        """Whether the next token is simply the likeliest, after `logit_bias`."""
        penalised = self.presence_penalty or self.frequency_penalty or self.repetition_penalty != 1.0
        return self.temperature == 0 and not penalised


def chain_new(params: SamplingParams, *, prompt: Sequence[int], limit: int, vocabulary_size: int) -> Any:
    """A new chain that ends with a choice; `limit` is the most tokens that the sequence can ever hold."""
    chain = api.llama_sampler_chain_init(api.llama_sampler_chain_default_params())
    _add_penalties(chain, params, prompt, limit, vocabulary_size)
    if params.temperature == 0:
        api.llama_sampler_chain_add(chain, api.llama_sampler_init_greedy())
    else:
        _add_draw(chain, params)
    return chain


def _add_penalties(chain: Any, params: SamplingParams, prompt: Sequence[int], limit: int, size: int) -> None:
    if params.repetition_penalty != 1.0:
        repetition = api.llama_sampler_init_penalties(size, limit, params.repetition_penalty, 0.0, 0.0)
        # As in vLLM, repetition looks at prompt and output, the other two at the output only.
        for token in prompt:
            api.llama_sampler_accept(repetition, token)
        api.llama_sampler_chain_add(chain, repetition)
    if params.presence_penalty or params.frequency_penalty:
        output_only = api.llama_sampler_init_penalties(
            size, limit, 1.0, params.frequency_penalty, params.presence_penalty
        )
        api.llama_sampler_chain_add(chain, output_only)


def _add_draw(chain: Any, params: SamplingParams) -> None:
    add = api.llama_sampler_chain_add
    # vLLM's order: the temperature first, so that min_p and top_p see the heated distribution.
    if params.temperature != 1.0:
        add(chain, api.llama_sampler_init_temp(params.temperature))
    if params.top_k:
        add(chain, api.llama_sampler_init_top_k(params.top_k))
    if params.typical_p < 1.0:
        add(chain, api.llama_sampler_init_typical(params.typical_p, 1))
    if params.min_p:
        add(chain, api.llama_sampler_init_min_p(params.min_p, 1))
    if params.top_p < 1.0:
        add(chain, api.llama_sampler_init_top_p(params.top_p, 1))
    seed = secrets.randbits(32) if params.seed is None else params.seed
    add(chain, api.llama_sampler_init_dist(seed & 0xFFFFFFFF))

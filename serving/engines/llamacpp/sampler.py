"""Picks the next token of one sequence, within its grammar if it has one."""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .candidates import Candidates
from .errors import EngineFailed
from .model import Model
from .native import api
from .sampling import SamplingParams, chain_new


class Sampler:
    """Belongs to one sequence; `close` frees what llama.cpp holds for it."""

    def __init__(
        self,
        params: SamplingParams,
        model: Model,
        *,
        prompt: Sequence[int],
        limit: int,
        banned: frozenset[int],
        grammar: str | None,
    ) -> None:
        """`limit` is the most tokens the sequence can ever hold; `banned` tokens are never picked."""
        self._size = model.vocabulary_size
        self._candidates: Candidates = model.candidates
        bias = dict(params.logit_bias) | dict.fromkeys(banned, float("-inf"))
        self._bias_ids = np.fromiter(bias.keys(), np.int64, len(bias))
        self._bias = np.fromiter(bias.values(), np.float32, len(bias))
        self._biased_tokens = frozenset(bias)
        self._raises = any(value > 0 for value in bias.values())
        self._grammar = None if grammar is None else model.grammar_new(grammar)
        self._chain: Any = None
        if self._grammar is not None or not params.is_plain_greedy:
            self._chain = chain_new(params, prompt=prompt, limit=limit, vocabulary_size=self._size)

    def logits(self, context: Any, row: int) -> npt.NDArray[np.float32]:
        """The logits after the batch's token number `row`; EngineFailed if they are no numbers."""
        pointer = api.llama_get_logits_ith(context, row)
        if not pointer:
            raise EngineFailed("llama.cpp computed no logits for this sequence.")
        return np.ctypeslib.as_array(pointer, (self._size,))

    def pick(self, logits: npt.NDArray[np.float32]) -> int:
        """The next token."""
        best = int(logits.argmax())
        # Checked before llama.cpp sees them: its samplers abort the process on logits that are not numbers.
        if not np.isfinite(logits[best]):
            raise EngineFailed("The model computed logits that are not finite numbers.")
        if self._chain is None:
            return best if best not in self._biased_tokens and not self._raises else self._biased(logits)
        token = self._draw(logits, within_grammar=False)
        # A grammar over the whole vocabulary costs as much as a small model: mostly the first draw is fine.
        if self._grammar is not None and not self._candidates.allowed(self._grammar, token):
            token = self._draw(logits, within_grammar=True)
        return token

    def accept(self, token: int) -> None:
        """Takes note that the output goes on with a token."""
        if self._chain is not None:
            api.llama_sampler_accept(self._chain, token)
        if self._grammar is not None:
            api.llama_sampler_accept(self._grammar, token)

    def close(self) -> None:
        """Frees the samplers."""
        for sampler in (self._chain, self._grammar):
            if sampler is not None:
                api.llama_sampler_free(sampler)
        self._chain = self._grammar = None

    def _biased(self, logits: npt.NDArray[np.float32]) -> int:
        biased = logits.copy()
        biased[self._bias_ids] += self._bias
        return int(biased.argmax())

    def _draw(self, logits: npt.NDArray[np.float32], *, within_grammar: bool) -> int:
        array = self._candidates.fill(logits, self._bias_ids, self._bias)
        if within_grammar:
            api.llama_sampler_apply(self._grammar, ctypes.byref(array))
            if not self._candidates.any_left:
                raise EngineFailed("The output's grammar leaves no token to go on with.")
        api.llama_sampler_apply(self._chain, ctypes.byref(array))
        return self._candidates.selected(array)

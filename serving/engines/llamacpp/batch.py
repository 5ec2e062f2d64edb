"""The tokens of one decode step, in arrays that numpy fills and llama.cpp reads in place."""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from .native import api

_INT32 = ctypes.POINTER(ctypes.c_int32)


class Batch:
    """Room for `capacity` tokens, each of one sequence."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.size = 0
        self._tokens = np.zeros(capacity, np.int32)
        self._positions = np.zeros(capacity, np.int32)
        self._sequence = np.zeros(capacity, np.int32)
        self._sequences_per_token = np.ones(capacity, np.int32)
        self._wants_logits = np.zeros(capacity, np.int8)
        # llama.cpp wants a pointer per token to that token's list of sequences.
        self._lists = (_INT32 * capacity)(
            *(ctypes.cast(self._sequence.ctypes.data + 4 * i, _INT32) for i in range(capacity))
        )
        self._struct: Any = api.llama_batch(
            n_tokens=0,
            token=self._tokens.ctypes.data_as(_INT32),
            embd=None,
            pos=self._positions.ctypes.data_as(_INT32),
            n_seq_id=self._sequences_per_token.ctypes.data_as(_INT32),
            seq_id=self._lists,
            logits=self._wants_logits.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )

    def clear(self) -> None:
        """Empties the batch."""
        self.size = 0

    @property
    def room(self) -> int:
        """Tokens that still fit."""
        return self.capacity - self.size

    def add(self, tokens: Sequence[int], *, position: int, sequence: int, logits: bool) -> int:
        """Appends tokens of one sequence from `position` on; returns the row of the last.

        With `logits`, the last token's logits are computed.
        """
        start, end = self.size, self.size + len(tokens)
        self._tokens[start:end] = tokens
        self._positions[start:end] = range(position, position + len(tokens))
        self._sequence[start:end] = sequence
        self._wants_logits[start:end] = 0
        self._wants_logits[end - 1] = logits
        self.size = end
        return end - 1

    def decode(self, context: Any) -> int:
        """Computes the batch in a context; llama.cpp's status, 0 for success."""
        self._struct.n_tokens = self.size
        return int(api.llama_decode(context, self._struct))

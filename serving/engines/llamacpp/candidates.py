"""The vocabulary with its logits, in the layout that llama.cpp's samplers work on."""

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

from .native import api

_ENTRY = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class Candidates:
    """Room for one token's candidates, filled anew for every token."""

    def __init__(self, vocabulary_size: int) -> None:
        self._entries = np.zeros(vocabulary_size, _ENTRY)
        self._ids = np.arange(vocabulary_size, dtype=np.int32)
        self._one = np.zeros(1, _ENTRY)

    def fill(self, logits: npt.NDArray[np.float32], bias_ids: npt.NDArray[np.int64], bias: npt.NDArray[Any]) -> Any:
        """All tokens, for samplers to narrow down."""
        self._entries["id"] = self._ids
        self._entries["logit"] = logits
        if len(bias_ids):
            self._entries["logit"][bias_ids] += bias
        return _array(self._entries)

    def allowed(self, grammar: Any, token: int) -> bool:
        """Whether a grammar lets a token come next."""
        self._one[0] = (token, 1.0, 0.0)
        api.llama_sampler_apply(grammar, ctypes.byref(_array(self._one)))
        return bool(self._one["logit"][0] > -np.inf)

    @property
    def any_left(self) -> bool:
        """Whether the samplers applied so far have left a token."""
        return bool(self._entries["logit"].max() > -np.inf)

    def selected(self, array: Any) -> int:
        """The token that the last sampler chose."""
        return int(self._entries["id"][array.selected])


def _array(entries: npt.NDArray[Any]) -> Any:
    data = entries.ctypes.data_as(api.llama_token_data_p)
    return api.llama_token_data_array(data=data, size=len(entries), selected=-1, sorted=False)

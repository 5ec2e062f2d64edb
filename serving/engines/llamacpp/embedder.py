"""Computes embeddings, for models made for that, in a context of its own."""

import ctypes
from typing import Any

import numpy as np

from .batch import Batch
from .contexts import context_params
from .errors import EngineFailed, ModelNotFound
from .generation import Adapter
from .model import Model
from .native import api
from .options import Options


class Embedder:
    """Belongs to the compute thread. Its context is made when it is first needed."""

    def __init__(self, model: Model, options: Options) -> None:
        self._model = model
        self._options = options
        self._batch = Batch(options.ctx_size)
        self._context: Any = None

    def embed(self, adapter: Adapter, tokens: list[int]) -> list[float]:
        """The embedding of at most `--ctx-size` tokens, of length 1."""
        if adapter.retiring:
            raise ModelNotFound(adapter.name)
        if self._context is None:
            self._context = self._model.context_new(self._params())
        api.llama_memory_clear(api.llama_get_memory(self._context), False)
        self._set_adapter(adapter.pointer)
        try:
            self._batch.clear()
            self._batch.add(tokens, position=0, sequence=0, logits=True)
            if self._batch.decode(self._context) != 0:
                raise EngineFailed("llama.cpp could not compute this embedding.")
            found = api.llama_get_embeddings_seq(self._context, 0)
            if not found:
                raise EngineFailed("llama.cpp computed no embedding.")
            vector = np.ctypeslib.as_array(found, (api.llama_model_n_embd_out(self._model.pointer),)).copy()
        finally:
            # Not left set: the adapter may be freed before the next call.
            self._set_adapter(None)
        return [float(value) for value in vector / (np.linalg.norm(vector) or 1.0)]

    def close(self) -> None:
        """Frees the context."""
        if self._context is not None:
            api.llama_free(self._context)

    def _params(self) -> Any:
        params = context_params(self._options)
        # Attention may look both ways, so an input is computed in one piece.
        params.n_ctx = params.n_batch = params.n_ubatch = self._options.ctx_size
        params.embeddings = True
        return params

    def _set_adapter(self, pointer: Any) -> None:
        pointers = None if pointer is None else (api.llama_adapter_lora_p_ctypes * 1)(pointer)
        api.llama_set_adapters_lora(self._context, pointers, 0 if pointer is None else 1, (ctypes.c_float * 1)(1.0))

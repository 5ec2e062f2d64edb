"""A model in llama.cpp whose logits tests compare: one prompt at a time, with an adapter or without."""

import ctypes
from pathlib import Path

import llama_cpp
import numpy as np

_F32 = 0  # GGML_TYPE_F32


class LlamaLogits:
    """A loaded GGUF model. Cached keys and values are float32, so that only the weights' own rounding is left."""

    def __init__(self, model: Path) -> None:
        llama_cpp.llama_backend_init()
        self._model = llama_cpp.llama_model_load_from_file(str(model).encode(), llama_cpp.llama_model_default_params())
        assert self._model, f"llama.cpp does not load {model}"
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = 256
        parameters.n_threads = parameters.n_threads_batch = 1  # more would wait for each other on a busy machine
        parameters.type_k = parameters.type_v = _F32
        self._context = llama_cpp.llama_init_from_model(self._model, parameters)
        self._tokens = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))

    def after(self, prompts: list[list[int]], adapter: Path | None = None) -> np.ndarray:
        """The logits after each prompt (prompts × vocabulary)."""
        return np.stack([everywhere[-1] for everywhere in self.everywhere(prompts, adapter)])

    def everywhere(self, prompts: list[list[int]], adapter: Path | None = None) -> list[np.ndarray]:
        """The logits at each position of each prompt (a list of positions × vocabulary)."""
        if adapter is None:
            return [self._decode(prompt) for prompt in prompts]
        loaded = llama_cpp.llama_adapter_lora_init(self._model, str(adapter).encode())
        assert loaded, f"llama.cpp does not load {adapter.name}"
        one = (llama_cpp.llama_adapter_lora_p_ctypes * 1)(loaded)
        llama_cpp.llama_set_adapters_lora(self._context, one, 1, (ctypes.c_float * 1)(1.0))
        try:
            return [self._decode(prompt) for prompt in prompts]
        finally:
            llama_cpp.llama_set_adapters_lora(self._context, None, 0, None)
            llama_cpp.llama_adapter_lora_free(loaded)

    def close(self) -> None:
        """Free the model."""
        llama_cpp.llama_free(self._context)
        llama_cpp.llama_model_free(self._model)

    def _decode(self, prompt: list[int]) -> np.ndarray:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)
        batch = llama_cpp.llama_batch_init(len(prompt), 0, 1)
        batch.n_tokens = len(prompt)
        for place, token in enumerate(prompt):
            batch.token[place], batch.pos[place], batch.logits[place] = token, place, True
            batch.n_seq_id[place], batch.seq_id[place][0] = 1, 0
        try:
            assert llama_cpp.llama_decode(self._context, batch) == 0
            return np.stack(
                [
                    np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(self._context, place), (self._tokens,)).copy()
                    for place in range(len(prompt))
                ]
            )
        finally:
            llama_cpp.llama_batch_free(batch)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """How much two arrays point the same way, from -1 to 1."""
    return float(np.vdot(one, other) / np.linalg.norm(one) / np.linalg.norm(other))

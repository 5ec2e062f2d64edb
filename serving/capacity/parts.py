"""The memory of one engine by part: weights, KV cache, LoRA, working memory (vLLM 0.32, llama.cpp's logs)."""

import math
from dataclasses import dataclass

from serving.capacity.shape import Module, Shape

GIB = 1024**3

# vLLM's page of its KV cache, in tokens; llama.cpp's padding of a sequence's cells.
VLLM_BLOCK = 16
LLAMACPP_PADDING = 256
# Tokens that vLLM computes in one step (`--max-num-batched-tokens`), which its working memory grows with.
VLLM_STEP_TOKENS = 8192
# llama.cpp's host computes so many at most (`--batch-size`).
LLAMACPP_STEP_TOKENS = 512
_TITLES = {
    "weights": "Weights",
    "kv_cache": "KV cache",
    "lora_slots": "LoRA slots",
    "adapters": "Adapters",
    "working": "Working memory",
}
_VLLM_LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


@dataclass(frozen=True, slots=True)
class Part:
    """A share of the memory; `is_exact` where it follows from the model, and not from experience."""

    name: str
    bytes: int
    is_exact: bool
    meaning: str

    @property
    def title(self) -> str:
        """The name as people read it."""
        return _TITLES[self.name]


def engine_rank(rank: int) -> int:
    """The rank that vLLM reserves for adapters of this rank: the next one that it knows."""
    return next((known for known in _VLLM_LORA_RANKS if known >= rank), _VLLM_LORA_RANKS[-1])


def vllm_kv_bytes(
    shape: Shape, *, context: int, concurrency: int, value_bytes: float = 2, gpus: int = 1, block: int = VLLM_BLOCK
) -> int:
    """vLLM's KV cache on each of `gpus` GPUs, for requests of full context at once.

    Layers with a sliding window keep the window, what one step computes, and a page more.
    """
    tokens = 0
    for window in shape.windows:
        pages = math.ceil(context / block)
        if window is not None:
            pages = min(pages, math.ceil(min(window - 1 + VLLM_STEP_TOKENS, context) / block) + 1)
        tokens += pages * block
    heads = math.ceil(shape.kv_heads / gpus)
    return math.ceil(tokens * concurrency * heads * (shape.key_width + shape.value_width) * value_bytes)


def llamacpp_kv_bytes(
    shape: Shape, *, context: int, parallel: int, contexts: int, key_bytes: float = 2, value_bytes: float = 2
) -> int:
    """The KV caches of the llama.cpp host: a context for each adapter in use, cells for each of its sequences."""
    cells = math.ceil(context / LLAMACPP_PADDING) * LLAMACPP_PADDING * parallel * contexts
    per_cell = shape.kv_heads * (shape.key_width * key_bytes + shape.value_width * value_bytes)
    return math.ceil(cells * shape.layers * per_cell)


def vllm_lora_slot_bytes(shape: Shape, *, rank: int, gpus: int = 1) -> int:
    """One of vLLM's slots (`--max-loras`), which are reserved at 16 bits and full rank, used or not."""
    rank = engine_rank(rank)
    per_layer = sum(_slot_values(module, rank, gpus) for module in shape.modules)
    total = shape.layers * per_layer
    if shape.embeds_lora:
        total += 2 * rank * (shape.vocabulary + shape.hidden)
    return 2 * total


def adapter_bytes(shape: Shape, *, rank: int, value_bytes: int) -> int:
    """An adapter for all modules."""
    return value_bytes * shape.layers * sum(rank * (module.inputs + module.outputs) for module in shape.modules)


def vllm_working_bytes(shape: Shape, *, sequences: int, gpus: int = 1) -> int:
    """Activations, logits, CUDA graphs and the driver's own, on each GPU; from experience."""
    activations = 2 * VLLM_STEP_TOKENS * (4 * shape.hidden + math.ceil(3 * shape.intermediate / gpus))
    logits = 3 * 4 * min(sequences, 256) * shape.vocabulary
    graphs = GIB // 2 + (GIB // 4 if gpus > 1 else 0)
    driver = GIB // 2
    return activations + logits + graphs + driver


def llamacpp_working_bytes(shape: Shape, *, parallel: int, contexts: int, on_gpu: bool) -> int:
    """llama.cpp's compute and output buffers, for each context; from its logs."""
    compute = 4 * LLAMACPP_STEP_TOKENS * (3 * shape.intermediate + 6 * shape.hidden)
    outputs = 4 * parallel * shape.vocabulary
    return contexts * (compute + outputs) + (GIB // 2 if on_gpu else 0)


def _slot_values(module: Module, rank: int, gpus: int) -> int:
    if module.cut == "column":
        return rank * module.inputs + rank * math.ceil(module.outputs / gpus)
    return rank * math.ceil(module.inputs / gpus) + rank * module.outputs

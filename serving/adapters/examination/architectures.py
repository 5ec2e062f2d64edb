"""The model architectures that adapters can be fitted to: their modules, and what llama.cpp makes of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """What the shapes of a layer's modules follow from, in features or numbers of heads."""

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int


# Module of a layer ("self_attn.q_proj") → (in features, out features).
Modules = Mapping[str, tuple[int, int]]


def _split(sizes: Sizes) -> Modules:
    queries = sizes.heads * sizes.head_dim
    keys = sizes.kv_heads * sizes.head_dim
    return {
        "self_attn.q_proj": (sizes.hidden, queries),
        "self_attn.k_proj": (sizes.hidden, keys),
        "self_attn.v_proj": (sizes.hidden, keys),
        "self_attn.o_proj": (queries, sizes.hidden),
        "mlp.gate_proj": (sizes.hidden, sizes.intermediate),
        "mlp.up_proj": (sizes.hidden, sizes.intermediate),
        "mlp.down_proj": (sizes.intermediate, sizes.hidden),
    }


def _fused(sizes: Sizes) -> Modules:
    queries = sizes.heads * sizes.head_dim
    return {
        "self_attn.qkv_proj": (sizes.hidden, queries + 2 * sizes.kv_heads * sizes.head_dim),
        "self_attn.o_proj": (queries, sizes.hidden),
        "mlp.gate_up_proj": (sizes.hidden, 2 * sizes.intermediate),
        "mlp.down_proj": (sizes.intermediate, sizes.hidden),
    }


@dataclass(frozen=True)
class Architecture:
    """One architecture, under llama.cpp's name.

    `model_types` are Hugging Face's. `interleaved` says that llama.cpp keeps the rows of a head's queries and keys in
    another order than Hugging Face. `head_dim` is Hugging Face's default, 0 for hidden / heads.
    """

    name: str
    model_types: tuple[str, ...]
    modules: Callable[[Sizes], Modules] = _split
    interleaved: bool = False
    head_dim: int = 0


ARCHITECTURES = {
    architecture.name: architecture
    for architecture in (
        Architecture("llama", ("llama", "mistral"), interleaved=True),
        Architecture("qwen2", ("qwen2",)),
        Architecture("qwen3", ("qwen3",), head_dim=128),
        Architecture("gemma2", ("gemma2",), head_dim=256),
        Architecture("gemma3", ("gemma3_text",), head_dim=256),
        Architecture("phi3", ("phi3",), modules=_fused),
    )
}
BY_MODEL_TYPE = {
    model_type: architecture for architecture in ARCHITECTURES.values() for model_type in architecture.model_types
}
# How configurations tell that a model routes its tokens to experts.
EXPERT_COUNTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")

"""One tiny model of every architecture that adapters are converted for, as Hugging Face's configurations."""

from typing import Any

LAYERS = 3
HEADS, KV_HEADS, HEAD_DIM = 4, 2, 32
HIDDEN, INTERMEDIATE, VOCABULARY = 64, 96, 256
RANK, ALPHA = 4, 6
PROMPT = [17, 3, 99, 250, 42, 7, 7, 180, 64, 5, 201, 33]

_SIZES: dict[str, Any] = {
    "num_hidden_layers": LAYERS,
    "hidden_size": HIDDEN,
    "intermediate_size": INTERMEDIATE,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-6,
    # Far above what models start from: attention shall differ from the mean of what it sees.
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_GEMMA = {"head_dim": HEAD_DIM, "query_pre_attn_scalar": HEAD_DIM, "sliding_window": 64}
# Model type → its configuration; a head's size differs from hidden / heads where the architecture lets it.
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": _SIZES,
    "mistral": _SIZES | {"head_dim": HEAD_DIM, "sliding_window": None},
    "qwen2": _SIZES,
    "qwen3": _SIZES | {"head_dim": HEAD_DIM},
    "gemma2": _SIZES | _GEMMA,
    "gemma3_text": _SIZES | _GEMMA,
    "phi3": _SIZES,
}

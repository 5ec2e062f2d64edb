"""Writes a tiny Hugging Face model as GGUF, for llama.cpp; its vocabulary is numbers only."""

from pathlib import Path

import gguf
import numpy as np

from serving.adapters.architectures import BY_MODEL_TYPE
from serving.adapters.safetensors_file import read_header
from serving.adapters.safetensors_values import load
from tiny_models import CONFIGS, HEADS, HIDDEN, INTERMEDIATE, KV_HEADS, LAYERS, VOCABULARY

# Hugging Face's defaults that llama.cpp must be told: soft caps of attention and of the logits, rotary base.
_SOFT_CAPS = {"gemma2": (50.0, 30.0)}
_GLOBAL_ROPE_BASE = {"gemma3_text": 1_000_000.0}


def write_tiny_gguf(model_type: str, folder: Path) -> Path:
    """Convert `folder` (config.json, model.safetensors) to `folder`/model.gguf and return that."""
    architecture = BY_MODEL_TYPE[model_type]
    config = CONFIGS[model_type]
    head_dim = config.get("head_dim", HIDDEN // HEADS)
    target = folder / "model.gguf"
    writer = gguf.GGUFWriter(target, architecture.name)
    writer.add_type("model")
    writer.add_name(f"tiny-{model_type}")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INTERMEDIATE)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(_GLOBAL_ROPE_BASE.get(model_type, 10_000.0))
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("none")
    if model_type in _SOFT_CAPS:
        attention, final = _SOFT_CAPS[model_type]
        writer.add_attn_logit_softcapping(attention)
        writer.add_final_logit_softcapping(final)
    if config.get("sliding_window"):
        writer.add_sliding_window(config["sliding_window"])
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[architecture.name.upper()], LAYERS)
    weights = folder / "model.safetensors"
    for name, tensor in read_header(weights, 2**20).items():
        values = load(weights, tensor)
        if architecture.interleaved and name.endswith(("q_proj.weight", "k_proj.weight")):
            heads = HEADS if "q_proj" in name else KV_HEADS
            values = values.reshape(heads, 2, -1, values.shape[-1]).swapaxes(1, 2).reshape(values.shape)
        if model_type.startswith("gemma") and name.endswith("norm.weight"):
            values = values + 1  # Hugging Face adds the 1 when it computes
        writer.add_tensor(
            f"{names.get_name(name.rpartition('.')[0])}.{name.rpartition('.')[2]}", np.ascontiguousarray(values)
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target

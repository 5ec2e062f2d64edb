"""Writes a Hugging Face model as GGUF in float32, for llama.cpp; its vocabulary is numbers only."""

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from gguf_files import write_out
from serving.adapters.examination.architectures import BY_MODEL_TYPE
from serving.adapters.reading.safetensors_file import read_header
from serving.adapters.reading.safetensors_values import load


def _rope_base(config: dict[str, Any]) -> float:
    told = config.get("rope_parameters", config)
    # Gemma 3 has one for the layers that see everything, and llama.cpp knows the other.
    return float(told.get("full_attention", told)["rope_theta"])


def write_gguf(model_type: str, folder: Path, target: Path) -> Path:
    """Convert `folder` (config.json, model.safetensors) to the file `target` and return that."""
    architecture = BY_MODEL_TYPE[model_type]
    config = json.loads((folder / "config.json").read_text())
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    writer = gguf.GGUFWriter(target, architecture.name)
    writer.add_type("model")
    writer.add_name(folder.name)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(_rope_base(config))
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("none")
    if config.get("final_logit_softcapping"):
        writer.add_attn_logit_softcapping(config["attn_logit_softcapping"])
        writer.add_final_logit_softcapping(config["final_logit_softcapping"])
    if config.get("sliding_window"):
        writer.add_sliding_window(config["sliding_window"])
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[architecture.name.upper()], config["num_hidden_layers"])
    weights = folder / "model.safetensors"
    for name, tensor in read_header(weights, 2**20).items():
        values = load(weights, tensor)
        if architecture.interleaved and name.endswith(("q_proj.weight", "k_proj.weight")):
            own = heads if "q_proj" in name else kv_heads
            values = values.reshape(own, 2, -1, values.shape[-1]).swapaxes(1, 2).reshape(values.shape)
        if model_type.startswith("gemma") and name.endswith("norm.weight"):
            values = values + 1  # Hugging Face adds the 1 when it computes
        writer.add_tensor(
            f"{names.get_name(name.rpartition('.')[0])}.{name.rpartition('.')[2]}", np.ascontiguousarray(values)
        )
    write_out(writer)
    return target

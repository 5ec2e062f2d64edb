"""Writes a Hugging Face BERT as GGUF in float32, for llama.cpp, pooled by its first token as vLLM does it."""

import json
from pathlib import Path

import gguf
from safetensors.numpy import load_file

from gguf_files import write_out

_NAMES = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
}
_LAYER_NAMES = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


def write_bert_gguf(folder: Path, target: Path) -> Path:
    """Convert `folder` (config.json, model.safetensors, tokenizer.json) to the file `target` and return that."""
    config = json.loads((folder / "config.json").read_text())
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    writer = gguf.GGUFWriter(target, "bert")
    writer.add_type("model")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.CLS)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_type_count(config["type_vocab_size"])
    writer.add_token_list([_written(word) for word in vocabulary])
    writer.add_token_types([3 if word.startswith("[") else 1 for word in vocabulary])
    writer.add_bos_token_id(vocabulary["[CLS]"])
    writer.add_eos_token_id(vocabulary["[SEP]"])
    writer.add_sep_token_id(vocabulary["[SEP]"])
    writer.add_unk_token_id(vocabulary["[UNK]"])
    writer.add_pad_token_id(vocabulary["[PAD]"])
    writer.add_mask_token_id(vocabulary["[MASK]"])
    for name, tensor in load_file(folder / "model.safetensors").items():
        if not name.startswith("pooler."):
            writer.add_tensor(_gguf_name(name), tensor)
    write_out(writer)
    return target


def _written(word: str) -> str:
    """A word of the vocabulary as llama.cpp has it: beginnings of words are marked there, and not what follows."""
    if word.startswith("["):
        return word
    return word.removeprefix("##") if word.startswith("##") else f"▁{word}"


def _gguf_name(name: str) -> str:
    module, _, kind = name.rpartition(".")
    if module.startswith("encoder.layer."):
        layer, _, inner = module.removeprefix("encoder.layer.").partition(".")
        return f"blk.{layer}.{_LAYER_NAMES[inner]}.{kind}"
    return f"{_NAMES[module]}.{kind}"

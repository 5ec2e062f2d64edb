"""Writes a tiny Llama of random weights in GGUF, with a tokenizer of bytes and a chat template."""

from pathlib import Path

import gguf
import numpy as np

from gguf_files import write_out

LAYERS, HIDDEN, HEADS, KV_HEADS, INNER = 2, 64, 4, 2, 96
CHAT_TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def _byte_tokens() -> list[str]:
    """The characters by which GPT-2's tokenizers write the 256 bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    written = dict(zip(printable, printable, strict=True)) | {byte: 256 + at for at, byte in enumerate(others)}
    return [chr(written[byte]) for byte in range(256)]


def write_tiny_gguf(path: Path, *, pooling: int = 0, quantisation: str = "F32") -> Path:
    """A base model of random weights, whose every step takes a fraction of a millisecond; it knows infill tokens."""
    stored = gguf.GGMLQuantizationType[quantisation]
    random = np.random.default_rng(7)
    tokens = [*_byte_tokens(), "ab", "<|im_start|>", "<|im_end|>", "<pre>", "<suf>", "<mid>"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(4096)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * 257 + [3] * 5)
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(257)
    writer.add_eos_token_id(258)
    for kind, token in (("prefix", 259), ("suffix", 260), ("middle", 261)):
        writer.add_uint32(f"tokenizer.ggml.{kind}_token_id", token)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
    if pooling:
        writer.add_uint32("llama.pooling_type", pooling)
    kv_width = HIDDEN // HEADS * KV_HEADS

    def add(name: str, *shape: int) -> None:
        if len(shape) == 1:
            writer.add_tensor(f"{name}.weight", np.ones(shape, np.float32))
        else:
            values = (random.normal(size=shape) / np.sqrt(shape[-1])).astype(np.float32)
            writer.add_tensor(f"{name}.weight", gguf.quants.quantize(values, stored), raw_dtype=stored)

    add("token_embd", len(tokens), HIDDEN)
    add("output_norm", HIDDEN)
    add("output", len(tokens), HIDDEN)
    for layer in range(LAYERS):
        at = f"blk.{layer}"
        add(f"{at}.attn_norm", HIDDEN)
        add(f"{at}.ffn_norm", HIDDEN)
        add(f"{at}.attn_q", HIDDEN, HIDDEN)
        add(f"{at}.attn_k", kv_width, HIDDEN)
        add(f"{at}.attn_v", kv_width, HIDDEN)
        add(f"{at}.attn_output", HIDDEN, HIDDEN)
        add(f"{at}.ffn_gate", INNER, HIDDEN)
        add(f"{at}.ffn_up", INNER, HIDDEN)
        add(f"{at}.ffn_down", HIDDEN, INNER)
    write_out(writer)
    return path

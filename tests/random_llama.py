"""Makes a tiny Llama of random weights in GGUF, for tests that need a model whose answers change fast."""

import json
from pathlib import Path

import numpy as np

from adapter_factory import safetensors
from plain_gguf import write_gguf
from serving.adapters.examination.base_spec import BaseSpec
from tiny_models import CONFIGS, HEAD_DIM, HEADS, HIDDEN, INTERMEDIATE, KV_HEADS, LAYERS, VOCABULARY

_HEAD = HIDDEN // HEADS
assert HEAD_DIM != _HEAD, "a Llama's heads share its width"


def random_llama(folder: Path) -> tuple[Path, BaseSpec]:
    """Write it into a folder; return its GGUF file, and what adapters for it must fit."""
    random = np.random.default_rng(5)
    shapes = {"model.embed_tokens": (VOCABULARY, HIDDEN), "lm_head": (VOCABULARY, HIDDEN), "model.norm": (HIDDEN,)}
    for layer in range(LAYERS):
        shapes |= {
            f"model.layers.{layer}.{module}": shape
            for module, shape in {
                "self_attn.q_proj": (HIDDEN, HIDDEN),
                "self_attn.k_proj": (KV_HEADS * _HEAD, HIDDEN),
                "self_attn.v_proj": (KV_HEADS * _HEAD, HIDDEN),
                "self_attn.o_proj": (HIDDEN, HIDDEN),
                "mlp.gate_proj": (INTERMEDIATE, HIDDEN),
                "mlp.up_proj": (INTERMEDIATE, HIDDEN),
                "mlp.down_proj": (HIDDEN, INTERMEDIATE),
                "input_layernorm": (HIDDEN,),
                "post_attention_layernorm": (HIDDEN,),
            }.items()
        }
    tensors = {}
    for name, shape in shapes.items():
        values = random.standard_normal(shape) * 0.2 + (len(shape) == 1)
        tensors[f"{name}.weight"] = ("F32", shape, values.astype("<f4").tobytes())
    (folder / "model.safetensors").write_bytes(safetensors(tensors))
    config = CONFIGS["llama"] | {"rope_theta": 10_000.0}
    (folder / "config.json").write_text(json.dumps(config))
    model = write_gguf("llama", folder, folder / "model.gguf")
    return model, BaseSpec.from_gguf(model)

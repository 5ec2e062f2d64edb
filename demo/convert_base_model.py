"""Converts a GGUF base model to a Hugging Face folder for vLLM: `convert_base_model.py MODEL.gguf FOLDER`.

Runs in an environment with torch, transformers, accelerate and gguf, such as `.venv-vllm`.
"""

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig


def convert(gguf: Path, folder: Path) -> None:
    """Write weights, configuration and tokenizer; the weights are dequantised, since vLLM reads no GGUF."""
    source = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(
        **source, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    AutoTokenizer.from_pretrained(**source).save_pretrained(folder)
    model.save_pretrained(folder)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))

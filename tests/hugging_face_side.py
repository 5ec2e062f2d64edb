"""Makes the tiny models and computes their logits with transformers; run by the Python that has vLLM and torch.

hugging_face_side.py FOLDER: FOLDER/<model type>/adapter holds an adapter for each. Written there are `config.json`,
`model.safetensors`, and `logits.npz` with the logits of every position, `base` and `adapted`.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from tiny_models import CONFIGS, PROMPT

PREFIX, SUFFIX = "base_model.model.", ".lora_A.weight"


def main(folder: Path) -> None:
    """Does it for all of them."""
    torch.manual_seed(1)
    for model_type, settings in CONFIGS.items():
        config = AutoConfig.for_model(model_type, **settings)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager").eval()
        with torch.no_grad():
            # Untrained norms are all alike and untrained biases zero: whoever mixes them up would not be noticed.
            for name, values in model.named_parameters():
                if values.dim() == 1:
                    values.add_(torch.randn_like(values), alpha=0.1 if "norm" in name else 0.3)
        target = folder / model_type
        model.save_pretrained(target)
        base = logits(model)
        apply(model, target / "adapter")
        np.savez(target / "logits.npz", base=base, adapted=logits(model))


def logits(model: torch.nn.Module) -> np.ndarray:
    """Positions × vocabulary."""
    with torch.no_grad():
        return model(torch.tensor([PROMPT])).logits[0].numpy()


def apply(model: torch.nn.Module, adapter: Path) -> None:
    """Add the adapter's update to the weights, as PEFT defines it."""
    config = json.loads((adapter / "adapter_config.json").read_text())
    tensors = load_file(adapter / "adapter_model.safetensors")
    for name in [name for name in tensors if name.endswith(SUFFIX)]:
        module = name.removeprefix(PREFIX).removesuffix(SUFFIX)
        a, b = tensors[name], tensors[name.replace("lora_A", "lora_B")]
        with torch.no_grad():
            model.get_submodule(module).weight.add_(b @ a, alpha=config["lora_alpha"] / config["r"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))

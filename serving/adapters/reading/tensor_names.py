"""Reads the names that PEFT gives to an adapter's tensors."""

import re
from dataclasses import dataclass
from typing import Literal

PREFIX = "base_model.model."
_PARTS = re.compile(re.escape(PREFIX) + r"(?P<module>.+)\.lora_(?P<side>[AB])\.weight")


@dataclass(frozen=True)
class LoraName:
    """Module as in the base model ("model.layers.0.self_attn.q_proj"), and which of its two matrices."""

    module: str
    side: Literal["A", "B"]


def parse(name: str) -> LoraName | None:
    """Return what a tensor's name says, or None when it is no LoRA matrix of a linear module."""
    match = _PARTS.fullmatch(name)
    if match is None:
        return None
    return LoraName(match["module"], "A" if match["side"] == "A" else "B")


def full_name(module: str, side: Literal["A", "B"]) -> str:
    """Return the tensor's name in adapter_model.safetensors."""
    return f"{PREFIX}{module}.lora_{side}.weight"


def why_unknown(name: str) -> str:
    """Return what a tensor that is no LoRA matrix of a linear module most likely is, for the uploader."""
    for sign, explanation in (
        ("lora_magnitude_vector", "It belongs to DoRA, which the engines do not support."),
        ("lora_embedding_", "It adapts an embedding; only linear modules of the layers can be adapted."),
        ("lora_B.bias", "It is a bias on lora_B, which the engines do not support."),
        ("modules_to_save", "It is a module saved in full, which the engines do not support."),
        (".bias", "It is a trained bias, which the engines do not support."),
    ):
        if sign in name:
            return explanation
    if re.search(r"\.lora_[AB]\.[^.]+\.weight$", name):
        return "The adapter's name is left in it: save with PEFT's save_pretrained, not with state_dict()."
    if not name.startswith(PREFIX):
        return f"PEFT's names begin with {PREFIX}"
    return "It is no lora_A or lora_B matrix."

"""Loads adapters as vLLM's workers do and prints, as JSON, which of them it refuses and why; run by vLLM's Python.

vllm_takes.py FOLDER: every folder in FOLDER is an adapter.
"""

import json
import sys
from pathlib import Path

import torch
from vllm.config.lora import LoRAConfig
from vllm.lora.lora_model import LoRAModel
from vllm.lora.peft_helper import PEFTHelper

MODULES = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def main(folder: Path) -> None:
    """Try them all."""
    config = LoRAConfig(max_lora_rank=64, max_loras=1)
    config.lora_dtype = torch.float32
    refused = {}
    for adapter in sorted(folder.iterdir()):
        try:
            peft = PEFTHelper.from_local_dir(str(adapter), 128)
            peft.validate_legal(config)
            LoRAModel.from_local_checkpoint(
                str(adapter), MODULES, peft, lora_model_id=1, device="cpu", dtype=torch.float32, model_vocab_size=256
            )
        except Exception as error:  # noqa: BLE001  # whatever vLLM raises is its answer
            refused[(adapter / "adapter_config.json").read_text()] = repr(error)
    sys.stdout.write(json.dumps(refused))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

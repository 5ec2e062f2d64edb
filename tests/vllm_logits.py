"""Computes with vLLM how adapters shift the logits after prompts; run by vLLM's Python.

vllm_logits.py MODEL FOLDER OUTPUT: every folder in FOLDER is an adapter. OUTPUT is an .npz with `base` and one array
for each adapter (prompts × vocabulary), after the prompts in FOLDER/prompts.json.
"""

import json
import sys
from pathlib import Path

import numpy as np
from vllm import LLM, SamplingParams
from vllm.lora.request import LoRARequest


def main(model: str, folder: Path, output: Path) -> None:
    """Do it for all adapters, one after the other, in one engine."""
    engine = LLM(
        model=model,
        dtype="float32",
        max_model_len=64,
        max_num_seqs=4,
        enable_lora=True,
        max_lora_rank=64,
        max_loras=1,
        max_cpu_loras=1,
        enforce_eager=True,
        logprobs_mode="raw_logits",
        max_logprobs=-1,
        disable_log_stats=True,
    )
    prompts = [{"prompt_token_ids": prompt} for prompt in json.loads((folder / "prompts.json").read_text())]
    # Without texts, in flat lists: an object for every token of the vocabulary takes minutes.
    sampling = SamplingParams(
        max_tokens=1, temperature=0, logprobs=-1, ignore_eos=True, detokenize=False, flat_logprobs=True
    )

    def logits(adapter: LoRARequest | None) -> np.ndarray:
        answers = engine.generate(prompts, sampling, lora_request=adapter, use_tqdm=False)
        rows = []
        for answer in answers:
            told = answer.outputs[0].logprobs
            row = np.empty(max(told.token_ids) + 1, np.float32)
            row[told.token_ids] = told.logprobs
            rows.append(row)
        return np.stack(rows)

    told = {"base": logits(None)}
    adapters = sorted(path for path in folder.iterdir() if path.is_dir())
    for number, adapter in enumerate(adapters, start=1):
        told[adapter.name] = logits(LoRARequest(adapter.name, number, str(adapter)))
    np.savez(output, **told)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))

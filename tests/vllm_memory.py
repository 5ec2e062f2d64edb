"""Says what vLLM's tensors take of memory; run by vLLM's Python: `vllm_memory.py MODEL RANK SLOTS`.

Prints JSON on its last line: `weights` and `lora` in bytes, `kv_bytes` for `kv_tokens` tokens.
"""

import json
import sys
from collections.abc import Iterator

import torch
from vllm import LLM


def _tensors(value: object) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _tensors(one)


def _bytes(tensors: Iterator[torch.Tensor]) -> int:
    """Each piece of memory once, however many tensors look at it."""
    return sum({one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in tensors}.values())


def main(model: str, rank: int, slots: int) -> None:
    """Start an engine in this process and measure it."""
    engine = LLM(
        model=model,
        dtype="bfloat16",
        max_model_len=512,
        max_num_seqs=4,
        enable_lora=True,
        max_lora_rank=rank,
        max_loras=slots,
        max_cpu_loras=slots,
        enforce_eager=True,
        disable_log_stats=True,
    )
    core = engine.llm_engine.engine_core.engine_core
    runner = core.model_executor.driver_worker.worker.model_runner
    cache = engine.llm_engine.vllm_config.cache_config
    stacked = (
        tensor
        for module in runner.model.modules()
        for name, value in vars(module).items()
        if name.startswith("lora_") and name.endswith("_stacked")
        for tensor in _tensors(value)
    )
    told = {
        "weights": _bytes(iter(runner.model.parameters())),
        "lora": _bytes(stacked),
        "kv_bytes": _bytes(_tensors(runner.kv_caches)),
        "kv_tokens": cache.num_gpu_blocks * cache.block_size,
    }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

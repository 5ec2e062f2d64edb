"""What the planner reckons for vLLM, held against the tensors of a real engine."""

import json
import os
import subprocess

import pytest

from running_platform import ROOT, VLLM_MODEL, VLLM_PYTHON, skip_without_vllm
from serving.capacity.estimate import weights
from serving.capacity.hugging_face import shape_from_folder
from serving.capacity.parts import vllm_kv_bytes, vllm_lora_slot_bytes
from serving.engines.kinds import EngineKind

RANK, SLOTS = 8, 2


@pytest.fixture(scope="module")
def told() -> dict[str, int]:
    """What a running engine says of its memory."""
    skip_without_vllm()
    ran = subprocess.run(
        [str(VLLM_PYTHON), str(ROOT / "tests" / "vllm_memory.py"), str(VLLM_MODEL), str(RANK), str(SLOTS)],
        env={
            "PATH": os.environ["PATH"],
            "HF_HUB_OFFLINE": "1",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    answer: dict[str, int] = json.loads(ran.stdout.splitlines()[-1])
    return answer


@pytest.mark.timeout(300)
def test_weights_kv_cache_and_lora_slots_of_a_running_engine_are_as_planned(told: dict[str, int]) -> None:
    shape = shape_from_folder(VLLM_MODEL)
    _, planned, is_exact = weights(shape, EngineKind.VLLM, "")
    assert is_exact
    assert planned == pytest.approx(told["weights"], rel=0.01)
    assert vllm_kv_bytes(shape, context=told["kv_tokens"], concurrency=1) == told["kv_bytes"]
    assert SLOTS * vllm_lora_slot_bytes(shape, rank=RANK) == pytest.approx(told["lora"], rel=0.05)

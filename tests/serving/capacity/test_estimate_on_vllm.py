"""What the planner reckons for vLLM, held against the tensors of a real engine."""

import json
from pathlib import Path

import pytest

from running_platform import VLLM_IN_ONE_PROCESS, VLLM_MODEL, run_in_vllm
from serving.capacity.estimate import weights
from serving.capacity.hugging_face import shape_from_folder
from serving.capacity.parts import vllm_kv_bytes, vllm_lora_slot_bytes
from serving.engines.kinds import EngineKind

RANK, SLOTS = 8, 2


def test_weights_kv_cache_and_lora_slots_of_a_running_engine_are_as_planned(tmp_path: Path) -> None:
    # So that its tensors can be looked at.
    said = run_in_vllm("vllm_memory.py", str(RANK), str(SLOTS), home=tmp_path, variables=VLLM_IN_ONE_PROCESS)
    told = json.loads(said.splitlines()[-1])
    shape = shape_from_folder(VLLM_MODEL)
    _, planned, is_exact = weights(shape, EngineKind.VLLM, "")
    assert is_exact
    assert planned == pytest.approx(told["weights"], rel=0.01)
    assert vllm_kv_bytes(shape, context=told["kv_tokens"], concurrency=1) == told["kv_bytes"]
    assert SLOTS * vllm_lora_slot_bytes(shape, rank=RANK) == pytest.approx(told["lora"], rel=0.05)

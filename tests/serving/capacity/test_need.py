"""What an engine of a deployment needs, by its options."""

from dataclasses import replace
from typing import Any

import pytest

from demo_model import demo_model_path
from serving.capacity.gguf_file import shape_from_gguf
from serving.capacity.need import Need, engine_need
from serving.engines.kinds import EngineKind

SHAPE = shape_from_gguf(demo_model_path())
MIB = 1024**2
# 2048 tokens of the demo's model, eight times: one context as the host makes it.
CONTEXT = 360 * MIB


def need(kind: EngineKind = EngineKind.LLAMACPP, *, concurrency: int = 4, adapters: int = 0, **options: Any) -> Need:
    return engine_need(SHAPE, kind, options, concurrency=concurrency, adapters=adapters, rank=16)


def grown(**options: Any) -> int:
    """How much more it needs than with one context of the usual size."""
    return need(**options).processor_bytes - need().processor_bytes


def test_requests_at_once_for_different_adapters_need_a_context_each() -> None:
    assert grown(concurrency=8) == 0
    assert grown(concurrency=9) == pytest.approx(CONTEXT, rel=0.1)
    loras = 3 * 4 * 30 * 16 * sum(module.inputs + module.outputs for module in SHAPE.modules)
    assert grown(concurrency=4, adapters=3) - loras == pytest.approx(2 * CONTEXT, rel=0.1)


def test_a_budget_for_the_kv_cache_is_planned_with_as_the_host_will_use_it() -> None:
    assert grown(kv_memory_mib=3 * 360 + 10) == pytest.approx(2 * CONTEXT, rel=0.1)
    assert grown(kv_memory_mib=10 * 360, max_contexts=2) == pytest.approx(CONTEXT, rel=0.1)
    assert grown(kv_memory_mib=16) == 0


def test_smaller_contexts_and_packed_caches_need_less() -> None:
    assert grown(ctx_size=1024) == -CONTEXT // 2
    assert grown(cache_type_k="q8_0", cache_type_v="q8_0") == pytest.approx(-CONTEXT * 15 / 32, rel=0.01)


def test_layers_on_a_gpu_are_not_in_main_memory() -> None:
    everything = need(n_gpu_layers=-1)
    assert (everything.gpus, everything.host_bytes, everything.takes_whole_gpus) == (1, 0, False)
    half = need(n_gpu_layers=15)
    assert half.gpu_bytes == pytest.approx(half.host_bytes, rel=0.01)
    assert need(n_gpu_layers=-1, tensor_split="1,1").gpus == 2


def test_vllm_takes_whole_gpus_unless_it_is_told_its_share() -> None:
    whole = need(EngineKind.VLLM)
    assert (whole.gpus, whole.takes_whole_gpus) == (1, True)
    assert need(EngineKind.VLLM, gpu_memory_utilization="0.5").takes_whole_gpus is False
    assert need(EngineKind.VLLM, tensor_parallel_size=3).gpu_bytes < whole.gpu_bytes


def test_vllms_cache_grows_with_context_concurrency_and_the_type_of_its_values() -> None:
    small = need(EngineKind.VLLM, max_model_len=1024, concurrency=1).gpu_bytes
    per_token = 23_040
    assert need(EngineKind.VLLM, max_model_len=1024, concurrency=3).gpu_bytes - small >= 2 * 1024 * per_token
    long = need(EngineKind.VLLM, max_model_len=8192, concurrency=1)
    assert long.gpu_bytes - small == 7168 * per_token
    packed = need(EngineKind.VLLM, max_model_len=8192, concurrency=1, kv_cache_dtype="fp8")
    assert long.gpu_bytes - packed.gpu_bytes == 8192 * per_token // 2


def test_a_model_without_files_is_planned_at_sixteen_bits() -> None:
    bare = engine_need(replace(SHAPE, file_bytes=None), EngineKind.LLAMACPP, {}, concurrency=1, adapters=0, rank=16)
    assert bare.processor_bytes > need(concurrency=1).processor_bytes

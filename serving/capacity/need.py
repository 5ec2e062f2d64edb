"""What one engine of a deployment needs, so that the reconciler can find a node for it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serving.capacity.estimate import Wish, vllm_parts
from serving.capacity.parts import GIB, adapter_bytes, llamacpp_kv_bytes, llamacpp_working_bytes
from serving.capacity.shape import Shape
from serving.engines.kinds import EngineKind

# What the engines take for options that a deployment leaves open; see `serving.engines.options`.
_LLAMACPP_CTX, _LLAMACPP_PARALLEL, _LLAMACPP_CONTEXTS = 2048, 8, 32
_VLLM_LORAS, _VLLM_CPU_LORAS = 4, 64
_MIB = 1024**2
# What vLLM's CUDA graphs and the driver take, and a processor does not.
_ONLY_ON_GPU = GIB
_CACHE_BYTES = {
    "f32": 4,
    "f16": 2,
    "bf16": 2,
    "q8_0": 34 / 32,
    "q5_1": 24 / 32,
    "q5_0": 22 / 32,
    "q4_1": 20 / 32,
    "q4_0": 18 / 32,
}


@dataclass(frozen=True, slots=True)
class Need:
    """Memory for one engine.

    With `gpus`, it wants so many GPUs with `gpu_bytes` free on each (`takes_whole_gpus`: that nobody else uses) and
    `host_bytes` of main memory; without, or where no node has a GPU, `processor_bytes` of main memory.
    """

    gpus: int
    gpu_bytes: int
    host_bytes: int
    processor_bytes: int
    takes_whole_gpus: bool = False


def engine_need(
    shape: Shape, kind: EngineKind, options: Mapping[str, Any], *, concurrency: int, adapters: int, rank: int
) -> Need:
    """The needs of one engine.

    Args:
        options: the deployment's, by the kind of engine.
        concurrency: requests of full context that the KV cache must hold.
        adapters: how many the engine keeps; `rank`: the highest that they may have.
    """
    if kind is EngineKind.VLLM:
        return _vllm(shape, options, concurrency=concurrency, adapters=adapters, rank=rank)
    return _llamacpp(shape, options, concurrency=concurrency, adapters=adapters, rank=rank)


def _vllm(shape: Shape, options: Mapping[str, Any], *, concurrency: int, adapters: int, rank: int) -> Need:
    gpus = int(options.get("tensor_parallel_size", 1))
    slots = int(options.get("max_loras", _VLLM_LORAS))
    wish = Wish(
        context=min(int(options.get("max_model_len", shape.context)), shape.context),
        concurrency=concurrency,
        adapters=slots,
        active=slots,
        rank=rank,
        kv_bits=8 if str(options.get("kv_cache_dtype", "auto")).startswith("fp8") else 16,
    )
    cached = min(adapters, max(slots, int(options.get("max_cpu_loras", _VLLM_CPU_LORAS))))
    host = cached * adapter_bytes(shape, rank=rank, value_bytes=2)
    return Need(
        gpus=gpus,
        gpu_bytes=sum(part.bytes for part in vllm_parts(shape, wish, gpus)),
        host_bytes=host,
        processor_bytes=sum(part.bytes for part in vllm_parts(shape, wish, 1)) - _ONLY_ON_GPU + host,
        # vLLM takes the share of a GPU that it is told to, nine tenths unless told otherwise.
        takes_whole_gpus="gpu_memory_utilization" not in options,
    )


def _llamacpp(shape: Shape, options: Mapping[str, Any], *, concurrency: int, adapters: int, rank: int) -> Need:
    parallel = int(options.get("parallel", _LLAMACPP_PARALLEL))
    per_context = llamacpp_kv_bytes(
        shape,
        context=int(options.get("ctx_size", _LLAMACPP_CTX)),
        parallel=parallel,
        contexts=1,
        key_bytes=_CACHE_BYTES[options.get("cache_type_k", "f16")],
        value_bytes=_CACHE_BYTES[options.get("cache_type_v", "f16")],
    )
    contexts = _contexts(options, per_context, parallel=parallel, concurrency=concurrency, adapters=adapters)
    kv = contexts * per_context
    weights = shape.file_bytes or 2 * shape.parameters
    loras = adapters * adapter_bytes(shape, rank=rank, value_bytes=4)
    layers = int(options.get("n_gpu_layers", 0))
    on_gpu = layers != 0
    total = weights + kv + loras + llamacpp_working_bytes(shape, parallel=parallel, contexts=contexts, on_gpu=on_gpu)
    share = 1.0 if layers < 0 else min(1.0, layers / shape.layers)
    gpus = len(str(options.get("tensor_split", "1")).split(",")) if on_gpu else 0
    return Need(
        gpus=gpus,
        gpu_bytes=math.ceil(total * share / gpus) if gpus else 0,
        host_bytes=math.ceil(total * (1 - share)),
        processor_bytes=total,
    )


def _contexts(options: Mapping[str, Any], per_context: int, *, parallel: int, concurrency: int, adapters: int) -> int:
    """How many contexts the host will have: as many as it may, or, if nobody says, as the requests at once need."""
    most = int(options.get("max_contexts", _LLAMACPP_CONTEXTS))
    if "kv_memory_mib" in options:
        return max(1, min(most, int(options["kv_memory_mib"]) * _MIB // per_context))
    # In the worst case every request is for another adapter, and needs a context of its own.
    return min(most, max(math.ceil(concurrency / parallel), min(adapters, concurrency)))

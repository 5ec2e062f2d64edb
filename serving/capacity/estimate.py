"""One engine's memory by part, the GPUs that it fits on, and the flags to start it with."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from serving.capacity.gpus import COUNTS, GPUS, NO_GPU, USABLE
from serving.capacity.parts import (
    LLAMACPP_PADDING,
    Part,
    adapter_bytes,
    engine_rank,
    llamacpp_kv_bytes,
    llamacpp_working_bytes,
    vllm_kv_bytes,
    vllm_lora_slot_bytes,
    vllm_working_bytes,
)
from serving.capacity.quantisation import DEFAULTS, QUANTISATIONS
from serving.capacity.shape import Shape
from serving.engines.kinds import EngineKind

_MIB = 1024**2
# vLLM decodes more requests at once than its cache holds at full length, since most are shorter.
_SEQUENCES_PER_FULL_CONTEXT = 4
_MOST_SEQUENCES = 256
# 32 values of 8 bits and their scale of 16.
_Q8_0_BYTES = 34 / 32


class BadWish(ValueError):
    """What was asked for cannot be planned; `field` names the value at fault."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Wish:
    """What should run: requests of `context` tokens at once, over `adapters` of `rank`, `active` of them at once.

    `kv_bits` are those of a cached value: 16, or 8 at some loss of quality.
    """

    context: int
    concurrency: int
    adapters: int = 0
    rank: int = 16
    active: int = 0
    quantisation: str = ""
    kv_bits: int = 16

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """Make one of what was filled in under the same names; no `active` means as many as can be."""
        return cls(
            context=fields["context"],
            concurrency=fields["concurrency"],
            adapters=fields["adapters"],
            rank=fields["rank"],
            active=min(fields["active"] or fields["adapters"], fields["adapters"], fields["concurrency"]),
            quantisation=fields["quantisation"],
            kv_bits=fields["kv_bits"],
        )


@dataclass(frozen=True, slots=True)
class Fit:
    """So many GPUs of a kind hold the engine; `share` is the part of each one's memory that it takes."""

    gpu: str
    count: int
    share: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """An engine's needs. `parts` are for each of `gpus` GPUs, or for main memory where that is 0; `host_bytes` come on
    top, in main memory.
    """

    engine: EngineKind
    gpus: int
    quantisation: str
    parts: tuple[Part, ...]
    host_bytes: int
    fits: tuple[Fit, ...]
    options: dict[str, Any]
    flags: tuple[str, ...]

    @property
    def total_bytes(self) -> int:
        """All parts together."""
        return sum(part.bytes for part in self.parts)


def estimate(shape: Shape, engine: EngineKind, wish: Wish, gpu: str = "") -> Estimate:
    """What a model needs on an engine.

    Args:
        gpu: a name out of `GPUS`: as many of them as it takes; `NO_GPU`: processors; empty: the fewest of any.

    Raises:
        BadWish: the engine cannot read this quantisation, or the model has no such context.
    """
    _check(shape, engine, wish)
    return _vllm(shape, wish, gpu) if engine is EngineKind.VLLM else _llamacpp(shape, wish, gpu)


def weights(shape: Shape, engine: EngineKind, quantisation: str) -> tuple[str, int, bool]:
    """The format that is planned with, its bytes, and whether they are exact."""
    is_gguf = shape.file_format == "GGUF"
    if not quantisation and shape.file_bytes is not None and is_gguf == (engine is EngineKind.LLAMACPP):
        return f"{shape.file_format}, as its files are", shape.file_bytes, True
    stored = QUANTISATIONS.get(shape.file_format)
    if not quantisation and stored is not None and engine in stored.engines:
        quantisation = stored.name
    chosen = QUANTISATIONS[quantisation or DEFAULTS[engine]]
    return chosen.name, chosen.weight_bytes(shape), chosen.bits == 16


def _check(shape: Shape, engine: EngineKind, wish: Wish) -> None:
    if wish.quantisation:
        known = QUANTISATIONS.get(wish.quantisation)
        if known is None or engine not in known.engines:
            names = ", ".join(name for name, one in QUANTISATIONS.items() if engine in one.engines)
            raise BadWish("quantisation", f"{engine} cannot run {wish.quantisation}. It runs {names}.")
    if wish.context > shape.context:
        raise BadWish("context", f"{shape.name} was made for {shape.context} tokens of context at most.")


def _vllm(shape: Shape, wish: Wish, gpu: str) -> Estimate:
    name, _, _ = weights(shape, EngineKind.VLLM, wish.quantisation)
    fits = _fits(
        lambda count: sum(part.bytes for part in vllm_parts(shape, wish, count)) if shape.heads % count == 0 else None
    )
    count = _count(fits, gpu)
    sequences = _sequences(wish)
    options: dict[str, Any] = {"max_model_len": wish.context, "max_num_seqs": sequences}
    flags = [f"--max-model-len {wish.context}", f"--max-num-seqs {sequences}"]
    if wish.adapters:
        options |= {"max_loras": wish.active, "max_cpu_loras": wish.adapters}
        flags += [
            "--enable-lora",
            f"--max-loras {wish.active}",
            f"--max-lora-rank {engine_rank(wish.rank)}",
            f"--max-cpu-loras {wish.adapters}",
        ]
    if name == "fp8" and shape.file_format != name:
        options["quantization"] = "fp8"
        flags.append("--quantization fp8")
    if wish.kv_bits == 8:
        options["kv_cache_dtype"] = "fp8"
        flags.append("--kv-cache-dtype fp8")
    if count > 1:
        options["tensor_parallel_size"] = count
        flags.append(f"--tensor-parallel-size {count}")
    flags.append(f"--gpu-memory-utilization {USABLE}")
    return Estimate(
        engine=EngineKind.VLLM,
        quantisation=name,
        gpus=count,
        parts=vllm_parts(shape, wish, count),
        host_bytes=wish.adapters * adapter_bytes(shape, rank=engine_rank(wish.rank), value_bytes=2),
        fits=fits,
        options=options,
        flags=tuple(flags),
    )


def vllm_parts(shape: Shape, wish: Wish, gpus: int) -> tuple[Part, ...]:
    """vLLM's memory on each of so many GPUs."""
    name, size, is_exact = weights(shape, EngineKind.VLLM, wish.quantisation)
    kv = vllm_kv_bytes(
        shape, context=wish.context, concurrency=wish.concurrency, value_bytes=wish.kv_bits / 8, gpus=gpus
    )
    slots = wish.active * vllm_lora_slot_bytes(shape, rank=wish.rank, gpus=gpus) if wish.adapters else 0
    working = vllm_working_bytes(shape, sequences=_sequences(wish), gpus=gpus)
    return (
        Part("weights", math.ceil(size / gpus), is_exact, f"{shape.parameters / 1e9:.2f} billion values, {name}"),
        Part(
            "kv_cache", kv, True, f"{wish.concurrency} requests of {wish.context} tokens, {wish.kv_bits} bits a value"
        ),
        Part("lora_slots", slots, True, f"{wish.active} slots of rank {engine_rank(wish.rank)}"),
        Part("working", working, False, "activations, logits, CUDA graphs, the driver"),
    )


def _llamacpp(shape: Shape, wish: Wish, gpu: str) -> Estimate:
    name, _, _ = weights(shape, EngineKind.LLAMACPP, wish.quantisation)
    contexts, parallel = _contexts(wish)
    parts = llamacpp_parts(shape, wish)
    kv_mib = math.ceil(next(part.bytes for part in parts if part.name == "kv_cache") / _MIB)
    options: dict[str, Any] = {
        "ctx_size": math.ceil(wish.context / LLAMACPP_PADDING) * LLAMACPP_PADDING,
        "parallel": parallel,
        "max_contexts": contexts,
        "kv_memory_mib": max(16, kv_mib),
    }
    if wish.kv_bits == 8:
        options |= {"cache_type_k": "q8_0", "cache_type_v": "q8_0"}
    flags = [f"--{key.replace('_', '-')} {value}" for key, value in options.items()]
    total = sum(part.bytes for part in parts)
    working = parts[-1].bytes
    # Layers are dealt out; each GPU needs its own working memory.
    fits = _fits(lambda count: math.ceil((total - working) / count) + working)
    count = 0 if gpu == NO_GPU else _count(fits, gpu)
    if count:
        options["n_gpu_layers"] = -1
        flags.append("--n-gpu-layers -1")
    return Estimate(
        engine=EngineKind.LLAMACPP,
        quantisation=name,
        gpus=count,
        parts=tuple(replace(part, bytes=math.ceil(part.bytes / count)) for part in parts[:-1]) + parts[-1:]
        if count > 1
        else parts,
        host_bytes=0,
        fits=fits,
        options=options,
        flags=tuple(flags),
    )


def llamacpp_parts(shape: Shape, wish: Wish) -> tuple[Part, ...]:
    """The llama.cpp host's memory, on a GPU or in main memory."""
    name, size, is_exact = weights(shape, EngineKind.LLAMACPP, wish.quantisation)
    contexts, parallel = _contexts(wish)
    value_bytes = _Q8_0_BYTES if wish.kv_bits == 8 else 2.0
    kv = llamacpp_kv_bytes(
        shape,
        context=wish.context,
        parallel=parallel,
        contexts=contexts,
        key_bytes=value_bytes,
        value_bytes=value_bytes,
    )
    adapters = wish.adapters * adapter_bytes(shape, rank=wish.rank, value_bytes=4)
    working = llamacpp_working_bytes(shape, parallel=parallel, contexts=contexts, on_gpu=True)
    many = "contexts" if contexts > 1 else "context"
    return (
        Part("weights", size, is_exact, f"{shape.parameters / 1e9:.2f} billion values, {name}"),
        Part(
            "kv_cache",
            kv,
            True,
            f"{contexts} {many} of {parallel} × {wish.context} tokens, {wish.kv_bits} bits a value",
        ),
        Part("adapters", adapters, True, f"{wish.adapters} adapters of rank {wish.rank}, 32 bits a value"),
        Part("working", working, False, "compute buffers, logits, the driver"),
    )


def _contexts(wish: Wish) -> tuple[int, int]:
    """Contexts, and sequences in each: llama.cpp decodes one adapter per context."""
    contexts = max(1, wish.active if wish.adapters else 1)
    return contexts, math.ceil(wish.concurrency / contexts)


def _sequences(wish: Wish) -> int:
    return max(wish.concurrency, min(_MOST_SEQUENCES, wish.concurrency * _SEQUENCES_PER_FULL_CONTEXT))


def _fits(needed: Callable[[int], int | None]) -> tuple[Fit, ...]:
    """For each kind of GPU the fewest that suffice; `needed` says what each of so many must hold, None if it cannot."""
    fits = []
    for gpu in GPUS:
        for count in COUNTS:
            size = needed(count)
            if size is not None and size <= gpu.memory_bytes * USABLE:
                fits.append(Fit(gpu.name, count, round(size / gpu.memory_bytes, 3)))
                break
    return tuple(fits)


def _count(fits: tuple[Fit, ...], gpu: str) -> int:
    """How many GPUs are planned with."""
    return min((fit.count for fit in fits if gpu in ("", fit.gpu)), default=1)

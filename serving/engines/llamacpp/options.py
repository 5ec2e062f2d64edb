"""The command line: every option once, typed, with its default and its meaning."""

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

FLASH_ATTENTION = {"auto": -1, "off": 0, "on": 1}
ROPE_SCALING = {"model": -1, "none": 0, "linear": 1, "yarn": 2, "longrope": 3}
SPLIT_MODES = {"none": 0, "layer": 1, "row": 2}
# On processors, larger chunks are no faster per token, and in smaller ones than 64 attention to a long prompt is slow;
# outputs in the same batch take the first of a chunk's tokens with them. On GPUs, small chunks waste them.
_CHUNK, _CHUNK_ON_GPU = 80, 256
# ggml's numbers of the types that a KV cache can have, and the bytes that one value takes.
CACHE_TYPES = {
    "f32": (0, 4.0),
    "f16": (1, 2.0),
    "bf16": (30, 2.0),
    "q8_0": (8, 34 / 32),
    "q5_1": (7, 24 / 32),
    "q5_0": (6, 22 / 32),
    "q4_1": (3, 20 / 32),
    "q4_0": (2, 18 / 32),
    "iq4_nl": (20, 18 / 32),
}


@dataclass(frozen=True, slots=True)
class Options:
    """What the host was started with. Fields are named as the options are."""

    model: Path
    served_model_name: str
    host: str
    port: int
    lora: tuple[tuple[str, Path], ...]
    ctx_size: int
    parallel: int
    batch_size: int
    chunk_size: int
    threads: int
    threads_batch: int
    max_contexts: int
    kv_memory_mib: int | None
    prefix_caching: bool
    weight: MappingProxyType[str, float]
    max_queue: int
    q4_1_kernel: bool
    drain_timeout: int
    enable_force_include_usage: bool
    n_gpu_layers: int
    split_mode: int
    main_gpu: int
    tensor_split: tuple[float, ...]
    flash_attn: int
    cache_type_k: str
    cache_type_v: str
    mmap: bool
    mlock: bool
    rope_scaling: int
    rope_freq_base: float
    rope_freq_scale: float
    yarn_orig_ctx: int
    log_level: str

    @property
    def lanes(self) -> int:
        """How many contexts can be computed side by side: as many as there are threads; on a GPU one after another."""
        return 1 if self.n_gpu_layers else self.threads


def options_parse(argv: Sequence[str]) -> Options:
    """Reads the command line; exits 2 with a message when it is wrong."""
    parser = _parser()
    given = parser.parse_args(argv)
    if given.batch_size < given.parallel:
        parser.error(f"--batch-size {given.batch_size} must be at least --parallel {given.parallel}")
    if given.cache_type_v not in ("f32", "f16", "bf16") and given.flash_attn == FLASH_ATTENTION["off"]:
        parser.error(f"--cache-type-v {given.cache_type_v} needs flash attention")
    given.served_model_name = given.served_model_name or given.model.stem
    chunk_size = given.chunk_size or (_CHUNK_ON_GPU if given.n_gpu_layers else _CHUNK)
    given.chunk_size = min(chunk_size, given.batch_size)
    given.threads_batch = given.threads_batch or given.threads
    given.lora = tuple(given.lora)
    given.weight = MappingProxyType(dict(given.weight))
    return Options(**vars(given))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving.engines.llamacpp",
        description="Serves one GGUF base model and many LoRA adapters in the OpenAI dialect.",
    )
    add = parser.add_argument_group("what is served, and where").add_argument
    add("--model", type=Path, required=True, help="the base model, a .gguf file")
    add("--served-model-name", help="the base model's name in requests (default: the file's stem)")
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=int, default=9000, help="port to listen on; 0 picks a free one")
    add("--lora", type=_lora, action="append", default=[], metavar="NAME=PATH", help="load at start")
    _add_scheduling(parser)
    _add_llama(parser)
    add = parser.add_argument_group("running").add_argument
    add("--drain-timeout", type=_positive, default=30, help="seconds that SIGTERM gives running requests")
    add("--enable-force-include-usage", action="store_true", help="every stream ends with its usage")
    add("--log-level", choices=["debug", "info", "warning", "error"], default="info", help="what is logged")
    return parser


def _add_scheduling(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("scheduling").add_argument
    add("--ctx-size", type=_positive, default=2048, help="tokens per sequence, prompt and output together")
    add("--parallel", type=_positive, default=8, help="sequences of one adapter that are decoded as one batch")
    add("--batch-size", type=_positive, default=512, help="most tokens computed in one step")
    chunk = f"most prompt tokens in a step that others wait for (default: {_CHUNK}, with a GPU {_CHUNK_ON_GPU})"
    add("--chunk-size", type=_positive, help=chunk)
    add("--threads", type=_positive, default=_cores(), help="compute threads (default: usable cores)")
    add("--threads-batch", type=_positive, help="compute threads for prompts (default: --threads)")
    add("--max-contexts", type=_positive, default=32, help="most contexts, and so batches under way at once")
    add("--kv-memory-mib", type=_positive, help="MiB for KV caches (default: half of the memory available)")
    add("--prefix-caching", action=argparse.BooleanOptionalAction, default=True, help="reuse of computed prompts")
    weight = "share of the turns of a department (its cache_salt or, without one, its adapter), against 1 for others"
    add("--weight", type=_weight, action="append", default=[], metavar="NAME=FACTOR", help=weight)
    add("--max-queue", type=_positive, default=256, help="sequences that may wait; beyond it 503")
    kernel = "compute Q4_1 weights by a kernel of the host's own, where a C compiler is found"
    add("--q4-1-kernel", action=argparse.BooleanOptionalAction, default=True, help=kernel)


def _add_llama(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("passed through to llama.cpp").add_argument
    add("--n-gpu-layers", type=int, default=0, help="layers kept on the GPU; -1 means all")
    add("--split-mode", type=_one_of(SPLIT_MODES), default="layer", help="how GPUs share it: none, layer or row")
    add("--main-gpu", type=int, default=0, help="the GPU that holds all when --split-mode is none")
    add("--tensor-split", type=_shares, default=(), metavar="3,1", help="each GPU's share of the model")
    add("--flash-attn", type=_one_of(FLASH_ATTENTION), default="auto", help="flash attention: auto, on or off")
    add("--cache-type-k", choices=CACHE_TYPES, default="f16", help="type of the cached keys")
    add("--cache-type-v", choices=CACHE_TYPES, default="f16", help="type of the cached values")
    add("--mmap", action=argparse.BooleanOptionalAction, default=True, help="map the model's file into memory")
    add("--mlock", action="store_true", help="keep the model from being swapped out")
    add("--rope-scaling", type=_one_of(ROPE_SCALING), default="model", help="none, linear, yarn or longrope")
    add("--rope-freq-base", type=float, default=0.0, help="RoPE's base frequency (default: the model's)")
    add("--rope-freq-scale", type=float, default=0.0, help="RoPE's frequency factor (default: the model's)")
    add("--yarn-orig-ctx", type=int, default=0, help="context size the model was trained on (default: the model's)")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not positive")
    return value


def _one_of(values: dict[str, int]) -> Callable[[str], int]:
    """Reads one of llama.cpp's enum values by its name."""

    def read(text: str) -> int:
        if text not in values:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(values)}")
        return values[text]

    return read


def _lora(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    if not name or not path:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PATH")
    return name, Path(path).resolve()


def _weight(text: str) -> tuple[str, float]:
    name, _, factor = text.rpartition("=")
    if not name or not factor or not 0 < float(factor) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FACTOR with a positive factor")
    return name, float(factor)


def _shares(text: str) -> tuple[float, ...]:
    shares = tuple(map(float, text.split(",")))
    if not all(0 <= share < float("inf") for share in shares) or not sum(shares):
        raise argparse.ArgumentTypeError(f"{text!r} are no shares")
    return shares

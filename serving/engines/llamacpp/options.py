"""The command line: every option once, typed, with its default and its meaning."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FLASH_ATTENTION = {"auto": -1, "off": 0, "on": 1}


@dataclass(frozen=True, slots=True)
class Options:
    """What the host was started with."""

    model: Path
    served_name: str
    host: str
    port: int
    loras: tuple[tuple[str, Path], ...]
    ctx_size: int
    parallel: int
    batch_size: int
    threads: int
    gpu_layers: int
    flash_attn: int
    max_contexts: int
    max_queue: int
    drain_timeout: int
    force_usage: bool
    log_level: str


def options_parse(argv: Sequence[str]) -> Options:
    """Reads the command line; exits 2 with a message when it is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m serving.engines.llamacpp",
        description="Serves one GGUF base model and many LoRA adapters in the OpenAI dialect.",
    )
    add = parser.add_argument
    add("--model", type=Path, required=True, help="the base model, a .gguf file")
    add("--served-model-name", help="the base model's name in requests (default: the file's stem)")
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=int, default=9000, help="port to listen on; 0 picks a free one")
    add("--lora", type=_lora, action="append", default=[], metavar="NAME=PATH", help="load at start")
    add("--ctx-size", type=_positive, default=2048, help="tokens per sequence, prompt and output together")
    add("--parallel", type=_positive, default=8, help="sequences per adapter, decoded as one batch")
    add("--batch-size", type=_positive, default=256, help="most tokens computed in one step")
    add("--threads", type=_positive, default=_cores(), help="compute threads (default: usable cores)")
    add("--n-gpu-layers", type=int, default=0, help="layers kept on the GPU; -1 means all")
    add("--flash-attn", choices=sorted(FLASH_ATTENTION), default="auto", help="flash attention")
    add("--max-contexts", type=_positive, default=8, help="adapters that can be generating at once")
    add("--max-queue", type=_positive, default=256, help="sequences that may wait; beyond it 503")
    add("--drain-timeout", type=_positive, default=30, help="seconds that SIGTERM gives running requests")
    add("--enable-force-include-usage", action="store_true", help="every stream ends with its usage")
    add("--log-level", choices=["debug", "info", "warning", "error"], default="info", help="what is logged")
    given = parser.parse_args(argv)
    if given.batch_size < given.parallel:
        parser.error(f"--batch-size {given.batch_size} must be at least --parallel {given.parallel}")
    return Options(
        model=given.model,
        served_name=given.served_model_name or given.model.stem,
        host=given.host,
        port=given.port,
        loras=tuple(given.lora),
        ctx_size=given.ctx_size,
        parallel=given.parallel,
        batch_size=given.batch_size,
        threads=given.threads,
        gpu_layers=given.n_gpu_layers,
        flash_attn=FLASH_ATTENTION[given.flash_attn],
        max_contexts=given.max_contexts,
        max_queue=given.max_queue,
        drain_timeout=given.drain_timeout,
        force_usage=given.enable_force_include_usage,
        log_level=given.log_level,
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not positive")
    return value


def _lora(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    if not name or not path:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PATH")
    return name, Path(path).resolve()

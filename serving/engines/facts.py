"""What a node says of its machine."""

import importlib.metadata
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from polygraft.conf import config
from serving.engines.gpus import gpu_facts
from serving.engines.vllm_program import vllm_program

_FRESH_SECONDS = 3.0
_KERNEL_COUNTERS = Path("/proc/vmstat")


class NodeFacts:
    """A machine's facts, looked at again every three seconds; sizes in bytes, shares in percent."""

    def __init__(self) -> None:
        self._facts: dict[str, Any] = {}
        self._looked_at = float("-inf")

    def now(self) -> dict[str, Any]:
        """Processors, memory, disk and GPUs with their use, labels, and the versions of the engines installed here."""
        if time.monotonic() - self._looked_at > _FRESH_SECONDS:
            self._looked_at = time.monotonic()
            self._facts = _look()
        return self._facts


def kernel_oom_kills() -> int:
    """How many processes this machine's kernel has ended for want of memory since it started."""
    for line in _KERNEL_COUNTERS.read_text().splitlines():
        if line.startswith("oom_kill "):
            return int(line.split()[1])
    return 0


def _look() -> dict[str, Any]:
    memory = psutil.virtual_memory()
    disk = psutil.disk_usage(str(config().home))
    vllm = vllm_program(config().vllm_python or Path(sys.executable))
    return {
        "cpus": psutil.cpu_count(),
        "cpu_percent": psutil.cpu_percent(),
        "memory_bytes": memory.total,
        "memory_available_bytes": memory.available,
        "disk_bytes": disk.total,
        "disk_free_bytes": disk.free,
        "gpus": gpu_facts(),
        "labels": dict(label.split("=", 1) for label in config().node_labels),
        "llama_cpp_python": _llama_cpp_version(),
        "vllm": vllm.version,
        "vllm_start": vllm.start,
    }


@cache
def _llama_cpp_version() -> str | None:
    try:
        return importlib.metadata.version("llama-cpp-python")
    except importlib.metadata.PackageNotFoundError:
        return None

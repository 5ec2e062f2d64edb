"""What a node says of its machine."""

import importlib.metadata
from typing import Any

import psutil


def node_facts() -> dict[str, Any]:
    """Processors, memory in bytes, and the versions of the engines installed here."""
    return {
        "cpus": psutil.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "llama_cpp_python": _version("llama-cpp-python"),
        "vllm": _version("vllm"),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None

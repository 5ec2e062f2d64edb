"""A node's GPUs: what NVML says of them, and which of them an engine gets."""

import contextlib
from collections.abc import Collection, Sequence
from typing import Any

import pynvml


def gpu_facts() -> list[dict[str, Any]]:
    """The GPUs of this machine in NVML's order; none where there is no driver. Memory is in bytes.

    What a GPU does not tell (some virtual ones have no thermometer) is None.
    """
    try:
        # Opened for a moment: a session held for days would miss a GPU that was reset or has fallen off the bus.
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        return [_facts_of(index) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return []
    finally:
        pynvml.nvmlShutdown()


def gpus_for(count: int, gpus: Sequence[dict[str, Any]], taken: Collection[int]) -> tuple[int, ...]:
    """The GPUs for an engine that shares its model out over `count` of them: those with the most free memory.

    Args:
        gpus: as `gpu_facts` tells them; where there are none, none are chosen.
        taken: indices that other engines were given; used again only when the others do not suffice.
    """
    by_room = sorted(gpus, key=lambda gpu: (gpu["index"] in taken, gpu["memory_used_bytes"] - gpu["memory_bytes"]))
    return tuple(sorted(gpu["index"] for gpu in by_room[:count]))


def gpu_environment(gpus: Sequence[int]) -> dict[str, str]:
    """The variables that show an engine these GPUs alone; for none it sees whichever there are."""
    # CUDA counts by speed unless told to count as NVML does.
    order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    return {**order, "CUDA_VISIBLE_DEVICES": ",".join(map(str, gpus))} if gpus else order


def _facts_of(index: int) -> dict[str, Any]:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    name = pynvml.nvmlDeviceGetName(handle)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    use = temperature = None
    with contextlib.suppress(pynvml.NVMLError):
        use = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu
    with contextlib.suppress(pynvml.NVMLError):
        temperature = pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU)
    return {
        "index": index,
        "name": name.decode() if isinstance(name, bytes) else name,
        "memory_bytes": int(memory.total),
        "memory_used_bytes": int(memory.used),
        "use_percent": use,
        "temperature_celsius": temperature,
    }

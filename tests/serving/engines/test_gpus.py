"""GPUs: told by NVML where there are some, and chosen for engines."""

from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from serving.engines.facts import NodeFacts
from serving.engines.gpus import gpu_environment, gpu_facts, gpus_for

GIB = 1024**3


def gpu(index: int, used: int, total: int = 80) -> dict[str, Any]:
    return {"index": index, "memory_bytes": total * GIB, "memory_used_bytes": used * GIB}


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Two GPUs, the second of which has no thermometer."""
    state = SimpleNamespace(shut=0)

    def temperature(handle: int, sensor: int) -> int:
        if handle == 1:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return 61

    def shut() -> None:
        state.shut += 1

    for name, function in {
        "nvmlInit": lambda: None,
        "nvmlShutdown": shut,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetName": lambda handle: b"NVIDIA H100" if handle else "NVIDIA H100",
        "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(total=80 * GIB, used=handle * GIB),
        "nvmlDeviceGetUtilizationRates": lambda handle: SimpleNamespace(gpu=37),
        "nvmlDeviceGetTemperature": temperature,
    }.items():
        monkeypatch.setattr(pynvml, name, function)
    return state


def test_gpus_are_told_with_what_they_do(nvml: SimpleNamespace) -> None:
    first, second = gpu_facts()
    assert first == {
        "index": 0,
        "name": "NVIDIA H100",
        "memory_bytes": 80 * GIB,
        "memory_used_bytes": 0,
        "use_percent": 37,
        "temperature_celsius": 61,
    }
    assert (second["name"], second["temperature_celsius"]) == ("NVIDIA H100", None)
    assert nvml.shut == 1


@pytest.mark.usefixtures("nvml")
def test_a_driver_that_breaks_off_is_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost() -> int:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lost)
    assert gpu_facts() == []


def test_a_machine_without_a_driver_has_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    assert gpu_facts() == []


def test_a_machine_tells_its_processors_memory_and_disk() -> None:
    facts = NodeFacts().now()
    assert facts["cpus"] > 0
    assert 0 < facts["memory_available_bytes"] < facts["memory_bytes"]
    assert 0 < facts["disk_free_bytes"] < facts["disk_bytes"]
    assert facts["llama_cpp_python"]


@pytest.mark.parametrize(
    ("count", "taken", "chosen"),
    [
        (1, [], (1,)),  # the emptiest
        (2, [], (1, 2)),
        (1, [1], (2,)),  # another engine's is avoided
        (3, [1], (0, 1, 2)),  # unless there is no other
        (4, [], (0, 1, 2)),
    ],
)
def test_an_engine_gets_the_emptiest_gpus(count: int, taken: list[int], chosen: tuple[int, ...]) -> None:
    assert gpus_for(count, [gpu(0, 70), gpu(1, 0), gpu(2, 10)], taken) == chosen


def test_an_engine_sees_its_gpus_alone() -> None:
    assert gpu_environment((1, 3))["CUDA_VISIBLE_DEVICES"] == "1,3"
    assert "CUDA_VISIBLE_DEVICES" not in gpu_environment(())

"""The drivers, by kind of engine."""

from serving.engines.driver import Driver
from serving.engines.drivers.llamacpp import LlamaCppDriver
from serving.engines.drivers.vllm import VllmDriver
from serving.engines.kinds import EngineKind

DRIVERS: dict[EngineKind, Driver] = {EngineKind.LLAMACPP: LlamaCppDriver(), EngineKind.VLLM: VllmDriver()}

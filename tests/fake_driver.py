"""Drives the fake engine as if it were llama.cpp's host, and keeps account of what it was told to load."""

import sys
from pathlib import Path

from serving.engines.driver import AdapterFiles, EngineError, EngineSpec
from serving.engines.drivers.llamacpp import LlamaCppDriver
from serving.engines.process import EngineProcess, free_port, start_process

FAKE_ENGINE = Path(__file__).resolve().parent / "fake_engine.py"


class FakeDriver(LlamaCppDriver):
    """Speaks to the fake engine as to the real one; refuses what it is told to refuse."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.arguments: list[str] = []
        self.loads: list[str] = []
        self.started: list[EngineProcess] = []

    def start(self, spec: EngineSpec) -> EngineProcess:
        port = free_port(spec.host)
        process = start_process(
            [sys.executable, str(FAKE_ENGINE), "--port", str(port), "--model", spec.base_model, *self.arguments],
            engine_id=spec.id,
            address=f"{spec.host}:{port}",
            secret="secret",
            log_path=spec.log_path,
            environment={},
            tethered=spec.tethered,
        )
        self.started.append(process)
        return process

    def load_adapter(self, engine: EngineProcess, adapter: AdapterFiles) -> None:
        self.loads.append(adapter.name)
        if adapter.name in self.refused:
            raise EngineError("This one is not to my taste.")
        super().load_adapter(engine, adapter)

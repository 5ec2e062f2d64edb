"""Drives Polygraft's own llama.cpp host, `python -m serving.engines.llamacpp`."""

import sys

from serving.engines import openai_http
from serving.engines.driver import AdapterFiles, EngineError, EngineLoad, EngineSpec
from serving.engines.gpus import gpu_environment
from serving.engines.kinds import EngineKind
from serving.engines.options import option_flags
from serving.engines.process import EngineProcess, free_port, new_secret, start_process


class LlamaCppDriver:
    """GGUF base models with GGUF adapters, on processors or partly on a GPU."""

    kind = EngineKind.LLAMACPP

    def start(self, spec: EngineSpec) -> EngineProcess:
        """See `Driver.start`."""
        if not spec.model_path.is_file():
            raise EngineError(f"There is no GGUF file at {spec.model_path} on this node.")
        port = free_port(spec.host)
        secret = new_secret()
        command = [
            *(sys.executable, "-m", "serving.engines.llamacpp"),
            *("--model", str(spec.model_path)),
            *("--served-model-name", spec.base_model),
            *("--host", spec.host),
            *("--port", str(port)),
            *option_flags(self.kind, spec.options),
        ]
        return start_process(
            command,
            engine_id=spec.id,
            address=f"{spec.host}:{port}",
            secret=secret,
            log_path=spec.log_path,
            tethered=spec.tethered,
            environment={"POLYGRAFT_ENGINE_SECRET": secret, **gpu_environment(spec.gpus)},
        )

    def probe(self, engine: EngineProcess, model: str) -> None:
        """See `Driver.probe`."""
        openai_http.probe(engine, model)

    def load(self, engine: EngineProcess) -> EngineLoad | None:
        """See `Driver.load`."""
        return openai_http.load(engine)

    def load_adapter(self, engine: EngineProcess, adapter: AdapterFiles) -> None:
        """See `Driver.load_adapter`."""
        openai_http.load_adapter(engine, adapter.name, str(adapter.gguf_file))

    def unload_adapter(self, engine: EngineProcess, name: str) -> None:
        """See `Driver.unload_adapter`."""
        openai_http.unload_adapter(engine, name)

    def loaded_adapters(self, engine: EngineProcess) -> set[str]:
        """See `Driver.loaded_adapters`."""
        return openai_http.loaded_adapters(engine)

    def stop(self, engine: EngineProcess) -> None:
        """See `Driver.stop`."""
        engine.terminate()

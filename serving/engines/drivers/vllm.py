"""Drives vLLM's OpenAI server with many LoRA adapters."""

import sys
from pathlib import Path
from typing import Any

from polygraft.conf import config
from serving.adapters.reading.limits import Limits
from serving.engines import openai_http
from serving.engines.driver import AdapterFiles, EngineError, EngineLoad, EngineSpec
from serving.engines.gpus import gpu_environment
from serving.engines.kinds import EngineKind
from serving.engines.options import LORA_OPTIONS, VLLM_DEFAULTS, option_flags
from serving.engines.process import EngineProcess, free_port, new_secret, start_process
from serving.engines.vllm_program import server_words, vllm_program

# Adapters are loaded by name over HTTP; nothing is fetched from a hub, and nobody is told about it.
_ENVIRONMENT = {
    # Hosts that the gateway allows media from must not lead elsewhere.
    "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    # The gateway caps what a request may ask for; this is for a gateway that is out of date.
    "VLLM_MAX_N_SEQUENCES": "128",
    # Routes that reset caches and put the engine to sleep.
    "VLLM_SERVER_DEV_MODE": "0",
}
_DRAIN_SECONDS = 30


class VllmDriver:
    """Hugging Face base models with PEFT adapters, batched together on GPUs (or on processors, for tests)."""

    kind = EngineKind.VLLM

    def start(self, spec: EngineSpec) -> EngineProcess:
        """See `Driver.start`."""
        if not (spec.model_path / "config.json").is_file():
            raise EngineError(f"There is no Hugging Face model in {spec.model_path} on this node.")
        python = config().vllm_python or Path(sys.executable)
        port = free_port(spec.host)
        secret = new_secret()
        command = [
            *(str(python), *server_words(vllm_program(python), spec.model_path)),
            *("--served-model-name", spec.base_model),
            *("--host", spec.host),
            *("--port", str(port)),
            *(["--enable-lora"] if spec.takes_adapters else []),
            *("--enable-force-include-usage", "--enable-prompt-tokens-details", "--disable-fastapi-docs"),
            *("--shutdown-timeout", str(_DRAIN_SECONDS)),
            *option_flags(self.kind, _options(spec)),
        ]
        return start_process(
            command,
            engine_id=spec.id,
            address=f"{spec.host}:{port}",
            secret=secret,
            log_path=spec.log_path,
            tethered=spec.tethered,
            environment={**_ENVIRONMENT, "VLLM_API_KEY": secret, **gpu_environment(spec.gpus)},
        )

    def probe(self, engine: EngineProcess, model: str) -> None:
        """See `Driver.probe`."""
        openai_http.probe(engine, model)

    def load(self, engine: EngineProcess) -> EngineLoad | None:
        """See `Driver.load`."""
        return openai_http.load(engine)

    def load_adapter(self, engine: EngineProcess, adapter: AdapterFiles) -> None:
        """See `Driver.load_adapter`."""
        openai_http.load_adapter(engine, adapter.name, str(adapter.peft_folder))

    def unload_adapter(self, engine: EngineProcess, name: str) -> None:
        """See `Driver.unload_adapter`."""
        openai_http.unload_adapter(engine, name)

    def loaded_adapters(self, engine: EngineProcess) -> set[str]:
        """See `Driver.loaded_adapters`."""
        return openai_http.loaded_adapters(engine)

    def stop(self, engine: EngineProcess) -> None:
        """See `Driver.stop`."""
        engine.terminate()


def _options(spec: EngineSpec) -> dict[str, Any]:
    options = VLLM_DEFAULTS | {"max_lora_rank": Limits().engine_rank(config().max_lora_rank)} | spec.options
    if spec.takes_adapters:
        return options
    return {name: value for name, value in options.items() if name not in LORA_OPTIONS}

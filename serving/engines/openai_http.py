"""What vLLM and the llama.cpp host have in common over HTTP: a probe, and loading and unloading of adapters."""

import httpx

from serving.engines.driver import EngineError
from serving.engines.process import EngineProcess

PROBE_SECONDS = 20.0
LOAD_SECONDS = 120.0


def probe(engine: EngineProcess, model: str) -> None:
    """Have a model generate one token; see `Driver.probe`."""
    body = {"model": model, "prompt": "Hello", "max_tokens": 1, "temperature": 0}
    answer = _post(engine, "/v1/completions", body, PROBE_SECONDS)
    if answer.status_code != httpx.codes.OK or not answer.json().get("choices"):
        raise EngineError(f"A probe of {model} was answered with {answer.status_code}: {answer.text[:500]}")


def load(engine: EngineProcess, name: str, path: str) -> None:
    """Load an adapter from a path, see `Driver.load_adapter`."""
    answer = _post(engine, "/v1/load_lora_adapter", {"lora_name": name, "lora_path": path}, LOAD_SECONDS)
    if answer.status_code == httpx.codes.OK or "already" in answer.text:
        return
    raise EngineError(f"The engine refused the adapter with {answer.status_code}: {answer.text[:500]}")


def unload(engine: EngineProcess, name: str) -> None:
    """Unload an adapter, see `Driver.unload_adapter`."""
    answer = _post(engine, "/v1/unload_lora_adapter", {"lora_name": name}, LOAD_SECONDS)
    if answer.status_code not in (httpx.codes.OK, httpx.codes.NOT_FOUND):
        raise EngineError(f"The engine kept the adapter, with {answer.status_code}: {answer.text[:500]}")


def _post(engine: EngineProcess, path: str, body: dict[str, object], seconds: float) -> httpx.Response:
    try:
        return httpx.post(
            f"http://{engine.address}{path}",
            json=body,
            headers={"Authorization": f"Bearer {engine.secret}"},
            timeout=seconds,
            trust_env=False,
        )
    except httpx.HTTPError as error:
        raise EngineError(f"The engine did not answer {path}: {error!r}") from error

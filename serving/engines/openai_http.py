"""What vLLM and the llama.cpp host have in common over HTTP: a probe, metrics, and adapters that come and go."""

from functools import cache

import httpx
from prometheus_client.parser import text_string_to_metric_families

from serving.engines.driver import EngineError, EngineLoad
from serving.engines.names import is_adapter_name
from serving.engines.probes import PROBES, is_made_for_else
from serving.engines.process import EngineProcess

PROBE_SECONDS = 20.0
METRICS_SECONDS = 5.0
LOAD_SECONDS = 120.0


# In the order of `EngineLoad`'s fields. The llama.cpp host uses vLLM's names.
_METRICS = (
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:kv_cache_usage_perc",
    "vllm:generation_tokens_total",
)


def probe(engine: EngineProcess, model: str) -> None:
    """Have a model do the least that it is made for; see `Driver.probe`."""
    for asked in PROBES:
        answer = _post(engine, asked.path, {"model": model} | asked.body, PROBE_SECONDS)
        if not is_made_for_else(answer.status_code, answer.content):
            break
    if answer.status_code != httpx.codes.OK or not answer.json().get(asked.answer):
        raise EngineError(f"A probe of {model} was answered with {answer.status_code}: {answer.text[:500]}")


def load(engine: EngineProcess) -> EngineLoad | None:
    """How busy an engine is, by its metrics; see `Driver.load`."""
    try:
        answer = _ask(engine, "GET", "/metrics", None, METRICS_SECONDS)
    except EngineError:
        return None
    if answer.status_code != httpx.codes.OK:
        return None
    sums: dict[str, float] = {}
    try:
        for family in text_string_to_metric_families(answer.text):
            for sample in family.samples:
                if sample.name in _METRICS:
                    sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    except ValueError:
        return None
    if len(sums) < len(_METRICS):
        return None
    running, waiting, kv_usage, generated = (sums[name] for name in _METRICS)
    return EngineLoad(running=int(running), waiting=int(waiting), kv_usage=kv_usage, generated=int(generated))


def load_adapter(engine: EngineProcess, name: str, path: str) -> None:
    """Load an adapter from a path, see `Driver.load_adapter`."""
    answer = _post(engine, "/v1/load_lora_adapter", {"lora_name": name, "lora_path": path}, LOAD_SECONDS)
    if answer.status_code == httpx.codes.OK or "already" in answer.text:
        return
    raise EngineError(f"The engine refused the adapter with {answer.status_code}: {answer.text[:500]}")


def unload_adapter(engine: EngineProcess, name: str) -> None:
    """Unload an adapter, see `Driver.unload_adapter`."""
    answer = _post(engine, "/v1/unload_lora_adapter", {"lora_name": name}, LOAD_SECONDS)
    if answer.status_code not in (httpx.codes.OK, httpx.codes.NOT_FOUND):
        raise EngineError(f"The engine kept the adapter, with {answer.status_code}: {answer.text[:500]}")


def loaded_adapters(engine: EngineProcess) -> set[str]:
    """The adapters that the engine lists, see `Driver.loaded_adapters`."""
    answer = _ask(engine, "GET", "/v1/models", None, PROBE_SECONDS)
    try:
        names = {str(model["id"]) for model in answer.json()["data"]}
    except (ValueError, KeyError, TypeError) as error:
        raise EngineError(f"The engine's list of models was answered with {answer.status_code}.") from error
    return {name for name in names if is_adapter_name(name)}


def _post(engine: EngineProcess, path: str, body: dict[str, object], seconds: float) -> httpx.Response:
    return _ask(engine, "POST", path, body, seconds)


def _ask(
    engine: EngineProcess, method: str, path: str, body: dict[str, object] | None, seconds: float
) -> httpx.Response:
    try:
        return _client().request(
            method,
            f"http://{engine.address}{path}",
            json=body,
            headers={"Authorization": f"Bearer {engine.secret}"},
            timeout=seconds,
        )
    except httpx.HTTPError as error:
        raise EngineError(f"The engine did not answer {path}: {error!r}") from error


@cache
def _client() -> httpx.Client:
    # Making one takes longer than what it is asked to do here. Nothing is kept alive, as engines come and go.
    return httpx.Client(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))

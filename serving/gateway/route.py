"""Chooses the engines that can answer for a target, best first."""

from collections.abc import Iterable, Mapping

from serving.engines.kinds import EngineKind
from serving.gateway.catalogue import Target
from serving.gateway.errors import ModelNotReady, NoEngine
from serving.registry import EngineEntry

_READY = "ready"


def engines_for(target: Target, engines: Iterable[EngineEntry], in_flight: Mapping[str, int]) -> list[EngineEntry]:
    """The engines to try, in order: vLLM before llama.cpp, then the least busy first.

    Args:
        in_flight: engine id → requests under way there.

    Raises:
        NoEngine: no engine of the target's base model is ready.
        ModelNotReady: some are, but none has loaded the adapter yet.
    """
    ready = [engine for engine in engines if engine.base_model_id == target.base_model_id and engine.state == _READY]
    if not ready:
        raise NoEngine(f"No engine is ready for the model '{target.asked}' now. Ask again in a few seconds.")
    if target.adapter_version_id is not None:
        ready = [engine for engine in ready if target.engine_model in engine.resident]
        if not ready:
            raise ModelNotReady(
                f"The model '{target.asked}' is being loaded. Ask again in a few seconds.", param="model"
            )
    if len(ready) > 1:
        ready.sort(key=lambda engine: (engine.kind != EngineKind.VLLM, in_flight.get(engine.id, 0)))
    return ready

"""Which engines are asked, and in which order."""

from typing import Any

import pytest

from serving.gateway.catalogue import Target
from serving.gateway.errors import ModelNotReady, NoEngine
from serving.gateway.route import engines_for
from serving.registry import EngineEntry

BASE = Target("base", "base", "base", base_model_id=1)
ADAPTER = Target("bot", "bot:1", "lora-1", base_model_id=1, adapter_version_id=7)


def engine(name: str, **fields: Any) -> EngineEntry:
    usual: dict[str, Any] = {
        "node": "n",
        "kind": "llamacpp",
        "base_model_id": 1,
        "base_model": "base",
        "address": "127.0.0.1:1",
        "secret": "",
        "state": "ready",
    }
    return EngineEntry(id=name, **{**usual, **fields})


def order(target: Target, engines: list[EngineEntry], in_flight: dict[str, int] | None = None) -> list[str]:
    return [found.id for found in engines_for(target, engines, in_flight or {})]


def test_vllm_goes_before_llamacpp_however_busy() -> None:
    assert order(BASE, [engine("slow"), engine("fast", kind="vllm")], {"fast": 99}) == ["fast", "slow"]


def test_the_least_busy_goes_first() -> None:
    engines = [engine("a"), engine("b"), engine("c")]
    assert order(BASE, engines, {"a": 2, "b": 1}) == ["c", "b", "a"]


def test_an_adapter_is_asked_only_where_it_is_loaded() -> None:
    engines = [engine("without", kind="vllm"), engine("with", resident=frozenset({"lora-1"}))]
    assert order(ADAPTER, engines) == ["with"]
    assert order(BASE, engines) == ["without", "with"]


def test_an_adapter_that_is_loaded_nowhere_is_not_ready() -> None:
    with pytest.raises(ModelNotReady):
        order(ADAPTER, [engine("a", resident=frozenset({"lora-2"}))])


@pytest.mark.parametrize("fields", [{"state": "draining"}, {"state": "starting"}, {"base_model_id": 2}])
def test_an_engine_that_is_not_ready_or_not_of_the_base_is_no_engine(fields: dict[str, Any]) -> None:
    with pytest.raises(NoEngine):
        order(BASE, [engine("a", **fields)])

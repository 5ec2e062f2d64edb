"""Which engines are asked, and in which order."""

import time
from typing import Any

import pytest
import redis.asyncio

from deadline import quickest
from serving.engines.kinds import EngineKind
from serving.fleet.registry import EngineEntry
from serving.gateway.body import Wish
from serving.gateway.catalogue import Target
from serving.gateway.engines.breaker import Breakers
from serving.gateway.engines.fleet import Fleet
from serving.gateway.errors import ModelNotReady, NoEngine
from serving.gateway.route import engine_to_load, engine_to_share, engines_for, why_not_at_home

VLLM_FIRST = (EngineKind.VLLM, EngineKind.LLAMACPP)
BASE = Target("base", "base", "base", base_model_id=1, kinds=VLLM_FIRST)
ADAPTER = Target("bot", "bot:1", "lora-1", base_model_id=1, adapter_version_id=7, kinds=VLLM_FIRST)


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


async def never(_: EngineEntry) -> bool:
    return False


def fleet_of(*engines: EngineEntry, load: dict[str, int] | None = None) -> Fleet:
    fleet = Fleet(redis.asyncio.Redis(), Breakers(never))
    fleet.engines = engines
    fleet.outstanding = load or {}
    return fleet


def wish(text: str = "hello", *later: str) -> Wish:
    turns = [{"role": "user", "content": content} for content in (text, *later)]
    return Wish({"model": "bot", "messages": turns})


def order(target: Target, fleet: Fleet, asked: Wish | None = None) -> list[str]:
    return [found.id for found in engines_for(target, fleet, asked or wish())]


def test_the_kind_where_the_target_is_at_home_goes_first_however_busy() -> None:
    fleet = fleet_of(engine("slow"), engine("fast", kind="vllm"), load={"fast": 99_999})
    assert order(BASE, fleet) == ["fast", "slow"]


def test_a_kind_that_the_policy_does_not_allow_is_never_asked() -> None:
    at_home_only = Target("base", "base", "base", base_model_id=1, kinds=(EngineKind.VLLM,))
    assert order(at_home_only, fleet_of(engine("slow"), engine("fast", kind="vllm"))) == ["fast"]
    with pytest.raises(NoEngine, match="fallback policy"):
        order(at_home_only, fleet_of(engine("slow")))


def test_the_engine_with_the_fewest_tokens_under_way_goes_first() -> None:
    load = {"a": 30_000, "b": 20_000}
    assert order(BASE, fleet_of(engine("a"), engine("b"), engine("c"), load=load)) == ["c", "b", "a"]


def test_a_conversation_keeps_to_its_engine_and_others_spread() -> None:
    fleet = fleet_of(*(engine(name) for name in "abcd"))
    first = order(BASE, fleet, wish("where is my parcel"))[0]
    assert order(BASE, fleet, wish("where is my parcel", "and when does it come"))[0] == first
    assert len({order(BASE, fleet, wish(f"question {number}"))[0] for number in range(50)}) == 4


def test_a_conversation_leaves_its_engine_when_that_is_much_busier() -> None:
    fleet = fleet_of(*(engine(name) for name in "abcd"))
    known = order(BASE, fleet)[0]
    fleet.outstanding[known] = 4000
    assert order(BASE, fleet)[0] == known
    fleet.outstanding[known] = 5000
    assert order(BASE, fleet)[-1] == known


def test_the_engine_that_is_avoided_is_the_last_resort() -> None:
    fleet = fleet_of(engine("a", kind="vllm"), engine("b"))
    fleet.breakers.failed(fleet.engines[0], "unreachable", at_once=True)
    assert order(BASE, fleet) == ["b", "a"]
    assert why_not_at_home(BASE, fleet) == "failing"


def test_an_adapter_is_asked_only_where_it_is_loaded() -> None:
    fleet = fleet_of(engine("without", kind="vllm"), engine("with", resident=frozenset({"lora-1"})))
    assert order(ADAPTER, fleet) == ["with"]
    assert why_not_at_home(ADAPTER, fleet) == "not_loaded"
    assert order(BASE, fleet) == ["without", "with"]


def test_an_adapter_that_is_loaded_nowhere_is_not_ready() -> None:
    with pytest.raises(ModelNotReady):
        order(ADAPTER, fleet_of(engine("a", resident=frozenset({"lora-2"}))))


@pytest.mark.parametrize("fields", [{"state": "draining"}, {"state": "starting"}, {"base_model_id": 2}])
def test_an_engine_that_is_not_ready_or_not_of_the_base_is_no_engine(fields: dict[str, Any]) -> None:
    fleet = fleet_of(engine("a", **fields))
    with pytest.raises(NoEngine):
        order(BASE, fleet)
    assert why_not_at_home(BASE, fleet) == "no_engine"


def test_adapters_are_shared_out_over_the_engines_that_load_on_demand() -> None:
    # Names of one length, as engines have: a linear checksum would give half of the adapters to one of these.
    names = [f"0000000{name}-0000-4000-8000-000000000000" for name in "0123"]
    fleet = fleet_of(engine("eager"), *(engine(name, residency="on_demand") for name in names))

    def chosen(number: int) -> str:
        found = engine_to_load(Target("x", "x:1", f"lora-{number}", 1, 7, VLLM_FIRST), fleet)
        assert found is not None
        return found.id

    shares = [chosen(number) for number in range(400)]
    assert [chosen(number) for number in range(400)] == shares
    assert all(70 < shares.count(name) < 130 for name in names)
    assert engine_to_load(ADAPTER, fleet_of(engine("eager"))) is None


def test_an_engine_that_has_much_to_do_gets_help_with_an_adapter_that_it_alone_has() -> None:
    lazy = {"residency": "on_demand"}
    holder = engine("a", resident=frozenset({"lora-1"}), **lazy)
    fleet = fleet_of(holder, engine("b", **lazy), engine("c", **lazy), engine("d"), load={"a": 10_000, "b": 500})
    assert engine_to_share(ADAPTER, fleet, holder) is None
    fleet.outstanding["a"] = 20_000
    helper = engine_to_share(ADAPTER, fleet, holder)
    assert helper is not None
    assert helper.id == "c"
    fleet.outstanding |= {"b": 15_000, "c": 15_000}
    assert engine_to_share(ADAPTER, fleet, holder) is None


def test_choosing_among_hundreds_of_adapters_takes_no_longer_than_among_a_few() -> None:
    def cost(adapters: int) -> float:
        fleet = fleet_of(engine("a", resident=frozenset(f"lora-{number}" for number in range(adapters))))
        order(ADAPTER, fleet)
        began = time.thread_time()
        for _ in range(1000):
            order(ADAPTER, fleet)
        return time.thread_time() - began

    # Were it to look at each, this would be a thousand times as much.
    longest = 10 * cost(10)
    assert quickest(lambda: cost(10_000), enough=longest) < longest

"""The snapshot of the engine registry, and what is believed when Redis comes back without its memory."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from polygraft.live import async_redis_client, redis_client
from serving.fleet.registry import ENGINES_KEY, EngineEntry, engine_publish, engine_withdraw
from serving.fleet.residency import asked_take
from serving.gateway.engines.breaker import Breakers
from serving.gateway.engines.fleet import Fleet


def entry(name: str) -> EngineEntry:
    return EngineEntry(
        id=name,
        node="n",
        kind="llamacpp",
        base_model_id=1,
        base_model="base",
        address="127.0.0.1:1",
        secret="",
        state="ready",
    )


async def never(_: EngineEntry) -> bool:
    return False


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    """A fleet that knows one engine."""
    client = async_redis_client()
    fleet = Fleet(client, Breakers(never))
    engine_publish(redis_client(), entry("one"))
    await fleet.refresh()
    yield fleet
    await client.aclose()


def known(fleet: Fleet) -> set[str]:
    return {engine.id for engine in fleet.engines}


async def test_an_engine_that_is_withdrawn_is_forgotten(fleet: Fleet) -> None:
    fleet.connected(True)
    assert known(fleet) == {"one"}
    engine_withdraw(redis_client(), "one")
    await fleet.refresh()
    assert known(fleet) == set()


async def test_an_engine_that_is_missing_after_redis_was_away_is_believed_to_live(fleet: Fleet) -> None:
    fleet.connected(False)
    redis_client().flushall()
    fleet.connected(True)
    engine_publish(redis_client(), entry("two"))
    await fleet.refresh()
    assert known(fleet) == {"one", "two"}


async def test_what_is_missing_is_not_believed_for_ever(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.gateway.engines.fleet.STALE_SECONDS", 0)
    fleet.connected(False)
    fleet.connected(True)
    redis_client().flushall()
    await fleet.refresh()
    assert known(fleet) == set()


async def test_a_registry_that_cannot_be_understood_changes_nothing(fleet: Fleet) -> None:
    redis_client().hset(ENGINES_KEY, "bad", "{")
    await fleet.refresh()
    assert known(fleet) == {"one"}


async def test_a_change_is_read_at_once(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.gateway.engines.fleet.POLL_SECONDS", 600)
    task = asyncio.create_task(fleet.run())
    engine_publish(redis_client(), entry("two"))
    fleet.drop()
    async with asyncio.timeout(60):
        while known(fleet) != {"one", "two"}:  # noqa: ASYNC110  # the fleet tells nobody
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_one_process_has_under_way_the_others_know(fleet: Fleet) -> None:
    other = Fleet(fleet._client, Breakers(never))
    other.enter("one", 300)
    fleet.enter("one", 50)
    await other.refresh()
    await fleet.refresh()
    await fleet.refresh()  # its own report is not counted twice
    assert fleet.load("one") == 350
    other.leave("one", 300)
    await other.refresh()
    await fleet.refresh()
    assert fleet.load("one") == 50


async def test_an_engine_that_says_it_is_busy_is_believed(fleet: Fleet) -> None:
    engine_publish(redis_client(), replace(entry("one"), running=3, waiting=1))
    await fleet.refresh()
    assert fleet.load("one") == 4 * 256
    fleet.enter("one", 5000)  # its own measure is seconds old
    assert fleet.load("one") == 5000


async def test_an_adapter_in_use_is_told_to_who_may_unload_it(fleet: Fleet) -> None:
    lazy = replace(entry("one"), residency="on_demand")
    fleet.note_use(lazy, "lora-1")
    fleet.note_use(entry("eager"), "lora-1")
    await fleet.refresh()
    assert asked_take(redis_client(), "one", keep=5).keys() == {"lora-1"}
    assert asked_take(redis_client(), "eager", keep=5) == {}


async def test_an_adapter_that_an_engine_turns_out_not_to_hold_is_not_sought_there(fleet: Fleet) -> None:
    engine_publish(redis_client(), replace(entry("one"), resident=frozenset({"lora-1"})))
    await fleet.refresh()
    holder = fleet.holders(1, "lora-1")[0]
    fleet.lost(holder, "lora-1")
    assert fleet.holders(1, "lora-1") == []
    await fleet.refresh()
    assert [engine.id for engine in fleet.holders(1, "lora-1")] == ["one"]

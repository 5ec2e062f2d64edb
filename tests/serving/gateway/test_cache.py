"""The cache in front of look-ups: once at a time, for a while, and nothing from before a change."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from serving.gateway.cache import Cache


class LookUps:
    """A look-up that counts its calls and can be held."""

    def __init__(self) -> None:
        self.calls = 0
        self.open = asyncio.Event()
        self.open.set()

    def of(self, value: str) -> Callable[[], Awaitable[str]]:
        async def look_up() -> str:
            self.calls += 1
            await self.open.wait()
            return value

        return look_up


@pytest.fixture
async def look_ups() -> LookUps:
    return LookUps()


def connected_cache(capacity: int = 10) -> Cache[str, str]:
    cache: Cache[str, str] = Cache(capacity=capacity)
    cache.connected(True)
    return cache


async def test_a_value_is_looked_up_once(look_ups: LookUps) -> None:
    cache = connected_cache()
    assert [await cache.get("a", look_ups.of("x")) for _ in range(3)] == ["x"] * 3
    assert look_ups.calls == 1


async def test_who_comes_during_a_look_up_waits_for_it(look_ups: LookUps) -> None:
    cache = connected_cache()
    look_ups.open.clear()
    waiting = [asyncio.create_task(cache.get("a", look_ups.of("x"))) for _ in range(50)]
    await asyncio.sleep(0)
    look_ups.open.set()
    assert await asyncio.gather(*waiting) == ["x"] * 50
    assert look_ups.calls == 1


async def test_who_leaves_during_a_look_up_does_not_take_it_from_the_others(look_ups: LookUps) -> None:
    cache = connected_cache()
    look_ups.open.clear()
    leaving, staying = (asyncio.create_task(cache.get("a", look_ups.of("x"))) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.sleep(0)
    look_ups.open.set()
    assert await staying == "x"
    assert look_ups.calls == 1


async def test_what_was_looked_up_during_a_change_is_not_kept(look_ups: LookUps) -> None:
    cache = connected_cache()
    look_ups.open.clear()
    before = asyncio.create_task(cache.get("a", look_ups.of("old")))
    await asyncio.sleep(0)
    cache.drop()
    after = asyncio.create_task(cache.get("a", look_ups.of("new")))
    await asyncio.sleep(0)
    look_ups.open.set()
    assert (await before, await after) == ("old", "new")
    assert await cache.get("a", look_ups.of("newer")) == "new"


async def test_a_failed_look_up_is_not_kept(look_ups: LookUps) -> None:
    cache = connected_cache()

    async def failing() -> str:
        raise LookupError

    with pytest.raises(LookupError):
        await cache.get("a", failing)
    assert await cache.get("a", look_ups.of("x")) == "x"


async def test_the_oldest_makes_room(look_ups: LookUps) -> None:
    cache = connected_cache(capacity=2)
    for key in ("a", "b", "c"):
        await cache.get(key, look_ups.of(key))
    assert look_ups.calls == 3
    await cache.get("c", look_ups.of("c"))
    await cache.get("b", look_ups.of("b"))
    assert look_ups.calls == 3
    await cache.get("a", look_ups.of("a"))
    assert look_ups.calls == 4


async def test_values_live_longer_with_announcements_than_without(
    look_ups: LookUps, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("serving.gateway.cache.time.monotonic", lambda: now)
    cache = connected_cache()
    await cache.get("a", look_ups.of("x"))
    now += 29
    await cache.get("a", look_ups.of("x"))
    assert look_ups.calls == 1
    now += 2
    await cache.get("a", look_ups.of("x"))
    assert look_ups.calls == 2
    cache.connected(False)
    await cache.get("a", look_ups.of("x"))
    now += 1.1
    await cache.get("a", look_ups.of("x"))
    assert look_ups.calls == 4

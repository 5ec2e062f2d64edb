"""When requests are kept from an engine, and when it gets them again."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from cast import Cast
from deadline import wait_until
from fake_engine import Fault
from serving.fleet.registry import EngineEntry
from serving.gateway.engines import breaker as breaker_module
from serving.gateway.engines.breaker import Breakers, works
from serving.gateway.engines.pool import Pool

from .served import CHAT, Engines, Served, question
from .test_fleet import entry

ONE = entry("one")


def answering(*answers: bool) -> Callable[[EngineEntry], Awaitable[bool]]:
    """A probe that finds these in turn."""
    left = list(answers)

    async def probe(_: EngineEntry) -> bool:
        return left.pop(0)

    return probe


def test_three_failures_in_a_row_open_it() -> None:
    breakers = Breakers(answering())
    breakers.failed(ONE, "failed")
    breakers.failed(ONE, "failed")
    breakers.answered("one")
    breakers.failed(ONE, "failed")
    breakers.failed(ONE, "failed")
    assert not breakers.open
    breakers.failed(ONE, "failed")
    assert breakers.open.keys() == {"one"}


def test_a_refused_connection_opens_it_at_once() -> None:
    breakers = Breakers(answering())
    breakers.failed(ONE, "unreachable", at_once=True)
    assert breakers.open.keys() == {"one"}


async def test_a_probe_that_succeeds_closes_it_and_one_that_fails_makes_the_next_one_wait_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(breaker_module, "_FIRST_DELAY", 0.01)
    breakers = Breakers(answering(False, False, True))
    task = asyncio.create_task(breakers.run())
    breakers.failed(ONE, "unreachable", at_once=True)
    opened = breakers.open["one"]
    async with asyncio.timeout(60):
        while breakers.open:  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.005)
    assert opened.delay == pytest.approx(0.04)
    assert not breakers.failing
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_engine_that_is_gone_is_not_probed_any_more() -> None:
    breakers = Breakers(answering())
    breakers.failed(ONE, "unreachable", at_once=True)
    breakers.forget_all_but({"two"})
    assert not breakers.open
    assert not breakers.failing


@pytest.mark.parametrize(
    ("fault", "sound"),
    [
        (Fault.NEVER, True),
        (Fault.ERROR_503, True),  # full, but alive
        (Fault.ERROR_500, False),
        (Fault.DROP, False),
        (Fault.REFUSE, False),
        (Fault.HANG, False),
        (Fault.NO_TEXT, True),  # it is made for embeddings
    ],
)
def test_the_probe_wants_work_done(
    cast: Cast, engines: Engines, monkeypatch: pytest.MonkeyPatch, fault: Fault, sound: bool
) -> None:
    monkeypatch.setattr(breaker_module, "_PROBE_SECONDS", 0.5 if fault is Fault.HANG else 60)
    fake = engines.start(fault)
    engine = EngineEntry(
        id="e", node="n", kind="llamacpp", base_model_id=1, base_model=cast.base_model.name, address=fake.address,
        secret="engine-secret", state="ready",
    )  # fmt: skip

    async def probe() -> bool:
        pool = Pool(connect_timeout=60, first_byte_timeout=60, idle_timeout=60)
        try:
            return await works(pool, engine)
        finally:
            pool.close()

    assert asyncio.run(probe()) is sound


def test_an_engine_that_fails_is_asked_no_more_until_it_generates_again(
    cast: Cast, engines: Engines, serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker_module, "_FIRST_DELAY", 600)
    failing, sound = engines.start(Fault.ERROR_500), engines.start()
    served = serve()
    client = served.client(cast.secret)
    # Different conversations, so that both engines are chosen first.
    for number in range(40):
        assert client.post(CHAT, json=question(text=f"question {number}")).status_code == 200
    assert failing.stats()["requests"] == 3
    assert sound.stats()["completed"] == 40
    assert served.gateway._parts is not None
    breakers = served.gateway._parts.fleet.breakers
    assert len(breakers.open) == 1


def test_an_engine_that_fails_is_probed_though_nobody_asks_it(
    cast: Cast, engines: Engines, serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker_module, "_FIRST_DELAY", 0.1)
    failing = engines.start(Fault.ERROR_500)
    client = serve().client(cast.secret)
    for _ in range(3):
        assert client.post(CHAT, json=question()).status_code == 502
    wait_until(lambda: failing.stats()["requests"] > 3, what="it is probed")

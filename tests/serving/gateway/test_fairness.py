"""Turns at a full engine, as callers meet them: in order, bounded, shared by all gateway processes.

The engines hold their answers until they are told to let some go: what a request meets is decided, not raced for.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import orjson
import pytest

from cast import Cast
from deadline import wait_until
from fake_engine import FakeEngine
from polygraft.conf import config
from polygraft.live import redis_client
from serving.fleet.registry import ENGINES_KEY
from serving.gateway.turns import slots
from tenants.departments import department_limit

from .served import CHAT, Engines, Served, question, send_raw, usage_records

BASE = "smollm2"
BATCH = {"x-polygraft-priority": "batch"}


@pytest.fixture(autouse=True)
def _gateways_that_starve_are_not_taken_for_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dozens of clients and two gateways share this process, and the machine may have other work."""
    for name in ("LIFE_SECONDS", "SILENCE_SECONDS"):
        monkeypatch.setattr(slots, name, 60)


@pytest.fixture
def crowd() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as pool:
        yield pool


def waiting(gateway: Served) -> int:
    """How many requests wait in a gateway."""
    parts = gateway.gateway._parts
    assert parts is not None
    return sum(one.length for pool in parts.fairness._pools.values() for one in pool.queue.waiting.values())


def knows_of_others(gateway: Served) -> bool:
    """Whether a gateway has heard that requests wait in another one."""
    parts = gateway.gateway._parts
    assert parts is not None
    pools = parts.fairness._pools.values()
    return any(one.elsewhere < slots._NOBODY for pool in pools for one in pool.slots.values())


def ask(client: httpx.Client, log: list[str] | None = None, name: str = "", **headers: Any) -> int:
    status = client.post(CHAT, json=question(BASE), headers=headers or None, timeout=60).status_code
    if log is not None:
        log.append(name)
    return status


def wait_in(gateway: Served, count: int) -> None:
    wait_until(lambda: waiting(gateway) == count, what=f"{count} requests wait")


def run_in(engine: FakeEngine, count: int) -> None:
    wait_until(lambda: engine.stats()["running"] == count, what=f"{count} requests are under way")


def let_go(engine: FakeEngine, log: list[str]) -> None:
    """Let one answer go, and wait until its caller has it."""
    before = len(log)
    engine.release(1)
    wait_until(lambda: len(log) > before, what="the answer has arrived")


def test_an_engine_never_gets_more_than_it_has_slots_from_two_gateways(
    cast: Cast, engines: Engines, serve: Callable[..., Served], crowd: ThreadPoolExecutor
) -> None:
    engine = engines.start(slots=4, held=True)
    gateways = [serve(), serve()]
    clients = [each.client(cast.secret) for each in gateways]
    for each in clients:  # one after the other, since SQLite in memory has one table lock for all
        assert each.get("/v1/models").status_code == 200
    jobs = [crowd.submit(ask, clients[number % 2]) for number in range(60)]
    wait_until(lambda: sum(map(waiting, gateways)) == 56, what="the others wait")
    engine.release(60)
    assert {job.result() for job in jobs} == {200}
    stats = engine.stats()
    assert (stats["completed"], stats["most_present"]) == (60, 4)


def test_a_light_department_does_not_wait_behind_a_flood(
    cast: Cast, engines: Engines, serve: Callable[..., Served], crowd: ThreadPoolExecutor
) -> None:
    engine = engines.start(slots=2, held=True)
    gateway = serve()
    flooder, light = gateway.client(cast.legal_secret), gateway.client(cast.secret)
    log: list[str] = []
    jobs = [crowd.submit(ask, flooder, log, "flood") for _ in range(30)]
    wait_in(gateway, 28)
    jobs.append(crowd.submit(ask, light, log, "light"))
    wait_in(gateway, 29)
    for _ in range(3):
        let_go(engine, log)
    assert "light" in log  # only those that were under way already came first
    engine.release()
    assert {job.result() for job in jobs} == {200}
    assert engine.stats()["completed"] == 31


def test_a_light_department_in_another_process_does_not_wait_behind_a_flood_either(
    cast: Cast, engines: Engines, serve: Callable[..., Served], crowd: ThreadPoolExecutor
) -> None:
    engine = engines.start(slots=2, held=True)
    here, there = serve(), serve()
    flooder, light = here.client(cast.legal_secret), there.client(cast.secret)
    log: list[str] = []
    jobs = [crowd.submit(ask, flooder, log, "flood") for _ in range(40)]
    wait_in(here, 38)
    jobs.append(crowd.submit(ask, light, log, "light"))
    wait_in(there, 1)
    wait_until(lambda: knows_of_others(here), what="the flooded gateway has heard of it")
    let_go(engine, log)
    wait_in(there, 0)
    assert waiting(here) == 38  # the first slot that became free was the light department's
    engine.release()
    assert {job.result() for job in jobs} == {200}


def test_two_backlogged_departments_are_served_by_weight(
    cast: Cast, engines: Engines, serve: Callable[..., Served], crowd: ThreadPoolExecutor
) -> None:
    engine = engines.start(slots=2, held=True)
    department_limit(department=cast.support, weight=300, by=None)
    gateways = [serve(), serve()]
    log: list[str] = []
    jobs = []
    for gateway in gateways:
        for secret, name in ((cast.secret, "heavy"), (cast.legal_secret, "light")):
            client = gateway.client(secret)
            jobs += [crowd.submit(ask, client, log, name) for _ in range(16)]
    wait_until(lambda: sum(map(waiting, gateways)) == 62, what="all but two wait")
    for _ in range(2):  # whoever came first
        let_go(engine, log)
    for _ in range(40):
        run_in(engine, 2)
        let_go(engine, log)
    assert 0.68 <= log[2:].count("heavy") / 40 <= 0.80
    engine.release()
    assert {job.result() for job in jobs} == {200}


def test_batch_requests_let_the_others_go_first(
    cast: Cast, engines: Engines, serve: Callable[..., Served], crowd: ThreadPoolExecutor
) -> None:
    engine = engines.start(slots=1, held=True)
    gateway = serve()
    client = gateway.client(cast.secret)
    log: list[str] = []
    jobs = [crowd.submit(ask, client, log, "first")]
    run_in(engine, 1)
    jobs += [crowd.submit(ask, client, log, "batch", **BATCH) for _ in range(3)]
    wait_in(gateway, 3)
    jobs += [crowd.submit(ask, client, log, "interactive") for _ in range(3)]
    wait_in(gateway, 6)
    for _ in jobs:
        let_go(engine, log)
    assert {job.result() for job in jobs} == {200}
    assert log == ["first", *["interactive"] * 3, *["batch"] * 3]


def test_flex_is_another_word_for_batch(cast: Cast, engines: Engines, serve: Callable[..., Served]) -> None:
    engine = engines.start(kind="vllm", slots=1)
    client = serve().client(cast.secret)
    client.post(CHAT, json=question(BASE))
    interactive = engine.stats()["last_body"]["priority"]
    client.post(CHAT, json=question(BASE, service_tier="flex"))
    assert engine.stats()["last_body"]["priority"] > 10**12 > interactive


def test_a_vllm_that_takes_requests_as_they_come_is_not_told_who_is_next(
    cast: Cast, engines: Engines, serve: Callable[..., Served]
) -> None:
    engine = engines.start(kind="vllm", slots=1, takes_priority=False)
    assert serve().client(cast.secret).post(CHAT, json=question(BASE)).status_code == 200
    assert "priority" not in engine.stats()["last_body"]


def test_a_full_queue_is_refused_and_says_when_to_come_back(
    cast: Cast, engines: Engines, serve: Callable[..., Served], crowd: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(config(), "queue_length", 2)
    engine = engines.start(slots=1, held=True)
    gateway = serve()
    client = gateway.client(cast.secret)
    jobs = [crowd.submit(ask, client)]
    run_in(engine, 1)
    jobs += [crowd.submit(ask, client) for _ in range(2)]
    wait_in(gateway, 2)
    answer = client.post(CHAT, json=question(BASE))
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "queue_full")
    assert answer.headers["retry-after"] == "1"
    # The queue of another department is another queue.
    jobs.append(crowd.submit(ask, gateway.client(cast.legal_secret)))
    wait_in(gateway, 3)
    engine.release()
    assert {job.result() for job in jobs} == {200}


def test_a_burst_is_not_refused_as_long_as_the_engine_has_room(
    cast: Cast, engines: Engines, serve: Callable[..., Served], crowd: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(config(), "queue_length", 2)
    engines.start(slots=200, ttft=0.2)
    client = serve().client(cast.secret)
    jobs = [crowd.submit(ask, client) for _ in range(64)]
    assert {job.result() for job in jobs} == {200}


def test_nobody_waits_for_ever(
    cast: Cast, engines: Engines, serve: Callable[..., Served], crowd: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(config(), "queue_timeout", 0.2)
    engine = engines.start(slots=1, held=True)
    client = serve().client(cast.secret)
    job = crowd.submit(ask, client)
    run_in(engine, 1)
    answer = client.post(CHAT, json=question(BASE))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "engine_overloaded")
    assert answer.headers["retry-after"] == "1"
    engine.release()
    assert job.result() == 200


def test_who_leaves_while_waiting_is_not_asked_for(
    cast: Cast, engines: Engines, serve: Callable[..., Served], crowd: ThreadPoolExecutor
) -> None:
    engine = engines.start(slots=1, held=True)
    gateway = serve()
    client = gateway.client(cast.secret)
    job = crowd.submit(ask, client)
    run_in(engine, 1)
    with send_raw(gateway, cast.secret, orjson.dumps(question(BASE))):
        wait_in(gateway, 1)
    wait_in(gateway, 0)
    engine.release()
    assert job.result() == 200
    assert ask(client) == 200
    assert engine.stats()["requests"] == 2


def test_who_waits_for_an_engine_that_goes_gets_another_or_learns_it(
    cast: Cast, engines: Engines, serve: Callable[..., Served], crowd: ThreadPoolExecutor
) -> None:
    engine = engines.start(slots=1, held=True)
    gateway = serve()
    client = gateway.client(cast.secret)
    first = crowd.submit(ask, client)
    run_in(engine, 1)
    second = crowd.submit(ask, client)
    wait_in(gateway, 1)
    (engine_id,) = redis_client().hkeys(ENGINES_KEY)  # type: ignore[misc]  # blocking client
    engines.withdraw(engine_id.decode())
    engine.stop()
    # Long before the time is over that requests may wait for a turn.
    assert config().queue_timeout == 60
    assert first.result(timeout=45) in (502, 503)
    assert second.result(timeout=45) in (502, 503)


def test_a_request_keeps_its_slot_for_as_long_as_it_lasts(
    cast: Cast, engines: Engines, serve: Callable[..., Served], crowd: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name in ("LIFE_SECONDS", "SILENCE_SECONDS"):
        monkeypatch.setattr(slots, name, 4)
    engine = engines.start(slots=1, held=True)
    here, there = serve(), serve()
    jobs = [crowd.submit(ask, here.client(cast.secret))]
    run_in(engine, 1)
    began = time.monotonic()
    jobs.append(crowd.submit(ask, there.client(cast.secret)))
    wait_in(there, 1)
    wait_until(lambda: time.monotonic() - began > 6, what="it has lasted longer than a process may hold slots unheard")
    engine.release()
    assert {job.result() for job in jobs} == {200}
    assert engine.stats()["most_present"] == 1


def test_without_redis_the_slots_are_divided_and_turns_are_taken(
    cast: Cast, engines: Engines, serve: Callable[..., Served], crowd: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(slots, "LIFE_SECONDS", 2)
    engine = engines.start(slots=4, ttft=0.02)
    client = serve().client(cast.secret)
    assert ask(client) == 200
    redis_client().config_set("maxmemory", "1")
    try:
        jobs = [crowd.submit(ask, client) for _ in range(20)]
        assert {job.result() for job in jobs} == {200}
    finally:
        redis_client().config_set("maxmemory", "0")
    assert engine.stats()["completed"] == 21


def test_the_wait_is_on_the_account(
    cast: Cast, engines: Engines, serve: Callable[..., Served], crowd: ThreadPoolExecutor
) -> None:
    engine = engines.start(slots=1, held=True)
    gateway = serve()
    client = gateway.client(cast.secret)
    log: list[str] = []
    began: list[float] = []
    waits: list[float] = []
    goes: list[float] = []
    gone: list[float] = []
    jobs = []
    for number in range(3):
        began.append(time.monotonic())
        jobs.append(crowd.submit(ask, client, log))
        run_in(engine, 1)
        wait_in(gateway, number)
        waits.append(time.monotonic())
    for left in (2, 1, 0):
        wait_until(lambda: time.monotonic() - waits[-1] > 0.2 * (len(gone) + 1), what="it has taken some time")
        goes.append(time.monotonic())
        let_go(engine, log)
        run_in(engine, min(left, 1))
        gone.append(time.monotonic())
    assert {job.result() for job in jobs} == {200}
    records = wait_until(lambda: len(found := usage_records()) == 3 and found, what="three records")
    first, *others = sorted(record["queue_ms"] or 0 for record in records)
    assert first <= 1000 * (waits[0] - began[0])
    # A request waits from its arrival until the one before it is let go, and no longer.
    for number, measured in enumerate(others, 1):
        shortest, longest = goes[number - 1] - waits[number], gone[number - 1] - began[number]
        assert 1000 * shortest - 1 <= measured <= 1000 * longest + 1


def test_engines_that_say_nothing_of_slots_are_not_queued_for(
    cast: Cast, engines: Engines, serve: Callable[..., Served], crowd: ThreadPoolExecutor
) -> None:
    engine = engines.start(held=True)
    client = serve().client(cast.secret)
    jobs = [crowd.submit(ask, client) for _ in range(20)]
    run_in(engine, 20)
    engine.release()
    assert {job.result() for job in jobs} == {200}

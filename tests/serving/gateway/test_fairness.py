"""Turns at a full engine, as callers meet them: in order, bounded, shared by all gateway processes."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from cast import Cast
from deadline import wait_until
from fake_engine import FakeEngine
from polygraft.conf import config
from polygraft.live import redis_client
from serving.fleet.registry import ENGINES_KEY
from serving.gateway import slots
from tenants.departments import department_limit

from .served import CHAT, Engines, Served, question, usage_records

BASE = "smollm2"
BATCH = {"x-polygraft-priority": "batch"}


@pytest.fixture
def crowd() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as pool:
        yield pool


def waiting(gateway: Served) -> int:
    """How many requests wait in a gateway."""
    parts = gateway.gateway._parts
    assert parts is not None
    return sum(one.length for pool in parts.fairness._pools.values() for one in pool.queue.waiting.values())


def ask(client: httpx.Client, log: list[str] | None = None, name: str = "", **headers: Any) -> int:
    status = client.post(CHAT, json=question(BASE), headers=headers or None, timeout=30).status_code
    if log is not None:
        log.append(name)
    return status


def test_an_engine_never_gets_more_than_it_has_slots_from_two_gateways(
    cast: Cast, engines: Engines, serve: Callable[..., Served], crowd: ThreadPoolExecutor
) -> None:
    engine = engines.start(slots=4, ttft=0.02)
    clients = [serve().client(cast.secret) for _ in range(2)]
    for each in clients:  # one after the other, since SQLite in memory has one table lock for all
        assert each.get("/v1/models").status_code == 200
    jobs = [crowd.submit(ask, clients[number % 2]) for number in range(60)]
    assert {job.result() for job in jobs} == {200}
    stats = engine.stats()
    assert (stats["completed"], stats["most_present"]) == (60, 4)


def test_a_light_department_does_not_wait_behind_a_flood(
    cast: Cast, engines: Engines, serve: Callable[..., Served], crowd: ThreadPoolExecutor
) -> None:
    engine = engines.start(slots=2, ttft=0.05)
    gateway = serve()
    flooder, light = gateway.client(cast.legal_secret), gateway.client(cast.secret)
    log: list[str] = []
    jobs = [crowd.submit(ask, flooder, log, "flood") for _ in range(30)]
    wait_until(lambda: waiting(gateway) > 20, seconds=5, what="a queue")
    before = len(log)
    assert ask(light, log, "light") == 200
    # Those under way come first, and as many as end while the request is on its way here.
    assert log.index("light") - before <= 10
    assert {job.result() for job in jobs} == {200}
    assert engine.stats()["completed"] == 31


def test_a_light_department_in_another_process_does_not_wait_behind_a_flood_either(
    cast: Cast, engines: Engines, serve: Callable[..., Served], crowd: ThreadPoolExecutor
) -> None:
    engines.start(slots=2, ttft=0.05)
    here, there = serve(), serve()
    flooder, light = here.client(cast.legal_secret), there.client(cast.secret)
    log: list[str] = []
    jobs = [crowd.submit(ask, flooder, log, "flood") for _ in range(40)]
    wait_until(lambda: waiting(here) > 30, seconds=5, what="a queue")
    before = len(log)
    assert ask(light, log, "light") == 200
    # Behind the flood it would be the last of 41; gateways hear of each other within some milliseconds.
    assert log.index("light") - before <= 15
    assert {job.result() for job in jobs} == {200}


def test_two_backlogged_departments_are_served_by_weight(
    cast: Cast, engines: Engines, serve: Callable[..., Served], crowd: ThreadPoolExecutor
) -> None:
    engines.start(slots=2, ttft=0.01)
    department_limit(department=cast.support, weight=300, by=None)
    gateways = [serve(), serve()]
    log: list[str] = []
    jobs = []
    for gateway in gateways:
        for secret, name in ((cast.secret, "heavy"), (cast.legal_secret, "light")):
            client = gateway.client(secret)
            jobs += [crowd.submit(lambda c=client, n=name: [ask(c, log, n) for _ in range(8)]) for _ in range(12)]
    for job in jobs:
        assert set(job.result()) == {200}
    heavy = log[:200].count("heavy")
    assert 0.68 <= heavy / 200 <= 0.80


def test_batch_requests_let_the_others_go_first(
    cast: Cast, engines: Engines, serve: Callable[..., Served], crowd: ThreadPoolExecutor
) -> None:
    engines.start(slots=1, ttft=0.05)
    gateway = serve()
    client = gateway.client(cast.secret)
    log: list[str] = []
    jobs = [crowd.submit(ask, client, log, "first")]
    wait_until(lambda: gateway.gateway._parts is not None, seconds=5, what="the gateway works")
    jobs += [crowd.submit(ask, client, log, "batch", **BATCH) for _ in range(3)]
    wait_until(lambda: waiting(gateway) >= 3, seconds=5, what="a queue")
    jobs += [crowd.submit(ask, client, log, "interactive") for _ in range(3)]
    for job in jobs:
        job.result()
    assert log.index("interactive") < log.index("batch") or log[1:4].count("interactive") >= 2
    assert log[-2:] == ["batch", "batch"]


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
    engine = engines.start(slots=1, ttft=0.5)
    gateway = serve()
    client = gateway.client(cast.secret)
    jobs = [crowd.submit(ask, client)]
    wait_until(lambda: engine.stats()["running"] == 1, seconds=5, what="the engine is full")
    jobs += [crowd.submit(ask, client) for _ in range(2)]
    wait_until(lambda: waiting(gateway) == 2, seconds=5, what="a queue")
    answer = client.post(CHAT, json=question(BASE))
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "queue_full")
    assert answer.headers["retry-after"] == "1"
    # The queue of another department is another queue.
    assert ask(gateway.client(cast.legal_secret)) == 200
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
    engine = engines.start(slots=1, ttft=1)
    client = serve().client(cast.secret)
    job = crowd.submit(ask, client)
    wait_until(lambda: engine.stats()["running"] == 1, seconds=5, what="the engine is full")
    answer = client.post(CHAT, json=question(BASE))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "engine_overloaded")
    assert answer.headers["retry-after"] == "1"
    assert job.result() == 200


def test_who_leaves_while_waiting_is_not_asked_for(
    cast: Cast, engines: Engines, serve: Callable[..., Served], crowd: ThreadPoolExecutor
) -> None:
    engine = engines.start(slots=1, ttft=0.6)
    gateway = serve()
    job = crowd.submit(ask, gateway.client(cast.secret))
    wait_until(lambda: engine.stats()["running"] == 1, seconds=5, what="the engine is full")
    with pytest.raises(httpx.ReadTimeout):
        gateway.client(cast.secret).post(CHAT, json=question(BASE), timeout=0.2)
    wait_until(lambda: waiting(gateway) == 0, seconds=2, what="nobody waits")
    assert job.result() == 200
    assert ask(gateway.client(cast.secret)) == 200
    assert engine.stats()["requests"] == 2


def test_who_waits_for_an_engine_that_goes_gets_another_or_learns_it(
    cast: Cast, engines: Engines, serve: Callable[..., Served], crowd: ThreadPoolExecutor
) -> None:
    engine = engines.start(slots=1, ttft=5)
    gateway = serve()
    client = gateway.client(cast.secret)
    first = crowd.submit(ask, client)
    wait_until(lambda: engine.stats()["running"] == 1, seconds=5, what="the engine is full")
    second = crowd.submit(ask, client)
    wait_until(lambda: waiting(gateway) == 1, seconds=5, what="a queue")
    (engine_id,) = redis_client().hkeys(ENGINES_KEY)  # type: ignore[misc]  # blocking client
    engines.withdraw(engine_id.decode())
    engine.stop()
    began = time.monotonic()
    assert first.result() in (502, 503)
    assert second.result() in (502, 503)
    assert time.monotonic() - began < 3


def test_a_request_keeps_its_slot_for_as_long_as_it_lasts(
    cast: Cast, engines: Engines, serve: Callable[..., Served], crowd: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(slots, "LIFE_SECONDS", 0.6)
    engine = engines.start(slots=1, ttft=1.5)
    here, there = serve().client(cast.secret), serve().client(cast.secret)
    assert ask(here) == 200
    jobs = [crowd.submit(ask, here)]
    wait_until(lambda: engine.stats()["running"] == 1, seconds=5, what="the engine is full")
    jobs.append(crowd.submit(ask, there))
    assert {job.result() for job in jobs} == {200}
    assert engine.stats()["most_present"] == 1


def test_without_redis_the_slots_are_divided_and_turns_are_taken(
    cast: Cast, engines: Engines, serve: Callable[..., Served], crowd: ThreadPoolExecutor
) -> None:
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
    engines.start(slots=1, ttft=0.2)
    client = serve().client(cast.secret)
    jobs = [crowd.submit(ask, client) for _ in range(3)]
    assert {job.result() for job in jobs} == {200}
    records = wait_until(lambda: len(found := usage_records()) == 3 and found, seconds=5, what="three records")
    first, second, third = sorted(record["queue_ms"] or 0 for record in records)
    assert first < 150 < second < 390 < third < 800


def test_engines_that_say_nothing_of_slots_are_not_queued_for(
    cast: Cast, engines: Engines, serve: Callable[..., Served], crowd: ThreadPoolExecutor
) -> None:
    engine: FakeEngine = engines.start(ttft=0.3)
    client = serve().client(cast.secret)
    jobs = [crowd.submit(ask, client) for _ in range(20)]
    wait_until(lambda: engine.stats()["running"] == 20, seconds=5, what="all are under way")
    assert {job.result() for job in jobs} == {200}

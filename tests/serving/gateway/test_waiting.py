"""Requests that wait for what is on its way, and fall back by their department's policy."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from cast import Cast
from deadline import wait_until
from fake_engine import Fault
from polygraft.conf import config
from polygraft.live import CHANNEL, Change, announce, redis_client
from serving.fleet.registry import asked_key, engine_publish, living_engines
from serving.fleet.wake import asleep_publish, wanted_take
from serving.models import Deployment
from tenants.departments import department_fall_back
from tenants.models import Fallback

from .served import ADAPTER_NAMES, CHAT, Engines, Served, one_usage_record, question

Serve = Callable[..., Served]


@pytest.fixture
def soon() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Does something a moment from now, on a thread."""
    threads = []

    def later(work: Callable[[], object]) -> None:
        thread = threading.Timer(0.2, work)
        thread.start()
        threads.append(thread)

    yield later
    for thread in threads:
        thread.join()


def test_a_request_has_its_adapter_loaded_and_waits_for_it(
    cast: Cast, engines: Engines, serve: Serve, soon: Callable[[Callable[[], object]], None]
) -> None:
    engine = engines.start(resident=[], residency="on_demand")
    engine_id = living_engines(redis_client())[0].id
    client = serve().client(cast.secret)

    def load() -> None:
        wait_until(lambda: redis_client().zscore(asked_key(engine_id), ADAPTER_NAMES[0]), what="it is asked")
        engines.publish(
            engine.address, kind="llamacpp", state="ready", resident=ADAPTER_NAMES[:1], residency="on_demand",
            id=engine_id,
        )  # fmt: skip

    soon(load)
    answer = client.post(CHAT, json=question())
    assert answer.status_code == 200
    assert "x-polygraft-fallback" not in answer.headers


def test_an_adapter_that_does_not_come_in_time_is_not_ready(
    cast: Cast, engines: Engines, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config(), "engine_wait_timeout", 0.3)
    engines.start(resident=[], residency="on_demand")
    began = time.monotonic()
    answer = serve().client(cast.secret).post(CHAT, json=question())
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_not_ready")
    assert answer.headers["retry-after"] == "2"
    assert time.monotonic() - began >= 0.3


def test_an_adapter_that_has_just_been_displaced_is_had_back(
    cast: Cast,
    engines: Engines,
    serve: Serve,
    soon: Callable[[Callable[[], object]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("serving.gateway.engines.fleet.POLL_SECONDS", 60)
    full = engines.start(Fault.NOT_FOUND, residency="on_demand")
    entry = living_engines(redis_client())[0]
    sound = engines.start(state="starting")
    served = serve()
    wait_until(lambda: redis_client().pubsub_numsub(CHANNEL)[0][1] >= 1, what="announcements arrive")
    engine_publish(redis_client(), replace(entry, resident=frozenset()))
    announce(Change.ENGINES)
    assert served.gateway._parts is not None
    fleet = served.gateway._parts.fleet
    wait_until(lambda: fleet.holders(entry.base_model_id, ADAPTER_NAMES[0]) == [], what="it is heard of")
    fleet._holders[entry.base_model_id, ADAPTER_NAMES[0]] = [entry]  # as it would be a moment before
    client = served.client(cast.secret)

    def move() -> None:
        key = asked_key(entry.id)
        wait_until(lambda: redis_client().zscore(key, ADAPTER_NAMES[0]), what="it is asked for again")
        engines.publish(sound.address, kind="llamacpp", state="ready", resident=ADAPTER_NAMES)

    soon(move)
    answer = client.post(CHAT, json=question())
    assert answer.status_code == 200
    assert answer.headers["x-polygraft-fallback"] == "not_loaded"
    assert full.stats()["requests"] == 1


def test_a_request_wakes_engines_that_sleep_and_waits_for_them(
    cast: Cast, engines: Engines, serve: Serve, soon: Callable[[Callable[[], object]], None]
) -> None:
    asleep_publish(redis_client(), {cast.base_model.pk: 5})
    client = serve().client(cast.secret)

    def rise() -> None:
        wait_until(lambda: wanted_take(redis_client()) == {cast.base_model.pk}, what="it is wanted")
        asleep_publish(redis_client(), {})
        announce(Change.ENGINES)  # the gateway looks, and finds it awake but not ready yet
        engines.start()

    soon(rise)
    assert client.post(CHAT, json=question("smollm2")).status_code == 200


def test_engines_that_take_longer_to_wake_than_a_request_waits_are_woken_and_the_caller_is_told_when(
    cast: Cast, serve: Serve
) -> None:
    asleep_publish(redis_client(), {cast.base_model.pk: 240})
    answer = serve().client(cast.secret).post(CHAT, json=question())
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_engine")
    assert answer.headers["retry-after"] == "240"
    assert wanted_take(redis_client()) == {cast.base_model.pk}


@pytest.mark.parametrize(
    ("policy", "status"), [(Fallback.ALWAYS, 200), (Fallback.LIGHTWEIGHT_ONLY, 503), (Fallback.NEVER, 503)]
)
def test_the_departments_policy_says_whether_another_kind_may_answer(
    cast: Cast, engines: Engines, serve: Serve, policy: Fallback, status: int
) -> None:
    # Support is at home on llama.cpp, which is down.
    Deployment.objects.create(base_model=cast.base_model, engine_kind="vllm", replicas=1)
    department_fall_back(department=cast.support, fallback=policy, by=None)
    engines.start(kind="vllm")
    answer = serve().client(cast.secret).post(CHAT, json=question())
    assert answer.status_code == status
    record = one_usage_record()
    if status == 200:
        assert answer.headers["x-polygraft-fallback"] == record["fallback"] == "no_engine"
    else:
        assert "fallback policy" in answer.json()["error"]["message"]
        assert "x-polygraft-fallback" not in answer.headers


def test_while_the_fallback_answers_the_adapter_is_loaded_at_home(cast: Cast, engines: Engines, serve: Serve) -> None:
    engines.start(kind="llamacpp", resident=[], residency="on_demand")
    home = living_engines(redis_client())[0]
    engines.start(kind="vllm")
    answer = serve().client(cast.secret).post(CHAT, json=question())
    assert answer.headers["x-polygraft-engine"] == "vllm"
    assert answer.headers["x-polygraft-fallback"] == "not_loaded"
    assert redis_client().zscore(asked_key(home.id), ADAPTER_NAMES[0])

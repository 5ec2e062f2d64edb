"""Deployments that grow, shrink, sleep and wake, from the registry and the records of use."""

import asyncio
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from cast import Cast
from clock import Clock
from polygraft.live import async_redis_client, redis_client
from published_engine import publish_engine
from serving.fleet import autoscaling
from serving.fleet.autoscaling import SCALING_KEY, deployment_wake, replicas_decide, sleepers_announce
from serving.fleet.registry import ENGINES_KEY
from serving.fleet.wake import ASLEEP_KEY, WANTED_KEY, wake
from serving.models import Engine, EngineState, Node, PlatformEvent, UsageRecord


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    redis_client().delete(SCALING_KEY, ENGINES_KEY, ASLEEP_KEY, WANTED_KEY)
    yield
    redis_client().delete(SCALING_KEY, ENGINES_KEY, ASLEEP_KEY, WANTED_KEY)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(autoscaling, "time", clock)
    return clock


def wish(cast: Cast, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(cast.deployment, name, value)
    cast.deployment.save(update_fields=list(fields))


def ready_engine(cast: Cast, **load: Any) -> Engine:
    engine = Engine.objects.create(
        deployment=cast.deployment,
        node=Node.objects.get(name="node-1"),
        state=EngineState.READY,
        ready_at=timezone.now() + timedelta(seconds=40),
    )
    publish_engine(cast, id=str(engine.pk), kind=cast.deployment.engine_kind, **load)
    return engine


def look(cast: Cast, clock: Clock, *, seconds: float = 0) -> int:
    """Decide once more, so many seconds later; returns the wished replicas."""
    clock.now += seconds
    replicas_decide(redis_client())
    cast.deployment.refresh_from_db()
    return cast.deployment.replicas


def answered(cast: Cast, clock: Clock, *, kind: str = "llamacpp") -> None:
    record = UsageRecord.objects.create(
        request_id=uuid.uuid4().hex,
        at=timezone.now(),
        department=cast.support,
        base_model=cast.base_model,
        engine_kind=kind,
        outcome="finished",
        status=200,
        duration_ms=1,
    )
    UsageRecord.objects.filter(pk=record.pk).update(
        at=timezone.now() + timedelta(seconds=clock.now - timezone.now().timestamp())
    )


def last_event() -> str:
    return PlatformEvent.objects.order_by("-id").values_list("sentence", flat=True)[0]


def test_a_queue_brings_another_engine_and_an_event_says_why(cast: Cast, clock: Clock) -> None:
    wish(cast, max_replicas=3)
    ready_engine(cast, running=8, waiting=5, kv_usage=0.9)
    assert look(cast, clock) == 1
    assert look(cast, clock, seconds=20) == 2
    assert last_event() == (
        "smollm2 on llama.cpp goes from 1 to 2 replicas: 5 requests wait and 90% of the KV cache is in use."
    )
    # The second engine is not there yet.
    assert look(cast, clock, seconds=60) == 2


def test_a_deployment_of_fixed_size_is_left_alone(cast: Cast, clock: Clock) -> None:
    ready_engine(cast, running=8, waiting=50, kv_usage=1.0)
    assert look(cast, clock) == look(cast, clock, seconds=60) == 1
    assert not PlatformEvent.objects.exists()


def test_an_idle_deployment_sleeps_and_requests_keep_it_awake(cast: Cast, clock: Clock) -> None:
    wish(cast, idle_minutes=10)
    ready_engine(cast)
    assert look(cast, clock) == 1
    clock.now += 599
    answered(cast, clock)
    assert look(cast, clock, seconds=10) == 1
    # Requests that the other kind of engine answered do not count.
    answered(cast, clock, kind="vllm")
    assert look(cast, clock, seconds=580) == 1
    assert look(cast, clock, seconds=20) == 0
    assert cast.deployment.asleep_since is not None
    assert last_event() == "smollm2 on llama.cpp goes to sleep: no request came for 10 minutes."


async def _ask(base_model_id: int) -> int | None:
    client = async_redis_client()
    try:
        return await wake(client, base_model_id)
    finally:
        await client.aclose()


def test_who_asks_for_a_sleeping_deployment_wakes_it_and_learns_how_long_it_takes(cast: Cast, clock: Clock) -> None:
    wish(cast, idle_minutes=10, min_replicas=2, replicas=0, asleep_since=timezone.now())
    engine = ready_engine(cast)
    Engine.objects.filter(pk=engine.pk).update(state=EngineState.STOPPED)
    sleepers_announce(redis_client())
    assert look(cast, clock) == 0
    assert asyncio.run(_ask(cast.base_model.pk)) == pytest.approx(40, abs=1)
    assert look(cast, clock) == 2
    assert cast.deployment.asleep_since is None
    assert last_event() == "smollm2 on llama.cpp wakes: somebody asks for its base model."
    # It is awake, but nothing is ready yet: those who ask still learn that waiting helps.
    sleepers_announce(redis_client())
    assert asyncio.run(_ask(cast.base_model.pk)) is not None
    ready_engine(cast)
    sleepers_announce(redis_client())
    assert asyncio.run(_ask(cast.base_model.pk)) is None


def test_who_has_just_woken_does_not_fall_asleep_for_the_idleness_before(cast: Cast, clock: Clock) -> None:
    wish(cast, idle_minutes=10)
    ready_engine(cast)
    look(cast, clock)
    assert look(cast, clock, seconds=601) == 0
    clock.now += 3600
    deployment_wake(cast.deployment, "somebody asks for its base model")
    assert look(cast, clock) == 1
    assert look(cast, clock, seconds=590) == 1


def test_asking_for_what_is_awake_changes_nothing(cast: Cast, clock: Clock) -> None:
    wish(cast, idle_minutes=10)
    redis_client().sadd(WANTED_KEY, cast.base_model.pk)
    assert look(cast, clock) == 1
    assert redis_client().exists(WANTED_KEY) == 0


def test_what_redis_forgot_is_counted_from_now(cast: Cast, clock: Clock) -> None:
    wish(cast, idle_minutes=10)
    ready_engine(cast)
    look(cast, clock)
    redis_client().delete(SCALING_KEY)
    assert look(cast, clock, seconds=601) == 1

"""Adapters and departments that move between llama.cpp and vLLM by their traffic."""

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from cast import Cast
from clock import Clock
from polygraft.live import redis_client
from published_engine import publish_engine
from serving.engines.kinds import EngineKind
from serving.fleet.registry import ENGINES_KEY
from serving.models import Adapter, Deployment, PlatformEvent, UsageRecord
from serving.placement import promotions
from serving.placement.placements import adapter_place
from serving.placement.promotions import PROMOTION_KEY, promotions_decide
from serving.placement.tiers import Tier
from tenants.models import Department


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    redis_client().delete(PROMOTION_KEY, ENGINES_KEY)
    yield
    redis_client().delete(PROMOTION_KEY, ENGINES_KEY)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(promotions, "time", clock)
    return clock


def traffic(
    cast: Cast, *, tokens: int, seconds: float = 1.0, of_adapter: bool = True, outcome: str = "finished"
) -> None:
    UsageRecord.objects.create(
        request_id=uuid.uuid4().hex,
        at=timezone.now(),
        department=cast.support,
        base_model=cast.base_model,
        adapter_version=cast.adapter.versions.get(number=1) if of_adapter else None,
        engine_kind="llamacpp",
        outcome=outcome,
        status=200,
        prompt_tokens=tokens // 2,
        completion_tokens=tokens - tokens // 2,
        duration_ms=1000 * seconds,
    )


def vllm(cast: Cast, **load: Any) -> None:
    publish_engine(cast, id=uuid.uuid4().hex, kind="vllm", **load)


def sentences() -> list[str]:
    return list(PlatformEvent.objects.order_by("id").values_list("sentence", flat=True))


def test_busy_adapters_move_to_vllm_and_an_event_says_why(cast: Cast, clock: Clock) -> None:
    vllm(cast)
    traffic(cast, tokens=40_000)
    promotions_decide()
    adapter = Adapter.objects.get(pk=cast.adapter.pk)
    assert adapter.tier is Tier.STANDARD
    assert sentences() == ["support/support-bot moves to vLLM: 8000 tokens a minute over five minutes."]
    promotions_decide()
    assert len(sentences()) == 1


def test_concurrency_is_the_time_that_requests_took_together(cast: Cast, clock: Clock) -> None:
    vllm(cast)
    for _ in range(10):
        traffic(cast, tokens=10, seconds=61)
    promotions_decide()
    assert sentences() == ["support/support-bot moves to vLLM: 2.0 requests at once over five minutes."]


def test_refused_requests_are_no_traffic(cast: Cast, clock: Clock) -> None:
    vllm(cast)
    traffic(cast, tokens=100_000, outcome="refused")
    promotions_decide()
    assert sentences() == []


def test_without_a_vllm_engine_with_room_it_waits(cast: Cast, clock: Clock) -> None:
    traffic(cast, tokens=40_000)
    promotions_decide()
    vllm(cast, kv_usage=0.9)
    vllm(cast, waiting=1)
    promotions_decide()
    assert Adapter.objects.get(pk=cast.adapter.pk).tier is Tier.LIGHTWEIGHT
    assert sentences() == [
        "support/support-bot would move to vLLM, which has no room: 8000 tokens a minute over five minutes."
    ]


def test_a_sleeping_vllm_deployment_is_woken_by_who_moves_to_it(cast: Cast, clock: Clock) -> None:
    deployment = Deployment.objects.create(
        base_model=cast.base_model,
        engine_kind=EngineKind.VLLM,
        replicas=0,
        idle_minutes=30,
        asleep_since=timezone.now(),
    )
    traffic(cast, tokens=40_000)
    promotions_decide()
    deployment.refresh_from_db()
    assert (deployment.replicas, deployment.asleep_since) == (1, None)
    assert sentences()[-1] == "smollm2 on vLLM wakes: support/support-bot moves to vLLM."


def test_calls_to_base_models_move_their_department(cast: Cast, clock: Clock) -> None:
    vllm(cast)
    traffic(cast, tokens=40_000, of_adapter=False)
    promotions_decide()
    assert Department.objects.get(pk=cast.support.pk).promoted_at is not None
    assert Adapter.objects.get(pk=cast.adapter.pk).tier is Tier.LIGHTWEIGHT
    assert sentences() == ["support's traffic to base models moves to vLLM: 8000 tokens a minute over five minutes."]


def test_quiet_hours_bring_it_back(cast: Cast, clock: Clock) -> None:
    vllm(cast)
    Adapter.objects.filter(pk=cast.adapter.pk).update(promoted_at=timezone.now() - timedelta(hours=3))
    for _ in range(24):
        promotions_decide()
        assert Adapter.objects.get(pk=cast.adapter.pk).tier is Tier.STANDARD
        clock.now += 300
    promotions_decide()
    assert Adapter.objects.get(pk=cast.adapter.pk).tier is Tier.LIGHTWEIGHT
    assert sentences() == ["support/support-bot moves back to llama.cpp: it has been quiet for 2.0 hours."]


def test_only_who_is_placed_automatically_moves(cast: Cast, clock: Clock) -> None:
    vllm(cast)
    traffic(cast, tokens=40_000)
    adapter_place(adapter=cast.adapter, placement="lightweight", by=None)
    promotions_decide()
    assert sentences() == []


def test_the_number_of_queries_does_not_grow_with_idle_adapters(
    cast: Cast, clock: Clock, django_assert_max_num_queries
) -> None:
    Adapter.objects.bulk_create(
        Adapter(department=cast.support, name=f"a{number}", base_model=cast.base_model) for number in range(500)
    )
    vllm(cast)
    traffic(cast, tokens=100)
    with django_assert_max_num_queries(4):
        promotions_decide()

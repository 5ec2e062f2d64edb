"""What Redis is told of limits when it has lost its memory."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from cast import Cast
from polygraft.live import redis_client
from serving.accounting.counters import used_of
from serving.accounting.limit_memory import limits_remember
from serving.models import UsageRecord
from tenants.departments import department_limit, platform_limit
from tenants.keys import key_limit
from tenants.limits import levels_of


@pytest.fixture(autouse=True)
def _empty_redis() -> Iterator[None]:
    redis_client().flushall()
    yield
    redis_client().flushall()


def record(cast: Cast, at: datetime, *, model: str = "support-bot:1", tokens: int = 10) -> None:
    UsageRecord.objects.create(
        request_id=uuid.uuid4().hex,
        at=at,
        department=cast.support,
        key=cast.key,
        model=model,
        base_model=cast.base_model,
        outcome="finished",
        status=200,
        prompt_tokens=tokens,
        completion_tokens=tokens,
        cost=Decimal("2"),
        duration_ms=1,
    )


def used(key: str, limits: dict[str, object]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for level in levels_of(key, "", limits):
        for kind, amount in used_of(redis_client(), level, window_seconds=60).items():
            found[f"{level.model} {kind}".strip()] = amount
    return found


def test_an_empty_redis_is_told_what_was_used_this_day_and_this_month(cast: Cast) -> None:
    limits: dict[str, object] = {
        "tokens_per_day": 1000,
        "money_per_month": "5",
        "requests_per_minute": 9,
        "models": {"support-bot": {"tokens_per_month": 1000}},
    }
    department_limit(department=cast.support, limits=limits, by=None)
    key_limit(key=cast.key, limits={"tokens_per_month": 1000}, by=None)
    platform_limit(limits={"tokens_per_day": 1000}, by=None)
    now = datetime.now(UTC)
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    record(cast, now)
    record(cast, now, model="smollm2")
    record(cast, month - timedelta(seconds=1))
    assert limits_remember() == 5
    assert used(f"department:{cast.support.pk}", limits) == {
        "tokens_per_day": 40,
        "money_per_month": 4,
        "requests_per_minute": 0,
        "support-bot tokens_per_month": 20,
    }
    assert used(f"key:{cast.key.pk}", {"tokens_per_month": 1000}) == {"tokens_per_month": 40}
    assert used("platform", {"tokens_per_day": 1000}) == {"tokens_per_day": 40}


def test_a_redis_that_remembers_is_left_alone_and_never_told_less(cast: Cast) -> None:
    limits: dict[str, object] = {"tokens_per_day": 1000}
    department_limit(department=cast.support, limits=limits, by=None)
    assert limits_remember() == 1
    record(cast, datetime.now(UTC))
    assert limits_remember() == 0
    assert used(f"department:{cast.support.pk}", limits) == {"tokens_per_day": 0}
    redis_client().flushall()
    assert limits_remember() == 1
    assert used(f"department:{cast.support.pk}", limits) == {"tokens_per_day": 20}

"""How versions do, side by side, summed up from usage records as they are stored."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cast import Cast
from serving.accounting.usage import _create
from serving.accounting.version_minutes import minutes_forget
from serving.feedback import feedback_give
from serving.models import AdapterVersion, UsageRecord, VersionMinute, VersionState
from serving.rollouts import rollout_set
from serving.rollouts.numbers import VersionNumbers, version_numbers

pytestmark = pytest.mark.django_db


def record(cast: Cast, request_id: str, *, version: int = 1, at: datetime | None = None, **fields: Any) -> UsageRecord:
    usual: dict[str, Any] = {
        "endpoint": "/v1/chat/completions",
        "outcome": "finished",
        "status": 200,
        "streamed": True,
        "first_token_ms": 100.0,
        "duration_ms": 1100.0,
        "completion_tokens": 50,
    }
    return UsageRecord(
        request_id=request_id,
        at=at or timezone.now(),
        department=cast.support,
        model=f"support-bot:{version}",
        base_model=cast.base_model,
        adapter_version=cast.adapter.versions.get(number=version),
        **{**usual, **fields},
    )


def numbers(cast: Cast, window: str = "5m") -> dict[int, VersionNumbers]:
    cast.adapter.refresh_from_db()
    return {row.version: row for row in version_numbers(cast.adapter, window)}


def test_versions_stand_side_by_side(cast: Cast) -> None:
    rollout_set(adapter=cast.adapter, weights={1: 90, 2: 10}, by=None)
    _create([record(cast, f"a-{n}", first_token_ms=100.0 if n < 18 else 1000.0) for n in range(20)])
    _create(
        [
            record(cast, "b-1", version=2),
            record(cast, "b-2", version=2, outcome="failed", status=502, first_token_ms=None, completion_tokens=0),
            record(cast, "b-3", version=2, outcome="lost", status=0, first_token_ms=None, completion_tokens=0),
            record(cast, "b-4", version=2, outcome="aborted"),
            record(cast, "b-5", version=2, outcome="refused", status=429, first_token_ms=None),
            record(cast, "b-6", version=2, streamed=False, first_token_ms=None, duration_ms=400.0),
        ]
    )
    feedback_give(department_id=cast.support.pk, request_id="b-1", rating=1, comment="", key_id=None, user_id=None)
    feedback_give(department_id=cast.support.pk, request_id="b-6", rating=-1, comment="", key_id=None, user_id=None)
    found = numbers(cast)
    assert list(found) == [2, 1]
    stable, canary = found[1], found[2]
    assert (stable.share, stable.requests, stable.errors, stable.error_rate) == (90, 20, 0, 0.0)
    assert stable.first_token_p50_ms == pytest.approx(100, rel=0.03)
    assert stable.first_token_p95_ms == pytest.approx(1000, rel=0.03)
    # 18 took a second for 50 tokens, two a tenth.
    assert stable.tokens_per_second == pytest.approx(1000 / 18.2, rel=0.01)
    assert (canary.share, canary.requests, canary.errors, canary.error_rate) == (10, 5, 2, 40.0)
    assert canary.whole_answer_p50_ms == pytest.approx(400, rel=0.03)
    assert (canary.up, canary.down) == (1, 1)


def test_a_window_shows_what_lies_within_it(cast: Cast) -> None:
    now = timezone.now()
    for request_id, ago in (("a", timedelta(0)), ("b", timedelta(minutes=30)), ("c", timedelta(hours=20))):
        _create([record(cast, request_id, at=now - ago)])
    _create([record(cast, "d", at=now - timedelta(days=2))])
    assert [numbers(cast, window)[1].requests for window in ("5m", "1h", "24h")] == [1, 2, 3]


def test_a_record_that_arrives_twice_counts_once(cast: Cast) -> None:
    _create([record(cast, "a"), record(cast, "a")])
    _create([record(cast, "a"), record(cast, "b")])
    assert numbers(cast)[1].requests == 2


def test_a_version_that_is_only_pinned_shows_while_it_is_asked_for(cast: Cast) -> None:
    assert list(numbers(cast)) == [1]
    _create([record(cast, "a", version=2)])
    assert numbers(cast)[2].share == 0


def test_a_day_of_heavy_traffic_is_read_from_few_rows_by_an_index(cast: Cast) -> None:
    version = cast.adapter.versions.get(number=1)
    now = timezone.now().replace(second=0, microsecond=0)
    VersionMinute.objects.bulk_create(
        VersionMinute(
            adapter_version=version,
            minute=now - timedelta(minutes=n),
            requests=1800,
            first_token={str(step): 18 for step in range(80, 180)},
        )
        for n in range(1440)
    )
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert numbers(cast, "24h")[1].requests == 1440 * 1800
    assert len(queries) <= 6
    if connection.vendor == "sqlite":  # elsewhere a table so small is read whole
        plan = VersionMinute.objects.filter(adapter_version__in=[version.pk], minute__gte=now).order_by().explain()
        assert "SEARCH" in plan
        assert "INDEX" in plan


def test_old_sums_are_forgotten(cast: Cast) -> None:
    _create([record(cast, "a", at=timezone.now() - timedelta(days=9)), record(cast, "b")])
    minutes_forget()
    assert VersionMinute.objects.count() == 1


def test_an_adapter_without_traffic_shows_its_rollout(cast: Cast) -> None:
    AdapterVersion.objects.create(adapter=cast.adapter, number=3, state=VersionState.READY, digest="3" * 64)
    assert [(row.version, row.requests, row.error_rate) for row in numbers(cast).values()] == [(1, 0, None)]

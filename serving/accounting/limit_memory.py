"""Puts what was used this day and this month back into Redis when it has lost its memory, from the usage records."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import structlog
from django.db.models import F, Q, QuerySet, Sum

from polygraft.live import redis_client
from serving.accounting.counters import MICROS, PERIOD_KEPT_MS, PERIODS, counter_key, period_bounds
from serving.models import UsageRecord
from tenants.limits import Level, levels_of
from tenants.models import APIKey, Department, Platform

MARK = "polygraft:limits:remembered"
# Never downwards: gateways have counted what no record tells yet.
_RAISE = """
if tonumber(redis.call('HGET', KEYS[1], 'settled') or '0') < tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'settled', ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
"""

log = structlog.get_logger(__name__)


def limits_remember() -> int:
    """Restore the counters of days and months, if Redis has come up empty since the last time.

    Returns:
        How many counters were restored.
    """
    client = redis_client()
    if not client.set(MARK, "1", nx=True):
        return 0
    restored = 0
    try:
        for level, records in _levels():
            for kind, _ in level.limits:
                if period := PERIODS[kind]:
                    name, _ = period_bounds(period, datetime.now(UTC))
                    begin = datetime.fromisoformat(name).replace(tzinfo=UTC)
                    used = _used(kind, records.filter(at__gte=begin))
                    key = f"{counter_key(level.key, kind)}:{name}"
                    client.eval(_RAISE, 1, key, str(used), str(PERIOD_KEPT_MS[period]))
                    restored += 1
    except BaseException:
        client.delete(MARK)
        raise
    if restored:
        log.info("limits.remembered", counters=restored)
    return restored


def _levels() -> Iterator[tuple[Level, QuerySet[UsageRecord]]]:
    for level in levels_of("platform", "platform", Platform.load().limits):
        yield level, UsageRecord.objects.all()
    for department in Department.objects.exclude(limits={}):
        records = UsageRecord.objects.filter(department=department)
        for level in levels_of(f"department:{department.pk}", "department", department.limits):
            yield level, _of_model(records, level.model)
    for key in APIKey.objects.exclude(limits={}):
        for level in levels_of(f"key:{key.pk}", "API key", key.limits):
            yield level, _of_model(UsageRecord.objects.filter(key=key), level.model)


def _of_model(records: QuerySet[UsageRecord], model: str) -> QuerySet[UsageRecord]:
    return records.filter(Q(model=model) | Q(model__startswith=f"{model}:")) if model else records


def _used(kind: str, records: QuerySet[UsageRecord]) -> Decimal:
    sums = records.order_by().aggregate(cost=Sum("cost"), tokens=Sum(F("prompt_tokens") + F("completion_tokens")))
    return MICROS * (sums["cost"] or Decimal(0)) if kind == "money_per_month" else Decimal(sums["tokens"] or 0)

"""Where Redis counts what limits limit, and how much of each is used now."""

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import redis

from tenants.limits import Level

# Kind of limit → the period that it counts over, "" for a sliding minute or for what is under way.
PERIODS = {
    "requests_per_minute": "",
    "tokens_per_minute": "",
    "concurrent_requests": "",
    "tokens_per_day": "day",
    "tokens_per_month": "month",
    "money_per_month": "month",
}
# Kind of limit → how people read it, after the number.
WORDS = {
    "requests_per_minute": "requests per minute",
    "tokens_per_minute": "tokens per minute",
    "concurrent_requests": "requests at once",
    "tokens_per_day": "tokens per day",
    "tokens_per_month": "tokens per month",
    "money_per_month": "per month",
}
# Periods are kept for a day beyond their end, so that late settlements find them.
PERIOD_KEPT_MS = {"day": 2 * 86_400_000, "month": 33 * 86_400_000}
MICROS = 1_000_000
_PREFIX = "polygraft:limits"


def counter_key(level: str, kind: str) -> str:
    """The key of a counter's book; with a period, the period's name follows."""
    return f"{_PREFIX}:{level}:{kind}"


def period_bounds(period: str, moment: datetime) -> tuple[str, datetime]:
    """The name of the period around a moment, and when it ends; in UTC."""
    begin = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "month":
        begin = begin.replace(day=1)
        end = (begin + timedelta(days=32)).replace(day=1)
    else:
        end = begin + timedelta(days=1)
    return f"{begin:%Y-%m-%d}", end


def used_of(client: redis.Redis, level: Level, *, window_seconds: float) -> dict[str, Decimal]:
    """How much of each of a level's limits is used now, requests under way included; money in the currency."""
    pipeline = client.pipeline(transaction=False)
    kinds = [kind for kind, _ in level.limits]
    for kind in kinds:
        key = counter_key(level.key, kind)
        if period := PERIODS[kind]:
            key = f"{key}:{period_bounds(period, datetime.now(UTC))[0]}"
        pipeline.hgetall(key)
        pipeline.lrange(f"{key}:slices", 0, -1)
    answers = pipeline.execute()
    used = {}
    for kind, book, slices in zip(kinds, answers[::2], answers[1::2], strict=True):
        units = Decimal(str(_units(kind, book, slices, window_seconds)))
        used[kind] = units / MICROS if kind == "money_per_month" else units.to_integral_value()
    return used


def _units(kind: str, book: dict[bytes, bytes], slices: list[bytes], window_seconds: float) -> float:
    now = time.time() * 1000
    held = 0.0
    for process, entry in book.items():
        if process != b"settled":
            units, ends = map(float, entry.split())
            held += units if ends > now else 0.0
    if kind.endswith("_minute"):
        # The book's sum is of the last exchange; what has left the window since shows in the slices.
        pairs = [tuple(map(float, entry.split())) for entry in slices]
        return held + sum(units for ends, units in pairs if ends > now - window_seconds * 1000)
    return held + float(book.get(b"settled", 0))

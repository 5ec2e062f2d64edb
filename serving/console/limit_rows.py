"""Limits for people: each with what is used of it now."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

import redis

from polygraft.conf import config
from polygraft.live import redis_client
from serving.accounting.counters import WORDS, used_of
from tenants.limits import Level


@dataclass(frozen=True, slots=True)
class LimitRow:
    """One limit. `used` is None when nobody can say; amounts are as people write them."""

    words: str
    limit: str
    used: str | None
    percent: int


@dataclass(frozen=True, slots=True)
class LimitGroup:
    """The limits of one level; `model` is "" for those of all requests."""

    model: str
    rows: list[LimitRow]


def limit_groups(levels: Iterable[Level]) -> list[LimitGroup]:
    """The limits of levels, a group each; without Redis nothing is said of their use."""
    return [LimitGroup(level.model, _rows(level)) for level in levels]


def _rows(level: Level) -> list[LimitRow]:
    try:
        used = used_of(redis_client(), level, window_seconds=config().limit_window_seconds)
    except redis.RedisError:
        used = {}
    return [_row(kind, Decimal(limit), used.get(kind)) for kind, limit in level.limits]


def _row(kind: str, limit: Decimal, used: Decimal | None) -> LimitRow:
    percent = 0 if used is None else min(int(100 * used / limit), 100)
    return LimitRow(WORDS[kind], _amount(kind, limit), None if used is None else _amount(kind, used), percent)


def _amount(kind: str, value: Decimal) -> str:
    return f"{value:,.2f} {config().currency}" if kind == "money_per_month" else f"{value:,.0f}"

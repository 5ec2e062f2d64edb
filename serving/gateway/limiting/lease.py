"""What this process holds of one counter: units that it may hand out to requests without asking Redis."""

from collections import deque
from dataclasses import dataclass
from enum import IntEnum


class Unit(IntEnum):
    """What a counter counts; also the place of its amount among a request's amounts."""

    REQUESTS = 0
    PLACES = 1  # requests under way at once
    TOKENS = 2
    MONEY = 3  # in millionths of the platform's currency


@dataclass(frozen=True, slots=True)
class Counter:
    """One limit of one level.

    `kind` is a word of `tenants.limits`; `level` and `model` say whose it is, in words. `span` is the length of a
    sliding window in seconds, 0 for units that are held and given back; `period` is "day" or "month" where these count.
    """

    key: str
    kind: str
    unit: Unit
    level: str
    model: str = ""
    span: float = 0.0
    period: str = ""


class Lease:
    """The account of one counter in this process.

    Redis knows this process to hold `left` + `in_flight` + what it has `used` since the last exchange. `until` and
    `renew_at` are readings of a monotonic clock: until when `left` may be handed out, and when the next exchange is
    due; below `low` units it is due, too. `free` is what was left to anybody at the last exchange, and `is_scarce` says
    that others may be in want of what comes back. After a refusal `frees_at` is when there will be units again, None
    when nobody can know, and before `ask_again_at` there is no point in asking. `demand` counts the units taken since
    the last exchange.

    Who hands units out and settles (`serving.gateway.limits`) keeps the account in place: a call for each of a
    request's leases would cost as much as everything else that is done with them.
    """

    __slots__ = (
        "__weakref__",
        "alone",
        "ask_again_at",
        "counter",
        "demand",
        "free",
        "frees_at",
        "holders",
        "in_flight",
        "is_scarce",
        "key",
        "left",
        "limit",
        "low",
        "period_ends",
        "renew_at",
        "until",
        "used",
        "want",
    )

    def __init__(self, counter: Counter, limit: float) -> None:
        self.counter = counter
        self.key = counter.key
        self.limit = limit
        self.left = self.in_flight = self.used = self.want = self.demand = self.low = 0.0
        self.until = self.renew_at = self.ask_again_at = self.period_ends = 0.0
        self.free = limit
        self.frees_at: float | None = None
        self.holders = 1
        self.is_scarce = False
        self.alone: LocalShare | None = None


class LocalShare:
    """What stands in for Redis while it is away: this process's share of a limit, kept in this process alone."""

    def __init__(self, limit: float, span: float) -> None:
        self._limit = limit
        self._span = span
        self._uses: deque[tuple[float, float]] = deque()
        self.spent = 0.0

    def exchange(self, now: float, used: float, held: float, want: float) -> tuple[float, float, float]:
        """As the script does it, without wishes; returns units granted, units left, and seconds to wait or -1."""
        self.spent += used
        if used and self._span:
            self._uses.append((now, used))
        while self._uses and self._uses[0][0] <= now - self._span:
            self.spent -= self._uses.popleft()[1]
        free = self._limit - self.spent - held
        granted = max(min(want, free), 0.0)
        return granted, free - granted, self._wait(now, want - free) if granted < want else 0.0

    def _wait(self, now: float, units: float) -> float:
        for at, used in self._uses:
            units -= used
            if units <= 0:
                return at + self._span - now
        return -1.0

"""Admits a request within the limits of every level it counts against, or refuses it; settles with what it used."""

import time
from collections.abc import Callable
from decimal import Decimal

from serving.accounting.counters import MICROS, PERIODS, counter_key
from serving.accounting.prices import Prices, cost_of
from serving.gateway.auth import Grant
from serving.gateway.body import Wish
from serving.gateway.call import Call
from serving.gateway.catalogue import Target
from serving.gateway.errors import RateLimited
from serving.gateway.estimate import estimate_prompt
from serving.gateway.limiting import limit_words
from serving.gateway.limiting.lease import Counter, Lease, Unit
from serving.gateway.limiting.leases import Leases
from serving.gateway.observing.metrics import count_limit_refusal

_UNITS = {
    "requests_per_minute": Unit.REQUESTS,
    "tokens_per_minute": Unit.TOKENS,
    "concurrent_requests": Unit.PLACES,
    "tokens_per_day": Unit.TOKENS,
    "tokens_per_month": Unit.TOKENS,
    "money_per_month": Unit.MONEY,
}
_NONE = float("inf")
_REMEMBERED = 10_000
# Before units that were granted to one request can go to another that came between, a third try is not needed.
_TRIES = 3


class Checks:
    """The leases that requests of one grant for one model draw on, each with its unit."""

    __slots__ = ("grant", "has_money", "has_tokens", "leases", "most_money", "most_tokens", "requests", "tokens")

    def __init__(self, grant: Grant, leases: list[Lease]) -> None:
        self.grant = grant
        self.leases = tuple((lease, int(lease.counter.unit)) for lease in leases)
        tokens = [lease.limit for lease in leases if lease.counter.unit == Unit.TOKENS]
        money = [lease.limit for lease in leases if lease.counter.unit == Unit.MONEY]
        self.has_tokens, self.has_money = bool(tokens), bool(money)
        self.most_tokens, self.most_money = min(tokens, default=_NONE), min(money, default=_NONE)
        # What the whole platform has left is no caller's business.
        own = [lease for lease in leases if lease.counter.level != limit_words.PLATFORM]
        self.requests = tuple(lease for lease in own if lease.counter.unit == Unit.REQUESTS)
        self.tokens = tuple(lease for lease in own if lease.counter.unit == Unit.TOKENS)


class Reservation:
    """What a request was admitted with: its checks, and an amount for each unit."""

    __slots__ = ("amounts", "checks", "prices", "prompt_tokens")

    def __init__(
        self, checks: Checks, amounts: tuple[float, float, float, float], prompt_tokens: int, prices: Prices
    ) -> None:
        self.checks = checks
        self.amounts = amounts
        self.prompt_tokens = prompt_tokens
        self.prices = prices

    def lines(self) -> bytes:
        """What an answer's head says of the limits."""
        return limit_words.lines(self.checks.requests, self.checks.tokens)


class Limiter:
    """The limits of all requests of this process.

    Args:
        window_seconds: how long a "minute" is; anything else than 60 is for tests.
        completion_tokens: how long the answer is taken to be for a request that does not say.
    """

    def __init__(
        self,
        leases: Leases,
        *,
        window_seconds: float,
        completion_tokens: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leases = leases
        self._window = window_seconds
        self._completion_tokens = completion_tokens
        self._clock = clock
        self._checks: dict[tuple[int | None, int, str], Checks] = {}

    async def reserve(self, call: Call, target: Target, wish: Wish) -> None:
        """Admit a request; what it draws on is noted on the call.

        Raises:
            RateLimited: a limit does not allow it now.
        """
        grant = call.grant
        if grant is None or not grant.levels:
            return
        checks = self._find_checks(grant, target.asked)
        prompt = estimate_prompt(wish.size)
        tokens = money = 0.0
        if checks.has_tokens or checks.has_money:
            completion = wish.longest_completion(call.endpoint)
            given = completion is not None
            if completion is None:
                completion = self._completion_tokens
            tokens = float(prompt + completion)
            if checks.has_money:
                money = _micros(
                    cost_of(target.prices, prompt_tokens=prompt, cached_tokens=0, completion_tokens=completion)
                )
            if tokens > checks.most_tokens or money > checks.most_money:
                tokens, money = self._within_whole_limits(checks, tokens, money, given=given)
        amounts = (1.0, 1.0, tokens, money)
        if not self._take(checks, amounts):
            await self._wait_and_take(checks, amounts)
        call.reservation = Reservation(checks, amounts, prompt, target.prices)

    def settle(self, call: Call) -> None:
        """Give back what a request did not use, or take what it used on top. Settling twice is no error."""
        reservation, call.reservation = call.reservation, None
        if reservation is None:
            return
        prompt = call.prompt_tokens
        if not prompt and call.completion_tokens:
            # Cut off before the engine said how long the prompt was, but after it had read it.
            prompt = reservation.prompt_tokens
        spent = (0.0, 0.0, float(prompt + call.completion_tokens), 0.0)
        if reservation.checks.has_money:
            cost = cost_of(
                reservation.prices,
                prompt_tokens=prompt,
                cached_tokens=call.cached_tokens,
                completion_tokens=call.completion_tokens,
            )
            spent = (*spent[:3], _micros(cost))
        amounts = reservation.amounts
        for lease, unit in reservation.checks.leases:
            if unit:  # those of requests were settled when they were taken
                amount, used = amounts[unit], spent[unit]
                lease.in_flight -= amount
                lease.used += used
                lease.left += amount - used
                if lease.is_scarce and lease.left > 0:
                    self._leases.give_back_soon(lease)

    def _find_checks(self, grant: Grant, asked: str) -> Checks:
        model = asked.partition(":")[0]
        name = (grant.key_id, grant.department_id, model)
        checks = self._checks.get(name)
        # A grant that was resolved anew may carry other limits.
        if checks is None or checks.grant is not grant:
            if len(self._checks) >= _REMEMBERED:
                self._checks.clear()
            checks = self._checks[name] = Checks(grant, self._leases_of(grant, model))
        return checks

    def _leases_of(self, grant: Grant, model: str) -> list[Lease]:
        leases = []
        for level in grant.levels:
            if level.model in ("", model):
                for kind, limit in level.limits:
                    span = self._window if kind.endswith("_minute") else 0.0
                    key = counter_key(level.key, kind)
                    counter = Counter(key, kind, _UNITS[kind], level.name, level.model, span, PERIODS[kind])
                    whole = _micros(limit) if isinstance(limit, Decimal) else float(limit)
                    leases.append(self._leases.lease(counter, whole))
        return leases

    def _within_whole_limits(self, checks: Checks, tokens: float, money: float, *, given: bool) -> tuple[float, float]:
        """What to reserve, when even an untouched limit might be too small for it."""
        for lease, unit in checks.leases:
            amount = (0.0, 0.0, tokens, money)[unit]
            if amount > lease.limit:
                if given:
                    count_limit_refusal(lease.counter.level, lease.counter.kind)
                    raise limit_words.too_large(lease, amount)
                # Only our own guess is too large: the whole limit is enough to begin with.
                if unit == Unit.TOKENS:
                    tokens = min(tokens, lease.limit)
                else:
                    money = min(money, lease.limit)
        return tokens, money

    def _take(self, checks: Checks, amounts: tuple[float, float, float, float]) -> bool:
        """Draw on all leases, or on none; returns whether they had enough."""
        now = self._clock()
        for lease, unit in checks.leases:
            if lease.left < amounts[unit] or now >= lease.until:
                return False
        for lease, unit in checks.leases:
            amount = amounts[unit]
            left = lease.left = lease.left - amount
            lease.demand += amount
            if unit:
                lease.in_flight += amount
            else:
                lease.used += amount
            if left < lease.low or now >= lease.renew_at:
                self._leases.renew_soon(lease)
        return True

    async def _wait_and_take(self, checks: Checks, amounts: tuple[float, float, float, float]) -> None:
        for _ in range(_TRIES):
            now = self._clock()
            lacking = [
                (lease, amounts[unit])
                for lease, unit in checks.leases
                if lease.left < amounts[unit] or now >= lease.until
            ]
            for lease, amount in lacking:
                # What was refused to a larger request may be enough for this one.
                if now < lease.ask_again_at and lease.left + max(lease.free, 0.0) < amount:
                    raise self._refusal(lease, now)
            if lacking:
                await self._leases.replenish(lacking)
            if self._take(checks, amounts):
                return
        raise self._refusal(lacking[0][0], self._clock())

    def _refusal(self, lease: Lease, now: float) -> RateLimited:
        count_limit_refusal(lease.counter.level, lease.counter.kind)
        return limit_words.refusal(lease, now)


def _micros(money: Decimal) -> float:
    return float(money * MICROS)

"""Keeps this process's leases of limits in step with Redis, all that are due in one round trip.

A request that finds its leases filled asks nobody. One that does not waits for the next exchange; leases that are half
used or half as old as they may get are renewed in the background. While Redis is away this process goes by its own
share of each limit.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import redis.asyncio
import structlog
from redis.exceptions import RedisError

from serving.accounting.counters import PERIOD_KEPT_MS, period_bounds
from serving.gateway.limiting.lease import Counter, Lease, LocalShare
from serving.gateway.observing.metrics import LIMITS_ALONE

log = structlog.get_logger(__name__)

SCRIPT = Path(__file__).with_name("limits.lua").read_text()
LIFE_SECONDS = 2.0
_SCAN_SECONDS = 0.5
_GIVE_BACK_SECONDS = 0.02
_ASK_AGAIN_SECONDS = 0.05
_ANSWER_SECONDS = 0.5


class Leases:
    """All leases of this process and the exchange that fills them.

    Args:
        processes: how many gateway processes there are at least, for shares while Redis is away.
        clock: what `time.monotonic` is for tests of time.
    """

    def __init__(
        self, client: redis.asyncio.Redis, *, processes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._script: Any = client.register_script(SCRIPT)
        self._processes = processes
        self._clock = clock
        # Never that of another process or of an earlier life: Redis takes what the name holds for ours.
        self._name = uuid.uuid4().hex
        # A lease lives as long as somebody draws on it: the checks of some grant, or a request under way.
        self._leases: WeakValueDictionary[str, Lease] = WeakValueDictionary()
        self._due: dict[Lease, None] = {}
        self._wake = asyncio.Event()
        self._round: asyncio.Future[None] | None = None
        self._alone = False
        self._scan_at = 0.0

    def lease(self, counter: Counter, limit: float) -> Lease:
        """The lease of a counter. A limit that has changed is in force with the next request."""
        lease = self._leases.get(counter.key)
        if lease is None:
            lease = self._leases[counter.key] = Lease(counter, limit)
        elif lease.limit != limit:
            lease.limit = limit
            lease.until = lease.ask_again_at = 0.0
            lease.alone = None
        return lease

    def renew_soon(self, lease: Lease) -> None:
        """Let the background renew a lease."""
        lease.renew_at, lease.low = float("inf"), float("-inf")
        self._due[lease] = None
        self._wake.set()

    async def replenish(self, lacking: Iterable[tuple[Lease, float]]) -> None:
        """Ask for these units on top of what is there, and wait for the answer."""
        for lease, amount in lacking:
            lease.want += amount
            self._due[lease] = None
        self._wake.set()
        if self._round is None:
            self._round = asyncio.get_running_loop().create_future()
        # A request whose client leaves must not take the answer from the others.
        await asyncio.shield(self._round)

    def give_back_soon(self, lease: Lease) -> None:
        """Units have come back to a lease of which nobody else can get any."""
        if lease.renew_at != float("inf"):
            lease.renew_at = float("inf")
            asyncio.get_running_loop().call_later(_GIVE_BACK_SECONDS, self.renew_soon, lease)

    async def run(self) -> None:
        """Exchange what is due, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SCAN_SECONDS):
                    await self._wake.wait()
            self._wake.clear()
            await self.tick()

    async def tick(self) -> None:
        """Exchange what is due by now, and let the requests go on that wait for it."""
        if self._clock() >= self._scan_at:
            self._scan_at = self._clock() + _SCAN_SECONDS
            await self._scan()
        due, self._due = list(self._due), {}
        done, self._round = self._round, None
        try:
            if due:
                await self._exchange(due)
        finally:
            if done is not None and not done.done():
                done.set_result(None)

    async def _scan(self) -> None:
        """Find the leases that nobody asks for but that have something to tell; see whether Redis is back."""
        now = self._clock()
        if self._alone:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                await self._ask([], [])
                self._set_alone(False)
        for lease in list(self._leases.values()):
            has_something = lease.in_flight or lease.used or lease.left > 0
            if has_something and now >= min(lease.renew_at, lease.until - LIFE_SECONDS / 2):
                self._due[lease] = None

    async def _exchange(self, due: list[Lease]) -> None:
        now = self._clock()
        asked = [self._prepare(lease, now) for lease in due]
        answers = None
        if not self._alone:
            try:
                answers = await self._ask_redis(due, asked)
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("limits.alone", reason=str(error) or type(error).__name__)
                self._set_alone(True)
        if answers is None:
            answers = [self._ask_share(lease, now, ask) for lease, ask in zip(due, asked, strict=True)]
        for lease, ask, answer in zip(due, asked, answers, strict=True):
            self._accept(lease, now, ask, answer)

    def _prepare(self, lease: Lease, now: float) -> tuple[float, float, float, float]:
        """What is told and asked: units used, held, wanted and wished for."""
        if lease.counter.period:
            _turn_over(lease)
        if now >= lease.until:
            lease.left = min(lease.left, 0.0)
        want, lease.want = lease.want, 0.0
        if not want:
            # Nobody waits: what was not needed lately goes back to the others.
            lease.left = min(lease.left, 2 * lease.demand)
        wish = max(2 * (lease.demand + want) - max(lease.left, 0.0) - want, 0.0)
        used, lease.used = lease.used, 0.0
        lease.demand = 0.0
        return used, lease.left + lease.in_flight, want, wish

    async def _ask_redis(
        self, due: list[Lease], asked: list[tuple[float, float, float, float]]
    ) -> list[tuple[float, float, float, int]]:
        keys: list[str] = []
        arguments: list[float] = []
        for lease, (used, held, want, wish) in zip(due, asked, strict=True):
            if lease.alone is not None:
                # A period remembers what was spent while Redis was away; a window will have forgotten it soon.
                used += lease.alone.spent if lease.counter.period else 0.0
            keys += (lease.key, f"{lease.key}:slices")
            span = -PERIOD_KEPT_MS[lease.counter.period] if lease.counter.period else lease.counter.span * 1000
            arguments += (span, lease.limit, used, held, want, wish)
        answers = await self._ask(keys, arguments)
        for lease in due:
            lease.alone = None
        return [(float(granted), float(free), wait / 1000, holders) for granted, free, wait, holders in answers]

    async def _ask(self, keys: list[str], arguments: list[float]) -> Any:
        async with asyncio.timeout(_ANSWER_SECONDS):
            return await self._script(keys=keys, args=[self._name, LIFE_SECONDS * 1000, *arguments])

    def _ask_share(
        self, lease: Lease, now: float, ask: tuple[float, float, float, float]
    ) -> tuple[float, float, float, int]:
        if lease.alone is None:
            processes = max(self._processes, lease.holders)
            whole = max(lease.free, 0.0) if lease.counter.period else lease.limit
            lease.alone = LocalShare(max(whole / processes, min(whole, 1.0)), lease.counter.span)
        used, held, want, _ = ask
        granted, free, wait = lease.alone.exchange(now, used, held, want)
        return granted, free, wait, lease.holders

    def _accept(
        self,
        lease: Lease,
        now: float,
        ask: tuple[float, float, float, float],
        answer: tuple[float, float, float, int],
    ) -> None:
        _, _, want, _ = ask
        granted, lease.free, wait, lease.holders = answer
        lease.left += granted
        lease.until, lease.renew_at = now + LIFE_SECONDS, now + LIFE_SECONDS / 2
        if granted < want:
            lease.frees_at = None if wait < 0 else now + wait
            lease.ask_again_at = now + (_ASK_AGAIN_SECONDS if wait < 0 else min(wait, _ASK_AGAIN_SECONDS))
        lease.low = lease.left / 4 if lease.free >= 4 * lease.holders else 0.0
        lease.is_scarce = lease.free < lease.holders
        if lease.is_scarce and lease.left > 0 and lease.holders > 1:
            self.give_back_soon(lease)

    def _set_alone(self, alone: bool) -> None:
        self._alone = alone
        LIMITS_ALONE.set(alone)


def _turn_over(lease: Lease) -> None:
    """Begin a new period when the old one is over."""
    moment = datetime.now(UTC)
    if moment.timestamp() < lease.period_ends:
        return
    name, end = period_bounds(lease.counter.period, moment)
    lease.period_ends = end.timestamp()
    lease.key = f"{lease.counter.key}:{name}"
    lease.left = min(lease.left, 0.0)
    lease.free = lease.limit
    lease.alone = None

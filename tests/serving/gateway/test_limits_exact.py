"""Limits against a plain reference: any traffic, any number of processes, a simulated clock, the real script."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polygraft.live import redis_client
from serving.gateway.auth import Grant
from serving.gateway.body import Wish
from serving.gateway.call import Call
from serving.gateway.catalogue import Target
from serving.gateway.errors import RateLimited
from serving.gateway.limiting.leases import LIFE_SECONDS, Leases
from serving.gateway.limits import Limiter
from tenants.limits import Level, Limits

from .simulated_redis import Clock, SimulatedRedis

SPAN = 60.0
SLICE = SPAN / 480
TARGET = Target("m", "m", "m", 1)
TICK = 0.5
# For so many seconds a refusal is repeated without asking.
MEMORY = 0.05
# The estimate of a prompt of no bytes.
PROMPT = 1


class Process:
    """A gateway process, as far as limits go."""

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self.grant = Grant(1, "support", "salt", key_id=1, levels=(Level("department:1", "department", limits),))
        self.leases = Leases(SimulatedRedis(clock), processes=1, clock=clock)  # type: ignore[arg-type]  # what is used
        self.limiter = Limiter(self.leases, window_seconds=SPAN, completion_tokens=1, clock=clock)
        self.under_way: list[tuple[Call, int]] = []
        self.refused_at = 0.0

    async def ask(self, tokens: int) -> bool:
        """Whether a request for at most so many tokens is admitted."""
        call = Call(SimpleNamespace(path="", headers={}))  # type: ignore[arg-type]  # only carries
        call.grant = self.grant
        wish = Wish({"model": "m", "max_tokens": tokens - PROMPT}, 0)
        work = asyncio.create_task(self.limiter.reserve(call, TARGET, wish))
        while not work.done():
            await asyncio.sleep(0)
            await self.leases.tick()
        try:
            work.result()
        except RateLimited:
            return False
        self.under_way.append((call, tokens))
        return True

    def end(self, used_share: float) -> int:
        """End the oldest request; returns the tokens that it has used."""
        call, tokens = self.under_way.pop(0)
        call.prompt_tokens = round(tokens * used_share)
        self.limiter.settle(call)
        return call.prompt_tokens

    def remembers(self, now: float) -> bool:
        """Whether a refusal may be by what was known at another shortly before."""
        remembers, self.refused_at = now - self.refused_at < MEMORY, max(self.refused_at, now)
        return remembers

    @property
    def spare(self) -> float:
        """Units that it may hand out and has not."""
        return sum(max(lease.left, 0.0) for lease in self.leases._leases.values())


class Reference:
    """The whole log of uses."""

    def __init__(self) -> None:
        self.uses: list[tuple[float, float]] = []

    def in_window(self, now: float, span: float) -> float:
        """What was used within so many seconds."""
        return sum(units for at, units in self.uses if at > now - span)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 2), st.integers(2, 30)),
        st.tuples(st.just("burst"), st.integers(0, 2), st.integers(2, 30)),
        st.tuples(st.just("end"), st.integers(0, 2), st.floats(0, 1)),
        st.tuples(st.just("wait"), st.sampled_from([0.001, 0.06, 0.3, 1.1, 5.0, 59.0, 61.0]), st.none()),
    ),
    max_size=40,
)


def simulate(limits: Limits, steps: list[Any], check: Callable[..., None]) -> None:
    async def run() -> None:
        redis_client().flushall()
        clock = Clock()
        processes = [Process(clock, limits) for _ in range(3)]
        for name, which, value in steps:
            if name == "wait":
                ends = clock.now + which
                while clock.now < ends:
                    clock.now = min(clock.now + TICK, ends)
                    for process in processes:
                        await process.leases.tick()
                continue
            process = processes[which]
            if name == "end":
                if process.under_way:
                    check(clock.now, processes, process, ended=process.end(value))
                continue
            for _ in range(10 if name == "burst" else 1):
                admitted = await process.ask(value)
                check(clock.now, processes, process, asked=value, admitted=admitted)

    asyncio.run(run())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limit=st.integers(1, 60), steps=STEPS)
def test_no_window_ever_sees_more_requests_than_the_limit_and_none_is_refused_without_cause(
    limit: int, steps: list[Any]
) -> None:
    reference = Reference()

    def check(now: float, processes: list[Process], process: Process, **event: Any) -> None:
        if "ended" in event:
            return
        if event["admitted"]:
            reference.uses.append((now, 1.0))
            assert reference.in_window(now, SPAN) <= limit
        elif not process.remembers(now):
            elsewhere = sum(other.spare for other in processes if other is not process)
            # A use may be counted as late as its lease could be renewed, and to the end of its slice.
            assert reference.in_window(now, SPAN + SLICE + LIFE_SECONDS) + elsewhere >= limit

    simulate(Limits(requests_per_minute=limit), steps, check)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limit=st.integers(30, 200), steps=STEPS)
def test_tokens_used_and_reserved_never_exceed_the_limit(limit: int, steps: list[Any]) -> None:
    reference = Reference()

    def check(now: float, processes: list[Process], process: Process, **event: Any) -> None:
        if "ended" in event:
            reference.uses.append((now, event["ended"]))
        reserved = sum(tokens for other in processes for _, tokens in other.under_way)
        if event.get("admitted"):
            assert reference.in_window(now, SPAN) + reserved <= limit
        elif "asked" in event and not process.remembers(now):
            elsewhere = sum(other.spare for other in processes if other is not process)
            counted = reference.in_window(now, SPAN + SLICE + LIFE_SECONDS) + reserved + elsewhere
            assert counted + event["asked"] > limit

    simulate(Limits(tokens_per_minute=limit), steps, check)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limit=st.integers(1, 12), steps=STEPS)
def test_never_are_more_requests_under_way_than_the_limit(limit: int, steps: list[Any]) -> None:
    def check(now: float, processes: list[Process], process: Process, **event: Any) -> None:
        under_way = sum(len(other.under_way) for other in processes)
        assert under_way <= limit
        if event.get("admitted") is False and not process.remembers(now):
            elsewhere = sum(other.spare for other in processes if other is not process)
            assert under_way + elsewhere + len(processes) > limit or under_way >= limit

    simulate(Limits(concurrent_requests=limit), steps, check)


def test_what_a_dead_process_held_counts_as_used_for_one_window() -> None:
    async def run() -> None:
        redis_client().flushall()
        clock = Clock()
        dead, heir = (Process(clock, Limits(requests_per_minute=10)) for _ in range(2))
        assert [await dead.ask(2) for _ in range(3)] == [True] * 3
        held = 3 + dead.spare
        clock.now += LIFE_SECONDS + 1
        assert [await heir.ask(2) for _ in range(10)].count(True) == 10 - held
        clock.now += SPAN + SLICE
        assert await heir.ask(2)

    asyncio.run(run())


def test_a_process_that_was_thought_dead_is_not_charged_twice() -> None:
    async def run() -> None:
        redis_client().flushall()
        clock = Clock()
        stalled, other = (Process(clock, Limits(requests_per_minute=10)) for _ in range(2))
        assert [await stalled.ask(2) for _ in range(3)] == [True] * 3
        held = int(3 + stalled.spare)
        clock.now += LIFE_SECONDS + 1
        assert await other.ask(2)
        await stalled.leases.tick()
        clock.now += TICK
        await other.leases.tick()
        admitted = [await process.ask(2) for _ in range(10) for process in (stalled, other)].count(True)
        assert admitted == 10 - held - 1

    asyncio.run(run())


def test_a_process_that_stalled_has_lost_what_it_had_not_handed_out() -> None:
    async def run() -> None:
        redis_client().flushall()
        clock = Clock()
        stalled, other = (Process(clock, Limits(concurrent_requests=6)) for _ in range(2))
        assert await stalled.ask(2)
        assert stalled.spare > 0
        clock.now += LIFE_SECONDS + 1
        assert [await other.ask(2) for _ in range(6)] == [True] * 6
        assert not await stalled.ask(2)

    asyncio.run(run())

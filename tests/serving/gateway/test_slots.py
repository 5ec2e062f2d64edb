"""No slot is two processes': the real script and pools, a simulated clock, and answers that travel as the test says."""

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from polygraft.live import redis_client
from serving.gateway.turns import slots
from serving.gateway.turns.queue import Turn
from serving.gateway.turns.slots import LIFE_SECONDS, SILENCE_SECONDS, Exchange, Pool

from .simulated_redis import Clock, SimulatedRedis

ENGINE = "engine-1"
SIZE = 4


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer is lost when the test says so, not when the machine is slow."""
    monkeypatch.setattr(slots, "_ANSWER_SECONDS", 60.0)


class Wire:
    """Between a process and Redis: what is asked arrives when the test lets it, and so does the answer, if at all."""

    def __init__(self, redis: SimulatedRedis) -> None:
        self.redis = redis
        self.answer: asyncio.Future[Any] | None = None
        self.on_its_way: list[tuple[dict[str, Any], asyncio.Future[Any]]] = []
        self.found: Any = None

    def register_script(self, script: str) -> Any:
        self.run = self.redis.register_script(script)

        async def call(**asked: Any) -> Any:
            self.answer, self.found = asyncio.get_running_loop().create_future(), None
            self.on_its_way.append((asked, self.answer))
            return await self.answer

        return call

    async def arrive(self) -> None:
        """Let Redis do what was asked, however late."""
        if self.on_its_way:
            asked, answer = self.on_its_way.pop(0)
            found = await self.run(**asked)
            # Nobody waits any more for what was given up.
            self.found = found if answer is self.answer else None


class Process:
    """A gateway process, as far as turns at one engine go."""

    def __init__(self, clock: Clock) -> None:
        self.wire = Wire(SimulatedRedis(clock))
        exchange = Exchange(self.wire, processes=2, clock=clock)  # type: ignore[arg-type]  # what is used
        self.pool = Pool(1, exchange, lambda: None)
        self.slots = self.pool.slots_of(ENGINE, SIZE)
        self.asking: asyncio.Task[None] | None = None

    @property
    def filled(self) -> int:
        return self.slots.filled

    def begin(self) -> None:
        """A request comes: it goes at once, or waits."""
        turn = Turn(self.pool, self.pool.queue.department(1, 100), cost=10, batch=False)
        turn.engines = (ENGINE,)
        if not self.pool.queue.waiting and self.pool.is_free(self.slots):
            self.pool.begin(turn, ENGINE)
        else:
            turn.waiting = asyncio.get_running_loop().create_future()
            self.pool.queue.join(turn)

    def end(self) -> None:
        """A request comes back, if any is under way."""
        if self.filled:
            self.pool.empty(ENGINE)

    async def ask(self) -> None:
        """Begin to agree with the others."""
        if self.asking is None:
            self.asking = asyncio.create_task(self.pool.agree())
            await asyncio.sleep(0)

    async def arrive(self) -> None:
        """Let Redis do what was asked first of what it has not done yet."""
        await self.wire.arrive()

    async def hear(self) -> None:
        """Get the answer."""
        if self.asking is not None and self.wire.answer is not None and self.wire.found is not None:
            self.wire.answer.set_result(self.wire.found)
            await self.asking
            self.asking = None

    async def miss(self) -> None:
        """Give the answer up."""
        if self.asking is not None and self.wire.answer is not None:
            self.wire.answer.set_exception(TimeoutError())
            await self.asking
            self.asking = None

    async def agree(self) -> None:
        """All of it, without delay."""
        await self.ask()
        if self.wire.found is None:
            while self.wire.on_its_way:
                await self.wire.arrive()
        await self.hear()


async def two(clock: Clock, *, here: int, there: int) -> tuple[Process, Process]:
    """Two processes that know of each other, with so many requests under way in each."""
    redis_client().flushall()
    pair = Process(clock), Process(clock)
    for process, count in zip(pair, (here, there), strict=True):
        for _ in range(count):
            process.begin()
        await process.agree()
        await process.agree()
    assert (pair[0].filled, pair[1].filled) == (here, there)
    return pair


async def test_what_is_filled_while_the_answer_travels_is_nobody_elses() -> None:
    here, there = await two(Clock(), here=3, there=0)
    for _ in range(3):
        here.end()
    for _ in range(4):
        there.begin()
    await there.agree()
    await here.ask()
    await here.arrive()
    await there.agree()
    for _ in range(3):
        here.begin()
    assert here.filled + there.filled <= SIZE
    await here.hear()
    await there.agree()
    assert here.filled + there.filled <= SIZE


@pytest.mark.parametrize("arrives", [True, False])
async def test_an_answer_that_does_not_come_makes_no_slots(arrives: bool) -> None:
    here, there = await two(Clock(), here=3, there=1)
    there.begin()
    await there.ask()
    if arrives:
        await there.wire.arrive()
    await there.miss()
    assert (here.filled, there.filled) == (3, 1)


async def test_what_was_agreed_holds_while_redis_is_late() -> None:
    here, there = await two(Clock(), here=3, there=1)
    await here.ask()
    await here.miss()
    here.end()
    here.begin()
    assert (here.filled, there.filled) == (3, 1)


async def test_requests_outlast_the_lease_of_their_slots() -> None:
    clock = Clock()
    here, there = await two(clock, here=3, there=0)
    clock.now += LIFE_SECONDS + 1
    for _ in range(4):
        there.begin()
    await there.agree()
    await there.agree()
    assert (here.filled, there.filled) == (3, 1)


async def test_the_slots_of_a_killed_process_are_given_to_others_in_time() -> None:
    clock = Clock()
    _, there = await two(clock, here=3, there=0)
    for _ in range(4):
        there.begin()
    clock.now += SILENCE_SECONDS
    await there.agree()
    assert there.filled == SIZE


async def test_the_slots_that_a_silent_process_does_not_use_are_given_to_others_soon() -> None:
    clock = Clock()
    here, there = await two(clock, here=3, there=0)
    for _ in range(3):
        here.end()
    await here.agree()
    for _ in range(4):
        there.begin()
    clock.now += LIFE_SECONDS
    await there.agree()
    assert there.filled == SIZE


async def test_that_turns_are_shared_out_alone_is_told_for_as_long_as_there_are_any() -> None:
    here, _ = await two(Clock(), here=1, there=0)

    def alone() -> float | None:
        return REGISTRY.get_sample_value("polygraft_turns_alone")

    await here.agree()
    assert alone() == 0
    await here.ask()
    await here.miss()
    assert alone() == 1
    here.end()
    await here.ask()
    await here.miss()
    assert alone() == 0
    here.begin()
    await here.agree()
    assert alone() == 0


async def test_a_redis_without_memory_gives_nothing_away_before_everybody_was_heard() -> None:
    clock = Clock()
    here, there = await two(clock, here=3, there=0)
    for process in (here, there):
        await process.ask()
        await process.miss()
        process.wire.on_its_way.clear()
    redis_client().flushall()
    for _ in range(4):
        there.begin()
    await there.agree()
    assert here.filled + there.filled <= SIZE
    await here.agree()
    clock.now += 1
    await there.agree()
    assert (here.filled, there.filled) == (3, 1)


async def test_without_redis_each_takes_its_share_in_the_end() -> None:
    clock = Clock()
    here, there = await two(clock, here=4, there=0)
    for _ in range(3):
        there.begin()
    for filled in (0, 2):
        for process in (here, there):
            await process.ask()
            await process.miss()
        assert there.filled == filled
        clock.now += LIFE_SECONDS
    await here.ask()
    await here.miss()
    for _ in range(3):
        here.end()
        here.begin()
    assert here.filled == 2


STEPS = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from(["begin", "begin", "end", "end", "ask", "arrive", "hear", "miss"]))
    | st.tuples(st.just("pass"), st.sampled_from([0.005, 0.1, 0.5, 1.0])),
    max_size=80,
)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_whatever_is_late_or_lost_an_engine_has_no_more_requests_than_slots(steps: list[tuple[Any, Any]]) -> None:
    async def happen() -> None:
        clock = Clock()
        pair = await two(clock, here=0, there=0)
        for who, what in steps:
            if who != "pass":
                found = getattr(pair[who], what)()
                if found is not None:
                    await found
            else:
                for process in pair:
                    # Nobody is without an answer for so long that there are only shares.
                    if process.slots.until <= clock.now + what:
                        await process.agree()
                clock.now += what
            assert sum(process.filled for process in pair) <= SIZE
        for process in pair:
            if process.asking is not None:
                await process.miss()

    asyncio.run(happen())

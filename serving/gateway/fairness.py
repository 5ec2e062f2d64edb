"""Lets requests take turns at engines that are full, so that no department can starve another."""

import asyncio
import contextlib

import redis.asyncio

from serving.fleet.registry import EngineEntry
from serving.gateway.body import Wish
from serving.gateway.call import Call
from serving.gateway.engines.fleet import Fleet
from serving.gateway.errors import EngineOverloaded, QueueFull
from serving.gateway.estimate import estimate_prompt
from serving.gateway.observing.metrics import QUEUE_SECONDS
from serving.gateway.turns.queue import BATCH_RANK, Turn
from serving.gateway.turns.slots import RENEW_SECONDS, Exchange, Pool
from serving.gateway.ways import way_to

# An engine spends about twice as long on a token that it generates as on one that it reads.
_COMPLETION_COSTS = 2
_LEARNING = 0.1
_FAREWELL_SECONDS = 0.2
# OpenAI's word for requests that have time.
_FLEX = "flex"
# What costs an engine next to nothing does not wait for those who work.
_QUICK = frozenset({"/tokenize", "/v1/messages/count_tokens"})


class Fairness:
    """The turns of all requests of this process.

    Args:
        length: how many requests of one department may wait for the engines of one base model.
        seconds: how long an interactive request may wait; `batch_seconds`: how long one that has time.
    """

    def __init__(
        self, client: redis.asyncio.Redis, fleet: Fleet, *, processes: int, length: int, seconds: float,
        batch_seconds: float,
    ) -> None:  # fmt: skip
        self._exchange = Exchange(client, processes=processes)
        self._fleet = fleet
        self._length = length
        self._seconds = {False: seconds, True: batch_seconds}
        self._pools: dict[int, Pool] = {}
        self._wake = asyncio.Event()
        self._seen: tuple[EngineEntry, ...] = ()

    async def take(self, call: Call, engines: list[EngineEntry], wish: Wish) -> list[EngineEntry]:
        """Wait for a turn at one of these engines.

        Returns:
            The engines in the order in which they are to be tried, the one with the turn first.

        Raises:
            QueueFull, EngineOverloaded: too many requests of the department wait, or this one has waited for too long,
                and there is no engine of another kind to fall back to.
        """
        self.settle(call)
        best, grant = engines[0], call.grant
        if grant is None or not best.slots or call.endpoint in _QUICK or way_to(call.endpoint, best.kind) is None:
            return engines
        pool = self._pools.get(best.base_model_id)
        if pool is None:
            pool = self._pools[best.base_model_id] = Pool(best.base_model_id, self._exchange, self._wake.set)
        if wish.body.get("service_tier") == _FLEX:
            call.batch = True
        department = pool.queue.department(grant.department_id, grant.weight)
        longest = wish.longest_completion(call.endpoint)
        completion = department.usual if longest is None else min(longest, department.usual)
        cost = estimate_prompt(wish.size) + _COMPLETION_COSTS * completion
        turn = call.turn = Turn(pool, department, cost=cost, batch=call.batch)
        call.rank = int(department.counter + BATCH_RANK) if call.batch else int(department.counter)
        slots = pool.slots.get(best.id)
        if slots is not None and not pool.queue.waiting and pool.is_free(slots):
            pool.begin(turn, best.id)
            return engines
        return await self._find_turn(call, turn, engines)

    def settle(self, call: Call) -> None:
        """A request has ended: correct what its department was charged, and let the next one go."""
        turn, call.turn = call.turn, None
        if turn is None or not turn.begun:
            return
        department = turn.department
        department.charge(call.prompt_tokens + _COMPLETION_COSTS * call.completion_tokens - turn.cost)
        if call.completion_tokens:
            department.usual += _LEARNING * (call.completion_tokens - department.usual)
        if turn.engine:
            turn.pool.empty(turn.engine)

    async def run(self) -> None:
        """Keep in step with the other processes, until cancelled."""
        while True:
            now = self._exchange.clock()
            soonest = min((pool.due_at for pool in self._pools.values()), default=now + RENEW_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(max(soonest - now, 0.001), RENEW_SECONDS)):
                    await self._wake.wait()
            self._wake.clear()
            if self._fleet.engines is not self._seen:
                self._seen = self._fleet.engines
                self._release_orphans()
            for pool in list(self._pools.values()):
                if self._exchange.clock() >= pool.due_at:
                    await pool.agree()

    async def farewell(self) -> None:
        """Leave no slots behind that others would wait for."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_SECONDS):
                await asyncio.gather(*(pool.agree() for pool in self._pools.values()))

    async def _find_turn(self, call: Call, turn: Turn, engines: list[EngineEntry]) -> list[EngineEntry]:
        """Take a turn at one of the engines of the best kind, now or as soon as it comes."""
        pool, best = turn.pool, engines[0]
        peers = [engine for engine in engines if engine.kind == best.kind and engine.slots]
        for engine in peers:
            slots = pool.slots_of(engine.id, engine.slots)
            if not pool.queue.waiting and pool.is_free(slots):
                pool.begin(turn, engine.id)
                break
        else:
            turn.engines = tuple(engine.id for engine in peers)
            try:
                await self._wait(call, turn)
            except (QueueFull, EngineOverloaded):
                others = [engine for engine in engines if engine.kind != best.kind]
                if not others:
                    raise
                call.fallback = "overloaded"
                return others
        if turn.engine in ("", best.id):
            return engines
        return sorted(engines, key=lambda engine: engine.id != turn.engine)

    async def _wait(self, call: Call, turn: Turn) -> None:
        pool, waiting = turn.pool, turn.department.length
        # Before the first answer, and after a pause, nobody knows whether they are full at all.
        if waiting >= self._length and any(pool.is_known(engine) for engine in turn.engines):
            raise QueueFull(f"{waiting} requests of your department wait for this model already. Ask again shortly.")
        seconds = self._seconds[call.batch]
        turn.waiting = asyncio.get_running_loop().create_future()
        began = self._exchange.clock()
        pool.queue.join(turn)
        pool.ask_soon()
        try:
            async with asyncio.timeout(seconds):
                await turn.waiting
        except TimeoutError:
            raise EngineOverloaded(
                f"Every engine that could answer has been full for {seconds:.0f} seconds. Ask again later."
            ) from None
        finally:
            pool.queue.leave(turn)
            call.queue_seconds = self._exchange.clock() - began
            QUEUE_SECONDS.observe(call.queue_seconds)

    def _release_orphans(self) -> None:
        """Let requests go that wait for engines of which none is left: they will find another, or learn why not."""
        living = {engine.id for engine in self._seen}
        for pool in self._pools.values():
            for engine in [engine for engine, slots in pool.slots.items() if engine not in living and not slots.filled]:
                del pool.slots[engine]
            for department in list(pool.queue.waiting.values()):
                for turn in [*department.interactive, *department.batch]:
                    turn.engines = tuple(engine for engine in turn.engines if engine in pool.slots)
                    if not turn.engines:
                        pool.begin(turn, "")

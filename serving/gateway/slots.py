"""The slots of one base model's engines that this process may fill, kept in step with the other gateway processes."""

import asyncio
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis.asyncio
import structlog
from redis.exceptions import RedisError

from serving.gateway.metrics import QUEUED
from serving.gateway.queue import Queue, Turn

log = structlog.get_logger(__name__)

SCRIPT = Path(__file__).with_name("turns.lua").read_text()
KEY_PREFIX = "polygraft:turns"
LIFE_SECONDS = 2.0
RENEW_SECONDS = 0.25
# How often a process asks in which requests wait: somebody in another one may be before them.
POLL_SECONDS = 0.005
_GATHER_SECONDS = 0.005
_ANSWER_SECONDS = 0.5
_NOBODY = float("inf")


class Slots:
    """One engine's: how many there are, how many this process may fill, and how many it has filled.

    `elsewhere` is the rank of the first request that waits for the engine in another process.
    """

    __slots__ = ("elsewhere", "filled", "free", "held", "holders", "size", "until")

    def __init__(self, size: int) -> None:
        self.size = size
        self.held = 0
        self.filled = 0
        self.until = 0.0
        self.free = 0
        self.holders = 1
        self.elsewhere = _NOBODY


class Exchange:
    """How processes agree: the script, who this process is, and what happens while Redis is away."""

    def __init__(
        self, client: redis.asyncio.Redis, *, processes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._script: Any = client.register_script(SCRIPT)
        self._name = uuid.uuid4().hex
        self.processes = processes
        self.clock = clock

    async def __call__(self, keys: list[str], arguments: list[Any]) -> Any:
        """Run the script; None when Redis does not answer."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await self._script(keys=keys, args=[self._name, int(LIFE_SECONDS * 1000), *arguments])
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("turns.alone", reason=str(error) or type(error).__name__)
            return None


class Pool:
    """The queue for the engines of one base model, and their slots."""

    def __init__(self, base_model_id: int, exchange: Exchange, wake: Callable[[], None]) -> None:
        self.queue = Queue()
        self.slots: dict[str, Slots] = {}
        self.due_at = 0.0
        self._key = f"{KEY_PREFIX}:{base_model_id}"
        self._exchange = exchange
        self._wake = wake

    def slots_of(self, engine: str, size: int) -> Slots:
        """An engine's slots, made when it is new."""
        slots = self.slots.get(engine)
        if slots is None:
            slots = self.slots[engine] = Slots(size)
        slots.size = size
        return slots

    def is_free(self, slots: Slots) -> bool:
        """Whether this process may fill one more slot."""
        return slots.filled < slots.held and self._exchange.clock() < slots.until

    def is_known(self, engine: str) -> bool:
        """Whether the other processes have lately told what this one may fill."""
        return self._exchange.clock() < self.slots[engine].until

    def begin(self, turn: Turn, engine: str) -> None:
        """Let a request go to an engine, or on without one."""
        if turn.waiting is not None:
            self.queue.leave(turn)
        if turn.department.counter > self.queue.time:
            self.queue.time = turn.department.counter
        turn.begin(engine)
        if engine:
            slots = self.slots[engine]
            slots.filled += 1
            if self.due_at == _NOBODY:
                # The others must go on hearing of it for as long as it lasts.
                self.ask_soon(RENEW_SECONDS)
            if slots.holders > 1 and slots.filled >= slots.held:
                self.ask_soon()

    def empty(self, engine: str) -> None:
        """A request has come back from an engine; the next one may go."""
        slots = self.slots[engine]
        slots.filled -= 1
        if slots.elsewhere < _NOBODY and slots.elsewhere < self.queue.head():
            # Somebody in another process is next.
            slots.held = slots.filled
            self.ask_soon()
        else:
            self.dispatch()
            if slots.filled < slots.held and slots.free < slots.holders:
                # It is the last one, and somebody in another process may want it.
                self.ask_soon(_GATHER_SECONDS)

    def dispatch(self) -> None:
        """Let waiting requests go as long as there are slots to fill."""
        while self.queue.waiting and (found := self.queue.next(lambda engine: self.is_free(self.slots[engine]))):
            self.begin(*found)

    def ask_soon(self, seconds: float = 0.0) -> None:
        """Agree with the other processes, after so many seconds at the latest."""
        self.due_at = min(self.due_at, self._exchange.clock() + seconds)
        self._wake()

    async def agree(self) -> None:
        """Tell the other processes what is filled and who waits here; learn what this one may fill."""
        now = self._exchange.clock()
        is_used = bool(self.queue.waiting) or any(slots.filled for slots in self.slots.values())
        departments = [one for one in self.queue.departments.values() if one.length or one.served or one.floor]
        told = [(one, one.floor, one.served) for one in departments]
        for one in departments:
            one.floor = one.served = 0.0
        engines = list(self.slots.items())
        arguments: list[Any] = [self.queue.time, min(self.queue.head(), 1e300), len(told)]
        for one, floor, served in told:
            arguments += (one.id, floor, served)
        for engine, slots in engines:
            arguments += (slots.size, slots.filled, self.queue.wanted(engine))
            if slots.free < slots.holders:
                # What is not filled may be another's by the time the answer is here.
                slots.held = slots.filled
        filled = {engine: slots.filled for engine, slots in engines}
        answer = await self._exchange([self._key, *(f"{self._key}:{engine}" for engine, _ in engines)], arguments)
        if answer is None:
            for one, floor, served in told:
                one.floor, one.served = max(one.floor, floor), one.served + served
            for _, slots in engines:
                slots.held, slots.until, slots.elsewhere = self._share(slots), now + LIFE_SECONDS, _NOBODY
        else:
            time, counters, shares = answer
            self.queue.agree(float(time), zip(departments, map(float, counters), strict=True))
            for (engine, slots), (held, elsewhere, free, holders) in zip(engines, shares, strict=True):
                # What came back while this was being asked has not been told yet, but is not held any more either.
                slots.held = max(held - max(filled[engine] - slots.filled, 0), slots.filled)
                slots.until = now + LIFE_SECONDS
                slots.elsewhere = float(elsewhere) if elsewhere else _NOBODY
                slots.free, slots.holders = free, holders
        if self.queue.waiting:
            self.due_at = now + POLL_SECONDS
        else:
            # Nobody needs to hear of a pool that nobody uses; what it held is free when its time is over.
            self.due_at = now + RENEW_SECONDS if is_used else _NOBODY
        QUEUED.set(sum(one.length for one in self.queue.waiting.values()))
        self.dispatch()

    def _share(self, slots: Slots) -> int:
        return max(slots.size // max(self._exchange.processes, slots.holders), 1)

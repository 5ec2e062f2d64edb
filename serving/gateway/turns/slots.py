"""The slots of one base model's engines that this process may fill, kept in step with the other gateway processes.

No slot is ever two processes'. What a process tells Redis it may still fill while the answer travels is not given to
others, nor is what it may have filled since, for as long as it may just be slow to tell. When Redis does not answer, it
goes on with what was agreed for as long as that holds, and then by its share of the slots: only then can an engine have
more requests than slots, by what other processes had under way beyond their shares. When Redis is back, it takes no
more than it has until the others have had time to tell what they have.
"""

import asyncio
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis.asyncio
import structlog
from redis.exceptions import RedisError

from serving.gateway.observing.metrics import QUEUED, TURNS_ALONE
from serving.gateway.turns.queue import Queue, Turn

log = structlog.get_logger(__name__)

SCRIPT = Path(__file__).with_name("turns.lua").read_text()
KEY_PREFIX = "polygraft:turns"
LIFE_SECONDS = 2.0
# How long what a silent process has under way is taken to be there still: a killed one's slots stay empty for so long.
SILENCE_SECONDS = 6.0
RENEW_SECONDS = 0.25
# How often a process asks in which requests wait: somebody in another one may be before them.
POLL_SECONDS = 0.005
_GATHER_SECONDS = 0.005
_ANSWER_SECONDS = 0.5
# In this time every process has told a Redis that is back what it has.
_HEARING_SECONDS = 1.0
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
                lives = int(LIFE_SECONDS * 1000), int(SILENCE_SECONDS * 1000)
                return await self._script(keys=keys, args=[self._name, *lives, *arguments])
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("turns.alone", reason=str(error) or type(error).__name__)
            return None


class Pool:
    """The queue for the engines of one base model, and their slots."""

    def __init__(self, base_model_id: int, exchange: Exchange, wake: Callable[[], None]) -> None:
        self.queue = Queue()
        self.slots: dict[str, Slots] = {}
        self.due_at = 0.0
        self._away_since: float | None = None
        # Until then a Redis that was away may not know of all that is under way.
        self._doubtful_until = 0.0
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
            slots.held = self._kept(slots, now)
            arguments += (slots.size, slots.filled, slots.held, self.queue.wanted(engine))
        filled = {engine: slots.filled for engine, slots in engines}
        answer = await self._exchange([self._key, *(f"{self._key}:{engine}" for engine, _ in engines)], arguments)
        TURNS_ALONE.set(answer is None and is_used)
        if answer is None:
            for one, floor, served in told:
                one.floor, one.served = max(one.floor, floor), one.served + served
            self._go_on_alone(now)
        else:
            if self._away_since is not None:
                self._away_since, self._doubtful_until = None, now + _HEARING_SECONDS
            time, counters, shares = answer
            self.queue.agree(float(time), zip(departments, map(float, counters), strict=True))
            for (engine, slots), (held, elsewhere, free, holders) in zip(engines, shares, strict=True):
                allowed = min(held, slots.held) if now < self._doubtful_until else held
                # What came back while this was being asked has not been told yet, but is not held any more either.
                slots.held = max(allowed - max(filled[engine] - slots.filled, 0), slots.filled)
                slots.until = now + LIFE_SECONDS
                slots.elsewhere = float(elsewhere) if elsewhere else _NOBODY
                slots.free, slots.holders = free, holders
        if self.queue.waiting and answer is not None:
            self.due_at = now + POLL_SECONDS
        else:
            # Nobody needs to hear of a pool that nobody uses; what it held is free when its time is over.
            self.due_at = now + RENEW_SECONDS if is_used else _NOBODY
        QUEUED.set(sum(one.length for one in self.queue.waiting.values()))
        self.dispatch()

    def _kept(self, slots: Slots, now: float) -> int:
        """How many slots this process may fill while it asks the others; they are told, and get none of these."""
        if self._away_since is not None or now < self._doubtful_until:
            # What Redis was told last is not known: no less than has been kept so far.
            return slots.held if now < slots.until else max(self._share(slots), slots.filled)
        if now >= slots.until or slots.free < slots.holders or slots.elsewhere < _NOBODY:
            return slots.filled
        return slots.filled + (slots.held - slots.filled) // 2

    def _go_on_alone(self, asked_at: float) -> None:
        """Redis does not answer: what was agreed holds for a while, and then there are only shares."""
        now = self._exchange.clock()
        if self._away_since is None:
            self._away_since = asked_at
        if now - self._away_since >= LIFE_SECONDS:
            for slots in self.slots.values():
                if now >= slots.until:
                    slots.held, slots.until, slots.elsewhere = self._share(slots), now + LIFE_SECONDS, _NOBODY

    def _share(self, slots: Slots) -> int:
        return max(slots.size // max(self._exchange.processes, slots.holders), 1)

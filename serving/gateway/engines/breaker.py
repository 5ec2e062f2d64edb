"""Keeps requests from engines that fail: a circuit breaker per engine, closed again by a probe and not by a caller.

closed     requests go there; three failures in a row, or one refused connection, open it
open       requests go there only when no other engine is left; a probe is due after a second, then after twice as long
half-open  the probe is under way: the least piece of work closes the breaker, anything else opens it again
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import orjson
import structlog

from serving.engines.probes import PROBES, is_made_for_else
from serving.fleet.registry import EngineEntry
from serving.gateway.engines.connection import BrokenOff, Silent, Stalled
from serving.gateway.engines.pool import Pool, Unreachable, request_bytes
from serving.gateway.observing.metrics import BREAKERS_OPEN, BREAKERS_OPENED

log = structlog.get_logger(__name__)

_FAILURES = 3
_FIRST_DELAY, _LONGEST_DELAY = 1.0, 30.0
_PROBE_SECONDS = 5.0


@dataclass(slots=True)
class _Open:
    engine: EngineEntry
    delay: float
    due: float


class Breakers:
    """The breakers of one gateway process. `open` maps the ids of engines that are avoided to their breakers."""

    def __init__(self, probe: Callable[[EngineEntry], Awaitable[bool]]) -> None:
        """Take a probe, which says whether an engine works."""
        self.open: dict[str, _Open] = {}
        # Engine id → failures in a row, while it has any.
        self.failing: dict[str, int] = {}
        self._probe = probe
        self._opened = asyncio.Event()

    def failed(self, engine: EngineEntry, reason: str, *, at_once: bool = False) -> None:
        """An engine has failed; `at_once` when that leaves no doubt."""
        count = self.failing[engine.id] = self.failing.get(engine.id, 0) + 1
        if (at_once or count >= _FAILURES) and engine.id not in self.open:
            self.open[engine.id] = _Open(engine, _FIRST_DELAY, time.monotonic() + _FIRST_DELAY)
            self._opened.set()
            BREAKERS_OPENED.labels(reason).inc()
            BREAKERS_OPEN.set(len(self.open))
            log.warning("breaker.opened", engine_id=engine.id, reason=reason)

    def answered(self, engine_id: str) -> None:
        """An engine that was failing has answered. Call it only for those in `failing`."""
        self.failing.pop(engine_id, None)
        if self.open.pop(engine_id, None) is not None:
            BREAKERS_OPEN.set(len(self.open))
            log.info("breaker.closed", engine_id=engine_id)

    def forget_all_but(self, engine_ids: set[str]) -> None:
        """Engines that are gone are not probed any more."""
        for engine_id in (self.failing.keys() | self.open.keys()) - engine_ids:
            self.failing.pop(engine_id, None)
            self.open.pop(engine_id, None)
        BREAKERS_OPEN.set(len(self.open))

    async def run(self) -> None:
        """Probe the engines behind open breakers as they fall due, until cancelled."""
        while True:
            due = min((breaker.due for breaker in self.open.values()), default=None)
            self._opened.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else max(0.0, due - time.monotonic())):
                    await self._opened.wait()
                    continue
            now = time.monotonic()
            await asyncio.gather(*(self._half_open(breaker) for breaker in self.open.values() if breaker.due <= now))

    async def _half_open(self, breaker: _Open) -> None:
        if await self._probe(breaker.engine):
            self.answered(breaker.engine.id)
        else:
            breaker.delay = min(breaker.delay * 2, _LONGEST_DELAY)
            breaker.due = time.monotonic() + breaker.delay


async def works(pool: Pool, engine: EngineEntry) -> bool:
    """Whether an engine's base model does the least that it is made for, within seconds; one merely full passes."""
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            for probe in PROBES:
                body = orjson.dumps({"model": engine.base_model} | probe.body)
                status, answer = await _ask(pool, engine, probe.path, body)
                if not is_made_for_else(status, answer):
                    break
            return status in (200, 429, 503)
    except (Unreachable, BrokenOff, Silent, Stalled, TimeoutError):
        return False


async def _ask(pool: Pool, engine: EngineEntry, path: str, body: bytes) -> tuple[int, bytes]:
    connection = await pool.ask(engine.address, request_bytes(path, engine.address, engine.secret, body))
    try:
        return connection.status, await connection.read_all()
    finally:
        pool.give_back(engine.address, connection)

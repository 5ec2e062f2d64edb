"""Knows the living engines: a snapshot of the registry in Redis, and how busy this process keeps each."""

import asyncio
import contextlib
import time

import redis.asyncio
import structlog
from redis.exceptions import RedisError

from serving.registry import ENGINES_KEY, STALE_SECONDS, EngineEntry, parse_engines

log = structlog.get_logger(__name__)

POLL_SECONDS = 2.0


class Fleet:
    """The engines as the registry last told.

    While Redis is away the last snapshot stays in force: the engines still run. When it comes back empty, engines are
    believed to live until their agents have had time to write them again.
    """

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.engines: tuple[EngineEntry, ...] = ()
        # Engine id → requests of this process under way there.
        self.in_flight: dict[str, int] = {}
        self._client = client
        self._changed = asyncio.Event()
        # Nothing can be missing that was never seen.
        self._connected = True
        self._doubtful_until = 0.0

    def enter(self, engine_id: str) -> None:
        """A request goes to this engine."""
        self.in_flight[engine_id] = self.in_flight.get(engine_id, 0) + 1

    def leave(self, engine_id: str) -> None:
        """A request has come back from this engine."""
        self.in_flight[engine_id] -= 1
        if not self.in_flight[engine_id]:
            # Engines come and go; their counts must not stay.
            del self.in_flight[engine_id]

    def drop(self) -> None:
        """The registry has changed: read it again soon."""
        self._changed.set()

    def connected(self, connected: bool) -> None:
        """Redis is away, or back: it may have lost its memory, and what is missing there is doubtful for a while."""
        if not connected or not self._connected:
            self._doubtful_until = time.monotonic() + STALE_SECONDS
        self._connected = connected
        self._changed.set()

    async def refresh(self) -> None:
        """Read the registry now. Never raises: when it cannot be read, the last snapshot stays."""
        try:
            async with asyncio.timeout(POLL_SECONDS):
                entries = await self._client.hgetall(ENGINES_KEY)
            found = parse_engines(entries)  # type: ignore[arg-type]  # bytes, as we decode nothing
        except (RedisError, OSError):
            self._doubtful_until = time.monotonic() + STALE_SECONDS
            return
        except Exception:
            log.exception("registry.unreadable")
            return
        if time.monotonic() < self._doubtful_until:
            ids = {engine.id for engine in found}
            found += [engine for engine in self.engines if engine.id not in ids]
        self.engines = tuple(found)

    async def run(self) -> None:
        """Keep the snapshot fresh, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._changed.wait()
            self._changed.clear()
            await self.refresh()

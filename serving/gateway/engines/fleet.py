"""Knows the living engines and how busy each is; tells what is asked of them, and waits for what they are to load."""

import asyncio
import contextlib
import time
from collections import Counter

import redis.asyncio
import structlog
from redis.exceptions import RedisError

from polygraft.live import CHANNEL, Change
from serving.fleet.registry import ENGINES_KEY, STALE_SECONDS, EngineEntry, asked_key, parse_engines
from serving.gateway.engines.breaker import Breakers
from serving.gateway.turns.peers import KEY as PEERS_KEY
from serving.gateway.turns.peers import Peers, gone

log = structlog.get_logger(__name__)

POLL_SECONDS = 1.0
# What a request of which nothing is known may cost.
USUAL_TOKENS = 256
_READY = "ready"
_EAGER = "eager"


class Fleet:
    """The engines as the registry last told.

    While Redis is away the last snapshot stays in force: the engines still run. When it comes back empty, engines are
    believed to live until their agents have had time to write them again.
    """

    def __init__(self, client: redis.asyncio.Redis, breakers: Breakers) -> None:
        self.engines: tuple[EngineEntry, ...] = ()
        self.breakers = breakers
        # Engine id → tokens that requests of this process may still cost there.
        self.outstanding: dict[str, int] = {}
        self._elsewhere: Counter[str] = Counter()
        # Engine id → the same by the engine's own count of its requests, which knows of those that nobody here sent.
        self._measured: dict[str, int] = {}
        self._peers = Peers()
        # Engine id → adapter name → when it was last asked for, in Unix seconds; not yet told.
        self._asked: dict[str, dict[str, float]] = {}
        # The engines that were asked to load an adapter since the last snapshot.
        self._called: set[tuple[str, str]] = set()
        # From base model and adapter name to the engines that can answer, until the next snapshot.
        self._ready: dict[int, list[EngineEntry]] = {}
        self._holders: dict[tuple[int, str], list[EngineEntry]] = {}
        self._client = client
        self._changed = asyncio.Event()
        self._refreshed = asyncio.Event()
        # Nothing can be missing that was never seen.
        self._connected = True
        self._doubtful_until = 0.0

    def ready(self, base_model_id: int) -> list[EngineEntry]:
        """The ready engines of a base model."""
        found = self._ready.get(base_model_id)
        if found is None:
            found = self._ready[base_model_id] = [
                engine for engine in self.engines if engine.base_model_id == base_model_id and engine.state == _READY
            ]
        return found

    def holders(self, base_model_id: int, adapter: str) -> list[EngineEntry]:
        """Those of them that have an adapter loaded, by its name in engines."""
        key = (base_model_id, adapter)
        found = self._holders.get(key)
        if found is None:
            found = self._holders[key] = [engine for engine in self.ready(base_model_id) if adapter in engine.resident]
        return found

    def lost(self, engine: EngineEntry, adapter: str) -> None:
        """An engine says that it does not hold an adapter: it is not believed to before the next snapshot."""
        holders = self._holders.get((engine.base_model_id, adapter), ())
        self._holders[engine.base_model_id, adapter] = [holder for holder in holders if holder is not engine]
        self._changed.set()

    def load(self, engine_id: str) -> int:
        """The tokens that an engine may still have to do: by what gateways have under way, and by its own account."""
        known = self.outstanding.get(engine_id, 0) + self._elsewhere.get(engine_id, 0)
        return max(known, self._measured.get(engine_id, 0))

    def enter(self, engine_id: str, tokens: int) -> None:
        """A request goes to this engine, and may cost so many tokens."""
        self.outstanding[engine_id] = self.outstanding.get(engine_id, 0) + tokens

    def leave(self, engine_id: str, tokens: int) -> None:
        """A request has come back from this engine."""
        left = self.outstanding[engine_id] - tokens
        if left:
            self.outstanding[engine_id] = left
        else:
            # Engines come and go; their counts must not stay.
            del self.outstanding[engine_id]

    def note_use(self, engine: EngineEntry, adapter: str) -> None:
        """An adapter is used; where not all of them are held, the most recently used ones stay."""
        if engine.residency != _EAGER:
            self._asked.setdefault(engine.id, {})[adapter] = time.time()

    async def ask_for(self, engine: EngineEntry, adapter: str) -> None:
        """Have an engine load an adapter, soon. When Redis is away, it does not happen."""
        if (engine.id, adapter) in self._called:
            return  # somebody has just asked; the engine is at it
        self._called.add((engine.id, adapter))
        with contextlib.suppress(RedisError, OSError):
            async with asyncio.timeout(POLL_SECONDS), self._client.pipeline(transaction=False) as pipe:
                pipe.zadd(asked_key(engine.id), {adapter: time.time()})
                pipe.publish(CHANNEL, Change.WORK.value)
                await pipe.execute()

    async def news(self, until: float) -> None:
        """Wait for a fresher snapshot, at most until a reading of `time.monotonic`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(until - time.monotonic()):
                await self._refreshed.wait()

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
        """Tell and hear the latest now. Never raises: when nothing can be read, the last snapshot stays."""
        asked, self._asked = self._asked, {}
        try:
            async with asyncio.timeout(2 * POLL_SECONDS):
                entries, reports = await self._exchange(asked)
            found = parse_engines(entries)
            self._elsewhere = self._peers.outstanding(reports)
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
        self._measured = {
            engine.id: (engine.running + engine.waiting) * USUAL_TOKENS
            for engine in found
            if engine.running or engine.waiting
        }
        self._ready = {}
        self._holders = {}
        self._called = set()
        if self.breakers.failing:
            self.breakers.forget_all_but({engine.id for engine in found})
        self._refreshed.set()
        self._refreshed = asyncio.Event()

    async def run(self) -> None:
        """Keep the snapshot fresh, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._changed.wait()
            self._changed.clear()
            await self.refresh()

    async def _exchange(self, asked: dict[str, dict[str, float]]) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
        """One round trip: own report and the adapters in use out, engines and the other gateways' reports in."""
        async with self._client.pipeline(transaction=False) as pipe:
            name, report = self._peers.report(self.outstanding, self.breakers.open)
            pipe.hset(PEERS_KEY, name, report)
            for engine_id, adapters in asked.items():
                pipe.zadd(asked_key(engine_id), adapters)
            pipe.hgetall(PEERS_KEY)
            pipe.hgetall(ENGINES_KEY)
            *_, reports, entries = await pipe.execute()
            if dead := gone(reports):
                pipe.hdel(PEERS_KEY, *dead)
                await pipe.execute()
        return entries, reports

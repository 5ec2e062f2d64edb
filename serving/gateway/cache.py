"""Keeps looked-up values for a while, looks each up once at a time, and forgets all of them at once.

While the database is away, what was known goes on being believed for a time: nothing can be changed meanwhile. What was
forgotten because it had changed stays forgotten.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from serving.gateway.errors import DatabaseAway
from serving.gateway.observing.metrics import STALE_ANSWERS

K = TypeVar("K")
V = TypeVar("V")

CONNECTED_SECONDS = 30.0
# Without announcements of changes nothing may be believed for longer than a change may take to arrive.
ALONE_SECONDS = 1.0
# How long a database that has just been away is not asked again for the same thing.
_AWAY_SECONDS = 2.0


class Cache(Generic[K, V]):
    """A bounded cache in front of a look-up.

    What was looked up while `drop` was called is returned to who waits for it but not kept: it may be from before
    the change. `lifetime` says how long a value may be kept at most, in seconds; `grace`, how long since it was looked
    up it may be used while the database is away.
    """

    def __init__(
        self, *, capacity: int, lifetime: Callable[[V], float] = lambda _: CONNECTED_SECONDS, grace: float = 0.0
    ) -> None:
        self._capacity = capacity
        self._lifetime = lifetime
        self._grace = grace
        # Until when it is believed, the value, and when it was looked up.
        self._kept: dict[K, tuple[float, V, float]] = {}
        self._pending: dict[K, asyncio.Future[V]] = {}
        self._ceiling = ALONE_SECONDS

    def kept(self, key: K) -> V | None:
        """The value of a key if it is kept, without the cost of waiting for it."""
        kept = self._kept.get(key)
        return kept[1] if kept is not None and kept[0] > time.monotonic() else None

    async def get(self, key: K, look_up: Callable[[], Awaitable[V]]) -> V:
        """The value of a key, looked up when it is not kept.

        Raises:
            Whatever `look_up` raises, unless it is DatabaseAway and the value is known of old; errors are not kept.
        """
        kept = self.kept(key)
        if kept is not None:
            return kept
        pending = self._pending.get(key)
        if pending is None:
            pending = asyncio.ensure_future(self._fill(key, look_up))
            self._pending[key] = pending
        # A caller that leaves must not take the look-up from the others who wait for it.
        return await asyncio.shield(pending)

    def drop(self) -> None:
        """Forget everything, and keep nothing of what is being looked up now."""
        self._kept.clear()
        self._pending.clear()

    def connected(self, connected: bool) -> None:
        """Say whether `drop` will be called on changes; without, values live for a second only."""
        self._ceiling = CONNECTED_SECONDS if connected else ALONE_SECONDS
        # Changes may have been missed: everything is to be looked up again.
        self._kept = {key: (0.0, value, since) for key, (_, value, since) in self._kept.items()}
        self._pending.clear()

    async def _fill(self, key: K, look_up: Callable[[], Awaitable[V]]) -> V:
        mine = asyncio.current_task()
        try:
            since = time.monotonic()
            try:
                value = await look_up()
            except DatabaseAway:
                known = self._known_of_old(key)
                if known is None:
                    raise
                return known[0]
            if self._pending.get(key) is mine:
                if len(self._kept) >= self._capacity:
                    self._kept.pop(next(iter(self._kept)))
                # Popped first, so that the order of the dictionary stays the order of age.
                self._kept.pop(key, None)
                seconds = min(self._lifetime(value), self._ceiling)
                self._kept[key] = (time.monotonic() + seconds, value, since)
            return value
        finally:
            if self._pending.get(key) is mine:
                del self._pending[key]

    def _known_of_old(self, key: K) -> tuple[V] | None:
        """What was known of a key before the database went away, if it is not too old."""
        known = self._kept.get(key)
        now = time.monotonic()
        if known is None or now - known[2] > self._grace:
            return None
        STALE_ANSWERS.inc()
        self._kept[key] = (now + _AWAY_SECONDS, known[1], known[2])
        return (known[1],)

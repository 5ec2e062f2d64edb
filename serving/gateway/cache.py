"""Keeps looked-up values for a while, looks each up once at a time, and forgets all of them at once."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

CONNECTED_SECONDS = 30.0
# Without announcements of changes nothing may be believed for longer than a change may take to arrive.
ALONE_SECONDS = 1.0


class Cache(Generic[K, V]):
    """A bounded cache in front of a look-up.

    What was looked up while `drop` was called is returned to who waits for it but not kept: it may be from before
    the change. `lifetime` says how long a value may be kept at most, in seconds.
    """

    def __init__(self, *, capacity: int, lifetime: Callable[[V], float] = lambda _: CONNECTED_SECONDS) -> None:
        self._capacity = capacity
        self._lifetime = lifetime
        self._kept: dict[K, tuple[float, V]] = {}
        self._pending: dict[K, asyncio.Future[V]] = {}
        self._ceiling = ALONE_SECONDS

    async def get(self, key: K, look_up: Callable[[], Awaitable[V]]) -> V:
        """The value of a key, looked up when it is not kept.

        Raises:
            Whatever `look_up` raises; errors are not kept.
        """
        kept = self._kept.get(key)
        if kept is not None and kept[0] > time.monotonic():
            return kept[1]
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
        self.drop()

    async def _fill(self, key: K, look_up: Callable[[], Awaitable[V]]) -> V:
        mine = asyncio.current_task()
        try:
            value = await look_up()
            if self._pending.get(key) is mine:
                if len(self._kept) >= self._capacity:
                    self._kept.pop(next(iter(self._kept)))
                # Popped first, so that the order of the dictionary stays the order of age.
                self._kept.pop(key, None)
                seconds = min(self._lifetime(value), self._ceiling)
                self._kept[key] = (time.monotonic() + seconds, value)
            return value
        finally:
            if self._pending.get(key) is mine:
                del self._pending[key]

"""Listens for announcements of changes, one subscription per process, and notices when they cannot arrive."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import redis.asyncio
import structlog
from redis.exceptions import RedisError

from polygraft.live import CHANNEL, Change

log = structlog.get_logger(__name__)

_PING_SECONDS = 2.0
_SILENCE_SECONDS = 6.0
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 2.0


class Listener(Protocol):
    """What caches something that others may change."""

    def drop(self) -> None:
        """Forget everything."""

    def connected(self, connected: bool) -> None:
        """Begin or cease to count on `drop` being called."""


async def watch(
    client: redis.asyncio.Redis, listeners: Mapping[Change, Listener], on_engines: Callable[[], None]
) -> None:
    """Pass announcements on, until cancelled.

    Args:
        client: a client that does not reconnect by itself: what was announced meanwhile would be missed unnoticed.
        listeners: whose cache each change concerns.
        on_engines: called when the engine registry has changed.
    """
    delay = _FIRST_DELAY
    connected = False
    while True:
        try:
            async with client.pubsub() as subscription:
                await subscription.subscribe(CHANNEL)
                heard = time.monotonic()
                while True:
                    message = await subscription.get_message(timeout=_PING_SECONDS)
                    if message is None:
                        # A connection that died without a word shows only by its silence.
                        if time.monotonic() - heard > _SILENCE_SECONDS:
                            raise RedisError("Redis has fallen silent.")
                        await subscription.ping()
                        continue
                    heard = time.monotonic()
                    if message["type"] == "subscribe":
                        connected, delay = True, _FIRST_DELAY
                        _tell(listeners, connected=True)
                        on_engines()
                    elif message["type"] == "message":
                        _pass_on(message["data"], listeners, on_engines)
        except (RedisError, OSError) as error:
            if connected:
                log.warning("announcements.lost", reason=str(error))
            connected = False
            _tell(listeners, connected=False)
        await asyncio.sleep(delay)
        delay = min(delay * 2, _LONGEST_DELAY)


def _tell(listeners: Mapping[Change, Listener], *, connected: bool) -> None:
    for listener in listeners.values():
        listener.connected(connected)


def _pass_on(announced: bytes, listeners: Mapping[Change, Listener], on_engines: Callable[[], None]) -> None:
    if announced == Change.ENGINES.value.encode():
        on_engines()
        return
    for change, listener in listeners.items():
        if announced == change.value.encode():
            listener.drop()

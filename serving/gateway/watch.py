"""Listens for announcements of changes, one subscription per process, and notices when they cannot arrive."""

import asyncio
import time
from collections.abc import Mapping
from typing import Protocol

import redis.asyncio
import structlog
from redis.exceptions import RedisError

from polygraft.live import CHANNEL, Change
from serving.gateway.observing.metrics import REDIS_CONNECTED

log = structlog.get_logger(__name__)

_PING_SECONDS = 2.0
_SILENCE_SECONDS = 6.0
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 2.0


class Listener(Protocol):
    """What remembers something that others may change."""

    def drop(self) -> None:
        """It has changed."""

    def connected(self, connected: bool) -> None:
        """From now on `drop` is called on changes, or cannot be. In between changes may have been missed."""


async def watch(client: redis.asyncio.Redis, listeners: Mapping[Change, Listener]) -> None:
    """Pass announcements on, until cancelled.

    Args:
        client: a client that does not reconnect by itself: what was announced meanwhile would be missed unnoticed.
        listeners: who is told of each change.
    """
    by_word = {change.value.encode(): listener for change, listener in listeners.items()}
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
                    elif message["type"] == "message" and message["data"] in by_word:
                        by_word[message["data"]].drop()
        except (RedisError, OSError) as error:
            if connected:
                log.warning("announcements.lost", reason=str(error))
            connected = False
            _tell(listeners, connected=False)
        await asyncio.sleep(delay)
        delay = min(delay * 2, _LONGEST_DELAY)


def _tell(listeners: Mapping[Change, Listener], *, connected: bool) -> None:
    REDIS_CONNECTED.set(connected)
    for listener in listeners.values():
        listener.connected(connected)

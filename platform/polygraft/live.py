"""Redis for what is live: one client per process, and announcements that something changed."""

from collections.abc import Iterator
from enum import StrEnum
from functools import cache

import redis
import redis.asyncio

from polygraft.conf import config

CHANNEL = "polygraft:changes"


class Change(StrEnum):
    """What changed; subscribers drop what they cached of it or look for work."""

    GRANTS = "grants"  # keys, departments: gateways forget cached grants
    MODELS = "models"  # adapters, rollouts, base models: gateways forget resolved names
    ENGINES = "engines"  # the engine registry: gateways read it again
    WANTED = "wanted"  # somebody asks for engines that sleep: agents have the reconciler run
    WORK = "work"  # desired state: node agents compare it with their engines


@cache
def redis_client() -> redis.Redis:
    """This process's blocking client; connections are pooled and thread-safe."""
    return redis.Redis.from_url(config().redis_url, socket_connect_timeout=2, socket_timeout=10)


def async_redis_client() -> redis.asyncio.Redis:
    """A new asyncio client, for the event loop that asks for it."""
    return redis.asyncio.Redis.from_url(config().redis_url, socket_connect_timeout=2)


def announce(*changes: Change) -> None:
    """Tell every process that something changed. Never raises: who misses it finds out by polling."""
    try:
        client = redis_client()
        for change in changes:
            client.publish(CHANNEL, change.value)
    except redis.RedisError:
        return


def changes(*, poll_seconds: float) -> Iterator[set[Change]]:
    """Wait for announcements, forever.

    Yields:
        The changes announced since the last turn; an empty set when none came within `poll_seconds`.
    """
    subscription = redis_client().pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
    subscription.subscribe(CHANNEL)
    while True:
        seen: set[Change] = set()
        wait = poll_seconds
        while message := subscription.get_message(timeout=wait):
            if message["type"] == "message":
                seen.add(Change(message["data"].decode()))
            wait = 0
        yield seen

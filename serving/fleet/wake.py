"""How a gateway asks for engines that sleep, and how it learns that they do.

The reconciler keeps `ASLEEP_KEY` (base model id → seconds that its engines take to wake); a gateway that
finds no engine calls `wake`, which marks the base model in `WANTED_KEY` and announces it; an agent then has the
reconciler run at once.
"""

import redis
import redis.asyncio

from polygraft.live import CHANNEL, Change

ASLEEP_KEY = "polygraft:asleep"
WANTED_KEY = "polygraft:wanted"


async def wake(client: redis.asyncio.Redis, base_model_id: int) -> int | None:
    """Ask for a base model's sleeping engines.

    Returns:
        The seconds that they are expected to take, or None: none of its deployments sleeps, so waiting is in vain.

    Raises:
        redis.RedisError: Redis is away.
    """
    expected = await client.hget(ASLEEP_KEY, str(base_model_id))
    if expected is None:
        return None
    await client.sadd(WANTED_KEY, base_model_id)
    await client.publish(CHANNEL, Change.WANTED.value)
    return int(expected)


def wanted_take(client: redis.Redis) -> set[int]:
    """The base models that were asked for since the last call."""
    with client.pipeline(transaction=True) as pipe:
        pipe.smembers(WANTED_KEY)
        pipe.delete(WANTED_KEY)
        members, _ = pipe.execute()
    return {int(member) for member in members}


def asleep_publish(client: redis.Redis, expected_seconds: dict[int, int]) -> None:
    """Say which base models sleep, and how long each is expected to take to wake."""
    with client.pipeline(transaction=True) as pipe:
        pipe.delete(ASLEEP_KEY)
        if expected_seconds:
            pipe.hset(ASLEEP_KEY, mapping={str(pk): seconds for pk, seconds in expected_seconds.items()})
        pipe.execute()

"""A clock that only the test moves, and the tests' Redis with that clock's time."""

from collections.abc import Callable
from typing import Any

from polygraft.live import redis_client


class Clock:
    """A time that only the test moves, in seconds."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class SimulatedRedis:
    """The tests' Redis, except that scripts find the clock's time there."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def register_script(self, script: str) -> Callable[..., Any]:
        told = script.replace("redis.call('TIME')", "{ARGV[#ARGV - 1], ARGV[#ARGV]}")
        assert told != script
        run = redis_client().register_script(told)

        async def call(*, keys: list[str], args: list[Any]) -> Any:
            seconds = int(self.clock.now)
            return run(keys=keys, args=[*args, seconds, int((self.clock.now - seconds) * 1e6)])

        return call

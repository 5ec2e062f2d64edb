"""A gateway asks for sleeping engines, and the reconciler hears it."""

import pytest

from polygraft.live import async_redis_client, redis_client
from serving.fleet.wake import ASLEEP_KEY, WANTED_KEY, asleep_publish, wake, wanted_take


@pytest.fixture(autouse=True)
def _nothing_sleeps() -> None:
    redis_client().delete(ASLEEP_KEY, WANTED_KEY)


async def test_who_asks_for_what_sleeps_learns_how_long_it_takes_and_is_heard_once() -> None:
    asleep_publish(redis_client(), {7: 40})
    client = async_redis_client()
    try:
        assert await wake(client, 7) == 40
        assert await wake(client, 7) == 40
    finally:
        await client.aclose()
    assert wanted_take(redis_client()) == {7}
    assert wanted_take(redis_client()) == set()


async def test_who_asks_for_what_does_not_sleep_is_told_not_to_wait() -> None:
    asleep_publish(redis_client(), {7: 40})
    asleep_publish(redis_client(), {})
    client = async_redis_client()
    try:
        assert await wake(client, 7) is None
    finally:
        await client.aclose()
    assert wanted_take(redis_client()) == set()

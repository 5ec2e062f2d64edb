"""The gateway's background tasks end when they are told to."""

import asyncio

from serving.gateway.parts import _end


async def test_a_task_that_swallows_a_cancellation_is_cancelled_again() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed += 1
        await asyncio.Event().wait()

    tasks = {asyncio.create_task(work) for work in (stubborn(), asyncio.sleep(60))}
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await _end(tasks)
    assert all(task.cancelled() for task in tasks)
    assert swallowed == 1

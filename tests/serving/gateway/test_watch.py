"""The subscription to announcements: what is passed on, and what happens when it breaks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from polygraft.live import CHANNEL, Change, announce, async_redis_client, redis_client
from serving.gateway.watch import watch


class Notes:
    """A listener that writes down what it is told."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.more = asyncio.Event()

    def drop(self) -> None:
        self.note("changed")

    def connected(self, connected: bool) -> None:
        self.note("connected" if connected else "lost")

    def note(self, word: str) -> None:
        self.written.append(word)
        self.more.set()

    async def until(self, *words: str) -> None:
        async with asyncio.timeout(60):
            while self.written != list(words):
                self.more.clear()
                await self.more.wait()


@pytest.fixture
async def notes() -> AsyncIterator[dict[Change, Notes]]:
    """Two listeners to a running watch."""
    client = async_redis_client()
    notes = {change: Notes() for change in (Change.GRANTS, Change.MODELS)}
    task = asyncio.create_task(watch(client, notes))
    await notes[Change.GRANTS].until("connected")
    yield notes
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await client.aclose()


async def test_each_change_reaches_the_one_whom_it_concerns(notes: dict[Change, Notes]) -> None:
    announce(Change.MODELS, Change.WORK, Change.GRANTS, Change.MODELS)
    await notes[Change.MODELS].until("connected", "changed", "changed")
    await notes[Change.GRANTS].until("connected", "changed")


async def test_words_that_nobody_knows_are_passed_over(notes: dict[Change, Notes]) -> None:
    redis_client().publish(CHANNEL, b"\xff nonsense")
    announce(Change.GRANTS)
    await notes[Change.GRANTS].until("connected", "changed")


async def test_a_subscription_that_breaks_is_told_and_made_again(notes: dict[Change, Notes]) -> None:
    redis_client().execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    await notes[Change.GRANTS].until("connected", "lost", "connected")
    announce(Change.GRANTS)
    await notes[Change.GRANTS].until("connected", "lost", "connected", "changed")

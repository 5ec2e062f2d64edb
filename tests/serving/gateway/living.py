"""Sees to it that objects are gone by themselves, without the garbage collector."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator


@contextlib.asynccontextmanager
async def nothing_left(kind: type) -> AsyncIterator[None]:
    """A block that leaves no object of exactly this type behind."""
    gc.collect()
    # They are kept, so that no new one is mistaken for one of them.
    before = _living(kind)
    gc.disable()
    try:
        yield
        async with asyncio.timeout(60):
            while len(_living(kind)) > len(before):  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.02)
    finally:
        gc.enable()


def _living(kind: type) -> list[object]:
    return [one for one in gc.get_objects() if type(one) is kind]

"""Cancels the work on a request when its client leaves."""

import asyncio
from types import TracebackType
from typing import Self

from polygraft.asgi_types import Receive
from serving.gateway.call import ClientLeft

# Most small requests are answered before, and never pay for a task that watches.
_GRACE_SECONDS = 0.02


class Departure:
    """A block that ends with ClientLeft as soon as the client closes its connection.

    The body of the request must have been read to its end before.
    """

    __slots__ = ("_left", "_receive", "_task", "_timer", "_watcher")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._left = False
        self._watcher: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        self._timer = asyncio.get_running_loop().call_later(_GRACE_SECONDS, self._begin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        # Who else cancelled the task, such as a server that shuts down, is obeyed.
        if self._left and kind is asyncio.CancelledError and self._task and self._task.uncancel() == 0:
            raise ClientLeft from None

    def _begin(self) -> None:
        self._watcher = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left = True
        if self._task is not None:
            self._task.cancel()

"""Cancels the work on a request when its client leaves."""

import asyncio
from types import TracebackType
from typing import Self

from polygraft.asgi_types import Receive

# Most small requests are answered before anybody looks, and never pay for a task that watches.
_LOOK_SECONDS = 0.02


class Departures:
    """Looks after requests under way: who is still there at the second look gets a watcher."""

    def __init__(self) -> None:
        # Dictionaries as ordered sets: since the last look, and since the one before.
        self._fresh: dict[Departure, None] = {}
        self._seen: dict[Departure, None] = {}
        self._looking = False

    def add(self, departure: "Departure") -> None:
        """A request is under way."""
        self._fresh[departure] = None
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def remove(self, departure: "Departure") -> None:
        """A request is done, or watched by now."""
        self._fresh.pop(departure, None)
        self._seen.pop(departure, None)

    def _look(self) -> None:
        for departure in self._seen:
            departure.watch()
        self._seen, self._fresh = self._fresh, {}
        self._looking = bool(self._seen)
        if self._looking:
            asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)


class Departure:
    """A block that ends soon after the client has closed its connection.

    It is looked out for from `begin` on, when the body of the request has been read to its end.
    """

    __slots__ = ("_departures", "_left", "_receive", "_task", "_watcher")

    def __init__(self, departures: Departures, receive: Receive) -> None:
        self._departures = departures
        self._receive = receive
        self._left = False
        self._watcher: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._departures.remove(self)
        if self._watcher is not None:
            self._watcher.cancel()
        # Who else cancelled the task, such as a server that shuts down, is obeyed.
        return self._left and kind is asyncio.CancelledError and self._task is not None and self._task.uncancel() == 0

    def begin(self) -> None:
        """Nothing more is to come from the client."""
        self._departures.add(self)

    def watch(self) -> None:
        """Begin to listen for the client's leaving; what happened before is heard at once."""
        self._watcher = asyncio.get_running_loop().create_task(self._listen())

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left = True
        if self._task is not None:
            self._task.cancel()

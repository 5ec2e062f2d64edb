"""Closes connections on which no next request comes, and all that only wait when their worker stops."""

import asyncio
from typing import Any, Protocol

# Longer than the pools of the usual clients keep a connection: who closes first must not be us.
_IDLE_SECONDS = 75.0
_SWEEP_SECONDS = 0.5


class Closable(Protocol):
    """A connection that can wait."""

    def close(self) -> None:
        """Close it."""


class IdleConnections:
    """The waiting connections of one gunicorn worker, looked after together: a timer for each would cost more."""

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        # In the order of their deadlines.
        self._deadlines: dict[Closable, float] = {}
        self._sweeping = False

    def add(self, connection: Closable) -> None:
        """A connection begins to wait."""
        loop: asyncio.AbstractEventLoop = self._worker.loop
        self._deadlines[connection] = loop.time() + _IDLE_SECONDS
        if not self._sweeping:
            self._sweeping = True
            loop.call_later(_SWEEP_SECONDS, self._sweep)

    def remove(self, connection: Closable) -> None:
        """It waits no more."""
        self._deadlines.pop(connection, None)

    def _sweep(self) -> None:
        loop: asyncio.AbstractEventLoop = self._worker.loop
        now = loop.time()
        for connection, deadline in list(self._deadlines.items()):
            if deadline > now and self._worker.alive:
                break
            connection.close()
        self._sweeping = bool(self._deadlines)
        if self._sweeping:
            loop.call_later(_SWEEP_SECONDS, self._sweep)

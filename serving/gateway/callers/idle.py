"""Closes connections on which no next request comes, and all that only wait when their worker stops."""

import asyncio
from typing import Any, Protocol

from polygraft.conf import config

# Longer than the pools of the usual clients keep a connection: who closes first must not be us.
_IDLE_SECONDS = 75.0
# How long what was sent may wait for a client that does not read.
_UNREAD_SECONDS = 30.0
_SWEEP_SECONDS = 0.5


class Connection(Protocol):
    """A connection. `waits_since` is when it began to wait for a request by its loop's clock, None while it is busy."""

    waits_since: float | None

    @property
    def is_new(self) -> bool:
        """Whether it waits for its first request."""

    def close(self) -> None:
        """Close it."""

    def refuse(self) -> None:
        """Close it, and tell its client that its request has not come."""

    def cut_off(self) -> None:
        """Close it if its client has not read what was sent."""


class Connections:
    """The connections of one gunicorn worker, looked after together: a timer for each would cost more."""

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        # Later requests may be longer in coming.
        self._first_seconds = config().request_head_timeout
        self._connections: set[Connection] = set()
        self._sweeping = False

    def add(self, connection: Connection) -> None:
        """A connection is there."""
        self._connections.add(connection)
        if not self._sweeping:
            self._sweeping = True
            self._worker.loop.call_later(_SWEEP_SECONDS, self._sweep)

    def remove(self, connection: Connection) -> None:
        """It is no more."""
        self._connections.discard(connection)

    def _sweep(self) -> None:
        loop: asyncio.AbstractEventLoop = self._worker.loop
        now = loop.time()
        longest = _IDLE_SECONDS if self._worker.alive else 0.0
        for connection in list(self._connections):
            if connection.waits_since is None:
                continue
            seconds = now - connection.waits_since
            if connection.is_new:
                if seconds >= self._first_seconds:
                    connection.refuse()
            elif seconds >= longest:
                connection.close()
            elif seconds >= _UNREAD_SECONDS:
                connection.cut_off()
        self._sweeping = bool(self._connections)
        if self._sweeping:
            loop.call_later(_SWEEP_SECONDS, self._sweep)

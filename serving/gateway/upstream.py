"""Sends requests to engines over pooled connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from serving.gateway.connection import BrokenOff, Connection

_MAX_IDLE = 512


class Unreachable(Exception):
    """No connection to the engine came about; it has not seen the request."""


def request_bytes(path: str, address: str, secret: str, body: bytes) -> bytes:
    """A whole POST request for an engine, which asks for its own bearer token."""
    head = (
        f"POST {path} HTTP/1.1\r\n"
        f"host: {address}\r\n"
        f"authorization: Bearer {secret}\r\n"
        "content-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Pool:
    """Keep-alive connections per address, `host:port`, the most recently used first."""

    def __init__(self, *, connect_timeout: float, idle_timeout: float) -> None:
        self._connect_timeout = connect_timeout
        self._idle_timeout = idle_timeout
        # Dictionaries as ordered sets: the last one in is the first one out, and any one can drop out.
        self._idle: dict[str, dict[Connection, None]] = {}

    @asynccontextmanager
    async def exchange(self, address: str, request: bytes) -> AsyncIterator[Connection]:
        """An exchange with an engine, from the head of its answer on.

        When the block is left before the body has been read to its end, the engine is told by a closed connection.

        Raises:
            Unreachable: no connection came about in time.
            BrokenOff, Silent: the engine took the request and failed.
        """
        connection = self._take(address)
        try:
            if connection is not None:
                try:
                    await connection.ask(request)
                except BrokenOff as error:
                    if not error.untouched:
                        raise
                    # The engine closed the idle connection just as it was being used again.
                    connection.end()
                    connection = None
            if connection is None:
                connection = await self._connect(address)
                await connection.ask(request)
            yield connection
        finally:
            if connection is not None and connection.end():
                self._keep(address, connection)

    def close(self) -> None:
        """Close every idle connection."""
        for connections in list(self._idle.values()):
            for connection in list(connections):
                connection.close()
        self._idle.clear()

    def _take(self, address: str) -> Connection | None:
        idle = self._idle.get(address)
        while idle:
            connection, _ = idle.popitem()
            if connection.usable:
                return connection
        return None

    def _keep(self, address: str, connection: Connection) -> None:
        idle = self._idle.setdefault(address, {})
        if len(idle) >= _MAX_IDLE:
            connection.close()
        else:
            idle[connection] = None

    async def _connect(self, address: str) -> Connection:
        loop = asyncio.get_running_loop()
        host, _, port = address.rpartition(":")

        def forget(connection: Connection) -> None:
            idle = self._idle.get(address)
            if idle is not None:
                idle.pop(connection, None)
                if not idle:
                    self._idle.pop(address, None)

        try:
            async with asyncio.timeout(self._connect_timeout):
                _, connection = await loop.create_connection(
                    lambda: Connection(loop, idle_timeout=self._idle_timeout, on_lost=forget),
                    host.strip("[]"),
                    int(port),
                )
        except (OSError, ValueError) as error:  # TimeoutError is an OSError
            raise Unreachable(f"{address}: {error!r}") from error
        return connection

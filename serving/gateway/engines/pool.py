"""Sends requests to engines over pooled connections."""

import asyncio
from functools import lru_cache

from serving.gateway.engines.connection import BrokenOff, Connection
from serving.gateway.engines.silence import Silence

_MAX_IDLE = 512


class Unreachable(Exception):
    """No connection to the engine came about; it has not seen the request."""


def request_bytes(path: str, address: str, secret: str, body: bytes, lines: str = "") -> bytes:
    """A whole POST request for an engine, which asks for its own bearer token; `lines` are more of its head."""
    return b"%b%bcontent-length: %d\r\n\r\n%b" % (_head(path, address, secret), lines.encode(), len(body), body)


@lru_cache(maxsize=1024)
def _head(path: str, address: str, secret: str) -> bytes:
    """The lines that all requests to an engine have in common."""
    return (
        f"POST {path} HTTP/1.1\r\n"
        f"host: {address}\r\n"
        f"authorization: Bearer {secret}\r\n"
        "content-type: application/json\r\n"
    ).encode()


class Pool:
    """Keep-alive connections per address, `host:port`, the most recently used first."""

    def __init__(self, *, connect_timeout: float, first_byte_timeout: float, idle_timeout: float) -> None:
        self._connect_timeout = connect_timeout
        self._silence = Silence(first_byte_timeout, idle_timeout)
        # Dictionaries as ordered sets: the last one in is the first one out, and any one can drop out.
        self._idle: dict[str, dict[Connection, None]] = {}

    async def ask(self, address: str, request: bytes) -> Connection:
        """Send a request to an engine and wait for the head of its answer; `give_back` must follow.

        Raises:
            Unreachable: no connection came about in time.
            BrokenOff, Silent: the engine took the request and failed.
        """
        connection = self._take(address)
        if connection is not None:
            try:
                await connection.ask(request)
                return connection
            except BrokenOff as error:
                # Untouched: the engine closed the idle connection just as it was being used again.
                if not error.untouched:
                    raise
        connection = await self._connect(address)
        await connection.ask(request)
        return connection

    def give_back(self, address: str, connection: Connection) -> None:
        """End an exchange. If the answer has not been read to its end, the engine learns it by a closed connection."""
        if connection.end():
            idle = self._idle.setdefault(address, {})
            if len(idle) >= _MAX_IDLE:
                connection.close()
            else:
                idle[connection] = None

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
                    lambda: Connection(loop, silence=self._silence, on_lost=forget),
                    host.strip("[]"),
                    int(port),
                )
        except (OSError, ValueError) as error:  # TimeoutError is an OSError
            raise Unreachable(f"{address}: {error!r}") from error
        return connection

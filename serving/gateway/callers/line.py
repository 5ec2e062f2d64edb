"""What the gateway wants of a server: a request as it came, and the way back to its caller.

`Door` is one, for gunicorn; `AsgiLine` is one on any ASGI server. The lines of a head are bytes as they are sent, each
with its line break: they are made once and copied, never taken apart on the way.
"""

import asyncio
from typing import Protocol


class Line(Protocol):
    """One request. Names of headers are in small letters; `client` is the address of who asks, if it has one.

    Whatever sends raises OSError once the client has left.
    """

    @property
    def method(self) -> str:
        """The request's method."""

    @property
    def path(self) -> str:
        """The path, decoded."""

    @property
    def headers(self) -> dict[bytes, bytes]:
        """The headers; of several of one name, the last."""

    @property
    def client(self) -> tuple[str, int] | None:
        """Who asks."""

    async def read_body(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            BodyTooLarge: it is, or says it will be, larger than `limit` bytes.
            ClientLeft: it never came to its end.
        """

    async def answer(self, status: int, lines: bytes, body: bytes) -> None:
        """Send a whole answer; its length is added."""

    def begin(self, status: int, lines: bytes) -> None:
        """Begin an answer whose length nobody knows; its head goes with the first block."""

    def write(self, block: bytes) -> asyncio.Future[None] | None:
        """Send a block. What it returns, if anything, ends when the client has taken enough for there to be more."""

    async def end(self, block: bytes = b"") -> None:
        """Send the last block of what was begun."""

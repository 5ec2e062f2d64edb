"""A request on any ASGI server."""

import asyncio

from polygraft.asgi_types import Receive, Scope, Send
from serving.gateway.call import ClientLeft
from serving.gateway.callers.departure import Departure
from serving.gateway.errors import BodyTooLarge

_HIGH_WATER = 64 * 1024


class AsgiLine:
    """See `serving.gateway.callers.line.Line`."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, departure: Departure) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.client: tuple[str, int] | None = scope.get("client")
        self._receive = receive
        self._send = send
        self._departure = departure
        self._head: tuple[int, bytes] | None = None
        # ASGI sends one block after the other, and whoever writes does not wait for each.
        self._waiting: list[bytes] = []
        self._sending: asyncio.Task[None] | None = None
        self._error: OSError | None = None

    async def read_body(self, limit: int) -> bytes:
        """See `Line.read_body`."""
        announced = self.headers.get(b"content-length", b"")
        # A number of more digits than this is over every limit, and slow to convert.
        if announced.isdigit() and int(announced[:18]) > limit:
            raise BodyTooLarge(limit)
        body = bytearray()
        more = True
        while more:
            message = await self._receive()
            if message["type"] != "http.request":
                raise ClientLeft
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > limit:
                raise BodyTooLarge(limit)
        self._departure.begin()
        return bytes(body)

    async def answer(self, status: int, lines: bytes, body: bytes) -> None:
        """See `Line.answer`."""
        self.begin(status, lines + b"content-length: %d\r\n" % len(body))
        await self.end(body)

    def begin(self, status: int, lines: bytes) -> None:
        """See `Line.begin`."""
        self._head = (status, lines)

    def write(self, block: bytes) -> asyncio.Future[None] | None:
        """See `Line.write`."""
        if self._error is not None:
            raise self._error
        self._waiting.append(block)
        if self._sending is None:
            self._sending = asyncio.get_running_loop().create_task(self._send_waiting())
        return self._sending if sum(map(len, self._waiting)) > _HIGH_WATER else None

    async def end(self, block: bytes = b"") -> None:
        """See `Line.end`."""
        if self._sending is not None:
            await self._sending
        if self._error is not None:
            raise self._error
        await self._send_block(block, more=False)

    def close(self) -> None:
        """Nothing more is to be sent."""
        if self._sending is not None:
            self._sending.cancel()

    async def _send_waiting(self) -> None:
        try:
            while self._waiting:
                blocks, self._waiting = self._waiting, []
                await self._send_block(b"".join(blocks), more=True)
        except OSError as error:
            self._error = error
        finally:
            self._sending = None

    async def _send_block(self, block: bytes, *, more: bool) -> None:
        if self._head is not None:
            (status, lines), self._head = self._head, None
            headers = [tuple(line.split(b": ", 1)) for line in lines.split(b"\r\n")[:-1]]
            await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": block, "more_body": more})

"""One HTTP/1.1 connection to an engine: a thin asyncio protocol around httptools' parser."""

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

from serving.gateway.engines.silence import Silence

# Takes a piece of a body; what it returns, if anything, ends when it can take more.
Sink = Callable[[bytes], asyncio.Future[None] | None]
# Reading from the engine pauses while this much waits for a slow client.
HIGH_WATER = 64 * 1024
_MAX_HEADER_BYTES = 64 * 1024
_MAX_ANSWER_BYTES = 64 * 1024 * 1024


class BrokenOff(Exception):
    """The engine's answer ended early or was no HTTP; `untouched` when not one byte of it had come."""

    def __init__(self, reason: str, *, untouched: bool = False) -> None:
        super().__init__(reason)
        self.untouched = untouched


class Silent(Exception):
    """The engine sent nothing for too long."""


class Stalled(Exception):
    """The client took nothing for too long."""


class Connection(asyncio.Protocol):
    """A connection and the one exchange that it may be in the middle of.

    `ask` sends a request and returns once the head of the answer is there: `status` and `content_type`. `read` then
    gives the body piece by piece. The body is not decoded in any way but for the framing of HTTP.
    """

    __slots__ = (
        "_complete",
        "_error",
        "_framed",
        "_header_bytes",
        "_headers_done",
        "_keep_alive",
        "_loop",
        "_on_lost",
        "_parser",
        "_paused",
        "_pieces",
        "_silence",
        "_sink",
        "_size",
        "_touched",
        "_transport",
        "_waiter",
        "content_type",
        "last_byte",
        "status",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        silence: Silence,
        on_lost: Callable[["Connection"], None],
    ) -> None:
        self._loop = loop
        self._silence = silence
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self.last_byte = 0.0
        self._paused = False
        self._on_lost = on_lost
        self._begin()
        # Before the first exchange as after a complete one nothing may come.
        self._complete = True

    def _begin(self) -> None:
        self.status = 0
        self.content_type = b""
        self._pieces: list[bytes] = []
        self._sink: Sink | None = None
        self._size = 0
        self._header_bytes = 0
        self._headers_done = False
        self._framed = False
        self._complete = False
        self._keep_alive = False
        self._touched = False

    async def ask(self, request: bytes) -> None:
        """Send a request, head and body in one, and wait for the head of its answer.

        Raises:
            BrokenOff, Silent: there will be no answer; the connection is closed.
        """
        if self._error is not None:
            raise self._error
        self._begin()
        self._silence.begin(self, self._loop)
        self._transport.write(request)
        try:
            while not self._headers_done:
                await self._wait()
        except BaseException:  # a cancelled request, too, must leave no connection behind
            self.end()
            raise

    async def read(self) -> bytes:
        """The next bytes of the body, as many as have come; b"" at its end.

        Raises:
            BrokenOff, Silent, Stalled: the answer ends here, incomplete.
        """
        while not self._pieces:
            if self._complete:
                return b""
            await self._wait()
        data = self._take()
        self._resume()
        return data

    async def read_all(self) -> bytes:
        """The whole body.

        Raises:
            BrokenOff, Silent, Stalled: as `read`; it is beyond all measure.
        """
        body = await self.read()
        if not body:
            return body
        pieces, size = [body], len(body)
        while piece := await self.read():
            pieces.append(piece)
            size += len(piece)
            if size > _MAX_ANSWER_BYTES:
                raise BrokenOff("The engine's answer is beyond all measure.")
        return body if len(pieces) == 1 else b"".join(pieces)

    async def pour(self, sink: Sink) -> None:
        """Give a sink the rest of the body, each piece as it comes; to wake a task for each would cost more.

        Raises:
            BrokenOff, Silent, Stalled: as `read`; whatever the sink raises.
        """
        self._sink = sink
        if self._pieces:
            self._give(sink)
        while not self._complete:
            await self._wait()

    def end(self) -> bool:
        """End the exchange; returns whether the connection is fit for another one, and closes it otherwise."""
        self._silence.end(self)
        if self._complete and self._keep_alive and self._error is None and not self._transport.is_closing():
            self._resume()
            return True
        self.close()
        return False

    def close(self) -> None:
        """Close at once; an engine takes this as the abort of what it is doing."""
        self._transport.abort()

    def give_up(self) -> None:
        """Nothing has come for too long: from the engine, or, when it was held back, from it because of the client."""
        self._fail(Stalled() if self._paused else Silent())

    @property
    def usable(self) -> bool:
        """Whether an idle connection still stands, as far as is known."""
        return self._error is None and not self._transport.is_closing()

    async def _wait(self) -> None:
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        # What arrived before the break is read first.
        if self._error is not None and not self._pieces and not self._complete:
            raise self._error

    def _take(self) -> bytes:
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces = []
        self._size = 0
        return data

    def _give(self, sink: Sink) -> None:
        try:
            full = sink(self._take())
        except Exception as error:  # noqa: BLE001  # raised again to who waits for the body
            # Whatever comes after it, the body has not reached its end.
            self._sink, self._complete = None, False
            self._fail(error)
            return
        if full is not None:
            self._pause()
            full.add_done_callback(lambda _: self._resume())

    def _pause(self) -> None:
        if not self._paused and not self._complete:
            self._paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self.last_byte = self._loop.time()
            self._transport.resume_reading()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
        self._transport.abort()
        self._wake()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the exchange under way, unless the end of the connection is the end of its body."""
        if self._headers_done and not self._framed and exc is None and self._error is None:
            self._complete = True
        if self._error is None:
            self._error = BrokenOff("The engine closed the connection.", untouched=not self._touched)
        self._on_lost(self)
        self._wake()
        # It knows this connection: what is left of it shall not wait for the collector, which would halt every stream.
        del self._parser

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        if self._complete:
            # Nobody asked: whatever this is, it must not become the answer to the next request.
            self._fail(BrokenOff("The engine spoke unasked."))
            return
        self._touched = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._keep_alive = False
            if not self._complete:
                self._fail(BrokenOff(f"The engine's answer is not HTTP: {error}"))
                return
        if self._sink is None:
            if self._size > HIGH_WATER:
                self._pause()
        else:
            if self._pieces:
                self._give(self._sink)
            if not self._complete:
                return
        self._wake()

    # httptools' side

    def on_message_begin(self) -> None:
        """Begin an answer; a second one to one request spoils the connection."""
        if self._complete:
            self._keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note the few headers that matter."""
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > _MAX_HEADER_BYTES:
            raise ValueError("The headers are too long.")
        if self._headers_done:
            return  # a trailer, or an answer that nobody asked for
        name = name.lower()
        if name == b"content-type":
            self.content_type = value
        elif name in (b"content-length", b"transfer-encoding"):
            self._framed = True

    def on_headers_complete(self) -> None:
        """Note the status, unless it is only an interim one."""
        status: int = self._parser.get_status_code()
        if status >= 200 and not self._headers_done:
            self.status = status
            self._headers_done = True
            self._framed = self._framed or status in (204, 304)

    def on_body(self, piece: bytes) -> None:
        """Keep a piece of the body."""
        # The head is no sign of life: engines send a stream's before they have read the prompt.
        self.last_byte = self._loop.time()
        if not self._complete:
            self._pieces.append(piece)
            self._size += len(piece)

    def on_message_complete(self) -> None:
        """Note the end of the answer."""
        if self._headers_done and not self._complete:
            self._complete = True
            self._keep_alive = self._parser.should_keep_alive()

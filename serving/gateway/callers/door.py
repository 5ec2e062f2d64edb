"""Takes callers in on gunicorn's ASGI worker: plain requests to the gateway on a short way, all others on gunicorn's.

gunicorn's own protocol costs some 25 µs more per request, a quarter of the whole. Plain is a POST under /v1/ whose head
comes in one piece, short and without anything rare in it, and whose body has a length. Whatever else comes, or comes
slowly, is handed over to gunicorn's protocol (see `polygraft.patience`) with every byte received, and its connection
stays there. So this file decides nothing about requests that are malformed, hostile or merely unusual.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from functools import cache, lru_cache
from http import HTTPStatus
from typing import Any, cast

import httptools
import structlog

from polygraft.patience import PatientProtocol
from serving.gateway.callers.idle import Connections
from serving.gateway.callers.line import Line
from serving.gateway.errors import BodyTooLarge

log = structlog.get_logger(__name__)

_PLAIN = b"POST /v1/"
_MAX_HEAD_BYTES = 8 * 1024
_MAX_HEADERS = 64
_MAX_BODY_BYTES = 1024 * 1024
_RARE_HEADERS = frozenset({b"transfer-encoding", b"expect", b"upgrade"})
_BODY_SECONDS = 0.25
_HIGH_WATER = 64 * 1024
# A client that asks before it was answered is held back beyond this much.
_MAX_EARLY_BYTES = 256 * 1024
# How long what was sent may wait for a client that does not read, once nothing more will come.
_LINGER_SECONDS = 30.0
_LEFT = "The client has left."
_OVERDUE = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


def suits(worker: Any) -> bool:
    """Whether a worker is set up so that nothing is lost by passing gunicorn's protocol by."""
    config = worker.cfg
    plain = config.protocol == "http" and config.proxy_protocol == "off" and not config.is_ssl
    return plain and config.keepalive > 0 and not worker.log.access_log_enabled


class Door(asyncio.Protocol):
    """One connection of a caller, and the `Line` of the request that it is in the middle of."""

    method = "POST"

    def __init__(self, worker: Any, connections: Connections, answer: Callable[[Line], Awaitable[None]]) -> None:
        """Take what answers requests: it is cancelled when the client leaves."""
        self._loop: asyncio.AbstractEventLoop = worker.loop
        self._worker = worker
        self._connections = connections
        self._answer = answer
        self._transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        # One task answers all requests of the connection, since each new one costs as much as parsing a head.
        self._task: asyncio.Task[None] | None = None
        self._asked: asyncio.Future[None] | None = None
        self._busy = False
        self._slow: asyncio.TimerHandle | None = None
        # Every byte of the request that is arriving, for as long as it may still be handed over.
        self._received: list[bytes] = []
        self._early = b""
        self._gone = False
        self._writable: asyncio.Future[None] | None = None
        self._keep_alive = True
        self.waits_since: float | None = None
        self._begin()

    def _begin(self) -> None:
        self.headers: dict[bytes, bytes] = {}
        self._header_count = 0
        self._url = b""
        self._body = b""
        self._missing = 0
        self._rare = False
        self._complete = False
        self._head: bytes | None = None
        self._answered = False

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast(asyncio.Transport, transport)
        self._worker.nr_conns += 1
        self._connections.add(self)
        self._transport.set_write_buffer_limits(high=_HIGH_WATER)
        self.waits_since = self._loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """End what is being done for the client."""
        self._gone = True
        self._part()

    def pause_writing(self) -> None:
        """The client does not read."""
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """It reads again."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def data_received(self, data: bytes) -> None:
        """Gather a request."""
        if self._busy:
            self._early += data
            if len(self._early) > _MAX_EARLY_BYTES:
                self._transport.pause_reading()
        elif self._received:
            self._received.append(data)
            self._missing -= len(data)
            if self._missing <= 0:
                self._stop_waiting_for_body()
                self._finish(b"".join(self._received))
        else:
            self.waits_since = None
            self._take_in(data)

    # A request

    def _take_in(self, data: bytes) -> None:
        """Understand the first piece of a request."""
        self._head_end = end = data.find(b"\r\n\r\n", 0, _MAX_HEAD_BYTES) + 4
        if end == 3 or not data.startswith(_PLAIN) or not self._understands(data[:end]):
            self._hand_over(data)
            return
        self._missing -= len(data) - end
        if self._missing <= 0:
            self._finish(data)
        else:
            self._received = [data]
            self._slow = self._loop.call_later(_BODY_SECONDS, self._give_up_waiting)

    def _understands(self, head: bytes) -> bool:
        """Whether a head is plain; if so the parser is done with it, and the body's length is what is missing."""
        try:
            self._parser.feed_data(head)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return False
        headers = self.headers
        return (
            not self._rare
            and len(headers) == self._header_count <= _MAX_HEADERS
            and b"host" in headers
            and headers.keys().isdisjoint(_RARE_HEADERS)
            and self._missing <= _MAX_BODY_BYTES
            and self._parser.get_http_version() == "1.1"
        )

    def _finish(self, data: bytes) -> None:
        """The request is here, and perhaps the beginning of another."""
        self._received = []
        end = len(data) + self._missing
        self._early = data[end:]
        if not self._complete:
            self._parser.feed_data(data[self._head_end : end])
        self.path = self._url.decode("ascii")
        self._busy = True
        if self._task is None:
            self._task = self._loop.create_task(self._serve())
        elif self._asked is not None:
            self._asked.set_result(None)

    async def _serve(self) -> None:
        """Answer one request after the other, for as long as they come on this connection and on this way."""
        while True:
            try:
                await self._answer(self)
            except Exception:
                if not self._gone:
                    log.exception("application.failed")
                self._keep_alive = False
            if not self._answered:
                self._keep_alive = False
            self._busy = False
            if self._gone:
                return
            self._next()
            if not self._busy:
                self._asked = self._loop.create_future()
                await self._asked

    def _next(self) -> None:
        """Wait for the next request, or see to it at once when it is here already."""
        worker = self._worker
        worker.nr += 1
        if worker.nr >= worker.max_requests:
            worker.alive = False
        if not (self._keep_alive and worker.alive):
            self.close()
            return
        self._begin()
        self._asked = None
        if self._early:
            early, self._early = self._early, b""
            self._transport.resume_reading()
            self._take_in(early)
        else:
            self.waits_since = self._loop.time()

    def close(self) -> None:
        """Close once everything is sent."""
        self.waits_since = None
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._loop.call_later(_LINGER_SECONDS, self._transport.abort)

    @property
    def is_new(self) -> bool:
        """See `idle.Connection`."""
        return self._task is None

    def refuse(self) -> None:
        """Close a connection on which nothing has come."""
        self._transport.write(_OVERDUE)
        self.close()

    def cut_off(self) -> None:
        """Close at once if the client has not read what was sent."""
        if self._transport.get_write_buffer_size():
            self._transport.abort()

    def _give_up_waiting(self) -> None:
        self._hand_over(b"".join(self._received))

    def _stop_waiting_for_body(self) -> None:
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None

    def _part(self) -> None:
        """This connection is nobody's any more, or another protocol's."""
        self._worker.nr_conns -= 1
        self._connections.remove(self)
        self._stop_waiting_for_body()
        self.resume_writing()
        if self._task is not None:
            self._task.cancel()
        # Both know this connection: what is left of it shall not wait for the collector, which would halt every stream.
        self._task = self._asked = None
        del self._parser

    def _hand_over(self, data: bytes) -> None:
        """From here on the connection is gunicorn's, with everything that has come of the request."""
        self._part()
        successor = PatientProtocol(self._worker)
        self._transport.set_protocol(successor)
        successor.connection_made(self._transport)
        if data:
            successor.data_received(data)

    # The line

    @property
    def client(self) -> tuple[str, int] | None:
        """See `Line.client`."""
        name = self._transport.get_extra_info("peername")
        # Sockets in the file system have none.
        return (name[0], name[1]) if isinstance(name, tuple) else None

    async def read_body(self, limit: int) -> bytes:
        """See `Line.read_body`."""
        if len(self._body) > limit:
            raise BodyTooLarge(limit)
        return self._body

    async def answer(self, status: int, lines: bytes, body: bytes) -> None:
        """See `Line.answer`."""
        if self._gone:
            raise ConnectionResetError(_LEFT)
        self._transport.write(
            b"%b%bcontent-length: %d\r\n%b%b" % (_status_line(status), lines, len(body), self._last_lines(), body)
        )
        self._answered = True

    def begin(self, status: int, lines: bytes) -> None:
        """See `Line.begin`."""
        self._head = b"%b%btransfer-encoding: chunked\r\n%b" % (_status_line(status), lines, self._last_lines())

    def write(self, block: bytes) -> asyncio.Future[None] | None:
        """See `Line.write`."""
        if self._gone:
            raise ConnectionResetError(_LEFT)
        if self._head is None:
            self._transport.write(b"%x\r\n%b\r\n" % (len(block), block))
        else:
            self._transport.write(b"%b%x\r\n%b\r\n" % (self._head, len(block), block))
            self._head = None
        return self._writable

    async def end(self, block: bytes = b"") -> None:
        """See `Line.end`."""
        if self._gone:
            raise ConnectionResetError(_LEFT)
        head, self._head = self._head or b"", None
        last = b"%x\r\n%b\r\n" % (len(block), block) if block else b""
        self._transport.write(b"%b%b0\r\n\r\n" % (head, last))
        self._answered = True

    def _last_lines(self) -> bytes:
        if self._keep_alive and self._worker.alive:
            return _date_line(int(time.time()))
        self._keep_alive = False
        return b"connection: close\r\n" + _date_line(int(time.time()))

    # httptools' side

    def on_url(self, url: bytes) -> None:
        """Note the path."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        name = name.lower()
        if name == b"content-length" and value.isdigit():
            self._missing = int(value[:18])
        elif b"_" in name:
            self._rare = True
        self.headers[name] = value
        self._header_count += 1

    def on_headers_complete(self) -> None:
        """Look at the path, which is whole now, and at what the client wants of its connection."""
        self._keep_alive = self._parser.should_keep_alive()
        if b"?" in self._url or b"%" in self._url or not self._url.isascii():
            self._rare = True

    def on_body(self, piece: bytes) -> None:
        """Keep the body, which is fed in one."""
        self._body = self._body + piece if self._body else piece

    def on_message_complete(self) -> None:
        """Note the end of the request."""
        self._complete = True


@cache
def _status_line(status: int) -> bytes:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode()


@lru_cache(maxsize=1)
def _date_line(second: int) -> bytes:
    return f"date: {formatdate(second, usegmt=True)}\r\n\r\n".encode()

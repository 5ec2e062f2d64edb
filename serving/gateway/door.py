"""Takes callers in on gunicorn's ASGI worker: plain requests to the gateway on a short way, all others on gunicorn's.

gunicorn's own protocol costs some 25 µs more per request, a quarter of the whole. Plain is a POST under /v1/ whose head
comes in one piece, short and without anything rare in it, and whose body has a length. Whatever else comes, or comes
slowly, is handed over to gunicorn's protocol (see `polygraft.patience`) with every byte received, and its connection
stays there. So this file decides nothing about requests that are malformed, hostile or merely unusual.
"""

import asyncio
import time
from email.utils import formatdate
from functools import cache, lru_cache
from http import HTTPStatus
from typing import Any, cast

import httptools
import structlog

from polygraft.asgi_types import Message
from polygraft.conf import config
from polygraft.patience import PatientProtocol
from serving.gateway.idle import IdleConnections

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
# What gunicorn grants an application to notice that its client has left.
_GRACE_SECONDS = 3.0
# How long what was sent may wait for a client that does not read, once nothing more will come.
_LINGER_SECONDS = 30.0
_OVERDUE = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


def suits(worker: Any) -> bool:
    """Whether a worker is set up so that nothing is lost by passing gunicorn's protocol by."""
    config = worker.cfg
    plain = config.protocol == "http" and config.proxy_protocol == "off" and not config.is_ssl
    return plain and config.keepalive > 0 and not worker.log.access_log_enabled


class Door(asyncio.Protocol):
    """One connection of a caller."""

    def __init__(self, worker: Any, idle: IdleConnections) -> None:
        self._loop: asyncio.AbstractEventLoop = worker.loop
        self._worker = worker
        self._idle = idle
        self._transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self._task: asyncio.Task[None] | None = None
        self._slow: asyncio.TimerHandle | None = None
        # Every byte of the request that is arriving, for as long as it may still be handed over.
        self._received: list[bytes] = []
        self._missing = 0
        self._early = b""
        self._gone = False
        self._departure: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._keep_alive = True
        self._begin()

    def _begin(self) -> None:
        self._headers: list[tuple[bytes, bytes]] = []
        self._path = b""
        self._body = b""
        self._rare = False
        self._complete = False
        self._taken = False
        self._head: bytes | None = None
        self._chunked = False
        self._answered = False

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast(asyncio.Transport, transport)
        self._worker.nr_conns += 1
        self._server = _address(transport.get_extra_info("sockname"))
        self._client = _address(transport.get_extra_info("peername"))
        self._transport.set_write_buffer_limits(high=_HIGH_WATER)
        # Later ones may be longer in coming.
        self._first = self._loop.call_later(config().request_head_timeout, self._give_up_first)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application, and see that it ends."""
        self._gone = True
        self._worker.nr_conns -= 1
        self._idle.remove(self)
        self._first.cancel()
        self._stop_waiting_for_body()
        for waiter in (self._departure, self._writable):
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
        if self._task is not None:
            self._loop.call_later(_GRACE_SECONDS, self._task.cancel)

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
        if self._task is not None:
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
            self._idle.remove(self)
            self._first.cancel()
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
        self._missing = 0
        try:
            self._parser.feed_data(head)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return False
        names = {name for name, _ in self._headers}
        return (
            not self._rare
            and len(names) == len(self._headers) <= _MAX_HEADERS
            and b"host" in names
            and names.isdisjoint(_RARE_HEADERS)
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
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": self._path.decode("ascii"),
            "raw_path": self._path,
            "query_string": b"",
            "root_path": "",
            "headers": self._headers,
            "server": self._server,
            "client": self._client,
        }
        self._task = self._loop.create_task(self._answer(scope))

    async def _answer(self, scope: dict[str, Any]) -> None:
        try:
            await self._worker.asgi(scope, self._receive, self._send)
        except Exception:
            if not self._gone:
                log.exception("application.failed")
            self._keep_alive = False
        finally:
            self._task = None
            if not self._answered:
                self._keep_alive = False
            self._next()

    def _next(self) -> None:
        """Wait for the next request, or see to it at once when it is here already."""
        if self._gone:
            return
        worker = self._worker
        worker.nr += 1
        if worker.nr >= worker.max_requests:
            worker.alive = False
        if not (self._keep_alive and worker.alive):
            self.close()
            return
        self._begin()
        if self._early:
            early, self._early = self._early, b""
            self._transport.resume_reading()
            self._take_in(early)
        else:
            self._idle.add(self)

    def close(self) -> None:
        """Close once everything is sent."""
        self._idle.remove(self)
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._loop.call_later(_LINGER_SECONDS, self._transport.abort)

    def _give_up_first(self) -> None:
        self._transport.write(_OVERDUE)
        self.close()

    def _give_up_waiting(self) -> None:
        self._hand_over(b"".join(self._received))

    def _stop_waiting_for_body(self) -> None:
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None

    def _hand_over(self, data: bytes) -> None:
        """From here on the connection is gunicorn's, with everything that has come of the request."""
        self._idle.remove(self)
        self._stop_waiting_for_body()
        self._worker.nr_conns -= 1
        successor = PatientProtocol(self._worker)
        self._transport.set_protocol(successor)
        successor.connection_made(self._transport)
        if data:
            successor.data_received(data)

    # The application's side

    async def _receive(self) -> Message:
        if not self._taken:
            self._taken = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        if not self._gone and not self._answered:
            self._departure = self._loop.create_future()
            await self._departure
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self._gone:
            raise ConnectionResetError("The client has left.")
        if message["type"] == "http.response.start":
            self._head = self._response_head(message["status"], message["headers"])
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._chunked and body:
            body = b"%x\r\n%b\r\n" % (len(body), body)
        if self._chunked and not more:
            body += b"0\r\n\r\n"
        if self._head is not None:
            body, self._head = self._head + body, None
        if body:
            self._transport.write(body)
        if not more:
            self._answered = True
        elif self._writable is not None:
            await self._writable

    def _response_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
        lines = [_status_line(status)]
        self._chunked = True
        for name, value in headers:
            lines.append(b"%b: %b\r\n" % (name, value))
            if name == b"content-length":
                self._chunked = False
        if self._chunked:
            lines.append(b"transfer-encoding: chunked\r\n")
        if not (self._keep_alive and self._worker.alive):
            self._keep_alive = False
            lines.append(b"connection: close\r\n")
        lines.append(_last_line(int(time.time())))
        return b"".join(lines)

    # httptools' side

    def on_url(self, url: bytes) -> None:
        """Note the path."""
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        name = name.lower()
        if name == b"content-length" and value.isdigit():
            self._missing = int(value[:18])
        elif b"_" in name:
            self._rare = True
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Look at the path, which is whole now, and at what the client wants of its connection."""
        self._keep_alive = self._parser.should_keep_alive()
        if b"?" in self._path or b"%" in self._path or not self._path.isascii():
            self._rare = True

    def on_body(self, piece: bytes) -> None:
        """Keep the body, which is fed in one."""
        self._body = self._body + piece if self._body else piece

    def on_message_complete(self) -> None:
        """Note the end of the request."""
        self._complete = True


def _address(name: Any) -> tuple[str, int] | None:
    """ASGI's form of a socket's name; sockets in the file system have none."""
    return (name[0], name[1]) if isinstance(name, tuple) else None


@cache
def _status_line(status: int) -> bytes:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode()


@lru_cache(maxsize=1)
def _last_line(second: int) -> bytes:
    return f"date: {formatdate(second, usegmt=True)}\r\n\r\n".encode()

"""gunicorn's ASGI protocol with an end to its patience: with heads that never come whole, bodies that dribble in, and
answers that nobody takes.

gunicorn waits for the first head of a connection for ever, for each next piece of a body half a minute, and with the
closing of a connection until all is sent. A caller could keep connections by the thousand for a few bytes a minute.
"""

import asyncio
from typing import Any, cast

from gunicorn.asgi.protocol import ASGIProtocol, BodyReceiver

from polygraft.conf import config

# gunicorn bounds the number of headers and the length of each, which together are far more.
_MAX_HEAD_BYTES = 64 * 1024
_SLOWEST_BYTES_PER_SECOND = 16 * 1024
_LINGER_SECONDS = 30.0


class PatientProtocol(ASGIProtocol):  # type: ignore[misc]  # the package is untyped
    """One connection of a caller."""

    def __init__(self, worker: Any) -> None:
        super().__init__(worker)
        self._loop: asyncio.AbstractEventLoop = worker.loop
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._body_timer: asyncio.TimerHandle | None = None
        self._body: BodyReceiver | None = None
        self._body_bytes = 0
        self._body_deadline = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a head."""
        super().connection_made(transport)
        # Later ones are due before the connection counts as idle, which gunicorn looks after.
        self._head_timer = self._loop.call_later(config().request_head_timeout, self._head_overdue)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        for timer in (self._head_timer, self._body_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Look after what is not whole yet."""
        before = self._current_request
        if before is None:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._current_request is None:
            if self._head_bytes > _MAX_HEAD_BYTES and not self._closed:
                self._refuse(431, "The head of the request is too long.")
            return
        body = self._body_receiver
        if body is None or body._complete:
            return
        if body is not self._body:
            self._body, self._body_bytes = body, 0
            self._body_deadline = self._loop.time() + config().request_body_timeout
        self._body_bytes += len(data)
        if self._body_timer is None:
            self._body_timer = self._loop.call_at(self._due, self._check_body)

    def _on_headers_complete(self) -> bool:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        return cast(bool, super()._on_headers_complete())

    def _close_transport(self) -> None:
        super()._close_transport()
        if self.transport is not None and self.transport.get_write_buffer_size():
            self._loop.call_later(_LINGER_SECONDS, self.transport.abort)

    @property
    def _due(self) -> float:
        return self._body_deadline + self._body_bytes / _SLOWEST_BYTES_PER_SECOND

    def _check_body(self) -> None:
        self._body_timer = None
        if self._closed or self._body is not self._body_receiver or self._body is None or self._body._complete:
            return
        if self._reading_paused:
            # It is the application that has not taken what came.
            self._body_deadline = self._loop.time() + config().request_body_timeout
        if self._loop.time() < self._due:
            self._body_timer = self._loop.call_at(self._due, self._check_body)
            return
        self._body.signal_disconnect()
        self._refuse(408, "The body of the request came too slowly.")

    def _head_overdue(self) -> None:
        if not self._closed:
            self._refuse(408, "The head of the request came too slowly.")

    def _refuse(self, status: int, words: str) -> None:
        self._send_error_response(status, words)
        self._close_transport()
        if self._request_ready is not None:
            # Whoever waits for a request sees that there will be none.
            self._request_ready.set()

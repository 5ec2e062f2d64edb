"""One request on its way through the gateway, and what is known of it so far."""

import random
import re
import time
from typing import TYPE_CHECKING

from serving.gateway.observing.trace import Trace, read_trace

if TYPE_CHECKING:
    from serving.fleet.registry import EngineEntry
    from serving.gateway.auth import Grant
    from serving.gateway.callers.line import Line
    from serving.gateway.catalogue import Target
    from serving.gateway.limits import Reservation
    from serving.gateway.metering.journal import Entry
    from serving.gateway.streams import Stream
    from serving.gateway.turns.queue import Turn

_ANTHROPIC = "/v1/messages"
_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
# Together with a point and our own 24 characters this fits the 64 of a usage record's id.
_CALLERS_SHARE_OF_THE_ID = 36


class ClientLeft(Exception):  # not an error: the caller may go away
    """The client closed its connection before the answer was complete."""


class Call:
    """A request and the account of it, which the meter reads in the end.

    `endpoint` is the path, or its pattern where a part of it varies; "" until it is known to exist. `outcome` is a
    value of `serving.models.Outcome`; `status` is the HTTP status that was sent, 499 when the client left before any.
    `fallback` is why the engine is another one than would have been the first choice, or ""; `failed_before` says
    that an engine has failed over the request. Tokens are as the engine counted them. `arrived_at` is in Unix
    seconds, `duration` in seconds, `started` and `first_token` are readings of `time.perf_counter`; `queue_seconds` is
    how long it waited for a turn at an engine. `batch` requests let all others go first; `rank` is a request's place
    among all that wait, the lowest first. `stream` is the answer under way, if it comes as one, and
    `trace` the trace that the request is part of, if any.
    """

    # What most calls leave as it is costs them nothing, being the class's.
    grant: "Grant | None" = None
    entry: "Entry | None" = None
    reservation: "Reservation | None" = None
    turn: "Turn | None" = None
    target: "Target | None" = None
    engine: "EngineEntry | None" = None
    stream: "Stream | None" = None
    trace: Trace | None = None
    endpoint = model = fallback = ""
    batch = streamed = failed_before = response_started = False
    rank = status = prompt_tokens = cached_tokens = completion_tokens = 0
    queue_seconds = duration = 0.0
    outcome = "failed"
    first_token: float | None = None

    def __init__(self, line: "Line") -> None:
        self.line = line
        self.path = line.path
        self.arrived_at = time.time()
        self.started = time.perf_counter()
        headers = line.headers
        bearer = headers.get(b"authorization", b"")
        self.credential = bearer[7:].strip() if bearer[:7].lower() == b"bearer " else b""
        if not self.credential:
            self.credential = headers.get(b"x-api-key", b"").strip()
        if b"x-polygraft-priority" in headers:
            self.batch = headers[b"x-polygraft-priority"].strip().lower() == b"batch"
        if b"traceparent" in headers:
            self.trace = read_trace(headers[b"traceparent"], headers.get(b"tracestate", b""))
        # From the system it would cost ten times as much, and nobody is let in by it.
        self.id = f"{random.getrandbits(96):024x}"
        given = headers.get(b"x-request-id")
        if given is not None and _SANE_ID.fullmatch(given):
            self.request_id = given
            # The usage record's id is never the caller's alone: two requests with one id would be counted as one.
            self.id = f"{given[:_CALLERS_SHARE_OF_THE_ID].decode()}.{self.id}"
        else:
            self.request_id = self.id.encode()

    def note_first_token(self) -> float:
        """The first content of a stream is here; when, in `time.perf_counter`'s seconds."""
        self.first_token = now = time.perf_counter()
        return now

    def end(self) -> None:
        """The account is complete."""
        self.duration = time.perf_counter() - self.started

    @property
    def for_anthropic(self) -> bool:
        """Whether the client expects what Anthropic would answer."""
        return self.path.startswith(_ANTHROPIC) or b"anthropic-version" in self.line.headers

    @property
    def first_token_ms(self) -> float | None:
        """Milliseconds from arrival to the first content of a stream."""
        return None if self.first_token is None else (self.first_token - self.started) * 1000

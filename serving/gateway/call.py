"""One request on its way through the gateway, and what is known of it so far."""

import random
import re
import time
from typing import TYPE_CHECKING

from polygraft.asgi_types import Receive, Scope, Send
from serving.gateway.trace import Trace, read_trace

if TYPE_CHECKING:
    from serving.gateway.auth import Grant
    from serving.gateway.catalogue import Target
    from serving.gateway.journal import Entry
    from serving.gateway.limits import Reservation
    from serving.gateway.queue import Turn
    from serving.gateway.streams import Stream
    from serving.registry import EngineEntry

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

    __slots__ = (
        "arrived_at",
        "batch",
        "cached_tokens",
        "completion_tokens",
        "content_length",
        "credential",
        "duration",
        "endpoint",
        "engine",
        "entry",
        "failed_before",
        "fallback",
        "first_token",
        "grant",
        "id",
        "model",
        "outcome",
        "path",
        "prompt_tokens",
        "queue_seconds",
        "rank",
        "receive",
        "request_id",
        "reservation",
        "response_started",
        "scope",
        "send",
        "started",
        "status",
        "stream",
        "streamed",
        "target",
        "trace",
        "turn",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.arrived_at = time.time()
        self.started = time.perf_counter()
        self.path: str = scope["path"]
        self.endpoint = ""
        self.credential = b""
        self.content_length = 0
        self.grant: Grant | None = None
        self.entry: Entry | None = None
        self.reservation: Reservation | None = None
        self.turn: Turn | None = None
        self.batch = False
        self.rank = 0
        self.queue_seconds = 0.0
        self.model = ""
        self.target: Target | None = None
        self.engine: EngineEntry | None = None
        self.fallback = ""
        self.failed_before = False
        self.streamed = False
        self.stream: Stream | None = None
        self.response_started = False
        self.outcome = "failed"
        self.status = 0
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self.completion_tokens = 0
        self.first_token: float | None = None
        self.duration = 0.0
        # From the system it would cost ten times as much, and nobody is let in by it.
        own_id = f"{random.getrandbits(96):024x}"
        given = self._read_headers()
        # The usage record's id is never the caller's alone: two requests with one id would be counted as one.
        self.id = f"{given[:_CALLERS_SHARE_OF_THE_ID]}.{own_id}" if given else own_id
        self.request_id = (given or own_id).encode()

    def note_first_token(self) -> None:
        """The first content of a stream is here."""
        self.first_token = time.perf_counter()

    def end(self) -> None:
        """The account is complete."""
        self.duration = time.perf_counter() - self.started

    @property
    def for_anthropic(self) -> bool:
        """Whether the client expects what Anthropic would answer."""
        return self.path.startswith(_ANTHROPIC) or any(
            name == b"anthropic-version" for name, _ in self.scope["headers"]
        )

    @property
    def first_token_ms(self) -> float | None:
        """Milliseconds from arrival to the first content of a stream."""
        return None if self.first_token is None else (self.first_token - self.started) * 1000

    def _read_headers(self) -> str:
        """Take what is wanted from the headers; returns the caller's request id, or ""."""
        given = bearer = key = parent = state = b""
        for name, value in self.scope["headers"]:
            if name == b"authorization":
                bearer = value[7:].strip() if value[:7].lower() == b"bearer " else b""
            elif name == b"x-api-key":
                key = value.strip()
            elif name == b"x-polygraft-priority":
                self.batch = value.strip().lower() == b"batch"
            elif name == b"x-request-id":
                given = value
            elif name == b"traceparent":
                parent = value
            elif name == b"tracestate":
                state = value
            elif name == b"content-length" and value.isdigit():
                # A number of more digits than this is over every limit, and slow to convert.
                self.content_length = int(value[:18])
        self.credential = bearer or key
        self.trace: Trace | None = read_trace(parent, state) if parent else None
        return given.decode() if _SANE_ID.fullmatch(given) else ""

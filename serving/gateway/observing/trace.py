"""W3C trace context: whose trace a request belongs to, and what the engine is told of it."""

import os
import random
import re

_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[0-9a-zA-Z-]*)?")
_TRACESTATE = re.compile(rb"[\x20-\x7e]{1,512}")
_SAMPLED = 1


class Trace:
    """The trace that a request is part of, as its caller gave it, and the gateway's own span in it.

    Ids are in lower-case hexadecimal. Without a span of its own the gateway passes on what it was given, unchanged.
    """

    __slots__ = ("flags", "parent_id", "span_id", "state", "trace_id")

    def __init__(self, trace_id: str, parent_id: str, flags: int, state: bytes) -> None:
        self.trace_id = trace_id
        self.parent_id = parent_id
        self.flags = flags
        self.state = state
        self.span_id = ""

    @property
    def sampled(self) -> bool:
        """Whether its spans are wanted."""
        return bool(self.flags & _SAMPLED)

    def begin_span(self) -> None:
        """From here on the gateway's own span is what the engine's belongs to."""
        self.span_id = os.urandom(8).hex()

    def headers(self) -> str:
        """Lines of a request's head."""
        parent = f"traceparent: 00-{self.trace_id}-{self.span_id or self.parent_id}-{self.flags:02x}\r\n"
        return f"{parent}tracestate: {self.state.decode('latin-1')}\r\n" if self.state else parent


def read_trace(parent: bytes, state: bytes) -> Trace | None:
    """A caller's trace from its headers; None when they make no sense, as the standard wants it."""
    found = _TRACEPARENT.fullmatch(parent)
    if found is None:
        return None
    version, trace_id, parent_id, flags, rest = found.groups()
    if version == b"ff" or (version == b"00" and rest) or not trace_id.strip(b"0") or not parent_id.strip(b"0"):
        return None
    if not _TRACESTATE.fullmatch(state):
        state = b""
    return Trace(trace_id.decode(), parent_id.decode(), int(flags, 16) & _SAMPLED, state)


def new_trace(share: float) -> Trace | None:
    """A trace that begins here, for this share of requests."""
    if share < 1 and random.random() >= share:  # noqa: S311  # which requests are looked at is no secret
        return None
    trace = Trace(os.urandom(16).hex(), "", _SAMPLED, b"")
    trace.begin_span()
    return trace

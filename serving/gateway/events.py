"""Passes a stream of server-sent events on, in whole events, and takes from it what only the gateway may know.

Blocks of bytes go through unparsed. Only an event that carries usage or an error is looked into: in JSON the bytes
`"usage":` can only be a key, since a quotation mark within a string is escaped.
"""

import re
from typing import Any

import orjson

from serving.gateway.errors import GatewayError

_CONTENT = re.compile(rb'"(?:content|text|reasoning_content|reasoning|arguments)": ?"[^"]')
_USAGE = re.compile(rb'"usage": ?\{')
_BOUNDARY = re.compile(rb"\r?\n\r?\n")
_DONE = b"data: [DONE]"
# A line of its own: the same words within a text have no bare newline before them.
_DONE_LINE = b"\n" + _DONE
_MAX_EVENT_BYTES = 4 * 1024 * 1024


class EventTooLong(Exception):
    """An event grew beyond all measure."""


class Events:
    """One stream on its way from an engine to a client.

    `usage` is the engine's own count once it has come; `events` counts what passed; `content` says whether any of it
    was text; `done` and `failed` how the engine ended it.
    """

    __slots__ = ("_held", "_known", "_renames", "_shown", "content", "done", "events", "failed", "show_usage", "usage")

    def __init__(self, *, engine_model: str, asked: str, show_usage: bool) -> None:
        self._renames = engine_model != asked
        self._known = engine_model.encode()
        self._shown = asked.encode()
        self._held = b""
        self.show_usage = show_usage
        self.usage: dict[str, Any] | None = None
        self.events = 0
        self.content = False
        self.done = False
        self.failed = False

    def feed(self, data: bytes) -> bytes:
        """Take a block from the engine; returns the whole events that go to the client, often all of it.

        Raises:
            EventTooLong: the engine does not end its events.
        """
        if self.failed:
            return b""
        if self._held:
            data = self._held + data
            self._held = b""
        if not data.endswith(b"\n\n"):
            data = self._hold_back(data)
            if not data:
                return b""
        if self._renames:
            data = data.replace(self._known, self._shown)
        self.events += data.count(b"\n\n")
        if not self.content and _CONTENT.search(data):
            self.content = True
        if (b'"usage":' in data and _USAGE.search(data)) or b'"error":' in data:
            data = self._look_into(data)
        if data.startswith(_DONE) or _DONE_LINE in data:
            self.done = True
        return data

    def failure(self, error: GatewayError) -> bytes:
        """See `streams.Stream.failure`."""
        return error_event(error)

    def _hold_back(self, data: bytes) -> bytes:
        """Keep what follows the last whole event for the next block."""
        cut = max(data.rfind(b"\n\n") + 2, data.rfind(b"\n\r\n") + 3)
        if cut <= 2:  # neither was found
            cut = 0
        if len(data) - cut > _MAX_EVENT_BYTES:
            raise EventTooLong
        self._held = data[cut:]
        return data[:cut]

    def _look_into(self, data: bytes) -> bytes:
        kept = []
        for event in _BOUNDARY.split(data):
            shown = self._look_into_event(event) if event else b""
            if shown:
                kept.append(shown + b"\n\n")
            if self.failed:
                break
        return b"".join(kept)

    def _look_into_event(self, event: bytes) -> bytes:
        if b'"usage":' not in event and b'"error":' not in event:
            return event
        try:
            fields = orjson.loads(event.removeprefix(b"data:"))
        except orjson.JSONDecodeError:
            return event
        if not isinstance(fields, dict):
            return event
        if fields.get("error"):
            self.failed = True
            return b""
        usage = fields.get("usage")
        if isinstance(usage, dict):
            self.usage = usage
            if not self.show_usage:
                if not fields.get("choices"):
                    return b""
                del fields["usage"]
                return b"data: " + orjson.dumps(fields)
        return event


def error_event(error: GatewayError) -> bytes:
    """The event that tells a client that its stream has failed."""
    return b"data: " + error.body() + b"\n\n"

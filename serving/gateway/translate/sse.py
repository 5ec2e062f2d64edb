"""Takes streams of server-sent events apart and writes events."""

from typing import Any, NamedTuple

import orjson

from serving.gateway.events import EventTooLong

_MAX_EVENT_BYTES = 4 * 1024 * 1024


class Event(NamedTuple):
    """One event as it came: its name, "" if it has none, its data, and all of its bytes with the blank line."""

    name: str
    data: bytes
    raw: bytes


class Splitter:
    """Cuts blocks of bytes, wherever they begin and end, into whole events."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, block: bytes) -> list[Event]:
        """The events that are complete with this block.

        Raises:
            EventTooLong: the stream does not end its events.
        """
        data = (self._held + block).replace(b"\r\n", b"\n")
        # A block may end between the two characters of a line break.
        ending = data[-1:] if data.endswith(b"\r") else b""
        *whole, rest = data.removesuffix(b"\r").split(b"\n\n")
        self._held = rest + ending
        if len(self._held) > _MAX_EVENT_BYTES:
            raise EventTooLong
        return [_parse(raw) for raw in whole if raw.strip()]


def _parse(raw: bytes) -> Event:
    name, data = "", []
    for line in raw.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"event":
            name = value.strip().decode(errors="replace")
        elif field == b"data":
            data.append(value.removeprefix(b" "))
    return Event(name, b"\n".join(data), raw + b"\n\n")


def event_bytes(fields: dict[str, Any]) -> bytes:
    """An event whose name is its `type`, as both Anthropic and OpenAI's Responses write them."""
    name: str = fields["type"]
    return b"event: " + name.encode() + b"\ndata: " + orjson.dumps(fields) + b"\n\n"

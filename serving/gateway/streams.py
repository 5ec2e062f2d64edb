"""Streams that are not OpenAI's completions on their way to a client: an engine's own, and translated ones."""

from collections.abc import Iterator
from typing import Any, Protocol

import orjson

from serving.gateway.errors import GatewayError
from serving.gateway.translate.failures import failed_message, failed_response
from serving.gateway.translate.sse import Event, Splitter, event_bytes
from serving.gateway.translate.usage import usage_of_messages, usage_of_responses

Body = dict[str, Any]


class Stream(Protocol):
    """A stream on its way from an engine to a client.

    `usage` is the engine's own count in the words of chat completions, once it has come; `events` counts what passed;
    `content` says whether any of it was text; `done` and `failed` how the engine ended it.
    """

    usage: Body | None
    events: int
    content: bool
    done: bool
    failed: bool

    def feed(self, data: bytes) -> bytes:
        """Take a block from the engine; returns the whole events that go to the client.

        Raises:
            EventTooLong: the engine does not end its events.
        """

    def failure(self, error: GatewayError) -> bytes:
        """The event that tells the client that its stream ends here, incomplete."""


class Machine(Protocol):
    """Makes the events of another dialect from the chunks of a chat completion."""

    def feed(self, chunk: Body) -> list[Body]:
        """The events that a chunk amounts to."""

    def end(self) -> list[Body]:
        """The events that close a complete stream."""

    def failure(self, error: GatewayError) -> list[Body]:
        """The events that close a stream which cannot go on."""


class EventStream:
    """What streams of which every event is looked at have in common: how they are taken apart, and what is known."""

    def __init__(self) -> None:
        self._splitter = Splitter()
        self.usage: Body | None = None
        self.events = 0
        self.content = False
        self.done = False
        self.failed = False

    def whole_events(self, data: bytes) -> Iterator[Event]:
        """The events that end with this block, for as long as the stream has neither ended nor failed."""
        for event in self._splitter.feed(data):
            if self.failed or self.done:
                break
            yield event


class TranslatedStream(EventStream):
    """A streamed chat completion, told in another dialect."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self._machine = machine

    def feed(self, data: bytes) -> bytes:
        """See `Stream.feed`."""
        events: list[Body] = []
        for event in self.whole_events(data):
            if event.data == b"[DONE]":
                self.done = True
                events += self._machine.end()
            else:
                events += self._translate(event)
        return b"".join(map(event_bytes, events))

    def failure(self, error: GatewayError) -> bytes:
        """See `Stream.failure`."""
        return b"".join(map(event_bytes, self._machine.failure(error)))

    def _translate(self, event: Event) -> list[Body]:
        try:
            chunk = orjson.loads(event.data)
            if chunk.get("error"):
                self.failed = True
                return []
            if isinstance(chunk.get("usage"), dict):
                self.usage = chunk["usage"]
            self.events += 1
            events = self._machine.feed(chunk)
        except (orjson.JSONDecodeError, AttributeError, TypeError, KeyError):
            self.failed = True
            return []
        self.content = self.content or any(event["type"].endswith("delta") for event in events)
        return events


class NativeStream(EventStream):
    """An engine's own stream of named events, passed on as it is but for the model's name."""

    # The events that are looked into for usage, and those with which a stream is complete.
    telling: frozenset[str]
    last: frozenset[str]

    def __init__(self, *, engine_model: str, asked: str) -> None:
        super().__init__()
        self._known, self._shown = engine_model.encode(), asked.encode()

    def feed(self, data: bytes) -> bytes:
        """See `Stream.feed`."""
        shown = []
        for event in self.whole_events(data):
            if event.name in ("error", "response.failed"):
                # In the engine's words, which are for the platform only.
                self.failed = True
                break
            self.events += 1
            self.content = self.content or event.name.endswith("delta")
            if event.name in self.telling:
                self._look_into(event)
            self.done = event.name in self.last
            shown.append(event.raw)
        return b"".join(shown).replace(self._known, self._shown)

    def failure(self, error: GatewayError) -> bytes:
        """See `Stream.failure`."""
        raise NotImplementedError

    def take(self, fields: Body) -> None:
        """Keep what is worth knowing of a telling event."""
        raise NotImplementedError

    def _look_into(self, event: Event) -> None:
        try:
            self.take(orjson.loads(event.data))
        except (orjson.JSONDecodeError, AttributeError, TypeError, KeyError):
            # Whatever it is, it counts nothing; the client may make more of it.
            return


class NativeMessages(NativeStream):
    """An engine's own stream of Anthropic's Messages."""

    telling = frozenset({"message_start", "message_delta"})
    last = frozenset({"message_stop"})

    def failure(self, error: GatewayError) -> bytes:
        """See `Stream.failure`."""
        return event_bytes(failed_message(error))

    def take(self, fields: Body) -> None:
        """The prompt is counted in the beginning, and all of it in the end."""
        begins = fields["type"] == "message_start"
        self.usage = usage_of_messages(fields["message"]["usage"] if begins else fields["usage"])


class NativeResponses(NativeStream):
    """An engine's own stream of OpenAI's Responses."""

    telling = frozenset({"response.created", "response.completed", "response.incomplete"})
    last = frozenset({"response.completed", "response.incomplete"})

    def __init__(self, *, engine_model: str, asked: str) -> None:
        super().__init__(engine_model=engine_model, asked=asked)
        self._asked = asked
        self._response: Body = {}

    def failure(self, error: GatewayError) -> bytes:
        """See `Stream.failure`."""
        return event_bytes(failed_response(error, self._response, self.events))

    def take(self, fields: Body) -> None:
        """The response as it began is repeated should it fail; as it ended it tells the usage."""
        response = fields["response"]
        self._response = response | {"model": self._asked}
        if isinstance(response["usage"], dict):
            self.usage = usage_of_responses(response["usage"])

"""The chunks of a streamed chat completion as the events of Anthropic's Messages."""

from typing import Any

from serving.gateway.errors import GatewayError
from serving.gateway.translate.failures import failed_message
from serving.gateway.translate.messages_answer import empty_message, stop_reason
from serving.gateway.translate.usage import messages_usage

Body = dict[str, Any]


class MessagesStream:
    """One stream: blocks open and close one after the other, each with its deltas."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._begun = False
        self._open: str | int | None = None  # "text", "thinking", or the index of a tool's call
        self._blocks = 0
        self._called = False
        self._finish: object = None
        self._matched: object = None
        self._usage: Body = {}

    def feed(self, chunk: Body) -> list[Body]:
        """The events that a chunk amounts to."""
        events = [] if self._begun else self._begin(str(chunk.get("id", "")))
        if isinstance(usage := chunk.get("usage"), dict):
            self._usage = usage
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            if thought := delta.get("reasoning_content") or delta.get("reasoning"):
                events += self._piece("thinking", {"type": "thinking_delta", "thinking": thought})
            if text := delta.get("content"):
                events += self._piece("text", {"type": "text_delta", "text": text})
            for call in delta.get("tool_calls") or ():
                events += self._call(call)
            if choice.get("finish_reason"):
                self._finish, self._matched = choice["finish_reason"], choice.get("stop_reason")
        return events

    def end(self) -> list[Body]:
        """The events with which a stream closes whose chat completion is complete."""
        reason, stop = stop_reason(self._finish, self._matched, called=self._called)
        delta = {"stop_reason": reason, "stop_sequence": stop}
        return [
            *([] if self._begun else self._begin("")),
            *self._close(),
            {"type": "message_delta", "delta": delta, "usage": messages_usage(self._usage)},
            {"type": "message_stop"},
        ]

    def failure(self, error: GatewayError) -> list[Body]:
        """The event with which a stream closes that cannot go on."""
        return [failed_message(error)]

    def _begin(self, identity: str) -> list[Body]:
        self._begun = True
        return [{"type": "message_start", "message": empty_message(identity, self._model)}, {"type": "ping"}]

    def _piece(self, kind: str, delta: Body) -> list[Body]:
        events = []
        if self._open != kind:
            empty = {"thinking": "", "signature": ""} if kind == "thinking" else {"text": ""}
            events = self._start(kind, {"type": kind, **empty})
        return [*events, self._delta(delta)]

    def _call(self, call: Body) -> list[Body]:
        events = []
        at, function = call.get("index", 0), call.get("function") or {}
        if self._open != at:
            self._called = True
            block: Body = {
                "type": "tool_use",
                "id": call.get("id") or "",
                "name": function.get("name") or "",
                "input": {},
            }
            events = self._start(at, block)
        if arguments := function.get("arguments"):
            events.append(self._delta({"type": "input_json_delta", "partial_json": arguments}))
        return events

    def _start(self, what: str | int, block: Body) -> list[Body]:
        events = self._close()
        self._open = what
        return [*events, {"type": "content_block_start", "index": self._blocks, "content_block": block}]

    def _delta(self, delta: Body) -> Body:
        return {"type": "content_block_delta", "index": self._blocks, "delta": delta}

    def _close(self) -> list[Body]:
        if self._open is None:
            return []
        self._open = None
        self._blocks += 1
        return [{"type": "content_block_stop", "index": self._blocks - 1}]

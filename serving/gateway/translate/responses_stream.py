"""The chunks of a streamed chat completion as the events of OpenAI's Responses."""

from collections.abc import Sequence
from typing import Any

from serving.gateway.errors import GatewayError
from serving.gateway.translate.failures import failed_response
from serving.gateway.translate.responses_answer import (
    call_item,
    closing,
    empty_response,
    free_text,
    logprobs_of,
    message_item,
    reasoning_item,
    short_id,
    text_part,
)
from serving.gateway.translate.responses_tools import custom_names

Body = dict[str, Any]


class ResponsesStream:
    """One stream: items open and close one after the other, each with its deltas."""

    def __init__(self, request: Body, model: str) -> None:
        self._request = request
        self._model = model
        self._custom = custom_names(request.get("tools"))
        self._response: Body | None = None
        self._identity = ""
        self._sequence = 0
        self._open: str | int | None = None  # "message", "reasoning", or the index of a tool's call
        self._item: Body = {}
        self._text: list[str] = []
        self._logprobs: list[Body] = []
        self._output: list[Body] = []
        self._finish: object = None
        self._usage: Body = {}

    def feed(self, chunk: Body) -> list[Body]:
        """The events that a chunk amounts to."""
        events = [] if self._response is not None else self._begin(chunk)
        if isinstance(usage := chunk.get("usage"), dict):
            self._usage = usage
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            if thought := delta.get("reasoning_content") or delta.get("reasoning"):
                events += self._piece("reasoning", thought)
            if text := delta.get("content"):
                events += self._piece("message", text, logprobs_of(choice))
            for call in delta.get("tool_calls") or ():
                events += self._call(call)
            self._finish = choice.get("finish_reason") or self._finish
        return events

    def end(self) -> list[Body]:
        """The events with which a stream closes whose chat completion is complete."""
        events = [] if self._response is not None else self._begin({})
        events += self._close()
        if not self._output:
            events += [*self._piece("message", ""), *self._close()]
        ended = (self._response or {}) | closing(self._finish, self._output, self._usage)
        return [*events, self._event(f"response.{ended['status']}", response=ended)]

    def failure(self, error: GatewayError) -> list[Body]:
        """The event with which a stream closes that cannot go on."""
        begun = self._response or empty_response(self._identity, None, self._request, self._model)
        return [failed_response(error, begun, self._sequence)]

    def _begin(self, chunk: Body) -> list[Body]:
        self._identity = short_id(str(chunk.get("id", "")))
        self._response = empty_response(self._identity, chunk.get("created"), self._request, self._model)
        return [
            self._event("response.created", response=self._response),
            self._event("response.in_progress", response=self._response),
        ]

    def _piece(self, kind: str, text: str, logprobs: Sequence[Body] = ()) -> list[Body]:
        events = [] if self._open == kind else self._start_text(kind)
        self._text.append(text)
        self._logprobs += logprobs
        if kind == "message":
            events.append(self._part_event("response.output_text.delta", delta=text, logprobs=list(logprobs)))
        else:
            events.append(self._part_event("response.reasoning_text.delta", delta=text))
        return events

    def _start_text(self, kind: str) -> list[Body]:
        identity = f"{self._identity}_{len(self._output)}"
        if kind == "reasoning":
            item = {**reasoning_item(f"rs_{identity}", ""), "content": [], "status": "in_progress"}
            return self._start(kind, item)
        item = {**message_item(f"msg_{identity}", ""), "content": [], "status": "in_progress"}
        return [*self._start(kind, item), self._part_event("response.content_part.added", part=text_part(""))]

    def _call(self, call: Body) -> list[Body]:
        events = []
        at, function = call.get("index", 0), call.get("function") or {}
        if self._open != at:
            item = call_item(call.get("id") or "", function.get("name") or "", "", self._custom)
            events = self._start(at, {**item, "status": "in_progress"})
        if arguments := function.get("arguments"):
            self._text.append(arguments)
            # The input of a custom tool lies within the arguments, and is told once it is whole.
            if self._item["type"] == "function_call":
                events.append(self._item_event("response.function_call_arguments.delta", delta=arguments))
        return events

    def _start(self, what: str | int, item: Body) -> list[Body]:
        events = self._close()
        self._open, self._item, self._text, self._logprobs = what, item, [], []
        return [*events, self._event("response.output_item.added", output_index=len(self._output), item=item)]

    def _close(self) -> list[Body]:
        if self._open is None:
            return []
        text, identity = "".join(self._text), self._item["id"]
        if self._open == "message":
            done = message_item(identity, text, self._logprobs)
            events = [
                self._part_event("response.output_text.done", text=text, logprobs=self._logprobs),
                self._part_event("response.content_part.done", part=text_part(text, self._logprobs)),
            ]
        elif self._open == "reasoning":
            done = reasoning_item(identity, text)
            events = [self._part_event("response.reasoning_text.done", text=text)]
        else:
            done = call_item(self._item["call_id"], self._item["name"], text, self._custom)
            events = self._close_call(text)
        events.append(self._event("response.output_item.done", output_index=len(self._output), item=done))
        self._output.append(done)
        self._open = None
        return events

    def _close_call(self, arguments: str) -> list[Body]:
        if self._item["type"] == "function_call":
            name = self._item["name"]
            return [self._item_event("response.function_call_arguments.done", name=name, arguments=arguments)]
        text = free_text(arguments)
        return [
            self._item_event("response.custom_tool_call_input.delta", delta=text),
            self._item_event("response.custom_tool_call_input.done", input=text),
        ]

    def _part_event(self, kind: str, **fields: Any) -> Body:
        return self._item_event(kind, content_index=0, **fields)

    def _item_event(self, kind: str, **fields: Any) -> Body:
        return self._event(kind, item_id=self._item["id"], output_index=len(self._output), **fields)

    def _event(self, kind: str, **fields: Any) -> Body:
        event = {"type": kind, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        return event

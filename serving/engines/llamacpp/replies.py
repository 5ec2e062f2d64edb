"""Builds OpenAI-shaped replies: whole ones, and the chunks of a stream."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from .choices import Delta
from .logprob_shapes import chat_logprobs, text_logprobs
from .model import Model
from .tool_calls import ToolCall

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Reply:
    """What every object of one answer shares: its id, its time, its model, and whether it tells logprobs."""

    model: str
    chat: bool
    logprobs: bool
    base: Model
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, outputs: Sequence[Delta], usage: dict[str, object]) -> bytes:
        """The answer to a request that did not stream."""
        choices = [self._choice(index, output) for index, output in enumerate(outputs)]
        return orjson.dumps(self._object(choices, chunk=False) | {"usage": usage})

    def opening(self, index: int) -> bytes:
        """A chat choice's first chunk, which names the role."""
        return self._chunk({"index": index, "delta": {"role": "assistant", "content": ""}}, None, None)

    def piece(self, index: int, new: Delta) -> bytes:
        """More of a choice."""
        if not self.chat:
            return self._chunk({"index": index, "text": new.text}, self._logprobs(new), new.finish_reason)
        delta: dict[str, Any] = {"content": new.text} if new.text or not new.calls else {}
        if new.calls:
            delta["tool_calls"] = [
                {"index": at} | _tool_call(call) for at, call in enumerate(new.calls, new.first_call)
            ]
        return self._chunk({"index": index, "delta": delta}, self._logprobs(new), new.finish_reason)

    def usage(self, usage: dict[str, object]) -> bytes:
        """The last chunk before the end, with no choices."""
        return event(self._object([], chunk=True) | {"usage": usage})

    def _choice(self, index: int, output: Delta) -> dict[str, Any]:
        ending = {"logprobs": self._logprobs(output), "finish_reason": output.finish_reason}
        if not self.chat:
            return {"index": index, "text": output.text} | ending
        message: dict[str, Any] = {"role": "assistant", "content": output.text}
        if output.calls:
            message = {
                "role": "assistant",
                "content": output.text or None,
                "tool_calls": [_tool_call(call) for call in output.calls],
            }
        return {"index": index, "message": message} | ending

    def _logprobs(self, part: Delta) -> dict[str, Any] | None:
        if not self.logprobs:
            return None
        if self.chat:
            return chat_logprobs(self.base, part.logprobs)
        return text_logprobs(self.base, part.logprobs, part.offset)

    def _chunk(self, choice: dict[str, Any], logprobs: dict[str, Any] | None, finish_reason: str | None) -> bytes:
        return event(self._object([choice | {"logprobs": logprobs, "finish_reason": finish_reason}], chunk=True))

    def _object(self, choices: list[dict[str, Any]], *, chunk: bool) -> dict[str, Any]:
        kind = "text_completion"
        if self.chat:
            kind = "chat.completion.chunk" if chunk else "chat.completion"
        return {
            "id": ("chatcmpl-" if self.chat else "cmpl-") + self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }


def _tool_call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def event(value: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + orjson.dumps(value) + b"\n\n"

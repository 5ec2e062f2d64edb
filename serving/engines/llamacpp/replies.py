"""Builds OpenAI-shaped replies: whole ones, and the chunks of a stream."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

DONE = b"data: [DONE]\n\n"


@dataclass(slots=True)
class Output:
    """One choice as it grows."""

    text: str = ""
    tokens: int = 0
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What every object of one answer shares: its id, its time, its model."""

    model: str
    chat: bool
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, outputs: Sequence[Output], usage: dict[str, int]) -> bytes:
        """The answer to a request that did not stream."""
        choices = [self._choice(index, output) for index, output in enumerate(outputs)]
        return orjson.dumps(self._object(choices, chunk=False) | {"usage": usage})

    def opening(self, index: int) -> bytes:
        """A chat choice's first chunk, which names the role."""
        return self._chunk([self._delta(index, {"role": "assistant", "content": ""}, None)])

    def piece(self, index: int, text: str, finish_reason: str | None) -> bytes:
        """More text of a choice."""
        if self.chat:
            return self._chunk([self._delta(index, {"content": text}, finish_reason)])
        return self._chunk([self._text(index, text, finish_reason)])

    def usage(self, usage: dict[str, int]) -> bytes:
        """The last chunk before the end, with no choices."""
        return event(self._object([], chunk=True) | {"usage": usage})

    def _choice(self, index: int, output: Output) -> dict[str, Any]:
        if not self.chat:
            return self._text(index, output.text, output.finish_reason)
        return {
            "index": index,
            "message": {"role": "assistant", "content": output.text},
            "logprobs": None,
            "finish_reason": output.finish_reason,
        }

    def _text(self, index: int, text: str, finish_reason: str | None) -> dict[str, Any]:
        return {"index": index, "text": text, "logprobs": None, "finish_reason": finish_reason}

    def _delta(self, index: int, delta: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}

    def _chunk(self, choices: list[dict[str, Any]]) -> bytes:
        return event(self._object(choices, chunk=True))

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


def usage_count(prompt_tokens: int, outputs: Sequence[Output]) -> dict[str, int]:
    """OpenAI's usage object."""
    completion = sum(output.tokens for output in outputs)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion,
        "total_tokens": prompt_tokens + completion,
    }


def event(value: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + orjson.dumps(value) + b"\n\n"

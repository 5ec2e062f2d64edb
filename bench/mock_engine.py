"""The cheapest engine there can be: canned answers, as fast as a socket takes them, and streams at a steady pace.

    python bench/mock_engine.py MODEL

It prints its address, HOST:PORT, and serves until it is terminated. Of a streamed request, `max_tokens` says how many
chunks its answer has, and `seed` how many milliseconds lie between them.
"""

import asyncio
import sys

import orjson
import uvloop
from engine_connection import STREAM_END, STREAM_HEAD, EngineConnection, answer_bytes, event_bytes, serve

_FACTS = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": sys.argv[1]}
_USAGE = {"prompt_tokens": 80, "completion_tokens": 8, "total_tokens": 88}
_ANSWER = answer_bytes(
    {
        **_FACTS,
        "object": "chat.completion",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "It is on its way."}, "finish_reason": "stop"}
        ],
        "usage": _USAGE,
    }
)


def _word(word: str, finish_reason: str | None) -> bytes:
    return event_bytes(
        {**_FACTS, "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": finish_reason}]}
    )


_WORD = _word("word ", None)
_LAST_WORD = _word("word.", "stop")
_END = event_bytes({**_FACTS, "choices": [], "usage": _USAGE}) + STREAM_END


class Connection(EngineConnection):
    """One keep-alive connection."""

    next: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop speaking."""
        if self.next is not None:
            self.next.cancel()

    def answer(self, body: bytes) -> None:
        """Answer at once, or begin a stream."""
        if b'"stream":true' in body:
            self.stream(orjson.loads(body))
        else:
            self.transport.write(_ANSWER)

    def stream(self, body: dict[str, int]) -> None:
        """Begin a stream with its first word."""
        loop = asyncio.get_running_loop()
        self.transport.write(STREAM_HEAD + _WORD)
        self.pause = body["seed"] / 1000
        self.left = body["max_tokens"] - 1
        self.at = loop.time() + self.pause
        self.next = loop.call_at(self.at, self.speak)

    def speak(self) -> None:
        """Say the next word."""
        self.left -= 1
        if not self.left:
            self.transport.write(_LAST_WORD + _END)
            return
        self.transport.write(_WORD)
        self.at += self.pause
        self.next = asyncio.get_running_loop().call_at(self.at, self.speak)


if __name__ == "__main__":
    uvloop.run(serve(Connection))

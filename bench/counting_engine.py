"""An engine that keeps its own account of what it answers, for the benchmark of metering.

    python bench/counting_engine.py LEDGER

It prints its address, HOST:PORT, and serves until it is ended. The last message of a request reads
`ID TOKENS PAUSE_MS`: so many words are answered, with such a pause between those of a stream. In the
ledger stands `begun ID` for every request that came, and `ended ID PROMPT CACHED COMPLETION` for every one whose answer
was given to its end.
"""

import asyncio
import os
import sys
from typing import Any

import orjson
import uvloop
from engine_connection import STREAM_END, STREAM_HEAD, EngineConnection, answer_bytes, event_bytes, serve

_LEDGER = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def _note(*words: object) -> None:
    os.write(_LEDGER, (" ".join(map(str, words)) + "\n").encode())


class Connection(EngineConnection):
    """One keep-alive connection."""

    speaking: asyncio.Task[None] | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop speaking: the answer under way has not reached its end."""
        if self.speaking is not None:
            self.speaking.cancel()

    def answer(self, body: bytes) -> None:
        """Begin to speak."""
        self.speaking = asyncio.get_running_loop().create_task(self.speak(orjson.loads(body)))

    async def speak(self, body: dict[str, Any]) -> None:
        """Give one answer."""
        name, tokens, pause = body["messages"][-1]["content"].split()
        _note("begun", name)
        completion = int(tokens)
        # Numbers that no two requests need share, so that one's cannot pass for another's.
        prompt, cached = int(name.partition("-")[2]) + 10, completion * 3
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached},
        }
        if body.get("stream"):
            self.transport.write(STREAM_HEAD)
            for _ in range(completion):
                self.transport.write(event_bytes({"choices": [{"index": 0, "delta": {"content": "word "}}]}))
                await asyncio.sleep(int(pause) / 1000)
            _note("ended", name, prompt, cached, completion)
            end = event_bytes({"choices": [], "usage": usage}) if body["stream_options"]["include_usage"] else b""
            self.transport.write(end + STREAM_END)
        else:
            await asyncio.sleep(int(pause) / 1000)
            _note("ended", name, prompt, cached, completion)
            message = {"role": "assistant", "content": "word " * completion}
            self.transport.write(answer_bytes({"choices": [{"index": 0, "message": message}], "usage": usage}))


if __name__ == "__main__":
    uvloop.run(serve(Connection))

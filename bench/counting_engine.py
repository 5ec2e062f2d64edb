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
from typing import Any, cast

import orjson
import uvloop

_LEDGER = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def _note(*words: object) -> None:
    os.write(_LEDGER, (" ".join(map(str, words)) + "\n").encode())


def _event(fields: dict[str, object]) -> bytes:
    event = b"data: " + orjson.dumps({"object": "chat.completion.chunk", **fields}) + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests are told apart by their content-length alone."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.transport = cast(asyncio.Transport, transport)
        self.received = b""
        self.answer: asyncio.Task[None] | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop speaking: the answer under way has not reached its end."""
        if self.answer is not None:
            self.answer.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self.received += data
        while (head := self.received.find(b"\r\n\r\n")) >= 0:
            _, _, length = self.received[:head].lower().partition(b"content-length: ")
            end = head + 4 + int(length.partition(b"\r\n")[0] or 0)
            if len(self.received) < end:
                return
            body, self.received = self.received[head + 4 : end], self.received[end:]
            self.answer = asyncio.get_running_loop().create_task(self.speak(orjson.loads(body)))

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
            self.transport.write(_STREAM_HEAD)
            for _ in range(completion):
                self.transport.write(_event({"choices": [{"index": 0, "delta": {"content": "word "}}]}))
                await asyncio.sleep(int(pause) / 1000)
            _note("ended", name, prompt, cached, completion)
            end = _event({"choices": [], "usage": usage}) if body["stream_options"]["include_usage"] else b""
            self.transport.write(end + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        else:
            await asyncio.sleep(int(pause) / 1000)
            _note("ended", name, prompt, cached, completion)
            message = {"role": "assistant", "content": "word " * completion}
            answer = orjson.dumps({"choices": [{"index": 0, "message": message}], "usage": usage})
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(answer)}\r\n\r\n"
            self.transport.write(head.encode() + answer)


async def main() -> None:
    """Serve until ended."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=4096)
    print("{}:{}".format(*server.sockets[0].getsockname()), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())

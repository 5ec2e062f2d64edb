"""The cheapest engine there can be: canned answers, as fast as a socket takes them, and streams at a steady pace.

    python bench/mock_engine.py MODEL

It prints its address, HOST:PORT, and serves until it is terminated. Of a streamed request, `max_tokens` says how many
chunks its answer has, and `seed` how many milliseconds lie between them.
"""

import asyncio
import sys
from typing import cast

import orjson
import uvloop

_FACTS = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": sys.argv[1]}
_USAGE = {"prompt_tokens": 80, "completion_tokens": 8, "total_tokens": 88}
_ANSWER = orjson.dumps(
    {
        **_FACTS,
        "object": "chat.completion",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "It is on its way."}, "finish_reason": "stop"}
        ],
        "usage": _USAGE,
    }
)
_RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(_ANSWER),
    _ANSWER,
)
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def _chunk(fields: dict[str, object]) -> bytes:
    event = b"data: " + orjson.dumps({**_FACTS, "object": "chat.completion.chunk", **fields}) + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)


_WORD = _chunk({"choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}]})
_LAST_WORD = _chunk({"choices": [{"index": 0, "delta": {"content": "word."}, "finish_reason": "stop"}]})
_END = _chunk({"choices": [], "usage": _USAGE}) + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests are told apart by their content-length alone."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.transport = cast(asyncio.Transport, transport)
        self.received = b""
        self.loop = asyncio.get_running_loop()
        self.next: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop speaking."""
        if self.next is not None:
            self.next.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self.received += data
        while (head := self.received.find(b"\r\n\r\n")) >= 0:
            _, _, length = self.received[:head].lower().partition(b"content-length: ")
            end = head + 4 + int(length.partition(b"\r\n")[0] or 0)
            if len(self.received) < end:
                return
            body, self.received = self.received[head + 4 : end], self.received[end:]
            if b'"stream":true' in body:
                self.stream(orjson.loads(body))
            else:
                self.transport.write(_RESPONSE)

    def stream(self, body: dict[str, int]) -> None:
        """Begin a stream with its first word."""
        self.transport.write(_STREAM_HEAD + _WORD)
        self.pause = body["seed"] / 1000
        self.left = body["max_tokens"] - 1
        self.at = self.loop.time() + self.pause
        self.next = self.loop.call_at(self.at, self.speak)

    def speak(self) -> None:
        """Say the next word."""
        self.left -= 1
        if not self.left:
            self.transport.write(_LAST_WORD + _END)
            return
        self.transport.write(_WORD)
        self.at += self.pause
        self.next = self.loop.call_at(self.at, self.speak)


async def main() -> None:
    """Serve until terminated."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=4096)
    print("{}:{}".format(*server.sockets[0].getsockname()), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())

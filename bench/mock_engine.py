"""The cheapest engine there can be: one canned chat completion for every request, as fast as a socket takes it."""

import asyncio
import sys
from typing import cast

import orjson
import uvloop

ANSWER = orjson.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": sys.argv[1],
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "It is on its way."}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 80, "completion_tokens": 8, "total_tokens": 88},
    }
)
RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests are told apart by their content-length alone."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.transport = cast(asyncio.Transport, transport)
        self.received = b""

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self.received += data
        while (head := self.received.find(b"\r\n\r\n")) >= 0:
            fields = self.received[:head].lower()
            length = int(fields.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
            if len(self.received) < head + 4 + length:
                return
            self.received = self.received[head + 4 + length :]
            self.transport.write(RESPONSE)


async def main() -> None:
    """Serve until terminated."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=4096)
    print("{}:{}".format(*server.sockets[0].getsockname()), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())

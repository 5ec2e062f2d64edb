"""What the benchmarks' engines have in common: connections that take requests apart as cheaply as can be."""

import asyncio
from typing import Any, cast

import orjson

STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
STREAM_END = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


class EngineConnection(asyncio.Protocol):
    """One keep-alive connection; requests are told apart by their content-length alone."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.transport = cast(asyncio.Transport, transport)
        self.received = b""

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self.received += data
        while (head := self.received.find(b"\r\n\r\n")) >= 0:
            _, _, length = self.received[:head].lower().partition(b"content-length: ")
            end = head + 4 + int(length.partition(b"\r\n")[0] or 0)
            if len(self.received) < end:
                return
            body, self.received = self.received[head + 4 : end], self.received[end:]
            self.answer(body)

    def answer(self, body: bytes) -> None:
        """Answer a request by its body."""
        raise NotImplementedError


def answer_bytes(fields: dict[str, Any]) -> bytes:
    """A whole answer."""
    body = orjson.dumps(fields)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    return head + body


def event_bytes(fields: dict[str, Any]) -> bytes:
    """An event of a stream, in a chunk of its own."""
    event = b"data: " + orjson.dumps({"object": "chat.completion.chunk", **fields}) + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)


async def serve(connection: type[EngineConnection]) -> None:
    """Print the address, HOST:PORT, and serve until terminated."""
    server = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0, backlog=4096)
    print("{}:{}".format(*server.sockets[0].getsockname()), flush=True)
    await server.serve_forever()

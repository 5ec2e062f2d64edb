"""Clients of the benchmarks of limits and fairness: keep-alive connections that ask for chat completions."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Self

import orjson

CHAT = "/v1/chat/completions"


@dataclass
class Answer:
    """What came of one request: status, seconds to the first content and to the end, and tokens as counted."""

    status: int
    first: float
    duration: float
    tokens: int
    began: float


class Client:
    """One connection with one key."""

    def __init__(self, address: tuple[str, int], secret: str, **fields: Any) -> None:
        self._address = address
        body = orjson.dumps(
            {"model": "base", "messages": [{"role": "user", "content": "where is my parcel? " * 20}], **fields}
        )
        head = (
            f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self._request = head.encode() + body

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(*self._address)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def ask(self) -> Answer:
        """Ask once and read the whole answer."""
        began = time.perf_counter()
        self._writer.write(self._request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        fields = head.lower()
        first = 0.0
        body = b""
        if b"transfer-encoding: chunked" in fields:
            while size := int(await self._reader.readuntil(b"\r\n"), 16):
                body += (await self._reader.readexactly(size + 2))[:-2]
                if not first and b'"content":"w' in body:
                    first = time.perf_counter() - began
            await self._reader.readexactly(2)
        else:
            length = int(fields.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
            body = await self._reader.readexactly(length)
        return Answer(status, first, time.perf_counter() - began, _tokens(body), began)


def _tokens(body: bytes) -> int:
    """The tokens of prompt and completion by the usage in an answer, whole or a stream's."""
    place = body.rfind(b'"total_tokens":')
    if place < 0:
        return 0
    digits = body[place + len(b'"total_tokens":') :].lstrip()
    return int(digits[: min(digits.find(end) for end in (b",", b"}") if end in digits)])

"""The clients that load a server: `wrk` for small requests, and a cheap reader of many streams."""

import asyncio
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast

import orjson
import uvloop

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
_GIVE_UP_SECONDS = 60.0


@dataclass(frozen=True)
class Asked:
    """What is asked of a server. `address` is HOST:PORT."""

    address: str
    path: str
    secret: str
    body: dict[str, object]


@dataclass
class Small:
    """What `wrk` found: `requests` in all, latencies in seconds."""

    requests: int
    p50: float
    p99: float
    failed: int


def require_wrk() -> None:
    """End the program with advice when there is no `wrk`."""
    if shutil.which("wrk") is None:
        raise SystemExit("The benchmark's small requests come from wrk, which is not here: apt install wrk")


def small_requests(asked: Asked, connections: int, seconds: int) -> Small:
    """Ask over and over on so many connections."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(
            f'wrk.method = "POST"\nwrk.body = [==[{orjson.dumps(asked.body).decode()}]==]\n'
            f'wrk.headers["authorization"] = "Bearer {asked.secret}"\n'
            'wrk.headers["content-type"] = "application/json"\n'
        )
        script.flush()
        url = f"http://{asked.address}{asked.path}"
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", script.name, url]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    numbers = [
        int(found[1]) if (found := re.search(pattern, output)) else 0
        for pattern in (r"(\d+) requests in", r"Non-2xx or 3xx responses: (\d+)")
    ]
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    failed = numbers[1] + (sum(map(int, errors.groups())) if errors else 0)
    return Small(numbers[0], _percentile(output, 50), _percentile(output, 99), failed)


def _percentile(output: str, mark: int) -> float:
    found = re.search(rf"^ +{mark}%\s+([\d.]+)(\w+)", output, re.MULTILINE)
    if found is None:
        raise SystemExit(f"wrk said something unexpected:\n{output}")
    return float(found[1]) * _UNITS[found[2]]


@dataclass
class Streams:
    """What the reader found: seconds to each stream's first word, words received, and streams that did not end well."""

    firsts: list[float] = field(default_factory=list)
    words: int = 0
    failed: int = 0


class _Stream(asyncio.Protocol):
    """One request and its streamed answer."""

    def __init__(self, request: bytes, found: Streams) -> None:
        self._request = request
        self._found = found
        self._tail = b""
        self._answered = False
        self._first = False
        self.begun = asyncio.get_running_loop().create_future()
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._asked = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self._answered:
            self._answered = True
            if not data.startswith(b"HTTP/1.1 200 "):
                self._fail(data.decode(errors="replace"))
                return
        if not self._first and b'"content":"w' in data:
            self._first = True
            self._found.firsts.append(time.perf_counter() - self._asked)
            self.begun.set_result(None)
        self._found.words += data.count(b'"content":"w')
        self._tail = (self._tail + data)[-64:]
        if b"[DONE]" in self._tail:
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self._fail("The connection ended early.")

    def _fail(self, why: str) -> None:
        if not self._found.failed:
            print(f"A stream failed:\n{why}", flush=True)
        self._found.failed += 1
        self._end()

    def _end(self) -> None:
        for future in (self.begun, self.ended):
            if not future.done():
                future.set_result(None)
        self._transport.close()


def read_streams(
    asked: Asked, count: int, *, chunks: int, pause_ms: int, once_open: Callable[[], None] | None = None
) -> Streams:
    """Open so many streams at once and read them to their ends.

    Args:
        once_open: called when every stream has its first word.
    """
    return uvloop.run(_read_streams(asked, count, chunks=chunks, pause_ms=pause_ms, once_open=once_open))


async def _read_streams(
    asked: Asked, count: int, *, chunks: int, pause_ms: int, once_open: Callable[[], None] | None
) -> Streams:
    body = orjson.dumps({**asked.body, "stream": True, "max_tokens": chunks, "seed": pause_ms})
    head = f"POST {asked.path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {asked.secret}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    found = Streams()
    host, port = asked.address.split(":")

    async def open_one() -> _Stream:
        loop = asyncio.get_running_loop()
        _, stream = await loop.create_connection(lambda: _Stream(head.encode() + body, found), host, int(port))
        return stream

    async def in_time(awaited: Awaitable[object]) -> None:
        try:
            await asyncio.wait_for(awaited, _GIVE_UP_SECONDS)
        except TimeoutError:
            raise SystemExit(f"{asked.address}: a stream did not come within {_GIVE_UP_SECONDS:.0f} s.") from None

    streams = await asyncio.gather(*(open_one() for _ in range(count)))
    if once_open is not None:
        await in_time(asyncio.gather(*(stream.begun for stream in streams)))
        once_open()
    await in_time(asyncio.gather(*(stream.ended for stream in streams)))
    return found

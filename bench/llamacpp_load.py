"""Sends streamed requests and notes when each piece of text arrives."""

import asyncio
import json
import time
from dataclasses import dataclass, field

from llamacpp_servers import Server, encode


@dataclass
class Stream:
    """One answer: when it was asked for, when its pieces came, its text. Times in seconds."""

    asked: float
    arrived: list[float] = field(default_factory=list)
    text: str = ""
    tokens: int = 0

    @property
    def first(self) -> float:
        """Time to the first piece."""
        return self.arrived[0] - self.asked

    @property
    def gaps(self) -> list[float]:
        """Times between pieces."""
        return [later - earlier for earlier, later in zip(self.arrived, self.arrived[1:], strict=False)]


async def ask(server: Server, adapter: int, prompt: str, tokens: int) -> Stream:
    """One request over a connection of its own."""
    stream = Stream(time.perf_counter(), tokens=tokens)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(encode(server.body(adapter, prompt, tokens), server.port))
    lines: list[bytes] = []
    status = await reader.readline()
    # Parsed only after the last one: the load must not take the time that the servers compete for.
    while line := await reader.readline():
        if line.startswith(b"data: {"):
            lines.append(line)
            stream.arrived.append(time.perf_counter())
    writer.close()
    if b" 200 " not in status:
        raise SystemExit(f"A server refused a request: {status.decode()}")
    told = [json.loads(line[6:])["choices"] for line in lines]
    texts = [choices[0]["text"] if choices else "" for choices in told]
    stream.arrived = [at for at, text in zip(stream.arrived, texts, strict=True) if text]
    stream.text = "".join(texts)
    if not stream.arrived:
        raise SystemExit("A server answered with no text.")
    return stream


async def ask_together(server: Server, asked: list[tuple[int, str]], tokens: int) -> list[Stream]:
    """So many requests at once, each an adapter and a prompt."""
    return list(await asyncio.gather(*(ask(server, adapter, prompt, tokens) for adapter, prompt in asked)))

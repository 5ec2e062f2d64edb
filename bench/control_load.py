"""Asks the gateway at a steady rate and keeps account of what became of each request."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import orjson

CHAT = "/v1/chat/completions"


@dataclass(slots=True)
class Asked:
    """One request: when it was sent, seconds until its first byte of content and until its end, how it ended.

    `outcome` is "finished", "interrupted" (a stream that had begun and ended with an error event) or what went wrong.
    """

    sent_at: float
    first: float
    whole: float
    outcome: str
    fallback: str


async def ask_steadily(
    url: str,
    secret: str,
    *,
    rate: float,
    seconds: float,
    model: Callable[[], str],
    streamed_share: float = 0.5,
    seed: int = 1,
) -> list[Asked]:
    """Send requests at a rate for a time, whether or not earlier ones have been answered; returns them all."""
    generator = random.Random(seed)
    began = time.monotonic()
    tasks = []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        streamed = generator.random() < streamed_share
        text = f"conversation {generator.randrange(10_000)}: where is my parcel?"
        tasks.append(asyncio.create_task(_ask(url, secret, model(), text, streamed=streamed)))
    return list(await asyncio.gather(*tasks))


async def _ask(url: str, secret: str, model: str, text: str, *, streamed: bool) -> Asked:
    body = orjson.dumps({"model": model, "messages": [{"role": "user", "content": text}], "stream": streamed})
    head = (
        f"POST {CHAT} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {secret}\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    sent_at = time.monotonic()
    first = 0.0
    received = b""
    try:
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(head.encode() + body)
        while piece := await reader.read(65536):
            received += piece
            if not first and b'"content":"c' in received:
                first = time.monotonic() - sent_at
        writer.close()
        outcome = _outcome(received, streamed=streamed)
    except OSError as error:
        outcome = f"no answer: {error!r}"
    whole = time.monotonic() - sent_at
    return Asked(sent_at, first or whole, whole, outcome, _header(received, b"x-polygraft-fallback"))


def _outcome(received: bytes, *, streamed: bool) -> str:
    head, _, body = received.partition(b"\r\n\r\n")
    status = head[9:12].decode()
    if status != "200":
        return f"{status} {body[-200:].decode(errors='replace')}"
    if not streamed:
        return "finished" if b'"finish_reason":"stop"' in body else "200, but cut short"
    if b"data: [DONE]" in body:
        return "finished"
    return "interrupted" if b'"code":"engine_failed"' in body else "200, but a stream without an end"


def _header(received: bytes, name: bytes) -> str:
    head = received.partition(b"\r\n\r\n")[0]
    for line in head.split(b"\r\n"):
        if line.lower().startswith(name + b":"):
            return line.split(b":", 1)[1].strip().decode()
    return ""


def percentile(values: list[float], share: float) -> float:
    """The value below which so large a share of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0

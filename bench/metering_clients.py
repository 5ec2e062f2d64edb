"""The clients of the benchmark of metering: a mix of requests, some well-behaved, some not, and what each saw."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

import orjson

CHAT = "/v1/chat/completions"
_PATIENCE_SECONDS = 60.0
# Kind of request → its share, in percent.
_MIX = {
    "whole": 45,
    "stream": 25,
    "stream-with-usage": 10,
    "aborted": 8,
    "over-cap": 3,
    "no-model": 3,
    "no-json": 3,
    "models": 3,
}
CLIENTS = 48


@dataclass
class Seen:
    """One request as its client saw it.

    `kind` is a word of the mix; `status` is 0 when no answer began; `complete` says whether the answer came to its end;
    `usage` is what a stream showed of prompt and completion tokens.
    """

    name: str
    kind: str
    status: int = 0
    complete: bool = False
    usage: tuple[int, int] | None = None


async def ask_all(port: int, secret: str, model: str, count: int, progress: Callable[[int], None]) -> list[Seen]:
    """Send so many requests, a few at a time; `progress` is told how many have begun."""
    dice = random.Random(5)
    kinds = dice.choices(list(_MIX), list(_MIX.values()), k=count)
    seen: list[Seen] = []
    numbers = iter(range(count))

    async def client() -> None:
        for number in numbers:
            progress(number)
            one = Seen(f"mix-{number:06d}", kinds[number])
            seen.append(one)
            await asyncio.wait_for(_ask(one, port, secret, model, dice), _PATIENCE_SECONDS)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return seen


async def _ask(one: Seen, port: int, secret: str, model: str, dice: random.Random) -> None:
    reader, writer = await _connect(port)
    writer.write(_request(one, secret, model, tokens=dice.randint(1, 20), pause=dice.choice((0, 0, 1, 5))))
    received = b""
    give_up_after = dice.randint(0, 900) if one.kind == "aborted" else None
    try:
        while piece := await reader.read(65536):
            received += piece
            if give_up_after is not None and len(received) > give_up_after:
                break
    except OSError:
        pass  # as good as an early end: what was received says how far it got
    finally:
        writer.close()
    if received:
        one.status = int(received[9:12])
    head, _, body = received.partition(b"\r\n\r\n")
    if b"chunked" in head.lower():
        one.complete = body.endswith(b"0\r\n\r\n") and b"[DONE]" in body
        if b'"usage":{' in body:
            usage = orjson.loads(b"{" + body[body.index(b'"usage":{') :].partition(b"}}")[0] + b"}}}")["usage"]
            one.usage = usage["prompt_tokens"], usage["completion_tokens"]
    else:
        _, found, length = head.lower().partition(b"content-length: ")
        one.complete = bool(found) and len(body) == int(length.partition(b"\r\n")[0])


async def _connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    while True:
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)  # nothing has been asked yet


def _request(one: Seen, secret: str, model: str, *, tokens: int, pause: int) -> bytes:
    message = {"role": "user", "content": f"{one.name} {tokens} {pause}"}
    body: dict[str, object] = {"model": model, "messages": [message]}
    match one.kind:
        case "stream" | "aborted":
            body["stream"] = True
        case "stream-with-usage":
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        case "over-cap":
            body["n"] = 1000
        case "no-model":
            body["model"] = "never-was"
    content = orjson.dumps(body)
    line = f"POST {CHAT}"
    if one.kind == "no-json":
        content = content[:-1]
    elif one.kind == "models":
        line, content = "GET /v1/models", b""
    head = (
        f"{line} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\nx-request-id: {one.name}\r\n"
        f"connection: close\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content

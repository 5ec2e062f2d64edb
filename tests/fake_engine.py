"""An engine that speaks OpenAI's dialect and computes nothing: fast, and faulty on demand.

Run as a program it serves until it is terminated, and prints `listening on HOST:PORT` once it can be reached:

    python tests/fake_engine.py --model base --tokens 8 --tps 50 --ttft 0.1 --fail mid-stream

From tests, `FakeEngine` starts one as a process and ends it again:

    with FakeEngine(models=["base"], tokens=8) as engine:
        httpx.post(f"http://{engine.address}/v1/chat/completions", json=...)
        engine.stats()["completed"]

With `held=True` its answers wait until `engine.release()`, so that a test decides what happens meanwhile, not a clock.
It answers with the words of the caller's last message, repeated up to `--tokens` words.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import httptools

import fake_dialects


class Fault(StrEnum):
    """What is wrong with the engine's answers to completions; everything else it answers well."""

    NEVER = "never"
    REFUSE = "refuse"  # the port is taken but nobody listens: connections are refused
    DROP = "drop"  # the connection is closed without a byte
    ERROR_400 = "400"  # the request is refused, in words that name the engine's internals
    ERROR_500 = "500"
    ERROR_503 = "503"
    NOT_FOUND = "404"  # the model is unknown here, whatever it is
    MID_STREAM = "mid-stream"  # the connection breaks in the middle of the second event
    ERROR_EVENT = "error-event"  # the stream carries an error event, as vLLM sends it
    HANG = "hang"  # nothing ever comes
    CUT_SHORT = "cut-short"  # the stream ends in good order, but in the middle of its text
    STALL = "stall"  # two events come, then nothing
    SLOW = "slow"  # the answer dribbles in pieces of a few bytes that respect no boundary
    NO_TEXT = "no-text"  # as an engine whose model is made for embeddings
    GARBAGE = "garbage"  # a 200 that is no JSON


class _Options(argparse.Namespace):
    host: str
    port: int
    tokens: int
    tps: float
    ttft: float
    fail: Fault
    model: list[str]
    secret: str
    keep_alive: float
    slots: int
    spread: float
    held: bool
    last_words: str


class _Engine:
    """What all connections share: the options, the loaded adapters and the counters."""

    def __init__(self, options: _Options) -> None:
        self.options = options
        self.models = set(options.model)
        self.slots = asyncio.Semaphore(options.slots or 1_000_000)
        self.leaves = asyncio.Semaphore(0)  # that answers have to be sent, while the engine holds them
        self.counters = {
            "connections": 0,
            "requests": 0,  # completions only, as all the counters below
            "completed": 0,
            "aborted": 0,
            "prompt_tokens": 0,
            "completion_tokens": 0,
            "running": 0,
            "present": 0,  # running or waiting for a slot
            "most_present": 0,
        }
        self.last_body: Any = None
        self.last_headers: dict[str, str] = {}

    def length(self) -> int:
        """How many words the next answer has."""
        tokens, spread = self.options.tokens, self.options.spread
        return round(random.uniform(tokens * (1 - spread), tokens * (1 + spread))) if spread else tokens

    async def leave(self) -> None:
        """Wait until an answer may be sent."""
        if self.options.held:
            await self.leaves.acquire()

    def release(self, count: int) -> None:
        """Let so many answers go, those that wait first; 0: all, from now on."""
        if not count:
            self.options.held, count = False, self.counters["running"]
        for _ in range(count):
            self.leaves.release()

    def stats(self) -> dict[str, Any]:
        return {
            **self.counters,
            "models": sorted(self.models),
            "last_body": self.last_body,
            "last_headers": self.last_headers,
        }

    def metrics(self) -> str:
        """What vLLM measures, as far as a fake can."""
        values = {
            "vllm:num_requests_running": self.counters["running"],
            "vllm:num_requests_waiting": 0,
            "vllm:kv_cache_usage_perc": 0.0,
            "vllm:generation_tokens_total": self.counters["completion_tokens"],
        }
        return "".join(f'{name}{{model_name="fake"}} {value}\n' for name, value in values.items())


class _Connection(asyncio.Protocol):
    """One connection; a client's leaving cancels the answer under way."""

    def __init__(self, engine: _Engine) -> None:
        self.engine = engine
        self.transport: asyncio.Transport
        self.parser: Any = httptools.HttpRequestParser(self)
        self.answer: asyncio.Task[None] | None = None
        self.idle: asyncio.TimerHandle | None = None
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.engine.counters["connections"] += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_idling()
        self.writable.set()
        if self.answer is not None and not self.answer.done():
            self.answer.cancel()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        self._stop_idling()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.close()

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers: dict[str, str] = {}
        self.body = b""

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        method, path = self.parser.get_method().decode(), self.url.decode().partition("?")[0]
        self.answer = asyncio.get_running_loop().create_task(self._answer(method, path, self.headers, self.body))

    async def _answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        await _respond(self, method, path, headers, body)
        if self.engine.options.keep_alive and not self.transport.is_closing():
            loop = asyncio.get_running_loop()
            self.idle = loop.call_later(self.engine.options.keep_alive, self.transport.close)

    def _stop_idling(self) -> None:
        if self.idle is not None:
            self.idle.cancel()
            self.idle = None

    def send(self, status: int, body: bytes, content_type: str = "application/json") -> None:
        head = f"HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)

    def send_error(self, status: int, message: str, kind: str = "InternalServerError") -> None:
        error = {"message": message, "type": kind, "param": None, "code": status}
        self.send(status, json.dumps({"error": error}).encode())


async def _respond(connection: _Connection, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
    engine = connection.engine
    secret = engine.options.secret
    match method, path:
        case "GET", "/health":
            connection.send(200, b"")
        case "GET", "/metrics":
            connection.send(200, engine.metrics().encode(), "text/plain")
        case "POST", "/fault":
            engine.options.fail = Fault(body.decode())
            connection.send(200, b"")
        case "POST", "/release":
            engine.release(int(body))
            connection.send(200, b"")
        case "GET", "/stats":
            connection.send(200, json.dumps(engine.stats()).encode())
        case _, path if path.startswith("/v1/") and secret and headers.get("authorization") != f"Bearer {secret}":
            connection.send_error(401, "Unauthorized", "Unauthorized")
        case "GET", "/v1/models":
            data = [{"id": name, "object": "model"} for name in sorted(engine.models)]
            connection.send(200, json.dumps({"object": "list", "data": data}).encode())
        case "POST", "/v1/load_lora_adapter":
            wish = json.loads(body)
            if wish["lora_name"] in engine.models:
                connection.send_error(400, f"The lora adapter '{wish['lora_name']}' has already been loaded.")
                return
            engine.models.add(wish["lora_name"])
            connection.send(200, b"Success: LoRA adapter added successfully.", "text/plain")
        case "POST", "/v1/unload_lora_adapter":
            name = json.loads(body)["lora_name"]
            if name not in engine.models:
                connection.send_error(404, f"The lora adapter '{name}' cannot be found.", "NotFoundError")
                return
            engine.models.discard(name)
            connection.send(200, b"Success: LoRA adapter removed successfully.", "text/plain")
        case "POST", "/v1/chat/completions" | "/v1/completions":
            if engine.options.fail is Fault.NO_TEXT:
                connection.send(404, b'{"detail":"Not Found"}')
                return
            engine.last_headers = headers
            counters = engine.counters
            counters["present"] += 1
            counters["most_present"] = max(counters["most_present"], counters["present"])
            try:
                async with engine.slots:
                    await _complete(connection, chat="chat" in path, body=body)
            finally:
                counters["present"] -= 1
        case "POST", path if path in fake_dialects.PATHS:
            engine.last_headers = headers
            _answer_other(connection, path, body)
        case _:
            connection.send_error(404, "Not Found", "NotFoundError")


def _answer_other(connection: _Connection, path: str, body: bytes) -> None:
    engine = connection.engine
    wish = engine.last_body = json.loads(body)
    if wish["model"] not in engine.models:
        connection.send_error(404, f"The model `{wish['model']}` does not exist.", "NotFoundError")
    elif engine.options.fail is Fault.ERROR_400:
        where = "/var/lib/engine/adapters/secret.safetensors"
        connection.send_error(400, f"`{wish['model']}` from {where}: max_tokens is too large.", "BadRequestError")
    elif wish.get("stream"):
        events = fake_dialects.events(path, wish, fails=engine.options.fail is Fault.ERROR_EVENT)
        connection.send(200, b"".join(events), "text/event-stream; charset=utf-8")
    else:
        connection.send(200, json.dumps(fake_dialects.whole(path, wish)).encode())


async def _complete(connection: _Connection, *, chat: bool, body: bytes) -> None:
    engine = connection.engine
    counters = engine.counters
    counters["requests"] += 1
    counters["running"] += 1
    try:
        wish = engine.last_body = json.loads(body)
        fault = engine.options.fail
        if fault is Fault.NOT_FOUND or wish["model"] not in engine.models:
            known = ", ".join(sorted(engine.models))
            connection.send_error(404, f"The model `{wish['model']}` is not one of {known}.", "NotFoundError")
        elif fault is Fault.DROP:
            connection.transport.close()
        elif fault is Fault.HANG:
            await asyncio.Event().wait()
        elif fault is Fault.ERROR_400:
            where = "/var/lib/engine/adapters/secret.safetensors"
            connection.send_error(400, f"`{wish['model']}` from {where}: max_tokens is too large.", "BadRequestError")
        elif fault is Fault.ERROR_500:
            connection.send_error(500, f"EngineCore died while running {wish['model']}")
        elif fault is Fault.ERROR_503:
            connection.send_error(503, "The queue is full", "ServiceUnavailable")
        elif fault is Fault.GARBAGE:
            connection.send(200, b"<html>It works!</html>")
        elif wish.get("stream"):
            await _stream(connection, chat=chat, wish=wish)
        else:
            await _whole(connection, chat=chat, wish=wish)
    except (TypeError, LookupError, AttributeError) as error:
        # What real engines find by looking at the request first.
        connection.send_error(400, f"The request is malformed: {error!r}", "BadRequestError")
    except asyncio.CancelledError:
        counters["aborted"] += 1
        raise
    finally:
        counters["running"] -= 1


def _words(wish: dict[str, Any], count: int) -> Iterator[str]:
    """The caller's own words, over and over."""
    text: Any = wish["messages"][-1]["content"] if "messages" in wish else wish["prompt"]
    words = (text if isinstance(text, str) else json.dumps(text)).split() or ["nothing"]
    for index in range(count):
        yield words[index % len(words)] + " "


def _calls(wish: dict[str, Any]) -> list[dict[str, Any]]:
    """The call of its first tool that a caller insists on."""
    if wish.get("tool_choice") in (None, "auto", "none"):
        return []
    name = wish["tools"][0]["function"]["name"]
    return [{"id": "call_1", "type": "function", "function": {"name": name, "arguments": '{"city": "Paris"}'}}]


def _usage(wish: dict[str, Any], completion_tokens: int) -> dict[str, Any]:
    text = json.dumps(wish.get("messages", wish.get("prompt")))
    prompt_tokens = len(text.split())
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 1},
    }


def _settle(engine: _Engine, usage: dict[str, Any]) -> None:
    engine.counters["completed"] += 1
    engine.counters["prompt_tokens"] += usage["prompt_tokens"]
    engine.counters["completion_tokens"] += usage["completion_tokens"]


async def _whole(connection: _Connection, *, chat: bool, wish: dict[str, Any]) -> None:
    options = connection.engine.options
    tokens = connection.engine.length()
    seconds = options.ttft + (tokens / options.tps if options.tps else 0)
    await connection.engine.leave()
    if seconds:
        await asyncio.sleep(seconds)
    text = "".join(_words(wish, tokens))
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
    if calls := _calls(wish):
        choice = {"index": 0, "finish_reason": "tool_calls"}
        choice["message"] = {"role": "assistant", "content": None, "tool_calls": calls}
    elif chat:
        choice["message"] = {"role": "assistant", "content": text}
    else:
        choice["text"] = text
    usage = _usage(wish, tokens)
    answer = {
        "id": "chatcmpl-1" if chat else "cmpl-1",
        "object": "chat.completion" if chat else "text_completion",
        "created": int(time.time()),
        "model": wish["model"],
        "choices": [choice],
        "usage": usage,
    }
    _settle(connection.engine, usage)
    body = json.dumps(answer, separators=(",", ":")).encode()
    if options.fail is Fault.SLOW:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        await _dribble(connection, head.encode() + body)
    else:
        connection.send(200, body)


async def _dribble(connection: _Connection, data: bytes, size: int = 7) -> None:
    for start in range(0, len(data), size):
        connection.transport.write(data[start : start + size])
        await asyncio.sleep(0)


async def _stream(connection: _Connection, *, chat: bool, wish: dict[str, Any]) -> None:
    options, tokens = connection.engine.options, connection.engine.length()
    transport = connection.transport

    async def chunk(data: bytes) -> None:
        framed = b"%x\r\n%b\r\n" % (len(data), data)
        if options.fail is Fault.SLOW:
            await _dribble(connection, framed)
        else:
            transport.write(framed)
        if not connection.writable.is_set():
            await connection.writable.wait()

    def event(**fields: Any) -> bytes:
        head = {
            "id": "chatcmpl-1" if chat else "cmpl-1",
            "object": "chat.completion.chunk" if chat else "text_completion",
            "created": 1_700_000_000,
            "model": wish["model"],
        }
        return b"data: " + json.dumps({**head, **fields}, separators=(",", ":")).encode() + b"\n\n"

    transport.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    if chat:
        await chunk(event(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}}]))
    await connection.engine.leave()
    if options.ttft:
        await asyncio.sleep(options.ttft)
    calls = _calls(wish)
    for call in calls:
        function, name = call["function"], call["function"]["name"]
        begun = {**call, "index": 0, "function": {"name": name, "arguments": ""}}
        pieces = [function["arguments"][:5], function["arguments"][5:]]
        more = [{"index": 0, "function": {"arguments": piece}} for piece in pieces]
        for delta in (begun, *more):
            await chunk(event(choices=[{"index": 0, "delta": {"tool_calls": [delta]}}]))
    for number, word in enumerate([] if calls else _words(wish, tokens)):
        data = event(choices=[{"index": 0, **({"delta": {"content": word}} if chat else {"text": word})}])
        if number == 1 and options.fail is Fault.MID_STREAM:
            transport.write(b"%x\r\n%b" % (len(data), data[: len(data) // 2]))
            transport.close()
            return
        if number == 2 and options.fail is Fault.CUT_SHORT:
            transport.write(b"0\r\n\r\n")
            return
        if number == 2 and options.fail is Fault.STALL:
            await asyncio.Event().wait()
        if number == 2 and options.fail is Fault.ERROR_EVENT:
            error = {"message": f"EngineCore: {wish['model']} fell over", "type": "InternalServerError", "code": 500}
            await chunk(b"data: " + json.dumps({"error": error}).encode() + b"\n\n")
            break
        await chunk(data)
        if options.tps:
            await asyncio.sleep(1 / options.tps)
    else:
        stop = {"index": 0, "finish_reason": "tool_calls" if calls else "stop"}
        await chunk(event(choices=[{**stop, **({"delta": {}} if chat else {"text": ""})}]))
        usage = _usage(wish, tokens)
        _settle(connection.engine, usage)
        if (wish.get("stream_options") or {}).get("include_usage"):
            await chunk(event(choices=[], usage=usage))
    await chunk(b"data: [DONE]\n\n")
    transport.write(b"0\r\n\r\n")


async def _serve(options: _Options) -> None:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((options.host, options.port))
    host, port = listener.getsockname()
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server: asyncio.Server | None = None
    if options.fail is not Fault.REFUSE:
        engine = _Engine(options)
        server = await loop.create_server(lambda: _Connection(engine), sock=listener, backlog=4096)
    sys.stdout.write(f"listening on {host}:{port}\n")
    sys.stdout.flush()
    await stop.wait()
    if server is not None:
        server.close()
    listener.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until terminated."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--model", action="append", default=[], help="a name that it answers to; repeatable")
    parser.add_argument("--tokens", type=int, default=8, help="words in an answer")
    parser.add_argument("--tps", type=float, default=0, help="words per second; 0: at once")
    parser.add_argument("--ttft", type=float, default=0, help="seconds until the first word")
    parser.add_argument("--fail", type=Fault, choices=list(Fault), default=Fault.NEVER)
    parser.add_argument("--secret", default="", help="bearer token that /v1 asks for; empty: none")
    parser.add_argument("--keep-alive", type=float, default=0, help="seconds until it closes an idle connection")
    parser.add_argument("--slots", type=int, default=0, help="answers at once, others wait in line; 0: all of them")
    parser.add_argument("--spread", type=float, default=0, help="share by which answers vary in length at random")
    parser.add_argument("--held", action="store_true", help="answers wait until POST /release lets so many of them go")
    parser.add_argument("--last-words", default="", help="say this and end with exit code 1, at once")
    options = parser.parse_args(arguments, namespace=_Options())
    if options.last_words:
        sys.exit(options.last_words)
    with contextlib.suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(_serve(options))


class FakeEngine:
    """A fake engine as a process of its own, ended with the block that uses it."""

    def __init__(
        self,
        *,
        models: Sequence[str] = ("base",),
        tokens: int = 8,
        tps: float = 0,
        ttft: float = 0,
        fail: Fault = Fault.NEVER,
        secret: str = "",
        keep_alive: float = 0,
        port: int = 0,
        slots: int = 0,
        spread: float = 0,
        held: bool = False,
    ) -> None:
        self.secret = secret
        self.command = [sys.executable, str(Path(__file__).resolve()), f"--port={port}", f"--tokens={tokens}"]
        self.command += [f"--tps={tps}", f"--ttft={ttft}", f"--fail={fail}", f"--secret={secret}"]
        self.command += [
            f"--slots={slots}",
            f"--spread={spread}",
            f"--keep-alive={keep_alive}",
            *(["--held"] if held else []),
            *(f"--model={model}" for model in models),
        ]
        self.address = ""
        self.process: subprocess.Popen[str]

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith("listening on "):
            self.process.kill()
            self.process.wait()
            raise RuntimeError(f"The fake engine did not start; it said {line!r}.")
        self.address = line.removeprefix("listening on ").strip()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End it; within 5 seconds, or by force. Ending it twice is no error."""
        self.process.terminate()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait()

    def release(self, count: int = 0) -> None:
        """Let so many of the answers go that it holds or will hold; without a number all, from now on."""
        with urllib.request.urlopen(f"http://{self.address}/release", data=b"%d" % count, timeout=30):
            pass

    def stats(self) -> dict[str, Any]:
        """The counters of `/stats`."""
        with urllib.request.urlopen(f"http://{self.address}/stats", timeout=30) as response:
            stats: dict[str, Any] = json.load(response)
        return stats


if __name__ == "__main__":
    main()

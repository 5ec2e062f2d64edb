"""Sends an answer, whole or piece by piece, and frees it as soon as the client leaves."""

import asyncio
from collections.abc import AsyncIterator

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from .answers import Answer, ClientLeft
from .choices import Choice
from .errors import HostError
from .replies import DONE, Reply, event

_SSE = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


class AnswerResponse(Response):
    """A Starlette response made from an answer that is still being computed."""

    def __init__(
        self, answer: Answer, choices: list[Choice], reply: Reply, *, stream: bool, include_usage: bool
    ) -> None:
        """`choices` reads the answer's generations, by their index."""
        super().__init__()
        self._answer = answer
        self._choices = choices
        self._reply = reply
        self._stream = stream
        self._include_usage = include_usage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        watcher = asyncio.create_task(self._watch(receive))
        try:
            await (self._send_stream(scope, receive, send) if self._stream else self._send_whole(scope, receive, send))
        except ClientLeft:
            pass
        finally:
            watcher.cancel()
            self._answer.release()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._answer.leave()

    async def _send_whole(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async for pieces in self._answer.pieces():
                for index, piece in pieces:
                    self._choices[index].read(piece)
        except HostError as error:
            await _refuse(error, scope, receive, send)
            return
        body = self._reply.whole([choice.whole for choice in self._choices], self._answer.usage())
        await Response(body, media_type="application/json")(scope, receive, send)

    async def _send_stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False
        try:
            async for chunks in self._chunks():
                if not started:
                    # Held back until now, so that what fails before its first token fails with a status.
                    await send({"type": "http.response.start", "status": 200, "headers": _SSE})
                    started = True
                await send({"type": "http.response.body", "body": chunks, "more_body": True})
        except HostError as error:
            if not started:
                await _refuse(error, scope, receive, send)
                return
            await send({"type": "http.response.body", "body": event(error.body()) + DONE, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _chunks(self) -> AsyncIterator[bytes]:
        opened: set[int] = set()
        async for pieces in self._answer.pieces():
            chunks = []
            for index, piece in pieces:
                new = self._choices[index].read(piece)
                if self._reply.chat and index not in opened:
                    opened.add(index)
                    chunks.append(self._reply.opening(index))
                if not new.is_empty:
                    chunks.append(self._reply.piece(index, new))
            if chunks:
                yield b"".join(chunks)
        yield (self._reply.usage(self._answer.usage()) if self._include_usage else b"") + DONE


async def _refuse(error: HostError, scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse(error.body(), error.status, error.headers())(scope, receive, send)

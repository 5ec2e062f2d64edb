"""Writes the pieces of uploads to disk while they arrive, so that a lost connection loses only what had not come.

Django reads a body whole before a view sees it. For the PATCH of an upload, its view is asked first, with the same
headers and no body: it checks rights and offset. What then arrives goes to the file without it.
"""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import orjson

from polygraft.asgi_types import Application, Receive, Scope, Send
from serving.uploads.arriving_file import ArrivingFile, Busy
from serving.uploads.question import ask

UPLOAD = re.compile(r"/api/v1/departments/[^/]+/uploads/(?P<id>[0-9a-f-]{36})")
_WRITTEN_AT_ONCE = 1024 * 1024


class UploadStream:
    """ASGI middleware for the PATCH of uploads; `path_of` tells where the bytes of an upload's id go."""

    def __init__(self, app: Application, path_of: Callable[[str], Path]) -> None:
        self.app = app
        self._path_of = path_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a piece in, or pass another request on."""
        match = UPLOAD.fullmatch(scope["path"]) if scope["type"] == "http" and scope["method"] == "PATCH" else None
        if match is None:
            await self.app(scope, receive, send)
            return
        answer = await ask(self.app, scope)
        if answer.status != 204:
            await answer.refuse_by(send)
            return
        offset = int(answer.header(b"upload-offset"))
        room = int(answer.header(b"upload-length")) - offset
        try:
            taken = await _take_in(self._path_of(match["id"]), receive, offset, room)
        except Busy:
            await _refuse(send, 423, "locked", "Another request is sending this upload.")
        except OSError as error:
            await _refuse(send, 507, "storage", f"The platform cannot store the upload: {error.strerror}.")
        else:
            if taken is None:
                await _refuse(send, 400, "invalid", "The piece is larger than what the file still lacks.")
                return
            start, end = answer.messages[0], answer.messages[-1]
            now = str(offset + taken).encode()
            start["headers"] = [
                (name, now if name.lower() == b"upload-offset" else value) for name, value in start["headers"]
            ]
            await send(start)
            await send(end)


async def _take_in(path: Path, receive: Receive, offset: int, room: int) -> int | None:
    """Write what arrives, until its end or the connection's; None when it is more than there is room for.

    Raises:
        Busy: somebody else writes, or has written since the view was asked.
    """
    taken = 0
    with ArrivingFile(path) as file:
        if file.offset != offset:
            raise Busy
        buffer = bytearray()
        more = True
        while more:
            message = await receive()
            piece = message.get("body", b"")
            more = message["type"] == "http.request" and message.get("more_body", False)
            if taken + len(buffer) + len(piece) > room:
                return None
            buffer += piece
            if len(buffer) >= _WRITTEN_AT_ONCE or not more:
                await asyncio.to_thread(file.append, bytes(buffer))
                taken += len(buffer)
                buffer.clear()
    return taken


async def _refuse(send: Send, status: int, code: str, detail: str) -> None:
    problem = {"type": "about:blank", "title": "Upload refused", "status": status, "detail": detail, "code": code}
    headers = [(b"content-type", b"application/problem+json"), (b"connection", b"close"), (b"tus-resumable", b"1.0.0")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": orjson.dumps(problem)})

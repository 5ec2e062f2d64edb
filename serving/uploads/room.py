"""Refuses an upload that its department's quota has no room for before its bytes are received."""

import re

from polygraft.asgi_types import Application, Receive, Scope, Send
from serving.uploads.question import ask

_ADAPTERS = re.compile(r"(?P<department>/api/v1/departments/[^/]+)/adapters")
# What a multipart body adds to its files at most; nobody is refused for boundaries and file names.
_FRAME_BYTES = 64 * 1024
# More digits than any size has, and slow to convert.
_LONGEST_NUMBER = 18
_TOO_LARGE = 413


class RoomFirst:
    """ASGI middleware for uploads in one request, whose length is declared: the quotas' own view is asked first.

    What it lets pass is checked again, with its real size, before a version is made of it.
    """

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer that it does not fit."""
        match = _ADAPTERS.fullmatch(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"") if match else b""
        more = int(declared[:_LONGEST_NUMBER]) - _FRAME_BYTES if declared.isdigit() else 0
        if match is not None and more > 0:
            path = f"{match['department']}/quotas"
            changes = {
                "method": "GET",
                "path": path,
                "raw_path": path.encode(),
                "query_string": f"bytes={more}".encode(),
            }
            answer = await ask(self.app, scope, **changes)
            if answer.status == _TOO_LARGE:
                await answer.refuse_by(send)
                return
        await self.app(scope, receive, send)

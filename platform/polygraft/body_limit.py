"""Refuses request bodies over a limit while they stream in, before Django writes them to disk."""

import re

import orjson

from polygraft.asgi_types import Application, Message, Receive, Scope, Send


class _TooLarge(Exception):
    """The body has grown over the limit."""


# Where adapters are uploaded, in the management API and in the console; no other body has reason to be large.
UPLOADS = re.compile(r"/api/v1/departments/[^/]+/adapters|/departments/[^/]+/adapters/upload/")
# More digits than any size has, and slow to convert.
_LONGEST_NUMBER = 18


class BodyLimit:
    """ASGI middleware that answers 413 to a body over its limit, declared or not; limits are in bytes."""

    def __init__(self, app: Application, *, max_upload: int, max_other: int) -> None:
        self.app = app
        self.max_upload = max_upload
        self.max_other = max_other

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, counting its body."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_upload = UPLOADS.fullmatch(scope["path"]) is not None
        limit = self.max_upload if is_upload else self.max_other
        setting = "POLYGRAFT_MAX_UPLOAD_BYTES" if is_upload else "POLYGRAFT_MAX_REQUEST_BYTES"
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if declared.isdigit() and int(declared[:_LONGEST_NUMBER]) > limit:
            await _refuse(send, limit, setting)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > limit:
                    raise _TooLarge
            return message

        try:
            await self.app(scope, counted, send)
        except _TooLarge:
            # Django reads the whole body before it answers, so nothing has been sent yet.
            await _refuse(send, limit, setting)


async def _refuse(send: Send, limit: int, setting: str) -> None:
    problem = {
        "type": "about:blank",
        "title": "Content Too Large",
        "status": 413,
        "detail": f"The request is larger than {limit} bytes, the limit of this platform ({setting}).",
        "code": "request_too_large",
    }
    headers = [(b"content-type", b"application/problem+json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": orjson.dumps(problem)})

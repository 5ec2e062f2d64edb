"""Refuses request bodies over a limit while they stream in, before Django writes them to disk."""

import orjson

from polygraft.asgi_types import Application, Message, Receive, Scope, Send


class _TooLarge(Exception):
    """The body has grown over the limit."""


class BodyLimit:
    """ASGI middleware that answers 413 to a body of more than `max_bytes`, declared or not."""

    def __init__(self, app: Application, *, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, counting its body."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if declared.isdigit() and int(declared) > self.max_bytes:
            await self._refuse(send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > self.max_bytes:
                    raise _TooLarge
            return message

        try:
            await self.app(scope, counted, send)
        except _TooLarge:
            # Django reads the whole body before it answers, so nothing has been sent yet.
            await self._refuse(send)

    async def _refuse(self, send: Send) -> None:
        problem = {
            "type": "about:blank",
            "title": "Content Too Large",
            "status": 413,
            "detail": f"The request is larger than {self.max_bytes} bytes, the limit of this platform "
            "(POLYGRAFT_MAX_UPLOAD_BYTES).",
            "code": "request_too_large",
        }
        headers = [(b"content-type", b"application/problem+json"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": orjson.dumps(problem)})

"""Asks a view something before a body is read: with the request's own headers, and no body."""

import asyncio
from typing import Any

from polygraft.asgi_types import Application, Message, Scope, Send

_OF_THE_BODY = (b"content-length", b"transfer-encoding")


class Answer:
    """What the view says to a request without a body."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def take(self, message: Message) -> None:
        """Keep a message of it."""
        self.messages.append(message)

    @property
    def status(self) -> int:
        """Its HTTP status."""
        return int(self.messages[0]["status"])

    def header(self, name: bytes) -> bytes:
        """A header's value; empty when there is none."""
        return next((value for key, value in self.messages[0]["headers"] if key.lower() == name), b"")

    async def refuse_by(self, send: Send) -> None:
        """Send it instead of an answer to the request, whose body has not been read."""
        # So the connection cannot be used again.
        self.messages[0]["headers"] = [*self.messages[0]["headers"], (b"connection", b"close")]
        for message in self.messages:
            await send(message)


async def ask(app: Application, scope: Scope, **changes: Any) -> Answer:
    """What the application answers to these headers, perhaps at another address; `changes` are to the scope."""
    headers = [pair for pair in scope["headers"] if pair[0] not in _OF_THE_BODY]
    answer = Answer()
    told = False

    async def nothing() -> Message:
        nonlocal told
        if told:
            # Django listens for a disconnect beside its view, and stops listening when that has answered.
            await asyncio.Event().wait()
        told = True
        return {"type": "http.request", "body": b"", "more_body": False}

    await app({**scope, "headers": [*headers, (b"content-length", b"0")], **changes}, nothing, answer.take)
    return answer

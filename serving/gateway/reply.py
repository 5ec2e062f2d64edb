"""Sends heads, whole JSON answers and errors to the client, with the headers that every answer carries."""

from collections.abc import Iterable
from functools import lru_cache

import orjson

from serving.gateway.call import Call
from serving.gateway.errors import GatewayError
from serving.gateway.translate.failures import anthropic_status, failed_message

Headers = list[tuple[bytes, bytes]]

_JSON = (b"content-type", b"application/json")
_STREAM: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would hold the stream back
]


async def send_json(call: Call, status: int, body: bytes, extra: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Send a whole answer."""
    headers = [_JSON, (b"content-length", str(len(body)).encode()), *extra]
    await _start(call, status, headers)
    await call.send({"type": "http.response.body", "body": body, "more_body": False})


async def send_error(call: Call, error: GatewayError) -> None:
    """Send an error in the shape of the endpoint's dialect; if a stream has begun already, as its last event."""
    if call.stream is not None and call.response_started:
        await end_stream(call, call.stream.failure(error))
    elif call.for_anthropic:
        body = orjson.dumps(failed_message(error) | {"request_id": call.request_id.decode()})
        await send_json(call, anthropic_status(error), body, error.headers())
    else:
        await send_json(call, error.status, error.body(), error.headers())


async def send_events(call: Call, events: bytes) -> None:
    """Send whole events of a stream, after its head if they are the first."""
    if not call.response_started:
        await _start(call, 200, _STREAM)
    await call.send({"type": "http.response.body", "body": events, "more_body": True})


async def end_stream(call: Call, events: bytes = b"") -> None:
    """End a stream that has begun, with a last event or without."""
    await call.send({"type": "http.response.body", "body": events, "more_body": False})


async def _start(call: Call, status: int, headers: Headers) -> None:
    call.status = status
    call.response_started = True
    headers = [*headers, (b"x-request-id", call.request_id)]
    if call.reservation is not None:
        headers += call.reservation.headers
    engine, target = call.engine, call.target
    headers += _origin(engine.kind if engine is not None else "", target.name if target is not None else "")
    if call.fallback:
        headers.append((b"x-polygraft-fallback", call.fallback.encode()))
    await call.send({"type": "http.response.start", "status": status, "headers": headers})


@lru_cache(maxsize=4096)
def _origin(engine: str, model: str) -> Headers:
    """The headers that say which kind of engine has answered for which model, as far as it is known."""
    headers = [(b"x-polygraft-engine", engine.encode()), (b"x-polygraft-model", model.encode())]
    return [(name, value) for name, value in headers if value]

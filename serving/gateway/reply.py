"""Sends heads, whole JSON answers and errors to the client, with the headers that every answer carries."""

from functools import lru_cache

import orjson

from serving.gateway.call import Call
from serving.gateway.errors import GatewayError
from serving.gateway.translate.failures import anthropic_status, failed_message

_JSON = b"content-type: application/json\r\n"
_STREAM = (
    b"content-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache\r\n"
    b"x-accel-buffering: no\r\n"  # nginx would hold the stream back
)


async def send_json(call: Call, status: int, body: bytes, lines: bytes = b"") -> None:
    """Send a whole answer; `lines` are more of its head."""
    await call.line.answer(status, _begin(call, status, _JSON + lines), body)


async def send_error(call: Call, error: GatewayError) -> None:
    """Send an error in the shape of the endpoint's dialect; if a stream has begun already, as its last event."""
    if call.stream is not None and call.response_started:
        await call.line.end(call.stream.failure(error))
    elif call.for_anthropic:
        body = orjson.dumps(failed_message(error) | {"request_id": call.request_id.decode()})
        await send_json(call, anthropic_status(error), body, error.lines())
    else:
        await send_json(call, error.status, error.body(), error.lines())


def begin_stream(call: Call) -> None:
    """Begin to answer with a stream."""
    call.line.begin(200, _begin(call, 200, _STREAM))


def _begin(call: Call, status: int, lines: bytes) -> bytes:
    """The lines of an answer's head, when these are its own."""
    call.status = status
    call.response_started = True
    engine, target, reservation = call.engine, call.target, call.reservation
    lines = b"%bx-request-id: %b\r\n%b%b" % (
        lines,
        call.request_id,
        b"" if reservation is None else reservation.lines(),
        _origin(engine.kind if engine is not None else "", target.name if target is not None else ""),
    )
    return lines + b"x-polygraft-fallback: %b\r\n" % call.fallback.encode() if call.fallback else lines


@lru_cache(maxsize=4096)
def _origin(engine: str, model: str) -> bytes:
    """The lines that say which kind of engine has answered for which model, as far as it is known."""
    lines = f"x-polygraft-engine: {engine}\r\n" if engine else ""
    return (lines + f"x-polygraft-model: {model}\r\n" if model else lines).encode()

"""Passes an engine's answer on to the client, as it comes or whole."""

import asyncio
import re
from time import perf_counter
from typing import Any

import orjson
import structlog

from serving.gateway.body import Wish
from serving.gateway.call import Call
from serving.gateway.catalogue import Target
from serving.gateway.engines.connection import Connection
from serving.gateway.errors import EngineFailed, EngineRefused
from serving.gateway.events import EventTooLong
from serving.gateway.observing.metrics import Gaps, gaps_of
from serving.gateway.reply import begin_stream, send_json
from serving.gateway.streams import Stream
from serving.gateway.ways import Names, Way

log = structlog.get_logger(__name__)

_LARGEST_COUNT = 2**31 - 1  # of a column of the database
FAILED = "The engine failed while answering. Ask again."
_CALLERS_FAULT = frozenset({400, 413, 422})
_ENGINE_NAME = re.compile(r"lora-[0-9a-f]{64}")
_PATH = re.compile(r"(?<![\w:/.])/(?:[\w.@+-]+/)+[\w.@+-]*")


async def pass_on(call: Call, wish: Wish, way: Way, target: Target, connection: Connection) -> None:
    """Pass on an engine's answer, of which the head has come and which came by this way.

    Raises:
        EngineRefused, EngineFailed: what the engine made of it.
        BrokenOff, Silent, Stalled: as `Connection.read`.
    """
    names = Names(target.engine_model, target.asked)
    if connection.status in _CALLERS_FAULT:
        raise _refusal(await connection.read_all(), names)
    if connection.status != 200:
        log.error("engine.failed", engine_id=call.engine and call.engine.id, status=connection.status)
        raise EngineFailed(FAILED)
    if wish.stream:
        if not connection.content_type.startswith(b"text/event-stream"):
            raise EngineFailed(FAILED)
        await _pass_stream_on(call, way.stream(wish.body, names, wish.show_usage), connection)
    else:
        await _pass_whole_on(call, wish, way, names, connection)


async def _pass_whole_on(call: Call, wish: Wish, way: Way, names: Names, connection: Connection) -> None:
    try:
        body, usage = way.answer(await connection.read_all(), wish.body, names)
    except (orjson.JSONDecodeError, AttributeError, KeyError, IndexError, TypeError):
        raise EngineFailed(FAILED) from None
    _count_tokens(call, usage)
    await send_json(call, 200, body)
    call.outcome = "finished"


async def _pass_stream_on(call: Call, stream: Stream, connection: Connection) -> None:
    call.stream = stream
    usage = None
    last = b""
    gaps: Gaps | None = None
    before = 0.0

    def take(block: bytes) -> asyncio.Future[None] | None:
        nonlocal usage, last, gaps, before
        shown = stream.feed(block)
        if stream.usage is not usage:
            usage = stream.usage
            _count_tokens(call, usage)
        if not shown:
            return None
        if gaps is None:
            if not call.response_started:
                begin_stream(call)
            if stream.content:
                before = call.note_first_token()
                gaps = gaps_of(call)
        elif not stream.done:  # the end has no content
            now = perf_counter()
            gaps.note(now - before)
            before = now
        if stream.done:
            last = shown
            return None
        return call.line.write(shown)

    try:
        await connection.pour(take)
    except EventTooLong:
        stream.failed = True
    finally:
        if usage is None or not (stream.done or call.completion_tokens):
            # What the engine would have counted is not known; the events are what is.
            call.completion_tokens = stream.events
    if stream.failed or not stream.done:
        raise EngineFailed(FAILED)
    await call.line.end(last)
    call.outcome = "finished"


def _count_tokens(call: Call, usage: Any) -> None:
    """Take the engine's own count, before the client has its whole answer: this process may be killed in between."""
    if not isinstance(usage, dict):
        return
    details = usage.get("prompt_tokens_details")
    call.prompt_tokens = _number(usage.get("prompt_tokens"))
    call.completion_tokens = _number(usage.get("completion_tokens"))
    call.cached_tokens = _number(details.get("cached_tokens")) if isinstance(details, dict) else 0
    if call.entry is not None:
        call.entry.counted(call)


def _number(value: object) -> int:
    return min(value, _LARGEST_COUNT) if isinstance(value, int) and value > 0 else 0


def _refusal(body: bytes, names: Names) -> EngineRefused:
    """The engine's complaint in its own words, without what only the platform may know."""
    try:
        error = orjson.loads(body)
        error = error.get("error", error)
        message, param, code = error["message"], error.get("param"), error.get("code")
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        message, param, code = "The engine found fault with the request.", None, None
    message = _ENGINE_NAME.sub(names.asked, str(message))
    return EngineRefused(
        _PATH.sub("…", message),
        param=param if isinstance(param, str) else None,
        code=code if isinstance(code, str) else None,
    )

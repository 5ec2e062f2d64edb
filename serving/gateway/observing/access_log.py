"""Writes one line per request, without a word of its content.

The lines look like those of `polygraft.logs` but do not go through it: formatting there costs as much as everything
else that the gateway does for a small request.
"""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

import orjson

from serving.gateway.call import Call

_FRAME = frozenset({"event", "logger", "level", "timestamp"})
# Fields that hundreds of requests have in common.
_FIXED = (
    *("department", "key_id", "user_id", "method", "path", "model", "engine", "engine_id", "fallback"),
    *("status", "outcome", "streamed"),
)


class AccessLog:
    """Lines on standard error, in the style and from the level that the platform's log is set to."""

    def __init__(self, style: Literal["console", "json"], level: str) -> None:
        self._format = _as_json if style == "json" else _as_text
        self._writes = level in ("DEBUG", "INFO")

    def write(self, calls: Sequence[Call]) -> None:
        """Write a line for each of these calls, which have ended."""
        if self._writes and calls:
            now = datetime.now(UTC)
            sys.stderr.write("".join([self._format(call, now) for call in calls]))
            sys.stderr.flush()


def _as_json(call: Call, now: datetime) -> str:
    grant, target, engine, trace = call.grant, call.target, call.engine, call.trace
    fixed = _fixed_fields(
        grant.department if grant is not None else None,
        grant.key_id if grant is not None else None,
        grant.user_id if grant is not None else None,
        call.line.method,
        call.path[:200],
        target.name if target is not None else None,
        engine.kind if engine is not None else None,
        engine.id if engine is not None else None,
        call.fallback or None,
        call.status,
        call.outcome,
        call.streamed,
    )
    traced = "null" if trace is None else f'"{trace.trace_id}"'
    return (
        f'{{"event":"request","logger":"{__name__}","level":"info","timestamp":"{_stamp(now)}",'
        f'"request_id":"{call.id}","trace_id":{traced},{fixed},'
        f'"prompt_tokens":{call.prompt_tokens},"completion_tokens":{call.completion_tokens},'
        f'"first_token_ms":{"null" if call.first_token_ms is None else round(call.first_token_ms, 1)},'
        f'"duration_ms":{round(call.duration * 1000, 1)}}}\n'
    )


@lru_cache(maxsize=1)
def _stamp(now: datetime) -> str:
    return now.isoformat().replace("+00:00", "Z")


@lru_cache(maxsize=1024)
def _fixed_fields(*values: object) -> str:
    """The fixed fields, which are written once."""
    return orjson.dumps(dict(zip(_FIXED, values, strict=True)))[1:-1].decode()


def _as_text(call: Call, now: datetime) -> str:
    fields = orjson.loads(_as_json(call, now))
    words = [
        f"{name}={_quoted(value)}"
        for name, value in fields.items()
        if name not in _FRAME and value is not None and value is not False
    ]
    return f"{now.astimezone():%H:%M:%S} [info] request {' '.join(words)}\n"


def _quoted(value: object) -> str:
    text = str(value)
    # A caller's path could otherwise write lines of its own into the log.
    return text if text.isascii() and text.isprintable() and " " not in text else repr(text)

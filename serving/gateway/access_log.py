"""Writes one line per request, without a word of its content.

The lines look like those of `polygraft.logs` but do not go through it: formatting there costs as much as everything
else that the gateway does for a small request.
"""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import orjson

from serving.gateway.call import Call


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


def _fields(call: Call) -> dict[str, object]:
    grant, target, engine = call.grant, call.target, call.engine
    return {
        "request_id": call.id,
        "trace_id": call.trace.trace_id if call.trace is not None else None,
        "department": grant.department if grant is not None else None,
        "key_id": grant.key_id if grant is not None else None,
        "user_id": grant.user_id if grant is not None else None,
        "method": call.scope["method"],
        "path": call.path[:200],
        "model": target.name if target is not None else None,
        "engine": engine.kind if engine is not None else None,
        "engine_id": engine.id if engine is not None else None,
        "fallback": call.fallback or None,
        "status": call.status,
        "outcome": call.outcome,
        "streamed": call.streamed,
        "prompt_tokens": call.prompt_tokens,
        "completion_tokens": call.completion_tokens,
        "first_token_ms": None if call.first_token_ms is None else round(call.first_token_ms, 1),
        "duration_ms": round(call.duration * 1000, 1),
    }


def _as_json(call: Call, now: datetime) -> str:
    line = {
        "event": "request",
        "logger": __name__,
        "level": "info",
        "timestamp": now,
        **_fields(call),
    }
    return orjson.dumps(line, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE).decode()


def _as_text(call: Call, now: datetime) -> str:
    fields = " ".join(
        f"{name}={_quoted(value)}" for name, value in _fields(call).items() if value is not None and value is not False
    )
    return f"{now.astimezone():%H:%M:%S} [info] request {fields}\n"


def _quoted(value: object) -> str:
    text = str(value)
    # A caller's path could otherwise write lines of its own into the log.
    return text if text.isascii() and text.isprintable() and " " not in text else repr(text)

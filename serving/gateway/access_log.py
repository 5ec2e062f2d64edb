"""Writes one line per request, without a word of its content.

The lines look like those of `polygraft.logs` but do not go through it: formatting there costs as much as everything
else that the gateway does for a small request.
"""

import asyncio
import sys
import time
from datetime import UTC, datetime
from typing import Literal

import orjson

from serving.gateway.call import Call

_FLUSH_SECONDS = 0.1


class AccessLog:
    """Gathers lines and writes them to standard error a few times a second."""

    def __init__(self, style: Literal["console", "json"]) -> None:
        self._format = _as_json if style == "json" else _as_text
        self._lines: list[str] = []
        self._timer: asyncio.TimerHandle | None = None

    def write(self, call: Call) -> None:
        """Note a request that has ended."""
        self._lines.append(self._format(call))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Write what has gathered."""
        self._timer = None
        if self._lines:
            sys.stderr.write("".join(self._lines))
            sys.stderr.flush()
            self._lines.clear()


def _fields(call: Call) -> dict[str, object]:
    grant, target, engine = call.grant, call.target, call.engine
    return {
        "request_id": call.id,
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


def _as_json(call: Call) -> str:
    line = {
        "event": "request",
        "logger": __name__,
        "level": "info",
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        **_fields(call),
    }
    return orjson.dumps(line).decode() + "\n"


def _as_text(call: Call) -> str:
    fields = " ".join(
        f"{name}={_quoted(value)}" for name, value in _fields(call).items() if value is not None and value is not False
    )
    return f"{time.strftime('%H:%M:%S')} [info] request {fields}\n"


def _quoted(value: object) -> str:
    text = str(value)
    # A caller's path could otherwise write lines of its own into the log.
    return text if text.isascii() and text.isprintable() and " " not in text else repr(text)

"""Tells the calls of tools in an output from its text, while it arrives or afterwards."""

import json
import uuid
from dataclasses import dataclass, field
from typing import Any

from .tool_styles import ToolStyle

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call; `arguments` is JSON."""

    name: str
    arguments: str
    id: str = field(default_factory=lambda: f"call_{uuid.uuid4().hex[:24]}")


class ToolCallReader:
    """Reads one output. What might yet turn out to be a call is held back until that is decided."""

    def __init__(self, style: ToolStyle) -> None:
        self._tagged = style.tagged
        self._held = ""
        self.found_calls = False

    def push(self, text: str) -> tuple[str, list[ToolCall]]:
        """The content and the calls that are certain now."""
        self._held += text
        return self._read_tags() if self._tagged else self._read_start()

    def flush(self) -> tuple[str, list[ToolCall]]:
        """What is left once the output has ended; a call that was cut short is text."""
        held, self._held = self._held, ""
        calls = _calls(held.strip().removeprefix(_OPEN).removesuffix(_CLOSE))
        self.found_calls |= bool(calls)
        if calls or (self.found_calls and not held.strip()):
            return "", calls
        return held, []

    def _read_tags(self) -> tuple[str, list[ToolCall]]:
        content = ""
        calls: list[ToolCall] = []
        while (start := self._held.find(_OPEN)) >= 0:
            end = self._held.find(_CLOSE, start)
            content += self._held[:start].rstrip()
            self._held = self._held[start:]
            if end < 0:
                return content, calls
            body = self._held[len(_OPEN) : end - start]
            found = _calls(body)
            # What is no call after all is shown as the model wrote it.
            content += "" if found else self._held[: end - start + len(_CLOSE)]
            calls += found
            self.found_calls |= bool(found)
            self._held = self._held[end - start + len(_CLOSE) :]
        keep = self._undecided()
        content += self._held[: len(self._held) - keep]
        self._held = self._held[len(self._held) - keep :]
        return content, calls

    def _undecided(self) -> int:
        """Length of the tail that may belong to a call: the beginning of a tag, and spaces before it."""
        longest = min(len(self._held), len(_OPEN) - 1)
        tag = next((n for n in range(longest, 0, -1) if _OPEN.startswith(self._held[-n:])), 0)
        before = self._held[: len(self._held) - tag]
        return tag + len(before) - len(before.rstrip())

    def _read_start(self) -> tuple[str, list[ToolCall]]:
        begun = self._held.lstrip()
        if not begun or begun[0] in "{[":
            return "", []
        content, self._held = self._held, ""
        return content, []


def _calls(text: str) -> list[ToolCall]:
    """The calls that a JSON text consists of: an object, a list of them, or several apart by semicolons."""
    text, decoder, at = text.strip(), json.JSONDecoder(), 0
    found: list[ToolCall | None] = []
    try:
        while at < len(text):
            value, at = decoder.raw_decode(text, at)
            found += [_call(one) for one in (value if isinstance(value, list) else [value])]
            while at < len(text) and text[at] in "; \n\t\r":
                at += 1
    except (ValueError, RecursionError):
        return []
    return [call for call in found if call is not None] if all(found) else []


def _call(value: Any) -> ToolCall | None:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return None
    arguments = value.get("arguments", value.get("parameters", {}))
    return ToolCall(value["name"], arguments if isinstance(arguments, str) else json.dumps(arguments))

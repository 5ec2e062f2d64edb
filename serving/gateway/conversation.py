"""Tells conversations apart by how they begin, or by what their callers name them, for all endpoints alike.

All requests of one conversation share their beginning: what the system says, and the user's first message. A string
and the same text as a message, or as a part of one, are the same beginning.
"""

from collections.abc import Mapping
from typing import Any

import orjson

SESSION_HEADER = b"x-polygraft-session"
# Of a text without turns, what is sure to stay as it goes on.
_HEAD_CHARACTERS, _HEAD_TOKENS = 512, 128
_TURNS = ("messages", "input", "prompt", "query", "text_1")
# What stands before the turns, in Anthropic's Messages and in OpenAI's Responses.
_BEFORE = ("system", "instructions")
_USERS = ("safety_identifier", "user")


def conversation_key(headers: Mapping[bytes, bytes], body: dict[str, Any]) -> bytes | None:
    """What all requests of a conversation have in common, and those of others have not; None: nothing is known.

    The caller's own word for it goes before everything else. Who asks is a part of it: many conversations of different
    users begin alike.
    """
    if named := headers.get(SESSION_HEADER):
        return named
    start = beginning(body)
    return start + b"\0" + _user(body) if start else None


def beginning(body: dict[str, Any]) -> bytes:
    """How a conversation begins; empty when a body has nothing of the kind."""
    turns: Any = next((body[field] for field in _TURNS if body.get(field)), None)
    if turns is None:
        return b""
    said = [_said(body[field]) for field in _BEFORE if body.get(field)]
    if isinstance(turns, str):
        said.append(turns[:_HEAD_CHARACTERS] if "prompt" in body else turns)
    elif isinstance(turns, list):
        said += _first_turns(turns)
    return "\0".join(said).encode("utf-8", "surrogatepass")


def _first_turns(turns: list[Any]) -> list[str]:
    """What is said up to the user's first message; of a list of texts or tokens, the head."""
    if isinstance(turns[0], int):
        return [str(turns[:_HEAD_TOKENS])]
    said = []
    for turn in turns:
        said.append(_said(turn.get("content")) if isinstance(turn, dict) else _said(turn)[:_HEAD_CHARACTERS])
        if not isinstance(turn, dict) or turn.get("role") == "user":
            break
    return said


def _said(content: Any) -> str:
    """The text of a message's content, be it a string or parts; what is no text, as it is written."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return orjson.dumps(content).decode()
    return "".join(
        part["text"] if isinstance(part, dict) and isinstance(part.get("text"), str) else orjson.dumps(part).decode()
        for part in content
    )


def _user(body: dict[str, Any]) -> bytes:
    metadata = body.get("metadata")
    # Anthropic's clients name theirs there.
    named = metadata.get("user_id") if isinstance(metadata, dict) else None
    for value in (*(body.get(field) for field in _USERS), named):
        if isinstance(value, str) and value:
            return value.encode("utf-8", "surrogatepass")
    return b""

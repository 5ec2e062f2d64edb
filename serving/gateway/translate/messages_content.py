"""Anthropic's messages, block by block, as messages of a chat."""

from typing import Any

import orjson

from serving.gateway.errors import InvalidValue

# What a model thought stays with the answer that it thought for.
# Tuples: what a caller gives as a type may be a list, which no set can be asked for.
_DROPPED_BLOCKS = ("thinking", "redacted_thinking")

Message = dict[str, Any]
Part = dict[str, Any]


def system_text(system: object, where: str = "system") -> str:
    """A system prompt, given as a string or in text blocks.

    Raises:
        InvalidValue: it is neither.
    """
    if system is None or isinstance(system, str):
        return system or ""
    texts = []
    for at, block in enumerate(_list(system, where)):
        if not isinstance(block, dict) or block.get("type") != "text" or not isinstance(block.get("text"), str):
            raise InvalidValue(f"'{where}[{at}]' must be a text block.", param=f"{where}[{at}]")
        texts.append(block["text"])
    return "\n\n".join(texts)


def chat_messages(messages: object) -> tuple[list[str], list[Message]]:
    """A conversation: what its system messages say, and the rest of it as a chat's messages.

    Templates of many models take a system message at the very beginning only, so it is for the caller to put it there.

    Raises:
        InvalidValue: a message or block is malformed or of a kind that a chat cannot express.
    """
    systems: list[str] = []
    chat: list[Message] = []
    for at, message in enumerate(_list(messages, "messages")):
        where = f"messages[{at}]"
        role = message.get("role") if isinstance(message, dict) else None
        if role == "system":
            systems.append(system_text(message.get("content"), f"{where}.content"))
        elif role == "assistant":
            chat.append(_assistant(_blocks(message.get("content"), where), where))
        elif role == "user":
            chat += _user(_blocks(message.get("content"), where), where)
        else:
            raise InvalidValue(f"'{where}.role' must be user, assistant or system.", param=f"{where}.role")
    if not chat:
        raise InvalidValue("'messages' must not be empty.", param="messages")
    return systems, chat


def _assistant(blocks: list[dict[str, Any]], where: str) -> Message:
    texts, calls = [], []
    for at, block in enumerate(blocks):
        kind, here = block.get("type"), f"{where}.content[{at}]"
        if kind == "text":
            texts.append(_text(block, "text", here))
        elif kind == "tool_use":
            arguments = orjson.dumps(block.get("input") or {}).decode()
            function = {"name": _text(block, "name", here), "arguments": arguments}
            calls.append({"id": _text(block, "id", here), "type": "function", "function": function})
        elif kind not in _DROPPED_BLOCKS:
            raise _unsupported(kind, here)
    message: Message = {"role": "assistant", "content": "".join(texts)}
    if calls:
        message["tool_calls"] = calls
    return message


def _user(blocks: list[dict[str, Any]], where: str) -> list[Message]:
    """Results of tools are messages of their own, before the rest of what the user said."""
    results: list[Message] = []
    parts: list[Part] = []
    for at, block in enumerate(blocks):
        here = f"{where}.content[{at}]"
        if block.get("type") == "tool_result":
            content = _parts(_blocks(block.get("content") or "", here), here)
            texts = [part["text"] for part in content if part["type"] == "text"]
            identity = _text(block, "tool_use_id", here)
            results.append({"role": "tool", "tool_call_id": identity, "content": "\n".join(texts)})
            # A tool's message holds text only.
            parts += [part for part in content if part["type"] != "text"]
        else:
            parts += _parts([block], where, first=at)
    if parts or not results:
        results.append({"role": "user", "content": plain(parts)})
    return results


def _parts(blocks: list[dict[str, Any]], where: str, first: int = 0) -> list[Part]:
    parts: list[Part] = []
    for at, block in enumerate(blocks, first):
        kind, here = block.get("type"), f"{where}.content[{at}]"
        if kind == "text":
            parts.append({"type": "text", "text": _text(block, "text", here)})
        elif kind == "image":
            parts.append({"type": "image_url", "image_url": {"url": _image(block.get("source"), here)}})
        elif kind == "document" and isinstance(source := block.get("source"), dict) and source.get("type") == "text":
            parts.append({"type": "text", "text": _text(source, "data", f"{here}.source")})
        elif kind not in _DROPPED_BLOCKS:
            raise _unsupported(kind, here)
    return parts


def plain(parts: list[Part]) -> str | list[Part]:
    """Parts as a chat's content: one string if all of them are text, as most templates expect."""
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def _image(source: object, where: str) -> str:
    if isinstance(source, dict):
        if source.get("type") == "url":
            return _text(source, "url", f"{where}.source")
        if source.get("type") == "base64":
            kind, data = _text(source, "media_type", f"{where}.source"), _text(source, "data", f"{where}.source")
            return f"data:{kind};base64,{data}"
    raise InvalidValue(f"'{where}.source' must be of type base64 or url.", param=f"{where}.source")


def _blocks(content: object, where: str) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    blocks = _list(content, f"{where}.content")
    for at, block in enumerate(blocks):
        if not isinstance(block, dict):
            raise InvalidValue(f"'{where}.content[{at}]' must be an object.", param=f"{where}.content[{at}]")
    return blocks


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidValue(f"'{where}' must be a string or a list of blocks.", param=where)
    return value


def _text(block: dict[str, Any], field: str, where: str) -> str:
    value = block.get(field)
    if not isinstance(value, str):
        raise InvalidValue(f"'{where}.{field}' must be a string.", param=f"{where}.{field}")
    return value


def _unsupported(kind: object, where: str) -> InvalidValue:
    return InvalidValue(f"'{where}' is a block of type {kind!r}, which is not supported here.", param=where)

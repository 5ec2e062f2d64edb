"""The input items of OpenAI's Responses as messages of a chat."""

from typing import Any

import orjson

from serving.gateway.errors import InvalidValue
from serving.gateway.translate.messages_content import plain

Body = dict[str, Any]

# What a model thought stays with the answer that it thought for.
# Tuples: what a caller gives as a type may be a list, which no set can be asked for.
_DROPPED_ITEMS = ("reasoning",)
_ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
_TEXTS = ("input_text", "output_text", "text", "refusal")


def chat_messages(given: object, instructions: object) -> list[Body]:
    """A conversation as a chat's messages, with one system message at the very beginning.

    Raises:
        InvalidValue: an item is malformed or of a kind that a chat cannot express.
    """
    systems = [instructions] if isinstance(instructions, str) and instructions else []
    messages: list[Body] = []
    for at, item in enumerate(_items(given)):
        message = _message(item, f"input[{at}]")
        if message is None:
            continue
        last = messages[-1] if messages else None
        if message["role"] == "system":
            systems.append(_system_text(message["content"], f"input[{at}]"))
        elif "tool_calls" in message and last is not None and last["role"] == "assistant":
            # Words and calls of one turn are items of their own, and one message in a chat.
            last["tool_calls"] = last.get("tool_calls", []) + message["tool_calls"]
        else:
            messages.append(message)
    if not messages:
        raise InvalidValue("'input' must hold at least one message.", param="input")
    if systems:
        messages.insert(0, {"role": "system", "content": "\n\n".join(systems)})
    return messages


def _items(given: object) -> list[Any]:
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if not isinstance(given, list):
        raise InvalidValue("'input' must be a string or a list of items.", param="input")
    return given


def _message(item: object, where: str) -> Body | None:
    if not isinstance(item, dict):
        raise InvalidValue(f"'{where}' must be an object.", param=where)
    match kind := item.get("type", "message"):
        case "message":
            role = _ROLES.get(str(item.get("role")))
            if role is None:
                raise InvalidValue(f"'{where}.role' must be one of {', '.join(_ROLES)}.", param=f"{where}.role")
            return {"role": role, "content": plain(_parts(item.get("content"), f"{where}.content"))}
        case "function_call":
            return _call(item, _text(item, "arguments", where), where)
        case "custom_tool_call":
            return _call(item, orjson.dumps({"input": _text(item, "input", where)}).decode(), where)
        case "function_call_output" | "custom_tool_call_output":
            parts = _parts(item.get("output"), f"{where}.output")
            texts = [part["text"] for part in parts if part["type"] == "text"]
            identity = _text(item, "call_id", where)
            return {"role": "tool", "tool_call_id": identity, "content": "\n".join(texts)}
        case kind if kind in _DROPPED_ITEMS:
            return None
    raise InvalidValue(f"'{where}' is an item of type {kind!r}, which is not supported here.", param=where)


def _call(item: Body, arguments: str, where: str) -> Body:
    function = {"name": _text(item, "name", where), "arguments": arguments}
    call = {"id": _text(item, "call_id", where), "type": "function", "function": function}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def _parts(content: object, where: str) -> list[Body]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise InvalidValue(f"'{where}' must be a string or a list of parts.", param=where)
    parts: list[Body] = []
    for at, part in enumerate(content):
        here = f"{where}[{at}]"
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in _TEXTS:
            parts.append({"type": "text", "text": _text(part, "refusal" if kind == "refusal" else "text", here)})
        elif kind == "input_image":
            parts.append({"type": "image_url", "image_url": {"url": _text(part, "image_url", here)}})
        else:
            raise InvalidValue(f"'{here}' is a part of type {kind!r}, which is not supported here.", param=here)
    return parts


def _system_text(content: str | list[Body], where: str) -> str:
    if not isinstance(content, str):
        raise InvalidValue(f"'{where}' must be text.", param=where)
    return content


def _text(item: Body, field: str, where: str) -> str:
    value = item.get(field)
    if not isinstance(value, str):
        raise InvalidValue(f"'{where}.{field}' must be a string.", param=f"{where}.{field}")
    return value

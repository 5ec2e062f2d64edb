"""Reads prompts, and conversations into the form that chat templates expect."""

from typing import Any

import orjson

from .errors import BadRequest


def read_prompts(value: Any, *, most: int, name: str = "prompt") -> list[str | list[int]]:
    """A prompt in any of its four shapes: a text, token ids, or a list of either."""
    if isinstance(value, str) or (isinstance(value, list) and value and _all_tokens(value)):
        return [value]
    if isinstance(value, list) and value and all(isinstance(one, str) or _all_tokens(one) for one in value):
        if len(value) > most:
            raise BadRequest(f"`{name}` may hold {most} prompts at most.", param=name)
        return value
    raise BadRequest(f"`{name}` must be a string, a list of token ids, or a list of either.", param=name)


def read_messages(value: Any) -> list[dict[str, Any]]:
    """A conversation; contents are strings, and the arguments of tool calls are objects."""
    if not isinstance(value, list) or not value:
        raise BadRequest("`messages` must be a non-empty list.", param="messages")
    return [_message(message, f"messages[{at}]") for at, message in enumerate(value)]


def _all_tokens(value: Any) -> bool:
    return isinstance(value, list) and all(type(token) is int and token >= 0 for token in value)


def _message(message: Any, where: str) -> dict[str, Any]:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise BadRequest(f"`{where}` must be an object with a `role`.", param=where)
    read = message | {"content": _content(message.get("content"), f"{where}.content")}
    calls = read.pop("tool_calls", None)
    if calls:
        read["tool_calls"] = _tool_calls(calls, f"{where}.tool_calls")
    return read


def _content(content: Any, where: str) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    # Text in parts is joined, as templates written for strings expect.
    if not isinstance(content, list) or not all(map(_is_text, content)):
        raise BadRequest(f"`{where}` must be a string or a list of text parts.", param=where)
    return "\n".join(part["text"] for part in content)


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)


def _tool_calls(calls: Any, where: str) -> list[dict[str, Any]]:
    problem = BadRequest(f"`{where}` must be a list of calls of functions, their arguments in JSON.", param=where)
    if not isinstance(calls, list):
        raise problem
    read = []
    for call in calls:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise problem
        arguments = function.get("arguments") or "{}"
        try:
            # OpenAI sends them as text; templates write them as JSON themselves.
            arguments = orjson.loads(arguments) if isinstance(arguments, str) else arguments
        except orjson.JSONDecodeError as error:
            raise problem from error
        read.append(call | {"function": function | {"arguments": arguments}})
    return read

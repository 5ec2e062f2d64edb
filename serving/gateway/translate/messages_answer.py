"""A chat completion as the answer to a request for Anthropic's Messages."""

from typing import Any

import orjson

from serving.gateway.translate.usage import messages_usage

Body = dict[str, Any]

_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}


def message_of_chat(completion: Body, model: str) -> Body:
    """The message that a whole chat completion amounts to; `model` is the caller's name for it.

    Raises:
        KeyError, IndexError, TypeError: it is no chat completion.
    """
    choice = completion["choices"][0]
    message = choice["message"]
    calls = message.get("tool_calls") or []
    content: list[Body] = []
    if thought := message.get("reasoning_content") or message.get("reasoning"):
        content.append({"type": "thinking", "thinking": thought, "signature": ""})
    if text := message.get("content"):
        content.append({"type": "text", "text": text})
    content += [_tool_use(call) for call in calls]
    reason, stop = stop_reason(choice.get("finish_reason"), choice.get("stop_reason"), called=bool(calls))
    return {
        **empty_message(str(completion["id"]), model),
        # Clients may count on a first block.
        "content": content or [{"type": "text", "text": ""}],
        "stop_reason": reason,
        "stop_sequence": stop,
        "usage": messages_usage(completion.get("usage") or {}),
    }


def empty_message(identity: str, model: str) -> Body:
    """A message that has not begun."""
    return {
        "id": f"msg_{identity.removeprefix('chatcmpl-')}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": messages_usage({}),
    }


def stop_reason(finish: object, matched: object, *, called: bool) -> tuple[str, str | None]:
    """Anthropic's `stop_reason` and `stop_sequence`; `matched` is the stop string, if the engine tells it."""
    reason = _STOP_REASONS.get(str(finish), "end_turn")
    if reason != "end_turn":
        return reason, None
    if called:
        return "tool_use", None
    return ("stop_sequence", matched) if isinstance(matched, str) else (reason, None)


def count_of_tokens(tokenized: Body) -> Body:
    """The answer to `count_tokens` that an answer to `/tokenize` amounts to.

    Raises:
        KeyError: it is none.
    """
    return {"input_tokens": tokenized["count"]}


def _tool_use(call: Body) -> Body:
    function = call["function"]
    return {"type": "tool_use", "id": call["id"], "name": function["name"], "input": _arguments(function["arguments"])}


def _arguments(text: str) -> Body:
    # An answer that was cut short ends within them.
    try:
        arguments = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return arguments if isinstance(arguments, dict) else {}

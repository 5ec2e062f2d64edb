"""A chat completion as the answer to a request for OpenAI's Responses."""

from collections.abc import Sequence
from typing import Any

import orjson

from serving.gateway.translate.responses_tools import custom_names
from serving.gateway.translate.usage import responses_usage

Body = dict[str, Any]

# What of the request a response repeats, and what it says where the request was silent.
_REPEATED: Body = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None},
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


def response_of_chat(completion: Body, request: Body, model: str) -> Body:
    """The response that a whole chat completion amounts to; `model` is the caller's name for it.

    Raises:
        KeyError, IndexError, TypeError: it is no chat completion.
    """
    choice = completion["choices"][0]
    message = choice["message"]
    identity = short_id(str(completion["id"]))
    output: list[Body] = []
    if thought := message.get("reasoning_content") or message.get("reasoning"):
        output.append(reasoning_item(f"rs_{identity}", thought))
    calls = message.get("tool_calls") or []
    if (text := message.get("content")) or not calls:
        output.append(message_item(f"msg_{identity}", text or "", logprobs_of(choice)))
    custom = custom_names(request.get("tools"))
    for call in calls:
        function = call["function"]
        output.append(call_item(call["id"], function["name"], function["arguments"], custom))
    response = empty_response(identity, completion.get("created"), request, model)
    return response | closing(choice.get("finish_reason"), output, completion.get("usage") or {})


def short_id(identity: str) -> str:
    """The part of a chat completion's id that is not its kind."""
    return identity.removeprefix("chatcmpl-")


def empty_response(identity: str, created: object, request: Body, model: str) -> Body:
    """A response that is under way and has no output yet."""
    repeated = {
        field: default if request.get(field) is None else request[field] for field, default in _REPEATED.items()
    }
    return {
        "id": f"resp_{identity}",
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": [],
        "previous_response_id": None,
        "store": False,
        "usage": None,
        **repeated,
    }


def closing(finish: object, output: list[Body], usage: Body) -> Body:
    """What a response says once it is complete, or was cut short."""
    short = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(str(finish))
    return {
        "status": "incomplete" if short else "completed",
        "incomplete_details": {"reason": short} if short else None,
        "output": output,
        "usage": responses_usage(usage),
    }


def logprobs_of(choice: Body) -> list[Body]:
    """What a choice tells of its tokens' probabilities, which both dialects write alike."""
    logprobs = choice.get("logprobs")
    return (logprobs.get("content") or []) if isinstance(logprobs, dict) else []


def message_item(identity: str, text: str, logprobs: Sequence[Body] = ()) -> Body:
    """A message of one text."""
    return {
        "id": identity,
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [text_part(text, logprobs)],
    }


def text_part(text: str, logprobs: Sequence[Body] = ()) -> Body:
    """A message's text."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": list(logprobs)}


def reasoning_item(identity: str, text: str) -> Body:
    """What the model thought before it answered."""
    return {
        "id": identity,
        "type": "reasoning",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": text}],
    }


def call_item(identity: str, name: str, arguments: str, custom: frozenset[str]) -> Body:
    """A call of a function, or of a custom tool."""
    shared: Body = {"call_id": identity, "name": name, "status": "completed"}
    if name in custom:
        return {"id": f"ctc_{identity}", "type": "custom_tool_call", "input": free_text(arguments), **shared}
    return {"id": f"fc_{identity}", "type": "function_call", "arguments": arguments, **shared}


def free_text(arguments: str) -> str:
    """The input of a custom tool, from the arguments of the function that stands for it."""
    try:
        given = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return arguments
    text = given.get("input") if isinstance(given, dict) else None
    return text if isinstance(text, str) else arguments

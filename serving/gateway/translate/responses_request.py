"""A request for OpenAI's Responses as a request for a chat completion."""

from typing import Any

from serving.gateway.errors import InvalidValue
from serving.gateway.translate.responses_items import chat_messages
from serving.gateway.translate.responses_tools import chat_tool_choice, functions

Body = dict[str, Any]

_SAME = (
    *("temperature", "top_p", "top_k", "min_p", "stream", "seed", "stop", "logit_bias"),
    *("presence_penalty", "frequency_penalty", "repetition_penalty"),
)


def chat_of_responses(body: Body) -> Body:
    """The chat completion that a `POST /v1/responses` amounts to.

    Reasoning effort, verbosity, truncation, metadata and the like have no say here: a model without them answers the
    same.

    Raises:
        InvalidValue: a field is missing, malformed or beyond what a chat can express.
    """
    chat: Body = {"model": body["model"], "messages": chat_messages(body.get("input"), body.get("instructions"))}
    chat |= {field: body[field] for field in _SAME if body.get(field) is not None}
    if body.get("max_output_tokens") is not None:
        chat["max_tokens"] = body["max_output_tokens"]
    if tools := functions(body.get("tools")):
        chat["tools"] = tools
        if body.get("tool_choice") is not None:
            chat["tool_choice"] = chat_tool_choice(body["tool_choice"])
        if body.get("parallel_tool_calls") is False:
            chat["parallel_tool_calls"] = False
    # The policy leaves nothing else in it.
    if body.get("include"):
        chat |= {"logprobs": True, "top_logprobs": body.get("top_logprobs") or 0}
    if (form := _response_format(body.get("text"))) is not None:
        chat["response_format"] = form
    return chat


def _response_format(text: object) -> Body | None:
    form = text.get("format") if isinstance(text, dict) else None
    kind = form.get("type") if isinstance(form, dict) else None
    if form is None or kind == "text":
        return None
    if kind == "json_object":
        return {"type": "json_object"}
    if kind != "json_schema" or not isinstance(form.get("schema"), dict):
        raise InvalidValue(
            "'text.format.type' must be text, json_object, or json_schema with a schema.", param="text.format"
        )
    return {"type": "json_schema", "json_schema": {"name": form.get("name") or "answer", "schema": form["schema"]}}

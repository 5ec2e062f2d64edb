"""A request for Anthropic's Messages as a request for a chat completion."""

from typing import Any

from serving.gateway.errors import InvalidValue
from serving.gateway.translate.messages_content import chat_messages, system_text

Body = dict[str, Any]

_SAME = ("temperature", "top_p", "top_k", "stream")
# Claude Code's note of who pays; its hash differs by request and would keep prompts from being found in the cache.
_BILLING = "x-anthropic-billing-header"
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def chat_of_messages(body: Body) -> Body:
    """The chat completion that a `POST /v1/messages` amounts to.

    Thinking, cache control, context management and metadata have no say here: a model without them answers the same.

    Raises:
        InvalidValue: a field is missing, malformed or beyond what a chat can express.
    """
    longest = body.get("max_tokens")
    if isinstance(longest, bool) or not isinstance(longest, int) or longest < 1:
        raise InvalidValue("'max_tokens' is required: a whole number of at least 1.", param="max_tokens")
    chat = _conversation(body)
    chat["max_tokens"] = longest
    chat |= {field: body[field] for field in _SAME if body.get(field) is not None}
    if stops := body.get("stop_sequences"):
        chat["stop"] = stops
    if (schema := _schema(body)) is not None:
        chat["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    return chat


def tokenize_of_count(body: Body) -> Body:
    """The `POST /tokenize` that a `POST /v1/messages/count_tokens` amounts to.

    Raises:
        InvalidValue: as for the message itself.
    """
    chat = _conversation(body)
    return {field: chat[field] for field in ("model", "messages", "tools") if field in chat}


def _conversation(body: Body) -> Body:
    system = body.get("system")
    if isinstance(system, list):
        system = [block for block in system if not _is_billing(block)]
    systems, messages = chat_messages(body.get("messages"))
    if opening := "\n\n".join(text for text in (system_text(system), *systems) if text):
        messages.insert(0, {"role": "system", "content": opening})
    chat: Body = {"model": body["model"], "messages": messages}
    if tools := body.get("tools"):
        chat["tools"] = _tools(tools)
        chat |= _tool_choice(body.get("tool_choice"))
    return chat


def _is_billing(block: object) -> bool:
    text = block.get("text") if isinstance(block, dict) else None
    return isinstance(text, str) and text.startswith(_BILLING)


def _schema(body: Body) -> Body | None:
    config = body.get("output_config")
    # The field's name while it was in beta, which some clients still send.
    form = config.get("format") if isinstance(config, dict) else body.get("output_format")
    schema = form.get("schema") if isinstance(form, dict) else None
    return schema if isinstance(schema, dict) else None


def _tools(tools: object) -> list[Body]:
    if not isinstance(tools, list):
        raise InvalidValue("'tools' must be a list.", param="tools")
    functions = []
    for at, tool in enumerate(tools):
        schema = tool.get("input_schema") if isinstance(tool, dict) else None
        if not isinstance(schema, dict) or not isinstance(tool.get("name"), str):
            raise InvalidValue(f"'tools[{at}]' must have a name and an input_schema.", param=f"tools[{at}]")
        function = {"name": tool["name"], "parameters": {"type": "object"} | schema}
        if isinstance(description := tool.get("description"), str):
            function["description"] = description
        functions.append({"type": "function", "function": function})
    return functions


def _tool_choice(choice: object) -> Body:
    if choice is None:
        return {}
    kind = choice.get("type") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or (kind not in (*_CHOICES, "tool")):
        raise InvalidValue("'tool_choice.type' must be auto, any, tool or none.", param="tool_choice")
    named = {"type": "function", "function": {"name": choice.get("name")}}
    chosen: Body = {"tool_choice": named if kind == "tool" else _CHOICES[str(kind)]}
    if choice.get("disable_parallel_tool_use") is True:
        chosen["parallel_tool_calls"] = False
    return chosen

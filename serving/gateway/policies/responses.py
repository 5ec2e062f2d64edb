"""What a request for OpenAI's Responses may say beyond what every request may."""

from typing import Any

from serving.gateway.errors import InvalidValue

Body = dict[str, Any]

# The platform keeps no responses: what builds on that is refused, and so is what OpenAI keeps for its customers.
STATEFUL = ("previous_response_id", "conversation", "prompt", "store", "background")
TOOLS = frozenset({"function", "custom"})
# Coding assistants offer them unasked, and answer as well when the model never calls them.
IGNORED_TOOLS = frozenset(
    {"local_shell", "shell", "web_search", "web_search_preview", "image_generation", "namespace", "tool_search"}
)
# A tuple: what a caller gives as a type may be a list, which no set can be asked for.
ITEMS = (
    *("message", "function_call", "function_call_output", "reasoning"),
    *("custom_tool_call", "custom_tool_call_output"),
)
# What may be asked for beside the answer; everything else is what nothing here produces.
_INCLUDED = "message.output_text.logprobs"


def apply_responses_policy(body: Body) -> None:
    """Refuse what no engine here can do, and leave out what changes nothing.

    Raises:
        InvalidValue: naming the field.
    """
    for field in STATEFUL:
        if body.get(field):
            raise InvalidValue(
                f"'{field}' is not supported: this platform keeps no responses. "
                "Send the whole conversation as 'input'.",
                param=field,
            )
    # Engines differ in what they take silence for.
    body["store"] = False
    if isinstance(body.get("include"), list):
        body["include"] = [one for one in body["include"] if one == _INCLUDED]
    _check_input(body.get("input"))
    if body.get("tools") is not None:
        _filter_tools(body)


def _check_input(given: object) -> None:
    if not isinstance(given, str | list) or not given:
        raise InvalidValue("'input' is required: a string or a list of items.", param="input")
    for at, item in enumerate(given if isinstance(given, list) else []):
        kind = item.get("type", "message") if isinstance(item, dict) else None
        if kind not in ITEMS:
            raise InvalidValue(
                f"'input[{at}]' is an item of type {kind!r}, which is not supported on this platform.",
                param=f"input[{at}]",
            )


def _filter_tools(body: Body) -> None:
    if not isinstance(body["tools"], list):
        raise InvalidValue("'tools' must be a list.", param="tools")
    kept = []
    for at, tool in enumerate(body["tools"]):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if not isinstance(kind, str) or kind not in TOOLS | IGNORED_TOOLS:
            raise InvalidValue(
                f"'tools[{at}]' is of type {kind!r}, which is not supported on this platform. Functions are.",
                param=f"tools[{at}].type",
            )
        if kind in TOOLS:
            kept.append(_without_grammar(tool))
    body["tools"] = kept
    if not kept and body.get("tool_choice") in ("auto", "none"):
        del body["tool_choice"]


def _without_grammar(tool: Body) -> Body:
    """A custom tool whose input is free text; its grammar becomes advice."""
    form = tool.get("format")
    grammar = form.get("definition") if isinstance(form, dict) else None
    if tool["type"] != "custom" or not isinstance(grammar, str):
        return tool
    description = f"{tool.get('description') or ''}\n\nThe input must fit this grammar:\n{grammar}".strip()
    return {**tool, "description": description, "format": {"type": "text"}}

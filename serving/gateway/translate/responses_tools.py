"""The tools of OpenAI's Responses as functions of a chat."""

from typing import Any

from serving.gateway.errors import InvalidValue

Body = dict[str, Any]

_WORDS = ("none", "auto", "required")


def functions(tools: object) -> list[Body]:
    """Functions as they are, and custom tools, whose input is free text, as functions of one string.

    Raises:
        InvalidValue: a tool is malformed.
    """
    return [_function(tool, f"tools[{at}]") for at, tool in enumerate(tools if isinstance(tools, list) else [])]


def custom_names(tools: object) -> frozenset[str]:
    """The names of the custom tools."""
    given = tools if isinstance(tools, list) else []
    return frozenset(tool["name"] for tool in given if tool.get("type") == "custom")


def chat_tool_choice(choice: object) -> str | Body:
    """What a chat's `tool_choice` is to be.

    Raises:
        InvalidValue: it names nothing that a chat can choose.
    """
    if isinstance(choice, str) and choice in _WORDS:
        return choice
    if isinstance(choice, dict) and choice.get("type") in ("function", "custom"):
        return {"type": "function", "function": {"name": choice.get("name")}}
    raise InvalidValue(f"'tool_choice' must be {', '.join(_WORDS)}, or name a function.", param="tool_choice")


def _function(tool: Body, where: str) -> Body:
    name, description = tool.get("name"), tool.get("description")
    if not isinstance(name, str):
        raise InvalidValue(f"'{where}.name' must be a string.", param=f"{where}.name")
    if tool.get("type") == "custom":
        parameters: Body = {
            "type": "object",
            "properties": {"input": {"type": "string"}},
            "required": ["input"],
        }
    else:
        parameters = tool.get("parameters") or {"type": "object", "properties": {}}
    function: Body = {"name": name, "parameters": parameters}
    if isinstance(description, str):
        function["description"] = description
    return {"type": "function", "function": function}

"""What a request for Anthropic's Messages may say beyond what every request may."""

from typing import Any

from serving.gateway.errors import InvalidValue

# They stand for state or services at Anthropic.
REFUSED = ("mcp_servers", "container")
_CUSTOM = (None, "custom")


def apply_messages_policy(body: dict[str, Any]) -> None:
    """Refuse what no engine here can do.

    Raises:
        InvalidValue: naming the field.
    """
    for field in REFUSED:
        if body.get(field):
            raise InvalidValue(f"'{field}' is not supported on this platform. Leave it out.", param=field)
    messages = body.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    if isinstance(last, dict) and last.get("role") == "assistant":
        where = f"messages[{len(body['messages']) - 1}]"
        raise InvalidValue(
            f"'{where}' is the assistant's, and an answer that it begins cannot be continued. End with the user's.",
            param=where,
        )
    tools = body.get("tools")
    for at, tool in enumerate(tools if isinstance(tools, list) else []):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind not in _CUSTOM:
            raise InvalidValue(
                f"'tools[{at}]' is of type {kind!r}, which is not supported on this platform. "
                "Tools with a name and an input_schema are.",
                param=f"tools[{at}].type",
            )

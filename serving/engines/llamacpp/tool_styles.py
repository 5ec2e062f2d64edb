"""How a model is shown its tools and writes its calls of them: its chat template tells."""

import json
from dataclasses import dataclass
from typing import Any

_INSTRUCTIONS = """You may call one or more functions to assist with the user's request.

These are their signatures, in JSON:
<tools>
{signatures}
</tools>

To call a function, answer with its name and its arguments as a JSON object within <tool_call></tool_call> tags:
<tool_call>
{{"name": <name>, "arguments": <arguments>}}
</tool_call>"""


@dataclass(frozen=True, slots=True)
class ToolStyle:
    """Calls are JSON objects with a `name` and `arguments_key`, between these texts.

    `tagged`: calls are told from text by their tags; otherwise an output that is JSON is taken for calls.
    `explained`: the template ignores tools, so that the conversation itself must explain them.
    """

    before: str
    between: str
    after: str
    arguments_key: str
    tagged: bool
    explained: bool = False


_TAGGED = ToolStyle("<tool_call>\n", "\n</tool_call>\n<tool_call>\n", "\n</tool_call>", "arguments", tagged=True)
_EXPLAINED = ToolStyle(*(_TAGGED.before, _TAGGED.between, _TAGGED.after), "arguments", tagged=True, explained=True)
_LIST = ToolStyle("[", ", ", "]", "arguments", tagged=False)
_OBJECT = ToolStyle("", "; ", "", "parameters", tagged=False)


def tool_style(template: str) -> ToolStyle:
    """The style of the model with this chat template."""
    if "<tool_call>" in template:
        return _TAGGED
    if "[TOOL_CALLS]" in template:
        return _LIST
    if "tools" in template:
        return _OBJECT
    return _EXPLAINED


def explain(messages: list[dict[str, Any]], functions: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    """The conversation for a template that knows no tools: signatures, calls and results become plain text."""
    signatures = "\n".join(json.dumps({"type": "function", "function": one}) for one in functions)
    instructions = _INSTRUCTIONS.format(signatures=signatures)
    plain = [_plain(message) for message in messages]
    if plain and plain[0]["role"] == "system":
        plain[0] = {"role": "system", "content": f"{plain[0]['content']}\n\n{instructions}"}
        return plain
    return [{"role": "system", "content": instructions}, *plain]


def _plain(message: dict[str, Any]) -> dict[str, Any]:
    if message["role"] == "tool":
        return {"role": "user", "content": f"<tool_response>\n{message['content']}\n</tool_response>"}
    if "tool_calls" not in message:
        return message
    calls = [
        json.dumps({key: call["function"][key] for key in ("name", "arguments")}) for call in message["tool_calls"]
    ]
    written = [f"<tool_call>\n{call}\n</tool_call>" for call in calls]
    return {"role": message["role"], "content": "\n".join([part for part in (message["content"], *written) if part])}

"""Reads what a request says about the form of its output: a JSON schema, or tools to call."""

from dataclasses import dataclass
from typing import Any

from .errors import BadRequest, UnsupportedParameter
from .fields import Fields

_ANY_OBJECT = {"type": "object"}
_MOST_TOOLS = 128


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """The output must be JSON that fits a schema."""

    schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tools:
    """Functions that the model may call, as OpenAI describes them, or must, or one of them."""

    functions: tuple[dict[str, Any], ...]
    must_call: bool
    parallel: bool

    @property
    def given(self) -> list[dict[str, Any]]:
        """As they were given, for chat templates."""
        return [{"type": "function", "function": function} for function in self.functions]


def read_response_format(value: Any) -> ResponseFormat | None:
    """`text` asks for nothing; `json_object` and `json_schema` are enforced."""
    if value is None:
        return None
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return ResponseFormat(_ANY_OBJECT)
    if kind != "json_schema":
        raise BadRequest(
            "`response_format.type` must be text, json_object or json_schema.", param="response_format.type"
        )
    named = value.get("json_schema")
    schema = named.get("schema") if isinstance(named, dict) else None
    if not isinstance(schema, dict):
        raise BadRequest(
            "`response_format.json_schema.schema` must be a JSON schema.", param="response_format.json_schema"
        )
    return ResponseFormat(schema)


def read_tools(fields: Fields) -> Tools | None:
    """The tools that the model is shown; None if there are none, or `tool_choice` forbids them."""
    functions, choice = _functions(fields.raw("tools")), fields.raw("tool_choice")
    parallel = True if (given := fields.raw("parallel_tool_calls")) is None else given
    if not isinstance(parallel, bool):
        raise BadRequest("`parallel_tool_calls` must be true or false.", param="parallel_tool_calls")
    if not functions:
        if choice not in (None, "none", "auto"):
            raise BadRequest("`tool_choice` needs `tools`.", param="tool_choice")
        return None
    if choice == "none":
        return None
    if choice in (None, "auto"):
        return Tools(functions, must_call=False, parallel=parallel)
    if choice == "required":
        return Tools(functions, must_call=True, parallel=parallel)
    return Tools((_named(choice, functions),), must_call=True, parallel=False)


def _functions(tools: Any) -> tuple[dict[str, Any], ...]:
    if tools is None:
        return ()
    if not isinstance(tools, list) or len(tools) > _MOST_TOOLS:
        raise BadRequest(f"`tools` must be a list of {_MOST_TOOLS} at most.", param="tools")
    for at, tool in enumerate(tools):
        where = f"tools[{at}]"
        if not isinstance(tool, dict) or tool.get("type") != "function":
            raise UnsupportedParameter(f"`{where}` must be an object of type `function`.", param=where)
        function = tool.get("function")
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
            raise BadRequest(f"`{where}.function` must have a name.", param=f"{where}.function")
        if not isinstance(function.get("parameters", {}), dict):
            raise BadRequest(f"`{where}.function.parameters` must be a JSON schema.", param=f"{where}.function")
    return tuple(tool["function"] for tool in tools)


def _named(choice: Any, functions: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    function = choice.get("function") if isinstance(choice, dict) and choice.get("type") == "function" else None
    if not isinstance(function, dict):
        raise BadRequest("`tool_choice` must be none, auto, required, or name a function.", param="tool_choice")
    found = next((one for one in functions if one["name"] == function.get("name")), None)
    if found is None:
        raise BadRequest("`tool_choice` names a function that is not among `tools`.", param="tool_choice")
    return found

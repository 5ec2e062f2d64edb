"""Grammars that keep an output to a JSON schema, or to calls of tools."""

import json
import re
from typing import Any

from llama_cpp.llama_grammar import LlamaGrammar

from .errors import BadRequest
from .schemas import PreparedSchema
from .structure import Tools
from .tool_styles import ToolStyle

_LARGEST_SCHEMA = 64 * 1024  # characters
_CHAR = 'char ::= [^"\\\\] |'
_CHAR_WITHOUT_CONTROLS = 'char ::= [^"\\\\\\x7F\\x00-\\x1F] |'


def schema_grammar(schema: dict[str, Any], *, param: str) -> str:
    """GBNF of the JSON texts that fit a schema; BadRequest, naming `param`, for one that cannot be enforced."""
    prepared = PreparedSchema(schema, prefix="ref-", param=param)
    return _convert(prepared.schema | {"$defs": prepared.definitions}, param)


def tools_grammar(tools: Tools, style: ToolStyle) -> str:
    """GBNF of one call, or of several where that is allowed, in the style that the model writes them."""
    calls: list[dict[str, Any]] = []
    definitions: dict[str, Any] = {}
    for at, function in enumerate(tools.functions):
        parameters = function.get("parameters") or {"type": "object"}
        prepared = PreparedSchema(parameters, prefix=f"ref{at}-", param="tools")
        properties = {"name": {"const": function["name"]}, style.arguments_key: prepared.schema}
        calls.append({"type": "object", "properties": properties, "required": list(properties)})
        definitions |= prepared.definitions
    converted = _convert({"anyOf": calls, "$defs": definitions}, "tools")
    grammar = re.sub(r"^root ::=", "call ::=", converted, flags=re.MULTILINE)
    begin, between, end = (json.dumps(part) for part in (style.before, style.between, style.after))
    repeated = f" ({between} call)*" if tools.parallel else ""
    return f"{grammar}\nroot ::= {begin} call{repeated} {end}\n"


def _convert(schema: dict[str, Any], param: str) -> str:
    text = json.dumps(schema)
    if len(text) > _LARGEST_SCHEMA:
        raise BadRequest(f"The schema in `{param}` is larger than {_LARGEST_SCHEMA} characters.", param=param)
    try:
        grammar = str(LlamaGrammar.from_json_schema(text, verbose=False)._grammar)
    except (ValueError, TypeError, LookupError, AttributeError, AssertionError, RecursionError) as error:
        raise BadRequest(f"The schema in `{param}` cannot be enforced: {error!r}.", param=param) from error
    # JSON allows no control characters in strings, which the converter forgets.
    return grammar.replace(_CHAR, _CHAR_WITHOUT_CONTROLS)

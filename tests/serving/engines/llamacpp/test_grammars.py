"""Schemas become grammars, and what a grammar cannot enforce is refused by name."""

from typing import Any

import pytest

from serving.engines.llamacpp.errors import BadRequest
from serving.engines.llamacpp.grammars import schema_grammar, tools_grammar
from serving.engines.llamacpp.structure import Tools
from serving.engines.llamacpp.tool_styles import tool_style

DEFINED = {"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "integer", "minimum": 3}, "minimum"),
        ({"type": "object", "properties": {"a": {"type": "string", "not": {}}}}, "not"),
        ({"type": "array", "items": {"type": "string"}, "maxItems": 10**9}, "maxItems"),
        ({"type": "string", "minLength": -1}, "minLength"),
        ({"$ref": "https://example.org/schema.json"}, "$ref"),
        ({"$ref": "#/$defs/missing"}, "$ref"),
        ({"$ref": 3}, "$ref"),
        ({"type": "nonsense"}, "nonsense"),
        ({"properties": 3}, "malformed"),
        ({"enum": 3}, "enforced"),
        ({"type": "string", "pattern": "a"}, "enforced"),
        ({"description": "x" * 70_000}, "larger"),
    ],
)
def test_what_cannot_be_enforced_is_refused(schema: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRequest) as refused:
        schema_grammar(schema, param="response_format")

    assert refused.value.param == "response_format"
    assert says in refused.value.message


def test_a_schema_nested_without_end_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(200):
        schema = {"type": "array", "items": schema}

    with pytest.raises(BadRequest, match="deep"):
        schema_grammar(schema, param="response_format")


def test_a_property_may_be_named_like_a_keyword() -> None:
    schema = {"type": "object", "properties": {"minimum": {"type": "integer"}}, "required": ["minimum"]}

    assert r'"\"minimum\""' in schema_grammar(schema, param="response_format")


def test_strings_hold_no_control_characters() -> None:
    grammar = schema_grammar({"type": "string"}, param="response_format")

    assert r"\x00-\x1F" in grammar


def test_definitions_of_two_tools_do_not_meet() -> None:
    other = DEFINED | {"$defs": {"x": {"type": "boolean"}}}
    functions = ({"name": "f", "parameters": DEFINED}, {"name": "g", "parameters": other})

    grammar = tools_grammar(Tools(functions, must_call=True, parallel=False), tool_style(""))

    rules = dict(line.split(" ::= ", 1) for line in grammar.splitlines() if line)
    assert rules["alternative-0-arguments-a"] == "integer"
    assert rules["alternative-1-arguments-a"] == "boolean"


def test_an_argument_may_be_named_root() -> None:
    parameters = {"type": "object", "properties": {"root": {"type": "boolean"}}, "required": ["root"]}

    grammar = tools_grammar(Tools(({"name": "f", "parameters": parameters},), True, False), tool_style(""))

    assert [line.split()[0] for line in grammar.splitlines()].count("root") == 1


@pytest.mark.parametrize("parallel", [True, False])
def test_several_calls_are_only_for_those_who_want_them(parallel: bool) -> None:
    grammar = tools_grammar(Tools(({"name": "f"},), must_call=True, parallel=parallel), tool_style(""))

    assert ("call)*" in grammar) == parallel

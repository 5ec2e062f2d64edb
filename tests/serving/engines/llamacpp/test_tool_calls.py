"""Calls of tools are told from text, however the output is cut into pieces."""

import json

import pytest

from serving.engines.llamacpp.tool_calls import ToolCall, ToolCallReader
from serving.engines.llamacpp.tool_styles import explain, tool_style

TAGGED = tool_style("{% if tools %}<tool_call>{% endif %}")
BARE = tool_style("{% for tool in tools %}{% endfor %}")
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Bern"}}\n</tool_call>'


def read(style: object, pieces: list[str]) -> tuple[str, list[tuple[str, object]]]:
    reader = ToolCallReader(style)  # type: ignore[arg-type]
    text, calls = "", []
    for part, found in [*map(reader.push, pieces), reader.flush()]:
        text += part
        calls += found
    return text, [(call.name, json.loads(call.arguments)) for call in calls]


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize(
    ("output", "text", "cities"),
    [
        (CALL, "", ["Bern"]),
        (f"Let me see.\n\n{CALL}", "Let me see.", ["Bern"]),
        (f"{CALL}\n{CALL}\n", "", ["Bern", "Bern"]),
        (CALL.removesuffix("\n</tool_call>"), "", ["Bern"]),
        ("a < b and <tool_time>", "a < b and <tool_time>", []),
        ("<tool_call>\nno JSON\n</tool_call> so", "<tool_call>\nno JSON\n</tool_call> so", []),
        ('<tool_call>\n{"name": "wea', '<tool_call>\n{"name": "wea', []),
        ("ends in spaces  ", "ends in spaces  ", []),
        ("", "", []),
    ],
)
def test_tagged_calls_are_found(output: str, text: str, cities: list[str], size: int) -> None:
    pieces = [output[at : at + size] for at in range(0, len(output), size)]

    assert read(TAGGED, pieces) == (text, [("weather", {"city": city}) for city in cities])


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    ("output", "text", "calls"),
    [
        ('{"name": "f", "parameters": {"a": 1}}', "", [("f", {"a": 1})]),
        ('[{"name": "f", "arguments": {}}, {"name": "g"}]', "", [("f", {}), ("g", {})]),
        ('{"name": "f", "parameters": {}}; {"name": "g", "parameters": {}}', "", [("f", {}), ("g", {})]),
        ('{"answer": 42}', '{"answer": 42}', []),
        ("{not JSON", "{not JSON", []),
        ("Plain text", "Plain text", []),
    ],
)
def test_an_output_that_is_calls_in_json_is_read_as_such(
    output: str, text: str, calls: list[tuple[str, object]], size: int
) -> None:
    pieces = [output[at : at + size] for at in range(0, len(output), size)]

    assert read(BARE, pieces) == (text, calls)


def test_text_before_a_call_is_shown_at_once() -> None:
    reader = ToolCallReader(TAGGED)

    assert reader.push("Let me see. <tool")[0] == "Let me see."
    assert reader.push("box>") == (" <toolbox>", [])


def test_calls_have_ids_of_their_own() -> None:
    assert ToolCall("f", "{}").id != ToolCall("f", "{}").id


@pytest.mark.parametrize(
    ("template", "tagged", "key"),
    [
        ("tools <tool_call>", True, "arguments"),
        ("tools [TOOL_CALLS]", False, "arguments"),
        ("tools", False, "parameters"),
        ("messages", True, "arguments"),
    ],
)
def test_the_template_tells_the_style(template: str, tagged: bool, key: str) -> None:
    style = tool_style(template)

    assert (style.tagged, style.arguments_key, style.explained) == (tagged, key, template == "messages")


def test_tools_are_explained_where_the_template_knows_none() -> None:
    call = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Bern"}}}
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Rain?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "sunny"},
    ]

    system, user, assistant, result = explain(messages, ({"name": "weather"},))

    assert system["content"].startswith("Be kind.\n\n")
    assert '"weather"' in system["content"]
    assert user == messages[1]
    assert assistant["content"] == CALL
    assert result == {"role": "user", "content": "<tool_response>\nsunny\n</tool_response>"}
    assert explain(messages[1:2], ())[0]["role"] == "system"

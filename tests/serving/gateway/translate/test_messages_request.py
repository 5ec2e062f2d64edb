"""Anthropic's requests as chat completions."""

from typing import Any

import pytest

from serving.gateway.errors import InvalidValue
from serving.gateway.translate.messages_request import chat_of_messages, tokenize_of_count

PIXEL = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
TOOL = {"name": "look", "description": "Looks.", "input_schema": {"properties": {"at": {"type": "string"}}}}


def chat(*messages: Any, **fields: Any) -> dict[str, Any]:
    given = [{"role": "user", "content": "hi"}] if not messages else list(messages)
    return chat_of_messages({"model": "m", "max_tokens": 5, "messages": given, **fields})


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def text(words: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **fields}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"role": "user", "content": "hi"}, [{"role": "user", "content": "hi"}]),
        (user(text("a", cache_control={"type": "ephemeral"}), text("b")), [{"role": "user", "content": "a\nb"}]),
        (
            user(text("see"), {"type": "image", "source": PIXEL}),
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "see"},
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                    ],
                }
            ],
        ),
        (
            user({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "page"}}),
            [{"role": "user", "content": "page"}],
        ),
        (
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "x"},
                    text("I look."),
                    {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "sky"}},
                ],
            },
            [
                {
                    "role": "assistant",
                    "content": "I look.",
                    "tool_calls": [
                        {"id": "t1", "type": "function", "function": {"name": "look", "arguments": '{"at":"sky"}'}}
                    ],
                }
            ],
        ),
        (
            user(
                {"type": "tool_result", "tool_use_id": "t1", "content": [text("blue"), text("wide")]},
                {"type": "tool_result", "tool_use_id": "t2", "is_error": True},
                text("and now?"),
            ),
            [
                {"role": "tool", "tool_call_id": "t1", "content": "blue\nwide"},
                {"role": "tool", "tool_call_id": "t2", "content": ""},
                {"role": "user", "content": "and now?"},
            ],
        ),
        (
            user({"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "image", "source": PIXEL}]}),
            [
                {"role": "tool", "tool_call_id": "t1", "content": ""},
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}],
                },
            ],
        ),
    ],
)
def test_messages_become_a_chat(message: dict[str, Any], expected: list[dict[str, Any]]) -> None:
    assert chat(message)["messages"] == expected


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ("Be kind.", "Be kind."),
        ([text("Be kind.", cache_control={"type": "ephemeral"}), text("Be brief.")], "Be kind.\n\nBe brief."),
        ([text("x-anthropic-billing-header: cch=1234"), text("Be kind.")], "Be kind."),
    ],
)
def test_the_system_prompt_comes_first(system: Any, expected: str) -> None:
    assert chat(system=system)["messages"][0] == {"role": "system", "content": expected}


def test_system_messages_within_a_conversation_join_the_system_prompt() -> None:
    reminder = {"role": "system", "content": [text("Mind the step.")]}
    messages = chat({"role": "user", "content": "hi"}, reminder, system="Be kind.")["messages"]
    assert messages == [
        {"role": "system", "content": "Be kind.\n\nMind the step."},
        {"role": "user", "content": "hi"},
    ]


def test_sampling_limits_and_stops_are_taken_over_and_what_changes_nothing_is_left_out() -> None:
    body = chat(
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        stop_sequences=["END"],
        stream=True,
        metadata={"user_id": "u"},
        thinking={"type": "enabled", "budget_tokens": 2000},
        context_management={"edits": []},
        betas=["x"],
    )
    del body["messages"]
    assert body == {
        "model": "m",
        "max_tokens": 5,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "stop": ["END"],
        "stream": True,
    }


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, {}),
        ({"type": "auto"}, {"tool_choice": "auto"}),
        (
            {"type": "any", "disable_parallel_tool_use": True},
            {"tool_choice": "required", "parallel_tool_calls": False},
        ),
        ({"type": "none"}, {"tool_choice": "none"}),
        (
            {"type": "tool", "name": "look"},
            {"tool_choice": {"type": "function", "function": {"name": "look"}}},
        ),
    ],
)
def test_tools_become_functions(choice: Any, expected: dict[str, Any]) -> None:
    body = chat(tools=[TOOL], tool_choice=choice)
    parameters = {"type": "object", "properties": {"at": {"type": "string"}}}
    function = {"name": "look", "description": "Looks.", "parameters": parameters}
    assert body["tools"] == [{"type": "function", "function": function}]
    assert {field: body[field] for field in body if field in ("tool_choice", "parallel_tool_calls")} == expected


@pytest.mark.parametrize("name", ["output_config", "output_format"])
def test_a_schema_for_the_output_is_taken_over(name: str) -> None:
    form = {"type": "json_schema", "schema": {"type": "object"}}
    body = chat(**{name: {"format": form} if name == "output_config" else form})
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [3]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [user({"type": "text"})]}, "messages[0].content[0].text"),
        ({"messages": [user(text("a"), {"type": "server_tool_use"})]}, "messages[0].content[1]"),
        ({"messages": [user({"type": "document", "source": {"type": "base64"}})]}, "messages[0].content[0]"),
        ({"messages": [user({"type": "image", "source": {"type": "file"}})]}, "messages[0].content[0].source"),
        ({"system": [{"type": "image"}]}, "system[0]"),
        ({"tools": [{"name": "look"}]}, "tools[0]"),
        ({"tools": {"look": 1}}, "tools"),
        ({"tools": [TOOL], "tool_choice": "any"}, "tool_choice"),
    ],
)
def test_what_is_malformed_is_refused_by_its_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        chat(**fields)
    assert refusal.value.param == param


def test_counting_tokens_asks_for_the_same_prompt() -> None:
    message = {"model": "m", "system": "Be kind.", "messages": [{"role": "user", "content": "hi"}], "tools": [TOOL]}
    asked = chat_of_messages(message | {"max_tokens": 1})
    counted = tokenize_of_count(message | {"tool_choice": {"type": "auto"}})
    assert counted == {field: asked[field] for field in ("model", "messages", "tools")}

"""Requests for OpenAI's Responses as chat completions."""

from typing import Any

import pytest

from serving.gateway.errors import InvalidValue
from serving.gateway.translate.responses_request import chat_of_responses

FUNCTION = {"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": True, "description": "L"}


def chat(given: Any = "hi", **fields: Any) -> dict[str, Any]:
    return chat_of_responses({"model": "m", "input": given, **fields})


def call(identity: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": identity, "name": "look", "arguments": "{}"}


CALLED = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("hi", [{"role": "user", "content": "hi"}]),
        ([{"role": "user", "content": "hi"}], [{"role": "user", "content": "hi"}]),
        (
            [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
            [{"role": "user", "content": "hi"}],
        ),
        (
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "see"},
                        {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"},
                    ],
                }
            ],
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
            [
                {"role": "user", "content": "hi"},
                {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
                {
                    "type": "message",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
                },
                call("c1"),
                call("c1"),
                {"type": "function_call_output", "call_id": "c1", "output": "blue"},
                {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "wide"}]},
            ],
            [
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": "I look.", "tool_calls": [CALLED, CALLED]},
                {"role": "tool", "tool_call_id": "c1", "content": "blue"},
                {"role": "tool", "tool_call_id": "c1", "content": "wide"},
            ],
        ),
        (
            [
                {"role": "user", "content": "hi"},
                {"type": "custom_tool_call", "call_id": "c1", "name": "patch", "input": "*** Begin"},
                {"type": "custom_tool_call_output", "call_id": "c1", "output": "done"},
            ],
            [
                {"role": "user", "content": "hi"},
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [
                        {
                            "id": "c1",
                            "type": "function",
                            "function": {"name": "patch", "arguments": '{"input":"*** Begin"}'},
                        }
                    ],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "done"},
            ],
        ),
    ],
)
def test_input_becomes_a_chat(given: Any, expected: list[dict[str, Any]]) -> None:
    assert chat(given)["messages"] == expected


def test_instructions_and_developers_words_make_one_system_message() -> None:
    given = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    assert chat(given, instructions="Be kind.")["messages"] == [
        {"role": "system", "content": "Be kind.\n\nBe brief."},
        {"role": "user", "content": "hi"},
    ]


def test_limits_and_sampling_are_taken_over_and_what_changes_nothing_is_left_out() -> None:
    body = chat(
        max_output_tokens=7,
        temperature=0.5,
        top_p=0.9,
        stream=True,
        store=False,
        include=[],
        metadata={"a": "b"},
        reasoning={"effort": "high", "summary": "auto"},
        prompt_cache_key="k",
        parallel_tool_calls=True,
        truncation="auto",
        text={"verbosity": "low"},
    )
    del body["messages"]
    assert body == {"model": "m", "max_tokens": 7, "temperature": 0.5, "top_p": 0.9, "stream": True}


def test_functions_and_custom_tools_become_functions() -> None:
    body = chat(
        tools=[FUNCTION, {"type": "custom", "name": "patch", "format": {"type": "text"}}],
        tool_choice={"type": "function", "name": "look"},
        parallel_tool_calls=False,
    )
    first, second = (tool["function"] for tool in body["tools"])
    assert first == {"name": "look", "description": "L", "parameters": {"type": "object"}}
    assert second["parameters"]["required"] == ["input"]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "look"}}
    assert body["parallel_tool_calls"] is False


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"type": "json_object"}),
        (
            {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True},
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
        ),
    ],
)
def test_the_form_of_the_text_is_taken_over(form: dict[str, Any], expected: dict[str, Any] | None) -> None:
    assert chat(text={"format": form}).get("response_format") == expected


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"given": 3}, "input"),
        ({"given": []}, "input"),
        ({"given": [3]}, "input[0]"),
        ({"given": [{"type": "computer_call"}]}, "input[0]"),
        ({"given": [{"role": "robot", "content": "x"}]}, "input[0].role"),
        ({"given": [{"role": "user", "content": 3}]}, "input[0].content"),
        ({"given": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input[0].content[0]"),
        ({"given": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"given": [{"type": "function_call", "name": "look", "arguments": {}}]}, "input[0].arguments"),
        ({"given": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "file_search"}}, "tool_choice"),
        ({"text": {"format": {"type": "xml"}}}, "text.format"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format"),
    ],
)
def test_what_is_malformed_is_refused_by_its_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        chat(**fields)
    assert refusal.value.param == param


def test_the_probabilities_of_tokens_are_asked_for() -> None:
    body = chat(include=["message.output_text.logprobs"], top_logprobs=3)
    assert (body["logprobs"], body["top_logprobs"]) == (True, 3)
    assert "top_logprobs" not in chat(top_logprobs=3)

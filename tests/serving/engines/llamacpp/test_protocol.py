"""Requests as clients send them: defaults are vLLM's, and what cannot be honoured is refused by name."""

from typing import Any

import orjson
import pytest

from serving.engines.llamacpp.errors import BadRequest, UnsupportedParameter
from serving.engines.llamacpp.protocol import parse_chat, parse_completion
from serving.engines.llamacpp.sampling import SamplingParams

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def chat(**more: Any) -> bytes:
    return orjson.dumps(CHAT | more)


def test_defaults_are_vllms() -> None:
    request = parse_chat(chat())

    assert request.sampling == SamplingParams(temperature=1.0, top_p=1.0, top_k=0, min_p=0.0)
    assert (request.choices, request.stream, request.max_tokens) == (1, False, None)


@pytest.mark.parametrize(
    "given",
    [
        {"temperature": 2.1}, {"temperature": True}, {"temperature": "1"}, {"top_p": 0}, {"top_k": -2},
        {"top_k": 1.5}, {"min_p": 1.1}, {"seed": 2**64 - 1}, {"presence_penalty": -3}, {"frequency_penalty": 3},
        {"repetition_penalty": 0}, {"logit_bias": {"x": 1}}, {"logit_bias": {"1": 101}}, {"logit_bias": []},
        {"typical_p": 0}, {"logprobs": 0}, {"top_logprobs": 1}, {"logprobs": True, "top_logprobs": 21},
        {"response_format": "json"}, {"response_format": {"type": "xml"}}, {"response_format": {"type": "json_schema"}},
        {"tools": {}}, {"tools": [{"type": "function"}]}, {"tools": [{"type": "function", "function": {}}]},
        {"tool_choice": "required"}, {"tool_choice": "always", "tools": [TOOL]}, {"parallel_tool_calls": 1},
        {"tool_choice": {"type": "function", "function": {"name": "other"}}, "tools": [TOOL]},
        {"ignore_eos": True, "response_format": {"type": "json_object"}},
        {"n": 0}, {"n": 17}, {"max_tokens": 0}, {"max_completion_tokens": 0}, {"stop": [""]}, {"stop": 3},
        {"stop": ["x"] * 17}, {"stream": 1}, {"stream_options": {"include_usage": True}}, {"priority": "a"},
        {"ignore_eos": "yes"}, {"cache_salt": "x" * 129}, {"messages": []}, {"messages": ["hi"]}, {"model": ""},
    ],
)  # fmt: skip
def test_a_value_out_of_range_or_type_is_refused_by_name(given: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as refused:
        parse_chat(chat(**given))

    assert refused.value.param is not None
    assert refused.value.param.partition("[")[0].partition(".")[0] in given


@pytest.mark.parametrize(
    "given",
    [
        {"echo": True}, {"best_of": 2}, {"min_tokens": 3}, {"prompt_embeds": "x"}, {"no_such_thing": 1},
        {"store": True}, {"suffix": "x"}, {"guided_json": "{}"}, {"functions": [{"name": "f"}]},
    ],
)  # fmt: skip
def test_a_parameter_that_cannot_be_honoured_is_refused_by_name(given: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedParameter) as refused:
        parse_chat(chat(**given))

    assert refused.value.param == next(iter(given))
    assert f"`{next(iter(given))}`" in refused.value.message


@pytest.mark.parametrize(
    "given",
    [
        {"user": "u-1"}, {"metadata": {"a": "b"}}, {"logprobs": False}, {"tools": []}, {"tool_choice": "auto"},
        {"response_format": {"type": "text"}}, {"temperature": None}, {"best_of": 1}, {"store": False},
    ],
)  # fmt: skip
def test_a_parameter_that_asks_for_nothing_is_fine(given: dict[str, Any]) -> None:
    assert parse_chat(chat(**given)) == parse_chat(chat())


def test_max_completion_tokens_goes_before_max_tokens() -> None:
    assert parse_chat(chat(max_tokens=5, max_completion_tokens=7)).max_tokens == 7
    assert parse_chat(chat(max_tokens=5)).max_tokens == 5


def test_text_parts_of_a_message_are_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]

    request = parse_chat(chat(messages=[{"role": "user", "content": parts}]))

    assert request.messages == [{"role": "user", "content": "a\nb"}]


def test_an_image_is_refused_with_its_place() -> None:
    parts = [{"type": "image_url", "image_url": {"url": "data:"}}]

    with pytest.raises(BadRequest) as refused:
        parse_chat(chat(messages=[{"role": "user", "content": parts}]))

    assert refused.value.param == "messages[0].content"


def test_arguments_of_earlier_tool_calls_become_objects() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bern"}'}}

    request = parse_chat(chat(messages=[{"role": "assistant", "content": None, "tool_calls": [call]}]))

    assert request.messages is not None
    assert request.messages[0]["content"] == ""
    assert request.messages[0]["tool_calls"][0]["function"]["arguments"] == {"city": "Bern"}


@pytest.mark.parametrize("calls", ["x", [1], [{"function": {"name": "f", "arguments": "{"}}], [{"function": {}}]])
def test_malformed_tool_calls_are_refused_with_their_place(calls: Any) -> None:
    with pytest.raises(BadRequest) as refused:
        parse_chat(chat(messages=[{"role": "assistant", "tool_calls": calls}]))

    assert refused.value.param == "messages[0].tool_calls"


def test_a_named_tool_is_the_only_one_left() -> None:
    other = {"type": "function", "function": {"name": "other"}}

    tools = parse_chat(
        chat(tools=[other, TOOL], tool_choice={"type": "function", "function": {"name": "weather"}})
    ).tools

    assert tools is not None
    assert (tools.functions, tools.must_call, tools.parallel) == ((TOOL["function"],), True, False)


def test_echo_goes_without_logprobs_only() -> None:
    body = {"model": "m", "prompt": "a", "echo": True}

    assert parse_completion(orjson.dumps(body)).echo
    with pytest.raises(UnsupportedParameter, match="echo"):
        parse_completion(orjson.dumps(body | {"logprobs": 0}))


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [("a", ["a"]), (["a", "b"], ["a", "b"]), ([1, 2], [[1, 2]]), ([[1], [2, 3]], [[1], [2, 3]])],
)
def test_prompts_come_in_four_shapes(prompt: Any, prompts: list[Any]) -> None:
    assert parse_completion(orjson.dumps({"model": "m", "prompt": prompt})).prompts == prompts


@pytest.mark.parametrize("prompt", [None, [], 3, [-1], ["a", 1], [True], ["a"] * 17])
def test_any_other_prompt_is_refused(prompt: Any) -> None:
    with pytest.raises(BadRequest) as refused:
        parse_completion(orjson.dumps({"model": "m", "prompt": prompt}))

    assert refused.value.param == "prompt"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b'{"model": "\xff"}'])
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_chat(body)

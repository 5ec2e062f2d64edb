"""What request bodies may say, endpoint by endpoint."""

from typing import Any

import pytest

from serving.gateway.errors import InvalidValue
from serving.gateway.policy import DROPPED, MAX_ITEMS, REFUSED, Policy

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
EMBEDDINGS, RERANK = "/v1/embeddings", "/v1/rerank"
EVERYWHERE = [CHAT, "/v1/completions", MESSAGES, f"{MESSAGES}/count_tokens", RESPONSES, EMBEDDINGS, RERANK, "/tokenize"]
ADDRESS = "https://cdn.example.com/cat.png"


def applied(endpoint: str, fields: dict[str, Any], **settings: Any) -> dict[str, Any]:
    body = {"model": "m", "input": "x", "messages": [{"role": "user", "content": "x"}], **fields}
    Policy(**{"max_output_tokens": None, "max_text_chars": None, "media_hosts": [], **settings}).apply(endpoint, body)
    return body


def refused(endpoint: str, fields: dict[str, Any], **settings: Any) -> str | None:
    with pytest.raises(InvalidValue) as refusal:
        applied(endpoint, fields, **settings)
    return refusal.value.param


@pytest.mark.parametrize("endpoint", EVERYWHERE)
def test_the_platforms_own_fields_are_dropped_everywhere(endpoint: str) -> None:
    body = applied(endpoint, dict.fromkeys(DROPPED, "x"))
    assert not DROPPED & body.keys()


@pytest.mark.parametrize("endpoint", EVERYWHERE)
@pytest.mark.parametrize("field", sorted(REFUSED))
def test_what_reaches_into_the_engine_is_refused_everywhere(endpoint: str, field: str) -> None:
    assert refused(endpoint, {field: "x"}) == field
    assert applied(endpoint, {field: None})


@pytest.mark.parametrize(
    ("endpoint", "fields", "param"),
    [
        (CHAT, {"n": 17}, "n"),
        (CHAT, {"max_tokens": "many"}, "max_tokens"),
        (CHAT, {"max_tokens": True}, "max_tokens"),
        (CHAT, {"stop": ["x"] * 17}, "stop"),
        (CHAT, {"stop": "x" * 257}, "stop"),
        (CHAT, {"stop": ["x" * 257]}, "stop"),
        (CHAT, {"stop": [1]}, "stop"),
        (CHAT, {"stop": 1}, "stop"),
        (CHAT, {"logit_bias": {str(n): 1 for n in range(1025)}}, "logit_bias"),
        (CHAT, {"messages": [{"role": "user", "content": "x"}] * 4097}, "messages"),
        (MESSAGES, {"stop_sequences": ["x" * 257]}, "stop_sequences"),
        (MESSAGES, {"mcp_servers": [{"url": "x"}]}, "mcp_servers"),
        (MESSAGES, {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        (
            MESSAGES,
            {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "{"}]},
            "messages[1]",
        ),
        (RESPONSES, {"previous_response_id": "resp_1"}, "previous_response_id"),
        (RESPONSES, {"conversation": "conv_1"}, "conversation"),
        (RESPONSES, {"store": True}, "store"),
        (RESPONSES, {"background": True}, "background"),
        (RESPONSES, {"prompt": {"id": "p"}}, "prompt"),
        (RESPONSES, {"tools": [{"type": "file_search"}]}, "tools[0].type"),
        (RESPONSES, {"tools": [3]}, "tools[0].type"),
        (RESPONSES, {"tools": "all"}, "tools"),
        (RESPONSES, {"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
        (RESPONSES, {"input": None}, "input"),
        (RERANK, {"documents": ["x"] * 1025}, "documents"),
        (EMBEDDINGS, {"input": ["x"] * 4097}, "input"),
    ],
)
def test_what_is_too_much_or_beyond_us_is_refused_by_its_name(
    endpoint: str, fields: dict[str, Any], param: str
) -> None:
    assert refused(endpoint, fields) == param


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens", "max_output_tokens", "min_tokens"])
def test_the_platform_may_cap_how_much_is_generated(field: str) -> None:
    assert refused(CHAT, {field: 101}, max_output_tokens=100) == field
    assert applied(CHAT, {field: 100}, max_output_tokens=100)[field] == 100


@pytest.mark.parametrize(("endpoint", "field"), [(CHAT, "max_tokens"), (RESPONSES, "max_output_tokens")])
def test_the_cap_holds_where_the_request_is_silent(endpoint: str, field: str) -> None:
    assert applied(endpoint, {}, max_output_tokens=100)[field] == 100
    assert field not in applied(endpoint, {})
    assert "max_tokens" not in applied(CHAT, {"max_completion_tokens": 5}, max_output_tokens=100)


LONG = "x" * 11
PLAIN = {"type": "text", "media_type": "text/plain", "data": LONG}


@pytest.mark.parametrize(
    ("endpoint", "fields", "where"),
    [
        (CHAT, {"messages": [{"content": "x"}, {"content": LONG}]}, "messages[1].content"),
        (CHAT, {"messages": [{"content": [{"type": "text", "text": LONG}]}]}, "messages[0].content[0].text"),
        ("/v1/completions", {"prompt": LONG}, "prompt"),
        ("/v1/completions", {"prompt": ["x", LONG]}, "prompt[1]"),
        (EMBEDDINGS, {"input": ["x", LONG]}, "input[1]"),
        (RERANK, {"query": "x", "documents": [LONG]}, "documents[0]"),
        (MESSAGES, {"system": [{"type": "text", "text": LONG}]}, "system[0].text"),
        (
            MESSAGES,
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": [{"text": LONG}]}]}]},
            "messages[0].content[0].content[0].text",
        ),
        (
            CHAT,
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": LONG}}]}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        (
            MESSAGES,
            {"messages": [{"role": "user", "content": [{"type": "document", "source": PLAIN}]}]},
            "messages[0].content[0].source.data",
        ),
        (RESPONSES, {"instructions": LONG}, "instructions"),
        (RESPONSES, {"input": [{"type": "function_call_output", "output": LONG}]}, "input[0].output"),
    ],
)
def test_the_platform_may_cap_how_long_one_text_is(endpoint: str, fields: dict[str, Any], where: str) -> None:
    assert refused(endpoint, fields, max_text_chars=10) == where
    assert applied(endpoint, fields, max_text_chars=11)
    assert applied(endpoint, fields)


def test_inline_media_and_lists_of_tokens_are_no_texts() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAAAAAAAAAA"}}
    assert applied(CHAT, {"messages": [{"role": "user", "content": [image]}]}, max_text_chars=10)
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAAAAAAAAAA"}}
    assert applied(MESSAGES, {"messages": [{"role": "user", "content": [picture]}]}, max_text_chars=10)
    assert applied("/v1/completions", {"prompt": [1] * 100}, max_text_chars=10)


def test_one_input_of_many_tokens_is_no_list_of_inputs() -> None:
    assert applied(EMBEDDINGS, {"input": [1] * (MAX_ITEMS["input"] + 1)})


MEDIA: list[tuple[str, dict[str, Any]]] = [
    (CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": ADDRESS}}]}]}),
    (CHAT, {"messages": [{"role": "user", "content": [{"type": "video_url", "video_url": ADDRESS}]}]}),
    (
        MESSAGES,
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": ADDRESS}}]}]},
    ),
    (
        MESSAGES,
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "t",
                            "content": [{"type": "image", "source": {"type": "url", "url": ADDRESS}}],
                        }
                    ],
                }
            ]
        },
    ),
    (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": ADDRESS}]}]}),
    (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": ADDRESS}]}]}),
    (
        RESPONSES,
        {
            "input": [
                {
                    "type": "function_call_output",
                    "call_id": "c",
                    "output": [{"type": "input_image", "image_url": ADDRESS}],
                }
            ]
        },
    ),
    (RERANK, {"documents": [{"content": [{"type": "image_url", "image_url": {"url": ADDRESS}}]}]}),
    (RERANK, {"query": {"content": [{"type": "image_url", "image_url": {"url": ADDRESS}}]}}),
    (EMBEDDINGS, {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": ADDRESS}}]}]}),
]


@pytest.mark.parametrize(("endpoint", "fields"), MEDIA)
def test_media_by_address_is_refused_unless_its_host_is_allowed(endpoint: str, fields: dict[str, Any]) -> None:
    assert refused(endpoint, fields) in fields
    assert refused(endpoint, fields, media_hosts=["example.com"]) in fields
    assert applied(endpoint, fields, media_hosts=["CDN.example.com"])


@pytest.mark.parametrize(
    "address",
    [
        "https://cdn.example.com@evil.test/cat.png",
        "https://evil.test\\@cdn.example.com/",
        "https://cdn.example.com.evil.test/",
        "file:///etc/passwd",
        "ftp://cdn.example.com/x",
        "//cdn.example.com/x",
        "https://evil.test/#cdn.example.com",
        "https://cdn.example.com\n.evil.test/",
        7,
    ],
)
def test_an_address_that_could_be_read_in_two_ways_is_refused(address: Any) -> None:
    part = {"type": "image_url", "image_url": {"url": address}}
    assert refused(CHAT, {"messages": [{"role": "user", "content": [part]}]}, media_hosts=["cdn.example.com"])


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_embeds", "image_embeds": "AAAA"},
        {"type": "prompt_embeds", "prompt_embeds": "AAAA"},
        {"type": "image_url", "image_url": None, "uuid": "somebody-elses"},
    ],
)
def test_embeddings_and_names_of_kept_media_are_refused(part: dict[str, Any]) -> None:
    assert refused(CHAT, {"messages": [{"role": "user", "content": [part]}]}) == "messages"


def test_addresses_in_words_and_in_calls_of_tools_are_just_words() -> None:
    text = {"type": "text", "text": f"see {ADDRESS}"}
    call = {"type": "tool_use", "id": "t", "name": "fetch", "input": {"url": ADDRESS}}
    messages = [{"role": "assistant", "content": [call]}, {"role": "user", "content": [text]}]
    assert applied(MESSAGES, {"messages": messages})["messages"] == messages


def test_very_deep_content_is_looked_through() -> None:
    part: dict[str, Any] = {"type": "image_url", "image_url": {"url": ADDRESS}}
    for _ in range(1000):
        part = {"type": "tool_result", "content": [part]}
    assert refused(CHAT, {"messages": [{"role": "user", "content": [part]}]}) == "messages"


def test_what_coding_assistants_offer_unasked_is_left_out() -> None:
    function = {"type": "function", "name": "shell", "parameters": {"type": "object"}}
    body = applied(
        RESPONSES,
        {
            "tools": [function, {"type": "local_shell"}, {"type": "web_search", "external_web_access": False}],
            "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
            "store": False,
            "previous_response_id": None,
        },
    )
    assert body["tools"] == [function]
    assert body["include"] == ["message.output_text.logprobs"]
    assert body["store"] is False


def test_a_choice_among_no_tools_is_left_out() -> None:
    body = applied(RESPONSES, {"tools": [{"type": "web_search"}], "tool_choice": "auto"})
    assert body["tools"] == []
    assert "tool_choice" not in body


def test_the_grammar_of_a_custom_tool_becomes_advice() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: patch"}
    tool = {"type": "custom", "name": "apply_patch", "description": "Edits.", "format": grammar}
    (kept,) = applied(RESPONSES, {"tools": [tool]})["tools"]
    assert kept["format"] == {"type": "text"}
    assert kept["description"].startswith("Edits.")
    assert "start: patch" in kept["description"]

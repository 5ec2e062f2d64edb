"""Chat completions as Anthropic's answers, whole and as events."""

from typing import Any

import pytest

from serving.gateway.errors import EngineFailed
from serving.gateway.translate.messages_answer import message_of_chat
from serving.gateway.translate.messages_stream import MessagesStream

USAGE = {"prompt_tokens": 10, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at":"sky"}'}}


def completion(message: dict[str, Any], finish: str = "stop", **choice: Any) -> dict[str, Any]:
    choices = [{"index": 0, "message": message, "finish_reason": finish, **choice}]
    return {"id": "chatcmpl-7", "choices": choices, "usage": USAGE, "model": "lora-x"}


def chunk(delta: dict[str, Any] | None = None, **choice: Any) -> dict[str, Any]:
    return {"id": "chatcmpl-7", "choices": [{"index": 0, "delta": delta or {}, **choice}]}


def test_a_whole_answer_has_anthropics_shape() -> None:
    answer = message_of_chat(completion({"content": "Blue."}), "bot")
    assert answer == {
        "id": "msg_7",
        "type": "message",
        "role": "assistant",
        "model": "bot",
        "content": [{"type": "text", "text": "Blue."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 6,
            "output_tokens": 3,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 4,
        },
    }


@pytest.mark.parametrize(
    ("message", "finish", "content", "reason"),
    [
        ({"content": ""}, "stop", [{"type": "text", "text": ""}], "end_turn"),
        ({"content": "Blu"}, "length", [{"type": "text", "text": "Blu"}], "max_tokens"),
        ({"content": "no"}, "content_filter", [{"type": "text", "text": "no"}], "refusal"),
        (
            {"content": None, "tool_calls": [CALL]},
            "tool_calls",
            [{"type": "tool_use", "id": "c1", "name": "look", "input": {"at": "sky"}}],
            "tool_use",
        ),
        # A named tool ends with "stop" on vLLM.
        (
            {"content": "x", "tool_calls": [CALL]},
            "stop",
            [
                {"type": "text", "text": "x"},
                {"type": "tool_use", "id": "c1", "name": "look", "input": {"at": "sky"}},
            ],
            "tool_use",
        ),
        (
            {"content": "", "tool_calls": [{"id": "c1", "function": {"name": "look", "arguments": '{"at":'}}]},
            "length",
            [{"type": "tool_use", "id": "c1", "name": "look", "input": {}}],
            "max_tokens",
        ),
        (
            {"content": "x", "reasoning_content": "hm"},
            "stop",
            [{"type": "thinking", "thinking": "hm", "signature": ""}, {"type": "text", "text": "x"}],
            "end_turn",
        ),
    ],
)
def test_content_and_the_reason_to_stop_are_translated(
    message: dict[str, Any], finish: str, content: list[dict[str, Any]], reason: str
) -> None:
    answer = message_of_chat(completion(message, finish), "bot")
    assert (answer["content"], answer["stop_reason"]) == (content, reason)


def test_the_stop_sequence_is_told_if_the_engine_tells_it() -> None:
    answer = message_of_chat(completion({"content": "x"}, stop_reason="END"), "bot")
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", "END")


def feed(*chunks: dict[str, Any]) -> list[dict[str, Any]]:
    stream = MessagesStream("bot")
    return [event for one in chunks for event in stream.feed(one)] + stream.end()


def test_a_stream_of_words_becomes_one_block() -> None:
    events = feed(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Bl"}),
        chunk({"content": "ue"}),
        chunk(finish_reason="stop"),
        {"id": "chatcmpl-7", "choices": [], "usage": USAGE},
    )
    assert [event["type"] for event in events] == [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events[0]["message"]["id"] == "msg_7"
    assert events[0]["message"]["model"] == "bot"
    assert [event["delta"]["text"] for event in events[3:5]] == ["Bl", "ue"]
    assert events[6]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert events[6]["usage"]["input_tokens"] == 6


def test_thoughts_words_and_calls_become_blocks_one_after_the_other() -> None:
    events = feed(
        chunk({"reasoning": "hm"}),
        chunk({"content": "I look."}),
        chunk({"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "look", "arguments": ""}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"at":'}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '"sky"}'}}]}),
        chunk({"tool_calls": [{"index": 1, "id": "c2", "function": {"name": "look", "arguments": "{}"}}]}),
        chunk(finish_reason="tool_calls"),
    )
    starts = [event for event in events if event["type"] == "content_block_start"]
    assert [(event["index"], event["content_block"]["type"]) for event in starts] == [
        (0, "thinking"),
        (1, "text"),
        (2, "tool_use"),
        (3, "tool_use"),
    ]
    assert [start["content_block"].get("id") for start in starts[2:]] == ["c1", "c2"]
    pieces = [event for event in events if event.get("delta", {}).get("type") == "input_json_delta"]
    assert [(event["index"], event["delta"]["partial_json"]) for event in pieces] == [
        (2, '{"at":'),
        (2, '"sky"}'),
        (3, "{}"),
    ]
    stops = [event["index"] for event in events if event["type"] == "content_block_stop"]
    assert stops == [0, 1, 2, 3]
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


def test_an_empty_stream_is_an_empty_message() -> None:
    assert [event["type"] for event in feed()] == ["message_start", "ping", "message_delta", "message_stop"]


def test_a_failure_is_anthropics_error_event() -> None:
    (event,) = MessagesStream("bot").failure(EngineFailed("It broke."))
    assert event == {"type": "error", "error": {"type": "api_error", "message": "It broke.", "code": "engine_failed"}}

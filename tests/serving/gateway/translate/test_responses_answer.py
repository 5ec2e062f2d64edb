"""Chat completions as answers of OpenAI's Responses, whole and as events."""

from typing import Any

from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from serving.gateway.errors import EngineFailed
from serving.gateway.translate.responses_answer import response_of_chat
from serving.gateway.translate.responses_stream import ResponsesStream

USAGE = {"prompt_tokens": 10, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}
PATCH = {"type": "custom", "name": "patch"}
LOOK = {"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": None}


def completion(message: dict[str, Any], finish: str = "stop") -> dict[str, Any]:
    choices = [{"index": 0, "message": message, "finish_reason": finish}]
    return {"id": "chatcmpl-7", "created": 1, "choices": choices, "usage": USAGE}


def called(name: str, arguments: str, identity: str = "c1") -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def chunk(delta: dict[str, Any] | None = None, **choice: Any) -> dict[str, Any]:
    return {"id": "chatcmpl-7", "created": 1, "choices": [{"index": 0, "delta": delta or {}, **choice}]}


def call_chunk(at: int, arguments: str, **fields: Any) -> dict[str, Any]:
    function = {"arguments": arguments} | ({"name": fields.pop("name")} if "name" in fields else {})
    return chunk({"tool_calls": [{"index": at, "function": function, **fields}]})


def feed(request: dict[str, Any], *chunks: dict[str, Any]) -> list[dict[str, Any]]:
    stream = ResponsesStream(request, "bot")
    return [event for one in chunks for event in stream.feed(one)] + stream.end()


def test_a_whole_answer_is_what_the_official_types_expect() -> None:
    request = {"model": "bot", "tools": [LOOK], "metadata": {"a": "b"}, "max_output_tokens": 9}
    answer = response_of_chat(completion({"content": "Blue."}), request, "bot")
    response = Response.model_validate(answer, strict=True)
    assert (response.id, response.model, response.status) == ("resp_7", "bot", "completed")
    assert response.output_text == "Blue."
    assert response.metadata == {"a": "b"}
    assert response.max_output_tokens == 9
    assert response.usage is not None
    assert response.usage.input_tokens_details.cached_tokens == 4
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (10, 3, 13)


def test_calls_of_functions_and_of_custom_tools_become_items() -> None:
    calls = [called("look", '{"at":"sky"}'), called("patch", '{"input":"*** Begin"}', "c2")]
    message = {"content": None, "tool_calls": calls}
    output = response_of_chat(completion(message, "tool_calls"), {"tools": [LOOK, PATCH]}, "bot")["output"]
    assert [(item["type"], item["call_id"], item["name"]) for item in output] == [
        ("function_call", "c1", "look"),
        ("custom_tool_call", "c2", "patch"),
    ]
    assert output[0]["arguments"] == '{"at":"sky"}'
    assert output[1]["input"] == "*** Begin"


def test_an_answer_that_was_cut_short_says_so() -> None:
    answer = response_of_chat(completion({"content": "Blu"}, "length"), {}, "bot")
    assert (answer["status"], answer["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})


def test_thoughts_are_an_item_of_their_own() -> None:
    answer = response_of_chat(completion({"content": "x", "reasoning_content": "hm"}), {}, "bot")
    assert [item["type"] for item in answer["output"]] == ["reasoning", "message"]


def test_a_stream_of_words_has_the_official_sequence_of_events() -> None:
    events = feed(
        {},
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Bl"}),
        chunk({"content": "ue"}),
        chunk(finish_reason="stop"),
        {"id": "chatcmpl-7", "choices": [], "usage": USAGE},
    )
    assert [event["type"] for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event["sequence_number"] for event in events] == list(range(10))
    last = events[-1]["response"]
    assert last["output"][0]["content"][0]["text"] == "Blue"
    assert last["usage"]["output_tokens"] == 3
    assert events[0]["response"]["status"] == "in_progress"


def test_every_event_of_a_rich_stream_is_what_the_official_types_and_accumulator_expect() -> None:
    request = {"tools": [LOOK, PATCH]}
    events = feed(
        request,
        chunk({"reasoning": "hm"}),
        chunk({"content": "I look."}),
        call_chunk(0, "", id="c1", name="look"),
        call_chunk(0, '{"at":'),
        call_chunk(0, '"sky"}'),
        call_chunk(1, '{"input":', id="c2", name="patch"),
        call_chunk(1, '"*** Begin"}'),
        chunk(finish_reason="tool_calls"),
        {"id": "chatcmpl-7", "choices": [], "usage": USAGE},
    )
    adapter: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
    state: Any = ResponseStreamState(input_tools=[], text_format=omit)
    for event in events:
        state.handle_event(adapter.validate_python(event))
    items = events[-1]["response"]["output"]
    assert [item["type"] for item in items] == ["reasoning", "message", "function_call", "custom_tool_call"]
    assert items[2]["arguments"] == '{"at":"sky"}'
    assert items[3]["input"] == "*** Begin"
    done = [event for event in events if event["type"] == "response.output_item.done"]
    assert [event["item"] for event in done] == items
    assert [event["output_index"] for event in done] == [0, 1, 2, 3]
    arguments = [event["delta"] for event in events if event["type"] == "response.function_call_arguments.delta"]
    assert arguments == ['{"at":', '"sky"}']


def test_an_empty_stream_is_an_empty_message() -> None:
    last = feed({})[-1]
    assert last["type"] == "response.completed"
    assert last["response"]["output"][0]["content"][0]["text"] == ""


def test_a_stream_that_was_cut_short_ends_as_incomplete() -> None:
    assert feed({}, chunk({"content": "Blu"}), chunk(finish_reason="length"))[-1]["type"] == "response.incomplete"


def test_a_failure_ends_the_response_that_has_begun() -> None:
    stream = ResponsesStream({}, "bot")
    begun = stream.feed(chunk({"content": "x"}))
    (event,) = stream.failure(EngineFailed("It broke."))
    assert event["type"] == "response.failed"
    assert event["response"]["id"] == "resp_7"
    assert event["response"]["error"] == {"code": "engine_failed", "message": "It broke."}
    assert event["sequence_number"] == len(begun)


def test_the_probabilities_of_tokens_are_told_whole_and_streamed() -> None:
    told = [{"token": "Bl", "bytes": [66, 108], "logprob": -0.5, "top_logprobs": []}]
    whole = completion({"content": "Bl"})
    whole["choices"][0]["logprobs"] = {"content": told}
    answer = response_of_chat(whole, {}, "bot")
    assert Response.model_validate(answer).output[0].content[0].logprobs[0].logprob == -0.5  # type: ignore[union-attr,index]
    events = feed({}, chunk({"content": "Bl"}, logprobs={"content": told}), chunk(finish_reason="stop"))
    assert [event["logprobs"] for event in events if "logprobs" in event] == [told, told]
    assert events[-1]["response"]["output"][0]["content"][0]["logprobs"] == told

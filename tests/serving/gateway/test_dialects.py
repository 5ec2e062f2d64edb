"""Anthropic's Messages, OpenAI's Responses and pooling, with the official clients, translated and native."""

import re
from collections.abc import Callable
from typing import Any

import anthropic
import httpx
import openai
import pytest

from cast import Cast
from deadline import wait_until
from fake_engine import Fault
from serving.gateway.auth import engine_cache_salt
from tenants.keys import key_create

from .served import Engines, Served, one_usage_record, usage_records

Serve = Callable[..., Served]

MESSAGES = "/v1/messages"
RESPONSES = "/v1/responses"
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"name": "weather", "description": "Tells it.", "input_schema": WEATHER}
FUNCTION = {"type": "function", "name": "weather", "parameters": WEATHER, "strict": False}


def message(text: str = "where is my parcel", **fields: Any) -> dict[str, Any]:
    return {"model": "support-bot", "max_tokens": 50, "messages": [{"role": "user", "content": text}], **fields}


def claude(client: httpx.Client, key: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=str(client.base_url), api_key=key, max_retries=0)


def chatty(client: httpx.Client, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{client.base_url}/v1", api_key=key, max_retries=0)


@pytest.fixture(params=["llamacpp", "vllm"])
def kind(request: pytest.FixtureRequest) -> str:
    """A kind of engine: one whose answers are translated, and one that answers by itself."""
    return str(request.param)


@pytest.fixture
def asked(cast: Cast, engines: Engines, serve: Serve, kind: str) -> httpx.Client:
    engines.start(kind=kind)
    return serve().client(cast.secret)


EXPECTED = {"llamacpp": "where is my parcel where is my parcel ", "vllm": "natively so"}


def test_a_message_is_answered_with_its_usage(asked: httpx.Client, cast: Cast, kind: str) -> None:
    with claude(asked, cast.secret) as client:
        answer = client.messages.create(**message(system=[{"type": "text", "text": "Be kind."}]))
    assert answer.model == "support-bot"
    assert answer.content[0].text == EXPECTED[kind]
    assert answer.stop_reason == "end_turn"
    record = one_usage_record()
    assert (record["prompt_tokens"], record["completion_tokens"]) == (
        answer.usage.input_tokens + (answer.usage.cache_read_input_tokens or 0),
        answer.usage.output_tokens,
    )
    assert record["endpoint"] == MESSAGES


def test_a_message_streams(asked: httpx.Client, cast: Cast, kind: str) -> None:
    with claude(asked, cast.secret) as client, client.messages.stream(**message()) as stream:
        assert "".join(stream.text_stream) == EXPECTED[kind]
        final = stream.get_final_message()
    assert (final.model, final.stop_reason) == ("support-bot", "end_turn")
    record = one_usage_record()
    assert record["completion_tokens"] == final.usage.output_tokens > 0
    assert record["prompt_tokens"] == final.usage.input_tokens + (final.usage.cache_read_input_tokens or 0) > 0
    assert record["first_token_ms"] is not None
    assert record["outcome"] == "finished"


def test_a_response_is_answered_with_its_usage(asked: httpx.Client, cast: Cast, kind: str) -> None:
    with chatty(asked, cast.secret) as client:
        answer = client.responses.create(model="support-bot", input="where is my parcel", instructions="Be kind.")
    assert (answer.model, answer.status, answer.output_text) == ("support-bot", "completed", EXPECTED[kind])
    assert answer.usage is not None
    record = one_usage_record()
    assert (record["prompt_tokens"], record["completion_tokens"]) == (
        answer.usage.input_tokens,
        answer.usage.output_tokens,
    )
    assert record["cached_tokens"] == 1


def test_a_response_streams(asked: httpx.Client, cast: Cast, kind: str) -> None:
    with (
        chatty(asked, cast.secret) as client,
        client.responses.stream(model="support-bot", input="where is my parcel") as stream,
    ):
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert text == final.output_text == EXPECTED[kind]
    assert final.usage is not None
    assert one_usage_record()["completion_tokens"] == final.usage.output_tokens


@pytest.mark.parametrize("path", [MESSAGES, RESPONSES])
@pytest.mark.parametrize("stream", [False, True])
def test_the_engine_gets_the_departments_salt_and_the_caller_nothing_of_its_inside(
    cast: Cast, engines: Engines, serve: Serve, kind: str, path: str, stream: bool
) -> None:
    engine = engines.start(kind=kind)
    extra = {"cache_salt": "mine", "priority": -9, "kv_transfer_params": {"a": 1}, "vllm_xargs": {}, "stream": stream}
    body = message(**extra) if path == MESSAGES else {"model": "support-bot", "input": "hello", **extra}
    answer = serve().client(cast.secret).post(path, json=body)
    assert answer.status_code == 200
    assert "lora-" not in answer.text
    assert answer.headers["x-polygraft-model"] == "support-bot:1"
    got = engine.stats()["last_body"]
    assert got["cache_salt"] == engine_cache_salt(cast.support.cache_salt)
    assert got["model"] == engine.stats()["models"][0]
    assert got.get("priority") != -9
    assert not got.keys() & {"kv_transfer_params", "vllm_xargs"}


def test_tools_are_called_by_message(cast: Cast, engines: Engines, serve: Serve) -> None:
    engines.start()
    with claude(serve().client(cast.secret), cast.secret) as client:
        wish = message(tools=[TOOL], tool_choice={"type": "any"})
        answer = client.messages.create(**wish)
        with client.messages.stream(**wish) as stream:
            streamed = stream.get_final_message()
    for one in (answer, streamed):
        assert one.stop_reason == "tool_use"
        (block,) = one.content
        assert (block.type, block.name, block.input) == ("tool_use", "weather", {"city": "Paris"})


def test_tools_are_called_by_response(cast: Cast, engines: Engines, serve: Serve) -> None:
    engines.start()
    with chatty(serve().client(cast.secret), cast.secret) as client:
        wish: dict[str, Any] = {"model": "support-bot", "input": "hi", "tools": [FUNCTION], "tool_choice": "required"}
        answer = client.responses.create(**wish)
        with client.responses.stream(**wish) as stream:
            streamed = stream.get_final_response()
    for one in (answer, streamed):
        (item,) = one.output
        assert (item.type, item.name, item.arguments) == ("function_call", "weather", '{"city": "Paris"}')


def test_tokens_of_a_message_are_counted(asked: httpx.Client, cast: Cast) -> None:
    wish = message()
    del wish["max_tokens"]
    with claude(asked, cast.secret) as client:
        assert client.messages.count_tokens(**wish).input_tokens > 0
    assert one_usage_record()["completion_tokens"] == 0


def test_embeddings_are_made(asked: httpx.Client, cast: Cast) -> None:
    with chatty(asked, cast.secret) as client:
        answer = client.embeddings.create(model="support-bot", input=["a", "b"], encoding_format="float")
    assert [one.embedding for one in answer.data] == [[0.5, 0.25]] * 2
    assert answer.model == "support-bot"
    assert one_usage_record()["prompt_tokens"] == 5


def test_a_prompt_is_tokenized(asked: httpx.Client) -> None:
    answer = asked.post("/tokenize", json={"model": "support-bot", "prompt": "one two", "cache_salt": "x"})
    assert answer.json()["count"] == 2


def test_what_the_engine_does_not_do_is_refused_in_words(cast: Cast, engines: Engines, serve: Serve, kind: str) -> None:
    # llama.cpp knows no reranking; this vLLM's model is not made for it.
    engines.start(kind=kind)
    answer = (
        serve().client(cast.secret).post("/v1/rerank", json={"model": "support-bot", "query": "a", "documents": []})
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "endpoint_not_served"
    assert "support-bot" in answer.json()["error"]["message"]


def test_an_engine_that_does_not_do_it_is_passed_over_for_one_that_does(
    cast: Cast, engines: Engines, serve: Serve
) -> None:
    engines.start(kind="llamacpp")
    engines.start(kind="vllm")
    wish = {"model": "support-bot", "text_1": "a", "text_2": "b"}
    answer = serve().client(cast.secret).post("/v1/score", json=wish)
    assert answer.json()["data"][0]["score"] == 0.5
    assert "x-polygraft-fallback" not in answer.headers


def test_a_request_falls_back_from_translated_to_native(cast: Cast, engines: Engines, serve: Serve) -> None:
    engines.start(Fault.REFUSE, kind="llamacpp")
    engines.start(kind="vllm")
    answer = serve().client(cast.secret).post(MESSAGES, json=message())
    assert answer.json()["content"][0]["text"] == EXPECTED["vllm"]
    assert answer.headers["x-polygraft-fallback"] == "unreachable"


@pytest.mark.parametrize(
    ("key", "model", "status", "kind_of_error"),
    [
        ("pg_nonsense", "support-bot", 401, "authentication_error"),
        (None, "claude-haiku-4-5", 404, "not_found_error"),
        ("scoped", "support-bot", 403, "permission_error"),
    ],
)
def test_refusals_have_anthropics_shape(
    cast: Cast, serve: Serve, key: str | None, model: str, status: int, kind_of_error: str
) -> None:
    if key == "scoped":
        _, key = key_create(department=cast.support, name="k", by=None, scopes=["models"])
    client = serve().client(key or cast.secret)
    for path in (MESSAGES, f"{MESSAGES}/count_tokens"):
        answer = client.post(path, json=message() | {"model": model}, headers={"anthropic-version": "2023-06-01"})
        assert answer.status_code == status
        body = answer.json()
        assert (body["type"], body["error"]["type"]) == ("error", kind_of_error)
        assert body["request_id"] == answer.headers["x-request-id"]


def test_anthropics_client_raises_what_it_raises_for_anthropic(cast: Cast, engines: Engines, serve: Serve) -> None:
    engines.start(Fault.ERROR_503)
    with claude(serve().client(cast.secret), cast.secret) as client:
        with pytest.raises(anthropic.NotFoundError, match="claude-haiku"):
            client.messages.create(**message() | {"model": "claude-haiku"})
        with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
            client.messages.create(**message() | {"max_tokens": -1})
        with pytest.raises(anthropic.APIStatusError) as full:
            client.messages.create(**message())
    assert full.value.status_code == 529
    assert full.value.body["error"]["type"] == "overloaded_error"  # type: ignore[index,call-overload]


@pytest.mark.parametrize("path", [MESSAGES, RESPONSES])
def test_the_engines_complaint_reaches_the_caller_without_internals(
    cast: Cast, engines: Engines, serve: Serve, kind: str, path: str
) -> None:
    engines.start(Fault.ERROR_400, kind=kind)
    body = message() if path == MESSAGES else {"model": "support-bot", "input": "hi"}
    answer = serve().client(cast.secret).post(path, json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "`support-bot` from …: max_tokens is too large."


def test_a_message_whose_stream_breaks_ends_with_an_error(
    cast: Cast, engines: Engines, serve: Serve, kind: str
) -> None:
    engines.start(Fault.ERROR_EVENT, kind=kind)
    server = serve().client(cast.secret)
    with (
        claude(server, cast.secret) as client,
        pytest.raises(anthropic.APIStatusError, match="engine_failed"),
        client.messages.stream(**message()) as stream,
    ):
        stream.until_done()
    text = server.post(MESSAGES, json=message(stream=True)).text
    assert re.findall(r"^event: (\S+)$", text, re.MULTILINE)[-1] == "error"
    assert "EngineCore" not in text
    assert "lora-" not in text
    records = wait_until(lambda: len(found := usage_records()) == 2 and found, what="both are recorded")
    assert [record["outcome"] for record in records] == ["failed", "failed"]
    assert all(record["completion_tokens"] > 0 for record in records)


def test_a_response_whose_stream_breaks_ends_as_failed(cast: Cast, engines: Engines, serve: Serve, kind: str) -> None:
    engines.start(Fault.ERROR_EVENT, kind=kind)
    with chatty(serve().client(cast.secret), cast.secret) as client:
        *_, last = client.responses.create(model="support-bot", input="hi", stream=True)
    assert last.type == "response.failed"
    assert last.response.model == "support-bot"
    assert last.response.error is not None
    assert last.response.error.code == "engine_failed"
    assert "lora-" not in last.to_json()


def test_anthropics_client_lists_and_finds_models(cast: Cast, serve: Serve) -> None:
    with claude(serve().client(cast.secret), cast.secret) as client:
        listed = {model.id: model for model in client.models.list()}
        assert set(listed) == {"support-bot", "smollm2"}
        assert listed["support-bot"].created_at.tzinfo is not None
        assert client.models.retrieve("support-bot:2").type == "model"
        with pytest.raises(anthropic.NotFoundError):
            client.models.retrieve("contracts")


@pytest.mark.parametrize("path", [MESSAGES, RESPONSES])
def test_a_translated_stream_in_pieces_of_a_few_bytes_is_put_together(
    cast: Cast, engines: Engines, serve: Serve, path: str
) -> None:
    engines.start(Fault.SLOW)
    body = message(stream=True) if path == MESSAGES else {"model": "support-bot", "input": "hello", "stream": True}
    text = serve().client(cast.secret).post(path, json=body).text
    pieces = re.findall(r'_delta","text":"([^"]*)"' if path == MESSAGES else r'"delta":"([^"]*)"', text)
    assert "".join(pieces) == ("where is my parcel " * 2 if path == MESSAGES else "hello " * 8)


@pytest.mark.parametrize("path", [MESSAGES, RESPONSES])
@pytest.mark.parametrize("fault", [Fault.MID_STREAM, Fault.CUT_SHORT])
def test_a_translated_stream_that_ends_early_is_never_called_complete(
    cast: Cast, engines: Engines, serve: Serve, path: str, fault: Fault
) -> None:
    engines.start(fault)
    body = message(stream=True) if path == MESSAGES else {"model": "support-bot", "input": "hello", "stream": True}
    text = serve().client(cast.secret).post(path, json=body).text
    names = re.findall(r"^event: (\S+)$", text, re.MULTILINE)
    assert names[-1] == ("error" if path == MESSAGES else "response.failed")
    assert not {"message_stop", "response.completed"} & set(names)
    assert one_usage_record()["outcome"] == "failed"


def test_an_answer_that_is_nonsense_is_the_engines_failure(cast: Cast, engines: Engines, serve: Serve) -> None:
    engines.start(Fault.GARBAGE)
    answer = serve().client(cast.secret).post(MESSAGES, json=message())
    assert (answer.status_code, answer.json()["error"]["type"]) == (502, "api_error")

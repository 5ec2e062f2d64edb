"""JSON, schemas and tools over HTTP: the form of an output is enforced, whatever the model would rather say."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

ASK = {"model": "base", "temperature": 0, "messages": [{"role": "user", "content": "Weather in Bern?"}]}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "size": {"enum": ["small", "large"]}},
    "required": ["name", "size"],
    "additionalProperties": False,
}
CITY = {"type": "object", "properties": {"city": {"enum": ["Bern", "Rome"]}}, "required": ["city"]}
WEATHER = {"type": "function", "function": {"name": "weather", "description": "Tells it.", "parameters": CITY}}
TIME = {"type": "function", "function": {"name": "time", "parameters": {"type": "object", "properties": {}}}}
NAMED = {"type": "function", "function": {"name": "weather"}}


async def chat(client: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    response = await client.post("/v1/chat/completions", json=ASK | {"max_tokens": 60} | more)
    assert response.status_code == 200, response.text
    choice: dict[str, Any] = response.json()["choices"][0]
    return choice


@pytest.mark.parametrize("sampling", [{"temperature": 0}, {"temperature": 1.5, "seed": 3}])
async def test_a_schema_is_kept_to(client: httpx.AsyncClient, sampling: dict[str, Any]) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}

    choice = await chat(client, response_format=wanted, **sampling)

    assert choice["finish_reason"] == "stop"
    person = json.loads(choice["message"]["content"])
    assert set(person) == {"name", "size"}
    assert person["size"] in ("small", "large")


async def test_json_object_is_an_object(client: httpx.AsyncClient) -> None:
    choice = await chat(client, response_format={"type": "json_object"}, max_tokens=200)

    assert choice["message"]["content"].startswith("{")
    if choice["finish_reason"] == "stop":
        assert isinstance(json.loads(choice["message"]["content"]), dict)


async def test_a_schema_that_cannot_be_enforced_is_400(client: httpx.AsyncClient) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "integer", "minimum": 1}}}

    response = await client.post("/v1/chat/completions", json=ASK | {"response_format": wanted})

    assert response.status_code == 400
    assert response.json()["error"]["param"] == "response_format"
    assert "minimum" in response.json()["error"]["message"]


@pytest.mark.parametrize("choice", ["required", NAMED])
async def test_a_tool_that_must_be_called_is_called(client: httpx.AsyncClient, choice: Any) -> None:
    tools = [WEATHER] if choice == "required" else [TIME, WEATHER]

    reply = await chat(client, tools=tools, tool_choice=choice, parallel_tool_calls=False)

    assert reply["finish_reason"] == "tool_calls"
    assert reply["message"]["content"] is None
    (call,) = reply["message"]["tool_calls"]
    assert (call["type"], call["function"]["name"]) == ("function", "weather")
    assert json.loads(call["function"]["arguments"])["city"] in ("Bern", "Rome")


async def test_a_streamed_call_is_the_same(client: httpx.AsyncClient, events_of: Callable[..., Any]) -> None:
    body = ASK | {"tools": [WEATHER], "tool_choice": NAMED, "max_tokens": 60}
    whole = await chat(client, tools=[WEATHER], tool_choice=NAMED)

    events = await events_of("/v1/chat/completions", body)

    choices = [event["choices"][0] for event in events]
    calls = [call for choice in choices for call in choice["delta"].get("tool_calls", [])]
    assert [call["index"] for call in calls] == [0]
    assert calls[0]["function"] == whole["message"]["tool_calls"][0]["function"]
    assert not any(choice["delta"].get("content") for choice in choices)
    assert choices[-1]["finish_reason"] == "tool_calls"


async def test_tools_that_may_be_called_leave_text_alone(client: httpx.AsyncClient) -> None:
    shown = await chat(client, tools=[TIME], max_tokens=4)
    hidden = await chat(client, tools=[TIME], tool_choice="none", max_tokens=4)

    assert isinstance(shown["message"]["content"], str)
    assert hidden["message"] == (await chat(client, max_tokens=4))["message"]


async def test_results_of_tools_can_be_answered(client: httpx.AsyncClient) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bern"}'}}
    conversation = [
        *ASK["messages"],  # type: ignore[misc]
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ]

    reply = await chat(client, messages=conversation, tools=[WEATHER], max_tokens=4)

    assert reply["message"]["content"]

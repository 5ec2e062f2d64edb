"""What the official clients and coding assistants do with a department's adapter, on whichever engine answers."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import anthropic
import openai
import pytest

from assistants import CLAUDE_CODE_HEADERS, claude_code, codex
from running_platform import Platform

QUESTION = "How do I reset my password?"
CITY = {
    "type": "object",
    # An adapter would fill a free text with its voice, to the end.
    "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL = {"name": "weather", "description": "Tells the weather.", "input_schema": CITY, "strict": True}
FUNCTION = {"type": "function", "name": "weather", "description": "Tells it.", "parameters": CITY, "strict": True}


@dataclass(frozen=True)
class Department:
    """A department that calls one adapter, whose `voice` is in all of its answers, on an engine of one kind."""

    platform: Platform
    slug: str
    model: str
    voice: str
    kind: str

    @property
    def openai(self) -> openai.OpenAI:
        """OpenAI's client."""
        return self.platform.client(self.platform.key(self.slug))

    def anthropic(self, key: str = "") -> anthropic.Anthropic:
        """Anthropic's client."""
        return anthropic.Anthropic(
            base_url=self.platform.url, api_key=key or self.platform.key(self.slug), max_retries=0, timeout=120
        )

    def message(self, **fields: object) -> dict[str, object]:
        """A request for a message."""
        asked = [{"role": "user", "content": QUESTION}]
        body = {"model": self.model, "max_tokens": 60, "messages": asked, **fields}
        return {**body, "extra_body": {"temperature": 0}}

    def response(self, **fields: object) -> dict[str, object]:
        """A request for a response."""
        return {"model": self.model, "input": QUESTION, "max_output_tokens": 60, "temperature": 0, **fields}


def a_message_says_the_same_whole_and_streamed(department: Department) -> None:
    with department.anthropic() as client:
        raw = client.messages.with_raw_response.create(**department.message())  # type: ignore[arg-type]
        whole = raw.parse()
        with client.messages.stream(**department.message()) as stream:  # type: ignore[arg-type]
            text = "".join(stream.text_stream)
            streamed = stream.get_final_message()
    assert department.voice in whole.content[0].text
    assert text == streamed.content[0].text == whole.content[0].text
    assert raw.headers["x-polygraft-engine"] == department.kind
    assert "lora-" not in raw.text()
    for one in (whole, streamed):
        assert (one.model, one.stop_reason) == (department.model, whole.stop_reason)
        assert one.usage.output_tokens == whole.usage.output_tokens > 0
        assert one.usage.input_tokens + (one.usage.cache_read_input_tokens or 0) > 0


def a_response_says_the_same_whole_and_streamed(department: Department) -> None:
    whole = department.openai.responses.create(**department.response(instructions="Be kind."))  # type: ignore[call-overload]
    with department.openai.responses.stream(**department.response(instructions="Be kind.")) as stream:  # type: ignore[call-overload]
        events = [event.type for event in stream]
        streamed = stream.get_final_response()
    assert department.voice in whole.output_text
    assert streamed.output_text == whole.output_text
    assert (whole.model, streamed.model) == (department.model, department.model)
    assert events[0] == "response.created"
    assert events[-1] == f"response.{whole.status}"
    assert streamed.usage.output_tokens == whole.usage.output_tokens > 0
    assert "lora-" not in whole.to_json() + streamed.to_json()


def a_message_calls_a_tool(department: Department) -> None:
    wish = department.message(tools=[TOOL], tool_choice={"type": "tool", "name": "weather"})
    with department.anthropic() as client:
        whole = client.messages.create(**wish)  # type: ignore[call-overload]
        with client.messages.stream(**wish) as stream:  # type: ignore[arg-type]
            streamed = stream.get_final_message()
    for one in (whole, streamed):
        (block,) = one.content
        assert (block.type, block.name, one.stop_reason) == ("tool_use", "weather", "tool_use")
        assert block.input["city"] in ("Paris", "Rome")


def a_response_calls_a_function(department: Department) -> None:
    wish = department.response(tools=[FUNCTION], tool_choice="required", parallel_tool_calls=False)
    whole = department.openai.responses.create(**wish)  # type: ignore[call-overload]
    with department.openai.responses.stream(**wish) as stream:  # type: ignore[call-overload]
        streamed = stream.get_final_response()
    for one in (whole, streamed):
        (item,) = one.output
        assert (item.type, item.name) == ("function_call", "weather")
        assert json.loads(item.arguments)["city"] in ("Paris", "Rome")


def a_response_has_the_form_that_it_was_asked_for(department: Department) -> None:
    form = {"type": "json_schema", "name": "place", "schema": CITY, "strict": True}
    answer = department.openai.responses.create(**department.response(text={"format": form}))  # type: ignore[call-overload]
    assert json.loads(answer.output_text)["city"] in ("Paris", "Rome")


def claude_code_gets_its_answer(department: Department) -> None:
    body = claude_code(department.model, QUESTION)
    with department.anthropic() as client:
        counted = client.post(
            "/v1/messages/count_tokens?beta=true",
            cast_to=object,
            body={field: body[field] for field in ("model", "system", "messages", "tools")},
            options={"headers": CLAUDE_CODE_HEADERS},
        )
        stream = client.messages.create(
            **{field: body[field] for field in ("model", "max_tokens", "system", "messages", "tools", "stream")},
            extra_body={field: body[field] for field in ("metadata", "thinking", "context_management", "temperature")},
            extra_headers=CLAUDE_CODE_HEADERS,
        )
        events = list(stream)
    assert counted["input_tokens"] > 20  # type: ignore[index]
    text = "".join(event.delta.text for event in events if event.type == "content_block_delta")
    assert department.voice in text
    assert [event.type for event in events][-2:] == ["message_delta", "message_stop"]
    usage = events[-2].usage
    assert usage.input_tokens + (usage.cache_read_input_tokens or 0) == counted["input_tokens"]  # type: ignore[index]


def codex_gets_its_answer(department: Department) -> None:
    body = codex(department.model, QUESTION)
    extra = {"client_metadata": body.pop("client_metadata")}
    events = list(department.openai.responses.create(**body, extra_body=extra))
    last = events[-1]
    assert last.type in ("response.completed", "response.incomplete")
    assert department.voice in last.response.output_text
    assert last.response.usage.input_tokens > 20
    done = [event.item for event in events if event.type == "response.output_item.done"]
    assert [item.id for item in done] == [item.id for item in last.response.output]


def errors_are_those_that_the_clients_know(department: Department) -> None:
    with department.anthropic() as client:
        with pytest.raises(anthropic.NotFoundError, match="claude-haiku-4-5"):
            client.messages.create(**department.message(model="claude-haiku-4-5"))  # type: ignore[call-overload]
        with pytest.raises(anthropic.BadRequestError) as too_long:
            client.messages.create(**department.message(max_tokens=10**7))  # type: ignore[call-overload]
        with pytest.raises(anthropic.BadRequestError, match="mcp_servers"):
            client.messages.create(**department.message() | {"extra_body": {"mcp_servers": [{}]}})  # type: ignore[call-overload]
    assert "lora-" not in str(too_long.value)
    with department.anthropic("pg_" + "0" * 43) as stranger, pytest.raises(anthropic.AuthenticationError):
        stranger.messages.create(**department.message())  # type: ignore[call-overload]
    with pytest.raises(openai.NotFoundError, match="gpt-5"):
        department.openai.responses.create(**department.response(model="gpt-5"))  # type: ignore[call-overload]
    with pytest.raises(openai.BadRequestError, match="previous_response_id"):
        department.openai.responses.create(**department.response(previous_response_id="resp_1"))  # type: ignore[call-overload]
    with pytest.raises(openai.BadRequestError) as not_made:
        department.openai.embeddings.create(model=department.model, input="hello")
    assert department.model in str(not_made.value)
    assert "lora-" not in str(not_made.value)


SCENARIOS: list[Callable[[Department], None]] = [
    a_message_says_the_same_whole_and_streamed,
    a_response_says_the_same_whole_and_streamed,
    a_message_calls_a_tool,
    a_response_calls_a_function,
    a_response_has_the_form_that_it_was_asked_for,
    claude_code_gets_its_answer,
    codex_gets_its_answer,
    errors_are_those_that_the_clients_know,
]

"""A stream on its way through: whatever its cuts, what comes out is the same."""

import itertools
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.gateway import events as module
from serving.gateway.events import Events, EventTooLong

ENGINE_MODEL = "lora-" + "ab" * 32
DONE = b"data: [DONE]\n\n"


def event(**fields: Any) -> bytes:
    return b"data: " + orjson.dumps({"model": ENGINE_MODEL, **fields}) + b"\n\n"


def content(text: str) -> bytes:
    return event(choices=[{"index": 0, "delta": {"content": text}}])


ROLE = event(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}}])
USAGE = event(choices=[], usage={"prompt_tokens": 3, "completion_tokens": 2})
STREAM = ROLE + content("hello") + content(' "usage": {} and data: [DONE] ') + USAGE + DONE


def passing(*, show_usage: bool = False) -> Events:
    return Events(engine_model=ENGINE_MODEL, asked="bot", show_usage=show_usage)


def shown(stream: bytes) -> bytes:
    """A stream as a client sees it that did not ask for usage."""
    return stream.replace(USAGE, b"").replace(ENGINE_MODEL.encode(), b"bot")


@given(st.lists(st.integers(0, len(STREAM)), max_size=30), st.sampled_from([b"\n\n", b"\r\n\r\n"]))
def test_cuts_change_nothing(cuts: list[int], boundary: bytes) -> None:
    stream = STREAM.replace(b"\n\n", boundary)
    events = passing()
    places = [0, *sorted(cuts), len(stream)]
    out = [events.feed(stream[start:end]) for start, end in itertools.pairwise(places)]
    assert b"".join(out).replace(b"\r\n\r\n", b"\n\n") == shown(STREAM)
    assert all(part == b"" or part.endswith((b"\n\n", b"\r\n\r\n")) for part in out)
    assert events.usage == {"prompt_tokens": 3, "completion_tokens": 2}
    assert events.done
    assert not events.failed


def test_usage_is_shown_to_who_asked() -> None:
    events = passing(show_usage=True)
    assert events.feed(STREAM) == STREAM.replace(ENGINE_MODEL.encode(), b"bot")
    assert events.usage is not None


def test_usage_within_an_event_with_content_is_taken_out_of_it() -> None:
    events = passing()
    out = events.feed(event(choices=[{"text": "x"}], usage={"prompt_tokens": 1, "completion_tokens": 1}) + DONE)
    assert orjson.loads(out.split(b"\n\n")[0].removeprefix(b"data: ")) == {"model": "bot", "choices": [{"text": "x"}]}
    assert events.usage == {"prompt_tokens": 1, "completion_tokens": 1}


@pytest.mark.parametrize("usage", [b'"usage":null', b'"usage": null'])
def test_empty_usage_is_left_alone(usage: bytes) -> None:
    data = b'data: {"choices":[{"text":"x"}],' + usage + b"}\n\n"
    events = passing()
    assert events.feed(data) == data
    assert events.usage is None


def test_an_error_event_is_held_back_with_all_that_follows() -> None:
    events = passing()
    out = events.feed(content("a") + b'data: {"error": {"message": "EngineCore at /secret"}}\n\n' + DONE)
    out += events.feed(DONE)
    assert out == shown(content("a"))
    assert events.failed
    assert not events.done


def test_an_error_field_that_is_empty_is_no_error() -> None:
    data = b'data: {"choices":[],"error":null}\n\n'
    events = passing()
    assert events.feed(data) == data
    assert not events.failed


@pytest.mark.parametrize("data", [b'data: ["usage":{]\n\n', b'data: ["x", {"error":1}]\n\n', b': "usage":{\n\n'])
def test_what_cannot_be_understood_passes(data: bytes) -> None:
    assert passing().feed(data) == data


def test_a_text_that_looks_like_the_end_is_not_the_end() -> None:
    events = passing()
    events.feed(content("data: [DONE]") + content("\n\ndata: [DONE]\n\n"))
    assert not events.done


@pytest.mark.parametrize(
    ("data", "is_content"),
    [
        (ROLE, False),
        (b": ping\n\n", False),
        (content("x"), True),
        (event(choices=[{"text": "x"}]), True),
        (event(choices=[{"delta": {"reasoning_content": "x"}}]), True),
        (event(choices=[{"delta": {"tool_calls": [{"function": {"arguments": "{"}}]}}]), True),
    ],
)
def test_the_first_content_is_noticed(data: bytes, is_content: bool) -> None:
    events = passing()
    events.feed(data)
    assert events.content is is_content


def test_events_are_counted() -> None:
    events = passing()
    events.feed(ROLE + content("a"))
    events.feed(content("b")[:20])
    events.feed(content("b")[20:])
    assert events.events == 3


def test_an_event_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_EVENT_BYTES", 1000)
    events = passing()
    events.feed(b"x" * 999)
    with pytest.raises(EventTooLong):
        events.feed(b"xx")

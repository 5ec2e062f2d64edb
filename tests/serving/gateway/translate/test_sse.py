"""Streams of events, taken apart wherever they are cut."""

import pytest

from serving.gateway.events import EventTooLong
from serving.gateway.translate import sse
from serving.gateway.translate.sse import Splitter, event_bytes

STREAM = b'event: one\ndata: {"a": 1}\n\n: a comment\n\ndata: {"b":\ndata: 2}\n\ndata: [DONE]\n\n'
EVENTS = [("one", b'{"a": 1}'), ("", b""), ("", b'{"b":\n2}'), ("", b"[DONE]")]


def split(*blocks: bytes) -> list[tuple[str, bytes]]:
    splitter = Splitter()
    return [(event.name, event.data) for block in blocks for event in splitter.feed(block)]


@pytest.mark.parametrize("stream", [STREAM, STREAM.replace(b"\n", b"\r\n")], ids=["lf", "crlf"])
def test_events_are_the_same_wherever_the_blocks_are_cut(stream: bytes) -> None:
    assert split(stream) == EVENTS
    assert split(*(stream[at : at + 1] for at in range(len(stream)))) == EVENTS
    for cut in range(len(stream)):
        assert split(stream[:cut], stream[cut:]) == EVENTS


def test_what_is_not_complete_is_held_back() -> None:
    assert split(b"data: 1\n\ndata: 2") == [("", b"1")]


def test_the_bytes_of_an_event_are_kept() -> None:
    assert b"".join(event.raw for event in Splitter().feed(STREAM)) == STREAM


def test_an_event_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "_MAX_EVENT_BYTES", 100)
    splitter = Splitter()
    splitter.feed(b"data: " + b"x" * 90)
    with pytest.raises(EventTooLong):
        splitter.feed(b"x" * 90)


def test_an_event_is_written_under_its_type() -> None:
    assert event_bytes({"type": "ping"}) == b'event: ping\ndata: {"type":"ping"}\n\n'

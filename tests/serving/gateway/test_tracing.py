"""Whose trace a request belongs to: what engines and an OTLP collector are told."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from cast import Cast
from deadline import wait_until
from fake_engine import FakeEngine, Fault
from polygraft.conf import config
from serving.gateway.observing.trace import read_trace

from .served import CHAT, Engines, Served, question

Serve = Callable[..., Served]
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GIVEN = f"00-{TRACE}-{PARENT}-01"


class Collector:
    """An OTLP receiver in a thread."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    raise AssertionError("nobody asked for gzip")
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        collector.spans += scope.spans
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that gateways started from now on send their spans to."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    collector = Collector()
    collector.thread.start()
    monkeypatch.setattr(config(), "otel_endpoint", collector.url)
    yield collector
    collector.server.shutdown()
    collector.server.server_close()
    collector.thread.join()


def attributes(span: Any) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in span.attributes}


def told(engine: FakeEngine) -> str | None:
    """The trace that the engine was told of, last."""
    headers: dict[str, str] = engine.stats()["last_headers"]
    return headers.get("traceparent")


def test_without_a_collector_the_callers_trace_is_passed_on_as_it_is(
    cast: Cast, engines: Engines, serve: Serve
) -> None:
    engine = engines.start()
    client = serve().client(cast.secret)
    client.post(CHAT, json=question(), headers={"traceparent": GIVEN, "tracestate": "vendor=1"})
    assert told(engine) == GIVEN
    assert engine.stats()["last_headers"]["tracestate"] == "vendor=1"
    client.post(CHAT, json=question())
    assert told(engine) is None


def test_a_span_belongs_to_the_callers_and_the_engines_to_it(
    cast: Cast, engines: Engines, serve: Serve, collector: Collector
) -> None:
    engine = engines.start()
    answer = serve().client(cast.secret).post(CHAT, json=question(stream=True), headers={"traceparent": GIVEN})
    span = wait_until(lambda: collector.spans, what="a span arrives")[0]
    assert (span.trace_id.hex(), span.parent_span_id.hex(), span.name) == (TRACE, PARENT, f"POST {CHAT}")
    assert told(engine) == f"00-{TRACE}-{span.span_id.hex()}-01"
    assert 0 < span.end_time_unix_nano - span.start_time_unix_nano < 5e9
    assert [event.name for event in span.events] == ["first_token"]
    found = attributes(span)
    assert found.pop("polygraft.engine_id")
    assert found == {
        "http.request.method": "POST",
        "http.route": CHAT,
        "http.response.status_code": 200,
        "gen_ai.operation.name": "chat",
        "gen_ai.response.model": "support-bot:1",
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 8,
        "polygraft.request_id": answer.headers["x-request-id"],
        "polygraft.department": "support",
        "polygraft.outcome": "finished",
        "polygraft.streamed": True,
        "polygraft.engine": "llamacpp",
    }


def test_a_trace_begins_here_when_the_caller_began_none(
    cast: Cast, engines: Engines, serve: Serve, collector: Collector
) -> None:
    engine = engines.start(Fault.ERROR_500)
    serve().client(cast.secret).post(CHAT, json=question())
    span = wait_until(lambda: collector.spans, what="a span arrives")[0]
    assert span.parent_span_id == b""
    assert told(engine) == f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01"
    assert span.status.code == span.status.STATUS_CODE_ERROR


@pytest.mark.parametrize("headers", [{}, {"traceparent": GIVEN.replace("-01", "-00")}])
def test_what_is_not_sampled_makes_no_span(
    cast: Cast,
    engines: Engines,
    serve: Serve,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    headers: dict[str, str],
) -> None:
    monkeypatch.setattr(config(), "trace_share", 0.0)
    engine = engines.start()
    client = serve().client(cast.secret)
    client.post(CHAT, json=question(), headers=headers)
    assert told(engine) == headers.get("traceparent")
    client.post(CHAT, json=question(), headers={"traceparent": GIVEN})
    wait_until(lambda: collector.spans, what="the other span arrives")
    assert [span.trace_id.hex() for span in collector.spans] == [TRACE]
    assert [span.parent_span_id.hex() for span in collector.spans] == [PARENT]


def test_a_collector_that_is_away_holds_nobody_up(
    cast: Cast, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config(), "otel_endpoint", "http://127.0.0.1:9")
    engines.start()
    with Served() as served:
        assert served.client(cast.secret).post(CHAT, json=question()).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        GIVEN + "-more",
        GIVEN.replace("00-", "ff-", 1),
        GIVEN.upper(),
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        GIVEN + "\r\nx: y",
    ],
)
def test_what_is_no_trace_is_ignored(header: str) -> None:
    assert read_trace(header.encode(), b"") is None


def test_a_later_version_of_the_header_is_understood_as_far_as_it_goes() -> None:
    trace = read_trace(GIVEN.replace("00-", "01-", 1).encode() + b"-more", b"a=1")
    assert trace is not None
    assert trace.headers() == f"traceparent: {GIVEN}\r\ntracestate: a=1\r\n"


def test_a_state_that_would_break_the_engines_head_is_dropped() -> None:
    for state in (b"a=1\r\nx: y", b"a" * 513, b"\xff"):
        trace = read_trace(GIVEN.encode(), state)
        assert trace is not None
        assert trace.state == b""

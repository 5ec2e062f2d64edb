"""Hands the spans of sampled requests to OpenTelemetry's exporter; loaded only when an address for them is configured.

A span is made when its request has ended, from what the account says: nothing is done for it on the way.
"""

import threading
from collections.abc import Iterable

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import AttributeValue

from serving.gateway.call import Call

_NANO = 1_000_000_000
_SEND_SECONDS = 5
_FAREWELL_SECONDS = 0.5
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/messages": "chat",
    "/v1/responses": "chat",
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
}


class Spans:
    """The spans on their way to a collector, which a thread of the exporter's takes them to in batches."""

    def __init__(self, endpoint: str) -> None:
        self._resource = Resource.create({"service.name": "polygraft-gateway"})
        self._scope = InstrumentationScope("polygraft.gateway")
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=_SEND_SECONDS)
        self._processor = BatchSpanProcessor(exporter)

    def export(self, calls: Iterable[Call]) -> None:
        """Take the spans of these calls, which have ended."""
        for call in calls:
            if call.trace is not None and call.trace.span_id and call.trace.sampled:
                self._processor.on_end(self._span(call))

    def close(self) -> None:
        """Send what is left, if the collector takes it at once."""
        # A process must not stay for the sake of a collector that does not answer.
        thread = threading.Thread(target=self._processor.shutdown, daemon=True)
        thread.start()
        thread.join(_FAREWELL_SECONDS)

    def _span(self, call: Call) -> ReadableSpan:
        trace = call.trace
        assert trace is not None  # noqa: S101  # for the type checker
        trace_id = int(trace.trace_id, 16)
        parent = (
            SpanContext(trace_id, int(trace.parent_id, 16), is_remote=True, trace_flags=_SAMPLED)
            if trace.parent_id
            else None
        )
        start = int(call.arrived_at * _NANO)
        events = []
        if call.first_token is not None:
            events.append(Event("first_token", timestamp=start + int((call.first_token - call.started) * _NANO)))
        failed = call.status >= 500 or call.outcome == "failed"
        return ReadableSpan(
            name=f"{call.line.method} {call.endpoint}" if call.endpoint else call.line.method,
            context=SpanContext(trace_id, int(trace.span_id, 16), is_remote=False, trace_flags=_SAMPLED),
            parent=parent,
            resource=self._resource,
            attributes=_attributes(call),
            events=events,
            kind=SpanKind.SERVER,
            status=Status(StatusCode.ERROR) if failed else Status(),
            start_time=start,
            end_time=start + int(call.duration * _NANO),
            instrumentation_scope=self._scope,
        )


def _attributes(call: Call) -> dict[str, AttributeValue]:
    """What is known of a call, without a word of its content; names are OpenTelemetry's where it has some."""
    found: dict[str, AttributeValue | None] = {
        "http.request.method": call.line.method,
        "http.route": call.endpoint or None,
        "http.response.status_code": call.status,
        "gen_ai.operation.name": _OPERATIONS.get(call.endpoint),
        "gen_ai.response.model": call.target.name if call.target is not None else None,
        "gen_ai.usage.input_tokens": call.prompt_tokens,
        "gen_ai.usage.output_tokens": call.completion_tokens,
        "polygraft.request_id": call.id,
        "polygraft.department": call.grant.department if call.grant is not None else None,
        "polygraft.outcome": call.outcome,
        "polygraft.streamed": call.streamed,
        "polygraft.engine": call.engine.kind if call.engine is not None else None,
        "polygraft.engine_id": call.engine.id if call.engine is not None else None,
        "polygraft.fallback": call.fallback or None,
    }
    return {name: value for name, value in found.items() if value is not None}

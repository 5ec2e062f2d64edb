"""Decides which requests are traced, and where their spans go."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import structlog

from serving.gateway.call import Call
from serving.gateway.observing.trace import new_trace

if TYPE_CHECKING:
    from serving.gateway.observing.spans import Spans

log = structlog.get_logger(__name__)


class Tracing:
    """Spans for an OTLP collector, `http://host:port`; for "" there are none, and nothing of it costs anything."""

    def __init__(self, endpoint: str, share: float) -> None:
        """Take where spans go, and the share of requests that begin a trace when their callers did not."""
        self._share = share
        self._spans: Spans | None = None
        if endpoint:
            self._spans = _spans(endpoint)
        self.on = self._spans is not None

    def begin(self, call: Call) -> None:
        """Give a call its span, if it is to have one."""
        if call.trace is None:
            call.trace = new_trace(self._share)
        elif call.trace.sampled:
            call.trace.begin_span()

    def export(self, calls: Iterable[Call]) -> None:
        """Take the spans of these calls, which have ended."""
        if self._spans is not None:
            self._spans.export(calls)

    def close(self) -> None:
        """Send what is left."""
        if self._spans is not None:
            self._spans.close()


def _spans(endpoint: str) -> "Spans | None":
    try:
        from serving.gateway.observing.spans import Spans
    except ImportError as error:
        # The address is often set for a whole cluster; that is no reason not to serve.
        log.error("tracing.unavailable", reason=str(error), remedy="pip install 'polygraft[otel]'")
        return None
    return Spans(endpoint)

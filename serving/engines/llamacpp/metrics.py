"""What the host counts, in Prometheus' text format, under vLLM's names where the meaning is the same."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from .generation import Generation, Piece

_LATENCY = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Metrics:
    """One host's metrics, in a registry of their own."""

    def __init__(self, model_name: str) -> None:
        self._registry = CollectorRegistry()
        self._label = model_name
        self.running = self._gauge("num_requests_running", "Sequences being generated.")
        self.waiting = self._gauge("num_requests_waiting", "Sequences waiting to be admitted.")
        self.prompt_tokens = self._counter("prompt_tokens", "Prompt tokens of admitted sequences.")
        self.generation_tokens = self._counter("generation_tokens", "Tokens generated.")
        self.prefix_queries = self._counter("prefix_cache_queries", "Prompt tokens looked up in the prefix cache.")
        self.prefix_hits = self._counter("prefix_cache_hits", "Prompt tokens found there, which need no computing.")
        self.kv_usage = self._gauge("kv_cache_usage_perc", "Share of the KV cache that holds tokens; 1 means all.")
        self.queue_time = self._histogram("request_queue_time_seconds", "Arrival to admission.")
        self.first_token = self._histogram("time_to_first_token_seconds", "Arrival to first token.")
        self.inter_token = self._histogram("inter_token_latency_seconds", "Mean gap between tokens.")
        self.end_to_end = self._histogram("e2e_request_latency_seconds", "Arrival to last token.")

    def observe_admitted(self, generation: Generation) -> None:
        """Records that a generation has found its place."""
        self.queue_time.observe(time.monotonic() - generation.arrived)
        self.prompt_tokens.inc(len(generation.prompt))
        self.prefix_queries.inc(len(generation.prompt))
        self.prefix_hits.inc(generation.cached)

    def observe_finished(self, generation: Generation, last: Piece) -> None:
        """Records a finished generation's latencies."""
        now = time.monotonic()
        self.first_token.observe(generation.first_token - generation.arrived)
        self.end_to_end.observe(now - generation.arrived)
        if last.tokens > 1:
            self.inter_token.observe((now - generation.first_token) / (last.tokens - 1))

    def render(self) -> bytes:
        """The text for `GET /metrics`."""
        return generate_latest(self._registry)

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(f"vllm:{name}", meaning, ["model_name"], registry=self._registry).labels(self._label)

    def _counter(self, name: str, meaning: str) -> Counter:
        return Counter(f"vllm:{name}", meaning, ["model_name"], registry=self._registry).labels(self._label)

    def _histogram(self, name: str, meaning: str) -> Histogram:
        made = Histogram(f"vllm:{name}", meaning, ["model_name"], registry=self._registry, buckets=_LATENCY)
        return made.labels(self._label)

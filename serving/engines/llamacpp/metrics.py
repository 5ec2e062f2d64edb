"""What the host counts, in Prometheus' text format, under vLLM's names where the meaning is the same."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from .generation import Generation, Piece

# vLLM's bounds, so that one dashboard shows both.
_FIRST = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640)
_GAP = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
_WHOLE = (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680)
_STEP = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
_TOKENS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000)


class Metrics:
    """One host's metrics, in a registry of their own. vLLM's requests are our generations: one for each choice."""

    def __init__(self, model_name: str) -> None:
        self._registry = CollectorRegistry()
        self._label = model_name
        self.running = self._gauge("num_requests_running", "Sequences being generated.")
        self.waiting = self._gauge("num_requests_waiting", "Sequences waiting to be admitted.")
        self.kv_usage = self._gauge("kv_cache_usage_perc", "Share of the KV cache that sequences use; 1 means all.")
        self._prompt_tokens = self._counter("prompt_tokens", "Prompt tokens of admitted sequences.")
        self._prompt_cached = self._counter("prompt_tokens_cached", "Those of them that were in the prefix cache.")
        self._prefix_queries = self._counter("prefix_cache_queries", "Prompt tokens looked up in the prefix cache.")
        self._prefix_hits = self._counter("prefix_cache_hits", "Prompt tokens found there, which need no computing.")
        self._generation_tokens = self._counter("generation_tokens", "Tokens generated.")
        self._ended = Counter(
            *("vllm:request_success", "Sequences that have ended, by why."),
            labelnames=["model_name", "finished_reason"],
            registry=self._registry,
        )
        for reason in ("stop", "length", "abort", "error"):
            self._ended.labels(self._label, reason)
        self._step_tokens = self._histogram("iteration_tokens_total", "Tokens computed in a step.", _STEP)
        self._prompts = self._histogram("request_prompt_tokens", "Prompt tokens of a finished sequence.", _TOKENS)
        self._outputs = self._histogram("request_generation_tokens", "Tokens that it generated.", _TOKENS)
        self._queue_time = self._histogram("request_queue_time_seconds", "Arrival to admission.", _WHOLE)
        self._prefill_time = self._histogram("request_prefill_time_seconds", "Admission to first token.", _WHOLE)
        self._decode_time = self._histogram("request_decode_time_seconds", "First token to last.", _WHOLE)
        self._run_time = self._histogram("request_inference_time_seconds", "Admission to last token.", _WHOLE)
        self._end_to_end = self._histogram("e2e_request_latency_seconds", "Arrival to last token.", _WHOLE)
        self._first_token = self._histogram("time_to_first_token_seconds", "Arrival to first token.", _FIRST)
        self._gap = self._histogram("inter_token_latency_seconds", "From one token to the next.", _GAP)
        self._mean_gap = self._histogram("request_time_per_output_token_seconds", "Mean of a sequence's gaps.", _GAP)

    def observe_admitted(self, generation: Generation) -> None:
        """Records that a generation has found its place."""
        generation.admitted = time.monotonic()
        self._queue_time.observe(generation.admitted - generation.arrived)
        self._prompt_tokens.inc(len(generation.prompt))
        self._prompt_cached.inc(generation.cached)
        self._prefix_queries.inc(len(generation.prompt))
        self._prefix_hits.inc(generation.cached)

    def observe_step(self, tokens: int) -> None:
        """Records how many tokens a step has computed."""
        self._step_tokens.observe(tokens)

    def observe_token(self, generation: Generation) -> None:
        """Records that a generation has another token."""
        now = time.monotonic()
        self._generation_tokens.inc()
        if generation.last_token:
            self._gap.observe(now - generation.last_token)
        else:
            generation.first_token = now
            self._first_token.observe(now - generation.arrived)
        generation.last_token = now

    def observe_finished(self, generation: Generation, last: Piece) -> None:
        """Records a generation that has its last piece, and how long its phases took."""
        self._ended.labels(self._label, last.finish_reason).inc()
        self._prompts.observe(len(generation.prompt))
        self._outputs.observe(last.tokens)
        decoding = generation.last_token - generation.first_token
        self._prefill_time.observe(generation.first_token - generation.admitted)
        self._decode_time.observe(decoding)
        self._run_time.observe(generation.last_token - generation.admitted)
        self._end_to_end.observe(generation.last_token - generation.arrived)
        if last.tokens > 1:
            self._mean_gap.observe(decoding / (last.tokens - 1))

    def observe_broken_off(self, *, failed: bool) -> None:
        """Records a generation that ended unfinished: it failed, or nobody wants it any more."""
        self._ended.labels(self._label, "error" if failed else "abort").inc()

    def render(self) -> bytes:
        """The text for `GET /metrics`."""
        return generate_latest(self._registry)

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(f"vllm:{name}", meaning, ["model_name"], registry=self._registry).labels(self._label)

    def _counter(self, name: str, meaning: str) -> Counter:
        return Counter(f"vllm:{name}", meaning, ["model_name"], registry=self._registry).labels(self._label)

    def _histogram(self, name: str, meaning: str, bounds: tuple[float, ...]) -> Histogram:
        made = Histogram(f"vllm:{name}", meaning, ["model_name"], registry=self._registry, buckets=bounds)
        return made.labels(self._label)

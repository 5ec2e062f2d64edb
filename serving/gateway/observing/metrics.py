"""What Prometheus is told: requests, tokens, durations and the state of metering."""

from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Callable, Iterable
from functools import cache

from prometheus_client import Counter, Gauge, Histogram

from serving.gateway.call import Call

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_PAUSES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)

# Label values are slugs, resolved model names and enums, never what a caller wrote: their number stays bounded.
REQUESTS = Counter("polygraft_requests", "Inference requests.", ["department", "model", "engine", "outcome", "status"])
TOKENS = Counter("polygraft_tokens", "Tokens as engines counted them.", ["department", "model", "kind"])
SECONDS = Counter("polygraft_request_seconds", "What requests took in all.", ["department", "model", "engine"])
DURATION = Histogram(
    "polygraft_request_duration_seconds",
    "From a request's arrival to the end of its answer.",
    ["department", "engine"],
    buckets=_SECONDS,
)
FIRST_TOKEN = Histogram(
    "polygraft_time_to_first_token_seconds",
    "From a streamed request's arrival to its first content.",
    ["department", "engine"],
    buckets=_SECONDS,
)
PER_TOKEN = Histogram(
    "polygraft_time_per_output_token_seconds",
    "Between the tokens of a stream, on average from its first content to its end.",
    ["department", "engine"],
    buckets=_PAUSES,
)
INTER_TOKEN = Histogram(
    "polygraft_inter_token_seconds",
    "Between the pieces of a stream's content, one by one as they come from the engine.",
    ["department", "engine"],
    buckets=_PAUSES,
)
FALLBACKS = Counter("polygraft_fallbacks", "Requests answered by another engine than their first choice.", ["reason"])
IN_FLIGHT = Gauge("polygraft_requests_in_flight", "Inference requests under way.", multiprocess_mode="livesum")
RETRIES = Counter("polygraft_engine_retries", "Engines passed over before a first byte.", ["reason"])
WAITS = Counter("polygraft_engine_waits", "Requests that waited for an adapter to be loaded or an engine to wake.")
BREAKERS_OPEN = Gauge(
    "polygraft_engines_avoided",
    "Engines whose circuit breaker is open, in the gateway process that avoids the most.",
    multiprocess_mode="livemax",
)
BREAKERS_OPENED = Counter("polygraft_engine_breaker_openings", "Circuit breakers that opened.", ["reason"])
QUEUED = Gauge("polygraft_requests_queued", "Requests that wait for a turn at an engine.", multiprocess_mode="livesum")
QUEUE_SECONDS = Histogram(
    "polygraft_queue_seconds", "How long requests waited for a turn at an engine, those that waited.", buckets=_SECONDS
)
TURNS_ALONE = Gauge(
    "polygraft_turns_alone",
    "1 while this process shares engines' slots out without asking the others, Redis being away.",
    multiprocess_mode="livemax",
)
LIMIT_REFUSALS = Counter("polygraft_limit_refusals", "Requests that a limit did not allow.", ["level", "kind"])
LIMITS_ALONE = Gauge(
    "polygraft_limits_alone",
    "1 while this process keeps limits by its own share of them, Redis being away.",
    multiprocess_mode="livemax",
)
REDIS_CONNECTED = Gauge(
    "polygraft_gateway_redis_connected", "Whether Redis can be reached: 1 or 0.", multiprocess_mode="livemin"
)
STALE_ANSWERS = Counter(
    "polygraft_stale_answers", "Keys and models taken from what was known before the database went away."
)
USAGE_WAITING = Gauge("polygraft_usage_records_waiting", "Usage records not yet in Redis.", multiprocess_mode="livesum")
USAGE_UNCONFIRMED = Gauge(
    "polygraft_usage_records_unconfirmed",
    "Usage records in Redis, not in the database.",
    multiprocess_mode="livesum",
)
USAGE_SPOOLED = Counter("polygraft_usage_records_spooled", "Usage records written to disk, Redis being away.")
USAGE_RECOVERED = Counter("polygraft_usage_records_recovered", "Usage records that killed gateway processes had left.")


class Gaps:
    """The gaps of all streams of a department at a kind of engine that Prometheus has not been told of yet."""

    __slots__ = ("_counts", "_histogram", "_seconds")

    def __init__(self, department: str, engine: str) -> None:
        self._histogram = _child(INTER_TOKEN, (department, engine))
        self._counts = [0] * (len(_PAUSES) + 1)
        self._seconds = 0.0

    def note(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(_PAUSES, seconds)] += 1
        self._seconds += seconds

    def tell(self) -> None:
        """Tell Prometheus what has gathered."""
        if self._seconds:
            _tell(self._histogram, self._seconds, enumerate(self._counts))
            self._counts = [0] * (len(_PAUSES) + 1)
            self._seconds = 0.0


_GAPS: dict[tuple[str, str], Gaps] = {}


def gaps_of(call: Call) -> Gaps:
    """Where the gaps of a call's stream are noted: neither kept by the stream nor told chunk by chunk."""
    where = _where(call)
    gaps = _GAPS.get(where)
    if gaps is None:
        gaps = _GAPS[where] = Gaps(*where)
    return gaps


def observe(calls: Iterable[Call]) -> None:
    """Count requests that have ended; together, since with several processes each count is written to a file."""
    requests: Counts[tuple[str, str, str, str, int]] = Counts()
    tokens: Counts[tuple[str, str, str]] = Counts()
    seconds_of: dict[tuple[str, str, str], float] = {}
    fallbacks: Counts[str] = Counts()
    durations: dict[tuple[str, str], list[float]] = {}
    firsts: dict[tuple[str, str], list[float]] = {}
    pauses: dict[tuple[str, str], list[float]] = {}
    for call in calls:
        department, engine = where = _where(call)
        model = call.target.name if call.target is not None else ""
        requests[department, model, engine, call.outcome, call.status] += 1
        served = (department, model, engine)
        seconds_of[served] = seconds_of.get(served, 0.0) + call.duration
        durations.setdefault(where, []).append(call.duration)
        if call.first_token is not None:
            firsts.setdefault(where, []).append(call.first_token - call.started)
            if call.completion_tokens > 1:
                seconds = call.started + call.duration - call.first_token
                pauses.setdefault(where, []).append(seconds / (call.completion_tokens - 1))
        if call.fallback:
            fallbacks[call.fallback] += 1
        if call.prompt_tokens:
            tokens[department, model, "prompt"] += call.prompt_tokens
        if call.completion_tokens:
            tokens[department, model, "completion"] += call.completion_tokens
    for labels, count in requests.items():
        _requests(*labels)(count)
    for kind, count in tokens.items():
        _tokens(*kind)(count)
    for served, sum_of_seconds in seconds_of.items():
        _seconds(*served)(sum_of_seconds)
    for reason, count in fallbacks.items():
        FALLBACKS.labels(reason).inc(count)
    for histogram, found in ((DURATION, durations), (FIRST_TOKEN, firsts), (PER_TOKEN, pauses)):
        for where, amounts in found.items():
            _observe_all(_child(histogram, where), amounts)
    for gaps in _GAPS.values():
        gaps.tell()


def _where(call: Call) -> tuple[str, str]:
    """The department and the kind of engine, as labels."""
    return (
        call.grant.department if call.grant is not None else "",
        call.engine.kind if call.engine is not None else "",
    )


def _observe_all(histogram: Histogram, amounts: list[float]) -> None:
    """What `Histogram.observe` does for each, with one note per bucket: every note asks the kernel who we are."""
    bounds = histogram._upper_bounds
    _tell(histogram, sum(amounts), Counts([bisect_left(bounds, amount) for amount in amounts]).items())


def _tell(histogram: Histogram, total: float, counts: Iterable[tuple[int, int]]) -> None:
    histogram._sum.inc(total)
    for bucket, count in counts:
        if count:
            histogram._buckets[bucket].inc(count)


def count_retry(reason: str) -> None:
    """Count an engine that was passed over; `reason` is one of a few words."""
    RETRIES.labels(reason).inc()


def count_limit_refusal(level: str, kind: str) -> None:
    """Count a request that a limit did not allow."""
    LIMIT_REFUSALS.labels(level, kind).inc()


# Finding a labelled child costs more than counting with it, so the children's methods are kept.


@cache
def _requests(department: str, model: str, engine: str, outcome: str, status: int) -> Callable[[float], None]:
    return REQUESTS.labels(department, model, engine, outcome, str(status)).inc


@cache
def _seconds(department: str, model: str, engine: str) -> Callable[[float], None]:
    return SECONDS.labels(department, model, engine).inc


@cache
def _tokens(department: str, model: str, kind: str) -> Callable[[float], None]:
    return TOKENS.labels(department, model, kind).inc


@cache
def _child(histogram: Histogram, where: tuple[str, str]) -> Histogram:
    return histogram.labels(*where)
